"""Stored fragments and their aliases: finding, listing, naming."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from .migrations import connection_of
from .transactions import immediate

if TYPE_CHECKING:
    from ..content import Fragment
    from .shared import AnyDatabase

_BY_ALIAS = (
    "select content, source from fragments"
    " where id = (select fragment_id from fragment_aliases where alias = ?)"
)
_BY_HASH = "select content, source from fragments where hash = ?"
_LIST = "select id, hash, datetime_utc, source, {content} from fragments {where} order by id"
_WHERE_QUERY = """(hash = :q{n}
  or id in (select fragment_id from fragment_aliases where alias = :q{n})
  or instr(lower(source), lower(:q{n})) or instr(lower(content), lower(:q{n})))"""
_ALIASES = "select fragment_id, alias from fragment_aliases order by rowid"
_SET_ALIAS = "insert or replace into fragment_aliases (alias, fragment_id) values (?, ?)"
_HAS_TABLE = "select 1 from sqlite_master where type = 'table' and name = 'fragment_aliases'"
_START_OF_CONTENT = (
    "case when length(substr(content, 1, 101)) > 100"
    " then substr(content, 1, 97) || '...' else content end"
)


class StoredFragment(NamedTuple):
    """A fragment as `llm fragments` lists it, its fields in the order of `--json`."""

    hash: str
    aliases: list[str]
    datetime_utc: str
    source: str | None
    content: str


def find_fragment(db: AnyDatabase, name: str) -> Fragment | None:
    """The stored fragment with that alias or hash, or `None`."""
    conn = connection_of(db)
    if conn.execute(_HAS_TABLE).fetchone() is None:
        return None
    row = conn.execute(_BY_ALIAS, [name]).fetchone() or conn.execute(_BY_HASH, [name]).fetchone()
    if row is None:
        return None
    from ..content import Fragment

    return Fragment(row[0], row[1] or "")


def iter_fragments(
    conn: sqlite3.Connection,
    queries: Sequence[str] = (),
    *,
    only_aliased: bool = False,
    cut: bool = False,
) -> Iterator[StoredFragment]:
    """The stored fragments in the order in which they were stored first.

    Args:
        conn: The log database.
        queries: Each must be the hash or an alias, or occur in the source or content.
        only_aliased: Only those that have an alias.
        cut: Give the content cut to 100 characters.
    """
    aliases: dict[int, list[str]] = {}
    for fragment_id, alias in conn.execute(_ALIASES):
        aliases.setdefault(fragment_id, []).append(alias)
    conditions = [_WHERE_QUERY.format(n=number) for number in range(len(queries))]
    if only_aliased:
        conditions.append("id in (select value from json_each(:aliased))")
    sql = _LIST.format(
        content=_START_OF_CONTENT if cut else "content",
        where=f"where {' and '.join(conditions)}" if conditions else "",
    )
    none: list[str] = []
    make = StoredFragment._make
    values = {f"q{number}": query for number, query in enumerate(queries)}
    values["aliased"] = json.dumps(list(aliases))
    for fragment_id, digest, stored, source, content in _rows(conn, sql, values):
        names = aliases.get(fragment_id, none) if aliases else none
        yield make((digest, names, stored, source, content or ""))


def _rows(conn: sqlite3.Connection, sql: str, values: dict[str, str]) -> Iterator[Any]:
    """The rows of a query. SQLite decodes the texts, in half the time, while they are UTF-8."""
    lenient, conn.text_factory = conn.text_factory, str
    count = 0
    try:
        for row in conn.execute(sql, values):
            yield row
            count += 1
    except sqlite3.OperationalError:
        conn.text_factory = lenient
        yield from islice(conn.execute(sql, values), count, None)
    finally:
        conn.text_factory = lenient


def set_fragment_alias(db: AnyDatabase, alias: str, fragment: str) -> None:
    """Store a fragment and let `alias` stand for it, whatever it stood for before."""
    from .shared import ensure_fragment

    conn = connection_of(db)
    with immediate(conn):
        conn.execute(_SET_ALIAS, [alias, ensure_fragment(conn, fragment)])


def remove_fragment_alias(db: AnyDatabase, alias: str) -> None:
    """Remove an alias, if there is one; the fragment stays."""
    conn = connection_of(db)
    with immediate(conn):
        conn.execute("delete from fragment_aliases where alias = ?", [alias])
