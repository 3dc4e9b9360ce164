"""Stored fragments as YAML, character by character what PyYAML writes, at a tenth of its cost.

A list of thousands of fragments has to appear at once. The shapes that nearly all values have are
written here: plain and quoted scalars, and literal blocks. Whatever else there is goes to PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fragments import StoredFragment

# A letter or a slash starts no number, date or indicator; only a word can mean something else.
_PLAIN_STARTS = frozenset("/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_WORDS = frozenset(["yes", "no", "true", "false", "on", "off", "null"])
# Of text that is not plain, what starts like this is quoted: a comment sign is never plain.
_QUOTED_STARTS = _PLAIN_STARTS | {"#"}
# Control characters that YAML does not write as JSON does.
_NOT_LIKE_JSON = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_NAMED = {
    "\0": "0", "\x07": "a", "\x08": "b", "\t": "t", "\n": "n", "\x0b": "v", "\x0c": "f",
    "\r": "r", "\x1b": "e", '"': '"', "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L",
    "\u2029": "P",
}  # fmt: skip


def fragments_yaml(fragments: Iterable[StoredFragment]) -> Iterator[str]:
    """The YAML of each fragment, one item of a list."""
    item = ""
    for fragment in fragments:
        item = _item(fragment)
        yield item
    if item.endswith("\n\n"):
        # A block that keeps its empty lines at the end has to be told where it ends.
        yield "...\n"


def _item(fragment: StoredFragment) -> str:
    digest, aliases, stored, source, content = fragment
    if not digest.isalnum() or digest.isdecimal() or digest[1:2] in "box_":
        digest = _scalar(digest)
    names = "".join([f"\n  - {_scalar(alias)}" for alias in aliases]) or " []"
    place = "null" if source is None else _scalar(source)
    return (
        f"- hash: {digest}\n  aliases:{names}\n  datetime_utc: '{stored}'\n"
        f"  source: {place}\n  content: {_scalar(content)}\n"
    )


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
    if (
        " \n" in text
        or text[-1] == " "
        or text.isspace()
        or not text.replace("\n", "").isprintable()
    ):
        return _double_quoted(text)
    return _literal(text)


def _literal(text: str) -> str:
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
        return encode_basestring_ascii(text)
    return '"' + _SPECIAL.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _NAMED:
        return "\\" + _NAMED[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _from_library(text: str) -> str:
    import yaml

    return yaml.safe_dump([text], width=float("inf"))[2:].rstrip("\n")
