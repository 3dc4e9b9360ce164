"""Asking the person at the terminal, outside the answer of a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, TextIO

from ..text import visible
from . import is_terminal, stdin_is_terminal

# The terminal that controls the process, for when standard input is a pipe.
_TERMINAL = "/dev/tty"


class Terminal(NamedTuple):
    """A person who can be asked.

    Args:
        read_line: Gives what they type, a line with its end, and an empty text at the end.
        writer: What they see.
    """

    read_line: Callable[[], str]
    writer: TextIO

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


def confirm(question: str) -> bool | None:
    """Ask a yes-or-no question; anything but yes is no.

    Args:
        question: What is asked, perhaps of several lines; control characters are made visible.

    Returns:
        The answer, or `None` where there is nobody to ask: standard error is no terminal, or
        there is none to read from.
    """
    if not is_terminal(sys.stderr):
        return None
    with open_terminal() as terminal:
        if terminal is None:
            return None
        try:
            answer = terminal._replace(writer=sys.stderr).ask(f"{visible(question)} [y/N]: ")
        except EOFError:
            return False
        return answer in ("y", "yes")
