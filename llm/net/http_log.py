"""HTTP exchanges written to standard error, with keys and cookies left out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

import httpx2

from ..text.secrets import masked
from ..text.shaping import visible
from .shown_body import ShownBody

_SECRET = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})
_CUT = frozenset({"cookie", "set-cookie"})


class LoggingTransport(httpx2.HTTPTransport):
    """Sends requests as usual and writes what goes out and what comes back."""

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__()
        self._out = out

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The reply to `request`; its body is written as it is read."""
        out = self._out or sys.stderr
        # Compressed bytes would not be readable.
        request.headers["accept-encoding"] = "identity"
        _show(masked(describe_request(request)) + "\n", out)
        response = super().handle_request(request)
        lines = header_lines(response.headers)
        head = [f"Response: status_code={response.status_code}", "  Headers:", *lines, "  Body:\n"]
        _show(masked("\n".join(head)), out)
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)
        response.stream = _Echo(stream, out)
        return response


class _Echo(httpx2.SyncByteStream):
    """A body that is written while it is read."""

    def __init__(self, stream: httpx2.SyncByteStream, out: TextIO) -> None:
        self._stream = stream
        self._out = out

    def __iter__(self) -> Iterator[bytes]:
        body = ShownBody()
        try:
            for chunk in self._stream:
                _show(body.feed(chunk), self._out)
                yield chunk
        finally:
            _show(body.end(), self._out)

    def close(self) -> None:
        self._stream.close()


def _show(text: str, out: TextIO) -> None:
    """Write a text; on a terminal, control sequences are made visible."""
    out.write(visible(text) if out.isatty() else text)
    out.flush()


def describe_request(request: httpx2.Request) -> str:
    """The request as text: method, URL, headers, and the body as indented JSON if it is JSON."""
    lines = [f"Request: {request.method} {request.url}", "  Headers:"]
    lines += header_lines(request.headers)
    body = request.read().decode("utf-8", "replace")
    if body:
        try:
            body = json.dumps(json.loads(body), indent=2)
        except ValueError:
            pass
        lines += ["  Body:", *(f"    {line}" for line in body.splitlines())]
    return "\n".join(lines)


def header_lines(headers: Mapping[str, str]) -> list[str]:
    """Headers, a line each; values of keys and cookies are left out."""
    return [f"    {name}: {_shown(name.lower(), value)}" for name, value in headers.items()]


def _shown(name: str, value: str) -> str:
    if name in _SECRET:
        return "[...]"
    return value.partition("=")[0] + "=..." if name in _CUT else value
