"""Which logged turns match: the filters of `llm logs list`, newest first, without a full scan.

Turns live in `turns`; rows that older releases wrote live in `responses`. Ids of both are ULIDs
of one space, so a listing of the newest few reads the primary key backwards and stops.
"""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from ...errors import LogError
from ..file.db import pass_interrupt
from ..file.lookups import batches, rows_by_ids
from ..records.outcome import RECOVERED, has_outcomes
from .rows import build_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..file.lookups import SQLRow
    from ..records.search import Search
    from .rows import Row

BATCH = 200
# So many rows are sorted sooner than all rows are looked through.
FEW = 20_000

TURN_IDS = "select t.id from turns t where {where} order by {order} desc limit ?"
LEGACY_IDS = """
select r.id from responses r
where not exists (select 1 from turns where turns.id = r.id) and {where}
order by {order} desc limit ?
"""
# bm25() is smaller where the match is better; a word of the prompt weighs ten of the answer.
# Of many matches the rank is read sooner than the function is called.
TURN_BEST = """
select t.id, f.score from (
  select rowid, rank as score from turn_search_fts
  where turn_search_fts match ? and rank match 'bm25(10.0, 1.0)' order by score, rowid limit ?
) f join turn_search s on s.id = f.rowid join turns t on t.id = s.turn_id
"""
TURN_MATCHES = """
select t.id, bm25(turn_search_fts, 10.0, 1.0) as score
from turn_search_fts cross join turn_search s on s.id = turn_search_fts.rowid
cross join turns t on t.id = s.turn_id where {where} order by score, s.id limit ?
"""
LEGACY_MATCHES = """
select r.id, bm25(responses_fts, 10.0, 1.0) as score
from responses_fts cross join responses r on r.rowid = responses_fts.rowid
where {where} and not exists (select 1 from turns where turns.id = r.id)
order by score, r.id limit ?
"""
NEWEST_MATCHES = """
select t.id, f.rowid
from turn_search_fts f cross join turn_search s on s.id = f.rowid
cross join turns t on t.id = s.turn_id where {where} order by f.rowid desc limit ?
"""
# Where only texts are looked for there is no index to begin with.
NEWEST_WITH_TEXTS = """
select t.id, s.id
from turn_search s {indexed} cross join turns t on t.id = s.turn_id
where {where} order by s.id desc limit ?
"""
LEGACY_WITH_TEXTS = """
select r.id from responses r {indexed}
where not exists (select 1 from turns where turns.id = r.id) and {where}
order by r.id desc limit ?
"""
# How a search is put where the rows of the index are asked for.
TURN_MATCHING = "t.id in (select s.turn_id from turn_search s where {tests})"
OUT_OF_ORDER = "select 1 from turn_search where turn_id > ? and id < ? limit 1"

# The turn's own input is the run of user and tool messages at the end of what the model was given:
# a message with a result is part of it, and so is each of these that follows directly, unless an
# earlier turn ended with that result, without an answer.
TURN_TOOL_RESULT = """t.parent_message_hash in (
  with recursive given(hash) as (
    select m.hash from parts p join messages m on m.hash = p.message_hash
    where p.type = 'tool_result' {named} and m.role in ('user', 'tool')
    union
    select m.hash from given join messages m on m.parent_hash = given.hash
    where m.role in ('user', 'tool') and not exists (
      select 1 from turns u
      where u.tip_message_hash = given.hash and u.parent_message_hash = given.hash))
  select hash from given)"""
LEGACY_TOOL_RESULT = "r.id in (select x.response_id from tool_results x where 1 {named})"
TURN_FRAGMENT = """t.id in (
  select u.turn_id from turn_fragments u join fragments f on f.id = u.fragment_id
  where f.hash = ?)"""
LEGACY_FRAGMENT = """r.id in (
  select u.response_id from (
    select response_id, fragment_id from prompt_fragments
    union all select response_id, fragment_id from system_fragments) u
  join fragments f on f.id = u.fragment_id where f.hash = ?)"""

TURN_BROKE_OFF = "t.id in (select turn_id from turn_status where status <> ?)"


