"""`LogStore`: threads of messages, and turns, in one log database."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..._lazy import for_hints
from ...models.turn_record import Tables, record_turn
from ...parts import ToolCallPart
from ...text import conversation_name, new_ulid
from ..file.db import log_errors, odd_triggers, prepare
from ..file.migrations import immediate
from ..records.chains import hash_message, is_stored
from ..records.condense import load_reply
from .turns import MOVE_THREAD, HashedTables, TurnWriter, add_thread

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

    from ...models.response_base import _BaseResponse
    from ...parts import Message
else:
    for_hints(
        globals(),
        {
            "llm.models.response_base": "_BaseResponse",
            "llm.parts": "Message",
            "sqlite3": "",
            "sqlite_utils": "Database",
        },
    )

# Databases seen before: one that was migrated once stays so.
_migrated: WeakSet[Database] = WeakSet()
# Those among them that have triggers which are not ours.
_watched: WeakSet[Database] = WeakSet()


def preload() -> None:
    """Import what logging needs beside this module, where there is time for it."""
    import condense_json  # noqa: F401
    import sqlite_utils  # noqa: F401


class LogStore:
    """Reads and writes the threads, messages and turns of a log database.

    Args:
        db: The database; it is migrated, and its file switched to WAL mode, where needed.

    Raises:
        LogError: The database cannot be migrated.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._conn = db.conn
        if db not in _migrated:
            with log_errors(self, "open"):
                prepare(db.conn, self.path)
                if odd_triggers(db.conn):
                    _watched.add(db)
            _migrated.add(db)

    @property
    def path(self) -> str:
        """The file of the database; empty for one that lives in memory."""
        main = self._conn.execute("pragma database_list").fetchone()
        return str(main[2])

    # Messages

    def ensure_chain(
        self,
        messages: Iterable[Message],
        parent: str | None = None,
        fragments: Iterable[str] | None = None,
    ) -> str | None:
        """Store what is new of `messages`, and give the address of the last one, or `parent`.

        Args:
            messages: The messages, oldest first.
            parent: The address of the message before them.
            fragments: Texts that are stored as fragments, and referred to where they occur.
        """
        tables = Tables()
        end = tables.add_messages(messages)
        numbers = tables.add_fragments(list(fragments or ()), 0)
        hashed = HashedTables(tables, parent)
        with immediate(self._conn):
            hashed.store(self._conn, numbers)
        return hashed.address(end)

    def load_chain(self, tip: str | None) -> list[Message]:
        """The messages from the first one to the one at address `tip`; none for `None`.

        Raises:
            KeyError: `tip`, or a message before it, is not stored.
        """
        from ..records.messages import load_messages

        return [stored.message for stored in load_messages(self._conn, tip)]

    def verify(self) -> list[str]:
        """The addresses of messages whose content does not give that address any more."""
        from ..records.messages import load_each

        return [
            stored.hash
            for stored in load_each(self._conn)
            if hash_message(stored.message, stored.parent_hash).hash != stored.hash
        ]

    def pending_tool_calls(self, tip: str | None) -> list[ToolCallPart]:
        """The calls in the last message of a chain that this side has to answer."""
        return [
            part
            for message in self.load_chain(tip)[-1:]
            for part in message.parts
            if isinstance(part, ToolCallPart) and not part.server_executed
        ]

    # Threads

    def create_thread(
        self,
        name: str | None = None,
        tip: str | None = None,
        forked_from: str | None = None,
        id: str | None = None,
    ) -> str:
        """Make a thread and give its id.

        Args:
            name: Its title.
            tip: The address of its last message.
            forked_from: The id of the thread that it branches off.
            id: Its id; a new one where missing.
        """
        thread_id = id or new_ulid()
        with immediate(self._conn):
            add_thread(self._conn, thread_id, name, tip, forked_from)
        return thread_id

    def ensure_thread(self, id: str, name: str | None = None) -> str:
        """Make the thread `id` unless it exists, and give its id."""
        return self.create_thread(name, id=id)

    def fork(
        self, message_hash_: str, name: str | None = None, forked_from: str | None = None
    ) -> str:
        """Make a thread that goes on from any stored message, and give its id; nothing is copied.

        Raises:
            KeyError: No message has this address.
        """
        if not is_stored(self._conn, message_hash_):
            raise KeyError(message_hash_)
        return self.create_thread(name, tip=message_hash_, forked_from=forked_from)

    def thread_tip(self, thread_id: str) -> str | None:
        """The address of the last message of a thread, `None` for an empty one.

        Raises:
            KeyError: There is no such thread.
        """
        sql = "select tip_message_hash from threads where id = ?"
        row = self._conn.execute(sql, [thread_id]).fetchone()
        if row is None:
            raise KeyError(thread_id)
        tip: str | None = row[0]
        return tip

    def thread_messages(self, thread_id: str) -> list[Message]:
        """The messages of a thread, oldest first; a `KeyError` as from `thread_tip`."""
        return self.load_chain(self.thread_tip(thread_id))

    def append(self, thread_id: str, messages: Iterable[Message]) -> str | None:
        """Add messages at the end of a thread, and give its tip; a `KeyError` as `thread_tip`."""
        with immediate(self._conn):
            tip = self.ensure_chain(messages, self.thread_tip(thread_id))
            self._conn.execute(MOVE_THREAD, (tip, thread_id))
        return tip

    # Turns

    def log(self, response: _BaseResponse, thread_id: str | None = None) -> str:
        """Record a response with its whole history, in one transaction, and give the turn's id.

        Args:
            response: The response; a synchronous one is completed first.
            thread_id: The thread; that of its conversation where missing, or a new one.

        Raises:
            LogError: The database cannot be written.
        """
        force = getattr(response, "_force", None)
        if not response.has_ended and force is not None:
            force()
        count, parent = response.stored_part() or (0, None)
        with log_errors(self, "read"):
            if parent is not None and not is_stored(self._conn, parent):
                # The history was logged elsewhere.
                count, parent = 0, None
        tables = Tables()
        turn = record_turn(response, tables, count)
        replacements = getattr(response.model, "json_replacements", None)
        writer = TurnWriter(turn, HashedTables(tables, parent), replacements)
        thread_id = thread_id or response.thread_id() or new_ulid()
        with log_errors(self, "write to"), immediate(self._conn):
            self.write_turn(writer, thread_id, _thread_name(response))
            if response.conversation is not None:
                _store_changes(self._conn, response.conversation, thread_id)
        if writer.tip is not None:
            count = len(response.prompt.full_messages) + len(response.output_messages())
            response.stored_tip = (count, writer.tip)
        return response.id

    def write_turn(self, writer: TurnWriter, thread_id: str, thread_name: str) -> None:
        """Record a turn at the end of a thread, within the caller's transaction.

        The thread is made, under that name, where it does not exist.

        Raises:
            LogError: The database has triggers, and what they left is not what was written.
        """
        own = chain.from_iterable(writer.fragments.values())
        writer.write(self._conn, thread_id, writer.hashed.store(self._conn, own))
        writer.move_thread(self._conn, thread_id, thread_name)
        if self.db in _watched:
            writer.check(self._conn, thread_id)

    def turn_response_json(self, turn_id: str) -> object:
        """The provider's own form of the answer of a turn, complete; `None` where there is none.

        Raises:
            condense_json.UncondenseError: Something that it refers to is gone.
        """
        return load_reply(self._conn, turn_id)

    def __str__(self) -> str:
        return self.path or "in memory"


def _store_changes(conn: sqlite3.Connection, conversation: Any, thread_id: str) -> None:
    """Keep what has changed of a conversation since it was read from the log, or logged.

    That is its title, and which of its tools somebody else chose.
    """
    if conversation.name:
        if conversation.stored_name not in (None, conversation.name):
            from ..records.threads import rename_conversation

            rename_conversation(conn, thread_id, conversation.name)
        conversation.stored_name = conversation.name
    now, stored = conversation.untrusted_tools, conversation.stored_untrusted
    if now != stored:
        from ..records.outcome import mark_untrusted, unmark_untrusted

        mark_untrusted(conn, thread_id, now - stored)
        unmark_untrusted(conn, thread_id, stored - now)


def _thread_name(response: _BaseResponse) -> str:
    prompt = response.prompt
    name: str | None = getattr(response.conversation, "name", None)
    return name or conversation_name(prompt.prompt or prompt.system or "")
