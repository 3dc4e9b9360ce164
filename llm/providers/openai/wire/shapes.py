"""What the wire formats of the API share: JSON shapes, text that is cut, usage, redaction.

Everything here is pure: values in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol, Union

from ....errors import ModelError
from ....parts import StreamEvent

Json = dict[str, Any]
Event = Union[str, StreamEvent]

#: Sent where no key is needed: some servers insist on a header.
DUMMY_KEY = "DUMMY_KEY"

#: Stands in the sequence of objects of an answer for the server's word that it is complete.
DONE: Json = {}


class Fold(Protocol):
    """Takes the objects of one answer as they arrive and remembers what they amount to."""

    is_complete: bool
    usage: Json | None

    def feed(self, value: Json) -> Iterable[Event]:
        """What `value` adds to the answer."""

    def finish(self) -> Iterable[Event]:
        """What is left to say once the last object has arrived."""

    def calls(self) -> list[tuple[str, Json, str]]:
        """The tool calls to run here: name, arguments, id."""

    def response_json(self) -> Json:
        """The answer as it is logged, without nulls."""

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""

    @property
    def resolved_model(self) -> str | None:
        """The exact model that the server says answered."""


class TextMender:
    """Joins characters that a server split into two halves of a surrogate pair."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def mend(self, text: str) -> str:
        """`text` with whole characters only; a first half is kept back for the next piece."""
        if not self._half:
            if text.isascii():
                return text
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                pass
            else:
                return text
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self) -> str:
        """A replacement character where half a character was left over, else nothing."""
        left, self._half = self._half, ""
        return "\ufffd" if left else ""


def arguments_text(value: object) -> str:
    """Argument text as servers send it; some send the object itself instead of its JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def not_nulls(pairs: Iterable[tuple[str, Any]]) -> Json:
    """Those of the pairs (options, for one) whose value is not `None`, as a dict."""
    return {name: value for name, value in pairs if value is not None}


def count_from(usage: Json, name: str) -> int | None:
    """A number of tokens, or `None` where the server gave none."""
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def redacted(value: Any) -> Any:
    """A copy of a JSON value with data URLs cut to `data:...` and audio to `...`, at any depth."""
    if isinstance(value, dict):
        return {name: _redacted_item(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def _redacted_item(name: str, item: Any) -> Any:
    if isinstance(item, str):
        is_data = name in ("url", "image_url", "file_data") and item.startswith("data:")
        return "data:..." if is_data else item
    if name == "input_audio" and isinstance(item, dict) and "data" in item:
        return {**item, "data": "..."}
    return redacted(item)


def redact_data(value: Any) -> Any:
    """Cut binary data out of a JSON object or list in place; returns it."""
    if isinstance(value, dict):
        value.update(redacted(value))
    elif isinstance(value, list):
        value[:] = redacted(value)
    return value


def redacted_messages(messages: list[Json]) -> list[Json]:
    """The messages of a request with binary data cut out; the request itself is left alone."""
    return [
        redacted(message) if isinstance(message.get("content"), list) else message
        for message in messages
    ]


def malformed(error: Exception, value: Json) -> ModelError:
    """The error for JSON that does not have the shape that the API promises."""
    try:
        shown = json.dumps(value)[:200]
    except (ValueError, RecursionError):
        shown = "a value that is nested too deeply"
    return ModelError(f"The server's answer has an unexpected shape ({error}): {shown}")
