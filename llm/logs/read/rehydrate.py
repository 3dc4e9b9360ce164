"""Conversations brought back from the log, to be continued.

What the next prompt needs, the messages, is read at once. The earlier responses, as objects, are
made when somebody looks at `conversation.responses`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from ..file.db import brought_up_to_date, log_errors, open_readonly
from ..file.migrations import connection_of, needs_migration
from ..older.legacy import LegacyTurn, complete_rows, legacy_tool_specs, load_legacy_turns
from ..records.chains import hash_chain
from ..records.foreign import read_foreign
from ..records.messages import StoredMessage, load_messages
from ..records.threads import find_conversation_id, latest_conversation_id
from .restore import history_after, load_turn_rows, restore_legacy, restore_turns

if TYPE_CHECKING:
    from pathlib import Path

    from sqlite_utils import Database

    from ...models.async_response import AsyncResponse
    from ...models.base import _BaseModel
    from ...models.conversation import AsyncConversation, Conversation
    from ...models.response import Response
    from ...parts import Message

    Source = Union[str, Path, Database, sqlite3.Connection]

_THREAD = "select name, tip_message_hash, forked_from from threads where id = ?"
_LEGACY_MODEL = "select model from responses where conversation_id = ? order by id desc limit 1"
_TURN_HEADS = "select id, model, tip_message_hash from turns where thread_id = ? order by id"
_MODEL_OF_CHAIN = """
with recursive chain (hash, parent_hash) as (
    select hash, parent_hash from messages where hash = ?
    union all
    select messages.hash, messages.parent_hash
    from chain join messages on messages.hash = chain.parent_hash
)
select turns.model from turns join chain on chain.hash = turns.tip_message_hash
order by turns.id desc limit 1
"""
_TURN_TOOLS = (
    "select tools.name, tools.plugin, tool_instances.name, tool_instances.plugin,"
    " tool_instances.arguments"
    " from turn_tools join tools on tools.id = tool_id"
    " left join tool_instances on tool_instances.id = instance_id"
    " where turn_id = ? order by turn_tools.rowid"
)


class _TurnHead(NamedTuple):
    """What continuing needs of a turn; the rest is read with the responses."""

    id: str
    model: str
    tip: str | None


@dataclass
class _Stored:
    """What the log holds of one conversation."""

    id: str
    name: str | None = None
    model_id: str | None = None
    tip: str | None = None
    forked_from: str | None = None
    chain: list[StoredMessage] = field(default_factory=list)
    turns: list[_TurnHead] = field(default_factory=list)
    legacy: list[LegacyTurn] = field(default_factory=list)


def load_conversation(
    source: Source,
    conversation_id: str | None,
    *,
    async_: bool = False,
    model: _BaseModel | None = None,
    may_change: bool = True,
) -> Conversation | AsyncConversation | None:
    """A conversation from the log, with its whole history, ready for the next prompt.

    Args:
        source: The file, or an open database.
        conversation_id: Its id or title, or an unambiguous beginning of either; the conversation
            used last where it is `None`.
        async_: Make an `AsyncConversation`.
        model: The model to go on with; the one that answered last where missing.
        may_change: Migrate a file of an older release, which is read through a copy otherwise.

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
        wanted = conversation_id or latest_conversation_id(conn)
        stored = None if wanted is None else _read_named(conn, wanted)
        if stored is None:
            return None
        if model is None:
            model = _get_model(stored.model_id, async_)
        return _assemble(conn, partial(_reading, source, may_change), stored, model, async_)


def response_from_row(
    db: Database, row: Mapping[str, Any], *, async_: bool = False
) -> Response | AsyncResponse:
    """The response of one row of the `responses` table, without what was said before it.

    Raises:
        UnknownModelError: The model of the row is not installed.
    """
    turn = complete_rows(connection_of(db), [row])[0]
    response: Response | AsyncResponse
    [response] = restore_legacy([turn], _get_model(row["model"], async_), None, [])
    _resolve_payloads(connection_of(db), [response])
    return response


def _resolve_payloads(conn: sqlite3.Connection, responses: Sequence[Any]) -> None:
    """Put back the texts that releases with fragments replaced by references in raw payloads."""
    from ..older.rows_legacy import _fill_in

    payloads = [
        {"prompt_json": response._prompt_json, "response_json": response.response_json}
        for response in responses
    ]
    _fill_in(conn, payloads)
    for response, payload in zip(responses, payloads, strict=True):
        response._prompt_json = payload["prompt_json"]
        response.response_json = payload["response_json"]


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
        yield conn


def _get_model(model_id: str | None, async_: bool) -> _BaseModel:
    import llm

    found: _BaseModel = llm.get_async_model(model_id) if async_ else llm.get_model(model_id)
    return found


def _read_named(conn: sqlite3.Connection, name: str) -> _Stored | None:
    stored = _read(conn, name)
    if stored is None:
        found = find_conversation_id(conn, name)
        stored = None if found is None else _read(conn, found)
    return stored


def _read(conn: sqlite3.Connection, conversation_id: str) -> _Stored | None:
    """What the log holds of a conversation, apart from what `responses` alone needs."""
    stored = _Stored(conversation_id)
    row = conn.execute(
        "select name, model from conversations where id = ?", [conversation_id]
    ).fetchone()
    thread = conn.execute(_THREAD, [conversation_id]).fetchone()
    if row is None and thread is None:
        return None
    if thread is not None:
        stored.name, stored.tip, stored.forked_from = thread
        stored.chain = load_messages(conn, stored.tip)
        heads = conn.execute(_TURN_HEADS, [conversation_id])
        stored.turns = [_TurnHead(*head) for head in heads]
    if row is not None:
        stored.name = row[0] or stored.name
        stored.legacy = load_legacy_turns(conn, conversation_id)
    stored.model_id = _model_id(conn, stored) or (row[1] if row is not None else None)
    return stored


