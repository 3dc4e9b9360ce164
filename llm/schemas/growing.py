"""JSON that is read while it grows: the value so far, each time that the text says more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

# As deep as the fast readers of JSON go.
_MOST_LEVELS = 200
# A number of more digits is none that Python reads.
_LONGEST_SCALAR = 5000
_BYTES_PER_ITEM = 16

_BLANKS = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[-+.\w]+")
# What is whole of a text in its quotes: the first half of a pair waits for the second one.
_TEXT = re.compile(
    r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{4}|(?=[^\\]|\\[^u])))*"
)
_LONGEST_ESCAPE = len(r"\ud83d\ude00")
_NOTHING = object()
# Where a value may stand.
_VALUES = ("value", "first")


class _NoJSON(ValueError):
    """The text is no JSON, or says nothing more."""


class GrowingValue:
    """Reads a JSON object or list while its text arrives, each character once."""

    #: A value is only given when so many times the characters that have come since the last one are
    #: as much as there is to copy: all of them together take a time that grows with the text alone.
    copies_per_character = 4096

    def __init__(self) -> None:
        # What is open, from the outside in, with the name under which an object takes its next
        # value.
        self._open: list[Any] = []
        self._names: list[str | None] = []
        self._expected = "value"
        # What has come of a text that has not ended.
        self._string: list[str] | None = None
        # What has come and is not understood yet, and the value that it stands for if it is whole.
        self._rest = ""
        self._tail: object = _NOTHING
        self._root: Any = None
        self._is_over = False
        self._has_more = False
        self._fresh = 0

    def feed(self, piece: str) -> Iterator[Any]:
        """Take the next piece of text; the value as it is then, if it says more than before.

        A value is not changed any more, but shares what is complete with those after it. Where it
        is long and the piece is short, it may be given together with a later piece.
        """
        if self._is_over:
            return
        self._fresh += len(piece)
        try:
            self._read(self._rest + piece)
        except ValueError:
            # Its end, or what is no JSON.
            self._is_over = True
        if self._has_more and (self._is_over or self._is_worth_it()):
            yield self._value()

    def end(self) -> Iterator[Any]:
        """The value at the end of the text, if it says more than the last one given."""
        if self._has_more and self._open:
            yield self._value()

    def _is_worth_it(self) -> bool:
        size = _BYTES_PER_ITEM * sum(map(len, self._open)) + sum(map(len, self._string or ()))
        return self._fresh * self.copies_per_character >= size

    def _value(self) -> object:
        """What has been read, with copies of what is open."""
        self._has_more, self._fresh = False, 0
        if self._root is not None:
            return self._root
        inner = self._tail
        if self._string is not None and self._expected != "name":
            inner = "".join(self._string)
            self._string = [inner]
        for outer, name in zip(reversed(self._open), reversed(self._names), strict=True):
            copy = outer.copy()
            if inner is not _NOTHING:
                _put(copy, name, inner)
            inner = copy
        return inner

    def _read(self, text: str) -> None:
        at = 0
        while True:
            if self._string is None:
                at = _end_of(_BLANKS, text, at)
            if at == len(text):
                break
            after = self._in_string(text, at) if self._string is not None else self._token(text, at)
            if after == at:
                break
            at = after
        self._rest = text[at:]

    def _token(self, text: str, at: int) -> int:
        """Read what stands at a place; where it ends, or the same place if more has to come."""
        character = text[at]
        if character not in self._MARKS:
            return self._scalar(text, at)
        read, expected = self._MARKS[character]
        if self._expected not in expected:
            raise _NoJSON
        return read(self, text, at)

    def _begin_text(self, text: str, at: int) -> int:
        if not self._open:
            raise _NoJSON
        self._string = []
        self._has_more |= self._expected in _VALUES
        self._expected = self._expected.removeprefix("first ")
        return at + 1

    def _begin(self, text: str, at: int) -> int:
        if len(self._open) == _MOST_LEVELS:
            raise _NoJSON
        self._open.append([] if text[at] == "[" else {})
        self._names.append(None)
        self._expected = "first" if text[at] == "[" else "first name"
        self._has_more = True
        return at + 1

    def _close(self, text: str, at: int) -> int:
        container = self._open[-1]
        if (text[at] == "}") != isinstance(container, dict):
            raise _NoJSON
        self._open.pop()
        self._names.pop()
        if not self._open:
            self._root = container
            raise _NoJSON
        self._add(container)
        return at + 1

    def _comma(self, text: str, at: int) -> int:
        self._expected = "name" if isinstance(self._open[-1], dict) else "value"
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        self._expected = "value"
        return at + 1

    def _add(self, value: object) -> None:
        _put(self._open[-1], self._names[-1], value)
        self._expected = "next"

    def _scalar(self, text: str, at: int) -> int:
        """Read a number, `true`, `false` or `null`; one at the end of the text may go on."""
        end = _end_of(_SCALAR, text, at)
        is_expected = self._open and self._expected in _VALUES
        if not is_expected or end == at or end - at > _LONGEST_SCALAR:
            raise _NoJSON
        before, self._tail = self._tail, _NOTHING
        if end < len(text):
            value = json.loads(text[at:end])
            self._has_more |= before is _NOTHING or before != value
            self._add(value)
            return end
        try:
            self._tail = json.loads(text[at:end])
        except ValueError:
            # Half a number: as it was before it began.
            self._tail = before
        self._has_more |= self._tail is not before and self._tail != before
        return at

    def _in_string(self, text: str, at: int) -> int:
        """Read a text on, as far as it has come."""
        assert self._string is not None
        end = _end_of(_TEXT, text, at)
        if end > at:
            raw = text[at:end]
            self._string.append(json.loads(f'"{raw}"') if "\\" in raw else raw)
            self._has_more |= self._expected != "name"
        if end == len(text):
            return end
        if text[end] == '"':
            value, self._string = "".join(self._string), None
            if self._expected == "name":
                self._names[-1], self._expected = value, "colon"
            else:
                self._add(value)
            return end + 1
        if text[end] != "\\" or len(text) - end >= _LONGEST_ESCAPE:
            raise _NoJSON
        return end

    # Who reads on at a character, and where it may stand.
    _MARKS: ClassVar = {
        '"': (_begin_text, (*_VALUES, "name", "first name")),
        "[": (_begin, _VALUES),
        "{": (_begin, _VALUES),
        "]": (_close, ("first", "next")),
        "}": (_close, ("first name", "next")),
        ",": (_comma, ("next",)),
        ":": (_colon, ("colon",)),
    }


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _put(
    container: list[object] | dict[str | None, object], name: str | None, value: object
) -> None:
    if isinstance(container, list):
        container.append(value)
    else:
        container[name] = value
