"""The terminal: what a prompt shows there, and what comes in.

The answer goes to stdout; reasoning, usage and notes go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from .._lazy import for_hints
from ..text import extract_fenced_code_block, visible
from ..text.secrets import masked

if TYPE_CHECKING:
    from ..parts import StreamEvent
else:
    for_hints(
        globals(),
        {
            "llm.parts": "StreamEvent",
        },
    )

DIM = "\x1b[2m"
RED = "\x1b[31m"
GREEN = "\x1b[32m"
YELLOW = "\x1b[33m"
RESET = "\x1b[0m"

STDIN = "-"
_SILENCE_S = 0.5


class OutputClosed(BrokenPipeError):
    """Nobody reads the output any more. (A model's own broken pipe is another matter.)"""


class Display:
    """Where the events of a response go while it runs, and its text when it has ended.

    This one shows nothing: `--json` prints the record of the answer instead.
    """

    has_shown = False
    """Whether any text of the answer was shown."""

    def event(self, event: StreamEvent) -> None:
        """Take one event as it arrives."""

    def finish(self, text: str) -> None:
        """Take the whole text, once the response is complete."""

    def pause(self) -> None:
        """Leave the line to something else that is about to be shown."""

    def break_off(self, text: str) -> None:
        """Leave the output tidy after a response that ended early, with this text."""
        self.pause()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal (a closed stream is none)."""
    return stream is not None and stream.isatty()


def tolerate_unencodable(stream: TextIO | None) -> None:
    """Let `stream` replace what its encoding cannot express, such as half a surrogate pair, instead
    of failing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def say(message: object = "", *, err: bool = False) -> None:
    """Write lines to stdout or stderr as it may be shown: on a terminal without control sequences,
    with a replacement for what the encoding lacks.

    Raises:
        OutputClosed: Nobody reads it.
    """
    _show(sys.stderr if err else sys.stdout, (str(message), "\n"))


def print_pieces(pieces: Iterable[str], *, raw: bool = False) -> None:
    """Write pieces of text to stdout; each is written before the next is made.

    With `raw` a terminal gets what it would execute, instead of seeing it.
    """
    _show(sys.stdout, pieces, raw)


def _show(stream: TextIO | None, pieces: Iterable[str], raw: bool = False) -> None:
    if stream is not None:
        tolerate_unencodable(stream)
        _write(stream, map(visible, pieces) if is_terminal(stream) and not raw else pieces)


def print_json(value: object, *, indent: int = 2, ensure_ascii: bool = True) -> None:
    """Write a value to stdout as JSON; what JSON cannot express as its `str()`."""
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, default=str)
    print_pieces([text, "\n"])


def write_out(text: str) -> None:
    """Write to stdout and flush.

    Raises:
        OutputClosed: Nobody reads it.
    """
    _write(sys.stdout, (text,))


def _write(stream: TextIO, pieces: Iterable[str]) -> None:
    try:
        stream.writelines(pieces)
        stream.flush()
    except BrokenPipeError as error:
        raise OutputClosed(*error.args) from error


def write_err(text: str) -> None:
    """Write to stderr and flush; what cannot be written there is no reason to lose an answer."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        discard(sys.stderr)


def discard(stream: TextIO | None) -> None:
    """Let what is left in the buffer of a stream, and whatever is written to it from here on, go
    nowhere: Python would complain at the end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]  # caught
        os.close(nowhere)


class _Shown:
    """A text that comes in pieces, as it is to be written to a stream; see `print_pieces`."""

    def __init__(self, stream: TextIO | None, raw: bool) -> None:
        tolerate_unencodable(stream)
        self.is_at_terminal = is_terminal(stream)
        self._is_guarded = self.is_at_terminal and not raw
        # A carriage return whose line feed may come with the next piece.
        self._held = ""

    def piece(self, text: str) -> str:
        """What to write for the next piece."""
        if not self._is_guarded:
            return text
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return visible(text[: len(text) - len(self._held)])

    def rest(self) -> str:
        """What to write at the end."""
        held, self._held = self._held, ""
        return visible(held)


