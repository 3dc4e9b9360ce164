"""Cutting a file into chunks where its structure allows it, each a run of whole lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# A chunk is as long as this at most; a shorter one goes on over a heading.
MOST_BYTES = 1_600
_FEWEST_BYTES = 400
_HEADING = re.compile(rb"#{1,6} \S")
_FENCE = re.compile(rb" {0,3}(```|~~~)")
# How well a chunk may begin at a line: at a heading best, within a paragraph only if it must.
_HEAD, _BLOCK, _PART, _LINE = 3, 2, 1, 0


class Chunk(NamedTuple):
    """A run of bytes of a file.

    Attributes:
        start, end: Its bytes, counted from 0, `end` not among them.
        first, last: Its lines, counted from 1, both among them.
    """

    start: int
    end: int
    first: int
    last: int


class _Line(NamedTuple):
    start: int
    end: int
    number: int
    rank: int


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """The chunks of a text, in order; what is between them is only white space.

    A chunk begins at a heading of Markdown, else at a line without indent behind an empty one,
    such as a paragraph or a function, else behind an empty line, and within a block of lines only
    where that is too long. A line that is too long is cut at a space.
    """
    taken: list[_Line] = []
    for line in _lines(data):
        size = line.end - taken[0].start if taken else 0
        if taken and line.rank == _HEAD and line.start - taken[0].start >= _FEWEST_BYTES:
            yield from _chunk(data, taken)
            taken = []
        elif size > MOST_BYTES:
            count = _cut([*taken, line])
            yield from _chunk(data, taken[:count])
            taken = taken[count:]
        taken.append(line)
    yield from _chunk(data, taken)


def _cut(lines: list[_Line]) -> int:
    """How many of the lines make a chunk: up to the best place to begin another, or the last."""
    start = lines[0].start
    places = [
        (line.rank, number)
        for number, line in enumerate(lines)
        if number and line.start - start >= _FEWEST_BYTES
    ]
    return max(places)[1] if places else len(lines) - 1


def _chunk(data: bytes, lines: list[_Line]) -> Iterator[Chunk]:
    while lines and not data[lines[0].start : lines[0].end].strip():
        lines = lines[1:]
    while lines and not data[lines[-1].start : lines[-1].end].strip():
        lines = lines[:-1]
    if lines:
        yield Chunk(lines[0].start, lines[-1].end, lines[0].number, lines[-1].number)


def _lines(data: bytes) -> Iterator[_Line]:
    at, after_empty, fence = 0, True, b""
    for number, text in enumerate(data.splitlines(keepends=True), 1):
        rank = _rank(text, after_empty) if not fence else _LINE
        if found := _FENCE.match(text):
            fence = b"" if fence == found[1] else fence or found[1]
        for piece in _pieces(text):
            yield _Line(at, at + len(piece), number, rank)
            at, rank = at + len(piece), _LINE
        after_empty = not text.strip()


def _rank(line: bytes, after_empty: bool) -> int:
    if _HEADING.match(line):
        return _HEAD
    if not after_empty or not line.strip():
        return _LINE
    return _PART if line[:1].isspace() else _BLOCK


def _pieces(line: bytes) -> Iterator[bytes]:
    """A line, or what it has to be cut into, no character in two."""
    while len(line) > MOST_BYTES:
        cut = line.rfind(b" ", _FEWEST_BYTES, MOST_BYTES) + 1 or MOST_BYTES
        # Bytes that go on with a character begin with these bits.
        while line[cut] & 0xC0 == 0x80 and cut > 1:
            cut -= 1
        yield line[:cut]
        line = line[cut:]
    yield line
