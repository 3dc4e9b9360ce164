"""Files of templates: where they are, what is in them, and where in them a mistake is.

Nothing here imports pydantic or, for files in the usual shape, YAML: a list of hundreds of
templates has to appear at once.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ..errors import LoadTemplateError
from . import config
from .yaml_files import InvalidYAML, parse_yaml, yaml_lines_of

SUFFIX = ".yaml"
# What aliases such as *name may stand for, all in all; a few lines can mean billions of values.
MAX_VALUES = 100_000


def templates_dir() -> Path:
    """The directory of the user's templates, created where that is possible."""
    path = config.user_dir() / "templates"
    # Where it cannot be, reading finds nothing, and writing says what is wrong.
    with suppress(OSError):
        path.mkdir(exist_ok=True)
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
        line = content.count(b"\n", 0, error.start) + 1
        raise LoadTemplateError(f"{path}, line {line}: not UTF-8 text") from error


def parse_fields(text: str, where: str) -> dict[object, object]:
    """The mapping that a template is; a plain string is its prompt.

    Raises:
        LoadTemplateError: It is not YAML, or neither of them; `where` names the file.
    """
    try:
        found = parse_yaml(text)
    except InvalidYAML as error:
        above = "\n".join(text.split("\n")[: error.line])
        keys = re.findall(r"^([A-Za-z_]\w*)[ \t]*:", above, re.MULTILINE)
        place = f"line {error.line}" + (f", in {keys[-1]!r}" if keys else "")
        raise LoadTemplateError(f"{where}, {place}: {error.problem}. Correct that line") from error
    if isinstance(found, str):
        return {"prompt": found}
    if isinstance(found, dict):
        if "*" in text:
            _check_size(found, text, where)
        return found
    problem = "empty" if found is None else f"a {type(found).__name__}, not a mapping of keys"
    raise LoadTemplateError(f"{where}, line 1: {problem}. Write for example 'prompt: ...'")


def _check_size(fields: dict[object, object], text: str, where: str) -> None:
    """Refuse aliases that stand for too much, or for what they are in."""
    for key, value in fields.items():
        try:
            if _size(value, {}) <= MAX_VALUES:
                continue
            problem = f"stands for more than {MAX_VALUES} values"
        except RecursionError:
            problem = "refers to itself"
        line = yaml_lines_of(text)([str(key)])
        raise LoadTemplateError(f"{where}, line {line}: {key}: {problem}")


def _size(value: object, known: dict[int, int]) -> int:
    """How many values there are in a value; one that is met again counts again."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known) for item in inner)
    return known[id(value)]


# Listing

# A text on one line that YAML takes for nothing else: plain, or in quotes without anything special.
_TEXT = r"""(?: '[^'\\\n]*' | "[^"\\\n]*"
    | (?! (?i:yes|no|true|false|on|off|null)$ | .*(?:[:][ ]|[ ]\#|[ :]$) ) [A-Za-z$].* )\n"""
_VALUE = rf"(?: {_TEXT} | (?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|true|false)\n )"
# A key with all that belongs to it. A look ahead finds the indentation that each line has to have.
_USUAL = re.compile(
    rf"""(?:
      (?:name|prompt|system|model|functions):[ ] (?:
          (?P<text>{_TEXT})
        | [|](?P<strip>-?)\n (?=(?P<margin>[ ]+)[^ \n]) (?P<block>(?:(?P=margin).*\n|\n)+) )
    | (?:extract|extract_last):[ ](?:true|false)\n
    | (?:fragments|system_fragments|attachments|tools):\n+
          (?=(?P<indent>[ ]*)) (?:(?P=indent)-[ ]{_TEXT}\n*)+
    | (?:defaults|options):\n+
          (?=(?P<inner>[ ]+)) (?:(?P=inner)[A-Za-z_]\w*:[ ]{_VALUE}\n*)+
    )\n*""",
    re.VERBOSE | re.MULTILINE,
)


def quick_fields(text: str) -> dict[str, str] | None:
    """The texts of a template in the usual shape; `None` where YAML has to decide.

    500 templates are read in 12 ms this way; with the YAML library and pydantic it takes 280, where
    `llm templates` has 50 for everything.
    """
    if not text.replace("\n", "").isprintable():
        return None
    text = text.strip("\n") + "\n"
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _USUAL.match(text, at)
        key = text[at : text.find(":", at)]
        if match is None or key in fields:
            return None
        fields[key] = _quick_text(match)
        at = match.end()
    return fields


def _quick_text(match: re.Match[str]) -> str:
    """The text of a key; an empty one for what is no text."""
    if match["block"] is None:
        text = (match["text"] or "").rstrip("\n")
        return text[1:-1] if text[:1] in ("'", '"') else text
    lines = match["block"].rstrip("\n").split("\n")
    text = "\n".join(line[len(match["margin"]) :] for line in lines)
    return text if match["strip"] else text + "\n"
