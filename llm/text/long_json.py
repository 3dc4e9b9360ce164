"""JSON of values that hold very long texts, without a second copy of these in memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator

#: From so many characters on a text is encoded slice by slice.
LONG_TEXT = 1 << 20


_encode = json.JSONEncoder(separators=(",", ":")).encode


def json_pieces(
    value: object,
    encode: Callable[[object], str] = _encode,
    escape: Callable[[str], str] = json.encoder.encode_basestring_ascii,
) -> Iterator[str]:
    """The JSON text of `value`, in pieces that are not long where a text in it is.

    Args:
        value: What to encode.
        encode: Gives the JSON text of a value; by default it is compact and ASCII.
        escape: Gives the JSON text of a text, in its quotes, character by character.
    """
    texts: list[str] = []
    token = ""
    if _has_long(value):
        token = os.urandom(16).hex()
        value = _marked(value, token, texts)
    whole = encode(value)
    if not texts:
        yield whole
        return
    for number, part in enumerate(re.split(f'"{token}([0-9]+){token}"', whole)):
        if number % 2 == 0:
            yield part
        else:
            yield from _escaped(texts[int(part)], escape)


def slices(text: str) -> Iterator[str]:
    """A text in pieces of a length that can be handled."""
    for start in range(0, len(text), LONG_TEXT):
        yield text[start : start + LONG_TEXT]


def _escaped(text: str, escape: Callable[[str], str]) -> Iterator[str]:
    yield '"'
    for piece in slices(text):
        yield escape(piece)[1:-1]
    yield '"'


def _has_long(value: object) -> bool:
    if isinstance(value, str):
        return len(value) >= LONG_TEXT
    if isinstance(value, dict):
        return any(map(_has_long, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_long, value))


def _marked(value: object, token: str, texts: list[str]) -> object:
    """The value with a mark in place of each long text, which goes to the end of `texts`."""
    if isinstance(value, str) and len(value) >= LONG_TEXT:
        texts.append(value)
        return f"{token}{len(texts) - 1}{token}"
    if isinstance(value, dict):
        return {key: _marked(item, token, texts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item, token, texts) for item in value]
    return value