class LogFilters(NamedTuple):
    """What `select_ids` looks for; every condition that is set must hold.

    Args:
        limit: How many of the newest (or best) are wanted; `None` means all.
        model: Model id, matched with the model asked for and the one that answered.
        query: Words, or full-text search in the syntax of SQLite FTS5.
        latest: With `query`: the newest first, not the best.
        conversation_id: Only this conversation.
        tools: Names of tools; a result of each was given to the model.
        any_tools: A result of any tool was given to the model.
        id_gt: Only ids after this one.
        id_gte: Only this id and those after it.
        since: Only what began at this time in UTC or after it, written like `2026-01-02T03:04:05`.
        until: Only what began before this time.
        failed: Only turns that broke off, by an interruption or an error.
        fragments: Hashes of fragments; each was part of the prompt or system prompt.
        schema_id: The answer was asked to fit this schema.
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
    since: str | None = None
    until: str | None = None
    failed: bool = False
    fragments: tuple[str, ...] = ()
    schema_id: str | None = None


class _Side(NamedTuple):
    """Where one generation of rows is, and how it tells what the filters ask for."""

    table: str
    alias: str
    conversation: str
    newest: str
    texts: str
    row: str
    matching: str
    tool_result: str
    named: str
    broke_off: str
    fragment: str

    def direct(self, search: Search) -> list[tuple[str, str | None]]:
        """The tests of a query that reads the full-text index, and the texts, itself."""
        match = (f"{self.texts}_fts match ?", search.match)
        return [match, *search.text_tests(self.row[0])]

    def indirect(self, search: Search | None) -> list[tuple[str, str | None]]:
        """The tests of a query that asks for the rows that are found."""
        if search is None:
            return []
        index = f"{self.texts}_fts"
        match = f"{self.row} in (select rowid from {index} where {index} match ?)"
        tests = [(match, search.match), *search.text_tests(self.row[0])]
        return [(self.matching.format(tests=sql), value) for sql, value in tests]

    @property
    def any_model(self) -> str:
        return f"(? in ({self.alias}.model, {self.alias}.resolved_model))"


TURN = _Side(
    *("turns", "t", "thread_id", TURN_IDS, "turn_search", "s.id", TURN_MATCHING),
    *(TURN_TOOL_RESULT, "and p.tool_name = ?", TURN_BROKE_OFF, TURN_FRAGMENT),
)
# Of the rows of older releases it is not known how they ended.
LEGACY = _Side(
    *("responses", "r", "conversation_id", LEGACY_IDS, "responses", "r.rowid", "{tests}"),
    *(LEGACY_TOOL_RESULT, "and x.name = ?", "? is null", LEGACY_FRAGMENT),
)


def existing_ids(conn: sqlite3.Connection, ids: Sequence[str]) -> set[str]:
    """Those of some ids that are in the log, of turns and of legacy responses."""
    return {
        row_id
        for table in ("turns", "responses")
        for (row_id,) in rows_by_ids(conn, f"select id from {table} where id in", ids)
    }


def iter_rows(
    conn: sqlite3.Connection, ids: Sequence[str], *, expand: bool = False, payloads: bool = True
) -> Iterator[Row]:
    """Build the rows of `ids`, as `build_rows` does, one batch at a time."""
    for some in batches(ids, BATCH):
        yield from build_rows(conn, some, expand=expand, payloads=payloads)


def select_ids(conn: sqlite3.Connection, filters: LogFilters) -> list[str]:
    """The matching ids: oldest first; with a query best first, or newest first with `latest`.

    Raises:
        LogError: The search query is not valid.
    """
    if filters.failed and not has_outcomes(conn):
        return []
    limit = -1 if filters.limit is None else filters.limit
    cut = slice(limit if limit >= 0 else None)
    if not filters.query:
        return _newest(conn, filters, limit)[cut][::-1]
    return _search(conn, filters, filters.query, limit)[cut]


def _search(conn: sqlite3.Connection, filters: LogFilters, query: str, limit: int) -> list[str]:
    """The ids that a query finds, in the first way of reading it that SQLite understands."""
    from ..records.search import is_unreadable, readings

    problem = None
    for search in readings(query):
        if search.match is None and not search.texts:
            break
        find = _best_matches if search.match and not filters.latest else _newest_matches
        try:
            return find(conn, filters, search, limit)
        except sqlite3.DatabaseError as error:
            pass_interrupt(error)
            problem = error
            if not is_unreadable(error):
                break
    raise _query_error(query, problem) from problem


def matching_ids(conn: sqlite3.Connection, filters: LogFilters) -> list[str]:
    """As `select_ids`; where the log does not know the model's name, that of the model it means.

    Raises:
        LogError: The search query is not valid.
    """
    ids = select_ids(conn, filters)
    if ids or filters.model is None:
        return ids
    from ...registry.aliases import resolve_model_id

    model_id = resolve_model_id(filters.model)
    return ids if model_id == filters.model else select_ids(conn, filters._replace(model=model_id))


def _query_error(query: str, error: sqlite3.Error | None) -> LogError:
    from ..records.search import is_unreadable

    text = str(error or "there is nothing in it to look for")
    if "locked" in text or "disk" in text:
        return LogError(f"Cannot search the log: {text}. Try again")
    if error and not is_unreadable(error):
        return LogError(f"Cannot search the log: {text}. 'llm logs verify' tells what is damaged")
    return LogError(
        f"Invalid search query: {query!r}: {text}. Put double quotes around text that holds"
        " punctuation or the words AND, OR, NOT and NEAR"
        " (https://sqlite.org/fts5.html#full_text_query_syntax)"
    )


def _newest(
    conn: sqlite3.Connection, filters: LogFilters, limit: int, search: Search | None = None
) -> list[str]:
    ids: set[str] = set()
    for side in (TURN, LEGACY):
        by_time = _is_short_time(conn, filters, side)
        for test in _model_tests(filters, side):
            tests = (side.indirect(search), test)
            found = _select(conn, side.newest, filters, side, limit, tests, by_time=by_time)
            ids.update(turn_id for (turn_id,) in found)
    return sorted(ids, reverse=True)


def _model_tests(filters: LogFilters, side: _Side) -> list[str]:
    """How to look for a model: each of two columns has an index that gives its newest rows first.

    Within one conversation the index of the conversation is the one to use.
    """
    if filters.model is None or filters.conversation_id is not None:
        return [side.any_model]
    return [f"{side.alias}.model = ?", f"{side.alias}.resolved_model = ?"]


def _is_short_time(conn: sqlite3.Connection, filters: LogFilters, side: _Side) -> bool:
    """Whether so few rows are of the time wanted that they are best found by their time."""
    if filters.since is None and filters.until is None:
        return False
    sql = f"select 1 from {side.table} {side.alias} where {{where}} limit ? offset {FEW}"
    time = LogFilters(since=filters.since, until=filters.until)
    return not _select(conn, sql, time, side, 1, by_time=True)


def _best_matches(
    conn: sqlite3.Connection, filters: LogFilters, search: Search, limit: int
) -> list[str]:
    is_all = filters._replace(limit=None, query=None) == LogFilters() and not search.texts
    select = TURN_BEST if is_all else TURN_MATCHES
    found = _select(conn, select, filters, TURN, limit, (TURN.direct(search), None))
    found += _select(conn, LEGACY_MATCHES, filters, LEGACY, limit, (LEGACY.direct(search), None))
    return [turn_id for turn_id, _ in sorted(found, key=itemgetter(1, 0))]


def _newest_matches(
    conn: sqlite3.Connection, filters: LogFilters, search: Search, limit: int
) -> list[str]:
    turns, legacy = NEWEST_MATCHES, LEGACY_IDS
    own, old = TURN.direct(search), LEGACY.indirect(search)
    if search.match is None:
        turns, legacy = NEWEST_WITH_TEXTS, LEGACY_WITH_TEXTS
        turns, own = _among_unsplit(conn, TURN, search, turns, own)
        legacy, old = _among_unsplit(conn, LEGACY, search, legacy, old)
    found = _select(conn, turns, filters, TURN, limit, (own, None))
    # The index is read in the order of writing. That is the order of ids unless turns were
    # imported or written again; then the slow and exact way is taken.
    if found and len(found) == limit:
        least = [min(column) for column in zip(*found, strict=True)]
        if conn.execute(OUT_OF_ORDER, least).fetchone():
            return _newest(conn, filters, limit, search)
    found += _select(conn, legacy, filters, LEGACY, limit, (old, None))
    return sorted((row[0] for row in found), reverse=True)


def _among_unsplit(
    conn: sqlite3.Connection,
    side: _Side,
    search: Search,
    select: str,
    tests: list[tuple[str, str | None]],
) -> tuple[str, list[tuple[str, str | None]]]:
    """A query and its tests, which looks at fewer rows where the search allows it."""
    if not search.is_unsplit:
        return select.replace("{indexed}", ""), tests
    from ..records.search import unsplit_rows

    indexed, test = unsplit_rows(conn, side.texts, side.row[0])
    return select.replace("{indexed}", indexed), [(f"{test} and {sql}", v) for sql, v in tests]


def _select(
    conn: sqlite3.Connection,
    select: str,
    filters: LogFilters,
    side: _Side,
    limit: int,
    tests: tuple[list[tuple[str, str | None]], str | None] = ([], None),
    *,
    by_time: bool = False,
) -> list[SQLRow]:
    """The rows of the query `select` that pass all filters.

    `tests` are those of the search, and say how to compare the model, with either column where
    missing; `by_time` lets SQLite use the index of the time.
    """
    known = [*tests[0], *_tests(filters, side, tests[1], by_time=by_time)]
    used = [(sql, value) for sql, value in known if value is not None]
    conditions = [sql for sql, _ in used]
    if filters.any_tools:
        conditions.append(side.tool_result.format(named=""))
    order = f"+{side.alias}.id" if by_time else f"{side.alias}.id"
    sql = select.format(where=" and ".join(conditions) or "1", order=order)
    return conn.execute(sql, [*(value for _, value in used), limit]).fetchall()


def _tests(
    filters: LogFilters, side: _Side, model_test: str | None, *, by_time: bool
) -> list[tuple[str, str | None]]:
    """The test for each filter, with the value it looks for; none where it is not set."""
    alias = side.alias
    # The sign keeps SQLite from using the index.
    time = f"{alias}.datetime_utc" if by_time else f"+{alias}.datetime_utc"
    return [
        (model_test or side.any_model, filters.model),
        (f"{alias}.{side.conversation} = ?", filters.conversation_id),
        (f"{alias}.id > ?", filters.id_gt),
        (f"{alias}.id >= ?", filters.id_gte),
        (f"{time} >= ?", filters.since),
        (f"{time} < ?", filters.until),
        (side.broke_off, RECOVERED if filters.failed else None),
        (f"{alias}.schema_id = ?", filters.schema_id),
        *((side.fragment, digest) for digest in filters.fragments),
        *((side.tool_result.format(named=side.named), name) for name in filters.tools),
    ]
