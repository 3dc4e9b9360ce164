"""Indexes of our own: other releases of `llm` keep them up to date without knowing of them.

SQLite maintains an index whoever writes, so nothing has to be caught up after another release has
used the file. Each is made in a transaction of its own and then noted in `_llm_x_migrations`:
what interrupts the work on a large file costs the index that was being made, not those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from .lookups import rows_if_any
from .transactions import immediate

if TYPE_CHECKING:
    import sqlite3

BOOKKEEPING = (
    "create table if not exists _llm_x_migrations (name text primary key, applied_at text)"
)

# The name of each index and what it is on. The list is append-only. SQLite counts the rows of a
# table over one of the kind that it takes for the narrowest, and among equals over the last made.
INDEXES: dict[str, str] = {
    "idx_x_turns_model": "turns (model, id)",
    "idx_x_turns_resolved_model": "turns (resolved_model, id)",
    "idx_x_turns_datetime": "turns (datetime_utc)",
    "idx_x_turns_parent": "turns (parent_message_hash)",
    "idx_x_turns_tip": "turns (tip_message_hash)",
    "idx_x_turns_schema": "turns (schema_id)",
    # Over this one turns are counted: of all columns with an index it is the only number.
    "idx_x_turns_tokens": "turns (input_tokens)",
    "idx_x_threads_tip": "threads (tip_message_hash)",
    # And threads over this one, which is mostly empty.
    "idx_x_threads_forked_from": "threads (forked_from)",
    "idx_x_parts_results": "parts (tool_name, message_hash) where type = 'tool_result'",
    "idx_x_part_attachments": "part_attachments (attachment_id)",
    "idx_x_responses_conversation": "responses (conversation_id)",
    "idx_x_responses_model": "responses (model, id)",
    "idx_x_responses_resolved_model": "responses (resolved_model, id)",
    "idx_x_responses_datetime": "responses (datetime_utc)",
}

# Fewer rows than this are indexed before anybody could read that it is being done.
LARGE = 100_000


def index_statements() -> Iterator[str]:
    """The SQL that makes all of them, for a new database."""
    yield BOOKKEEPING
    for name, target in INDEXES.items():
        yield f"create index if not exists {name} on {target}"


def note_indexes(conn: sqlite3.Connection, names: Iterable[str] = tuple(INDEXES)) -> None:
    """Remember that some indexes were made."""
    from datetime import datetime, timezone

    now = str(datetime.now(timezone.utc))
    conn.executemany(
        "insert or ignore into _llm_x_migrations (name, applied_at) values (?, ?)",
        [(name, now) for name in names],
    )


def missing_indexes(conn: sqlite3.Connection) -> list[str]:
    """The names of those that the database was never given; nothing is written."""
    noted = {name for (name,) in rows_if_any(conn, "select name from _llm_x_migrations")}
    return [] if noted.issuperset(INDEXES) else [name for name in INDEXES if name not in noted]


def build_indexes(conn: sqlite3.Connection, report: Callable[[str], None]) -> None:
    """Make those that are missing, one transaction each.

    Args:
        conn: A migrated database, outside of any transaction.
        report: Is given a line for each on a file with many turns, and an empty one at the end.
    """
    missing = missing_indexes(conn)
    if not missing:
        return
    is_large = _row_count(conn) >= LARGE
    for number, name in enumerate(missing, 1):
        if is_large:
            report(f"Indexing the log, once: {number} of {len(missing)}")
        with immediate(conn):
            conn.execute(BOOKKEEPING)
            conn.execute(f"create index if not exists {name} on {INDEXES[name]}")
            note_indexes(conn, [name])
    if is_large:
        report("")


def _row_count(conn: sqlite3.Connection) -> int:
    """About how many turns and responses there are, without counting them."""
    rows = "select ifnull(max(rowid), 0) from"
    found = conn.execute(f"select ({rows} turns) + ({rows} responses)").fetchone()
    return int(found[0])
