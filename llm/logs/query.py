"""Which logged turns match: the filters of `llm logs list`, newest first, without a full scan.

Turns live in `turns`; rows that older releases wrote live in `responses`. Ids of both are ULIDs
of one space, so a listing of the newest few reads the primary key backwards and stops.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LogError
from .db import open_log, open_readonly
from .migrations import connection_of, migrate, needs_migration
from .rows import build_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .rows import Row

BATCH = 200

TURN_IDS = "select t.id from turns t where {where} order by t.id desc limit ?"
LEGACY_IDS = """
select r.id from responses r
where not exists (select 1 from turns where turns.id = r.id) and {where}
order by r.id desc limit ?
"""
# bm25() is smaller where the match is better; a word of the prompt weighs ten of the answer.
TURN_MATCHES = """
select t.id, f.score from (
  select rowid, bm25(turn_search_fts, 10.0, 1.0) as score from turn_search_fts
  where turn_search_fts match ? {inner} order by score, rowid limit ?
) f join turn_search s on s.id = f.rowid join turns t on t.id = s.turn_id
"""
TURN_INNER = (
    "and rowid in (select s.id from turn_search s join turns t on t.id = s.turn_id where {where})"
)
LEGACY_MATCHES = """
select r.id, bm25(responses_fts, 10.0, 1.0) as score
from responses_fts join responses r on r.rowid = responses_fts.rowid
where responses_fts match ? and not exists (select 1 from turns where turns.id = r.id) and {where}
order by score, r.id limit ?
"""
TURN_MATCHING = """t.id in (
  select s.turn_id from turn_search s
  where s.id in (select rowid from turn_search_fts where turn_search_fts match ?))"""
LEGACY_MATCHING = "r.rowid in (select rowid from responses_fts where responses_fts match ?)"
NEWEST_MATCHES = """
select s.turn_id, s.id from turn_search_fts f join turn_search s on s.id = f.rowid
where turn_search_fts match ? order by f.rowid desc limit ?
"""
OUT_OF_ORDER = "select 1 from turn_search where turn_id > ? and id < ? limit 1"

# The turn's own input is the run of user and tool messages at the end of what the model was given:
# a message with a result is part of it, and so is each of these that follows directly.
TURN_TOOL_RESULT = """t.parent_message_hash in (
  with recursive given(hash) as (
    select m.hash from parts p join messages m on m.hash = p.message_hash
    where p.type = 'tool_result' {named} and m.role in ('user', 'tool')
    union
    select m.hash from given join messages m on m.parent_hash = given.hash
    where m.role in ('user', 'tool'))
  select hash from given)"""
LEGACY_TOOL_RESULT = "r.id in (select x.response_id from tool_results x where 1 {named})"

LATEST = """
select id, thread_id from (select id, thread_id from turns order by id desc limit 1)
union all
select id, conversation_id from (select id, conversation_id from responses order by id desc limit 1)
order by id desc limit 1
"""


class LogFilters(NamedTuple):
    """What `select_ids` looks for; every condition that is set must hold.

    Args:
        limit: How many of the newest (or best) are wanted; `None` means all.
        model: Model id, matched with the model asked for and the one that answered.
        query: Full-text search in the syntax of SQLite FTS5.
        latest: With `query`: the newest first, not the best.
        conversation_id: Only this conversation.
        tools: Names of tools; a result of each was given to the model.
        any_tools: A result of any tool was given to the model.
        id_gt: Only ids after this one.
        id_gte: Only this id and those after it.
    """

    limit: int | None = None
    model: str | None = None
    query: str | None = None
    latest: bool = False
    conversation_id: str | None = None
    tools: tuple[str, ...] = ()
    any_tools: bool = False
    id_gt: str | None = None
    id_gte: str | None = None


class _Where(NamedTuple):
    sql: str
    values: list[str]


def open_for_reading(path: str | Path) -> sqlite3.Connection:
    """A connection that reads the current tables of the log at `path`.

    A file of an older release is brought up to date first; where it cannot be written, a copy in
    memory is. Bytes that are no UTF-8 are replaced, so that any row can be shown.

    Raises:
        LogError: There is no such file, or it cannot be read.
    """
    if not os.path.exists(path):
        raise LogError(
            f"No log database found at {path}: the first prompt that is logged creates it"
        )
    conn = open_readonly(path)
    if needs_migration(conn):
        conn = _brought_up_to_date(path, conn)
    conn.text_factory = _decoded_text
    return conn


def _brought_up_to_date(path: str | Path, conn: sqlite3.Connection) -> sqlite3.Connection:
    try:
        return connection_of(open_log(path, create=False))
    except LogError:
        copy = sqlite3.connect(":memory:")
        conn.backup(copy)
        migrate(copy)
        return copy
    finally:
        conn.close()


def _decoded_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def current_conversation_id(conn: sqlite3.Connection) -> str | None:
    """The id of the conversation that was used last, or `None` where nothing is logged."""
    row = conn.execute(LATEST).fetchone()
    return None if row is None else row[1]


def select_rows(conn: sqlite3.Connection, filters: LogFilters) -> list[Row]:
    """The matching rows as `llm logs --json` shows them, in the order in which it shows them.

    Raises:
        LogError: The search query is not valid.
    """
    return list(iter_rows(conn, select_ids(conn, filters)))


def iter_rows(
    conn: sqlite3.Connection, ids: Sequence[str], *, expand: bool = False, payloads: bool = True
) -> Iterator[Row]:
    """Build the rows of `ids`, as `build_rows` does, one batch at a time."""
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        yield from build_rows(conn, batch, expand=expand, payloads=payloads)


def select_ids(conn: sqlite3.Connection, filters: LogFilters) -> list[str]:
    """The matching ids: oldest first; with a query best first, or newest first with `latest`.

    Raises:
        LogError: The search query is not valid.
    """
    limit = -1 if filters.limit is None else filters.limit
    if not filters.query:
        newest = _newest(conn, filters, limit)
        newest.reverse()
        return newest
    try:
        if filters.latest:
            return _newest_matches(conn, filters, filters.query, limit)
        return _best_matches(conn, filters, filters.query, limit)
    except sqlite3.OperationalError as error:
        raise _query_error(filters.query, error) from error


def _query_error(query: str, error: sqlite3.OperationalError) -> LogError:
    text = str(error)
    if "locked" in text or "disk" in text:
        return LogError(f"Cannot search the log: {text}. Try again")
    return LogError(
        f"Invalid search query: {query!r}: {text}. Put double quotes around text that holds"
        " punctuation or the words AND, OR, NOT and NEAR"
        " (https://sqlite.org/fts5.html#full_text_query_syntax)"
    )


def _newest(conn: sqlite3.Connection, filters: LogFilters, limit: int) -> list[str]:
    turns, legacy = _turn_where(filters), _legacy_where(filters)
    if filters.query:
        turns = _Where(f"{TURN_MATCHING} and {turns.sql}", [filters.query, *turns.values])
        legacy = _Where(f"{LEGACY_MATCHING} and {legacy.sql}", [filters.query, *legacy.values])
    ids = [
        turn_id
        for (turn_id,) in conn.execute(TURN_IDS.format(where=turns.sql), [*turns.values, limit])
    ]
    old = conn.execute(LEGACY_IDS.format(where=legacy.sql), [*legacy.values, limit])
    return _cut(sorted(ids + [turn_id for (turn_id,) in old], reverse=True), limit)


def _cut(ids: list[str], limit: int) -> list[str]:
    return ids if limit < 0 else ids[:limit]


def _best_matches(
    conn: sqlite3.Connection, filters: LogFilters, query: str, limit: int
) -> list[str]:
    where = _turn_where(filters)
    inner = TURN_INNER.format(where=where.sql) if where.values or filters.any_tools else ""
    values = [query, *where.values, limit]
    found = conn.execute(TURN_MATCHES.format(inner=inner), values).fetchall()
    where = _legacy_where(filters)
    values = [query, *where.values, limit]
    found += conn.execute(LEGACY_MATCHES.format(where=where.sql), values).fetchall()
    found.sort(key=lambda match: (match[1], match[0]))
    return _cut([turn_id for turn_id, _ in found], limit)


def _newest_matches(
    conn: sqlite3.Connection, filters: LogFilters, query: str, limit: int
) -> list[str]:
    only_query = not _turn_where(filters).values and not filters.any_tools
    if limit <= 0 or not only_query:
        return _newest(conn, filters, limit)
    found = conn.execute(NEWEST_MATCHES, [query, limit]).fetchall()
    # The index is read in the order of writing. That is the order of ids unless turns were
    # imported or written again; then the slow and exact way is taken.
    if len(found) == limit and _is_ordered(conn, found):
        ids = [turn_id for turn_id, _ in found]
        old = _Where(f"{LEGACY_MATCHING}", [query])
        legacy = conn.execute(LEGACY_IDS.format(where=old.sql), [*old.values, limit])
        return _cut(sorted(ids + [turn_id for (turn_id,) in legacy], reverse=True), limit)
    return _newest(conn, filters, limit)


def _is_ordered(conn: sqlite3.Connection, found: list[tuple[str, int]]) -> bool:
    least = (min(turn_id for turn_id, _ in found), min(rowid for _, rowid in found))
    return conn.execute(OUT_OF_ORDER, least).fetchone() is None


def _turn_where(filters: LogFilters) -> _Where:
    return _where(filters, "t", "thread_id", TURN_TOOL_RESULT, "and p.tool_name = ?")


def _legacy_where(filters: LogFilters) -> _Where:
    return _where(filters, "r", "conversation_id", LEGACY_TOOL_RESULT, "and x.name = ?")


def _where(
    filters: LogFilters, table: str, conversation: str, tool_result: str, named: str
) -> _Where:
    plain = [
        (f"(? in ({table}.model, {table}.resolved_model))", filters.model),
        (f"{table}.{conversation} = ?", filters.conversation_id),
        (f"{table}.id > ?", filters.id_gt),
        (f"{table}.id >= ?", filters.id_gte),
    ]
    plain += [(tool_result.format(named=named), name) for name in filters.tools]
    used = [(sql, value) for sql, value in plain if value is not None]
    conditions = [sql for sql, _ in used]
    if filters.any_tools:
        conditions.append(tool_result.format(named=""))
    return _Where(" and ".join(conditions) or "1", [value for _, value in used])