def _model_id(conn: sqlite3.Connection, stored: _Stored) -> str | None:
    """The model that answered last; for a fork without turns that of the thread it left."""
    answered = [(turn.id, turn.model) for turn in stored.turns[-1:]]
    answered += [(turn.row["id"], turn.row["model"]) for turn in stored.legacy[-1:]]
    if answered:
        return max(answered)[1]
    sql = "select model from turns where thread_id = ? order by id desc limit 1"
    row = conn.execute(sql, [stored.forked_from]).fetchone()
    row = row or conn.execute(_MODEL_OF_CHAIN, [stored.tip]).fetchone()
    row = row or conn.execute(_LEGACY_MODEL, [stored.forked_from]).fetchone()
    return None if row is None else row[0]


def _assemble(
    conn: sqlite3.Connection,
    reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
    stored: _Stored,
    model: _BaseModel,
    async_: bool,
) -> Conversation | AsyncConversation:
    from ...models.conversation import AsyncConversation, Conversation

    make = AsyncConversation if async_ else Conversation
    conversation: Any = make(model=model, id=stored.id, name=stored.name)
    messages, is_as_stored = _merged_messages(conn, stored, model)
    conversation.stored_name = stored.name or ""
    conversation.loaded_messages = messages
    if is_as_stored and stored.tip is not None:
        conversation.stored_tip = (len(messages), stored.tip)
    first = _with_turns(conn, stored)
    conversation.loaded_tools = _tool_specs(conn, first, model)
    if conversation.loaded_tools:
        conversation.stored_untrusted = read_foreign(conn, stored.id)
        conversation.untrusted_tools = conversation.stored_untrusted | read_foreign(conn, first.id)

    def load() -> list[Any]:
        with reading() as again:
            return _responses(again, stored, model, conversation)

    conversation.set_history(load)
    loaded: Conversation | AsyncConversation = conversation
    return loaded


def _merged_messages(
    conn: sqlite3.Connection, stored: _Stored, model: _BaseModel
) -> tuple[list[Message], bool]:
    """The history, and whether it is the chain of the thread just as it is stored.

    A thread that goes on with a legacy conversation contains it. Where an older release then went
    on with the legacy conversation again, what it added is put in by its time.
    """
    if stored.legacy and not stored.chain:
        return _legacy_history(stored.legacy, model, []), False
    started = stored.turns[0].id if stored.turns else None
    late = [turn for turn in stored.legacy if started and turn.row["id"] > started]
    if late:
        return _interleave(conn, stored, late, model), False
    return [item.message for item in stored.chain], True


def _legacy_history(
    turns: Sequence[LegacyTurn], model: _BaseModel, before: list[Message]
) -> list[Message]:
    return history_after(restore_legacy(turns, model, None, before)[-1])


def _interleave(
    conn: sqlite3.Connection, stored: _Stored, late: Sequence[LegacyTurn], model: _BaseModel
) -> list[Message]:
    """The messages of turns and of the legacy responses between and after them."""
    history: list[Message] = []
    tip: str | None = None
    waiting = list(late)
    for turn in stored.turns:
        earlier = [old for old in waiting if old.row["id"] < turn.id]
        waiting = waiting[len(earlier) :]
        chain = load_messages(conn, turn.tip)
        hashes = [item.hash for item in chain]
        start = hashes.index(tip) + 1 if tip in hashes else None
        if start is None:
            # The first turn, or one that was given another history.
            history = [item.message for item in chain]
        else:
            if earlier:
                added = _legacy_history(earlier, model, history)
                hashed = hash_chain(added[len(history) :], tip)
                if hashed[-1].hash not in hashes:
                    history = added
            history = history + [item.message for item in chain[start:]]
        tip = turn.tip
    return _legacy_history(waiting, model, history) if waiting else history


def _with_turns(conn: sqlite3.Connection, stored: _Stored) -> _Stored:
    """The conversation itself; of a fork without turns the one that it left."""
    seen = {stored.id}
    while not (stored.turns or stored.legacy) and stored.forked_from not in {None, *seen}:
        origin = _read(conn, str(stored.forked_from))
        if origin is None:
            break
        stored = origin
        seen.add(stored.id)
    return stored


def _tool_specs(conn: sqlite3.Connection, stored: _Stored, model: _BaseModel) -> list[str]:
    """How to make again the tools that the first turn had."""
    specs_of_legacy = legacy_tool_specs(conn, stored.id) if stored.legacy else []
    if specs_of_legacy or not stored.turns:
        return specs_of_legacy
    server_side = {tool.__name__ for tool in model.supported_server_side_tools}
    specs: dict[str, None] = {}
    for name, plugin, instance, owner, arguments in conn.execute(_TURN_TOOLS, [stored.turns[0].id]):
        if instance is not None:
            if plugin or owner or instance in server_side:
                specs[f"{instance}({arguments})"] = None
        elif plugin:
            specs[name] = None
    return list(specs)


def _responses(
    conn: sqlite3.Connection, stored: _Stored, model: _BaseModel, conversation: Any
) -> list[Any]:
    """The earlier responses as objects, oldest first."""
    restored: list[Any] = []
    if stored.legacy:
        restored += restore_legacy(stored.legacy, model, conversation, [])
        _resolve_payloads(conn, restored)
    if stored.turns:
        known = {turn.id for turn in stored.turns}
        # Those that were logged since then are in the conversation already.
        turns = [turn for turn in load_turn_rows(conn, stored.id) if turn.id in known]
        restored += restore_turns(conn, turns, stored.chain, model, conversation)
    return sorted(restored, key=lambda response: response.id)
