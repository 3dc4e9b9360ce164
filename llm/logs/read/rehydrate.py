"""Conversations brought back from the log, to be continued.

What the next prompt needs, the messages, is read at once. The earlier responses, as objects, are
made when somebody looks at `conversation.responses`.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

from ...text import JSONObject
from ..file.db import brought_up_to_date, log_errors, open_readonly, shows_any_text
from ..file.migrations import connection_of, needs_migration
from ..file.ownership import path_of
from ..older.legacy import legacy_row, legacy_tool_specs, load_legacy_rows
from ..records.chains import hash_chain
from ..records.messages import StoredMessage, load_messages
from ..records.outcome import read_untrusted
from ..records.threads import (
    find_conversation_id,
    latest_conversation_id,
    model_of_conversation,
)
from .provenance import mark_strangers
from .rows import add_tools, turn_rows
from .turn_records import StoredTables, history_after, record_rows, restore_responses

if TYPE_CHECKING:
    from pathlib import Path

    from sqlite_utils import Database

    from ...models.async_response import AsyncResponse
    from ...models.base import _BaseModel
    from ...models.conversation import AsyncConversation, Conversation
    from ...models.response import Response
    from ...models.response_base import _BaseResponse
    from ...parts import Message
    from ...serialization import TurnDict

    Source: TypeAlias = Union[str, Path, Database, sqlite3.Connection]

_THREAD = "select name, tip_message_hash, forked_from from threads where id = ?"
_TURN_ENDS = "select id, tip_message_hash from turns where thread_id = ? order by id"


@dataclass
class StoredConversation:
    """What the log holds of one conversation."""

    id: str
    name: str | None = None
    tip: str | None = None
    forked_from: str | None = None
    chain: list[StoredMessage] = field(default_factory=list)
    #: The address of the last message of each turn, by the turn's id.
    turns: dict[str, str | None] = field(default_factory=dict)
    legacy: list[JSONObject] = field(default_factory=list)


def load_conversation(
    source: Source,
    conversation_id: str | None,
    *,
    async_: bool = False,
    model: _BaseModel | None = None,
    may_change: bool = True,
    tell: Callable[[str], object] = warnings.warn,
) -> Conversation | AsyncConversation | None:
    """A conversation from the log, with its whole history, ready for the next prompt.

    Where the file of an attachment is gone, or has changed since, there is a note in its place.

    Args:
        source: The file, or an open database.
        conversation_id: Its id or title, or an unambiguous beginning of either; the conversation
            used last where it is `None`.
        async_: Make an `AsyncConversation`.
        model: The model to go on with; the one that answered last where missing.
        may_change: Migrate a file of an older release, which is read through a copy otherwise.
        tell: Is told of each attachment that is not what it was.

    Returns:
        The conversation; `None` where there is none of that id, or none at all.

    Raises:
        LogError: The file cannot be read.
        NotFound: The beginning is that of several conversations.
        UnknownModelError: `model` is missing, and the one that answered last is not installed.
    """
    if isinstance(source, (str, os.PathLike)) and not os.path.exists(source):
        return None
    with _reading(source, may_change) as conn:
        name = conversation_id
        found = find_conversation_id(conn, name) if name else latest_conversation_id(conn)
        stored = None if found is None else read_conversation(conn, found)
        if stored is None:
            return None
        if model is None:
            model = _get_model(model_of_conversation(conn, stored.id), async_)
        reading = partial(_reading, source, may_change)
        # A file of an older release may be read through a copy in memory.
        path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else path_of(conn)
        found_there = _assemble(conn, reading, path, stored, model, async_)
    from .gone_files import replace_gone

    for problem in replace_gone(found_there.loaded_messages or ()):
        tell(f"{problem}: the conversation goes on with a note in its place")
    return found_there


def response_from_row(
    db: Database, row: Mapping[str, object], *, async_: bool = False
) -> Response | AsyncResponse:
    """The response of one row of the `responses` table, without what was said before it.

    Raises:
        UnknownModelError: The model of the row is not installed.
    """
    conn = connection_of(db)
    tables = StoredTables(conn)
    turns = record_rows([], [legacy_row(conn, row)], tables)
    [response] = restore_responses(turns, tables, _get_model(str(row["model"]), async_), None)
    return cast("Response | AsyncResponse", response)


@contextmanager
def _reading(source: Source, may_change: bool) -> Iterator[sqlite3.Connection]:
    """A connection to read from, which is closed afterwards if it was made here."""
    if not isinstance(source, (str, os.PathLike)):
        yield connection_of(source)
        return
    conn = open_readonly(source)
    if needs_migration(conn):
        conn = brought_up_to_date(source, conn, may_change=may_change)
    with closing(conn), log_errors(source, "read"):
        yield shows_any_text(conn)


def _get_model(model_id: str | None, async_: bool) -> _BaseModel:
    import llm

    found: _BaseModel = llm.get_async_model(model_id) if async_ else llm.get_model(model_id)
    return found


def read_conversation(conn: sqlite3.Connection, conversation_id: str) -> StoredConversation | None:
    """What the log holds of a conversation, apart from what `responses` alone needs."""
    stored = StoredConversation(conversation_id)
    sql = "select name from conversations where id = ?"
    row = conn.execute(sql, [conversation_id]).fetchone()
    thread = conn.execute(_THREAD, [conversation_id]).fetchone()
    if row is None and thread is None:
        return None
    if thread is not None:
        stored.name, stored.tip, stored.forked_from = thread
        stored.chain = load_messages(conn, stored.tip)
        stored.turns = dict(conn.execute(_TURN_ENDS, [conversation_id]).fetchall())
    if row is not None:
        stored.name = row[0] or stored.name
        stored.legacy = load_legacy_rows(conn, conversation_id)
    return stored


def _assemble(
    conn: sqlite3.Connection,
    reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
    path: str,
    stored: StoredConversation,
    model: _BaseModel,
    async_: bool,
) -> Conversation | AsyncConversation:
    from ...models.conversation import AsyncConversation, Conversation

    messages, is_as_stored = merged_messages(conn, stored)
    first = with_turns(conn, stored)
    server_side = {tool.__name__ for tool in model.supported_server_side_tools}
    make = AsyncConversation if async_ else Conversation
    conversation: Any = make(
        model=model,
        id=stored.id,
        name=stored.name,
        loaded_messages=messages,
        loaded_tools=tool_specs(conn, first, server_side),
    )
    conversation.stored_name = stored.name or ""
    if is_as_stored and stored.tip is not None:
        conversation.stored_tip = (len(messages), stored.tip)
    if conversation.loaded_tools:
        own, inherited = read_untrusted(conn, stored.id), read_untrusted(conn, first.id)
        conversation.stored_untrusted = own
        conversation.untrusted_tools = own | inherited
    mark_strangers(conversation, conn, path, stored, first)

    def load() -> list[_BaseResponse]:
        """The earlier responses as objects, oldest first."""
        with reading() as again:
            turns, tables = record_turns(again, stored)
            return restore_responses(turns, tables, model, conversation)

    conversation.set_history(load)
    return cast("Conversation | AsyncConversation", conversation)


def merged_messages(
    conn: sqlite3.Connection, stored: StoredConversation
) -> tuple[list[Message], bool]:
    """The history, and whether it is the chain of the thread just as it is stored.

    A thread that goes on with a legacy conversation contains it. Where an older release then went
    on with the legacy conversation again, what it added is put in by its time.
    """
    if stored.legacy and not stored.chain:
        return history_after(stored.legacy, []), False
    started = next(iter(stored.turns), None)
    late = [row for row in stored.legacy if started and row["id"] > started]
    if late:
        return _interleave(conn, stored, late), False
    return [item.message for item in stored.chain], True


def _interleave(
    conn: sqlite3.Connection, stored: StoredConversation, late: Sequence[JSONObject]
) -> list[Message]:
    """The messages of turns and of the legacy responses between and after them."""
    history: list[Message] = []
    before: str | None = None
    waiting = list(late)
    for turn_id, tip in stored.turns.items():
        earlier = [old for old in waiting if old["id"] < turn_id]
        waiting = waiting[len(earlier) :]
        chain = load_messages(conn, tip)
        hashes = [item.hash for item in chain]
        if before in hashes:
            start = hashes.index(before) + 1
            # Unless the next turn contains the legacy turns before it.
            added = history_after(earlier, history)
            hashed = hash_chain(added[len(history) :], before)
            if hashed and hashed[-1].hash not in hashes:
                history = added
        else:
            # The first turn, or one that was given another history.
            start, history = 0, []
        history = history + [item.message for item in chain[start:]]
        before = tip
    return history_after(waiting, history)


def with_turns(conn: sqlite3.Connection, stored: StoredConversation) -> StoredConversation:
    """The conversation itself; of a fork without turns the one that it left."""
    seen = {stored.id}
    while not (stored.turns or stored.legacy) and stored.forked_from not in {None, *seen}:
        origin = read_conversation(conn, str(stored.forked_from))
        if origin is None:
            break
        stored = origin
        seen.add(stored.id)
    return stored


def tool_specs(
    conn: sqlite3.Connection, stored: StoredConversation, server_side: Collection[str] = ()
) -> list[str]:
    """How to make the tools of the first turn again; `server_side` are those a provider runs."""
    specs = legacy_tool_specs(stored.legacy)
    if specs or not stored.turns:
        return specs
    first: JSONObject = {"id": next(iter(stored.turns))}
    add_tools(conn, [first])
    for tool in first["tools"]:
        plugin, instance = tool["plugin"], tool["instance"]
        if instance is None:
            specs += [tool["name"]] if plugin else []
        elif plugin or instance["plugin"] or instance["name"] in server_side:
            specs.append(f"{instance['name']}({instance['arguments']})")
    return list(dict.fromkeys(specs))


def record_turns(
    conn: sqlite3.Connection, stored: StoredConversation
) -> tuple[list[TurnDict], StoredTables]:
    """The records of the turns of a conversation, oldest first, and what they refer to."""
    rows = turn_rows(conn, "t.thread_id", [stored.id])
    tables = StoredTables(conn, stored.chain)
    # Those that were logged since then are in the conversation already.
    known = [row for row in rows if row["id"] in stored.turns]
    return record_rows(known, stored.legacy, tables), tables
