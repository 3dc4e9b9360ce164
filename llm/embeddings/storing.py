"""Putting entries into a collection, a batch at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..logs.file.migrations import immediate
from ..models.embedding import encode
from ..text import JSONObject
from .migrations import content_hash

if TYPE_CHECKING:
    import sqlite3

    from ..models.embedding import EmbeddingModel

Value = str | bytes
_Kind = tuple[bool, bytes]
# So many values may be bound in one statement by any SQLite.
_MOST_BOUND = 900

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


class Item:
    """Something to be embedded under an id."""

    __slots__ = ("hash", "id", "is_text", "keeps_metadata", "kind", "metadata", "value")

    def __init__(self, id: object, value: Value, metadata: JSONObject | None) -> None:
        self.id: str = str(id)
        self.value: Value = value
        self.metadata: str | None = json.dumps(metadata) if metadata else None
        self.keeps_metadata: bool = metadata is None
        self.is_text: bool = isinstance(value, str)
        self.hash: bytes = content_hash(value)
        # Equal for items that have the same vector.
        self.kind: _Kind = (self.is_text, self.hash)

    def contents(self, store: bool) -> tuple[Value | None, Value | None]:
        """The text and the bytes to keep: one of them with `store`, else neither."""
        kept = self.value if store else None
        return (kept, None) if self.is_text else (None, kept)


def embedded(model: EmbeddingModel, values: list[Value], key: str | None) -> list[list[float]]:
    """The vectors of `values`, in order; the model is not asked where there are none.

    Raises:
        ModelError: The model gave another number of vectors.
    """
    vectors = list(model.embed_multi(values, len(values), key=key)) if values else []
    check_count(model.model_id, vectors, values)
    return vectors


def check_count(model_id: str, vectors: Sequence[object], values: Sequence[Value]) -> None:
    """Refuse another number of vectors than of values.

    Raises:
        ModelError: The model lost some, or gave too many.
    """
    if len(vectors) != len(values):
        raise ModelError(
            f"{model_id} gave {len(vectors)} vectors for {len(values)} values; "
            "nothing of this batch was stored"
        )


class Batch:
    """Items on their way into a collection: what it lacks is embedded, then all are written.

    Args:
        conn: An open database of embeddings.
        collection_id: The number of the collection.
        items: Of two with one id the later counts.
    """

    def __init__(self, conn: sqlite3.Connection, collection_id: int, items: Iterable[Item]) -> None:
        self._collection_id = collection_id
        self._items = list({item.id: item for item in items}.values())
        self._vectors: dict[_Kind, bytes] = {}
        # Whether a row lacks its content, and its metadata.
        self._rows: dict[tuple[str, _Kind], tuple[bool, str | None]] = {}
        for start in range(0, len(self._items), _MOST_BOUND):
            ids = [item.id for item in self._items[start : start + _MOST_BOUND]]
            sql = _SAME_IDS % ",".join("?" * len(ids))
            for row in conn.execute(sql, [collection_id, *ids]):
                self._take(*row)
        others = list({item.kind for item in self._items} - self._vectors.keys())
        for start in range(0, len(others), _MOST_BOUND // 2):
            part = others[start : start + _MOST_BOUND // 2]
            sql = _SAME_CONTENT % ",".join(["(?, ?)"] * len(part))
            for is_text, digest, vector in conn.execute(sql, [collection_id, *chain(*part)]):
                self._vectors[bool(is_text), digest] = vector
        #: The contents that the collection does not have.
        self.new_by_kind: dict[_Kind, Value] = {
            item.kind: item.value for item in self._items if item.kind not in self._vectors
        }

    def _take(
        self, id: str, digest: bytes, vector: bytes, no_bytes: int, no_text: int, metadata: str
    ) -> None:
        for is_text, fits in ((True, no_bytes), (False, no_text)):
            if fits:
                self._vectors[is_text, digest] = vector
                self._rows[id, (is_text, digest)] = (bool(no_bytes and no_text), metadata)

    @property
    def new(self) -> list[Value]:
        """The contents that the collection does not have, each once."""
        return list(self.new_by_kind.values())

    def write(
        self, conn: sqlite3.Connection, vectors: Iterable[Sequence[float]], *, store: bool
    ) -> None:
        """Write the items in one transaction; nothing where all are there already.

        Args:
            conn: An open database of embeddings.
            vectors: Those of `new`, in order.
            store: Keep the contents, too.

        """
        self._vectors.update(zip(self.new_by_kind, map(encode, vectors), strict=True))
        puts = [self._row(item, store) for item in self._items if not self._has(item)]
        refreshes = [self._refreshed(item, store) for item in self._items if self._has(item)]
        changes = [values for values in refreshes if values]
        if puts or changes:
            with immediate(conn):
                conn.executemany(_PUT, puts)
                conn.executemany(_REFRESH, changes)

    def _has(self, item: Item) -> bool:
        return (item.id, item.kind) in self._rows

    def _row(self, item: Item, store: bool) -> tuple[object, ...]:
        vector, contents = self._vectors[item.kind], item.contents(store)
        start = (self._collection_id, item.id, vector)
        return (*start, *contents, item.hash, item.metadata, int(time.time()))

    def _refreshed(self, item: Item, store: bool) -> tuple[object, ...] | None:
        """What to write about an item that the collection has, or `None`."""
        lacks_content, kept = self._rows[item.id, item.kind]
        metadata = kept if item.keeps_metadata else item.metadata
        if metadata == kept and not (store and lacks_content):
            return None
        which = (self._collection_id, item.id, item.hash)
        return (*item.contents(store), metadata, int(time.time()), *which)
