"""JSON schemas: the short notation, ids, summaries."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .._lazy import for_hints
from ..errors import ConfigError, InvalidInput, NotFound
from ..text import JSONObject

if TYPE_CHECKING:
    from sqlite_utils import Database
else:
    for_hints(
        globals(),
        {
            "sqlite_utils": "Database",
        },
    )


class HasSchema(Protocol):
    """A template, or whatever else has a schema."""

    schema_object: JSONObject | None


_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def schema_dsl(text: str, multi: bool = False) -> JSONObject:
    """The JSON schema that the short notation stands for.

    Args:
        text: Fields, separated by newlines if there are any, else by commas. A field is
            `name [type][: description]` with the types `str` (default), `int`, `float`, `bool`.
        multi: A list of such objects, under the key `items`.

    Returns:
        A schema of an object in which every field is required, in the order given.

    Raises:
        ValueError: A type is unknown, a name is missing or comes twice.

    Example:
        >>> schema_dsl("name, age int")["properties"]["age"]
        {'type': 'integer'}
    """
    properties: JSONObject = {}
    for field in text.split("\n" if "\n" in text else ","):
        if not field.strip():
            continue
        name, shape = _field(field.strip())
        if name in properties:
            raise ValueError(f"Invalid schema DSL: duplicate field name {name!r}")
        properties[name] = shape
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return multi_schema(schema) if multi else schema


def _field(field: str) -> tuple[str, dict[str, str]]:
    definition, _, description = field.partition(":")
    words = definition.split()
    if not words:
        raise ValueError(f"Invalid schema DSL: field {field!r} is missing a name before ':'")
    name, kind = (*words, "str")[:2]
    if kind not in _TYPES:
        raise ValueError(f"Invalid schema DSL: unknown type {kind!r} for field {name!r}")
    shape = {"type": _TYPES[kind]}
    if description.strip():
        shape["description"] = description.strip()
    return name, shape


def multi_schema(schema: JSONObject) -> JSONObject:
    """The schema of an object with a list `items` of what `schema` describes."""
    return {
        "type": "object",
        "properties": {"items": {"type": "array", "items": schema}},
        "required": ["items"],
    }


def make_schema_id(schema: JSONObject) -> tuple[str, str]:
    """The id of a schema, and the compact JSON that it is the BLAKE2b-128 hex digest of."""
    compact = json.dumps(schema, separators=(",", ":"))
    return hashlib.blake2b(compact.encode(), digest_size=16).hexdigest(), compact


def schema_summary(schema: JSONObject) -> str:
    """The names in a schema at a glance: `{name, items: [{title, body}]}`."""
    if not isinstance(schema, dict) or not schema:
        return ""
    if schema.get("type") == "array":
        inner = schema_summary(schema.get("items", {}))
        return f"[{inner}]" if inner else ""
    if schema.get("type") != "object":
        return ""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return "{}"
    bits = [
        f"{name}: {inner}" if (inner := schema_summary(shape)) else name
        for name, shape in properties.items()
    ]
    return "{" + ", ".join(bits) + "}"


def resolve_schema_input(
    db: Database, text: str, load_template: Callable[[str], HasSchema]
) -> JSONObject:
    """The schema that a person named.

    Args:
        db: A log database, searched for a schema of that id.
        text: `t:NAME` for a template's schema, JSON, the short notation (with a space or a
            comma), a file of JSON, or the id of a stored schema; tried in this order.
        load_template: Finds a template by name.

    Raises:
        InvalidInput: It is none of these.
        LLMError: The template has no schema, or the file does not hold JSON.
    """
    return resolve_schema(text, load_template, lambda schema_id: _stored_schema(db, schema_id))


def resolve_schema(
    text: str,
    load_template: Callable[[str], HasSchema],
    find_stored: Callable[[str], JSONObject | None],
) -> JSONObject:
    """As `resolve_schema_input`, with a function that finds a stored schema by its id."""
    text = text.strip()
    if text.startswith("t:"):
        schema = load_template(text[2:]).schema_object
        if not schema:
            raise NotFound(f"Template {text[2:]!r} has no schema")
        return schema
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return dict(json.loads(text))
    if any(separator in text for separator in " ,\n"):
        return parse_dsl(text)
    if os.path.isfile(text):
        return _schema_file(Path(text))
    stored = find_stored(text)
    if stored is not None:
        return stored
    raise InvalidInput(
        f"Invalid schema {text!r}: neither JSON, nor a list of fields such as 'name, age int', "
        "nor a file, nor the id of a stored schema (llm schemas lists them)"
    )


def _stored_schema(db: Database, schema_id: str) -> JSONObject | None:
    if not db["schemas"].exists():
        return None
    row = db.execute("select content from schemas where id = ?", [schema_id]).fetchone()
    return _object(row[0]) if row else None


def _object(text: str) -> JSONObject:
    """The object in a text; empty where somebody has written something else there."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return dict(json.loads(text))
    return {}


def parse_dsl(text: str, multi: bool = False) -> JSONObject:
    """As `schema_dsl`, of what the user wrote: an InvalidInput if it is no list of fields."""
    try:
        return schema_dsl(text, multi)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _schema_file(path: Path) -> JSONObject:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise ConfigError(path, f"no JSON schema ({error})", "Name a file of JSON") from error
    if not isinstance(schema, dict):
        raise ConfigError(path, "no JSON schema (not an object)", "Name a file of a JSON object")
    return schema
