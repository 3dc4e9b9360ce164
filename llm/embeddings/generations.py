"""Whether the vectors of a collection have changed, told by a counter that triggers raise.

The triggers belong to the file, so they count for whoever writes to it, other releases of `llm`
included. A collection is counted from the time that somebody asks for it first; until then a write
costs one look-up that finds nothing.

Counters begin and grow by random numbers, so that two copies of a file that went different ways do
not count the same.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ..logs.file.migrations import has_table, immediate

_TABLE = "_llm_x_vectors"
_STEP = "1 + (random() & 1048575)"
_MAKE_TABLE = f"""
    create table if not exists {_TABLE}
        (collection_id integer primary key, generation integer, rewritten integer)
"""
_CHANGED = f"""
    update {_TABLE} set generation = generation + {_STEP}, rewritten = rewritten + {_STEP}
    where collection_id"""
# An entry that takes the place of another is a change, one that is new is not.
_TRIGGERS = {
    f"{_TABLE}_insert": f"""before insert on embeddings begin
        update {_TABLE} set generation = generation + {_STEP},
            rewritten = rewritten + (exists (
                select 1 from embeddings where collection_id = new.collection_id and id = new.id
            )) * ({_STEP})
        where collection_id = new.collection_id; end""",
    f"{_TABLE}_update": f"""after update of collection_id, id, embedding on embeddings begin
        {_CHANGED} in (old.collection_id, new.collection_id); end""",
    f"{_TABLE}_delete": f"""after delete on embeddings begin
        {_CHANGED} = old.collection_id; end""",
}
_ARE_THERE = "select count(*) from sqlite_master where type = 'trigger' and name in (?, ?, ?)"
_START = f"""
    insert or ignore into {_TABLE} values (?, random() & 1099511627775, random() & 1099511627775)
"""


class Generation(NamedTuple):
    """The state of a collection's vectors: it is another one after every change.

    Attributes:
        generation: Changed by every entry that is added, changed or removed.
        rewritten: Not changed by entries that are new.
        schema: Changed when the rows of the file are numbered anew.
    """

    generation: int
    rewritten: int
    schema: int


def generation_of(conn: sqlite3.Connection, collection_id: int) -> Generation | None:
    """The present state, or `None` where the collection is not counted."""
    if not has_table(conn, _TABLE) or not _has_triggers(conn):
        return None
    sql = f"select generation, rewritten from {_TABLE} where collection_id = ?"
    row = conn.execute(sql, [collection_id]).fetchone()
    if row is None:
        return None
    schema = conn.execute("pragma schema_version").fetchone()[0]
    return Generation(row[0], row[1], schema)


def _has_triggers(conn: sqlite3.Connection) -> bool:
    return bool(conn.execute(_ARE_THERE, list(_TRIGGERS)).fetchone()[0] == len(_TRIGGERS))


def start_counting(conn: sqlite3.Connection, collection_id: int) -> bool:
    """Let a collection be counted from now on; false where the file cannot be written."""
    try:
        with immediate(conn):
            conn.execute(_MAKE_TABLE)
            if not _has_triggers(conn):
                for name, body in _TRIGGERS.items():
                    conn.execute(f"create trigger if not exists {name} {body}")
                # Nobody has counted meanwhile.
                conn.execute(f"{_CHANGED} is not null")
            conn.execute(_START, [collection_id])
    except sqlite3.OperationalError:
        return False
    return True


def stop_counting(conn: sqlite3.Connection, collection_id: int) -> None:
    """Forget a collection that is no more."""
    if has_table(conn, _TABLE):
        conn.execute(f"delete from {_TABLE} where collection_id = ?", [collection_id])
