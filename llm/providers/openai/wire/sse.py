"""Server-sent events, read incrementally from bytes that may be split anywhere.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import json
from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"
#: The data of the event that ends a stream.
END = b"[DONE]"


class ErrorPayload(bytes):
    """The data of an event that the server named `error`."""


class EventDecoder:
    """Turns pieces of an event stream into the data of its events.

    Comments, ids, retry hints and unknown fields are skipped. Lines may end in LF, CR or CRLF.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._is_error = False
        # What the event was named when its first data came.
        self._began_as_error = False
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes, in order."""
        if self._after_cr and piece:
            # The line ended at CR already; an LF that follows belongs to the same line end.
            self._after_cr = False
            if piece[:1] == b"\n":
                piece = piece[1:]
        lines = piece.splitlines(True)
        if not lines:
            return []
        if lines[-1][-1] not in b"\r\n":
            rest = lines.pop()
            if not lines:
                self._rest.append(rest)
                return []
        else:
            rest = b""
            self._after_cr = piece.endswith(b"\r")
        if self._rest:
            lines[0] = b"".join(self._rest) + lines[0]
        self._rest = [rest] if rest else []
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """The data of an event that the end of the stream left without its empty line."""
        rest, self._rest = b"".join(self._rest), []
        return self._events([rest, b""] if rest else [b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(BOM)
        for line in lines:
            if line.startswith(b"data:"):
                value = line[5:].rstrip(b"\r\n")
                value = value[1:] if value[:1] == b" " else value
                if self._data or value == END:
                    events += self._more(value)
                else:
                    self._data.append(value)
                    self._began_as_error = self._is_error
            elif line in (b"\n", b"\r\n", b"\r", b""):
                if self._data:
                    events.append(self._dispatch(self._is_error))
                self._is_error = False
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip() == b"error"
        return events

    def _more(self, value: bytes) -> Iterator[bytes]:
        """Take a line of data that may be one more of its event, unless that is whole already.

        Some servers leave out the empty line between events; the end marker is always an event.
        """
        if len(self._data) == 1 and _is_whole(self._data[0]):
            yield self._dispatch(self._began_as_error)
        if not self._data:
            self._began_as_error = self._is_error
        self._data.append(value)
        if value == END:
            yield self._dispatch(is_error=False)

    def _dispatch(self, is_error: bool) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        return ErrorPayload(data) if is_error else data


def _is_whole(data: bytes) -> bool:
    if data[:1] != b"{":
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
