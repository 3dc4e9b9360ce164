"""What is said of plugins that fail: each fault once, as programs read stderr as output."""

from __future__ import annotations

import os
import re
import sys

from ..files import tell_once
from ..files.config import user_path
from ..text import visible
from ..text.secrets import masked

# Numbers and addresses, which differ each time.
_PASSING = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_held_back: list[str] = []


def tell(line: str) -> None:
    """Say a line about a plugin on stderr."""
    err = sys.stderr
    if err is not None:
        line = masked(line)
        print(visible(line) if err.isatty() else line, file=err)


def tell_new(name: str, version: str | None, problem: str) -> None:
    """Say that a plugin fails, unless the same was said of it before: then it is held back."""
    line = f"Plugin {name} failed to load: {problem}"
    subject = masked(f"plugin {name} {version or ''}: {_PASSING.sub('#', problem)}")
    _held_back.append(line)
    told = os.path.join(user_path(), "told.json")
    tell_once(subject, line, told, or_always=True, say=_tell_new)


def _tell_new(line: str) -> None:
    _held_back.remove(line)
    tell(line)


def tell_held_back() -> None:
    """Say what was held back: something is missing, or somebody asks for it."""
    while _held_back:
        tell(_held_back.pop(0))