class StreamDisplay(Display):
    """Shows text on stdout as it comes, piece by piece, and reasoning dimmed on stderr."""

    def __init__(self, *, show_reasoning: bool, raw: bool = False) -> None:
        self._text = _Shown(sys.stdout, raw)
        self._reasoning = _Shown(sys.stderr, raw)
        self._show_reasoning = show_reasoning
        self._in_reasoning = False
        self._in_line = False

    def event(self, event: StreamEvent) -> None:
        """Write one piece of text or reasoning and flush it; other events show nothing."""
        chunk = event.chunk
        if not chunk:
            return
        if event.type == "text":
            self._end_reasoning()
            self._in_line = not chunk.endswith("\n")
            write_out(self._text.piece(chunk))
            self.has_shown = True
        elif event.type == "reasoning" and self._show_reasoning:
            self._in_reasoning = True
            shown = self._reasoning.piece(chunk)
            write_err(f"{DIM}{shown}{RESET}" if self._reasoning.is_at_terminal else shown)

    def finish(self, text: str) -> None:
        """End the answer with one newline."""
        self._end_reasoning()
        write_out(self._text.rest() + "\n")

    def pause(self) -> None:
        """End the line on a terminal, so that what follows has its own; a pipe stays as it is."""
        self._end_reasoning()
        if self._in_line and self._text.is_at_terminal:
            write_out("\n")
            self._in_line = False

    def _end_reasoning(self) -> None:
        if self._in_reasoning:
            self._in_reasoning = False
            write_err(self._reasoning.rest() + "\n")


class WholeDisplay(Display):
    """Shows the text when it is complete: all of it, or its first or last fenced block, if any."""

    def __init__(
        self, *, extract: bool = False, extract_last: bool = False, raw: bool = False
    ) -> None:
        self._raw = raw
        self._extract = extract or extract_last
        self._last = extract_last

    def finish(self, text: str) -> None:
        """Print the text, or the block that was asked for."""
        block = extract_fenced_code_block(text, last=self._last) if self._extract else None
        shown = text if block is None else block
        self.has_shown: bool = bool(shown)
        print_pieces((shown, "\n"), raw=self._raw)

    def break_off(self, text: str) -> None:
        """Print what there is of the text; half a block is of no use."""
        if text and not (self._extract or self.has_shown):
            self.finish(text)


def notice(text: str) -> None:
    """Tell the user something that belongs to an answer, on a line of its own on stderr.

    Args:
        text: What to tell; it is put on one line, and keys are masked.
    """
    # On a terminal the answer before it may not have ended its line.
    start = "\n" if is_terminal(sys.stderr) else ""
    write_err(f"{start}{masked(visible(' '.join(text.split())))}\n")


def show_note(text: str) -> None:
    """Write one line for the user to stderr, yellow on a terminal."""
    write_err(coloured(text, YELLOW) + "\n")


def coloured(text: str, colour: str) -> str:
    """A line for stderr: on a terminal in colour and without control sequences of its own."""
    text = for_stderr(text)
    return f"{colour}{text}{RESET}" if is_terminal(sys.stderr) else text


def for_stderr(text: str) -> str:
    """A text without keys, and on a terminal without control sequences."""
    text = masked(text)
    return visible(text) if is_terminal(sys.stderr) else text


# Standard input, and other bytes of unknown encoding


def stdin_is_terminal() -> bool:
    """Whether a person sits at standard input; a closed standard input counts as an empty pipe."""
    return is_terminal(sys.stdin)


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

    A mark of the byte order at the beginning is dropped; that of UTF-16 says that it is that.

    UTF-8 comes first even where the locale says otherwise (`LC_ALL=C` in a container): other
    encodings practically never pass as UTF-8 by accident. Where something cannot be read, a line
    on stderr says so.

    Args:
        source: Where the bytes come from, for that line.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        with suppress(UnicodeDecodeError):
            return raw.decode("utf-16")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    for encoding in ("utf-8", getattr(sys.stdin, "encoding", None) or "utf-8"):
        with suppress(UnicodeDecodeError, LookupError):
            return raw.decode(encoding)
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
