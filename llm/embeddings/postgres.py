"""Collections in PostgreSQL with pgvector, in a schema of their own; see `VectorStore`."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import EmbeddingsError, LLMError
from ..text.secrets import remember_request
from .nearest import Condition, Found, Search, all_of, exact_scorer, rounding
from .store import EntryRow, Kind, KnownRow, like
from .where import Dialect
from .where import where as condition_on_metadata

if TYPE_CHECKING:
    from types import ModuleType

_MAKE = """
create extension if not exists vector;
create schema if not exists llm;
create table if not exists llm.collections (
    id bigserial primary key, name text not null unique, model text not null);
create table if not exists llm.embeddings (
    collection_id bigint not null references llm.collections (id) on delete cascade,
    id text collate "C" not null, embedding vector not null, content text, content_blob bytea,
    content_hash bytea not null, metadata jsonb, updated bigint not null,
    primary key (collection_id, id));
create index if not exists embeddings_content_hash on llm.embeddings (content_hash);
"""
# Two who make it at once would get in each other's way.
_LOCK = "select pg_advisory_xact_lock(hashtext('llm.embeddings'))"
_LIST = """
    select name, model, (select count(*) from llm.embeddings where collection_id = c.id)
    from llm.collections c order by name collate "C"
"""
_SAME_IDS = """
    select id, content_hash, embedding, content_blob is null, content is null, metadata::text
    from llm.embeddings where collection_id = %s and id = any(%s)
"""
_SAME_CONTENT = """
    select distinct on (content_hash) content_hash, embedding from llm.embeddings
    where collection_id = %s and content_hash = any(%s) and {} is null
"""
_PUT = """
    insert into llm.embeddings values (%s, %s, %s, %s, %s, %s, %s::jsonb, %s)
    on conflict (collection_id, id) do update set embedding = excluded.embedding,
        content = excluded.content, content_blob = excluded.content_blob,
        content_hash = excluded.content_hash, metadata = excluded.metadata,
        updated = excluded.updated
"""
_REFRESH = """
    update llm.embeddings set content = coalesce(content, %s),
        content_blob = coalesce(content_blob, %s), metadata = %s::jsonb, updated = %s
    where collection_id = %s and id = %s and content_hash = %s
"""
# A vector of zeros has no direction: its score is 0, as that of a right angle.
_DISTANCE = "coalesce(nullif(embedding <=> %s, 'NaN'), 1)"
_NEAREST = f"""
    with scored as materialized (
        select id, {_DISTANCE} as distance from llm.embeddings where {{where}}),
    last as (select max(distance) as distance from (
        select distance from scored order by distance limit %s) best)
    select e.id, e.embedding, e.content, e.metadata::text from scored
        join last on scored.distance <= last.distance + %s
        join llm.embeddings e on e.id = scored.id and e.collection_id = %s
"""
_ALL = "select id, embedding, content, metadata::text from llm.embeddings where {where}"
_BY_INDEX = """
    select id, embedding, content, metadata::text from llm.embeddings
    where {where} order by {indexed} <=> %s::{kind} limit %s
