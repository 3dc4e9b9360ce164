"""What the commands share that list and show things: writing them out."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping

from ..terminal import OutputClosed, is_terminal, say, tolerate_unencodable
from ..text import visible


def print_pieces(pieces: Iterable[str], *, raw: bool = False) -> None:
    """Write pieces of text to stdout.

    Args:
        pieces: The pieces; each is written before the next is made.
        raw: Pass on to a terminal what it would execute, instead of making it visible.
    """
    tolerate_unencodable(sys.stdout)
    if is_terminal(sys.stdout) and not raw:
        pieces = map(visible, pieces)
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosed(*error.args) from error


def print_json(value: object, *, indent: int = 2, ensure_ascii: bool = True) -> None:
    """Write a value to stdout as JSON; what JSON cannot express as its `str()`."""
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, default=str)
    print_pieces([text, "\n"])


def print_loaders(loaders: Mapping[str, Callable[..., object]], *, apart: bool, none: str) -> None:
    """Write the prefix of each loader, and what its docstring says.

    Args:
        loaders: The loaders by prefix.
        apart: Put an empty line between two of them.
        none: What to write where there is none.
    """
    if not loaders:
        say(none)
    for number, (prefix, loader) in enumerate(loaders.items()):
        if apart and number:
            say()
        say(f"{prefix}:")
        for line in (inspect.getdoc(loader) or "Undocumented").split("\n"):
            say(f"  {line}" if line else "")
