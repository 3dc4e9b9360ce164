"""What filling a collection would do, found out without doing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from .filling import Fault
from .storing import Batch, Item

if TYPE_CHECKING:
    from ..models.embedding import EmbeddingModel
    from .sources import Row
    from .store import VectorStore

_BATCH_SIZE = 500


@dataclass
class DryRun:
    """What there is to embed.

    Attributes:
        rows: How many rows the source has.
        new: How many contents the collection does not have.
        size: The characters of these, or the bytes.
        tokens: Their tokens, where the model counts them.
        faults: Rows that cannot be embedded.
        passed_over: Files that are no text.
        gone: How many ids of the collection the source does not have, where that was asked.
    """

    rows: int = 0
    new: int = 0
    size: int = 0
    tokens: int | None = None
    gone: int | None = None
    faults: list[Fault] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    def take(self, batch: Sequence[Row]) -> list[Item]:
        """Count rows of the source, and give what can be embedded of them."""
        self.rows += len(batch)
        self.faults += [Fault(row.place, row.problem) for row in batch if _is_fault(row)]
        self.passed_over += [row.problem for row in batch if row.is_passed_over]
        return [Item(row.id, row.value, None) for row in batch if not row.problem]

    def count(
        self, values: Sequence[str | bytes], tokens: Callable[[str | bytes], int] | None
    ) -> None:
        """Count contents that are new, and their tokens where that can be done."""
        self.new += len(values)
        self.size += sum(map(len, values))
        if tokens is not None:
            self.tokens = (self.tokens or 0) + sum(map(tokens, values))

    def summary(self) -> str:
        """One line that says it."""
        parts = [f"{self.rows:,} rows", f"{self.new:,} to embed", f"{self.size:,} characters"]
        if self.tokens is not None:
            parts.append(f"{self.tokens:,} tokens")
        if self.faults:
            parts.append(f"{len(self.faults):,} that cannot be embedded")
        if self.gone is not None:
            parts.append(f"{self.gone:,} to remove")
        return ", ".join(parts)


def look_through(
    rows: Iterable[Row],
    store: VectorStore | None,
    name: str,
    chosen_model: Callable[[], EmbeddingModel],
    prefix: str | None = None,
) -> DryRun:
    """Read a source and compare it with a collection.

    Args:
        rows: The rows of the source.
        store: Where collections are kept, where there is one.
        name: The name of the collection.
        chosen_model: Gives the model that a new collection is to have.
        prefix: Count also the ids that start so and are not in the source.

    Raises:
        LLMError: The source ended early, or there is no such model.
    """
    found, ids, seen = DryRun(), set[str](), set[object]()
    collection_id, model = _collection(store, name, chosen_model)
    count: Callable[[str | bytes], int] | None = getattr(model, "count_tokens", None)
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        items = found.take(batch)
        ids.update(item.id for item in items)
        new = _new(store, collection_id, items)
        found.count([value for kind, value in new.items() if kind not in seen], count)
        seen.update(new)
    if prefix is not None and store is not None:
        found.gone = sum(entry_id not in ids for entry_id in store.ids(collection_id, prefix))
    return found


def _is_fault(row: Row) -> bool:
    return bool(row.problem) and not row.is_passed_over


def _collection(
    store: VectorStore | None, name: str, chosen_model: Callable[[], EmbeddingModel]
) -> tuple[int, EmbeddingModel]:
    """The number of a collection, -1 for a new one, and its model."""
    if store is not None and (found := store.find(name)) is not None:
        import llm

        return found[0], llm.get_embedding_model(found[1])
    return -1, chosen_model()


def _new(
    store: VectorStore | None, collection_id: int, items: Sequence[Item]
) -> dict[tuple[bool, bytes], str | bytes]:
    """The contents that the collection does not have."""
    if store is None or collection_id < 0:
        return {item.kind: item.value for item in items}
    return Batch(store, collection_id, items).new_by_kind
