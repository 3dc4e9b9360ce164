"""Model options: the pydantic base class, made only when somebody needs it.

Importing pydantic costs more than starting the command, and most prompts are sent without an
option. So `llm.Options` exists from its first use on, a model class can declare its options by a
function that builds the class (`LazyOptions`), and `option_values` reads a prompt's options
without building anything where none was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .._lazy import for_hints
from ..text import JSONObject

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from typing_extensions import TypeVar as TypeVarWithDefault

    from .base import _BaseModel
    from .prompt import Prompt

    Options = BaseModel
    #: The options of a model class: `Model[MyOptions]`. A model that does not say takes any.
    OptionsT = TypeVarWithDefault("OptionsT", bound=Options, default=Any)
    OptionsT_co = TypeVarWithDefault("OptionsT_co", bound=Options, covariant=True, default=Options)
else:
    OptionsT, OptionsT_co = TypeVar("OptionsT"), TypeVar("OptionsT_co", covariant=True)
    for_hints(
        globals(),
        {
            "llm.models.base": "_BaseModel",
            "llm.models.prompt": "Prompt",
            "pydantic": "BaseModel",
        },
    )


class LazyOptions:
    """A class attribute `Options` whose value is built on first access.

    Args:
        build: Makes the class, a subclass of `llm.Options`. Every field must default to `None`:
            that is what allows a prompt without options to be sent without building it.
    """

    def __init__(self, build: Callable[[], type[Options]]) -> None:
        self._build = build
        self._built: type[Options] | None = None

    def __get__(self, instance: object, owner: type | None = None) -> type[Options]:
        if self._built is None:
            self._built = self._build()
        return self._built


def is_lazy(model: _BaseModel) -> bool:
    """Whether the options of `model` are known to default to `None` without building them."""
    for owner in (model, *type(model).__mro__):
        if "Options" in getattr(owner, "__dict__", ()):
            found = vars(owner)["Options"]
            return isinstance(found, LazyOptions) and not (
                found is NO_OPTIONS and _named_options(type(model))
            )
    return False


def option_values(prompt: Prompt) -> JSONObject:
    """The options of `prompt` that are not `None`, in the order of their declaration."""
    if prompt.given_options is None and is_lazy(prompt.model):
        return {}
    return {name: value for name, value in dict(prompt.options).items() if value is not None}


def validated(model: _BaseModel, options: Options | Mapping[str, object]) -> Options | None:
    """Options that are given by name as an object of the model; `None` where there are none.

    Raises:
        pydantic.ValidationError: An option is unknown or its value is not allowed.
    """
    if not isinstance(options, Mapping):
        return options
    if not options:
        return None
    from pydantic import ValidationError

    try:
        found: Options = model.Options(**options)
    except ValidationError as error:
        raise _with_suggestions(error, model) from None
    return found


# What stands in a call beside the options of the model.
ARGUMENTS = (
    *("prompt", "fragments", "attachments", "system", "system_fragments", "messages", "stream"),
    *(
        "schema",
        "tools",
        "tool_results",
        "options",
        "hide_reasoning",
        "key",
        "log",
        "policy",
        "repair",
    ),
)


def _with_suggestions(error: ValidationError, model: _BaseModel) -> ValidationError:
    """The same error, which says what unknown options may have been meant to be."""
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

    from ..text import suggestion

    known = [*model.Options.model_fields, *ARGUMENTS]
    lines: list[InitErrorDetails] = []
    for problem in error.errors():
        kind, said = problem["type"], problem["msg"]
        if kind == "extra_forbidden":
            said = f"There is no option of that name{suggestion(str(problem['loc'][0]), known)}"
        # Braces would stand for values of a context.
        custom = PydanticCustomError(kind, "{said}", {"said": said})
        lines.append({"type": custom, "loc": problem["loc"], "input": problem["input"]})
    return ValidationError.from_exception_data(error.title, lines)


def all_options(options: Mapping[str, object] | None, keywords: JSONObject) -> JSONObject:
    """The options that were given as a mapping, and those that were as keyword arguments.

    Raises:
        TypeError: An option is given in both ways.
    """
    if options is None:
        return keywords
    if both := [name for name in options if name in keywords]:
        raise TypeError(
            f"Got values for these options both in options= and as keyword arguments: {both}"
        )
    return {**options, **keywords}


@cache
def _options_class() -> type[Options]:
    from pydantic import BaseModel, ConfigDict

    class Options(BaseModel):
        """Options of a model; subclasses declare fields. An unknown option is refused.

        Iterating gives pairs of name and value.
        """

        model_config = ConfigDict(extra="forbid")

    Options.__module__ = "llm.models"
    Options.__qualname__ = "Options"
    return Options


class _NamedOptions(LazyOptions):
    """Those that a model class names as `Model[MyOptions]`; without any where it names none."""

    def __get__(self, instance: object, owner: type | None = None) -> type[Options]:
        return _named_options(owner or type(instance)) or super().__get__(instance, owner)


def _named_options(model_class: type) -> type[Options] | None:
    for kind in model_class.__mro__:
        for base in vars(kind).get("__orig_bases__", ()):
            for named in getattr(base, "__args__", ()):
                if hasattr(named, "model_fields"):
                    found: type[Options] = named
                    return found
    return None


# A class of its own: changing it must not change what every other model inherits.
NO_OPTIONS = _NamedOptions(
    lambda: type("Options", (_options_class(),), {"__module__": "llm.models"})
)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "Options":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault("Options", _options_class())
