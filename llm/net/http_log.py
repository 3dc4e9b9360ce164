"""HTTP exchanges written to standard error, without keys and cookies."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TextIO

import httpx2

from ..text import visible
from ..text.secrets import WatchedText, masked, masked_headers, unfinished

_EVENT = "data:"
_Place = tuple[str | int, ...]


class HTTPLog:
    """Writes what goes out and what comes back, as it happens.

    Args:
        secrets: Texts to mask beside the keys in use, however short.
        out: Where to write; standard error where missing.
    """

    def __init__(self, secrets: Iterable[str] = (), out: TextIO | None = None) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._out = out

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Write a request as it goes out; a body that is JSON is indented."""
        lines = _head(f"Request: {method} {url}", headers)
        if body:
            try:
                text = json.dumps(json.loads(body), indent=2)
            except (ValueError, RecursionError):
                text = body.decode("utf-8", "replace")
            lines += ["  Body:", *(f"    {line}" for line in text.splitlines())]
        self._write_lines(lines)

    def reply(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head of a reply; what `body()` gives takes the rest."""
        self._write_lines([*_head(f"Response: status_code={status}", headers), "  Body:"])

    @contextmanager
    def body(self) -> Iterator[Callable[[bytes], None]]:
        """A function that writes the next piece of a reply's body."""
        shown = ShownBody(self._secrets)
        try:
            yield lambda piece: self._write(shown.feed(piece))
        finally:
            self._write(shown.end())

    def hooks(self, *, is_async: bool = False) -> dict[str, list[Callable[..., object]]]:
        """The `event_hooks` of an httpx2 client that let it write its exchanges here."""

        async def request_async(request: httpx2.Request) -> None:
            await request.aread()
            self._take_request(request)

        async def reply_async(response: httpx2.Response) -> None:
            self._take_reply(response)

        if is_async:
            return {"request": [request_async], "response": [reply_async]}
        return {"request": [self._take_request], "response": [self._take_reply]}

    def _take_request(self, request: httpx2.Request) -> None:
        # Compressed bytes would not be readable.
        request.headers["accept-encoding"] = "identity"
        self.request(request.method, str(request.url), request.headers, request.read())

    def _take_reply(self, response: httpx2.Response) -> None:
        self.reply(response.status_code, response.headers)
        response.stream = _Echo(response.stream, self)

    def _write_lines(self, lines: list[str]) -> None:
        self._write(masked("\n".join(lines), self._secrets) + "\n")

    def _write(self, text: str) -> None:
        out = self._out or sys.stderr
        if out is not None:
            # On a terminal, control sequences are made visible.
            out.write(visible(text) if out.isatty() else text)
            out.flush()


@dataclass
class _Echo(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is written while it is read."""

    _stream: Any
    _log: HTTPLog

    def __iter__(self) -> Iterator[bytes]:
        with self._log.body() as write:
            for piece in self._stream:
                write(piece)
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._log.body() as write:
            async for piece in self._stream:
                write(piece)
                yield piece

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _head(first: str, headers: Mapping[str, str]) -> list[str]:
    shown = masked_headers(headers)
    return [first, "  Headers:", *(f"    {name}: {value}" for name, value in shown.items())]


class _Line:
    """A line that is held back; `value` is the JSON of an event."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.value: Any = None
        if text.startswith(_EVENT):
            with suppress(ValueError, RecursionError):
                self.value = json.loads(text[len(_EVENT) :])

    def put(self, place: _Place, text: str) -> None:
        """Let the event have this text at a place."""
        value = self.value
        for step in place[:-1]:
            value = value[step]
        if value[place[-1]] != text:
            value[place[-1]] = text
            self.text = f"{_EVENT} {json.dumps(self.value)}\n"


class ShownBody:
    """Masks the keys in a body that comes in pieces.

    A key may be split between two pieces, or between the texts of two server-sent events: what may
    be its beginning is held back until the rest has come.
    """

    def __init__(self, also: Sequence[str] = ()) -> None:
        self._also = also
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._held: list[_Line] = []
        # For each place in the events its text so far, and the lines whose part of it is open.
        self._texts: dict[_Place, tuple[WatchedText, list[_Line]]] = {}

    def feed(self, piece: bytes) -> str:
        """What to show now."""
        *whole, self._rest = (self._rest + self._decode(piece)).split("\n")
        for line in whole:
            self._take(f"{line}\n")
        return self._released() + self._beginning()

    def end(self) -> str:
        """What is left to show at the end."""
        self._take(self._rest + self._decode(b"", True))
        self._rest = ""
        self._texts.clear()
        return self._released()

    def _take(self, text: str) -> None:
        line = _Line(text)
        self._held.append(line)
        for place, leaf in _texts_of(line.value):
            pieces, former = self._texts.setdefault(place, (WatchedText(self._also), []))
            lines = [*former, line]
            for held, shown in zip(lines, pieces.add(leaf), strict=True):
                held.put(place, shown)
            former[:] = lines[len(lines) - pieces.open_count :]

    def _released(self) -> str:
        """The lines before the first one that may hold the beginning of a key."""
        is_open = {line for _, lines in self._texts.values() for line in lines}
        released = list(takewhile(lambda line: line not in is_open, self._held))
        del self._held[: len(released)]
        return masked("".join(line.text for line in released), self._also)

    def _beginning(self) -> str:
        """What can be shown of a line that has not ended; an event is shown whole."""
        if self._held or self._rest[: len(_EVENT)] == _EVENT[: len(self._rest)]:
            return ""
        text = masked(self._rest, self._also)
        split = len(text) - unfinished(text, self._also)
        self._rest = text[split:]
        return text[:split]


def _texts_of(value: object, place: _Place = ()) -> Iterator[tuple[_Place, str]]:
    """All texts in a JSON value, with the keys and indexes that lead to each."""
    if isinstance(value, str) and place:
        yield place, value
    elif isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts_of(item, (*place, step))
