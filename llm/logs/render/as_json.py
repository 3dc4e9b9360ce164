"""Rows of the log for programs: JSON, and the data that answers to a schema hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from ...text import find_unused_key, truncate_string

if TYPE_CHECKING:
    from ..read.rows import Row

encoded = json.JSONEncoder(default=repr).encode


def truncated_row(row: Row) -> Row:
    """The row with a prompt and response of at most 100 characters, without `*_json` values."""
    short = {k: v for k, v in row.items() if not (k.endswith("_json") and v is not None)}
    for key in ("prompt", "response"):
        short[key] = truncate_string(row[key] or "")
    return short


def json_array(rows: Iterable[Row]) -> Iterator[str]:
    """Pieces of a JSON array with one row after the other, indented by two."""
    return _array((_indented(row, "  ") for row in rows), "[\n  ", ",\n  ", "\n]\n")


def _array(items: Iterable[str], start: str, between: str, end: str) -> Iterator[str]:
    before = start
    for item in items:
        yield before + item
        before = between
    yield "[]\n" if before == start else end


def _indented(value: Any, margin: str) -> str:
    """As `json.dumps(value, indent=2)`, which is made of slow Python generators."""
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if value is None:
        return "null"
    if kind is int:
        return repr(value)
    deeper = f"{margin}  "
    between = f",\n{deeper}"
    if isinstance(value, list):
        items = between.join([_indented(item, deeper) for item in value])
        return f"[\n{deeper}{items}\n{margin}]" if value else "[]"
    if isinstance(value, dict):
        items = between.join(
            [
                f"{encode_basestring_ascii(key)}: {_indented(item, deeper)}"
                for key, item in value.items()
            ]
        )
        return f"{{\n{deeper}{items}\n{margin}}}" if value else "{}"
    return encoded(value)


def data_items(
    rows: Iterable[Row], *, key: str | None = None, ids: bool = False
) -> Iterator[object]:
    """What the responses hold as JSON; a response that is no JSON is left out.

    Args:
        rows: Rows in the shape of `llm logs --json`.
        key: Where a response is an object with a list of objects under this key, give those.
        ids: Add `response_id` and `conversation_id` to each object.
    """
    for row in rows:
        try:
            value = json.loads(row["response"] or "")
        except ValueError:
            continue
        for item in _objects_in(value, key):
            if ids and isinstance(item, dict):
                item[find_unused_key(item, "response_id")] = row["id"]
                item[find_unused_key(item, "conversation_id")] = row["conversation_id"]
            yield item


def _objects_in(value: object, key: str | None) -> list[object]:
    items = value.get(key) if key is not None and isinstance(value, dict) else None
    if isinstance(items, list) and all(isinstance(item, dict) for item in items):
        return items
    return [value]


def data_lines(items: Iterable[object]) -> Iterator[str]:
    """One compact JSON value a line."""
    return (f"{encoded(item)}\n" for item in items)


def data_array(items: Iterable[object]) -> Iterator[str]:
    """Pieces of a JSON array with one value a line."""
    return _array(map(encoded, items), "[", ",\n ", "]\n")
