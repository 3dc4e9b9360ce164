"""Collections: named sets of vectors of one model, with ids, and maybe content and metadata."""

from __future__ import annotations

import json
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from .._lazy import for_hints
from ..errors import EmbeddingsError, NotFound
from ..models.embedding import decode
from ..text import JSONObject
from .migrations import content_hash
from .nearest import Search
from .opening import AnyDatabase, Connections
from .sqlite import SQLiteStore, open_store, reading_store
from .storing import Batch, Item, embedded

if TYPE_CHECKING:
    from sqlite_utils import Database
    from typing_extensions import Self

    from ..models.embedding import AsyncEmbeddingModel, EmbeddingModel
else:
    for_hints(
        globals(),
        {
            "llm.models.embedding": "AsyncEmbeddingModel EmbeddingModel",
            "sqlite3": "",
            "sqlite_utils": "Database",
            "typing_extensions": "Self",
        },
    )

M = TypeVar("M", "EmbeddingModel", "AsyncEmbeddingModel")
Metadata = JSONObject
BATCH_SIZE = 100
# A string of its own: nobody can hand in the same one by accident.
_EVERYTHING: Final = str(object())


@dataclass
class Entry:
    """One of the nearest entries of a collection.

    Args:
        id: Its id.
        score: The cosine of the angle to what was asked for, at most 1.
        content: The text, where it was stored.
        metadata: The metadata, where there is any.
    """

    id: str
    score: float | None
    content: str | None = None
    metadata: Metadata | None = None


@dataclass
class StoredEntry:
    """An entry as it is stored.

    Args:
        id: Its id.
        vector: Its vector, as 32-bit floats hold it.
        content: The text or the bytes, where they were stored.
        metadata: The metadata, where there is any.
    """

    id: str
    vector: tuple[float, ...]
    content: str | bytes | None = None
    metadata: Metadata | None = None


