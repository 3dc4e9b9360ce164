"""Options of the OpenAI models."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import llm
from llm.default_plugins.openai_models import (
    AsyncChat,
    Chat,
    Completion,
    ImageDetailWithOriginalEnum,
    SharedOptions,
    build_options_class,
)


def test_options_classes_are_shared_between_equal_models() -> None:
    """Two models with the same abilities have one options class."""
    assert Chat("a").Options is Chat.Options
    assert Chat("a", reasoning=True).Options is AsyncChat("b", reasoning=True).Options
    assert build_options_class() is build_options_class()
    assert issubclass(Completion("c").Options, SharedOptions)


def test_options_can_be_subclassed() -> None:
    """A plugin's options may extend those of `Chat`."""

    class Options(Chat.Options):
        extra_flag: bool | None = None

    class Mine(Chat):
        pass

    Mine.Options = Options
    assert Mine("m").Options(extra_flag=True, temperature=1).extra_flag is True


@pytest.mark.parametrize(
    ("given", "kept"),
    [('{"5": "3"}', {5: 3}), ({"1": 5}, {1: 5}), ('{"1": 1.5}', {1: 1}), (None, None)],
)
def test_logit_bias_becomes_numbers(given: object, kept: object) -> None:
    """Tokens and values become integers, from an object or from JSON text."""
    assert SharedOptions.model_validate({"logit_bias": given}).model_dump()["logit_bias"] == kept


@pytest.mark.parametrize(
    "given", ["nope", '{"a": 1}', '{"1": 101}', '{"1": "x"}', "[1]", '{"1": 1e999}']
)
def test_logit_bias_refuses_what_is_none(given: str) -> None:
    """Anything else is a validation error."""
    with pytest.raises(ValidationError):
        SharedOptions(logit_bias=given)


def test_unknown_option_is_refused() -> None:
    """An option that the model does not have is an error before anything is sent."""
    with pytest.raises(ValidationError):
        llm.get_model("gpt-4o").prompt("x", verbosity="low")


def test_image_detail_original_needs_the_ability() -> None:
    """`original` is a choice only where the model takes it."""
    options = build_options_class(image_detail_original=True)
    chosen = options(image_detail="original").model_dump()["image_detail"]
    assert chosen is ImageDetailWithOriginalEnum.original
    with pytest.raises(ValidationError):
        build_options_class()(image_detail="original")


def test_module_has_no_other_names() -> None:
    """An unknown name is an AttributeError."""
    from llm.providers.openai import options

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(options, "Nothing")  # noqa: B009
