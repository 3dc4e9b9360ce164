"""Keys in use are never shown: what equals one is masked wherever text leaves the program.

Whoever resolves a key says `remember(key)`. Errors, notes, the log, the journal, debug output and
tracebacks pass through `masked`; what comes in pieces passes through `WatchedText`, as a key may be
split between two of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

MASK = "[...]"
# A shorter text would be found by chance in the middle of other words.
LEAST_LENGTH = 6

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_SECRET_WORDS = ("authorization", "key", "token", "secret", "password", "credential")

# Each form in which a key may appear; a dictionary keeps the order, the longest first.
_forms: dict[str, None] = {}


def remember(secret: object) -> None:
    """Let `secret` be masked from here on; nothing happens for what is no text, or a short one."""
    if not isinstance(secret, str):
        return
    text = secret.strip()
    if len(text) < LEAST_LENGTH or text in _forms:
        return
    found = {*_forms, text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    if not text.isalnum():
        from urllib.parse import quote, quote_plus

        found |= {quote(text), quote(text, safe=""), quote_plus(text)}
    _forms.clear()
    _forms.update(dict.fromkeys(sorted(found, key=len, reverse=True)))


def is_secret_header(name: str) -> bool:
    """Whether the value of a header with this name is a secret."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def remember_request(url: str, headers: Mapping[str, str]) -> None:
    """Let the keys in the headers of a request, and the password in its address, be masked.

    What stands in for a key where none is needed should not be among the headers.
    """
    for name, value in headers.items():
        if is_secret_header(name):
            # The key stands alone, or behind a word such as Bearer.
            remember(value.rpartition(" ")[2])
    if "@" in url:
        from urllib.parse import unquote, urlsplit

        remember(unquote(urlsplit(url).password or ""))


def masked(text: str, also: Iterable[str] = ()) -> str:
    """`text` with `[...]` in place of each key in use, and of what else is to be masked."""
    for form in chain(_forms, also):
        if form in text:
            text = text.replace(form, MASK)
    return text


def storable(text: str) -> str:
    """`text` as it may be stored: each lone surrogate, which no encoding can express, replaced by
    U+FFFD, and each key in use by a mask."""
    text = masked(text)
    return text if text.isascii() else _LONE_SURROGATES.sub("\ufffd", text)


def unfinished(text: str, also: Iterable[str] = ()) -> int:
    """How many characters at the end of `text` may be the beginning of such a key."""
    longest = 0
    for form in chain(_forms, also):
        start = max(len(text) - len(form) + 1, 0)
        while (start := text.find(form[0], start)) >= 0:
            if form.startswith(text[start:]):
                longest = max(longest, len(text) - start)
                break
            start += 1
    return longest


class WatchedText:
    """A text that comes in pieces, watched for keys that are split between them.

    Args:
        also: Further keys to mask, however short.
    """

    def __init__(self, also: Sequence[str] = ()) -> None:
        self._also = also
        self._open: list[str] = []

    @property
    def open_count(self) -> int:
        """How many of the last pieces may hold the beginning of a key that the next one ends."""
        return len(self._open)

    def add(self, piece: str) -> list[str]:
        """What to show in place of the pieces that were open so far, and of the next one."""
        texts = [*self._open, piece] if self._open else [piece]
        whole = "".join(texts)
        shown = masked(whole, self._also)
        if shown != whole:
            texts = [shown, *[""] * len(self._open)]
        start, length = len(texts), unfinished(shown, self._also)
        while length > 0:
            start -= 1
            length -= len(texts[start])
        self._open = texts[start:]
        return texts


def mask_tracebacks() -> None:
    """Let the interpreter, too, print an exception that ends the program without keys."""
    import sys
    import traceback
    from types import TracebackType

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if sys.stderr is not None:
            sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
