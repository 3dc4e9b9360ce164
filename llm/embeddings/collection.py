"""Collections: named sets of vectors of one model, with ids, and maybe content and metadata."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..errors import ModelError, NotFound
from ..logs.file.migrations import immediate
from ..models.embedding import decode, encode
from ..text import JSONObject
from .migrations import content_hash, migrate
from .vectors import nearest

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ..models.embedding import EmbeddingModel

Value = str | bytes
Metadata = JSONObject

_FIND_COLLECTION = "select id, model from collections where name = ?"
_ADD_COLLECTION = "insert or ignore into collections (name, model) values (?, ?)"
# A text is not the bytes that spell it.
_SAME_CONTENT = """
    select id, embedding from embeddings where collection_id = ? and content_hash = ?
        and case when ? then content_blob else content end is null
"""
_VECTORS = r"""
    select id, embedding from embeddings where collection_id = :collection
        and id is not :skipped and (:pattern is null or id like :pattern escape '\')
"""
_PUT = """
    insert or replace into embeddings
        (collection_id, id, embedding, content, content_blob, content_hash, metadata, updated)
    values (:collection, :id, :vector, :text, :bytes, :hash, :metadata, :now)
"""
# Where there is a content to keep for the first time, or other metadata.
_REFRESH = """
    update embeddings set
        content = coalesce(content, :text), content_blob = coalesce(content_blob, :bytes),
        metadata = case when :keeps_metadata then metadata else :metadata end, updated = :now
    where collection_id = :collection and id = :id and (
        (coalesce(content, content_blob) is null and coalesce(:text, :bytes) is not null)
        or (not :keeps_metadata and metadata is not :metadata))
"""


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


class _Item:
    """Something to be embedded under an id."""

    def __init__(self, id: object, value: Value, metadata: Metadata | None) -> None:
        self.id = str(id)
        self.value = value
        self.metadata = json.dumps(metadata) if metadata else None
        self.keeps_metadata = metadata is None
        self.is_text = isinstance(value, str)
        self.hash = content_hash(value)
        # Equal for items that have the same vector.
        self.kind = (self.is_text, self.hash)


class Collection:
    """A named set of embeddings in a database.

    Args:
        name: The name, unique in the database.
        db: A `sqlite_utils.Database`, migrated if it has to be; one in memory where missing.
        model: The model that embeds; the one that the collection was made with where missing.
        model_id: Its id or alias instead.
        create: Make the collection where it does not exist.

    Attributes:
        id: The number of the collection in the database.
        model_id: The id of the model that it was made with.

    Raises:
        Collection.DoesNotExist: It does not exist and is not to be made.
        ValueError: A new collection was given no model.
        UnknownModelError: No model is called `model_id`.
    """

    id: int
    model_id: str

    class DoesNotExist(NotFound):
        """There is no such collection, or no such id in it."""

    def __init__(
        self,
        name: str,
        db: Database | None = None,
        *,
        model: EmbeddingModel | None = None,
        model_id: str | None = None,
        create: bool = True,
    ) -> None:
        if db is None:
            from sqlite_utils import Database

            db = Database(memory=True)
        self.db = db
        self.name = name
        self._model = model
        migrate(db)
        row = self._row()
        if row is None:
            if not create:
                raise self.DoesNotExist(f"Collection '{name}' does not exist")
            row = self._create(model_id)
        self.id, self.model_id = row

    def _row(self) -> tuple[int, str] | None:
        row: tuple[int, str] | None = self.db.execute(_FIND_COLLECTION, [self.name]).fetchone()
        return row

    def _create(self, model_id: str | None) -> tuple[int, str]:
        if self._model is None:
            if model_id is None:
                raise ValueError(
                    "Either model= or model_id= must be provided when creating a new collection"
                )
            self.model_id = model_id
        model = self.model()
        with immediate(self.db.conn):
            # Another process may have made it meanwhile; then its model counts.
            self.db.execute(_ADD_COLLECTION, [self.name, model.model_id])
            row = self._row()
        assert row is not None
        return row

    @classmethod
    def exists(cls, db: Database, name: str) -> bool:
        """Whether the database has a collection of that name; nothing is written."""
        has_any = db.table("collections").exists()
        return has_any and db.execute(_FIND_COLLECTION, [name]).fetchone() is not None

    def model(self) -> EmbeddingModel:
        """The model that embeds.

        Raises:
            UnknownModelError: The plugin that brings it is not installed.
        """
        if self._model is None:
            import llm

            self._model = llm.get_embedding_model(self.model_id)
        return self._model

    def count(self) -> int:
        """How many embeddings there are."""
        sql = "select count(*) from embeddings where collection_id = ?"
        return int(self.db.execute(sql, [self.id]).fetchone()[0])

    def delete(self) -> None:
        """Remove the collection and everything in it from the database."""
        with immediate(self.db.conn):
            self.db.execute("delete from embeddings where collection_id = ?", [self.id])
            self.db.execute("delete from collections where id = ?", [self.id])

    @staticmethod
    def content_hash(input: str | bytes) -> bytes:
        """The MD5 digest by which the collection knows what it has embedded already."""
        return content_hash(input)

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
        self._put_batch([_Item(id, value, metadata)], store, key)

    def embed_multi(
        self,
        entries: Iterable[tuple[str, str | bytes]],
        store: bool = False,
        batch_size: int = 100,
        *,
        key: str | None = None,
    ) -> None:
        """Put pairs of id and value into the collection; see `embed_multi_with_metadata`."""
        triples = ((entry_id, value, None) for entry_id, value in entries)
        self.embed_multi_with_metadata(triples, store, batch_size, key=key)

    def embed_multi_with_metadata(
        self,
        entries: Iterable[tuple[str, str | bytes, JSONObject | None]],
        store: bool = False,
        batch_size: int = 100,
        *,
        key: str | None = None,
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

        Raises:
            ValueError: The model does not take this kind of value.
            ModelError: The model did not give a vector for each value.
        """
        size = min(batch_size, self.model().batch_size or batch_size)
        remaining = iter(entries)
        while batch := list(islice(remaining, size)):
            items = {item.id: item for item in (_Item(*entry) for entry in batch)}
            self._put_batch(list(items.values()), store, key)

    def _put_batch(self, items: Sequence[_Item], store: bool, key: str | None) -> None:
        # The rows that have the content already: their vectors by id.
        known = {item.id: self._same_content(item) for item in items}
        new = {item.kind: item.value for item in items if not known[item.id]}
        vectors = dict(zip(new, self._vectors(list(new.values()), key), strict=True))
        now = int(time.time())
        with immediate(self.db.conn):
            for item in items:
                same = known[item.id]
                row = {
                    "collection": self.id,
                    "id": item.id,
                    "vector": [*same.values(), vectors.get(item.kind)][0],
                    "text": item.value if store and item.is_text else None,
                    "bytes": item.value if store and not item.is_text else None,
                    "hash": item.hash,
                    "metadata": item.metadata,
                    "keeps_metadata": item.keeps_metadata,
                    "now": now,
                }
                self.db.execute(_REFRESH if item.id in same else _PUT, row)

    def _same_content(self, item: _Item) -> dict[str, bytes]:
        key = [self.id, item.hash, item.is_text]
        return dict(self.db.execute(_SAME_CONTENT, key).fetchall())

    def _vectors(self, values: list[Value], key: str | None) -> Iterable[bytes]:
        if not values:
            return ()
        vectors = list(self.model().embed_multi(values, len(values), key=key))
        if len(vectors) != len(values):
            raise ModelError(
                f"{self.model_id} gave {len(vectors)} vectors for {len(values)} values; "
                "nothing of this batch was stored"
            )
        return map(encode, vectors)

    def similar(
        self, value: str | bytes, number: int = 10, prefix: str | None = None
    ) -> list[Entry]:
        """The entries nearest to a text or to bytes, which the model embeds first, best first.

        Args:
            value: What to compare with.
            number: How many at most.
            prefix: Only ids that start so, whatever their case.
        """
        return self.similar_by_vector(self.model().embed(value), number, prefix=prefix)

    def similar_by_id(self, id: str, number: int = 10, prefix: str | None = None) -> list[Entry]:
        """The entries nearest to the one with that id, itself left out, best first.

        Raises:
            Collection.DoesNotExist: The collection has no such id.
        """
        sql = "select embedding from embeddings where collection_id = ? and id = ?"
        row = self.db.execute(sql, [self.id, id]).fetchone()
        if row is None:
            raise self.DoesNotExist(f"ID not found: {id!r} is not in collection '{self.name}'")
        return self.similar_by_vector(decode(row[0]), number, skip_id=id, prefix=prefix)

    def similar_by_vector(
        self,
        vector: Sequence[float],
        number: int = 10,
        skip_id: str | None = None,
        prefix: str | None = None,
    ) -> list[Entry]:
        """The entries nearest to a vector, best first.

        Args:
            vector: As many numbers as the model gives.
            number: How many at most.
            skip_id: An id to leave out.
            prefix: Only ids that start so, whatever their case.

        Raises:
            LLMError: The collection has vectors of another number of dimensions.
        """
        pattern = re.sub(r"([\\%_])", r"\\\1", prefix) + "%" if prefix else None
        values = {"collection": self.id, "skipped": skip_id, "pattern": pattern}
        best = nearest(self.db.execute(_VECTORS, values), vector, number)
        return [self._entry(*pair) for pair in best]

    def _entry(self, id: str, score: float) -> Entry:
        sql = "select content, metadata from embeddings where collection_id = ? and id = ?"
        content, metadata = self.db.execute(sql, [self.id, id]).fetchone()
        return Entry(id, score, content, json.loads(metadata) if metadata else None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name} - {self.model_id}>"
