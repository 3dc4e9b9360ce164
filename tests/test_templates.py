"""Templates as values: filling in, and which variables there are."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import llm
from llm.errors import LLMError


def test_template_evaluate_fills_both_prompts() -> None:
    """Variables come from the parameters, then from the defaults, and `$input` from the input."""
    template = llm.Template(
        name="n", prompt="$input ${a}b $b", system="For $b", defaults={"a": "A", "b": "B"}
    )
    assert template.evaluate("hi", {"b": 2}) == ("hi Ab 2", "For 2")


@pytest.mark.parametrize("prompt", [None, ""])
def test_template_evaluate_without_prompt(prompt: str | None) -> None:
    """The input itself is the prompt where the template has none."""
    template = llm.Template(name="n", prompt=prompt, system="S")
    assert template.evaluate("hi") == ("hi", "S")


def test_template_evaluate_missing_variables() -> None:
    """All variables without a value are named, in the order of their first use."""
    template = llm.Template(name="n", prompt="$b $a $input", system="$c $b")
    with pytest.raises(llm.Template.MissingVariables) as caught:
        template.evaluate("x")
    assert str(caught.value) == "Missing variables: b, a, c"
    assert isinstance(caught.value, LLMError)


def test_template_evaluate_keeps_dollars() -> None:
    """A doubled dollar is one; one that starts no name, as in a price, stays."""
    template = llm.Template(name="n", prompt="$$HOME costs $5, ${ not")
    assert template.evaluate("") == ("$HOME costs $5, ${ not", None)


def test_template_evaluate_leaves_parameters_alone() -> None:
    """The caller's dictionary is not changed, and cannot replace the input."""
    params = {"input": "mine"}
    assert llm.Template(name="n", prompt="$input").evaluate("yours", params) == ("yours", None)
    assert params == {"input": "mine"}


def test_template_vars_of_both_prompts() -> None:
    """The variables are those of prompt and system prompt, in either spelling."""
    template = llm.Template(name="n", prompt="$a ${b} $$c", system="$input")
    assert template.vars() == {"a", "b", "input"}


def test_template_refuses_unknown_keys() -> None:
    """A misspelt key is an error, not a wish."""
    with pytest.raises(ValidationError, match="promt"):
        llm.Template.model_validate({"name": "n", "promt": "x"})


def test_template_functions_are_not_trusted() -> None:
    """Code in a template runs only if whoever read the file says so."""
    assert llm.Template(name="n", functions="x")._functions_is_trusted is False


def test_template_attachment_types() -> None:
    """Attachments with a type are read as pairs."""
    whole: Any = {"type": "image/png", "value": "a"}
    template = llm.Template(name="n", attachment_types=[whole])
    assert template.attachment_types is not None
    assert template.attachment_types[0].value == "a"
    half: Any = {"type": "image/png"}
    with pytest.raises(ValidationError):
        llm.Template(name="n", attachment_types=[half])
