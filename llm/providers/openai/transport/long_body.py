"""A body of long texts, sent piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

import httpx2


class LongBody(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in pieces of text, which can be read once."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece.encode()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece.encode()
