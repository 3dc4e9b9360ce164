"""Where an error lies in what a server sends, and what it says: every service has its own shape.

Among the shapes: `error` as an object, a text or a list; the fields of the error on their own, with
`object` or `type` saying what they are; `detail` of FastAPI, also as a list; `errors` of gateways;
`base_resp` of MiniMax; an error in a choice, and the word of the provider behind in
`metadata.raw`, both of OpenRouter; problem details of RFC 9457.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .signs import TELLING

# What says why, the plainest first.
_WORDS = (
    *TELLING,
    *("details", "error_description", "description", "status_msg", "faultstring"),
    *("title", "reason"),
)
# What an error may be wrapped in.
_WRAPS = ("error", "errors", "base_resp", "fault", "response", "choices", "raw", "err")
_KINDS = ("code", "type", "error_type", "error_code")
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_NO_REASON = frozenset({"Provider returned error", "error"})
_DEPTH = 8
_PIECES = 3
_READ_CHARS = 10_000


class Told(NamedTuple):
    """What a server told about an error.

    Attributes:
        text: Why; all that it sent where no reason is found.
        objects: The objects that the error consists of, the outermost first.
    """

    text: str
    objects: list[dict[str, Any]]

    def field(self, *names: str) -> Iterator[object]:
        """What any of the objects has under these names."""
        for value in self.objects:
            yield from (value[name] for name in names if name in value)


def told_by(body: object) -> Told:
    """What a server says about an error.

    Args:
        body: Bytes as they came, or a JSON value.
    """
    value = _parsed(body.decode("utf-8", "replace")) if isinstance(body, bytes) else body
    objects: list[dict[str, Any]] = []
    found = list(dict.fromkeys(_reasons(value, objects, _DEPTH)))
    telling = [text for text in found if text not in _NO_REASON] or found or _kinds(objects)
    return Told(": ".join(telling[:_PIECES]) or _shown(value), objects)


def _kinds(objects: list[dict[str, Any]]) -> list[str]:
    """What sort of error it is, for one that says nothing else."""
    kinds = Told("", objects).field(*_KINDS)
    return [kind for kind in kinds if isinstance(kind, str) and kind][:1]


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reasons(value: object, objects: list[dict[str, Any]], depth: int) -> Iterator[str]:
    """Every reason that is found, the most general first."""
    if depth == 0:
        return
    if isinstance(value, str):
        yield from _of_text(value, objects, depth)
    elif isinstance(value, list):
        for item in value[:_PIECES]:
            yield from _reasons(item, objects, depth - 1)
    elif isinstance(value, dict):
        objects.append(value)
        yield from _of_object(value, objects, depth - 1)


def _of_text(text: str, objects: list[dict[str, Any]], depth: int) -> Iterator[str]:
    text = text.strip()
    inner = _parsed(text) if text[:1] in ("{", "[") else text
    if isinstance(inner, str):
        if plain := _plain(inner):
            yield plain
        return
    found = list(_reasons(inner, objects, depth - 1))
    yield from found or [_plain(text)]


def _of_object(value: dict[str, Any], objects: list[dict[str, Any]], depth: int) -> Iterator[str]:
    # The place of what is wrong, as FastAPI and Pydantic tell it.
    place = value.get("loc")
    at = ".".join(map(str, place)) if isinstance(place, list) else ""
    for word in _WORDS:
        found = list(_reasons(value.get(word), objects, depth))
        if found:
            yield from (f"{at}: {text}" if at else text for text in found)
            break
    for name in _WRAPS:
        yield from _reasons(value.get(name), objects, depth)
    if isinstance(metadata := value.get("metadata"), dict):
        yield from _reasons(metadata, objects, depth)


def _plain(text: str) -> str:
    """The text of a web page; any other text as it is."""
    text = text[:_READ_CHARS]
    is_page = text.lstrip()[:1] == "<"
    return " ".join(_HIDDEN.sub(" ", text).split()) if is_page else text


def _shown(value: object) -> str:
    if not value:
        return ""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""
