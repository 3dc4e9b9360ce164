"""Asking the person at the terminal, outside the answer of a model.

What a question is about may have been written by somebody else, so nothing of it can look like a
line of ours: values stand quoted on one line, code behind line numbers, and a line that is wider
than the screen goes on indented.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, TextIO

from ..text import visible
from . import is_terminal, stdin_is_terminal

# The terminal that controls the process, for when standard input is a pipe.
_TERMINAL = "/dev/tty"
# What a line that is too wide goes on with.
_INDENT = "      "
# Rows of the screen that are left for the question itself.
_ROWS_OF_QUESTION = 4


class Terminal(NamedTuple):
    """A person who can be asked.

    Args:
        read_line: Gives what they type, a line with its end, and an empty text at the end.
        writer: What they see.
    """

    read_line: Callable[[], str]
    writer: TextIO

    def show(self, text: str) -> None:
        """Write what a question is about; through the pager where it does not fit the screen.

        Control characters are made visible, and only lines of the text begin at the left.
        """
        columns, rows = _size(self.writer)
        lines = [row for line in visible(text).split("\n") for row in _folded(line, columns)]
        shown = "".join(f"{line}\n" for line in lines)
        if len(lines) <= rows - _ROWS_OF_QUESTION or not _page(shown, self.writer):
            self.writer.write(shown)

    def ask(self, question: str) -> str:
        """The next line that they type, stripped and in lower case.

        Raises:
            EOFError: There is none.
        """
        self.writer.write(question)
        self.writer.flush()
        line = self.read_line()
        if not line:
            raise EOFError
        return line.strip().lower()


def _size(writer: TextIO) -> tuple[int, int]:
    """Columns and rows of a screen, as far as it says so."""
    try:
        columns, rows = os.get_terminal_size(writer.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    return columns or 80, rows or 24


def quoted(value: object) -> str:
    """A value as a question shows it: on one line, in quotes, control characters escaped."""
    return repr(str(value))


def numbered(code: str) -> str:
    """Code as a question shows it: all of it, each line with its number in front."""
    lines = code.expandtabs(4).split("\n")
    width = len(str(len(lines)))
    return "\n".join(f"    {number:>{width}} | {line}" for number, line in enumerate(lines, 1))


def _folded(line: str, columns: int) -> Iterator[str]:
    """A line in rows of the screen, which begin with blanks from the second on."""
    # Most characters outside of ASCII that matter here are two columns wide.
    width = max(columns if line.isascii() else columns // 2, 2 * len(_INDENT))
    yield line[:width]
    step = width - len(_INDENT)
    for start in range(width, len(line), step):
        yield f"{_INDENT}{line[start : start + step]}"


def _page(text: str, writer: TextIO) -> bool:
    """Show a text in the pager of the user, on the terminal that a writer leads to; whether that
    was possible."""
    import shlex
    import subprocess

    try:
        command = shlex.split(os.environ.get("PAGER") or "less")
        writer.flush()
        done = subprocess.run(
            command, input=text.encode("utf-8", "replace"), stdout=writer.fileno()
        )
    except (OSError, ValueError):
        return False
    return done.returncode == 0


@contextmanager
def open_terminal() -> Iterator[Terminal | None]:
    """The terminal that the command was started at, also where standard input is a pipe.

    Gives `None` where there is none.
    """
    if stdin_is_terminal():
        yield Terminal(sys.stdin.readline, sys.stderr)
        return
    names = ("CONIN$", "CONOUT$") if sys.platform == "win32" else (_TERMINAL, _TERMINAL)
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(open(names[0], encoding="utf-8", errors="replace"))
            writer = stack.enter_context(open(names[1], "w", encoding="utf-8", errors="replace"))
        except OSError:
            yield None
        else:
            yield Terminal(reader.readline, writer) if is_terminal(reader) else None


def confirm(question: str, about: str = "") -> bool | None:
    """Ask a yes-or-no question; anything but yes is no.

    Args:
        question: What is asked, in one line; control characters are made visible.
        about: What is shown before it, whole.

    Returns:
        The answer, or `None` where there is nobody to ask: standard error is no terminal, or
        there is none to read from.
    """
    if not is_terminal(sys.stderr):
        return None
    with open_terminal() as terminal:
        if terminal is None:
            return None
        terminal = terminal._replace(writer=sys.stderr)
        if about:
            terminal.show(about)
        try:
            line = visible(question).replace("\n", "\u240a")
            return terminal.ask(f"{line} [y/N]: ") in ("y", "yes")
        except EOFError:
            return False
