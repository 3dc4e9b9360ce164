"""What `.gitignore` files leave out, without asking git.

Source: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class _Rule(NamedTuple):
    """One line of a `.gitignore`: which paths below its folder it decides about, and how."""

    pattern: re.Pattern[str]
    only_folders: bool
    is_negated: bool


class IgnoreRules:
    """The rules that hold in a folder: its own, and those of the folders above it."""

    def __init__(self, folder: Path, above: IgnoreRules | None = None) -> None:
        self.folder = folder
        self._above = above
        lines: list[str] = []
        with suppress(OSError):
            text = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace")
            lines = text.splitlines()
        self._rules = [rule for line in lines if (rule := _rule(line)) is not None]

    @classmethod
    def for_folder(cls, folder: Path) -> IgnoreRules:
        """The rules in a folder, those of its repository included."""
        above = None
        for parent in _folders_of_repository(folder):
            above = cls(parent, above)
        return cls(folder, above)

    def ignores(self, path: Path, *, is_folder: bool) -> bool:
        """Whether a path directly in this folder is left out."""
        # The last rule that matches counts, that of the nearest folder before those above.
        relative = path.relative_to(self.folder).as_posix()
        for rule in reversed(self._rules):
            if (is_folder or not rule.only_folders) and rule.pattern.fullmatch(relative):
                return not rule.is_negated
        return self._above is not None and self._above.ignores(path, is_folder=is_folder)


def _folders_of_repository(folder: Path) -> list[Path]:
    """The folders above `folder` up to the root of its repository, the root first."""
    found: list[Path] = []
    for parent in folder.parents:
        found.insert(0, parent)
        if (parent / ".git").exists():
            return found
        if (folder / ".git").exists():
            return []
    return []


@lru_cache(maxsize=1000)
def _rule(line: str) -> _Rule | None:
    text = re.sub(r"(?<!\\) +$", "", line)
    if not text or text.startswith("#"):
        return None
    is_negated = text.startswith("!")
    text = text[is_negated:]
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    prefix = "" if "/" in text else "(?:.*/)?"
    try:
        pattern = re.compile(prefix + _regular_expression(text.lstrip("/")), re.DOTALL)
    except re.error:
        return None
    return _Rule(pattern, only_folders, is_negated)


_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
_IN_BRACKETS = re.compile(r"\[:(\w+):\]|\\(.)|(.)", re.DOTALL)
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": "!-/:-@\\[-`{-~", "space": "\\s", "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


def glob_pattern(glob: str) -> re.Pattern[str]:
    """What matches the paths that a pattern such as `src/**/*.py` stands for."""
    return re.compile(_regular_expression(glob), re.DOTALL)


def _regular_expression(glob: str) -> str:
    # Alone, and only there, two stars stand for folders too.
    return ".*" if glob == "**" else "".join(_translate(m[0]) for m in _TOKEN.finditer(glob))


def _translate(token: str) -> str:
    if token == "**/":
        return "(?:.*/)?"
    if token == "/**":
        return "/.*"
    if token.startswith("*"):
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if token[0] == "[" and len(token) > 2:
        is_negated = token[1] in "!^"
        inner = _IN_BRACKETS.sub(_in_brackets, token[1 + is_negated : -1])
        return f"(?!/)[{'^' * is_negated}{inner}]"
    return re.escape(token[-1] if token[0] == "\\" else token)


def _in_brackets(match: re.Match[str]) -> str:
    """A part of a set of characters: a class, an escaped character, or one that stands there."""
    name, escaped, plain = match.groups()
    if name:
        return _CLASSES.get(name, "")
    return "-" if plain == "-" else re.escape(plain or escaped)
