"""Which tools of a thread the person did not choose: a table of our own, which others ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_TABLE = (
    "create table if not exists thread_foreign_tools"
    " (thread_id text, tool text, primary key (thread_id, tool))"
)
_WRITE = "insert or ignore into thread_foreign_tools (thread_id, tool) values (?, ?)"
_READ = "select tool from thread_foreign_tools where thread_id = ?"
_EXISTS = "select 1 from sqlite_master where name = 'thread_foreign_tools'"


def write_foreign_tools(conn: sqlite3.Connection, thread_id: str, tools: Iterable[str]) -> None:
    """Record names of tools and toolboxes that somebody else chose; in the caller's transaction."""
    conn.execute(_TABLE)
    conn.executemany(_WRITE, [(thread_id, tool) for tool in tools])


def read_foreign_tools(conn: sqlite3.Connection, thread_id: str) -> frozenset[str]:
    """The names of the tools and toolboxes of a thread that somebody else chose."""
    if conn.execute(_EXISTS).fetchone() is None:
        return frozenset()
    return frozenset(row[0] for row in conn.execute(_READ, [thread_id]))
