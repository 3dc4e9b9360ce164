"""On a connection to a log database: write transactions, and tables that may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3


@contextmanager
def immediate(conn: sqlite3.Connection) -> Iterator[None]:
    """A write transaction that is either committed whole or undone.

    It takes the write lock at once: a transaction that begins with a read and is then overtaken
    by another writer fails without waiting. Within a transaction of the caller it is a savepoint,
    and committing is left to the caller.
    """
    nested = conn.in_transaction
    conn.execute("savepoint llm_turn" if nested else "begin immediate")
    try:
        yield
        conn.execute("release llm_turn" if nested else "commit")
    except BaseException:
        # Some errors (a full disk, for one) have ended the transaction already.
        if conn.in_transaction:
            conn.execute("rollback to llm_turn" if nested else "rollback")
            if nested:
                conn.execute("release llm_turn")
        raise


def has_table(conn: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table or view of that name."""
    sql = "select 1 from sqlite_master where name = ?"
    return conn.execute(sql, [name]).fetchone() is not None


def rows_if_any(
    conn: sqlite3.Connection, sql: str, values: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """The rows of a query; none where a table that it reads is not in this file."""
    import sqlite3

    try:
        return conn.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
