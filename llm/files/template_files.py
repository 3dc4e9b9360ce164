"""Files of templates: where they are, what is in them, and where in them a mistake is.

Nothing here imports pydantic or, for files in the usual shape, YAML: a list of hundreds of
templates has to appear at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import LoadTemplateError
from . import config
from .yaml_files import InvalidYAML, parse_yaml, yaml_lines_of

SUFFIX = ".yaml"
# What aliases such as *name may stand for, all in all; a few lines can mean billions of values.
MAX_VALUES = 100_000


def templates_dir() -> Path:
    """The directory of the user's templates, created where that is possible."""
    path = config.user_dir() / "templates"
    try:
        path.mkdir(exist_ok=True)
    except OSError:
        # Reading then finds nothing, and writing says what is wrong.
        pass
    return path


def template_path(name: str) -> Path:
    """The file of the user's template of that name, whether it exists or not.

    Raises:
        LoadTemplateError: The name would lead out of the directory.
    """
    if not name or name.startswith(".") or re.search(r"[/\\\0]", name):
        raise LoadTemplateError(f"Invalid template name: {name!r}. It becomes the name of a file")
    return templates_dir() / f"{name}{SUFFIX}"


def template_names() -> list[str]:
    """The names of the user's templates, sorted, whether they are valid or not."""
    return sorted(path.name.removesuffix(SUFFIX) for path in templates_dir().glob(f"*{SUFFIX}"))


def read_template_text(path: Path) -> str:
    """The text of a file.

    Raises:
        LoadTemplateError: It cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadTemplateError(f"{path}: cannot be read ({reason})") from error
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LoadTemplateError(f"{path}, line {line}: not UTF-8 text") from error


def parse_fields(text: str, where: str) -> dict[Any, Any]:
    """The mapping that a template is; a plain string is its prompt.

    Args:
        text: The YAML.
        where: What names the file in messages.

    Raises:
        LoadTemplateError: It is not YAML, or neither a mapping nor a string.
    """
    try:
        found = parse_yaml(text)
    except InvalidYAML as error:
        key = _key_above(text, error.line)
        place = f"line {error.line}, in {key!r}" if key else f"line {error.line}"
        raise LoadTemplateError(f"{where}, {place}: {error.problem}. Correct that line") from error
    if isinstance(found, str):
        found = {"prompt": found}
    if isinstance(found, dict):
        if "*" in text:
            _check_size(found, text, where)
        return found
    problem = "empty" if found is None else f"a {type(found).__name__}, not a mapping of keys"
    raise LoadTemplateError(f"{where}, line 1: {problem}. Write for example 'prompt: ...'")


def _check_size(fields: dict[Any, Any], text: str, where: str) -> None:
    """Refuse aliases that stand for too much, or for what they are in."""
    for key, value in fields.items():
        try:
            size = _size(value, {})
        except RecursionError:
            problem = "refers to itself"
        else:
            problem = f"stands for more than {MAX_VALUES} values" if size > MAX_VALUES else ""
        if problem:
            raise LoadTemplateError(f"{where}, line {yaml_lines_of(text)([key])}: {key}: {problem}")


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are in a value; one that is met again counts again."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known) for item in inner)
    return known[id(value)]


def _key_above(text: str, line: int) -> str | None:
    """The key of the top level to which a line belongs."""
    for above in reversed(text.split("\n")[:line]):
        match = re.match(r"([A-Za-z_]\w*)\s*:", above)
        if match:
            return match[1]
    return None


# Listing

_TEXTS = frozenset(["name", "prompt", "system", "model", "functions"])
_FLAGS = frozenset(["extract", "extract_last"])
_LISTS = frozenset(["fragments", "system_fragments", "attachments", "tools"])
_MAPPINGS = frozenset(["defaults", "options"])
_KEY = re.compile(r"([a-z_]+):(?: (.*))?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|true|false")
_WORDS = frozenset(["yes", "no", "true", "false", "on", "off", "null"])


def quick_fields(text: str) -> dict[str, str] | None:
    """The texts of a template in the usual shape; `None` where YAML has to decide.

    The usual shape: keys at the margin with a plain or simply quoted text, a literal block, or a
    flat list or mapping of such texts below.
    """
    fields: dict[str, str] = {}
    seen = set()
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line:
            continue
        match = _KEY.fullmatch(line)
        if match is None or match[1] in seen:
            return None
        key, value = match.groups()
        seen.add(key)
        start = at
        while at < len(lines) and (not lines[at] or lines[at][0] in " -"):
            at += 1
        found = _quick_value(key, value, lines[start:at])
        if found is None:
            return None
        if key in _TEXTS:
            fields[key] = found
    return fields if seen else None


def _quick_value(key: str, value: str | None, below: list[str]) -> str | None:
    """The text of a key; an empty one where it is valid and of no interest here."""
    if key in _TEXTS:
        if value in ("|", "|-"):
            return _quick_block(below, strip=value == "|-")
        return None if any(below) else _quick_scalar(value)
    if key in _FLAGS:
        return "" if value in ("true", "false") and not any(below) else None
    if value is None and key in _LISTS:
        return _quick_items(below, r"( *)- (.*)")
    if value is None and key in _MAPPINGS:
        return _quick_items(below, r"( +)[A-Za-z_]\w*: (.*)", is_free=True)
    return None


def _quick_items(below: list[str], shape: str, *, is_free: bool = False) -> str | None:
    """An empty text where each line has the shape; with numbers as values where all are allowed."""
    indents = set()
    for line in filter(None, below):
        match = re.fullmatch(shape, line)
        if match is None or not (
            _quick_scalar(match[2]) or (is_free and _NUMBER.fullmatch(match[2]))
        ):
            return None
        indents.add(match[1])
    return "" if len(indents) == 1 else None


def _quick_block(below: list[str], *, strip: bool) -> str | None:
    while below and not below[-1]:
        below = below[:-1]
    if not below or not below[0].strip() or any("\t" in line for line in below):
        return None
    indent = len(below[0]) - len(below[0].lstrip(" "))
    margin = " " * indent
    if not indent or any(line and not line.startswith(margin) for line in below):
        return None
    text = "\n".join(line[indent:] for line in below)
    if not text.replace("\n", "").isprintable():
        return None
    return text if strip else text + "\n"


def _quick_scalar(value: str | None) -> str | None:
    if not value or not value.isprintable():
        return None
    first = value[0]
    if first in "'\"":
        inner = value[1:-1]
        ends = len(value) > 1 and value[-1] == first
        return inner if ends and first not in inner and "\\" not in inner else None
    if not (first.isascii() and first.isalpha()) and first != "$":
        return None
    if ": " in value or " #" in value or value[-1] in ": " or value.lower() in _WORDS:
        return None
    return value
