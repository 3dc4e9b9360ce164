"""Asking the person at the terminal, and telling them something, outside the answer of a model."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from ..text import visible
from . import for_stderr, is_terminal

# The terminal that controls the process, for when standard input is a pipe.
_TERMINAL = "/dev/tty"


def note(text: str) -> None:
    """Write one line to stderr without keys; control characters are made visible on a terminal."""
    print(for_stderr(text), file=sys.stderr, flush=True)


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
    with _reader() as reader:
        if reader is None:
            return None
        sys.stderr.write(f"{visible(question)} [y/N]: ")
        sys.stderr.flush()
        return reader.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _reader() -> Iterator[TextIO | None]:
    if is_terminal(sys.stdin):
        yield sys.stdin
        return
    with contextlib.ExitStack() as stack:
        try:
            terminal = stack.enter_context(open(_TERMINAL, encoding="utf-8", errors="replace"))
        except OSError:
            yield None
        else:
            yield terminal if os.isatty(terminal.fileno()) else None
