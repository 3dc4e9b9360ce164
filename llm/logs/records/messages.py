"""Stored messages, read in one way: to be sent on, to be listed, to be hashed again.

A message is a row of `messages` with its rows of `parts`. What parts refer to, the texts of
fragments and the attachments, is read for many of them together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ...text import JSONObject
from ..file.lookups import batches, decoded_object, rows_by_ids

if TYPE_CHECKING:
    import sqlite3

    from ...parts import Message, Part, Role
    from ...serialization import PartDict
    from ..file.lookups import SQLRow

    AttachmentRow = tuple[str, str | None, str | None, str | None, int | None]

_COLUMNS = "hash, parent_hash, role, provider_metadata, parts.id, type, text, payload"
_MESSAGES = f"""
select {_COLUMNS} from messages left join parts on message_hash = hash where hash in
"""
_MESSAGES_ORDER = "order by hash, position"
# From a message back to the first one, or to the one behind another; oldest first.
_CHAIN = f"""
with recursive chain (hash, parent_hash, role, provider_metadata, distance) as (
    select hash, parent_hash, role, provider_metadata, 0 from messages where hash = ?
    union all
    select messages.hash, messages.parent_hash, messages.role, messages.provider_metadata,
        chain.distance + 1
    from chain join messages on messages.hash = chain.parent_hash
    where chain.parent_hash is not ?
)
select {_COLUMNS} from chain left join parts on message_hash = hash order by distance desc, position
"""
_FRAGMENTS = "select id, content from fragments where id in"
_ATTACHMENTS = "select id, type, path, url, nullif(length(content), 0) from attachments where id in"
_CONTENTS = "select id, content from attachments where id in"
# Only what tells how messages are linked.
_LINKS = "select hash, parent_hash, role from messages where hash in"
_LINKS_BACK = f"with recursive chain(hash, parent_hash, role) as ({_LINKS}"
_TO_THE_FIRST = """
  union
  select m.hash, m.parent_hash, m.role from chain join messages m on m.hash = chain.parent_hash)