"""
_TYPED = "case when jsonb_typeof(metadata #> %s) = '{}' then {} {{}} %s else false end"
POSTGRES = Dialect(
    "({})",
    "coalesce(jsonb_typeof(metadata #> %s), 'null') = 'null'",
    "coalesce(metadata #> %s = %s::jsonb, false)",
    _TYPED.format("string", '(metadata #>> %s) collate "C"'),
    _TYPED.format("number", "(metadata #>> %s)::double precision"),
    lambda steps: [str(step) for step in steps],
)
# What pgvector takes into an index: with 32 bits a number, and with 16.
_MOST_INDEXED, _MOST_HALVES = 2_000, 4_000
_LEAST_LOOKED_AT = 200


class PostgresStore:
    """Collections in the schema `llm` of a database of PostgreSQL; see `VectorStore`.

    Args:
        address: As `postgresql://user:password@host/database`.

    Raises:
        EmbeddingsError: psycopg is not installed, or the server cannot be reached.
    """

    def __init__(self, address: str) -> None:
        remember_request(address, {})
        self._psycopg = _package("psycopg")
        self._pgvector = _package("pgvector")
        self._knows_vectors = False
        with self._errors("reach"):
            self._conn = self._psycopg.connect(address, autocommit=True)
        if self._is_made():
            self._learn_vectors()

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            raise EmbeddingsError(f"Cannot {doing} the PostgreSQL database: {problem}") from error

    def _is_made(self) -> bool:
        with self._errors("read"):
            sql = "select to_regclass('llm.embeddings') is not null"
            return bool(self._conn.execute(sql).fetchone()[0])

    def _learn_vectors(self) -> None:
        from importlib import import_module

        import_module("pgvector.psycopg").register_vector(self._conn)
        self._knows_vectors = True

    def _rows(self, sql: str, *values: object) -> list[Any]:
        if not self._knows_vectors:
            return []
        with self._errors("read"):
            rows: list[Any] = self._conn.execute(sql, values).fetchall()
        return rows

    def _change(self, sql: str, *values: object) -> int:
        with self._errors("write to"):
            return int(self._conn.execute(sql, values).rowcount)

    # Collections

    def find(self, name: str) -> tuple[int, str] | None:
        """See `VectorStore.find`."""
        for found in self._rows("select id, model from llm.collections where name = %s", name):
            return found[0], found[1]
        return None

    def make(self, name: str, model_id: str) -> tuple[int, str]:
        """See `VectorStore.make`."""
        with self._errors("write to"):
            if not self._knows_vectors:
                with self._conn.transaction():
                    self._conn.execute(_LOCK)
                    self._conn.execute(_MAKE)
                self._learn_vectors()
            sql = "insert into llm.collections (name, model) values (%s, %s) on conflict do nothing"
            self._conn.execute(sql, [name, model_id])
        found = self.find(name)
        assert found is not None
        return found

    def listing(self) -> list[tuple[str, str, int]] | None:
        """See `VectorStore.listing`."""
        return self._rows(_LIST) if self._knows_vectors else None

    def drop(self, collection_id: int) -> int:
        """See `VectorStore.drop`."""
        count = self.count(collection_id)
        with self._errors("write to"), self._conn.transaction():
            self._conn.execute(f"drop index if exists llm.{_index_name(collection_id)}")
            self._conn.execute("delete from llm.collections where id = %s", [collection_id])
        return count

    # Entries

    def count(self, collection_id: int) -> int:
        """See `VectorStore.count`."""
        sql = "select count(*) from llm.embeddings where collection_id = %s"
        return int(self._rows(sql, collection_id)[0][0])

    def ids(self, collection_id: int, prefix: str) -> list[str]:
        """See `VectorStore.ids`."""
        sql = """
            select id from llm.embeddings where collection_id = %s and starts_with(id, %s)
            order by id
        """
        return [row[0] for row in self._rows(sql, collection_id, prefix)]

    def get(self, collection_id: int, id: str) -> EntryRow | None:
        """See `VectorStore.get`."""
        sql = """
            select embedding, content, content_blob, metadata::text from llm.embeddings
            where collection_id = %s and id = %s
        """
        for vector, text, binary, metadata in self._rows(sql, collection_id, id):
            return EntryRow(_bytes_of(vector), text, binary, metadata)
        return None

    def same_ids(self, collection_id: int, ids: Sequence[str]) -> Iterator[KnownRow]:
        """See `VectorStore.same_ids`."""
        for row in self._rows(_SAME_IDS, collection_id, list(ids)):
            yield KnownRow(row[0], row[1], _bytes_of(row[2]), *row[3:])

    def same_content(
        self, collection_id: int, kinds: Sequence[Kind]
    ) -> Iterator[tuple[Kind, bytes]]:
        """See `VectorStore.same_content`."""
        for is_text, other in ((True, "content_blob"), (False, "content")):
            digests = [digest for kind, digest in kinds if kind is is_text]
            if digests:
                sql = _SAME_CONTENT.format(other)
                for digest, vector in self._rows(sql, collection_id, digests):
                    yield (is_text, digest), _bytes_of(vector)

    def write(
        self,
        collection_id: int,
        puts: Sequence[tuple[str, EntryRow, bytes]],
        refreshes: Sequence[tuple[str, EntryRow, bytes]],
    ) -> None:
        """See `VectorStore.write`."""
        now = int(time.time())
        put = [
            (
                *(collection_id, entry_id, self._vector(row.vector), row.text, row.binary),
                *(digest, row.metadata, now),
            )
            for entry_id, row, digest in puts
        ]
        refresh = [
            (row.text, row.binary, row.metadata, now, collection_id, entry_id, digest)
            for entry_id, row, digest in refreshes
        ]
        with (
            self._errors("write to"),
            self._conn.transaction(),
            self._conn.cursor() as cursor,
        ):
            cursor.executemany(_PUT, put)
            cursor.executemany(_REFRESH, refresh)

    def set_metadata(self, collection_id: int, id: str, metadata: str | None) -> bool:
        """See `VectorStore.set_metadata`."""
        sql = """
            update llm.embeddings set metadata = %s::jsonb, updated = %s
            where collection_id = %s and id = %s
        """
        return bool(self._change(sql, metadata, int(time.time()), collection_id, id))

    def remove(self, collection_id: int, ids: Iterable[str]) -> int:
        """See `VectorStore.remove`."""
        sql = "delete from llm.embeddings where collection_id = %s and id = any(%s)"
        return self._change(sql, collection_id, list(ids))

    # Finding

    def condition(
        self, prefix: str | None, where: str | None, ids: list[str] | None
    ) -> Condition | None:
        """See `VectorStore.condition`."""
        conditions = []
        if prefix:
            conditions.append(Condition("id ilike %s", (like(prefix),)))
        if where:
            conditions.append(condition_on_metadata(where, POSTGRES))
        if ids is not None:
            conditions.append(Condition("id = any(%s)", (ids,)))
        return all_of(conditions)

    def search(self, search: Search) -> list[Found]:
        """See `VectorStore.search`."""
        score = exact_scorer(search.vector)
        least = -2 if search.min_score is None else search.min_score
        found = []
        for entry_id, vector, content, metadata in self._candidates(search):
            if vector.dimensions() != len(search.vector):
                raise LLMError(
                    f"Cannot compare a vector of {len(search.vector)} dimensions with "
                    f"{entry_id!r}, which has {vector.dimensions()}"
                )
            exact = score(_bytes_of(vector))
            if entry_id != search.skip_id and exact >= least:
                found.append(Found(entry_id, exact, content, metadata))
        found.sort(key=lambda entry: (-entry.score, entry.id))
        return found if search.number < 0 else found[: search.number]

    def _candidates(self, search: Search) -> list[Any]:
        """The rows of all entries that may be among the best."""
        condition = search.condition or Condition("true", ())
        # The number in the text, so that the planner sees that it is that of the index.
        where = f"collection_id = {search.collection_id} and ({condition.sql})"
        if search.number == 0:
            return []
        if search.number < 0:
            return self._rows(_ALL.format(where=where), *condition.values)
        count = search.number + (search.skip_id is not None)
        vector = self._pgvector.Vector(list(search.vector))
        indexed = self._indexed(search.collection_id)
        if indexed is None:
            margin = rounding(len(search.vector))
            values = (vector, *condition.values, count, margin, search.collection_id)
            return self._rows(_NEAREST.format(where=where), *values)
        with self._errors("read"), self._conn.transaction():
            # The filter is part of the search: it goes on until there are enough.
            self._conn.execute("set local hnsw.iterative_scan = strict_order")
            looked_at = min(max(_LEAST_LOOKED_AT, 2 * count), 1000)
            self._conn.execute(f"set local hnsw.ef_search = {looked_at}")
            kind = indexed.partition("::")[2]
            sql = _BY_INDEX.format(where=where, indexed=indexed, kind=kind)
            return self._rows(sql, *condition.values, vector, count)

    def _indexed(self, collection_id: int) -> str | None:
        """The expression that is indexed for a collection, `None` where nothing is."""
        sql = "select obj_description(to_regclass(%s), 'pg_class')"
        found: str | None = self._rows(sql, f"llm.{_index_name(collection_id)}")[0][0]
        return found

    def index(self, collection_id: int) -> None:
        """See `VectorStore.index`."""
        sql = "select vector_dims(embedding) from llm.embeddings where collection_id = %s limit 1"
        rows = self._rows(sql, collection_id)
        if not rows:
            raise LLMError("There is nothing to index: the collection is empty")
        dimensions = rows[0][0]
        if dimensions > _MOST_HALVES:
            raise LLMError(
                f"pgvector indexes at most {_MOST_HALVES:,} dimensions, and these are "
                f"{dimensions:,}: the search works without an index"
            )
        kind = "vector" if dimensions <= _MOST_INDEXED else "halfvec"
        name, indexed = _index_name(collection_id), f"embedding::{kind}({dimensions})"
        with self._errors("write to"), self._conn.transaction():
            self._conn.execute(
                f"create index if not exists {name} on llm.embeddings using hnsw "
                f"(({indexed}) {kind}_cosine_ops) where collection_id = {collection_id}"
            )
            self._conn.execute(f"comment on index llm.{name} is '{indexed}'")

    def close(self) -> None:
        """See `VectorStore.close`."""
        self._conn.close()

    def __del__(self) -> None:
        # As a connection of SQLite does that nobody has closed; there may be none yet.
        with suppress(AttributeError):
            self.close()

    def _vector(self, stored: bytes) -> object:
        return self._pgvector.Vector(array("f", stored).tolist())


def _index_name(collection_id: int) -> str:
    return f"embeddings_hnsw_{collection_id}"


def _bytes_of(vector: Any) -> bytes:
    """The little-endian 32-bit floats of a vector; the wire has them the other way round."""
    values = array("f", vector.to_binary()[4:])
    values.byteswap()
    return values.tobytes()


def _package(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise EmbeddingsError(
            f"PostgreSQL needs {name}, which is not installed: pip install 'llm[postgres]'"
        ) from error
