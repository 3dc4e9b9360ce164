"""Answers that have to fit a JSON schema: checking them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, SchemaMismatch
from ..text import JSONObject

if TYPE_CHECKING:
    from pydantic import BaseModel


def check_schema(schema: JSONObject) -> None:
    """Raise an InvalidInput unless answers can be checked against a schema.

    One that takes more than two seconds to look through is told on stderr, and passes.
    """
    from jsonschema import SchemaError, validators

    from . import limits

    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        with limits.time_limit(limits.LIMIT_S):
            kind.check_schema(schema)
    except SchemaError as error:
        place = _place(error.absolute_path)
        raise InvalidInput(f"Not a valid JSON schema: {place}: {error.message}") from error
    except RecursionError as error:
        raise InvalidInput("Not a valid JSON schema: it is nested too deeply") from error
    except TimeoutError as error:
        _tell(f"The schema was not checked: {error}")


def parse_answer(text: str, schema: JSONObject | None) -> Any:
    """The JSON value of an answer, which fits the schema if there is one.

    Raises:
        SchemaMismatch: It is not JSON or does not fit; the message says where.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        problem = f"it is not JSON ({error})" if text.strip() else "it is empty"
        message = f"The answer does not fit the schema: {problem}"
        raise SchemaMismatch(message, "$", str(error)) from error
    except RecursionError as error:
        raise SchemaMismatch("The answer is nested too deeply", "$", str(error)) from error
    if schema is not None:
        validate(value, schema)
    return value


def validate(value: object, schema: JSONObject) -> None:
    """Check a JSON value against a schema; nothing is fetched, whatever it refers to.

    What takes more than two seconds is told on stderr, and passes.

    Raises:
        SchemaMismatch: The value does not fit; the message says where and why.
    """
    from . import limits

    try:
        if limits.are_quick(limits.patterns_in(schema), value):
            with limits.time_limit(limits.LIMIT_S):
                found = find_mismatch(value, schema)
        else:
            name = find_mismatch.__name__
            found = limits.call_aside(limits.LIMIT_S, __name__, name, [value, schema], [None, {}])
    except OSError as error:
        # The time is up, or no process can be started.
        _tell(f"The answer was not checked against its schema: {error}")
        return
    if found is not None:
        raise SchemaMismatch(*found)


def find_mismatch(value: object, schema: JSONObject) -> tuple[str, str, str] | None:
    """What is wrong with a JSON value that does not fit a schema: message, place and reason."""
    from jsonschema import validators
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    checker = kind(schema, registry=Registry())
    try:
        errors = list(checker.iter_errors(value))
    except Unresolvable as error:
        problem = f"the schema refers to {error.ref!r}, which is not in it"
        return f"The answer cannot be checked: {problem}", "$", str(error)
    except Exception as error:  # a schema that contradicts itself can fail in any way
        reason = f"{type(error).__name__}: {error}"
        return f"The answer cannot be checked: {reason}", "$", reason
    if not errors:
        return None
    first = best_match(errors) or errors[0]
    place = _place(first.absolute_path)
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

    try:
        return schema_class.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        place, reason = _place(problem["loc"]), problem["msg"]
        message = f"The answer does not fit {schema_class.__name__}: {place}: {reason}"
        raise SchemaMismatch(message, place, reason) from error


def _place(path: Iterable[str | int]) -> str:
    """A place in a JSON value, as `$.items[2].name`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "$" + "".join(steps)
