"""Stored messages as rows, and their content addresses without a look at attached files.

The bytes of an attachment enter its message's address with their digest, which is the id it is
stored under: so an address can be made again long after the file is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ...text import JSONObject
from ..file.lookups import decoded, decoded_object, rows_by_ids

if TYPE_CHECKING:
    import sqlite3

_MESSAGES = (
    "select messages.hash, parent_hash, role, provider_metadata, parts.id, type, text, payload"
    " from messages left join parts on message_hash = messages.hash where messages.hash in"
)


class PartRow(NamedTuple):
    """One row of `parts`."""

    id: int
    type: str
    text: str | None
    payload: JSONObject


class MessageRow(NamedTuple):
    """One row of `messages` with its parts."""

    hash: str
    parent_hash: str | None
    role: str
    provider_metadata: Any
    parts: list[PartRow]


class StoredShape(NamedTuple):
    """A stored message in the form that is hashed."""

    hash: str
    parent_hash: str | None
    shape: JSONObject


class References(NamedTuple):
    """What stored parts refer to: texts of fragments, types of attachments."""

    fragments: Mapping[int, str]
    types: Mapping[str, str | None]


def load_rows(conn: sqlite3.Connection, hashes: Iterable[str]) -> list[MessageRow]:
    """Some messages, in no order."""
    rows = rows_by_ids(conn, _MESSAGES, hashes, "order by messages.hash, position")
    found = []
    for (key, parent, role, metadata), group in groupby(rows, key=lambda row: row[:4]):
        parts = [
            PartRow(row[4], row[5], row[6], decoded_object(row[7]))
            for row in group
            if row[4] is not None
        ]
        found.append(MessageRow(key, parent, role, decoded(metadata), parts))
    return found


def load_references(conn: sqlite3.Connection, rows: Iterable[MessageRow]) -> References:
    """What the parts of some messages refer to."""
    numbers: set[int] = set()
    keys: set[str] = set()
    for row in rows:
        for part in row.parts:
            pieces = part.payload.get("text_ref", ())
            numbers.update(piece["fragment"] for piece in pieces if "fragment" in piece)
            keys.update(reference["id"] for reference in attachments_in(part.payload))
    fragments = rows_by_ids(conn, "select id, content from fragments where id in", numbers)
    types = rows_by_ids(conn, "select id, type from attachments where id in", keys)
    return References(dict(fragments), dict(types))


def attachments_in(payload: Mapping[str, Any]) -> Sequence[JSONObject]:
    """The references to attachments in the further fields of a part."""
    if payload.get("attachment"):
        return [payload["attachment"]]
    return payload.get("attachments") or ()


def full_text(part: PartRow, fragments: Mapping[int, str]) -> str | None:
    """The text of a part with its fragments filled in; `None` where it has no text."""
    if "text_ref" not in part.payload:
        return part.text
    pieces = part.payload["text_ref"]
    return "".join(
        piece["literal"] if "literal" in piece else fragments.get(piece["fragment"], "")
        for piece in pieces
    )


def shape_of(row: MessageRow, references: References) -> JSONObject:
    """The form of a message that its address is made of."""
    shape: JSONObject = {
        "role": row.role,
        "parts": [_part_shape(part, references) for part in row.parts],
    }
    if row.provider_metadata:
        shape["provider_metadata"] = row.provider_metadata
    return shape


def _part_shape(part: PartRow, references: References) -> JSONObject:
    shape = {"type": part.type, **part.payload}
    text = full_text(part, references.fragments)
    shape.pop("text_ref", None)
    if part.type in ("text", "reasoning"):
        shape["text"] = text or ""
    if shape.get("attachment"):
        shape["attachment"] = _typed(shape["attachment"], references)
    if shape.get("attachments"):
        shape["attachments"] = [_typed(item, references) for item in shape["attachments"]]
    return shape


def _typed(reference: Mapping[str, Any], references: References) -> JSONObject:
    key = reference["id"]
    kind = reference["type"] if "type" in reference else references.types.get(key)
    return {"id": key, "type": kind}


def stored_shapes(conn: sqlite3.Connection, hashes: Iterable[str]) -> list[StoredShape]:
    """Some stored messages in the form that is hashed, in no order."""
    rows = load_rows(conn, hashes)
    references = load_references(conn, rows)
    return [StoredShape(row.hash, row.parent_hash, shape_of(row, references)) for row in rows]
