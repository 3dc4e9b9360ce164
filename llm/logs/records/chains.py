"""Chains of messages: each is stored once, by its content address, and knows its predecessor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...text import JSONObject
from ...text.long_json import slices
from ...text.secrets import storable_value
from .hashing import address, referenced
from .shared import add_attachment, ensure_fragment

if TYPE_CHECKING:
    import sqlite3

    from ...content import Attachment
    from ...parts import Message

# A text of more characters is stored in slices.
LONG_PART = 16 << 20

# Number and text of each fragment that may occur in a message.
Fragments = Sequence[tuple[int, str]]

_ADD_MESSAGE = (
    "insert or ignore into messages (hash, parent_hash, role, provider_metadata)"
    " values (?, ?, ?, ?)"
)
_ADD_PART = (
    "insert into parts (message_hash, position, type, tool_name, text, payload)"
    " values (?, ?, ?, ?, ?, ?)"
)
_ADD_ATTACHMENT = "insert into part_attachments values (?, ?, ?)"
_ADD_FRAGMENT = "insert into part_fragments values (?, ?, ?)"


class HashedMessage(NamedTuple):
    """A message with its address, in the form in which it is stored."""

    hash: str
    parent_hash: str | None
    shape: JSONObject
    attachments: list[Attachment]


def hash_chain(messages: Iterable[Message], parent: str | None) -> list[HashedMessage]:
    """`messages` with their addresses, as successors of the message at `parent`."""
    chain: list[HashedMessage] = []
    for message in messages:
        chain.append(hash_message(message, parent))
        parent = chain[-1].hash
    return chain


def hash_message(
    message: Message, parent: str | None, *, trusts_ids: bool = False
) -> HashedMessage:
    """`message` with its address as the successor of the one at `parent`; see `referenced`."""
    shape, attachments = referenced(message, trusts_ids=trusts_ids)
    shape = storable_value(shape)
    return HashedMessage(address(shape, parent), parent, shape, attachments)


def is_stored(conn: sqlite3.Connection, message_hash: str) -> bool:
    """Whether a message, and so its whole history, is in the database."""
    sql = "select 1 from messages where hash = ?"
    return conn.execute(sql, [message_hash]).fetchone() is not None


def store_chain(
    conn: sqlite3.Connection, chain: Sequence[HashedMessage], fragments: Fragments = ()
) -> None:
    """Store those messages of `chain` that are new.

    What is stored of a chain is always its beginning, so the search for the first new message
    starts at the end: a long conversation costs no more than a short one.
    """
    first_new = len(chain)
    while first_new and not is_stored(conn, chain[first_new - 1].hash):
        first_new -= 1
    for hashed in chain[first_new:]:
        store_message(conn, hashed, fragments)


def store_message(conn: sqlite3.Connection, hashed: HashedMessage, fragments: Fragments) -> None:
    """Store a message that is not stored yet."""
    shape = hashed.shape
    metadata = shape.get("provider_metadata")
    metadata_json = None if metadata is None else json.dumps(metadata, default=str)
    conn.execute(_ADD_MESSAGE, (hashed.hash, hashed.parent_hash, shape["role"], metadata_json))
    attachments = iter(hashed.attachments)
    for position, part in enumerate(shape["parts"]):
        payload = dict(part)
        kind, text = payload.pop("type"), payload.pop("text", None)
        pieces = _pieces(conn, text, fragments) if text else []
        if pieces:
            text, payload = None, {"text_ref": pieces, **payload}
        used = _store_references(conn, payload, attachments)
        payload_json = json.dumps(payload, default=str) if payload else None
        row = (hashed.hash, position, kind, payload.get("name"), text, payload_json)
        part_id = conn.execute(_ADD_PART, row).lastrowid
        for order, attachment_id in enumerate(used):
            conn.execute(_ADD_ATTACHMENT, (part_id, attachment_id, order))
        for order, number in enumerate(p["fragment"] for p in pieces if "fragment" in p):
            conn.execute(_ADD_FRAGMENT, (part_id, number, order))


def _pieces(conn: sqlite3.Connection, text: str, fragments: Fragments) -> list[JSONObject]:
    """The pieces that a text is stored as; none where it is stored whole."""
    pieces = split_by_fragments(text, fragments) if fragments else []
    return pieces or (_in_slices(conn, text) if len(text) > LONG_PART else [])


def _in_slices(conn: sqlite3.Connection, text: str) -> list[JSONObject]:
    """A very long text as pieces: its beginning, and fragments.

    SQLite needs two further copies of whatever is written at once.
    """
    start, *others = slices(text)
    return [{"literal": start}, *({"fragment": ensure_fragment(conn, text)} for text in others)]


def _store_references(
    conn: sqlite3.Connection, payload: JSONObject, attachments: Iterator[Attachment]
) -> list[str]:
    """Store the attachments of a part, write the final references, and give their ids."""
    references: list[JSONObject] = []
    if "attachment" in payload:
        payload["attachment"] = add_attachment(conn, next(attachments), payload["attachment"])
        references = [payload["attachment"]]
    elif "attachments" in payload:
        references = [
            add_attachment(conn, next(attachments), item) for item in payload["attachments"]
        ]
        payload["attachments"] = references
    return [reference["id"] for reference in references]


def split_by_fragments(text: str, fragments: Fragments) -> list[JSONObject]:
    """`text` as pieces, `{"fragment": id}` or `{"literal": text}`; empty if no fragment occurs.

    The earliest occurrence wins, among equally early ones the longest.
    """
    pieces: list[JSONObject] = []
    start = 0
    while True:
        found = [
            (at, -len(content), number)
            for number, content in fragments
            if content and (at := text.find(content, start)) >= 0
        ]
        if not found:
            break
        at, minus_length, number = min(found)
        if at > start:
            pieces.append({"literal": text[start:at]})
        pieces.append({"fragment": number})
        start = at - minus_length
    if pieces and start < len(text):
        pieces.append({"literal": text[start:]})
    return pieces
