"""Writing one turn: what was asked, what was answered, and everything that belongs to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...text.secrets import masked
from ..records.chains import HashedMessage, hash_chain, is_stored, store_chain
from ..records.condense import condensed_json, replacements_for
from ..records.hashing import storable
from ..records.outcome import forget_outcome
from ..records.shared import ensure_fragment, ensure_schema, ensure_tool, ensure_tool_instance

if TYPE_CHECKING:
    import sqlite3

    from ...models.prompt import AnyTool, Prompt
    from ...models.response_base import _BaseResponse
    from ..records.chains import Fragments

_ADD_THREAD = (
    "insert into threads (id, name, tip_message_hash, datetime_utc) values (?, ?, ?, ?)"
    " on conflict (id) do update set tip_message_hash = excluded.tip_message_hash"
)
_KEEP_THREAD = "insert or ignore into threads (id, name, datetime_utc) values (?, ?, ?)"
_LATER_TURN = "select 1 from turns where thread_id = ? and id > ? limit 1"
_ADD_TURN = (
    "insert or ignore into turns (id, thread_id, parent_message_hash, tip_message_hash, model,"
    " resolved_model, options_json, schema_id, input_tokens, output_tokens, token_details,"
    " duration_ms, datetime_utc, response_json)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REMOVE_TURN = (
    "delete from turn_search where turn_id = ?",
    "delete from turn_tools where turn_id = ?",
    "delete from turn_fragments where turn_id = ?",
    "delete from tool_instantiations where turn_id = ?",
    "delete from turns where id = ?",
)
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
_ADD_SEARCH = "insert into turn_search (turn_id, prompt, response) values (?, ?, ?)"


class Turn:
    """One response on its way into the database.

    Everything that takes time and needs no database is done in the constructor, before the write
    lock is taken.

    Args:
        response: A finished response.
        known_tip: Where the part of its chain that is known to be stored ends: the number of
            messages and the address of the last one.
    """

    def __init__(self, response: _BaseResponse, known_tip: tuple[int, str] | None) -> None:
        self.response = response
        self.prompt = response.prompt
        count: int
        self.known: str | None
        count, self.known = known_tip or (0, None)
        self._inputs = hash_chain(self.prompt.full_messages[count:], self.known)
        parent = self._inputs[-1].hash if self._inputs else self.known
        self._outputs = hash_chain(response.output_messages(), parent)
        self.parent = parent
        self.tip = self._outputs[-1].hash if self._outputs else parent
        self._response_json = self._condensed_reply()

    def is_anchored(self, conn: sqlite3.Connection) -> bool:
        """Whether the messages that were not looked at are indeed in this database."""
        return self.known is None or is_stored(conn, self.known)

    def write(self, conn: sqlite3.Connection, thread_id: str, thread_name: str) -> None:
        """Store the turn in the thread, which is made where it does not exist."""
        fragments = self._store_fragments(conn)
        store_chain(conn, self._inputs, _distinct(fragments))
        store_chain(conn, self._outputs)
        self._write_turn(conn, thread_id)
        if fragments:
            self._write_fragments(conn, fragments)
        if self.prompt.tools:
            self._write_tools(conn)
        if self.prompt.tool_results:
            self._write_instantiations(conn)
        self._write_search(conn)
        if self.response.outcome is None or self._is_last(conn, thread_id):
            tip = self._end_of_thread()
            if tip is not None or self.response.outcome is None:
                conn.execute(_ADD_THREAD, (thread_id, thread_name, tip, now_text()))
                return
        conn.execute(_KEEP_THREAD, (thread_id, thread_name, now_text()))

    def _is_last(self, conn: sqlite3.Connection, thread_id: str) -> bool:
        """Whether the thread has not gone on since, which it may while a process lies dead."""
        return conn.execute(_LATER_TURN, (thread_id, self.response.id)).fetchone() is None

    def _end_of_thread(self) -> str | None:
        """Where the thread goes on after this turn; `None` to leave it where it was.

        An answer that says nothing leaves it there, but for the results of tools that were sent:
        the calls were finished and are not run again.
        """
        if self._outputs or self.response.outcome is None:
            return self.tip
        end = None
        for message in self._inputs:
            if message.shape["role"] == "tool" or (end and _brings_only_files(message)):
                end = message.hash
            elif message.shape["role"] == "assistant":
                end = None
        return end

    def _condensed_reply(self) -> str | None:
        payload = self.response.response_json
        if payload is None:
            return None
        replacements = replacements_for(
            [hashed.shape for hashed in self._outputs],
            [(tool.name, tool.description) for tool in self.prompt.tools],
            self.prompt.schema,
            getattr(self.response.model, "json_replacements", None),
        )
        return masked(condensed_json(payload, replacements))

    def _store_fragments(self, conn: sqlite3.Connection) -> list[tuple[int, str, int, str]]:
        """Number, kind, position and text of each fragment of the turn."""
        prompt = self.prompt
        if not (prompt.fragments or prompt.system_fragments):
            return []
        return [
            (ensure_fragment(conn, text), kind, order, storable(text))
            for kind, texts in (("prompt", prompt.fragments), ("system", prompt.system_fragments))
            for order, text in enumerate(texts)
        ]

    def _write_turn(self, conn: sqlite3.Connection, thread_id: str) -> None:
        response = self.response
        options = _options_json(self.prompt)
        details = response.token_details
        schema = self.prompt.schema
        row = (
            response.id,
            thread_id,
            self.parent,
            self.tip,
            response.model.model_id,
            response.resolved_model,
            options,
            ensure_schema(conn, schema) if schema else None,
            response.input_tokens,
            response.output_tokens,
            json.dumps(details, default=str) if details else None,
            response.elapsed_ms(),
            response.started_utc(),
            self._response_json,
        )
        if conn.execute(_ADD_TURN, row).rowcount == 0:
            # The same response logged again: everything of it is written anew.
            for statement in _REMOVE_TURN:
                conn.execute(statement, (response.id,))
            forget_outcome(conn, response.id)
            conn.execute(_ADD_TURN, row)

    def _write_fragments(
        self, conn: sqlite3.Connection, fragments: Iterable[tuple[int, str, int, str]]
    ) -> None:
        turn_id = self.response.id
        for number, kind, order, _ in fragments:
            conn.execute(_ADD_FRAGMENT, (turn_id, number, order, kind))

    def _write_tools(self, conn: sqlite3.Connection) -> None:
        turn_id = self.response.id
        for tool in self.prompt.tools:
            tool_id = ensure_tool(conn, tool)
            conn.execute(_ADD_TOOL, (turn_id, tool_id, _instance_of_tool(conn, tool)))

    def _write_instantiations(self, conn: sqlite3.Connection) -> None:
        for result in self.prompt.tool_results:
            if result.tool_call_id is None:
                continue
            number = _instance_number(conn, result.instance)
            if number is not None:
                row = (self.response.id, result.tool_call_id, number)
                conn.execute(_ADD_INSTANTIATION, row)

    def _write_search(self, conn: sqlite3.Connection) -> None:
        asked = ""
        if self.parent is not None:
            asked = "".join([typed(*row) for row in conn.execute(_USER_TEXTS, (self.parent,))])
        answered = "".join(_texts(self._outputs))
        if asked or answered:
            conn.execute(_ADD_SEARCH, (self.response.id, asked, answered))


def typed(text: str | None, payload: str | None) -> str:
    """What was typed of a stored text part: the text without the fragments in it."""
    if text is not None or not payload:
        return text or ""
    pieces = json.loads(payload).get("text_ref", ())
    return "".join([piece["literal"] for piece in pieces if "literal" in piece])


def now_text() -> str:
    """The present time in UTC as threads keep it."""
    from datetime import datetime, timezone

    return str(datetime.now(timezone.utc))


def _texts(chain: Sequence[HashedMessage]) -> list[str]:
    return [
        part["text"]
        for hashed in chain
        if hashed.shape["role"] == "assistant"
        for part in hashed.shape["parts"]
        if part["type"] == "text"
    ]


def _distinct(fragments: Iterable[tuple[int, str, int, str]]) -> Fragments:
    return list({number: (number, text) for number, _, _, text in fragments}.values())


def _options_json(prompt: Prompt) -> str | None:
    from ...models.options import option_values

    options = option_values(prompt)
    return masked(json.dumps(options, default=str)) if options else None


def _instance_of_tool(conn: sqlite3.Connection, tool: AnyTool) -> int | None:
    from ...tools.tool import ServerSideTool

    if isinstance(tool, ServerSideTool):
        return _instance_number(conn, tool)
    return _instance_number(conn, getattr(tool.implementation, "__self__", None))


def _brings_only_files(message: HashedMessage) -> bool:
    """Whether a message follows the results of tools because they have attachments."""
    parts = message.shape["parts"]
    return message.shape["role"] == "user" and all(part["type"] == "attachment" for part in parts)


def _instance_number(conn: sqlite3.Connection, instance: Any) -> int | None:
    """The stored row of a toolbox or provider tool, `None` for what has no configuration."""
    arguments = getattr(instance, "_config", None)
    if not isinstance(arguments, dict):
        return None
    plugin = getattr(instance, "plugin", None)
    return ensure_tool_instance(conn, type(instance).__name__, plugin, arguments)
