"""The messages behind some turns, read together: a history that turns share is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...text import JSONObject
from ..file.lookups import AttachmentRow, attachment_rows, decoded, decoded_object, rows_by_ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

MESSAGES = "select hash, parent_hash, role from messages where hash in"
WITH_EARLIER = f"with recursive chain(hash, parent_hash, role) as ({MESSAGES}"
EARLIER = """
  union
  select m.hash, m.parent_hash, m.role from chain join messages m on m.hash = chain.parent_hash)
select hash, parent_hash, role from chain
"""
PARTS = "select message_hash, id, type, text, payload from parts where message_hash in"
PARTS_ORDER = "order by message_hash, position"
METADATA = """
select hash, provider_metadata from messages where provider_metadata is not null and hash in
"""
FRAGMENTS = "select id, content from fragments where id in"

# Parent and role of messages, by hash.
Links = dict[str, tuple["str | None", str]]


class StoredPart(NamedTuple):
    """One stored part: its row number, type, text (fragments filled in) and further fields."""

    id: int
    type: str
    text: str
    payload: JSONObject


class TurnMessages(NamedTuple):
    """Hashes of the messages of a turn: the first of all, its own input, its output."""

    first: str | None
    own: list[str]
    outputs: list[str]


class Chains:
    """The chains of messages of some turns.

    Args:
        conn: A migrated log database.
        ends: Parent and tip hash of each turn.
    """

    def __init__(
        self, conn: sqlite3.Connection, ends: Iterable[tuple[str | None, str | None]]
    ) -> None:
        self._conn = conn
        pairs = set(ends)
        seeds = {end for pair in pairs for end in pair if end is not None}
        self._links = _links_to_first(conn, seeds)
        self._firsts: dict[str, str] = {}
        self._turns = {pair: self._messages_of(*pair) for pair in pairs}
        wanted: set[str] = set()
        for turn in self._turns.values():
            wanted.update(turn.own, turn.outputs)
            if turn.first is not None:
                wanted.add(turn.first)
        self._wanted = wanted
        self._parts = self._load_parts(wanted)
        self._metadata: dict[str, str] | None = None
        self._attachments = attachment_rows(conn, self._attachment_ids())

    def turn(self, parent: str | None, tip: str | None) -> TurnMessages:
        """The messages of the turn with these ends."""
        return self._turns[parent, tip]

    def parts(self, hashes: Iterable[str]) -> Iterator[StoredPart]:
        """All parts of some messages, in order."""
        for message_hash in hashes:
            yield from self._parts.get(message_hash, ())

    def system(self, first: str | None) -> str | None:
        """The system prompt: the text of the first message if that is its role."""
        if first is None or self._links[first][1] != "system":
            return None
        return "".join(part.text for part in self.parts([first]) if part.type == "text")

    def attachment(self, reference: JSONObject) -> JSONObject:
        """A stored reference to an attachment as `--json` shows it."""
        attachment_id = str(reference.get("id"))
        none: AttachmentRow = (attachment_id, None, None, None, None)
        _, kind, path, url, length = self._attachments.get(attachment_id, none)
        return {
            "id": attachment_id,
            "type": reference.get("type") or kind,
            "path": path,
            "url": url,
            "content": True if length else None,
            "content_length": length,
        }

    def as_dicts(self, hashes: list[str], *, metadata: bool) -> list[JSONObject]:
        """Some messages in their dictionary form, for filling in a shortened payload.

        Args:
            hashes: Their addresses.
            metadata: With the metadata of the messages themselves, which few payloads refer to.
        """
        found = self._all_metadata() if metadata else {}
        return [
            {
                "parts": [{"text": part.text, **part.payload} for part in self.parts([h])],
                "provider_metadata": decoded(found.get(h)),
            }
            for h in hashes
        ]

    def _all_metadata(self) -> dict[str, str]:
        if self._metadata is None:
            self._metadata = dict(rows_by_ids(self._conn, METADATA, self._wanted))
        return self._metadata

    def _messages_of(self, parent: str | None, tip: str | None) -> TurnMessages:
        own: list[str] = []
        at = parent
        while at in self._links and self._links[at][1] in ("user", "tool"):
            own.append(at)
            at = self._links[at][0]
        outputs: list[str] = []
        at = tip
        while at in self._links and at != parent:
            outputs.append(at)
            at = self._links[at][0]
        return TurnMessages(self._first(parent), own[::-1], outputs[::-1])

    def _first(self, message_hash: str | None) -> str | None:
        """The beginning of the chain; what was passed on the way remembers it."""
        passed: list[str] = []
        at = message_hash
        while at in self._links and at not in self._firsts:
            passed.append(at)
            at = self._links[at][0]
        if at in self._firsts:
            first = self._firsts[at]
        elif passed:
            first = passed[-1]
        else:
            return None
        self._firsts.update(dict.fromkeys(passed, first))
        return first

    def _load_parts(self, hashes: set[str]) -> dict[str, list[StoredPart]]:
        rows = rows_by_ids(self._conn, PARTS, hashes, PARTS_ORDER)
        payloads = [decoded_object(row[4]) if row[4] else {} for row in rows]
        pieces = [piece for payload in payloads for piece in payload.get("text_ref", ())]
        numbers = {piece["fragment"] for piece in pieces if "fragment" in piece}
        texts: dict[int, str] = {}
        if numbers:
            texts = dict(rows_by_ids(self._conn, FRAGMENTS, numbers))
        parts: dict[str, list[StoredPart]] = {}
        for (message_hash, part_id, kind, text, _), payload in zip(rows, payloads, strict=True):
            if "text_ref" in payload:
                text = "".join(_piece_text(piece, texts) for piece in payload["text_ref"])
            part = StoredPart(part_id, kind, text or "", payload)
            parts.setdefault(message_hash, []).append(part)
        return parts

    def _attachment_ids(self) -> set[str]:
        payloads = [part.payload for parts in self._parts.values() for part in parts]
        references = [ref for payload in payloads for ref in references_of(payload)]
        return {str(reference.get("id")) for reference in references}


def _links_to_first(conn: sqlite3.Connection, hashes: Iterable[str]) -> Links:
    """Some messages and all before them.

    Where whole conversations are read no message is before those, and no chain has to be followed.
    """
    links: Links = {h: (parent, role) for h, parent, role in rows_by_ids(conn, MESSAGES, hashes)}
    earlier = {parent for parent, _ in links.values() if parent and parent not in links}
    for h, parent, role in rows_by_ids(conn, WITH_EARLIER, earlier, EARLIER):
        links[h] = (parent, role)
    return links


def _piece_text(piece: JSONObject, fragments: dict[int, str]) -> str:
    if "literal" in piece:
        return str(piece["literal"])
    return fragments.get(piece["fragment"], "")


def references_of(payload: JSONObject) -> list[JSONObject]:
    """The references to attachments in the further fields of a part."""
    if payload.get("attachment"):
        return [payload["attachment"]]
    return payload.get("attachments") or []
