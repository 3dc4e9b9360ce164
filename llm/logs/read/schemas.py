"""Stored schemas: which there are, and how often they were used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...text import JSONObject

if TYPE_CHECKING:
    import sqlite3

# Turns, and rows of older releases that were not logged as turns as well.
_LIST = """
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
_FIND = "select content from schemas where id = ?"


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
    sql = _LIST.format(where=f"where {where}" if where else "")
    for schema_id, content, used, times in conn.execute(sql, list(queries)):
        yield StoredSchema(schema_id, json.loads(content), used, times)


def find_schema(conn: sqlite3.Connection, schema_id: str) -> JSONObject | None:
    """The schema of that id, or `None`."""
    row = conn.execute(_FIND, [schema_id]).fetchone()
    return None if row is None else dict(json.loads(row[0]))
