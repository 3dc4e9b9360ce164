"""What became of turns that are not complete: a table of our own, which other programs ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

#: The process, or its reader, ended the answer.
INTERRUPTED = "interrupted"
#: The model ended the answer with an error.
FAILED = "failed"
#: A complete answer that was taken up from a process that had died before logging it.
RECOVERED = "recovered"

_TABLE = (
    "create table if not exists turn_status"
    " (turn_id text primary key, status text, error_class text, error text)"
)
_WRITE = (
    "insert or replace into turn_status (turn_id, status, error_class, error) values (?, ?, ?, ?)"
)
_READ = (
    "select turn_id, status, error_class, error from turn_status"
    " where turn_id in (select value from json_each(?))"
)
_EXISTS = "select 1 from sqlite_master where name = 'turn_status'"


class Outcome(NamedTuple):
    """How a turn ended that is not complete.

    Args:
        status: `interrupted`, `failed` or `recovered`.
        error_class: The name of the exception's class; empty where there was none.
        error: Its text.
    """

    status: str
    error_class: str = ""
    error: str = ""


def write_outcome(conn: sqlite3.Connection, turn_id: str, outcome: tuple[str, str, str]) -> None:
    """Record how a turn ended; within the caller's transaction."""
    from .hashing import storable

    conn.execute(_TABLE)
    status, error_class, error = outcome
    conn.execute(_WRITE, (turn_id, status, error_class or None, storable(error) or None))


def forget_outcome(conn: sqlite3.Connection, turn_id: str) -> None:
    """Take back what was recorded about a turn, which is written anew."""
    if has_outcomes(conn):
        conn.execute("delete from turn_status where turn_id = ?", [turn_id])


def has_outcomes(conn: sqlite3.Connection) -> bool:
    """Whether any turn of the database ever ended before it was complete."""
    return conn.execute(_EXISTS).fetchone() is not None


def read_outcomes(conn: sqlite3.Connection, turn_ids: Sequence[str]) -> dict[str, Outcome]:
    """How those of some turns ended that are not complete, by turn id."""
    if not turn_ids:
        return {}
    from ..file.lookups import json_list, rows_if_any

    return {
        str(turn_id): Outcome(status, error_class or "", error or "")
        for turn_id, status, error_class, error in rows_if_any(conn, _READ, [json_list(turn_ids)])
    }