class BaseCollection(Generic[M]):
    """What a collection is whose model is called, or awaited: all that asks no model."""

    id: int
    model_id: str

    class DoesNotExist(NotFound):
        """There is no such collection, or no such id in it."""

    def __init__(
        self,
        name: str,
        db: AnyDatabase | None = None,
        *,
        model: M | None = None,
        model_id: str | None = None,
        create: bool = True,
    ) -> None:
        self.name = name
        self._model: M | None = model
        self._store = open_store(db)
        try:
            row = self._store.find(name)
            if row is None:
                if not create:
                    raise self.DoesNotExist(f"Collection '{name}' does not exist")
                row = self._create(model_id)
        except BaseException:
            self.close()
            raise
        self.id, self.model_id = row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that the collection has opened; one that was given stays open."""
        self._store.close()

    @property
    def db(self) -> Database:
        """The database, where it is one of SQLite; every thread has its own connection to it."""
        return self._connections.wrapped()

    @property
    def connection(self) -> sqlite3.Connection:
        """The running thread's connection to the database, where it is one of SQLite.

        Raises:
            EmbeddingsError: It is another.
        """
        return self._connections.current()

    @property
    def _connections(self) -> Connections:
        if not isinstance(self._store, SQLiteStore):
            raise EmbeddingsError(f"{self.name!r} is not in a database of SQLite")
        return self._store.connections

    def _create(self, model_id: str | None) -> tuple[int, str]:
        if self._model is None:
            if model_id is None:
                raise ValueError(
                    "Either model= or model_id= must be provided when creating a new collection"
                )
            self.model_id = model_id
        return self._store.make(self.name, self.model().model_id)

    @classmethod
    def exists(cls, db: AnyDatabase, name: str) -> bool:
        """Whether the database has a collection of that name; nothing is written."""
        with reading_store(db) as store:
            return store is not None and store.find(name) is not None

    @abstractmethod
    def model(self) -> M:
        """The model that embeds.

        Raises:
            UnknownModelError: The plugin that brings it is not installed.
        """

    def count(self) -> int:
        """How many embeddings there are."""
        return self._store.count(self.id)

    def ids(self, prefix: str = "") -> list[str]:
        """The ids of the entries, sorted; with `prefix` those that start so, in the same case."""
        return self._store.ids(self.id, prefix)

    def get(self, id: str) -> StoredEntry | None:
        """The entry with that id, or `None`."""
        row = self._store.get(self.id, id)
        if row is None:
            return None
        content = row.binary if row.text is None else row.text
        return StoredEntry(id, decode(row.vector), content, _metadata(row.metadata))

    def require(self, id: str) -> StoredEntry:
        """The entry with that id.

        Raises:
            Collection.DoesNotExist: The collection has no such id.
        """
        found = self.get(id)
        if found is None:
            raise self._no_id(id)
        return found

    def delete(self, ids: str | Iterable[str] = _EVERYTHING) -> int:
        """Remove entries, or the whole collection.

        Args:
            ids: An id or several; those that are not there are no error. Without it the collection
                goes, with everything in it.

        Returns:
            How many entries were removed.
        """
        if ids is not _EVERYTHING:
            wanted = [ids] if isinstance(ids, str) else list(ids)
            return self._store.remove(self.id, map(str, wanted))
        return self._store.drop(self.id)

    def update_metadata(self, id: str, metadata: JSONObject | None) -> None:
        """Give an entry other metadata, in place of what it has; nothing is embedded.

        Raises:
            Collection.DoesNotExist: The collection has no such id.
        """
        text = json.dumps(metadata) if metadata else None
        if not self._store.set_metadata(self.id, id, text):
            raise self._no_id(id)

    def _no_id(self, id: str) -> NotFound:
        return self.DoesNotExist(f"ID not found: {id!r} is not in collection '{self.name}'")

    def batch(self, items: Iterable[Item]) -> Batch:
        """Items on their way into the collection."""
        return Batch(self._store, self.id, items)

    def index(self) -> None:
        """Make an index for the search in a store that has such: HNSW of pgvector.

        Raises:
            LLMError: The store has none, or there is nothing to index.
        """
        self._store.index(self.id)

    @staticmethod
    def content_hash(input: str | bytes) -> bytes:
        """The MD5 digest by which the collection knows what it has embedded already."""
        return content_hash(input)

    # Finding

    def similar_by_id(
        self,
        id: str,
        number: int = 10,
        prefix: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Entry]:
        """The entries nearest to the one with that id, itself left out, best first.

        Args:
            id: The id.
            number, prefix, where, min_score: See `similar_by_vector`.

        Raises:
            Collection.DoesNotExist: The collection has no such id.
        """
        vector = self.require(id).vector
        return self.similar_by_vector(vector, number, id, prefix, where=where, min_score=min_score)

    def similar_by_vector(
        self,
        vector: Sequence[float],
        number: int = 10,
        skip_id: str | None = None,
        prefix: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        ids: Iterable[str] | None = None,
    ) -> list[Entry]:
        """The entries nearest to a vector, best first.

        Args:
            vector: As many numbers as the model gives.
            number: How many at most; all of them if negative.
            skip_id: An id to leave out.
            prefix: Only ids that start so, whatever their case.
            where: Only entries whose metadata fits, as `year > 2020 and lang = "en"`: comparisons
                of keys (`author.name`, `tags[0]`) with numbers, texts in quotes, `true`, `false`
                and `null`, joined by `and`, `or`, `not` and parentheses.
            min_score: Only entries with this score at least.
            ids: Only entries with one of these ids.

        Raises:
            InvalidInput: `where` is not such a condition.
            LLMError: The collection has vectors of another number of dimensions.
        """
        condition = self._store.condition(prefix, where, None if ids is None else list(ids))
        found = self._store.search(Search(self.id, vector, number, condition, min_score, skip_id))
        return [
            Entry(entry.id, entry.score, entry.content, _metadata(entry.metadata))
            for entry in found
        ]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name} - {self.model_id}>"


class Collection(BaseCollection["EmbeddingModel"]):
    """A named set of embeddings in a database.

    It may be used from several threads.

    Args:
        name: The name, unique in the database.
        db: The path of a database, an `llm.Database`, a connection of `sqlite3` or a
            `sqlite_utils.Database`; migrated if it has to be. One in memory where missing.
        model: The model that embeds; the one that the collection was made with where missing.
        model_id: Its id or alias instead.
        create: Make the collection where it does not exist.

    Attributes:
        id: The number of the collection in the database.
        model_id: The id of the model that it was made with.

    Raises:
        Collection.DoesNotExist: It does not exist and is not to be made.
        EmbeddingsError: `db` is the path of something that is no database.
        ValueError: A new collection was given no model.
        UnknownModelError: No model is called `model_id`.
    """

    def model(self) -> EmbeddingModel:
        """The model that embeds.

        Raises:
            UnknownModelError: The plugin that brings it is not installed.
        """
        if self._model is None:
            import llm

            self._model = llm.get_embedding_model(self.model_id)
        return self._model

    def embed(
        self,
        id: str,
        value: str | bytes,
        metadata: JSONObject | None = None,
        store: bool = False,
        *,
        key: str | None = None,
    ) -> None:
        """Put one embedding into the collection; see `embed_multi_with_metadata`."""
        self.embed_multi_with_metadata([(id, value, metadata)], store, 1, key=key)

    def embed_multi(
        self,
        entries: Iterable[tuple[str, str | bytes]],
        store: bool = False,
        batch_size: int = BATCH_SIZE,
        *,
        key: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """Put pairs of id and value into the collection; see `embed_multi_with_metadata`."""
        triples = ((entry_id, value, None) for entry_id, value in entries)
        self.embed_multi_with_metadata(triples, store, batch_size, key=key, progress=progress)

    def embed_multi_with_metadata(
        self,
        entries: Iterable[tuple[str, str | bytes, JSONObject | None]],
        store: bool = False,
        batch_size: int = BATCH_SIZE,
        *,
        key: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """Put entries into the collection, a batch at a time, each batch in one transaction.

        The model is asked only for content that the collection does not have: the same content
        under another id gets the same vector, and an id that has this content stays as it is but
        for metadata that is new.

        Args:
            entries: Id, text or bytes, and metadata. Where an id has that content already,
                `None` leaves its metadata as it is and `{}` removes it. May be a generator of any
                length.
            store: Keep the content too, not only its vector.
            batch_size: Entries per request; fewer where the model takes fewer.
            key: A key, or the name of a stored one.
            progress: Called after each batch with how many entries are done by then.

        Raises:
            ValueError: The model does not take this kind of value.
            ModelError: The model did not give a vector for each value.
        """
        size = min(batch_size, self.model().batch_size or batch_size)
        remaining, done = iter(entries), 0
        while entries := list(islice(remaining, size)):
            batch = self.batch(Item(*entry) for entry in entries)
            batch.write(embedded(self.model(), batch.new, key), store=store)
            done += len(entries)
            if progress is not None:
                progress(done)

    def similar(
        self,
        value: str | bytes,
        number: int = 10,
        prefix: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        key: str | None = None,
    ) -> list[Entry]:
        """The entries nearest to a text or to bytes, which the model embeds first, best first.

        Args:
            value: What to compare with.
            number, prefix, where, min_score: See `similar_by_vector`.
            key: A key, or the name of a stored one.
        """
        vector = self.model().embed(value, key=key)
        return self.similar_by_vector(
            vector, number, prefix=prefix, where=where, min_score=min_score
        )


def _metadata(text: str | None) -> Metadata | None:
    found: Metadata | None = json.loads(text) if text else None
    return found
