"""Answers that have to fit a JSON schema: checking them."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, SchemaMismatch
from ..text import JSONObject
from .checkable import checkable, place_of, validator_of

# So many of the things that are not checked are told.
_SHOWN = 3

if TYPE_CHECKING:
    from pydantic import BaseModel


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


def parse_answer(text: str, schema: JSONObject | None) -> Any:
    """The JSON value of an answer, which fits the schema if there is one.

    Raises:
        SchemaMismatch: It is not JSON or does not fit; the message says where.
    """
    try:
        value = _read(text)
    except ValueError as error:
        problem = f"it is not JSON ({error})" if text.strip() else "it is empty"
        message = f"The answer does not fit the schema: {problem}"
        raise SchemaMismatch(message, "$", str(error)) from error
    except RecursionError as error:
        raise SchemaMismatch("The answer is nested too deeply", "$", str(error)) from error
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
        found = "", "", str(error)
    if found is None:
        return
    if not found[0]:
        _tell(f"The answer was not checked against its schema: {found[2]}")
        return
    raise SchemaMismatch(*found)


def find_mismatch(value: object, schema: JSONObject) -> tuple[str, str, str] | None:
    """What is wrong with a JSON value that does not fit a schema: message, place and reason.

    Where the check itself fails, message and place are empty.
    """
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    checker = validator_of(schema)(schema, registry=Registry())
    try:
        errors = list(checker.iter_errors(value))
    except Unresolvable as error:
        return "", "", f"the schema refers to {error.ref!r}, which is not in it"
    except RecursionError:
        return "", "", "the schema refers to itself without end"
    except Exception as error:  # a schema that contradicts itself can fail in any way
        return "", "", f"{type(error).__name__}: {error}"
    if not errors:
        return None
    first = best_match(errors) or errors[0]
    place = place_of(first.absolute_path)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    text = f"The answer does not fit the schema: {place}: {first.message}{more}"
    return text, place, first.message


def _tell(text: str) -> None:
    """Say a line on stderr, if anybody can hear it."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr)


def parse_model(text: str, schema_class: type[BaseModel]) -> BaseModel:
    """The instance of a pydantic class that an answer describes.

    Raises:
        SchemaMismatch: It is not JSON, or the class refuses it; the message says where.
    """
    from pydantic import ValidationError

    if "NaN" in text or "Infinity" in text:
        # Those that are no texts pydantic would take.
        parse_answer(text, None)
    try:
        return schema_class.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        place, reason = place_of(problem["loc"]), problem["msg"]
        message = f"The answer does not fit {schema_class.__name__}: {place}: {reason}"
        raise SchemaMismatch(message, place, reason) from error
