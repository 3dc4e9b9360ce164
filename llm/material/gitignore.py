"""What `.gitignore` files leave out, without asking git.

Source: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

_LONGEST = 4096


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
        path = folder / ".gitignore"
        # As for git, a link is none: it could lead to a device that never ends.
        if path.is_file() and not path.is_symlink():
            with suppress(OSError):
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
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
    text = _without_blanks(line)
    # No path is as long as that.
    if not text or text.startswith("#") or len(text) > _LONGEST:
        return None
    is_negated = text.startswith("!")
    text = text[is_negated:]
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    prefix = "" if "/" in text else "**/"
    try:
        pattern = glob_pattern(prefix + text.lstrip("/"))
    except re.error:
        return None
    return _Rule(pattern, only_folders, is_negated)


def _without_blanks(line: str) -> str:
    """A line without the blanks at its end, but for one that is escaped."""
    text = line.rstrip(" ")
    return text + " " if text.endswith("\\") and text != line else text


_TOKEN = re.compile(r"\*+|\?|\[[!^]?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
_IN_BRACKETS = re.compile(r"\[:(\w+):\]|\\(.)|(.)", re.DOTALL)
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": "!-/:-@\\[-`{-~", "space": "\\s", "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


def glob_pattern(glob: str) -> re.Pattern[str]:
    """What matches the paths that a pattern such as `src/**/*.py` stands for.

    It is matched in a time that no pattern can blow up: what a star stands for is settled once what
    follows it, up to the next star, is found; only the last star of a name is tried again, and so
    with two stars and folders.
    """
    segments: list[list[str]] = [[]]
    for match in _TOKEN.finditer(glob):
        if match[0] in ("/", "\\/"):
            segments.append([])
        else:
            segments[-1].append(match[0])
    return re.compile(_regular_expression(segments), re.DOTALL)


def _regular_expression(segments: list[list[str]]) -> str:
    """The names between slashes as a regular expression."""
    if segments == [["**"]]:
        return ".*"
    numbers = count()
    is_open = segments[-1] == ["**"]
    first, *others = _runs(segments[:-1] if is_open else segments, numbers)
    if is_open:
        last = ".*"
    elif others:
        last = f"(?:.*/)?{others.pop()}"
    else:
        return first
    middle = [_settled(f"(?:.*?/)??{run}/", numbers) for run in others if run]
    return (first and f"{first}/") + "".join(middle) + last


def _runs(segments: list[list[str]], numbers: Iterator[int]) -> list[str]:
    """What stands before, between and behind the names that are two stars."""
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment != ["**"]:
            runs[-1].append(_name_expression(segment, numbers))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    return ["/".join(run) for run in runs]


def _name_expression(tokens: list[str], numbers: Iterator[int]) -> str:
    """A name between two slashes, where what follows a star has a fixed length."""
    pieces: list[str] = [""]
    for token in tokens:
        if token.startswith("*"):
            pieces.append("")
        else:
            pieces[-1] += _translate(token)
    first, *others = pieces
    if not others:
        return first
    middle = [_settled(f"[^/]*?{piece}", numbers) for piece in others[:-1]]
    return first + "".join(middle) + "[^/]*" + others[-1]


def _settled(expression: str, numbers: Iterator[int]) -> str:
    """What is matched once and not tried again: Python 3.10 has no atomic groups."""
    name = f"g{next(numbers)}"
    return f"(?=(?P<{name}>{expression}))(?P={name})"


def _translate(token: str) -> str:
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
