"""Collections in a file of SQLite, and which store it is that a database is named by."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from ..errors import LLMError
from ..logs.file.migrations import connection_of, has_table, immediate
from .generations import stop_counting
from .nearest import Condition, Found, Search, all_of
from .opening import AnyDatabase, Connections, path_of, reading
from .sidecar import sidecar_path
from .store import EntryRow, Kind, KnownRow, VectorStore, is_address, like
from .where import where as condition_on_metadata

if TYPE_CHECKING:
    from sqlite_utils import Database

# So many values may be bound in one statement by any SQLite.
_MOST_BOUND = 900

_FIND = "select id, model from collections where name = ?"
_ADD = "insert or ignore into collections (name, model) values (?, ?)"
_LIST = """
    select name, model, (select count(*) from embeddings where collection_id = collections.id)
    from collections order by name
"""
_ENTRY = """
    select embedding, content, content_blob, metadata from embeddings
    where collection_id = ? and id = ?
"""
_IDS = """
    select id from embeddings where collection_id = ? and substr(id, 1, length(?)) = ? order by id
"""
_SAME_IDS = """
    select id, content_hash, embedding, content_blob is null, content is null, metadata
    from embeddings where collection_id = ? and id in (%s)
"""
# A text is not the bytes that spell it, which shows in the column where the content was kept. The
# plus sign has the index of the hashes used, not that of the whole collection; one row of each
# content is enough, however many have it.
_SAME_CONTENT = """
    select is_text, hash, (
        select embedding from embeddings where content_hash = hash and +collection_id = ?
            and case when is_text then content_blob else content end is null limit 1
    ) as found
    from (select column1 as is_text, column2 as hash from (values %s)) where found is not null
"""
_PUT = """
    insert or replace into embeddings
        (collection_id, id, embedding, content, content_blob, content_hash, metadata, updated)
    values (?, ?, ?, ?, ?, ?, ?, ?)
"""
# Where there is a content to keep for the first time, or other metadata.
_REFRESH = """
    update embeddings set
        content = coalesce(content, ?), content_blob = coalesce(content_blob, ?),
        metadata = ?, updated = ?
    where collection_id = ? and id = ? and content_hash = ?
