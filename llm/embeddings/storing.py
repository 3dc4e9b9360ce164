"""Putting entries into a collection, a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..models.embedding import encode
from ..text import JSONObject
from .migrations import content_hash
from .store import EntryRow, Kind, KnownRow

if TYPE_CHECKING:
    from ..models.embedding import EmbeddingModel
    from .store import VectorStore

Value = str | bytes


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
        self.kind: Kind = (self.is_text, self.hash)


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
        store: What has the collection.
        collection_id: The number of the collection.
        items: Of two with one id the later counts.
    """

    def __init__(self, store: VectorStore, collection_id: int, items: Iterable[Item]) -> None:
        self._store = store
        self._collection_id = collection_id
        self._items = list({item.id: item for item in items}.values())
        self._vectors: dict[Kind, bytes] = {}
        # Whether a row lacks its content, and its metadata.
        self._rows: dict[tuple[str, Kind], tuple[bool, str | None]] = {}
        for row in store.same_ids(collection_id, [item.id for item in self._items]):
            self._take(row)
        others = list({item.kind for item in self._items} - self._vectors.keys())
        self._vectors.update(store.same_content(collection_id, others))
        #: The contents that the collection does not have.
        self.new_by_kind: dict[Kind, Value] = {
            item.kind: item.value for item in self._items if item.kind not in self._vectors
        }

    def _take(self, row: KnownRow) -> None:
        for is_text, fits in ((True, row.has_no_bytes), (False, row.has_no_text)):
            if fits:
                kind = (is_text, row.digest)
                self._vectors[kind] = row.vector
                lacks_content = bool(row.has_no_bytes and row.has_no_text)
                self._rows[row.id, kind] = (lacks_content, row.metadata)

    @property
    def new(self) -> list[Value]:
        """The contents that the collection does not have, each once."""
        return list(self.new_by_kind.values())

    def write(self, vectors: Iterable[Sequence[float]], *, store: bool) -> None:
        """Write the items in one transaction; nothing where all are there already.

        Args:
            vectors: Those of `new`, in order.
            store: Keep the contents, too.

        """
        self._vectors.update(zip(self.new_by_kind, map(encode, vectors), strict=True))
        puts = [
            (item.id, self._row(item, store, item.metadata), item.hash)
            for item in self._items
            if (item.id, item.kind) not in self._rows
        ]
        refreshes = [
            (item.id, self._row(item, store, metadata), item.hash)
            for item, metadata in self._refreshed(store)
        ]
        if puts or refreshes:
            self._store.write(self._collection_id, puts, refreshes)

    def _row(self, item: Item, store: bool, metadata: str | None) -> EntryRow:
        text = item.value if isinstance(item.value, str) and store else None
        binary = item.value if isinstance(item.value, bytes) and store else None
        return EntryRow(self._vectors[item.kind], text, binary, metadata)

    def _refreshed(self, store: bool) -> Iterator[tuple[Item, str | None]]:
        """The items that the collection has and that bring it something, with their metadata."""
        for item in self._items:
            if (item.id, item.kind) in self._rows:
                lacks_content, kept = self._rows[item.id, item.kind]
                metadata = kept if item.keeps_metadata else item.metadata
                if metadata != kept or (store and lacks_content):
                    yield item, metadata
