"""Write transactions of a log database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
