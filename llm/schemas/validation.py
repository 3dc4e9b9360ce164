"""Answers that have to fit a JSON schema: checking them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..errors import InvalidInput, SchemaMismatch
from ..text import JSONObject
from .checkable import checkable, place_of, validator_of

# So many of the things that are not checked are told.
_SHOWN = 3

_REPAIR_PROMPT = (
    "Your answer does not fit the JSON schema that was given. At {place}: {problem}\n"
    "Answer again, with JSON that fits the schema and nothing else."
)


def repair_prompt(mismatch: SchemaMismatch) -> str:
    """What a model is told whose answer does not fit."""
    return _REPAIR_PROMPT.format(place=mismatch.place, problem=mismatch.problem)


def check_schema(schema: JSONObject) -> None:
    """Tell on stderr what of a schema answers cannot be checked against; it is sent all the same.

    Raises:
        InvalidInput: It is nested too deeply to be sent.
    """
    try:
        _, notes = checkable(schema)
    except RecursionError as error:
        raise InvalidInput("Not a valid JSON schema: it is nested too deeply") from error
    except TimeoutError as error:
        _tell(f"The schema was not checked: {error}")
        return
    if notes:
        more = f"; and {len(notes) - _SHOWN} more" if len(notes) > _SHOWN else ""
        told = "; ".join(notes[:_SHOWN])
        _tell(f"The schema is sent as it is, but not all of it is checked: {told}{more}")


def parse_answer(text: str, schema: JSONObject | None, what: str = "the schema") -> Any:
    """The JSON value of an answer, which fits the schema if there is one.

    Args:
        what: What it should fit, as errors name it.

    Raises:
        SchemaMismatch: It is not JSON or does not fit; the message says where.
    """
    try:
        value = _read(text)
    except ValueError as error:
        problem = f"it is not JSON ({error})" if text.strip() else "it is empty"
        message = f"The answer does not fit {what}: {problem}"
        raise SchemaMismatch(message, "$", str(error), value=text) from error
    except RecursionError as error:
        message = "The answer is nested too deeply"
        raise SchemaMismatch(message, "$", str(error), value=text) from error
    if schema is not None:
        validate(value, schema)
    return value


def _read(text: str) -> object:
    """The value of a JSON text; around it may be what models put there: thinking, and a fence."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        bare = text.partition("</think>")[2] or text
        _, fence, fenced = bare.partition("```")
        if fence:
            bare = fenced.rpartition("```")[0] or fenced
            bare = bare.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-")
        if bare == text:
            raise
        with suppress(ValueError):
            return json.loads(bare, parse_constant=_refuse_constant)
        raise


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def validate(value: object, schema: JSONObject) -> None:
    """Check a JSON value against a schema, as far as that can be done; nothing is fetched.

    What takes more than two seconds, or cannot be checked, is told on stderr, and passes.

    Raises:
        SchemaMismatch: The value does not fit; the message says where and why.
    """
    from . import limits

    try:
        schema, _ = checkable(schema)
        if limits.are_quick(limits.patterns_in(schema), value):
            with limits.time_limit(limits.LIMIT_S):
                found = find_mismatch(value, schema)
        else:
            name = find_mismatch.__name__
            found = limits.call_aside(limits.LIMIT_S, __name__, name, [value, schema], [None, {}])
    except (OSError, RecursionError) as error:
        # The time is up, no process can be started, or there is no end to it.
        found = None, str(error), 0
    if found is None:
        return
    path, problem, others = found
    if path is None:
        _tell(f"The answer was not checked against its schema: {problem}")
        return
    for step in path:
        value = value[step]  # type: ignore[index]  # a list or an object, or there were no step
    more = f" (and {others} more)" if others else ""
    raise mismatch(path, problem, value, more=more)


def mismatch(
    path: Iterable[str | int],
    problem: str,
    value: object,
    what: str = "the schema",
    more: str = "",
) -> SchemaMismatch:
    """The error for an answer with a value that does not fit.

    Args:
        path: Where in the answer: names and numbers from the outside in.
        problem: What is wrong there.
        value: What is there.
        what: What it should fit.
        more: What else there is to say.
    """
    steps = tuple(path)
    place = place_of(steps)
    text = f"The answer does not fit {what}: {place}: {problem}{more}"
    return SchemaMismatch(text, place, problem, path=steps, value=value)


def find_mismatch(
    value: object, schema: JSONObject
) -> tuple[list[str | int] | None, str, int] | None:
    """What is wrong with a JSON value that does not fit a schema: where, why, and how much else.

    Where the check itself fails, there is no place.
    """
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    checker = validator_of(schema)(schema, registry=Registry())
    try:
        errors = list(checker.iter_errors(value))
    except Unresolvable as error:
        return None, f"the schema refers to {error.ref!r}, which is not in it", 0
    except RecursionError:
        return None, "the schema refers to itself without end", 0
    except Exception as error:  # a schema that contradicts itself can fail in any way
        return None, f"{type(error).__name__}: {error}", 0
    if not errors:
        return None
    first = best_match(errors) or errors[0]
    return list(first.absolute_path), first.message, len(errors) - 1


def _tell(text: str) -> None:
    """Say a line on stderr, if anybody can hear it."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr)
