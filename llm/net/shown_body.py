"""The body of a reply as a debug dump may show it: as it comes, without keys."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..text.secrets import WatchedText, masked, unfinished

_EVENT = "data:"
_Place = tuple[object, ...]


class _Line:
    """A line that is held back; `value` is the JSON of an event."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.value: Any = None
        if text.startswith(_EVENT):
            try:
                self.value = json.loads(text[len(_EVENT) :])
            except (ValueError, RecursionError):
                self.value = None

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

    Args:
        also: Further keys to mask, however short.
    """

    def __init__(self, also: Iterable[str] = ()) -> None:
        self._also = [secret for secret in also if secret]
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
        is_open = {id(line) for _, lines in self._texts.values() for line in lines}
        count = 0
        while count < len(self._held) and id(self._held[count]) not in is_open:
            count += 1
        released, self._held = self._held[:count], self._held[count:]
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
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts_of(item, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts_of(item, (*place, index))
