"""Embedding models: text or bytes to vectors of floats."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Union

from ..net.policy import CallPolicy
from .base import _get_key_mixin

Item = Union[str, bytes]


class _AnyEmbeddingModel(_get_key_mixin):
    """What both kinds of embedding model have."""

    supports_text: bool = True
    supports_binary: bool = False
    batch_size: int | None = None
    policy: CallPolicy = CallPolicy()
    #: The model runs on this computer: it can stand in where none is chosen and no key is found.
    answers_without_key: bool = False
    #: What a million tokens cost in US dollars, where that is known.
    usd_per_million_tokens: float | None = None

    if TYPE_CHECKING:

        def embed_batch(self, items: Iterable[Item], *, key: str | None = None) -> object: ...

    def _batches(self, items: Iterable[Item], batch_size: int | None) -> Iterator[Iterable[Item]]:
        size = batch_size or self.batch_size
        checked = map(self._checked, items)
        if size is None:
            yield checked
            return
        while batch := list(islice(checked, size)):
            yield batch

    def _checked(self, item: Item) -> Item:
        if isinstance(item, bytes) and not self.supports_binary:
            raise ValueError("This model does not support binary data, only text strings")
        if isinstance(item, str) and not self.supports_text:
            raise ValueError("This model does not support text strings, only binary data")
        return item

    def _takes_key(self) -> bool:
        from ..tools.signatures import signature_of

        parameters = signature_of(self.embed_batch).parameters.values()
        return any(p.name == "key" or p.kind is p.VAR_KEYWORD for p in parameters)


class EmbeddingModel(_AnyEmbeddingModel, ABC):
    """A model that turns items into vectors; subclasses implement `embed_batch`."""

    @abstractmethod
    def embed_batch(
        self, items: Iterable[Item], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of `items`, in order. May leave out the `key` parameter."""

    def embed(self, item: Item, *, key: str | None = None) -> list[float]:
        """The vector of one item.

        Args:
            item: Text, or bytes where the model takes them.
            key: A key, or the name of a stored one.

        Raises:
            ValueError: The model does not take this kind of item.
            NeedsKeyException: The model needs a key and none is found.
        """
        return next(iter(self._embed_batch([self._checked(item)], key)))

    def embed_multi(
        self, items: Iterable[Item], batch_size: int | None = None, *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of many items, in order, computed as they are asked for.

        Args:
            items: Text or bytes; may be a generator of any length.
            batch_size: Items per request; the model's own where missing, all at once without one.
            key: A key, or the name of a stored one.
        """
        for batch in self._batches(items, batch_size):
            yield from self._embed_batch(batch, key)

    def _embed_batch(self, items: Iterable[Item], key: str | None) -> Iterator[list[float]]:
        resolved = self.get_key(key)
        if self._takes_key():
            yield from self.embed_batch(items, key=resolved)
            return
        # An older plugin: it looks at `self.key`, so the key is put there while it runs.
        before = self.key
        if resolved is not None:
            self.key = resolved
        try:
            yield from self.embed_batch(items)
        finally:
            self.key = before


class AsyncEmbeddingModel(_AnyEmbeddingModel, ABC):
    """An `EmbeddingModel` that is awaited; subclasses implement `embed_batch`."""

    @abstractmethod
    def embed_batch(
        self, items: Iterable[Item], *, key: str | None = None
    ) -> AsyncIterator[list[float]]:
        """The vectors of `items`, in order: an async generator. May leave out `key`."""

    async def embed(self, item: Item, *, key: str | None = None) -> list[float]:
        """The vector of one item, as `EmbeddingModel.embed` gives it."""
        async with aclosing(self.embed_multi([item], 1, key=key)) as vectors:
            return await anext(vectors)

    async def embed_multi(
        self, items: Iterable[Item], batch_size: int | None = None, *, key: str | None = None
    ) -> AsyncGenerator[list[float], None]:
        """The vectors of many items, as `EmbeddingModel.embed_multi` gives them."""
        for batch in self._batches(items, batch_size):
            given = {"key": self.get_key(key)} if self._takes_key() else {}
            async for vector in self.embed_batch(batch, **given):
                yield vector


def encode(values: Sequence[float]) -> bytes:
    """A vector as little-endian 32-bit floats."""
    return struct.pack(f"<{len(values)}f", *values)


def decode(binary: bytes) -> tuple[float, ...]:
    """The vector that `encode` packed."""
    return struct.unpack(f"<{len(binary) // 4}f", binary)


def cosine_similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of the angle between two vectors, from -1 to 1; 0 where one has no length."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    lengths = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
    return dot / lengths if lengths else 0.0