select hash, parent_hash, role from chain
"""
_UNANSWERED = """
select tip_message_hash from turns where tip_message_hash = parent_message_hash
and tip_message_hash in
"""
# A thread that goes on with what an older release logged has the messages that this had sent.
_UNANSWERED_BEFORE = """
select message_hash from parts join responses on prompt = text and ifnull(response, '') = ''
where type = 'text' and message_hash in
"""
_PARTS = "select message_hash, id, type, text, payload from parts where message_hash in"
_PARTS_ORDER = "order by message_hash, position"
_METADATA = """
select hash, provider_metadata from messages where provider_metadata is not null and hash in
"""
_WITH_TEXT = ("text", "reasoning")
# Most parts have no further fields; one object for all is made, and looked through, sooner.
_NO_PAYLOAD: JSONObject = {}
_BATCH = 200


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
    provider_metadata: JSONObject | None
    parts: list[PartRow]


class StoredMessage(NamedTuple):
    """A message read from a chain, with its address and that of its predecessor."""

    hash: str
    parent_hash: str | None
    message: Message


def _message(role: str, parts: list[Part], metadata: JSONObject | None) -> Message:
    """A message of whatever role another program, or a later release, has written."""
    from ...parts import Message

    message = Message("user", parts, metadata)
    message.role = cast("Role", role)
    return message


class References(NamedTuple):
    """What stored parts refer to: texts of fragments by number, rows of attachments by id."""

    fragments: Mapping[int, str]
    attachments: Mapping[str, AttachmentRow]
    #: The numbers of fragments that were deleted.
    missing: Set[int]


# Rows


def load_chain(
    conn: sqlite3.Connection, tip: str | None, after: str | None = None
) -> list[MessageRow]:
    """The messages from the first one, or the one behind address `after`, to the one at `tip`.

    Raises:
        KeyError: `tip`, or a message before it, is not stored.
    """
    if tip is None or tip == after:
        return []
    found = _grouped(conn.execute(_CHAIN, [tip, after]))
    missing = found[0].parent_hash if found else tip
    if missing is not None and missing != after:
        raise KeyError(missing)
    return found


def load_rows(conn: sqlite3.Connection, hashes: Iterable[str]) -> list[MessageRow]:
    """Some messages, in no order."""
    return _grouped(rows_by_ids(conn, _MESSAGES, hashes, _MESSAGES_ORDER))


def _grouped(rows: Iterable[SQLRow]) -> list[MessageRow]:
    """The messages of rows, each of which has one part."""
    found: list[MessageRow] = []
    parts: list[PartRow] = []
    last = None
    for key, parent, role, metadata, number, kind, text, payload in rows:
        if key != last:
            last, parts = key, []
            about = decoded_object(metadata) or None if metadata else None
            found.append(MessageRow(key, parent, role, about, parts))
        if number is not None:
            more = payload_of(payload) if payload else _NO_PAYLOAD
            parts.append(PartRow(number, kind, text, more))
    return found


def load_references(conn: sqlite3.Connection, parts: Iterable[PartRow]) -> References:
    """What some parts refer to; of the bytes of attachments only their number is read."""
    payloads = [part.payload for part in parts if part.payload]
    keys = {str(ref.get("id")) for payload in payloads for ref in attachments_in(payload)}
    pieces = [piece for payload in payloads for piece in payload.get("text_ref", ())]
    numbers = {piece["fragment"] for piece in pieces if "fragment" in piece}
    fragments: dict[int, str] = dict(rows_by_ids(conn, _FRAGMENTS, numbers))
    attachments = {row[0]: row for row in rows_by_ids(conn, _ATTACHMENTS, keys)}
    return References(fragments, attachments, numbers - fragments.keys())


def payload_of(text: object) -> JSONObject:
    """The further fields of a part, without references that refer to nothing that there can be."""
    payload = decoded_object(text)
    if not payload.keys().isdisjoint(_REFERENCES):
        for key, is_valid in _REFERENCES.items():
            if key in payload and not is_valid(payload[key]):
                del payload[key]
    return payload


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _is_piece(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    literal, number = value.get("literal"), value.get("fragment")
    return isinstance(literal, str) if "literal" in value else isinstance(number, int)


_REFERENCES: Mapping[str, Callable[[Any], bool]] = {
    "attachment": _is_file,
    "attachments": lambda value: isinstance(value, list) and all(map(_is_file, value)),
    "text_ref": lambda value: isinstance(value, list) and all(map(_is_piece, value)),
}


def parts_of(rows: Iterable[MessageRow]) -> Iterator[PartRow]:
    """The parts of some messages."""
    return chain.from_iterable(row.parts for row in rows)


def attachments_in(payload: JSONObject) -> Sequence[JSONObject]:
    """The references to attachments in the further fields of a part."""
    if payload.get("attachment"):
        return [payload["attachment"]]
    return payload.get("attachments") or ()


def full_text(part: PartRow, fragments: Mapping[int, str]) -> str | None:
    """The text of a part with its fragments filled in; `None` where it has no text."""
    if "text_ref" not in part.payload:
        return part.text
    return "".join(
        piece["literal"] if "literal" in piece else fragments.get(piece["fragment"], "")
        for piece in part.payload["text_ref"]
    )


def joined_text(parts: Iterable[PartRow], kind: str = "text") -> str:
    """The texts of the parts of one type."""
    return "".join([part.text or "" for part in parts if part.type == kind])


# The form that is hashed


def load_shapes(conn: sqlite3.Connection, rows: Sequence[MessageRow]) -> list[JSONObject]:
    """Stored messages in the form that their addresses are made of.

    No attached file is looked at: the bytes of an attachment enter the address with their digest,
    which is the id that it is stored under.
    """
    references = load_references(conn, parts_of(rows))
    return [shape_of(row, references) for row in rows]


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
    shape.pop("text_ref", None)
    if part.type in _WITH_TEXT:
        shape["text"] = full_text(part, references.fragments) or ""
    if shape.get("attachment"):
        shape["attachment"] = _typed(shape["attachment"], references)
    if shape.get("attachments"):
        shape["attachments"] = [_typed(item, references) for item in shape["attachments"]]
    return shape


def _typed(reference: JSONObject, references: References) -> JSONObject:
    key = reference["id"]
    row = references.attachments.get(key)
    return {"id": key, "type": reference.get("type", row and row[1])}


# The objects that are sent on


def load_messages(
    conn: sqlite3.Connection, tip: str | None, after: str | None = None
) -> list[StoredMessage]:
    """As `load_chain`, with the messages as objects."""
    return _stored_messages(conn, load_chain(conn, tip, after))


def load_each(conn: sqlite3.Connection) -> Iterator[StoredMessage]:
    """Every message of the database in the order of storing, a few at a time."""
    keys = [row[0] for row in conn.execute("select hash from messages order by rowid")]
    for some in batches(keys, _BATCH):
        rows = {row.hash: row for row in load_rows(conn, some)}
        yield from _stored_messages(conn, [rows[key] for key in some])


def _stored_messages(conn: sqlite3.Connection, rows: Sequence[MessageRow]) -> list[StoredMessage]:
    # Here: a listing needs rows only, and starts sooner without them.
    from ...parts import TextPart

    references = load_references(conn, parts_of(rows))
    for number in references.missing:
        warnings.warn(
            f"Fragment {number} was deleted: its text is missing in a stored message",
            stacklevel=2,
        )
    contents: dict[str, bytes | None] = dict(rows_by_ids(conn, _CONTENTS, references.attachments))
    return [
        StoredMessage(
            row.hash,
            row.parent_hash,
            _message(
                row.role,
                [
                    # Most parts are no more than their text.
                    TextPart(part.text or "")
                    if part.type == "text" and not part.payload
                    else _part(part, references, contents)
                    for part in row.parts
                ],
                row.provider_metadata,
            ),
        )
        for row in rows
    ]


def _part(row: PartRow, references: References, contents: Mapping[str, bytes | None]) -> Part:
    """The part with its attachments; with their ids and types only where their rows are gone."""
    from ...parts import AttachmentPart, Part, TextPart, ToolResultPart

    shape = _part_shape(row, references)
    for key in ("attachment", "attachments"):
        if not shape.get(key):
            shape.pop(key, None)
    try:
        part = Part.from_dict(cast("PartDict", shape))
    except (TypeError, ValueError):
        # A call without a name, say: what is left of it is its text.
        return TextPart(row.text or "")
    files = part.attachments if isinstance(part, ToolResultPart) else []
    if isinstance(part, AttachmentPart) and part.attachment is not None:
        files = [part.attachment]
    for file in files:
        key = str(file.known_id)
        _, _, file.path, file.url, _ = references.attachments.get(key, _no_attachment(key))
        file.content = contents.get(key)
    return part


def _no_attachment(key: str) -> AttachmentRow:
    return (key, None, None, None, None)


# The messages of many turns


class TurnMessages(NamedTuple):
    """Hashes of the messages of a turn: with the system prompt, its own input, its output."""

    system: str | None
    own: list[str]
    outputs: list[str]


class Chains:
    """The chains of messages of some turns, read together: a history that they share is read once.

    The `ends` of a turn are its parent and its tip.
    """

    def __init__(
        self, conn: sqlite3.Connection, ends: Iterable[tuple[str | None, str | None]]
    ) -> None:
        self._conn = conn
        pairs = set(ends)
        self._links = _links_to_first(conn, {end for pair in pairs for end in pair})
        self._unanswered = self._ends_of_unanswered(pairs)
        self._firsts: dict[str, str] = {}
        self._turns = {pair: self._messages_of(*pair) for pair in pairs}
        turns = self._turns.values()
        wanted = {key for turn in turns for key in (turn.system, *turn.own, *turn.outputs)}
        self._parts: dict[str, list[PartRow]] = {}
        for key, number, kind, text, payload in rows_by_ids(conn, _PARTS, wanted, _PARTS_ORDER):
            more = payload_of(payload) if payload else _NO_PAYLOAD
            self._parts.setdefault(key, []).append(PartRow(number, kind, text, more))
        self._references = load_references(conn, chain.from_iterable(self._parts.values()))

    def turn(self, parent: str | None, tip: str | None) -> TurnMessages:
        """The messages of the turn with these ends."""
        return self._turns[parent, tip]

    def parts(self, hashes: Iterable[str]) -> list[PartRow]:
        """All parts of some messages, in order, with the texts of their fragments."""
        fragments = self._references.fragments
        return [
            part._replace(text=full_text(part, fragments)) if "text_ref" in part.payload else part
            for key in hashes
            for part in self._parts.get(key, ())
        ]

    def attachment(self, reference: JSONObject) -> JSONObject:
        """A stored reference to an attachment as `--json` shows it."""
        key = str(reference.get("id"))
        _, kind, path, url, length = self._references.attachments.get(key, _no_attachment(key))
        return {
            "id": key,
            "type": reference.get("type") or kind,
            "path": path,
            "url": url,
            "content": True if length else None,
            "content_length": length,
        }

    def as_dicts(self, hashes: Sequence[str], *, metadata: bool) -> list[JSONObject]:
        """Some messages in their dictionary form, for filling in a shortened payload.

        Few payloads refer to the `metadata` of the messages themselves.
        """
        known = hashes if metadata else ()
        found: dict[str, str] = dict(rows_by_ids(self._conn, _METADATA, known))
        return [
            {
                "parts": [{"text": part.text, **part.payload} for part in self.parts([key])],
                "provider_metadata": decoded_object(found.get(key)) or None,
            }
            for key in hashes
        ]

    def _messages_of(self, parent: str | None, tip: str | None) -> TurnMessages:
        links = self._links
        own: list[str] = []
        at = parent
        while at in links and links[at][1] in ("user", "tool"):
            if own and at in self._unanswered:
                break
            own.append(at)
            at = links[at][0]
        outputs: list[str] = []
        at = tip
        while at in links and at != parent:
            outputs.append(at)
            at = links[at][0]
        first = self._first(parent)
        has_system = first is not None and links[first][1] == "system"
        return TurnMessages(first if has_system else None, own[::-1], outputs[::-1])

    def _ends_of_unanswered(self, pairs: Iterable[tuple[str | None, str | None]]) -> set[str]:
        """Those messages before the last that turns were given with which an unanswered one ended.

        They belong to that turn, and not to the input of the next.
        """
        links = self._links
        before = {links[parent][0] for parent, _ in pairs if parent in links}
        asked = [key for key in before if key in links and links[key][1] in ("user", "tool")]
        selects = (_UNANSWERED, _UNANSWERED_BEFORE) if asked else ()
        return {key for sql in selects for (key,) in rows_by_ids(self._conn, sql, asked)}

    def _first(self, message_hash: str | None) -> str | None:
        """The beginning of the chain; what was passed on the way remembers it."""
        passed: list[str] = []
        at = message_hash
        while at in self._links and at not in self._firsts:
            passed.append(at)
            at = self._links[at][0]
        first = self._firsts.get(at or "", passed[-1] if passed else None)
        if first is not None:
            self._firsts.update(dict.fromkeys(passed, first))
        return first


def _links_to_first(
    conn: sqlite3.Connection, hashes: Iterable[str | None]
) -> dict[str, tuple[str | None, str]]:
    """Parent and role of some messages and of all before them, by hash.

    Where whole conversations are read no message is before those, and no chain has to be followed.
    """
    links = {h: (parent, role) for h, parent, role in rows_by_ids(conn, _LINKS, hashes)}
    earlier = {parent for parent, _ in links.values() if parent and parent not in links}
    for h, parent, role in rows_by_ids(conn, _LINKS_BACK, earlier, _TO_THE_FIRST):
        links[h] = (parent, role)
    return links
