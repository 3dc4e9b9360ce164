"""Standard input, and other bytes of unknown encoding, as text."""

from __future__ import annotations

import os
import sys

from .output import show_note

STDIN = "-"
_SILENCE_S = 0.5


def stdin_is_terminal() -> bool:
    """Whether a person sits at standard input; a closed standard input counts as an empty pipe."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_stdin_bytes() -> bytes:
    """The bytes of standard input up to its end; none if it is closed or was read before."""
    if sys.stdin is None:
        return b""
    buffer = getattr(sys.stdin, "buffer", None)
    return buffer.read() if buffer is not None else sys.stdin.read().encode("utf-8", "replace")


def read_stdin_text() -> str:
    """Standard input as text, with line ends as `\\n`."""
    return decode_text(read_stdin_bytes()).replace("\r\n", "\n").replace("\r", "\n")


def read_stdin_line() -> str:
    """The next line of standard input with its line end; empty at the end of the input."""
    if sys.stdin is None:
        return ""
    buffer = getattr(sys.stdin, "buffer", None)
    return decode_text(buffer.readline()) if buffer is not None else sys.stdin.readline()


def is_text_piped_in() -> bool:
    """Whether there is text in standard input, which is no terminal; none of it is taken.

    An open pipe that stays silent for half a second counts as empty: perhaps nobody will ever write
    to it or close it.
    """
    if sys.stdin is None or stdin_is_terminal():
        return False
    import select

    buffer = sys.stdin.buffer
    try:
        if not select.select([buffer], [], [], _SILENCE_S)[0]:
            return False
    except (OSError, ValueError):
        pass  # no file of the system, or not a kind of file that one can wait for
    if hasattr(buffer, "peek"):
        return bool(buffer.peek(1))
    found = buffer.read(1)
    buffer.seek(-len(found), os.SEEK_CUR)
    return bool(found)


def decode_text(raw: bytes, source: str = "standard input") -> str:
    """Text from bytes of unknown encoding: UTF-8, else the locale's, else what can be saved.

    UTF-8 comes first even where the locale says otherwise (`LC_ALL=C` in a container): other
    encodings practically never pass as UTF-8 by accident. Where something cannot be read, a line
    on stderr says so.

    Args:
        raw: The bytes.
        source: Where they come from, for that line.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return raw.decode(getattr(sys.stdin, "encoding", None) or "utf-8")
        except (UnicodeDecodeError, LookupError):
            _note_replacement(source)
            return raw.decode("utf-8", "replace")


def _note_replacement(source: str) -> None:
    show_note(f"Not all of {source} is valid UTF-8: what cannot be read was replaced")


def clean_argument(text: str) -> str:
    """A command line argument without the lone surrogates that stand for undecodable bytes."""
    if text.isascii():
        return text
    try:
        return decode_text(text.encode("utf-8", "surrogateescape"), "the command line")
    except UnicodeEncodeError:
        _note_replacement("the command line")
        return text.encode("utf-8", "replace").decode("utf-8")
