"""The lines of a journal that the events of an answer become."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from ..text import JSONObject
from ..text.secrets import WatchedText, masked, unfinished

if TYPE_CHECKING:
    from ..parts import StreamEvent

_EVENT_DEFAULTS = {
    "part_index": None,
    "tool_call_id": None,
    "server_executed": False,
    "tool_name": None,
    "redacted": False,
    "provider_metadata": None,
    "message_index": 0,
}


class _Line:
    """A line of the journal, and the event that it stands for."""

    __slots__ = ("data", "event", "goes_on", "text")

    def __init__(self, event: StreamEvent, text: str, goes_on: bool) -> None:
        self.event, self.goes_on = event, goes_on
        self.put(text)

    def put(self, text: str) -> None:
        """Let the line have this text in place of that of the event."""
        self.text = text
        self.data = _data(self.event, text, self.goes_on)


class EventLines:
    """Turns the events of an answer into lines without keys.

    A key may be split between events. Everything is written as it comes all the same, because the
    process may be killed at any time; once an event completes a key, the lines in which the key
    began are written over.
    """

    def __init__(self) -> None:
        self._last: StreamEvent | None = None
        self._pieces = WatchedText()
        # The lines at the end that may hold the beginning of a key.
        self._open: list[_Line] = []

    def add(self, event: StreamEvent) -> tuple[int, bytes]:
        """The lines for the next event.

        Returns:
            How many bytes at the end of the journal to write over, and what to write there.
        """
        last, self._last = self._last, event
        is_same_text = (
            last is not None
            and event.part_index == last.part_index
            and event.type == last.type
            and event.message_index == last.message_index
            and event.tool_call_id == last.tool_call_id
        )
        goes_on = is_same_text and _is_plain(event)
        if goes_on and not self._open and not unfinished(event.chunk):
            # As almost always: this one is quick.
            return 0, _data(event, event.chunk, True)
        if not is_same_text:
            self._pieces, self._open = WatchedText(), []
        return self._watched(event, goes_on)

    def _watched(self, event: StreamEvent, goes_on: bool) -> tuple[int, bytes]:
        texts = self._pieces.add(event.chunk)
        lines, back = [*self._open, _Line(event, texts[-1], goes_on)], 0
        if texts[:-1] != [former.text for former in self._open]:
            back = _rewrite(lines, texts)
        data = b"".join(line.data for line in (lines if back else lines[-1:]))
        count = self._pieces.open_count
        self._open = lines[-count:] if count else []
        return back, data


def _is_plain(event: StreamEvent) -> bool:
    return (
        event.provider_metadata is None
        and event.attachment is None
        and not (event.redacted or event.server_executed or event.tool_name)
    )


def _rewrite(lines: list[_Line], texts: list[str]) -> int:
    """Give lines other texts, and together at least the length that all but the last one had;
    return that length."""
    former = sum(len(line.data) for line in lines[:-1])
    for line, text in zip(lines, texts, strict=True):
        line.put(text)
    missing = former - sum(len(line.data) for line in lines)
    lines[-1].data = lines[-1].data[:-1] + b" " * missing + b"\n"
    return former


def _data(event: StreamEvent, text: str, goes_on: bool) -> bytes:
    """The line of an event with a text in place of its own; one that goes on has nothing else."""
    line = f"{encode_basestring_ascii(text)}\n" if goes_on else json_line(_shape(event, text))
    return masked(line).encode()


def _shape(event: StreamEvent, text: str) -> JSONObject:
    shape: JSONObject = {"type": event.type, "chunk": text}
    for name, default in _EVENT_DEFAULTS.items():
        value = getattr(event, name)
        if value != default:
            shape[name] = value
    if event.attachment is not None:
        shape["attachment"] = event.attachment.to_dict()
    return shape


def json_line(value: object) -> str:
    """A value as one line."""
    return json.dumps(value, default=str) + "\n"
