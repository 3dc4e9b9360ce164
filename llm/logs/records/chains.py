"""Chains of messages: each is stored once, by its content address, and knows its predecessor."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ...content import Attachment
from ...parts import AttachmentPart, Message, Part, TextPart, ToolResultPart
from ...text import JSONObject
from ...text.long_json import slices
from ..file.lookups import rows_by_ids
from .hashing import address, cleaned, referenced
from .shared import add_attachment, ensure_fragment

if TYPE_CHECKING:
    import sqlite3

    from ...serialization import PartDict

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
_CHAIN = """
with recursive chain (hash, parent_hash, role, provider_metadata, distance) as (
    select hash, parent_hash, role, provider_metadata, 0 from messages where hash = ?
    union all
    select messages.hash, messages.parent_hash, messages.role, messages.provider_metadata,
        chain.distance + 1
    from chain join messages on messages.hash = chain.parent_hash
    where chain.parent_hash is not ?
)
select chain.hash, chain.parent_hash, chain.role, chain.provider_metadata,
    parts.type, parts.text, parts.payload
from chain left join parts on parts.message_hash = chain.hash
order by chain.distance desc, parts.position
"""


class HashedMessage(NamedTuple):
    """A message with its address, in the form in which it is stored."""

    hash: str
    parent_hash: str | None
    shape: JSONObject
    attachments: list[Attachment]


class StoredMessage(NamedTuple):
    """A message read from a chain, with its address and that of its predecessor."""

    hash: str
    parent_hash: str | None
    message: Message


def hash_chain(messages: Iterable[Message], parent: str | None) -> list[HashedMessage]:
    """`messages` with their addresses, as successors of the message at `parent`."""
    chain: list[HashedMessage] = []
    for message in messages:
        shape, attachments = referenced(message)
        shape = cleaned(shape)
        hashed = HashedMessage(address(shape, parent), parent, shape, attachments)
        chain.append(hashed)
        parent = hashed.hash
    return chain


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
        _store_message(conn, hashed, fragments)


def _store_message(conn: sqlite3.Connection, hashed: HashedMessage, fragments: Fragments) -> None:
    shape = hashed.shape
    metadata = shape.get("provider_metadata")
    metadata_json = None if metadata is None else json.dumps(metadata, default=str)
    conn.execute(_ADD_MESSAGE, (hashed.hash, hashed.parent_hash, shape["role"], metadata_json))
    attachments = iter(hashed.attachments)
    for position, part in enumerate(shape["parts"]):
        _store_part(conn, hashed.hash, position, part, attachments, fragments)


def _store_part(
    conn: sqlite3.Connection,
    message_hash: str,
    position: int,
    part: Mapping[str, Any],
    attachments: Iterator[Attachment],
    fragments: Fragments,
) -> None:
    payload = dict(part)
    kind = payload.pop("type")
    text: str | None = payload.pop("text", None)
    pieces = split_by_fragments(text, fragments) if text and fragments else []
    if text and not pieces and len(text) > LONG_PART:
        pieces = _in_slices(conn, text)
    if pieces:
        text, payload = None, {"text_ref": pieces, **payload}
    used = _store_references(conn, payload, attachments)
    payload_json = json.dumps(payload, default=str) if payload else None
    row = (message_hash, position, kind, payload.get("name"), text, payload_json)
    part_id = conn.execute(_ADD_PART, row).lastrowid
    for order, attachment_id in enumerate(used):
        conn.execute(
            "insert into part_attachments values (?, ?, ?)", (part_id, attachment_id, order)
        )
    for order, number in enumerate(p["fragment"] for p in pieces if "fragment" in p):
        conn.execute("insert into part_fragments values (?, ?, ?)", (part_id, number, order))


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


def load_messages(
    conn: sqlite3.Connection, tip: str | None, after: str | None = None
) -> list[StoredMessage]:
    """The messages from the first one to the one at `tip`, in one to three queries.

    Args:
        conn: The database.
        tip: The address of the last message; none gives no messages.
        after: Begin behind the message at this address instead.

    Raises:
        KeyError: `tip`, or a message before it, is not stored.
    """
    if tip is None or tip == after:
        return []
    rows = conn.execute(_CHAIN, [tip, after]).fetchall()
    missing = rows[0][1] if rows else tip
    if missing is not None and missing != after:
        raise KeyError(missing)
    return _stored_messages(conn, rows)


def load_each(conn: sqlite3.Connection) -> Iterator[StoredMessage]:
    """Every message of the database in the order of storing, a few at a time."""
    keys = [row[0] for row in conn.execute("select hash from messages order by rowid")]
    for start in range(0, len(keys), 200):
        rows = rows_by_ids(
            conn,
            "select messages.hash, parent_hash, role, provider_metadata, type, text, payload"
            " from messages left join parts on message_hash = messages.hash"
            " where messages.hash in",
            keys[start : start + 200],
            "order by messages.rowid, position",
        )
        yield from _stored_messages(conn, rows)


def _stored_messages(
    conn: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> list[StoredMessage]:
    payloads = [json.loads(row[6]) if row[6] else {} for row in rows]
    sources = _Sources(conn, payloads)
    stored: list[StoredMessage] = []
    for (key, parent, role, metadata), group in groupby(
        zip(rows, payloads, strict=True), key=lambda pair: pair[0][:4]
    ):
        parts = [sources.part(row[4], row[5], payload) for row, payload in group if row[4]]
        message = Message(role, parts, json.loads(metadata) if metadata else None)
        stored.append(StoredMessage(key, parent, message))
    return stored


class _Sources:
    """The fragments and attachments that some stored parts refer to."""

    def __init__(self, conn: sqlite3.Connection, payloads: Iterable[Mapping[str, Any]]) -> None:
        numbers: set[int] = set()
        keys: set[str] = set()
        for payload in payloads:
            numbers.update(p["fragment"] for p in payload.get("text_ref", ()) if "fragment" in p)
            keys.update(reference["id"] for reference in _references(payload))
        found = rows_by_ids(conn, "select id, content from fragments where id in", numbers)
        self._fragments: dict[int, str] = dict(found)
        columns = "id, type, path, url, content"
        self._attachments = {
            row[0]: row
            for row in rows_by_ids(conn, f"select {columns} from attachments where id in", keys)
        }

    def part(self, kind: str, text: str | None, payload: JSONObject) -> Part:
        """The part of one stored row."""
        if not payload and kind == "text":
            return TextPart(text or "")
        values = dict(payload)
        if "text_ref" in values:
            text = self.text(values.pop("text_ref"))
        references = [self.attachment(reference) for reference in _references(values)]
        values.pop("attachment", None)
        values.pop("attachments", None)
        if kind in ("text", "reasoning"):
            values["text"] = text or ""
        part = Part.from_dict(cast("PartDict", {"type": kind, **values}))
        if isinstance(part, ToolResultPart):
            part.attachments = references
        elif isinstance(part, AttachmentPart) and references:
            part.attachment = references[0]
        return part

    def text(self, pieces: Iterable[Mapping[str, Any]]) -> str:
        """The text of a `text_ref`; a fragment that was deleted is left out, with a warning."""
        texts = []
        for piece in pieces:
            if "fragment" in piece and piece["fragment"] not in self._fragments:
                number = piece["fragment"]
                warnings.warn(
                    f"Fragment {number} was deleted: its text is missing in a stored message",
                    stacklevel=2,
                )
                continue
            texts.append(
                piece["literal"] if "literal" in piece else self._fragments[piece["fragment"]]
            )
        return "".join(texts)

    def attachment(self, reference: Mapping[str, Any]) -> Attachment:
        """The attachment of a stored reference; only its id and type if its row was deleted."""
        row = self._attachments.get(reference["id"], (reference["id"], None, None, None, None))
        kind = reference["type"] if "type" in reference else row[1]
        return Attachment(type=kind, path=row[2], url=row[3], content=row[4], _id=row[0])


def _references(payload: Mapping[str, Any]) -> list[JSONObject]:
    if payload.get("attachment"):
        return [payload["attachment"]]
    return payload.get("attachments") or []
