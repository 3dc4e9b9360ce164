"""Rewriting a text in the messages of the log, and moving everything that points to them.

A message that changes gets another address, and so does every message after it: addresses are
made anew from the beginning of each chain on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

from ...content import Fragment
from ...text import JSONObject, conversation_name
from ..file.lookups import batches, json_list
from ..file.migrations import has_table
from ..records.chains import address, is_stored
from ..records.messages import (
    MessageRow,
    PartRow,
    full_text,
    load_references,
    load_rows,
    parts_of,
    payload_of,
    shape_of,
)
from ..records.threads import FORK_SUFFIX
from .scrub import Scrubber

_MATCHING = (
    "select distinct message_hash from parts"
    " where text is not null and scrub_text(text) is not text",
    "select distinct message_hash from parts"
    " where payload is not null and changes_payload(payload)",
    "select hash from messages where provider_metadata is not null"
    " and scrub_json(provider_metadata) is not provider_metadata",
)
_WITH_REFERENCES = "select distinct message_hash from parts where payload like '%\"text_ref\"%'"
_USING = (
    "select message_hash from parts where id in"
    " (select part_id from {table} where {column} in (select value from json_each(?)))"
)
_AFTER = """
with recursive later (hash) as (
    select value from json_each(?)
    union
    select messages.hash from later join messages on messages.parent_hash = later.hash
)
select messages.hash, messages.parent_hash from later join messages on messages.hash = later.hash
"""
_OF_FRAGMENTS = (
    *("part_fragments", "turn_fragments", "prompt_fragments", "system_fragments"),
    "fragment_aliases",
)
_OF_ATTACHMENTS = {
    "part_attachments": "attachment_id",
    "prompt_attachments": "attachment_id",
    "tool_results_attachments": "attachment_id",
    "attachments": "id",
}
# Fields of a part that name something else and are no texts.
_IDENTIFIERS = ("name", "tool_call_id", "attachment")


class MessageRedaction:
    """What has to change in the messages of a log, found on construction.

    Args:
        conn: A migrated database.
        scrubber: The pattern and what is put in its place; installed on `conn`.
    """

    def __init__(self, conn: sqlite3.Connection, scrubber: Scrubber) -> None:
        self._conn = conn
        self._scrubber = scrubber
        # Old addresses to new ones; numbers of fragments to those they are merged into, and the
        # texts of these; names.
        self._moved: dict[str, str] = {}
        self._merged: dict[int, int] = {}
        self._merged_into: dict[int, str] = {}
        self._names: dict[str, str] = {}
        keys = self._keys("select id from attachments")
        self.attachments: set[str] = set(filter(scrubber.pattern.fullmatch, keys))
        # The texts of fragments that change, as they were.
        sql = "select id, content from fragments where scrub_text(content) is not content"
        self.fragments: dict[int, str] = dict(conn.execute(sql).fetchall())
        self.changed: set[str] = set(self._matching())

    def note_names(self, texts: Iterable[tuple[str, str]]) -> None:
        """Remember how a conversation that was named after a text is called from now on."""
        for old, new in texts:
            self._names[conversation_name(old)] = conversation_name(new)

    def apply(self) -> None:
        """Rewrite the messages and fragments, and remove the attachments."""
        later = self._conn.execute(_AFTER, [json_list(self.changed)]).fetchall()
        self._rewrite_fragments()
        for level in _levels(dict(later)):
            for some in batches(level):
                self._rewrite(some)
        self._move_ends()
        gone = json_list(self.attachments)
        for table, column in _OF_ATTACHMENTS.items():
            sql = f"delete from {table} where {column} in (select value from json_each(?))"
            self._conn.execute(sql, [gone])

    def rename_conversations(self) -> None:
        """Name conversations that are called after a rewritten prompt anew."""
        names = {old: new for old, new in self._names.items() if old}

        def renamed(name: str) -> str:
            first = name.replace(FORK_SUFFIX, "")
            # A fork is called like what it was forked from.
            return names[first] + FORK_SUFFIX * name.count(FORK_SUFFIX) if first in names else name

        self._conn.create_function("renamed", 1, renamed)
        sql = "update {} set name = renamed(name) where name is not null and renamed(name) <> name"
        for table in ("threads", "conversations"):
            self._conn.execute(sql.format(table))

    # What matches

    def _keys(self, sql: str, values: Sequence[str] = ()) -> list[str]:
        return [key for (key,) in self._conn.execute(sql, values)]

    def _matching(self) -> Iterator[str]:
        def changes(text: str) -> bool:
            payload = payload_of(text)
            return self._payload(payload) != payload

        self._conn.create_function("changes_payload", 1, changes)
        for sql in _MATCHING:
            yield from self._keys(sql)
        for kind, found in (("fragment", self.fragments), ("attachment", self.attachments)):
            if found:
                sql = _USING.format(table=f"part_{kind}s", column=f"{kind}_id")
                yield from self._keys(sql, [json_list(found)])
        yield from self._matching_across_fragments()

    def _matching_across_fragments(self) -> Iterator[str]:
        """Messages in which a match may begin in a fragment and end behind it."""
        for row in rows_with_texts(self._conn, self._keys(_WITH_REFERENCES)):
            texts = [part.text or "" for part in row.parts]
            if any(self._scrubber.text(text) != text for text in texts):
                yield row.hash

    # How it changes

    def _payload(self, payload: JSONObject) -> JSONObject:
        changed: JSONObject = {}
        for key, value in payload.items():
            if key in _IDENTIFIERS:
                changed[key] = value
            elif key == "text_ref":
                changed[key] = [self._piece(piece) for piece in value]
            elif key == "attachments":
                left = [item for item in value if item["id"] not in self.attachments]
                changed.update({key: left} if left else {})
            else:
                changed[key] = self._scrubber.value(value)
        return changed

    def _piece(self, piece: JSONObject) -> JSONObject:
        if "literal" in piece:
            return {"literal": self._scrubber.text(piece["literal"])}
        return {"fragment": self._merged.get(piece["fragment"], piece["fragment"])}

    def _part(self, part: PartRow, fragments: Mapping[int, str]) -> PartRow:
        if (part.payload.get("attachment") or {}).get("id") in self.attachments:
            return PartRow(part.id, "text", self._scrubber.replacement, {})
        text = None if part.text is None else self._scrubber.text(part.text)
        changed = PartRow(part.id, part.type, text, self._payload(part.payload))
        if "text_ref" not in part.payload:
            return changed
        whole = self._scrubber.text(full_text(part, {**fragments, **self.fragments}) or "")
        if full_text(changed, fragments) == whole:
            return changed
        del changed.payload["text_ref"]
        return changed._replace(text=whole)

    def _rewrite_fragments(self) -> None:
        for number, old in self.fragments.items():
            text = self._scrubber.text(old)
            digest = Fragment(text).id()
            sql = "select id from fragments where hash = ? and id is not ?"
            same = self._conn.execute(sql, [digest, number]).fetchone()
            if same is None:
                sql = "update fragments set content = ?, hash = ? where id = ?"
                self._conn.execute(sql, [text, digest, number])
                continue
            # Two have become equal: the later one is the earlier one from now on.
            self._merged[number] = same[0]
            for table in _OF_FRAGMENTS:
                sql = f"update or replace {table} set fragment_id = ? where fragment_id = ?"
                self._conn.execute(sql, [same[0], number])
            self._conn.execute("delete from fragments where id = ?", [number])
        sql = "select id, content from fragments where id in (select value from json_each(?))"
        self._merged_into.update(self._conn.execute(sql, [json_list(self._merged.values())]))

    # Writing

    def _rewrite(self, hashes: Sequence[str]) -> None:
        rows = load_rows(self._conn, hashes)
        fragments = {**load_references(self._conn, parts_of(rows)).fragments, **self._merged_into}
        rewritten = [self._rewritten(row, fragments) for row in rows]
        references = load_references(self._conn, parts_of(rewritten))
        for row, new in zip(rows, rewritten, strict=True):
            self._write_parts(row, new)
            parent = new.parent_hash
            self._move(row.hash, parent, address(shape_of(new, references), parent))

    def _rewritten(self, row: MessageRow, fragments: Mapping[int, str]) -> MessageRow:
        parent = self._moved.get(row.parent_hash or "", row.parent_hash)
        if row.hash not in self.changed:
            return row._replace(parent_hash=parent)
        return row._replace(
            parent_hash=parent,
            provider_metadata=self._scrubber.value(row.provider_metadata),
            parts=[self._part(part, fragments) for part in row.parts],
        )

    def _write_parts(self, old: MessageRow, new: MessageRow) -> None:
        if new.provider_metadata != old.provider_metadata:
            self._conn.execute(
                "update messages set provider_metadata = ? where hash = ?",
                [json.dumps(new.provider_metadata), old.hash],
            )
        for before, part in zip(old.parts, new.parts, strict=True):
            if part == before:
                continue
            self.note_names([(before.text or "", part.text or "")])
            payload = json.dumps(part.payload) if part.payload else None
            self._conn.execute(
                "update parts set type = ?, text = ?, payload = ? where id = ?",
                [part.type, part.text, payload, part.id],
            )
            if "text_ref" not in part.payload:
                self._conn.execute("delete from part_fragments where part_id = ?", [part.id])

    def _move(self, old: str, parent: str | None, new: str) -> None:
        self._moved[old] = new
        if new != old and is_stored(self._conn, new):
            # It has become equal to another one.
            own = "select id from parts where message_hash = ?"
            for table in ("part_fragments", "part_attachments"):
                self._conn.execute(f"delete from {table} where part_id in ({own})", [old])
            self._conn.execute("delete from parts where message_hash = ?", [old])
            self._conn.execute("delete from messages where hash = ?", [old])
            return
        self._conn.execute(
            "update messages set hash = ?, parent_hash = ? where hash = ?", [new, parent, old]
        )
        self._conn.execute("update parts set message_hash = ? where message_hash = ?", [new, old])

    def _move_ends(self) -> None:
        """Let turns and threads point to where their messages are now."""
        self._conn.create_function("moved", 1, lambda key: self._moved.get(key, key))
        for table, column in (
            ("turns", "parent_message_hash"),
            ("turns", "tip_message_hash"),
            ("threads", "tip_message_hash"),
            ("thread_foreign_messages", "hash"),
        ):
            now = f"moved({column})"
            sql = f"update or replace {table} set {column} = {now} where {now} is not {column}"
            if has_table(self._conn, table):
                self._conn.execute(sql)


def rows_with_texts(conn: sqlite3.Connection, hashes: Sequence[str]) -> Iterator[MessageRow]:
    """Stored messages, with the whole texts of their parts: fragments are filled in."""
    for some in batches(hashes):
        rows = load_rows(conn, some)
        fragments = load_references(conn, parts_of(rows)).fragments
        for row in rows:
            parts = [part._replace(text=full_text(part, fragments)) for part in row.parts]
            yield row._replace(parts=parts)


def _levels(parents: Mapping[str, str | None]) -> Iterator[Sequence[str]]:
    """Addresses in an order in which each message comes after the one before it, in groups."""
    before = {key: parents.keys() & {parent} for key, parent in parents.items()}
    sorter = TopologicalSorter(before)
    sorter.prepare()
    while level := sorter.get_ready():
        yield level
        sorter.done(*level)
