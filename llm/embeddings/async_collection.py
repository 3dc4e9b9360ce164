"""Collections whose model is awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from .._lazy import for_hints
from ..text import JSONObject
from .collection import BATCH_SIZE, BaseCollection, Entry
from .storing import Item, check_count

if TYPE_CHECKING:
    from ..models.embedding import AsyncEmbeddingModel
else:
    for_hints(globals(), {"llm.models.embedding": "AsyncEmbeddingModel"})


P = ParamSpec("P")
T = TypeVar("T")


class AsyncCollection(BaseCollection["AsyncEmbeddingModel"]):
    """A `Collection` whose model is awaited.

    The methods that ask the model are coroutines, and leave the event loop free while the database
    is read and written; the others are those of `Collection`.

    Args:
        name, db, model, model_id, create: As for `Collection`.
    """

    def model(self) -> AsyncEmbeddingModel:
        """The model that embeds.

        Raises:
            UnknownModelError: The plugin that brings it is not installed, or has none to await.
        """
        if self._model is None:
            import llm

            self._model = llm.get_async_embedding_model(self.model_id)
        return self._model

    async def embed(
        self,
        id: str,
        value: str | bytes,
        metadata: JSONObject | None = None,
        store: bool = False,
        *,
        key: str | None = None,
    ) -> None:
        """As `Collection.embed`."""
        await self.embed_multi_with_metadata([(id, value, metadata)], store, 1, key=key)

    async def embed_multi(
        self,
        entries: Iterable[tuple[str, str | bytes]],
        store: bool = False,
        batch_size: int = BATCH_SIZE,
        *,
        key: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """As `Collection.embed_multi`."""
        triples = ((entry_id, value, None) for entry_id, value in entries)
        await self.embed_multi_with_metadata(triples, store, batch_size, key=key, progress=progress)

    async def embed_multi_with_metadata(
        self,
        entries: Iterable[tuple[str, str | bytes, JSONObject | None]],
        store: bool = False,
        batch_size: int = BATCH_SIZE,
        *,
        key: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """As `Collection.embed_multi_with_metadata`."""
        size = min(batch_size, self.model().batch_size or batch_size)
        remaining, done = iter(entries), 0
        while entries := list(islice(remaining, size)):
            batch = await _beside(self.batch, [Item(*entry) for entry in entries])
            vectors = [
                vector
                async for vector in self.model().embed_multi(batch.new, len(batch.new), key=key)
            ]
            check_count(self.model_id, vectors, batch.new)
            await _beside(batch.write, vectors, store=store)
            done += len(entries)
            if progress is not None:
                progress(done)

    async def similar(
        self,
        value: str | bytes,
        number: int = 10,
        prefix: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        key: str | None = None,
    ) -> list[Entry]:
        """As `Collection.similar`."""
        vector = await self.model().embed(value, key=key)
        return await _beside(
            self.similar_by_vector,
            vector,
            number,
            prefix=prefix,
            where=where,
            min_score=min_score,
        )


async def _beside(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, while the event loop goes on."""
    import asyncio

    return await asyncio.to_thread(work, *args, **kwargs)
