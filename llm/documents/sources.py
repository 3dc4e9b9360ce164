"""What an answer was given to go by: pieces of files, each with the digest of its bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ..content import Fragment

_SOURCE = re.compile(
    r"docs:(?P<set_name>[^#]*)#(?P<path>.*)\?id=(?P<number>\d+)&lines=(?P<first>\d+)-(?P<last>\d+)"
    r"&bytes=(?P<start>\d+)-(?P<end>\d+)&sha256=(?P<digest>[0-9a-f]{64})",
    re.DOTALL,
)
_NUMBERS = ("number", "first", "last", "start", "end")
_LINE = "\n---\n"


class Source(NamedTuple):
    """A run of bytes of a file.

    Attributes:
        set_name: The set of documents that it is from.
        path: The file.
        number: Its number in the set, never given to another.
        first, last: Its lines, counted from 1.
        start, end: Its bytes, counted from 0, `end` not among them.
        digest: The SHA-256 of the bytes, in hexadecimal.
    """

    set_name: str
    path: str
    number: int
    first: int
    last: int
    start: int
    end: int
    digest: str

    @property
    def place(self) -> str:
        """File and lines, as people name them."""
        path = Path(self.path)
        with suppress(ValueError, OSError):
            path = path.relative_to(Path.cwd())
        lines = f"{self.first}-{self.last}" if self.last > self.first else str(self.first)
        return f"{path}:{lines}"

    def as_fragment(self, name: str, text: str) -> Fragment:
        """The text under its number, which the model cites, and the name of its file."""
        source = (
            f"docs:{self.set_name}#{self.path}?id={self.number}&lines={self.first}-{self.last}"
            f"&bytes={self.start}-{self.end}&sha256={self.digest}"
        )
        head = f"[{self.number}] {name}, lines {self.first}-{self.last}"
        return Fragment(f"{head}{_LINE}{text}{_LINE}", source)

    def state(self) -> str:
        """`unchanged` where the bytes stand in the file as they did, `moved` where they stand
        elsewhere in it, else `changed`, or `gone`."""
        data = readable(self.path)
        if data is None:
            return "gone"
        if sha256(data[self.start : self.end]).hexdigest() == self.digest:
            return "unchanged"
        length = self.end - self.start
        # A chunk begins where a line does, but for those of a line that was cut.
        starts = (found.end() for found in re.finditer(rb"^", data, re.MULTILINE))
        moved = any(
            sha256(data[at : at + length]).hexdigest() == self.digest
            for at in starts
            if at + length <= len(data)
        )
        return "moved" if moved else "changed"


class Given(NamedTuple):
    """A source with its text as the model was given it; without where the log was altered."""

    source: Source
    text: str


def given_sources(fragments: Iterable[str]) -> Iterator[Given]:
    """The sources among the fragments of a prompt, in order."""
    for fragment in fragments:
        found = _SOURCE.fullmatch(getattr(fragment, "source", None) or "")
        if found is None:
            continue
        values = found.groupdict()
        numbers = {name: int(values[name]) for name in _NUMBERS}
        source = Source(values["set_name"], values["path"], **numbers, digest=values["digest"])
        text = str(fragment).partition(_LINE)[2].removesuffix(_LINE)
        is_whole = "\ufffd" in text or sha256(text.encode()).hexdigest() == source.digest
        yield Given(source, text if is_whole else "")


def readable(path: str | os.PathLike[str]) -> bytes | None:
    """What is in a file; `None` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
