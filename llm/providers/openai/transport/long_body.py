"""Request bodies with very long texts, sent piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import httpx2


class LongBody(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is made anew each time it is read.

    Args:
        pieces: Gives the text of the body in pieces.
    """

    def __init__(self, pieces: Callable[[], Iterator[str]]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            yield piece.encode()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces():
            yield piece.encode()


def put_body(request: httpx2.Request, pieces: Callable[[], Iterator[str]]) -> None:
    """Let `request` send a body of JSON that is ASCII; its length is counted first."""
    request.headers["content-length"] = str(sum(map(len, pieces())))
    request.stream = LongBody(pieces)
