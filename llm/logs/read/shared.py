"""What turns share, found, listed and named: fragments with their aliases, and schemas."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import for_hints
from ...text import JSONObject
from ..file.db import pass_interrupt
from ..file.lookups import decoded_object
from ..file.migrations import connection_of, has_table, immediate

if TYPE_CHECKING:
    from ...content import Fragment
    from ..file.lookups import SQLRow
    from ..records.shared import AnyDatabase
else:
    for_hints(
        globals(),
        {
            "llm.content": "Attachment Fragment",
            "llm.logs.file.lookups": "SQLRow",
            "llm.logs.records.shared": "AnyDatabase",
        },
    )

# What has the alias comes before what has the hash.
_FIND = (
    "select content, source from fragments where hash = ?1"
    " or id = (select fragment_id from fragment_aliases where alias = ?1)"
    " order by hash = ?1 limit 1"
)
_LIST = "select id, hash, datetime_utc, source, {content} from fragments where {where} order by id"
_WHERE_QUERY = """(hash = :q{n}
  or id in (select fragment_id from fragment_aliases where alias = :q{n})
  or instr(lower(source), lower(:q{n})) or instr(lower(content), lower(:q{n})))"""
_IS_ALIASED = "id in (select value from json_each(:aliased))"
_ALIASES = "select fragment_id, alias from fragment_aliases order by rowid"
_SET_ALIAS = "insert or replace into fragment_aliases (alias, fragment_id) values (?, ?)"
# So long is the content in a list; a character takes at most four bytes.
_CUT_LENGTH = 100
_START_OF_CONTENT = f"substr(cast(content as blob), 1, {4 * (_CUT_LENGTH + 1)})"
_BATCH = 256


class StoredFragments(NamedTuple):
    """Some fragments as `llm fragments` lists them: a column for each key of `--json`, in order."""

    hash: Sequence[str]
    aliases: Sequence[list[str]]
    datetime_utc: Sequence[str | None]
    source: Sequence[str | None]
    content: Sequence[str]


def find_fragment(db: AnyDatabase, name: str) -> Fragment | None:
    """The stored fragment with that alias or hash, or `None`."""
    conn = connection_of(db)
    if not has_table(conn, "fragment_aliases"):
        return None
    row = conn.execute(_FIND, [name]).fetchone()
    if row is None:
        return None
    from ...content import Fragment

    return Fragment(row[0], row[1] or "")


def iter_fragments(
    conn: sqlite3.Connection,
    queries: Sequence[str] = (),
    *,
    only_aliased: bool = False,
    cut: bool = False,
) -> Iterator[StoredFragments]:
    """The stored fragments in the order in which they were stored first, some hundred at a time.

    Args:
        conn: The log database.
        queries: Each must be the hash or an alias, or occur in the source or content.
        only_aliased: Only those that have an alias.
        cut: Give the content cut to 100 characters.
    """
    aliases: dict[int, list[str]] = {}
    for fragment_id, alias in conn.execute(_ALIASES):
        aliases.setdefault(fragment_id, []).append(alias)
    tests = [_WHERE_QUERY.format(n=number) for number in range(len(queries))]
    sql = _LIST.format(
        content=_START_OF_CONTENT if cut else "ifnull(content, '')",
        where=" and ".join([*tests, _IS_ALIASED if only_aliased else "1"]),
    )
    values = {f"q{number}": query for number, query in enumerate(queries)}
    values["aliased"] = json.dumps(list(aliases))
    for batch in _batches(conn, sql, values):
        ids, digests, times, sources, contents = zip(*batch, strict=True)
        names = [aliases.get(number, []) for number in ids] if aliases else [[]] * len(ids)
        texts = _cut(contents) if cut else contents
        yield StoredFragments(digests, names, times, sources, texts)


def _cut(starts: Sequence[bytes | None]) -> list[str]:
    # The start of nothing is null, as is the content of rows that somebody else has written.
    texts = [(start or b"").decode("utf-8", "replace") for start in starts]
    return [text if len(text) <= _CUT_LENGTH else f"{text[: _CUT_LENGTH - 3]}..." for text in texts]


def _batches(conn: sqlite3.Connection, sql: str, values: dict[str, str]) -> Iterator[list[SQLRow]]:
    """The rows of a query. SQLite decodes the texts, in half the time, while they are UTF-8."""
    lenient, conn.text_factory = conn.text_factory, str
    count = 0
    try:
        rows = conn.execute(sql, values)
        while batch := rows.fetchmany(_BATCH):
            yield batch
            count += len(batch)
    except sqlite3.OperationalError as error:
        pass_interrupt(error)
        conn.text_factory = lenient
        rest = islice(conn.execute(sql, values), count, None)
        while batch := list(islice(rest, _BATCH)):
            yield batch
    finally:
        conn.text_factory = lenient


def set_fragment_alias(db: AnyDatabase, alias: str, fragment: str) -> None:
    """Store a fragment and let `alias` stand for it, whatever it stood for before."""
    from ..records.shared import ensure_fragment

    conn = connection_of(db)
    with immediate(conn):
        conn.execute(_SET_ALIAS, [alias, ensure_fragment(conn, fragment)])


def remove_fragment_alias(db: AnyDatabase, alias: str) -> None:
    """Remove an alias, if there is one; the fragment stays."""
    conn = connection_of(db)
    with immediate(conn):
        conn.execute("delete from fragment_aliases where alias = ?", [alias])


# Schemas

# Turns, and rows of older releases that were not logged as turns as well.
_LIST_SCHEMAS = """
with uses(schema_id, used) as (
  select schema_id, datetime_utc from turns where schema_id is not null
  union all
  select schema_id, datetime_utc from responses r where schema_id is not null
    and not exists (select 1 from turns where turns.id = r.id)
)
select s.id, s.content, max(u.used), count(u.used)
from schemas s join uses u on u.schema_id = s.id {where}
group by s.id order by max(u.used), s.id
"""
_FIND_SCHEMA = "select content from schemas where id = ?"


class StoredSchema(NamedTuple):
    """A schema as `llm schemas` lists it, its fields in the order of `--json`."""

    id: str
    content: JSONObject
    recently_used: str
    times_used: int


def iter_schemas(conn: sqlite3.Connection, queries: Sequence[str] = ()) -> Iterator[StoredSchema]:
    """The schemas that prompts have used, the one used last at the end.

    Args:
        conn: The log database.
        queries: Each must occur in the JSON of the schema.
    """
    where = " and ".join(["instr(lower(s.content), lower(?))"] * len(queries))
    sql = _LIST_SCHEMAS.format(where=f"where {where}" if where else "")
    for schema_id, content, used, times in conn.execute(sql, list(queries)):
        yield StoredSchema(schema_id, decoded_object(content), used, times)


def find_schema(conn: sqlite3.Connection, schema_id: str) -> JSONObject | None:
    """The schema of that id, or `None`."""
    row = conn.execute(_FIND_SCHEMA, [schema_id]).fetchone()
    return None if row is None else decoded_object(row[0])
