"""Options of the OpenAI models: classes that are made on first use, as pydantic is dear."""

from __future__ import annotations

import json
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Optional, Union, cast

import llm

if TYPE_CHECKING:
    from typing import TypeAlias

    from pydantic import BaseModel

    SharedOptions: TypeAlias = llm.Options
else:
    llm.for_hints(globals(), {"pydantic": "BaseModel"})


class ReasoningEffortEnum(str, Enum):
    """How much a reasoning model thinks before it answers."""

    none = "none"
    minimal = "minimal"
    low = "low"
    medium = "medium"
    high = "high"
    xhigh = "xhigh"
    max = "max"


class ReasoningSummaryEnum(str, Enum):
    """How its reasoning is summed up."""

    auto = "auto"
    concise = "concise"
    detailed = "detailed"


class VerbosityEnum(str, Enum):
    """How long the answer is."""

    low = "low"
    medium = "medium"
    high = "high"


class ImageDetailEnum(str, Enum):
    """How closely images are looked at."""

    low = "low"
    high = "high"
    auto = "auto"


class ImageDetailWithOriginalEnum(str, Enum):
    """How closely images are looked at, where the model takes them in full size."""

    low = "low"
    high = "high"
    original = "original"
    auto = "auto"


def read_logit_bias(value: object) -> dict[int, int] | None:
    """The bias of each token, from an object or its JSON text.

    Raises:
        ValueError: It is not an object of token numbers and values from -100 to 100.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("Invalid JSON in logit_bias string") from None
    if not isinstance(value, dict):
        raise ValueError("logit_bias must be a JSON object")
    biases: dict[int, int] = {}
    for token, bias in value.items():
        try:
            number, amount = int(token), int(bias)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("Invalid key-value pair in logit_bias dictionary") from None
        if not -100 <= amount <= 100:
            raise ValueError("Value must be between -100 and 100")
        biases[number] = amount
    return biases


def _described(description: str, **limits: float) -> Any:
    """A field that defaults to `None`."""
    from pydantic import Field

    return Field(description=description, default=None, **cast("dict[str, Any]", limits))


@cache
def shared_options() -> type[BaseModel]:
    """`SharedOptions`: the options of every OpenAI model."""
    from pydantic import field_validator

    class SharedOptions(llm.Options):
        """Options of every OpenAI model."""

        temperature: Optional[float] = _described(
            "Randomness of the answer, from 0 (focused) to 2 (varied). Change this or top_p, not"
            " both.",
            ge=0,
            le=2,
        )
        max_tokens: Optional[int] = _described("The most tokens to generate.")
        top_p: Optional[float] = _described(
            "Choose among the likeliest tokens that together have this probability: 0.1 means the"
            " top 10%. Change this or temperature, not both.",
            ge=0,
            le=1,
        )
        frequency_penalty: Optional[float] = _described(
            "From -2 to 2. Above 0, a token becomes less likely the more often it has occurred:"
            " fewer literal repetitions.",
            ge=-2,
            le=2,
        )
        presence_penalty: Optional[float] = _described(
            "From -2 to 2. Above 0, a token becomes less likely once it has occurred: more new"
            " topics.",
            ge=-2,
            le=2,
        )
        stop: Optional[str] = _described("Stop generating where this text would come.")
        logit_bias: Optional[Union[dict, str]] = _described(  # type: ignore[type-arg]  # as listed
            "Make tokens more or less likely: a JSON object of token numbers and values from -100"
            ' to 100, such as {"1712": -100}.'
        )
        seed: Optional[int] = _described("Try to give the same answer to the same prompt and seed.")

        @field_validator("logit_bias")
        @classmethod
        def validate_logit_bias(cls, value: object) -> dict[int, int] | None:
            """The value as token numbers and integers."""
            return read_logit_bias(value)

    return _placed(SharedOptions, "SharedOptions")


def _placed(options: type[BaseModel], name: str) -> type[BaseModel]:
    options.__module__ = "llm.default_plugins.openai_models"
    options.__qualname__ = options.__name__ = name
    return options


def build_options_class(
    *,
    reasoning: bool = False,
    reasoning_summary: bool = False,
    verbosity: bool = False,
    image_detail_original: bool = False,
    chat_completions: bool = False,
    service_tier: bool = False,
) -> type[BaseModel]:
    """The options class of a model with the given abilities; the same class for the same ones.

    Each ability adds the options of its name; `image_detail_original` allows `original` as
    `image_detail`.
    """
    wanted = {
        "json_object": True,
        "chat_completions": chat_completions,
        "image_detail": not image_detail_original,
        "image_detail_original": image_detail_original,
        "reasoning_effort": reasoning,
        "reasoning_summary": reasoning and reasoning_summary,
        "verbosity": verbosity,
        "service_tier": service_tier,
    }
    return _options_class(*(name for name, is_wanted in wanted.items() if is_wanted))


@cache
def _options_class(*names: str) -> type[BaseModel]:
    from pydantic import create_model

    fields: dict[str, Any] = {
        name.removesuffix("_original"): _field(*_FIELDS[name]) for name in names
    }
    return _placed(create_model("Options", __base__=shared_options(), **fields), "Options")


_DETAIL = "How closely to look at images"
_FIELDS: dict[str, tuple[type, str]] = {
    "json_object": (bool, "Answer with a valid JSON object; the prompt must say JSON."),
    "chat_completions": (bool, "Use the older Chat Completions API in place of the Responses API."),
    "image_detail": (ImageDetailEnum, _DETAIL),
    "image_detail_original": (ImageDetailWithOriginalEnum, _DETAIL),
    "reasoning_effort": (
        ReasoningEffortEnum,
        "How much to think before answering; models know some of these",
    ),
    "reasoning_summary": (ReasoningSummaryEnum, "How to sum up the reasoning"),
    "verbosity": (VerbosityEnum, "How long the answer should be"),
    "service_tier": (str, "Processing tier, for example fast, flex (cheaper, slower) or priority."),
}


def _field(kind: type, description: str, **limits: float) -> tuple[object, object]:
    if issubclass(kind, Enum):
        description += f": {', '.join(choice.value for choice in kind)}."
    return (Optional[kind], _described(description, **limits))


@cache
def completion_options() -> type[BaseModel]:
    """The options class of `Completion` models."""
    from pydantic import create_model

    text = "Give the probabilities of this many likeliest tokens, up to 5."
    fields: dict[str, Any] = {"logprobs": _field(int, text, le=5)}
    return _placed(create_model("Options", __base__=shared_options(), **fields), "Options")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "SharedOptions":
            return shared_options()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
