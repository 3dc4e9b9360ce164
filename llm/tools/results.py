"""What a tool returned, as the model is told: text, JSON, and files."""

from __future__ import annotations

import json

from ..content import Attachment
from ..text.secrets import shown_as
from .calling import ToolOutput


def taken_apart(value: object) -> tuple[str, list[Attachment]]:
    """The text that a model is told of a value, and the files that go with it."""
    if isinstance(value, ToolOutput):
        return text_of(value.output), list(value.attachments)
    if isinstance(value, Attachment):
        return _named([value]), [value]
    if isinstance(value, (list, tuple)) and value:
        files = [item for item in value if isinstance(item, Attachment)]
        if len(files) == len(value):
            return _named(files), files
    return text_of(value), []


def _named(files: list[Attachment]) -> str:
    return "Attached: " + ", ".join(file.type or "a file" for file in files)


def text_of(value: object) -> str:
    """What the model is told of a value: text as it is, else JSON, else what Python writes."""
    if isinstance(value, str):
        return value
    if value.__class__ is int:
        return str(value)  # as in JSON, at a tenth of the price
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        # Keys that are no text, or a value that contains itself.
        return shown_as(value)


def _jsonable(value: object) -> object:
    """A value that JSON does not have as one that it has: models and dataclasses are objects, sets
    are lists, bytes are text where they can be and else base64, dates are in ISO 8601."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda item: (type(item).__name__, shown_as(item)))
    # What gives one value after the other may never end.
    if not hasattr(value, "__next__"):
        from pydantic_core import to_jsonable_python

        for mode in ("utf8", "base64"):
            try:
                return to_jsonable_python(value, bytes_mode=mode, fallback=shown_as)
            except Exception:  # whatever an object of somebody else raises when it is looked at
                continue
    return shown_as(value)


# `json.dumps` makes an encoder for every call that gives it a default.
_encode = json.JSONEncoder(default=_jsonable).encode
