"""Embedding models: text or bytes to vectors of floats."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Union

from ..net.policy import CallPolicy
from .base import _get_key_mixin

Item = Union[str, bytes]


class EmbeddingModel(ABC, _get_key_mixin):
    """A model that turns items into vectors; subclasses implement `embed_batch`."""

    supports_text: bool = True
    supports_binary: bool = False
    batch_size: int | None = None
    policy: CallPolicy = CallPolicy()

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
        self._check(item)
        return next(iter(self._embed_batch([item], key)))

    def embed_multi(
        self, items: Iterable[Item], batch_size: int | None = None, *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of many items, in order, computed as they are asked for.

        Args:
            items: Text or bytes; may be a generator of any length.
            batch_size: Items per request; the model's own where missing, all at once without one.
            key: A key, or the name of a stored one.
        """
        size = batch_size or self.batch_size
        checked = self._checked(items)
        if size is None:
            yield from self._embed_batch(checked, key)
            return
        while batch := list(islice(checked, size)):
            yield from self._embed_batch(batch, key)

    def _checked(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self._check(item)
            yield item

    def _check(self, item: Item) -> None:
        if isinstance(item, bytes) and not self.supports_binary:
            raise ValueError("This model does not support binary data, only text strings")
        if isinstance(item, str) and not self.supports_text:
            raise ValueError("This model does not support text strings, only binary data")

    def _embed_batch(self, items: Iterable[Item], key: str | None) -> Iterator[list[float]]:
        resolved = self.get_key(key)
        from ..tools.signatures import signature_of

        parameters = signature_of(self.embed_batch).parameters.values()
        if any(p.name == "key" or p.kind is p.VAR_KEYWORD for p in parameters):
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
