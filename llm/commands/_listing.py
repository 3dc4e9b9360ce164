"""What the listings of stored things share: writing them out, and showing the loaders there are."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..terminal.output import OutputClosed, is_terminal, say, tolerate_unencodable
from ..text.shaping import visible


def print_pieces(pieces: Iterable[str]) -> None:
    """Write pieces of text to stdout; what a terminal would execute is made visible there."""
    tolerate_unencodable(sys.stdout)
    if is_terminal(sys.stdout):
        pieces = map(visible, pieces)
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosed(*error.args) from error


def print_loaders(loaders: Mapping[str, Callable[..., Any]], *, apart: bool, none: str) -> None:
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
