"""Chains of messages: each is stored once, by its content address, and knows its predecessor.

The address covers the content and, by its parent, all before it: two messages have the same one
when they and their whole history are equal, whatever model, options or time they belong to.
Attachments enter with the digest of their bytes, never with where they lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NamedTuple

from ...content import Attachment
from ...parts import AttachmentPart, Message, ToolResultPart
from ...text import JSONObject, json_pieces, slices
from ...text.secrets import storable, storable_value
from .shared import add_attachment, ensure_fragment

if TYPE_CHECKING:
    import sqlite3

    from ...parts import Part

HASH_PREFIX = "b2:"

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
).encode
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


# Addresses


def canonical_json(obj: object) -> str:
    """The one JSON text of `obj`: keys sorted, no spaces, non-ASCII kept, numbers as Python writes.

    What JSON cannot express enters as its `str()`.
    """
    try:
        return _encode(obj)
    except TypeError:
        # Keys of several types cannot be sorted; as JSON keys they are all text.
        return _encode(json.loads(json.dumps(obj, default=str, skipkeys=True)))


def content_hash(obj: object) -> str:
    """The address of any JSON value: `b2:` and 32 hexadecimal digits (BLAKE2b, 16 bytes)."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in json_pieces(obj, canonical_json, encode_basestring):
        digest.update(storable(piece).encode("utf-8"))
    return HASH_PREFIX + digest.hexdigest()


def message_hash(message: Message, parent_hash: str | None) -> str:
    """The address of `message` as the successor of the message at `parent_hash`.

    Reads the file of an attachment given by path; never uses the network.
    """
    return address(referenced(message)[0], parent_hash)


def address(shape: JSONObject, parent_hash: str | None) -> str:
    """The address of a message in the form that `referenced` gives it."""
    return content_hash({"parent": parent_hash, "message": shape})


def referenced(
    message: Message, *, trusts_ids: bool = False
) -> tuple[JSONObject, list[Attachment]]:
    """The form of `message` that is hashed, and its attachments in the order of their references.

    A reference, `{"id": ..., "type": ...}`, stands for each; with `trusts_ids` it has the id that
    the attachment came with, and nobody looks at what that is.
    """
    attachments: list[Attachment] = []

    def reference(attachment: Attachment) -> JSONObject:
        attachments.append(attachment)
        if trusts_ids and attachment.known_id is not None:
            return {"id": attachment.known_id, "type": attachment.type}
        return {"id": attachment_digest(attachment), "type": attachment_type(attachment)}

    shape: JSONObject = {
        "role": message.role,
        "parts": [_part_shape(part, reference) for part in message.parts],
    }
    if message.provider_metadata:
        shape["provider_metadata"] = message.provider_metadata
    return shape, attachments


def _part_shape(part: Part, reference: Callable[[Attachment], JSONObject]) -> JSONObject:
    # An empty one holds the place of each attachment: no bytes are encoded for nothing.
    if isinstance(part, AttachmentPart) and part.attachment is not None:
        bare = replace(part, attachment=Attachment()).to_dict()
        return {**bare, "attachment": reference(part.attachment)}
    if isinstance(part, ToolResultPart) and part.attachments:
        bare = replace(part, attachments=[Attachment()]).to_dict()
        return {**bare, "attachments": [reference(item) for item in part.attachments]}
    return dict(part.to_dict())


def attachment_digest(attachment: Attachment) -> str:
    """The SHA-256 of the attachment's bytes, of its URL, or `missing:PATH` for a vanished file.

    It is made anew each time: a file may have changed since the attachment was made.
    """
    try:
        return Attachment(None, attachment.path, attachment.url, attachment.content).id()
    except OSError:
        return f"missing:{attachment.path}"


def attachment_type(attachment: Attachment) -> str | None:
    """The MIME type without asking a server: as given, else by content, else `None`."""
    if attachment.type or (attachment.url and not attachment.path):
        return attachment.type
    try:
        return attachment.resolve_type()
    except (OSError, ValueError):
        return None


# Chains


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
        row = (hashed.hash, position, kind, _text_or_none(payload.get("name")), text, payload_json)
        part_id = conn.execute(_ADD_PART, row).lastrowid
        for order, attachment_id in enumerate(used):
            conn.execute(_ADD_ATTACHMENT, (part_id, attachment_id, order))
        for order, number in enumerate(p["fragment"] for p in pieces if "fragment" in p):
            conn.execute(_ADD_FRAGMENT, (part_id, number, order))


def _text_or_none(name: object) -> str | None:
    """The name of a tool as its column takes it, whatever the service sent."""
    return None if name is None else str(name)


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
