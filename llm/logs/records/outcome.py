"""What only we keep of turns and threads, in tables of our own, which other programs ignore.

How turns ended that are not complete; which turns no prompt has written; which tools of a thread
the person did not choose, and which messages they did not see come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..file.lookups import json_list
from ..file.migrations import has_table, rows_if_any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

#: The process, or its reader, ended the answer.
INTERRUPTED = "interrupted"
#: The model ended the answer with an error.
FAILED = "failed"
#: A complete answer that was taken up from a process that had died before logging it.
RECOVERED = "recovered"
#: Where a turn comes from that was put into the log from a file.
IMPORTED = "imported"

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
_STATUS = "turn_status"

# Turns that were imported or recovered. `prompted_rowid` is the row of `turns` that a prompt wrote
# last before: however many were imported, whoever looks for it skips them all at once. Should
# SQLite renumber the rows, they only get smaller numbers, and what is skipped is less.
UNPROMPTED = "unprompted_turns"
_UNPROMPTED_TABLE = (
    f"create table if not exists {UNPROMPTED}"
    " (turn_id text primary key, origin text, prompted_rowid integer)"
)
IS_PROMPTED = f"""
rowid <= ifnull((select prompted_rowid from {UNPROMPTED}
    where turn_id = (select id from turns order by rowid desc limit 1)), {2**63 - 1})
and not exists (select 1 from {UNPROMPTED} where turn_id = turns.id)"""
_MARK_UNPROMPTED = f"""
insert or replace into {UNPROMPTED} (turn_id, origin, prompted_rowid) values (?, ?, ifnull(
    (select rowid from turns where {IS_PROMPTED} order by rowid desc limit 1), 0))
"""


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


def write_outcome(conn: sqlite3.Connection, turn_id: str, outcome: Sequence[str]) -> None:
    """Record how a turn ended; within the caller's transaction."""
    from ...text.secrets import storable

    conn.execute(_TABLE)
    status, error_class, error = outcome
    conn.execute(_WRITE, (turn_id, status, error_class or None, storable(error) or None))


def mark_unprompted(conn: sqlite3.Connection, turn_id: str, origin: str) -> None:
    """Note that a turn, written next, comes from no prompt: it was `imported` or `recovered`."""
    conn.execute(_UNPROMPTED_TABLE)
    conn.execute(_MARK_UNPROMPTED, [turn_id, origin])


def forget_outcome(conn: sqlite3.Connection, turn_id: str) -> None:
    """Take back what was recorded about a turn, which is written anew."""
    if has_outcomes(conn):
        conn.execute("delete from turn_status where turn_id = ?", [turn_id])


def has_outcomes(conn: sqlite3.Connection) -> bool:
    """Whether any turn of the database ever ended before it was complete."""
    return has_table(conn, _STATUS)


def read_outcomes(conn: sqlite3.Connection, turn_ids: Sequence[str]) -> dict[str, Outcome]:
    """How those of some turns ended that are not complete, by turn id."""
    if not turn_ids:
        return {}
    return {
        str(turn_id): Outcome(status, error_class or "", error or "")
        for turn_id, status, error_class, error in rows_if_any(conn, _READ, [json_list(turn_ids)])
    }


# Tools that somebody else chose

# Its rows are names of tools and toolboxes.
_UNTRUSTED = "thread_foreign_tools"
_UNTRUSTED_TABLE = (
    f"create table if not exists {_UNTRUSTED}"
    " (thread_id text, tool text, primary key (thread_id, tool))"
)
_ADD_UNTRUSTED = f"insert or ignore into {_UNTRUSTED} (thread_id, tool) values (?, ?)"
_DELETE_UNTRUSTED = f"delete from {_UNTRUSTED} where thread_id = ? and tool = ?"


def mark_untrusted(conn: sqlite3.Connection, thread_id: str, tools: Collection[str]) -> None:
    """Record names of tools and toolboxes that somebody else chose; in the caller's transaction."""
    if tools:
        conn.execute(_UNTRUSTED_TABLE)
        conn.executemany(_ADD_UNTRUSTED, [(thread_id, tool) for tool in tools])


def unmark_untrusted(conn: sqlite3.Connection, thread_id: str, tools: Collection[str]) -> None:
    """Record that the person has chosen tools themselves by now; in the caller's transaction."""
    if tools:
        conn.executemany(_DELETE_UNTRUSTED, [(thread_id, tool) for tool in tools])


def read_untrusted(conn: sqlite3.Connection, thread_id: str) -> frozenset[str]:
    """The names of the tools and toolboxes of a thread that somebody else chose."""
    rows = rows_if_any(conn, f"select tool from {_UNTRUSTED} where thread_id = ?", [thread_id])
    return frozenset(row[0] for row in rows)


# Messages of a thread that no prompt of this log has brought: from a file, or from a process that
# had died. Their tool calls, and the files that they name, are asked about.
FOREIGN = "thread_foreign_messages"
_FOREIGN_TABLE = (
    f"create table if not exists {FOREIGN}"
    " (thread_id text, hash text, origin text, primary key (thread_id, hash))"
)
_ADD_FOREIGN = f"insert or ignore into {FOREIGN} (thread_id, hash, origin) values (?, ?, ?)"
_COPY_FOREIGN = (
    f"insert or ignore into {FOREIGN} select ?, hash, origin from {FOREIGN} where thread_id = ?"
)


def mark_foreign(
    conn: sqlite3.Connection, thread_id: str, hashes: Collection[str], origin: str
) -> None:
    """Record messages that were `imported` or `recovered`; in the caller's transaction."""
    if hashes:
        conn.execute(_FOREIGN_TABLE)
        conn.executemany(_ADD_FOREIGN, [(thread_id, key, origin) for key in hashes])


def inherit_foreign(conn: sqlite3.Connection, thread_id: str, origin_id: str) -> None:
    """Record of a thread what is recorded of another one; in the caller's transaction."""
    if has_table(conn, FOREIGN):
        conn.execute(_COPY_FOREIGN, [thread_id, origin_id])


def read_foreign(conn: sqlite3.Connection, thread_id: str) -> dict[str, str]:
    """Where the messages of a thread come from that no prompt of this log has brought."""
    sql = f"select hash, origin from {FOREIGN} where thread_id = ?"
    return dict(rows_if_any(conn, sql, [thread_id]))
