"""Conversations given as plain JSON values, put into the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import InvalidInput
from ...models.serialize import check_conversation, turns_of
from ...models.turn_record import Tables
from ...text import new_ulid
from ..file.migrations import immediate
from ..records.outcome import IMPORTED, mark_unprompted, mark_untrusted
from ..write.turns import HashedTables, TurnWriter, add_thread

if TYPE_CHECKING:
    from ...serialization import ConversationDict, TurnDict


def import_conversation(conn: sqlite3.Connection, shape: object) -> str:
    """Put a conversation into the log, in one transaction, and give its id.

    Ids that are taken already, of the conversation or of turns, are replaced by new ones: what is
    in the log stays as it is. Messages that are stored already are shared.

    Args:
        conn: A migrated log database.
        shape: The conversation, as `export_conversation` or `Conversation.to_dict` give it.

    Raises:
        InvalidInput: It is no conversation.
    """
    conversation = check_conversation(shape)
    try:
        tables = Tables.from_dict(conversation)
    except ValueError as error:
        raise InvalidInput(f"The content of an attachment is not valid base64: {error}") from error
    hashed = HashedTables(tables, trusts_ids=True)
    with immediate(conn):
        thread_id = _free_id(conn, "threads", conversation["id"])
        fragment_ids = hashed.store(conn)
        for turn in conversation["turns"] or _missing_turns(conn, conversation):
            turn = turn.copy()
            turn["id"] = _free_id(conn, "turns", turn["id"])
            mark_unprompted(conn, turn["id"], IMPORTED)
            TurnWriter(turn, hashed).write(conn, thread_id, fragment_ids)
        add_thread(
            conn,
            thread_id,
            conversation["name"],
            hashed.address(conversation["tip"]),
            conversation.get("forked_from"),
            conversation.get("datetime_utc"),
        )
        # Whoever wrote the file chose them, and the arguments of calls without results.
        boxes = {tool["instance"]["name"] for tool in tables.tools if tool.get("instance")}
        mark_untrusted(conn, thread_id, {tool["name"] for tool in tables.tools} | boxes)
    return thread_id


def _missing_turns(conn: sqlite3.Connection, shape: ConversationDict) -> Sequence[TurnDict]:
    """Turns for the messages of a fork without any, where its origin is not in this log."""
    origin = shape.get("forked_from")
    if shape["model"] is None or (origin and _is_taken(conn, "threads", origin)):
        return []
    return turns_of(shape, shape["model"])


def _is_taken(conn: sqlite3.Connection, table: str, wanted: str) -> bool:
    older = "conversations" if table == "threads" else "responses"
    sql = f"select 1 from {table} where id = ?1 union all select 1 from {older} where id = ?1"
    return conn.execute(sql, [wanted]).fetchone() is not None


def _free_id(conn: sqlite3.Connection, table: str, wanted: str) -> str:
    return new_ulid() if _is_taken(conn, table, wanted) else wanted
