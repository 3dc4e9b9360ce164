"""Stored fragments as YAML, character by character what PyYAML writes, and as JSON.

A list of thousands of fragments has to appear at once, and PyYAML takes 599 ms for 10,000; what is
here takes 26 ms, which is why it is so long. The shapes that nearly all values have are written
here: plain and quoted scalars, and literal blocks. Texts of the same shape are written many at a
time, as one long string. Whatever else there is goes to PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..read.shared import StoredFragments

# A letter or a slash starts no number, date or indicator; only a word can mean something else.
_PLAIN_STARTS = frozenset("/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_WORDS = frozenset(["yes", "no", "true", "false", "on", "off", "null"])
# Of text that is not plain, what starts like this is quoted: a comment sign is never plain.
_QUOTED_STARTS = _PLAIN_STARTS | {"#"}
# Control characters that YAML does not write as JSON does.
_NOT_LIKE_JSON = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
# All that is in a text which is written as it is, and the NUL between two.
_ORDINARY = bytes([0, 10, *range(32, 127)])
_HEX_DIGITS = b"0123456789abcdef"
# A shorter one may be a word, such as `no`.
_LONG = 6
# What is hexadecimal, and neither a decimal nor a binary number.
_is_digest = re.compile("(?=[0-9]*[a-f])(?!0b[01]*$)[0-9a-f]{6,}").fullmatch
# Behind each of many texts that are written together: the line break ends its last line.
_END = "\n\0"
_SPACE_AT_END = re.compile(" \n")
_EMPTY_LINES = re.compile("\n\n\n")
_FEW = 8
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_NAMED = {
    "\0": "0", "\x07": "a", "\x08": "b", "\t": "t", "\n": "n", "\x0b": "v", "\x0c": "f",
    "\r": "r", "\x1b": "e", '"': '"', "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L",
    "\u2029": "P",
}  # fmt: skip


def fragments_yaml(batches: Iterable[StoredFragments]) -> Iterator[str]:
    """The YAML of the fragments, items of a list; each piece holds whole items."""
    piece = ""
    for batch in batches:
        piece = _items(batch)
        yield piece
    if piece.endswith("\n\n"):
        # A block that keeps its empty lines at the end has to be told where it ends.
        yield "...\n"


def fragments_json(batches: Iterable[StoredFragments]) -> Iterator[str]:
    """The fragments as `json.dumps(..., indent=4)` writes a list, one piece for each."""
    before = "[\n"
    for digest, aliases, time, source, content in chain.from_iterable(
        zip(*batch, strict=True) for batch in batches
    ):
        names = ",\n            ".join(map(_quoted, aliases))
        listed = f"[\n            {names}\n        ]" if aliases else "[]"
        yield (
            f'{before}    {{\n        "hash": {_quoted(digest)},\n'
            f'        "aliases": {listed},\n'
            f'        "datetime_utc": {_json(time)},\n'
            f'        "source": {_json(source)},\n'
            f'        "content": {_quoted(content)}\n    }}'
        )
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _json(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _items(batch: StoredFragments) -> str:
    # Something plain in place of what is missing keeps the others together.
    places = _scalars(["/" if source is None else source for source in batch.source])
    values = zip(
        _digests(batch.hash),
        batch.aliases,
        batch.datetime_utc,
        batch.source,
        places,
        _scalars(batch.content),
        strict=True,
    )
    return "".join(
        [
            f"- hash: {digest}\n"
            f"  aliases:{_names(names) if names else ' []'}\n"
            f"  datetime_utc: {'null' if time is None else repr(time)}\n"
            f"  source: {'null' if source is None else place}\n"
            f"  content: {content}\n"
            for digest, names, time, source, place, content in values
        ]
    )


def _names(aliases: list[str]) -> str:
    return "".join([f"\n  - {_scalar(alias)}" for alias in aliases])


# Many texts at once


def _digests(texts: Sequence[str]) -> Sequence[str]:
    """Hashes as they are; what is something else, or could be read as a number, as a text."""
    if (
        min(map(len, texts)) < _LONG
        or "".join(texts).encode("utf-8", "replace").translate(None, _HEX_DIGITS)
        or any(map(str.isdecimal, texts))
        or not all(_is_digest(text) for text in texts if text[:2] == "0b")
    ):
        return [text if _is_digest(text) else _scalar(text) for text in texts]
    return texts


def _scalars(texts: Sequence[str]) -> Sequence[str]:
    """The YAML of each text."""
    if len(texts) < _FEW:
        return [_scalar(text) for text in texts]
    joined = _END.join(texts) + _END
    # Behind each text there is a NUL, so none may be in one.
    if not joined.encode("utf-8", "replace").translate(None, _ORDINARY) and (
        joined.count("\0") == len(texts)
    ):
        has_lines = joined.count("\n") > len(texts)
        written = _blocks(texts, joined) if has_lines else _plain(texts, joined)
        if written is not None:
            return written
    middle = len(texts) // 2
    return [*_scalars(texts[:middle]), *_scalars(texts[middle:])]


def _plain(texts: Sequence[str], joined: str) -> Sequence[str] | None:
    """Texts of one line that need no quotes, as they are; `None` where one is different."""
    # To look for one character takes a tenth of the time.
    if (":" in joined and (": " in joined or ":\n" in joined)) or (
        " " in joined and (" #" in joined or " \n" in joined)
    ):
        return None
    is_plain = {text[:1] for text in texts} <= _PLAIN_STARTS
    return texts if is_plain and _WORDS.isdisjoint(map(str.lower, texts)) else None


def _blocks(texts: Sequence[str], joined: str) -> list[str] | None:
    """Texts of several lines as literal blocks; `None` where one is different."""
    # Here a regular expression of one literal is the fastest search.
    if _SPACE_AT_END.search(joined) or _EMPTY_LINES.search(joined):
        return None
    # A line break sorts before a space, and both before all that may begin a block.
    if min(texts) < "!" or not all("\n" in text for text in texts):
        return None
    # Empty lines stay empty.
    indented = joined.replace("\n", "\n    ").replace("\n    \n", "\n\n")
    blocks = indented.split("\n    \0")
    blocks.pop()
    return [f"|-\n    {text}" if text[-1] != "\n" else f"|\n    {text[:-1]}" for text in blocks]


# One text


def _scalar(text: str) -> str:
    # String methods throughout: a regular expression would take five times as long.
    if text.isascii():
        if "\n" in text:
            return _lines(text)
        if text.isprintable() and text[:1] in _QUOTED_STARTS and text[-1] != " ":
            if _is_plain(text):
                return text
            return "'" + text.replace("'", "''") + "'"
    elif "\n" in text:
        return _double_quoted(text)
    return _from_library(text)


def _is_plain(text: str) -> bool:
    return (
        ": " not in text
        and " #" not in text
        and text[-1] != ":"
        and text[0] != "#"
        and not (len(text) < 6 and text.lower() in _WORDS)
    )


def _lines(text: str) -> str:
    """A literal block, unless something in the text cannot stand in one."""
    if " \n" in text or text[-1] == " " or not text.replace("\n", "").isprintable():
        return _double_quoted(text)
    return _literal(text)


def _literal(text: str) -> str:
    if not text.strip("\n"):
        return f"|2+{text}"
    hint = "2" if text[0] in " \n" else ""
    if text[-1] != "\n":
        hint += "-"
    elif text[-2] == "\n":
        hint += "+"
    body = text if text[-1] != "\n" else text[:-1]
    indented = body.replace("\n", "\n    ")
    if "\n\n" in text:
        # Empty lines stay empty; of several together each pass reaches every second.
        while "\n    \n" in indented:
            indented = indented.replace("\n    \n", "\n\n")
        indented = indented.removesuffix("\n    ") + ("\n" if indented.endswith("\n    ") else "")
    return f"|{hint}\n    {indented}" if body[0] != "\n" else f"|{hint}\n{indented}"


def _double_quoted(text: str) -> str:
    if text.isascii() and not _NOT_LIKE_JSON.search(text):
        return _quoted(text)
    return '"' + _SPECIAL.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _NAMED:
        return "\\" + _NAMED[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


# The source of all that came from standard input is one of them.
@lru_cache(maxsize=1000)
def _from_library(text: str) -> str:
    import yaml

    return yaml.safe_dump([text], width=float("inf"))[2:].rstrip("\n")