"""


def open_store(db: AnyDatabase | None) -> VectorStore:
    """The store that a database is, ready to be written.

    Raises:
        EmbeddingsError: It cannot be opened.
    """
    if isinstance(db, str) and is_address(db):
        from .postgres import PostgresStore

        return PostgresStore(db)
    return SQLiteStore(Connections(db))


@contextmanager
def reading_store(db: AnyDatabase) -> Iterator[VectorStore | None]:
    """The store as it is, to be read; `None` where there is no database, or nothing in it.

    Raises:
        EmbeddingsError: It is no database of embeddings.
    """
    if is_address(db):
        store = open_store(db)
        try:
            yield None if store.listing() is None else store
        finally:
            store.close()
        return
    path = path_of(db)
    if path is None:
        yield _as_it_is(connection_of(cast("Database", db)))
        return
    with reading(path) as conn:
        yield None if conn is None else _as_it_is(conn)


def _as_it_is(conn: sqlite3.Connection) -> VectorStore | None:
    return (
        SQLiteStore(Connections(conn, migrates=False)) if has_table(conn, "collections") else None
    )


class SQLiteStore:
    """Collections in a file of SQLite; see `VectorStore`."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    def find(self, name: str) -> tuple[int, str] | None:
        """See `VectorStore.find`."""
        for found in self._rows(_FIND, name):
            return found[0], found[1]
        return None

    def make(self, name: str, model_id: str) -> tuple[int, str]:
        """See `VectorStore.make`."""
        with self.connections.turn() as conn, immediate(conn):
            # Another process may have made it meanwhile.
            conn.execute(_ADD, [name, model_id])
            found = self.find(name)
        assert found is not None
        return found

    def listing(self) -> list[tuple[str, str, int]] | None:
        """See `VectorStore.listing`."""
        return self._rows(_LIST)

    def count(self, collection_id: int) -> int:
        """See `VectorStore.count`."""
        sql = "select count(*) from embeddings where collection_id = ?"
        return int(self._rows(sql, collection_id)[0][0])

    def ids(self, collection_id: int, prefix: str) -> list[str]:
        """See `VectorStore.ids`."""
        return [row[0] for row in self._rows(_IDS, collection_id, prefix, prefix)]

    def get(self, collection_id: int, id: str) -> EntryRow | None:
        """See `VectorStore.get`."""
        for row in self._rows(_ENTRY, collection_id, id):
            return EntryRow(*row)
        return None

    def same_ids(self, collection_id: int, ids: Sequence[str]) -> Iterator[KnownRow]:
        """See `VectorStore.same_ids`."""
        for start in range(0, len(ids), _MOST_BOUND):
            part = ids[start : start + _MOST_BOUND]
            sql = _SAME_IDS % ",".join("?" * len(part))
            yield from map(KnownRow._make, self._rows(sql, collection_id, *part))

    def same_content(
        self, collection_id: int, kinds: Sequence[Kind]
    ) -> Iterator[tuple[Kind, bytes]]:
        """See `VectorStore.same_content`."""
        for start in range(0, len(kinds), _MOST_BOUND // 2):
            part = kinds[start : start + _MOST_BOUND // 2]
            sql = _SAME_CONTENT % ",".join(["(?, ?)"] * len(part))
            for is_text, digest, vector in self._rows(sql, collection_id, *chain(*part)):
                yield (bool(is_text), digest), vector

    def write(
        self,
        collection_id: int,
        puts: Sequence[tuple[str, EntryRow, bytes]],
        refreshes: Sequence[tuple[str, EntryRow, bytes]],
    ) -> None:
        """See `VectorStore.write`."""
        now = int(time.time())
        with self.connections.turn() as conn, immediate(conn):
            conn.executemany(
                _PUT,
                [
                    (collection_id, entry_id, *row[:3], digest, row.metadata, now)
                    for entry_id, row, digest in puts
                ],
            )
            conn.executemany(
                _REFRESH,
                [
                    (row.text, row.binary, row.metadata, now, collection_id, entry_id, digest)
                    for entry_id, row, digest in refreshes
                ],
            )

    def set_metadata(self, collection_id: int, id: str, metadata: str | None) -> bool:
        """See `VectorStore.set_metadata`."""
        sql = "update embeddings set metadata = ?, updated = ? where collection_id = ? and id = ?"
        return bool(self._change(sql, [(metadata, int(time.time()), collection_id, id)]))

    def remove(self, collection_id: int, ids: Iterable[str]) -> int:
        """See `VectorStore.remove`."""
        sql = "delete from embeddings where collection_id = ? and id = ?"
        return self._change(sql, ((collection_id, entry_id) for entry_id in ids))

    def drop(self, collection_id: int) -> int:
        """See `VectorStore.drop`."""
        with self.connections.turn() as conn, immediate(conn):
            values = [(collection_id,)]
            removed = self._change("delete from embeddings where collection_id = ?", values)
            self._change("delete from collections where id = ?", values)
            stop_counting(conn, collection_id)
        with suppress(OSError):
            os.unlink(sidecar_path(self.connections.path, collection_id))
        return removed

    def condition(
        self, prefix: str | None, where: str | None, ids: list[str] | None
    ) -> Condition | None:
        """See `VectorStore.condition`."""
        conditions = []
        if prefix:
            conditions.append(Condition(r"id like ? escape '\'", (like(prefix),)))
        if where:
            conditions.append(condition_on_metadata(where))
        if ids is not None:
            sql = "id in (select value from json_each(?))"
            conditions.append(Condition(sql, (json.dumps(ids),)))
        return all_of(conditions)

    def search(self, search: Search) -> list[Found]:
        """See `VectorStore.search`."""
        with self.connections.turn() as conn:
            return search.run(conn, self.connections.path)

    def index(self, collection_id: int) -> None:
        """See `VectorStore.index`."""
        raise LLMError(
            "A database of SQLite needs no index: its file of vectors is written with the first "
            "search. An index is for PostgreSQL, with -d postgresql://..."
        )

    def close(self) -> None:
        """See `VectorStore.close`."""
        self.connections.close()

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with self.connections.turn() as conn:
            return conn.execute(sql, values).fetchall()

    def _change(self, sql: str, rows: Iterable[tuple[object, ...]]) -> int:
        with self.connections.turn() as conn, immediate(conn):
            return max(conn.executemany(sql, rows).rowcount, 0)
