"""Writing records of turns: what was asked, what was answered, and all that belongs to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ...content import Fragment
from ...text.secrets import masked, said_by, storable, storable_count, storable_value
from ..records.chains import HashedMessage, hash_message, is_stored, store_message
from ..records.condense import condensed_json, replacements_for
from ..records.shared import ensure_definition, ensure_fragment, ensure_schema, ensure_tool_instance

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from ...models.turn_record import Tables
    from ...serialization import InstanceDict, TurnDict

_ADD_THREAD = (
    "insert or ignore into threads (id, name, tip_message_hash, forked_from, datetime_utc)"
    " values (?, ?, ?, ?, ?)"
)
MOVE_THREAD = "update threads set tip_message_hash = ? where id = ?"
_ADD_TURN = (
    "insert or ignore into turns (id, thread_id, parent_message_hash, tip_message_hash, model,"
    " resolved_model, options_json, schema_id, input_tokens, output_tokens, token_details,"
    " duration_ms, datetime_utc, response_json)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND_TURN = "select tip_message_hash from turns where id = ?"
_FIND_THREAD = "select 1 from threads where id = ?"
_THREAD_TIP = "select tip_message_hash from threads where id = ?"
# Whether the chain that ends in one message has another one in it.
_IS_ABOVE = """
with recursive chain (hash) as (
    select ?1
    union all
    select messages.parent_hash from chain join messages on messages.hash = chain.hash
    where chain.hash <> ?2
)
select 1 from chain where hash = ?2 limit 1"""
_OF_TURN = ("turn_search", "turn_tools", "turn_fragments", "tool_instantiations")
_ADD_TOOL = "insert or ignore into turn_tools (turn_id, tool_id, instance_id) values (?, ?, ?)"
_ADD_FRAGMENT = (
    'insert or ignore into turn_fragments (turn_id, fragment_id, "order", kind) values (?, ?, ?, ?)'
)
_ADD_INSTANTIATION = (
    "insert or ignore into tool_instantiations (turn_id, tool_call_id, instance_id)"
    " values (?, ?, ?)"
)
_USER_TEXTS = (
    "select parts.text, parts.payload"
    " from messages join parts on parts.message_hash = messages.hash"
    " where messages.hash = ? and messages.role = 'user' and parts.type = 'text'"
    " order by parts.position"
)


class HashedTables:
    """The tables of some records with the addresses of their messages.

    Args:
        tables: The tables.
        parent: The address of the message before the first ones, which is stored already.
        trusts_ids: Take the ids that attachments came with.
    """

    def __init__(
        self, tables: Tables, parent: str | None = None, *, trusts_ids: bool = False
    ) -> None:
        self.tables = tables
        self.messages: list[HashedMessage] = []
        self._parent = parent
        for message, number in zip(tables.messages, tables.parents, strict=True):
            hashed = hash_message(message, self.address(number), trusts_ids=trusts_ids)
            self.messages.append(hashed)

    def address(self, number: int | None) -> str | None:
        """The address of a message; of the one before the first for `None`."""
        return self._parent if number is None else self.messages[number].hash

    def between(self, start: int | None, end: int | None) -> list[HashedMessage]:
        """The messages behind number `start` up to number `end`."""
        return [self.messages[number] for number in self.tables.between(start, end)]

    def store(self, conn: sqlite3.Connection, first: Iterable[int] = ()) -> dict[int, int]:
        """Store the fragments, and what is new of the messages.

        Args:
            conn: The database.
            first: The numbers of the fragments to store before the others.

        Returns:
            The ids of the fragments in the database, by their numbers.
        """
        fragments: dict[int, tuple[int, str]] = {}
        for number in dict.fromkeys([*first, *range(len(self.tables.fragments))]):
            entry = self.tables.fragments[number]
            content, source = storable(entry["content"]), entry.get("source")
            text = content if source is None else Fragment(content, source)
            fragments[number] = (ensure_fragment(conn, text), content)
        for number in self._new_messages(conn):
            used = self.tables.fragments_in.get(number, ())
            store_message(conn, self.messages[number], [fragments[place] for place in used])
        return {number: fragment_id for number, (fragment_id, _) in fragments.items()}

    def _new_messages(self, conn: sqlite3.Connection) -> list[int]:
        """The numbers of the messages that are not stored.

        With a message all before it are stored, so the search starts at the end: a long
        conversation costs no more than a short one.
        """
        new: list[int] = []
        stored: set[int | None] = set()
        for number in reversed(range(len(self.messages))):
            if number in stored or is_stored(conn, self.messages[number].hash):
                stored.add(self.tables.parents[number])
            else:
                new.append(number)
        return new[::-1]


class TurnWriter:
    """The record of one turn on its way into the database.

    Everything that takes time and needs no database is done in the constructor, before the write
    lock is taken.

    Args:
        turn: The record.
        hashed: What it refers to.
        model_replacements: The model's own `json_replacements`.
    """

    def __init__(
        self,
        turn: TurnDict,
        hashed: HashedTables,
        model_replacements: Mapping[str, object] | None = None,
    ) -> None:
        self.turn = turn
        self.fragments: dict[str, list[int]] = {
            "prompt": turn.get("fragments", []),
            "system": turn.get("system_fragments", []),
        }
        self.parent: str | None = hashed.address(turn["input"])
        self.hashed = hashed
        self._outputs = hashed.between(turn["input"], turn["output"])
        self.tip: str | None = self._outputs[-1].hash if self._outputs else self.parent
        self._tools = [hashed.tables.tools[number] for number in turn.get("tools", ())]
        self._reply = turn.get("condensed_json") or self._condense_reply(model_replacements)

    def _condense_reply(self, model_replacements: Mapping[str, object] | None) -> str | None:
        payload = self.turn.get("response_json")
        if payload is None:
            return None
        replacements = replacements_for(
            [hashed.shape for hashed in self._outputs],
            [(tool["name"], tool["description"]) for tool in self._tools],
            self.turn.get("schema"),
            model_replacements,
        )
        return masked(condensed_json(storable_value(payload), replacements))

    def write(
        self, conn: sqlite3.Connection, thread_id: str, fragment_ids: Mapping[int, int]
    ) -> None:
        """Store the turn in a thread; its messages and fragments are stored already."""
        turn = self.turn
        self._write_row(conn, thread_id)
        for kind, numbers in self.fragments.items():
            for order, number in enumerate(numbers):
                conn.execute(_ADD_FRAGMENT, (turn["id"], fragment_ids[number], order, kind))
        for tool in self._tools:
            instance_id = _ensure_instance(conn, tool.get("instance"))
            conn.execute(_ADD_TOOL, (turn["id"], ensure_definition(conn, tool), instance_id))
        for call_id, instance in turn.get("tool_instances", {}).items():
            instance_id = _ensure_instance(conn, instance)
            conn.execute(_ADD_INSTANTIATION, (turn["id"], call_id, instance_id))
        if "outcome" in turn:
            from ..records.outcome import write_outcome

            write_outcome(conn, turn["id"], turn["outcome"])
        self._write_search(conn)

    def _write_row(self, conn: sqlite3.Connection, thread_id: str) -> None:
        turn = self.turn
        usage = turn.get("usage", {})
        options, schema = storable_value(turn.get("options")), turn.get("schema")
        details, resolved = storable_value(usage.get("details")), turn.get("resolved_model")
        row = (
            turn["id"],
            thread_id,
            self.parent,
            self.tip,
            storable(turn["model"]),
            None if resolved is None else storable(said_by(resolved)),
            json.dumps(options) if options else None,
            ensure_schema(conn, schema) if schema else None,
            storable_count(usage.get("input")),
            storable_count(usage.get("output")),
            json.dumps(details) if details else None,
            turn.get("duration_ms", 0),
            turn.get("datetime_utc", ""),
            self._reply,
        )
        if conn.execute(_ADD_TURN, row).rowcount == 0:
            # The same response logged again: everything of it is written anew.
            for table in _OF_TURN:
                conn.execute(f"delete from {table} where turn_id = ?", (turn["id"],))
            conn.execute("delete from turns where id = ?", (turn["id"],))
            from ..records.outcome import forget_outcome

            forget_outcome(conn, turn["id"])
            conn.execute(_ADD_TURN, row)

    def _write_search(self, conn: sqlite3.Connection) -> None:
        asked = "".join([typed(*row) for row in conn.execute(_USER_TEXTS, (self.parent,))])
        answered = "".join(
            part["text"]
            for hashed in self._outputs
            if hashed.shape["role"] == "assistant"
            for part in hashed.shape["parts"]
            if part["type"] == "text"
        )
        if asked or answered:
            sql = "insert into turn_search (turn_id, prompt, response) values (?, ?, ?)"
            conn.execute(sql, (self.turn["id"], asked, answered))

    def check(self, conn: sqlite3.Connection, thread_id: str) -> None:
        """See to it that the turn and its messages are in the database as they were written."""
        from ..file.db import not_kept
        from ..records.messages import load_messages

        for sql, key in ((_FIND_TURN, self.turn["id"]), (_FIND_THREAD, thread_id)):
            if conn.execute(sql, [key]).fetchone() is None:
                raise not_kept(conn, "the turn")
        tip = conn.execute(_FIND_TURN, [self.turn["id"]]).fetchone()[0]
        try:
            stored = load_messages(conn, self.tip, after=self.hashed.address(None))
        except KeyError:
            raise not_kept(conn, "a message") from None
        if tip != self.tip or any(
            hash_message(message.message, message.parent_hash, trusts_ids=True).hash != message.hash
            for message in stored
        ):
            raise not_kept(conn, "the turn as it is")

    def move_thread(self, conn: sqlite3.Connection, thread_id: str, thread_name: str) -> None:
        """Let the thread, which is made where it does not exist, go on after the turn."""
        is_complete = "outcome" not in self.turn
        if not is_complete and self._is_late(conn, thread_id):
            add_thread(conn, thread_id, thread_name)
            return
        tip = self.tip if is_complete or self._outputs else self._end_of_results()
        is_new = add_thread(conn, thread_id, thread_name, tip)
        if not is_new and (tip is not None or is_complete):
            conn.execute(MOVE_THREAD, (tip, thread_id))

    def _is_late(self, conn: sqlite3.Connection, thread_id: str) -> bool:
        """Whether the thread has gone on without the turn, while its process lay dead.

        A later id alone does not say so: the clock may have been set back since.
        """
        later = "select 1 from turns where thread_id = ? and id > ? limit 1"
        if conn.execute(later, (thread_id, self.turn["id"])).fetchone() is None:
            return False
        (tip,) = conn.execute(_THREAD_TIP, [thread_id]).fetchone() or (None,)
        return tip is not None and conn.execute(_IS_ABOVE, [self.parent, tip]).fetchone() is None

    def _end_of_results(self) -> str | None:
        """Where the thread goes on after an answer that says nothing; `None` for where it was.

        That is behind the results of tools that were sent: the calls were finished and are not run
        again.
        """
        end = None
        for message in self.hashed.between(None, self.turn["input"]):
            role, parts = message.shape["role"], message.shape["parts"]
            # Attachments of results follow them in a message of their own.
            has_only_files = role == "user" and all(part["type"] == "attachment" for part in parts)
            if role == "tool" or (end and has_only_files):
                end = message.hash
            elif role == "assistant":
                end = None
        return end


def typed(text: str | None, payload: str | None) -> str:
    """What was typed of a stored text part: the text without the fragments in it."""
    if text is not None or not payload:
        return text or ""
    from ..records.messages import payload_of

    pieces = payload_of(payload).get("text_ref", ())
    return "".join([piece["literal"] for piece in pieces if "literal" in piece])


def add_thread(
    conn: sqlite3.Connection,
    thread_id: str,
    name: str | None,
    tip: str | None = None,
    forked_from: str | None = None,
    made_utc: str | None = None,
) -> bool:
    """Make a thread, now where no time is given; `False` where there is one of that id."""
    from datetime import datetime, timezone

    made_utc = made_utc or str(datetime.now(timezone.utc))
    row = (thread_id, name and storable(name), tip, forked_from, made_utc)
    return conn.execute(_ADD_THREAD, row).rowcount > 0


def _ensure_instance(conn: sqlite3.Connection, shape: InstanceDict | None) -> int | None:
    if shape is None:
        return None
    return ensure_tool_instance(conn, shape["name"], shape.get("plugin"), shape["arguments"])
