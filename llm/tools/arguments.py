"""The arguments of a call as the function that is called wants them.

A model writes JSON, so a date comes as text and a record as an object. What a parameter is
annotated with says what it becomes; pydantic is asked only about types that JSON does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast
from weakref import WeakKeyDictionary

from ..text import JSONObject
from .calling import ToolContext
from .signatures import signature_of, type_hints_of

# Given by the engine to a tool that declares it, never by the model.
INJECTED_PARAMETER = "llm_tool_call"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a function wants of a call.

    Args:
        wants_call: It has the parameter `llm_tool_call`.
        contexts: Its parameters that take a `ToolContext`.
        converters: What makes an argument of what the model wrote, by the name of the parameter.
    """

    wants_call: bool
    contexts: tuple[str, ...]
    converters: Mapping[str, Callable[[object], object]]


_known: WeakKeyDictionary[FunctionType, Wishes] = WeakKeyDictionary()


def wishes_of(function: Callable[..., object]) -> Wishes:
    """What a function wants; one that tells no signature takes everything as it comes."""
    plain = getattr(function, "__func__", function)
    if not isinstance(plain, FunctionType):
        return _wishes(function)
    if plain not in _known:
        _known[plain] = _wishes(plain)
    return _known[plain]


def _wishes(function: Callable[..., object]) -> Wishes:
    try:
        parameters = signature_of(function).parameters
    except (TypeError, ValueError):
        return Wishes(False, (), {})
    hints = type_hints_of(function)
    contexts = tuple(name for name in parameters if is_context(hints.get(name)))
    converters = {
        name: converter
        for name, parameter in parameters.items()
        if name in hints
        and name not in (INJECTED_PARAMETER, *contexts)
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (converter := _converter(hints[name], parameter.default)) is not None
    }
    return Wishes(INJECTED_PARAMETER in parameters, contexts, converters)


def is_context(hint: object) -> bool:
    """Whether a parameter of that type is given the context of the call: the engine fills it in."""
    return hint is ToolContext or ToolContext in getattr(hint, "__args__", ())


def converted(arguments: JSONObject, wishes: Wishes) -> JSONObject:
    """The arguments, each of the type that its parameter is annotated with.

    Raises:
        ValueError: One of them cannot be; it says which, and why, so that the model can mend it.
    """
    found: JSONObject = {}
    problems: list[str] = []
    for name, value in arguments.items():
        convert = wishes.converters.get(name)
        try:
            found[name] = value if convert is None else convert(value)
        except _Misfit as misfit:
            problems += [f"{name}{place}: {problem}" for place, problem in misfit.problems]
    if problems:
        raise ValueError("the arguments do not fit: " + "; ".join(problems))
    return found


class _Misfit(Exception):
    """A value that its parameter cannot take: places within it, each with what is wrong there."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


def _converter(hint: object, default: object) -> Callable[[object], object] | None:
    if hint is Any or hint is object:
        return None
    plain = next((convert for kind, convert in _PLAIN if kind is hint), None)
    return plain or _Rich(hint, takes_none=default is None).convert


# A model may write a number as text, or the other way round. Where nothing gets lost it becomes
# what is wanted; anything else is left to the function.


def _as_text(value: object) -> object:
    return json.dumps(value) if isinstance(value, (bool, int, float)) else value


def _as_whole_number(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _read(value, int)


def _as_number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and _fits_float(value):
        return float(value)
    found = _read(value, int, float)
    return _as_number(found) if isinstance(found, int) and isinstance(value, str) else found


def _fits_float(value: int) -> bool:
    return abs(value) <= 2**53


def _as_truth(value: object) -> object:
    if value in (0, 1) and isinstance(value, (int, float)):
        return bool(value)
    return _read(value.lower() if isinstance(value, str) else value, bool)


def _read(value: object, *kinds: type) -> object:
    """The number or truth value that a text spells, if it spells one of these kinds."""
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if type(found) in kinds:
            return found
    return value


_PLAIN: tuple[tuple[type, Callable[[object], object]], ...] = (
    *((str, _as_text), (int, _as_whole_number)),
    *((float, _as_number), (bool, _as_truth)),
)


class _Rich:
    """Makes values of a type that JSON does not have, or not as exactly."""

    def __init__(self, hint: object, *, takes_none: bool) -> None:
        self._hint = hint
        self._takes_none = takes_none
        self._validate: Callable[[object], object] | None = None

    def convert(self, value: object) -> object:
        """The value of that type; a `_Misfit` where it is none."""
        # Somebody who writes `x: date = None` means that, too.
        if value is None and self._takes_none:
            return None
        from pydantic import TypeAdapter, ValidationError

        if self._validate is None:
            self._validate = TypeAdapter(cast("type[object]", self._hint)).validate_python
        try:
            return self._validate(value)
        except ValidationError as error:
            raise _Misfit(
                [
                    ("".join(f".{step}" for step in problem["loc"]), problem["msg"])
                    for problem in error.errors(include_url=False, include_context=False)
                ]
            ) from error
