"""What a docstring says of each parameter: Google's `Args:`, NumPy's `Parameters`, Sphinx's
`:param name:`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

_GOOGLE = re.compile(r"(?:Args|Arguments|Parameters|Params):\s*")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\)|\[[^]]*\])?\s*:\s*(.*)")
_NUMPY = re.compile(r"(?:Other )?Parameters\s*")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?()")
_RULE = re.compile(r"-{3,}\s*")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_FIELD = re.compile(r":\w+[^:]*:")
_SPHINX_TYPE = re.compile(r":type\s+\w+\s*:.*")


def split(docstring: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The docstring without what it says of parameters, and that by their names.

    Args:
        names: The parameters. Where nothing is said of any of them, the docstring is given back as
            it is.
    """
    lines = inspect.cleandoc(docstring).splitlines()
    kept: list[str] = []
    found: dict[str, str] = {}
    at = 0
    while at < len(lines):
        step = _google(lines, at) or _numpy(lines, at) or _sphinx(lines, at)
        if step is None:
            kept.append(lines[at])
            at += 1
        else:
            at, entries = step
            found |= entries
    said = {name: found[name] for name in names if found.get(name)}
    if not said:
        return docstring, {}
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), said


_Step = tuple[int, dict[str, str]]


def _google(lines: list[str], at: int) -> _Step | None:
    if not _GOOGLE.fullmatch(lines[at].strip()):
        return None
    outer = _indent(lines[at])
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > outer):
        end += 1
    return end, _entries(lines[at + 1 : end], _GOOGLE_ENTRY)


def _numpy(lines: list[str], at: int) -> _Step | None:
    is_head = _NUMPY.fullmatch(lines[at]) and at + 1 < len(lines) and _RULE.fullmatch(lines[at + 1])
    if not is_head:
        return None
    end = at + 2
    while end < len(lines) and not (end + 1 < len(lines) and _RULE.fullmatch(lines[end + 1])):
        end += 1
    return end, _entries(lines[at + 2 : end], _NUMPY_ENTRY)


def _sphinx(lines: list[str], at: int) -> _Step | None:
    line = lines[at].strip()
    match = _SPHINX.fullmatch(line)
    if match is None:
        return (at + 1, {}) if _SPHINX_TYPE.fullmatch(line) else None
    end = at + 1
    while end < len(lines) and lines[end].strip() and not _SPHINX_FIELD.match(lines[end].strip()):
        end += 1
    return end, {match[1]: _joined([match[2], *lines[at + 1 : end]])}


def _entries(lines: list[str], entry: re.Pattern[str]) -> dict[str, str]:
    """What is said of each name: the entries are the lines that are indented the least."""
    level = min((_indent(line) for line in lines if line.strip()), default=0)
    texts: list[tuple[str, list[str]]] = []
    for line in lines:
        match = entry.fullmatch(line.strip()) if _indent(line) == level else None
        if match is not None:
            texts.append((match[1], [match[2]]))
        elif texts:
            texts[-1][1].append(line)
    return {name: _joined(said) for names, said in texts for name in re.split(r"\s*,\s*", names)}


def _joined(lines: Iterable[str]) -> str:
    return " ".join(filter(None, (line.strip() for line in lines)))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
