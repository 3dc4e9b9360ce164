"""Keys in use are never shown: what equals one is masked wherever text leaves the program.

Whoever resolves a key says `remember(key)`. Errors, notes, the log, the journal, debug output and
tracebacks pass through `masked`; what comes in pieces passes through `WatchedText`, as a key may be
split between two of them. What is stored passes through `storable` or `storable_value`, which
mask, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import Any

MASK = "[...]"
# A shorter text would be found by chance in the middle of other words.
LEAST_LENGTH = 6
#: Texts that stand where a server wants any key; they are no secrets.
STAND_INS = ("x", "none", "ollama")

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_SECRET_WORDS = ("authorization", "key", "token", "secret", "password", "credential")

# Each form in which a key may appear whole, the longest first: a dictionary keeps the order.
_forms: dict[str, None] = {}
# Each key, with what finds it where some of its characters are escaped.
_escaped: dict[str, _Escaped] = {}
# What `_look_for_beginnings` gave for so many forms.
_beginnings: dict[int, tuple[int, Callable[[str, int], object]]] = {}
# Shorter pieces of base64 would be found by chance in the bytes of a picture.
_LEAST_BASE64 = 10
# A parameter without a name that is as long is taken for a key.
_LEAST_BARE = 16
# What an escaped character begins with, the beginning of one, and how long one may be.
_MARKS = "\\%&"
_MARK = re.compile(r"[\\%&]")
_CUT_OFF = re.compile(r"[\\%&][\w#;%\\]{0,30}\Z")
_LONGEST_ESCAPE = 16
_QUERY_WORDS = ("auth", "code", "jwt", "pass", "pwd", "sas", "sig", "signature")


def remember(secret: object) -> None:
    """Let `secret` be masked from here on; nothing happens for what is no text, or a short one."""
    if not isinstance(secret, str):
        return
    text = secret.strip()
    if len(text) < LEAST_LENGTH or text in _escaped or text.casefold() in STAND_INS:
        return
    _escaped[text] = _Escaped(text)
    found = {*_forms, *_written(text)}
    _beginnings.clear()
    _forms.clear()
    _forms.update(dict.fromkeys(sorted(found, key=len, reverse=True)))


def _written(text: str) -> Iterator[str]:
    """A key as JSON, addresses, HTML and base64 have it."""
    yield text
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from _in_base64(text)
    if text.isalnum():
        return
    from urllib.parse import quote, quote_plus

    yield text.replace("/", "\\/")
    for form in (quote(text), quote(text, safe=""), quote_plus(text)):
        yield form
        yield re.sub("%..", lambda match: match[0].lower(), form)
    yield from (_as_html(text, "&#x27;", "&quot;"), _as_html(text, "&#39;", "&#34;"))


def _as_html(text: str, apostrophe: str, quotation_mark: str) -> str:
    pairs = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", apostrophe))
    for character, entity in (*pairs, ('"', quotation_mark)):
        text = text.replace(character, entity)
    return text


def _in_base64(text: str) -> Iterator[str]:
    """What base64 of anything that contains a key has in it, wherever the key begins there."""
    from binascii import b2a_base64

    raw = text.encode("utf-8", "surrogatepass")
    for before in range(3):
        # Characters that depend on what stands before and behind it are left out.
        start = (0, 2, 3)[before]
        whole = b2a_base64(b"\0" * before + raw, newline=False).decode()
        if not before:
            yield whole
        length = (before + len(raw)) * 8 // 6
        if length - start >= _LEAST_BASE64:
            yield whole[start:length]
            yield whole[start:length].replace("+", "-").replace("/", "_")


class _Escaped:
    """A key of which characters may be escaped as in JSON, HTML or an address, also twice."""

    def __init__(self, key: str) -> None:
        self._key = key
        # Usually most of it is as it was. A program that escapes everything begins with the first.
        self._piece = max(re.split(r"[\W_]", key), key=len) or key[0]
        first, second = (ord(character) for character in key[:2])
        self._starts = {
            "&": ("&amp;#", f"&#{first}", f"&#x{first:x}", f"&#x{first:X}", f"&#X{first:X}"),
            "%": ("%25", f"%{first:02X}%{second:02X}", f"%{first:02x}%{second:02x}"),
            "\\": (f"u{first:04x}", f"u{first:04X}"),
        }
        self._window = _LONGEST_ESCAPE * len(key)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(map(_any_form, self._key)))

    def masked(self, text: str, marks: Iterable[str]) -> str:
        """`text`, in which there are these marks, with a mask in its place."""
        if self._piece in text or any(
            start in text for mark in marks for start in self._starts[mark]
        ):
            return self._pattern.sub(MASK, text)
        return text

    def unfinished(self, text: str) -> int:
        """How many characters at the end of `text` may be its beginning."""
        start = max(len(text) - self._window, 0)
        if not _MARK.search(text, start):
            return 0
        firsts = f"{self._key[0]}{_MARKS}"
        starts = range(start, len(text))
        found = (at for at in starts if text[at] in firsts and self._may_begin(text, at))
        return len(text) - next(found, len(text))

    def _may_begin(self, text: str, start: int) -> bool:
        ends = {start}
        for character in self._key:
            if any(end == len(text) or _CUT_OFF.match(text, end) for end in ends):
                return True
            found = (form.match(text, end) for form in _patterns(character) for end in ends)
            if not (ends := {match.end() for match in found if match}):
                break
        return False


def _without_escaped(text: str) -> str:
    if marks := [mark for mark in _MARKS if mark in text]:
        for escaped in _escaped.values():
            text = escaped.masked(text, marks)
    return text


def _any_form(character: str) -> str:
    return f"(?:{'|'.join(_escapes(character))})"


@cache
def _patterns(character: str) -> list[re.Pattern[str]]:
    return [re.compile(form) for form in _escapes(character)]


def _escapes(character: str) -> tuple[str, ...]:
    """Patterns of the ways in which a character is written, itself among them."""
    from html.entities import html5

    code = ord(character)
    names = [name.rstrip(";") for name, meant in html5.items() if meant == character]
    bytes_ = character.encode("utf-8", "surrogatepass")
    return (
        rf"\\{{0,8}}{re.escape(character)}",
        "".join(f"%(?:25)*(?i:{byte:02x})" for byte in bytes_),
        rf"&(?:amp;)*(?i:#0*{code}|#x0*{code:x}{''.join(f'|{name}' for name in set(names))});?",
        rf"\\{{1,8}}u(?i:{code:04x})",
    )


def is_secret_header(name: str) -> bool:
    """Whether the value of a header with this name is a secret."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def masked_headers(headers: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """The headers of a request or a reply as they may be shown: without keys and cookies.

    Args:
        also: Texts to mask beside the keys in use.
    """
    shown: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() in ("cookie", "set-cookie"):
            value = value.partition("=")[0] + "=..."
        shown[name] = MASK if is_secret_header(name) else masked(value, also)
    return shown


def remember_request(url: str, headers: Mapping[str, str]) -> None:
    """Let the keys in the headers of a request, and the password in its address, be masked.

    So are keys among the parameters of the address, and a user name that has no password. What
    stands in for a key where none is needed should not be among the headers.
    """
    for name, value in headers.items():
        if is_secret_header(name):
            # The key stands alone, or behind a word such as Bearer.
            remember(value.rpartition(" ")[2])
    if "@" in url or "?" in url:
        for secret in _in_address(url):
            remember(secret)


def _in_address(url: str) -> Iterator[str]:
    """What is secret in an address, as it is and as it is written there."""
    from urllib.parse import unquote, unquote_plus, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return
    name, _, password = parts.netloc.rpartition("@")[0].partition(":")
    # A short one beside the key is made up.
    written = password if len(unquote(password)) >= LEAST_LENGTH else name
    yield from (written, unquote(written))
    for parameter in re.split("[&;]", parts.query):
        name, equals, value = parameter.partition("=")
        if not equals:
            value = name if len(name) >= _LEAST_BARE else ""
        elif not (is_secret_header(name) or name.lower().rpartition("-")[2] in _QUERY_WORDS):
            continue
        yield from (value, unquote_plus(value))


def masked(text: str, also: Iterable[str] = ()) -> str:
    """`text` with `[...]` in place of each key in use, and of what else is to be masked."""
    for form in chain(_forms, also):
        if form in text:
            text = text.replace(form, MASK)
    # Escaped, the shortest key is longer.
    return text if len(text) <= LEAST_LENGTH else _without_escaped(text)


def storable(text: str) -> str:
    """`text` as it may be stored: each lone surrogate, which no encoding can express, replaced by
    U+FFFD, and each key in use by a mask."""
    if len(text) >= LEAST_LENGTH:
        text = masked(text)
    return text if text.isascii() else _LONE_SURROGATES.sub("\ufffd", text)


def unfinished(text: str, also: Iterable[str] = ()) -> int:
    """How many characters at the end of `text` may be the beginning of such a key."""
    longest = max([_unfinished(text, form) for form in also], default=0) if also else 0
    if _forms:
        length, may_begin = _beginnings.get(len(_forms)) or _look_for_beginnings()
        start = len(text) - length
        if may_begin(text, start if start > 0 else 0):
            longest = max(longest, *(_unfinished(text, form) for form in _forms))
        longest = max(longest, *(escaped.unfinished(text) for escaped in _escaped.values()))
    return longest


def _look_for_beginnings() -> tuple[int, Callable[[str, int], object]]:
    """The length of the longest form, less one, and what looks for the start of any in a text."""
    pairs = "|".join({re.escape(form[:2]) for form in _forms})
    firsts = "".join({re.escape(form[0]) for form in _forms})
    pattern = re.compile(rf"{pairs}|[{firsts}]\Z")
    found = _beginnings[len(_forms)] = (len(next(iter(_forms))) - 1, pattern.search)
    return found


def _unfinished(text: str, form: str) -> int:
    start = max(len(text) - len(form) + 1, 0)
    while (start := text.find(form[0], start)) >= 0:
        if form.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0


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


# Values as they can be stored: whatever a server or a plugin gives, the log takes, and whoever
# reads it.

#: So many lists and objects may lie within each other. SQLite and Python read some hundreds more.
MOST_LEVELS = 200
TOO_DEEP = "(nested too deeply to be kept)"
# Python refuses to read a longer number, for the time that it takes.
_MOST_BITS = 4096


def storable_value(value: object) -> Any:
    """`value` in JSON values that can be stored: every text as `storable` gives it.

    What JSON has no form for becomes its `str()`, and `None` where it is no number at all
    (`NaN`, `Infinity`); a number of a thousand digits becomes a text, and so does what is nested
    too deeply or contains itself.
    """
    return _storable(value, ())


def _storable(value: object, above: tuple[int, ...]) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (dict, list, tuple)):
        if len(above) == MOST_LEVELS or id(value) in above:
            return TOO_DEEP
        above = (*above, id(value))
        if isinstance(value, dict):
            return {_key(key): _storable(item, above) for key, item in value.items()}
        return [_storable(item, above) for item in value]
    return _single(value)


def _single(value: object) -> object:
    """A value that is neither text nor made of others."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else hex(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return storable(said_by(value))


def _key(key: object) -> object:
    if isinstance(key, str):
        return storable(key)
    is_plain = key is None or isinstance(key, (bool, int, float))
    return _single(key) if is_plain else storable(said_by(key))


def said_by(value: object) -> str:
    """`str(value)`; the name of its class where that fails, as it may with somebody else's."""
    try:
        return str(value)
    except Exception:  # whatever somebody else's class raises
        return f"<{type(value).__name__}>"


def shown_as(value: object) -> str:
    """`repr(value)`; the name of its class where that fails."""
    try:
        return repr(value)
    except Exception:  # as above
        return f"<{type(value).__name__}>"


def storable_count(value: object) -> int | None:
    """A number of tokens as a whole number that a column holds; `None` for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None
