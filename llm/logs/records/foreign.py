"""Which tools of a thread the person did not choose: a table of our own, which others ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..file.lookups import has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

_TABLE = (
    "create table if not exists thread_foreign_tools"
    " (thread_id text, tool text, primary key (thread_id, tool))"
)
_WRITE = "insert or ignore into thread_foreign_tools (thread_id, tool) values (?, ?)"
_DELETE = "delete from thread_foreign_tools where thread_id = ? and tool = ?"
_READ = "select tool from thread_foreign_tools where thread_id = ?"


def write_foreign(conn: sqlite3.Connection, thread_id: str, conversation: Any) -> None:
    """Record which tools of a conversation somebody else chose, where that has changed.

    It belongs into the transaction of the turn.
    """
    now: frozenset[str] = getattr(conversation, "untrusted_tools", frozenset())
    stored: frozenset[str] = getattr(conversation, "stored_untrusted", frozenset())
    mark_foreign(conn, thread_id, now - stored)
    if stored - now:
        conn.executemany(_DELETE, [(thread_id, tool) for tool in stored - now])


def mark_foreign(conn: sqlite3.Connection, thread_id: str, tools: Collection[str]) -> None:
    """Record names of tools and toolboxes that somebody else chose; in the caller's transaction."""
    if tools:
        conn.execute(_TABLE)
        conn.executemany(_WRITE, [(thread_id, tool) for tool in tools])


def read_foreign(conn: sqlite3.Connection, thread_id: str) -> frozenset[str]:
    """The names of the tools and toolboxes of a thread that somebody else chose."""
    if not has_table(conn, "thread_foreign_tools"):
        return frozenset()
    return frozenset(row[0] for row in conn.execute(_READ, [thread_id]))
