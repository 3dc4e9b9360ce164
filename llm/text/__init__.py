"""Text for people: shortening, tables, code blocks, names, token counts; JSON of any length; ids.

Beside it in this room: times, media types, and keys that are never shown.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._lazy import for_hints

if TYPE_CHECKING:
    from ulid import ULID
else:
    for_hints(
        globals(),
        {
            "ulid": "ULID",
        },
    )

#: An object of JSON, as Python has it: texts to JSON values.
JSONObject = dict[str, Any]

CONVERSATION_NAME_LENGTH = 32
# Almost always enough of a text to find its first words in.
_NAME_SEARCH_LENGTH = 4096

# A line that may open a fenced block, or close one where nothing but blanks follows the fence.
_FENCE = re.compile(r"^(`{3,}).*$", re.MULTILINE)
_OPENS = re.compile(r"`+\w*[ \t]*\r?")
_CLOSES = re.compile(r"`+[ \r]*")


def conversation_name(text: str) -> str:
    """The title of a conversation from its first prompt: one line of at most 32 characters."""
    collapsed = re.sub(r"\s+", " ", text[:_NAME_SEARCH_LENGTH])
    if len(collapsed) <= CONVERSATION_NAME_LENGTH and len(text) > _NAME_SEARCH_LENGTH:
        collapsed = re.sub(r"\s+", " ", text)
    if len(collapsed) <= CONVERSATION_NAME_LENGTH:
        return collapsed
    return collapsed[: CONVERSATION_NAME_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def truncate_string(
    text: str, max_length: int = 100, normalize_whitespace: bool = False, keep_end: bool = False
) -> str:
    """The text cut to `max_length` characters, with `...` at its end or, with `keep_end`, in its
    middle; with `normalize_whitespace` each run of white space is one space first."""
    if normalize_whitespace:
        text = re.sub(r"\s+", " ", text)
    if len(text) <= max_length:
        return text
    if keep_end and max_length >= 9:
        half = (max_length - 5) // 2
        return f"{text[:half]}... {text[-half:]}"
    return text[: max_length - 3] + "..."


def extract_fenced_code_block(text: str, last: bool = False) -> str | None:
    """The code of the first (or last) fenced block, with its final newline; `None` without one."""
    found = None
    for start, end in _fenced_blocks(text):
        found = text[start:end]
        if not last:
            break
    return found


def _fenced_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Where the code of each fenced block begins and ends, in time that grows with the text alone.

    A block ends at the first line of the very fence that opened it; a fence without such a line
    opens nothing.
    """
    fences = [(match.start(), match.end(), match[1], match[0]) for match in _FENCE.finditer(text)]
    closing: dict[str, list[int]] = {}
    for start, _, fence, line in reversed(fences):
        if _CLOSES.fullmatch(line):
            closing.setdefault(fence, []).append(start)
    after = 0
    for start, end, fence, line in fences:
        if start < after or end == len(text) or not _OPENS.fullmatch(line):
            continue
        if (closed := _first_behind(closing.get(fence, []), end)) is not None:
            yield end + 1, closed
            # The line of the closing fence is no part of what comes.
            after = closed + 1


def _first_behind(places: list[int], end: int) -> int | None:
    """The first of some places, the last one first, that is behind another one; those that are not
    are removed."""
    while places and places[-1] <= end:
        places.pop()
    return places[-1] if places else None


def maybe_fenced_code(content: str) -> str:
    """The text, inside a code fence if it looks like markup or program code."""
    lines = content.split("\n")
    short = sum(len(line) < 120 for line in lines)
    if content.count("<") > 10 or (len(lines) > 3 and short > 0.9 * len(lines)):
        fence = "`" * max(3, longest_backtick_run(content) + 1)
        return f"\n{fence}\n{content.strip()}\n{fence}"
    return content


def longest_backtick_run(text: str) -> int:
    """How many backticks stand together at most."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def needs_space(before: str, after: str) -> bool:
    """Whether two texts would run into each other: a space is shown between them."""
    return bool(before and after) and not (before[-1].isspace() or after[0].isspace())


def token_usage_string(
    input_tokens: int | None, output_tokens: int | None, token_details: Mapping[str, object] | None
) -> str:
    """Token counts as a person reads them: `1,234 input, 56 output, {"cached": 7}`."""
    bits = []
    if input_tokens is not None:
        bits.append(f"{input_tokens:,} input")
    if output_tokens is not None:
        bits.append(f"{output_tokens:,} output")
    if token_details:
        bits.append(json.dumps(token_details))
    return ", ".join(bits)


def dicts_to_table_string(
    headings: Sequence[str], dicts: Iterable[Mapping[str, object]]
) -> list[str]:
    """Lines of a table, headings first; columns are padded and stand four spaces apart."""
    rows = [list(headings), *([str(d.get(h, "")) for h in headings] for d in dicts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["    ".join(map(str.ljust, row, widths)) for row in rows]


def output_rows_as_json(
    rows: Iterable[Mapping[str, object]],
    nl: bool = False,
    compact: bool = False,
    json_cols: Sequence[str] = (),
) -> Iterator[str]:
    """Lines of JSON for rows, made as the rows come: one array, with `compact` an object a line.

    With `nl` there is no array around them. What `json_cols` hold is JSON text, to be decoded.
    """
    indent = None if nl or compact else 2
    texts = (json.dumps(_decode(row, json_cols), default=repr, indent=indent) for row in rows)
    if nl:
        yield from texts
        return
    opening, between, closing = ("[", " ", "]") if compact else ("[\n  ", "  ", "\n]")
    pending = ""
    for text in texts:
        if pending:
            yield pending + ","
        pending = (between if pending else opening) + text.replace("\n", "\n  ")
    yield pending + closing if pending else "[]"


def _decode(row: Mapping[str, object], json_cols: Sequence[str]) -> JSONObject:
    decoded = {name: json.loads(str(row[name])) for name in json_cols if row.get(name) is not None}
    return {**row, **decoded}


def simplify_usage_dict(usage: Mapping[str, object]) -> JSONObject:
    """The dictionary without zeros and without whatever is empty then, at every level."""
    simple: JSONObject = {}
    for key, value in usage.items():
        kept = simplify_usage_dict(value) if isinstance(value, dict) else value
        if kept not in (None, 0, {}):
            simple[key] = kept
    return simple


def remove_dict_none_values(value: object) -> Any:
    """The dictionary without `None` and without what is an empty dictionary then, at every level.

    Lists keep their length; anything that is no dictionary comes back as it is.
    """
    if not isinstance(value, dict):
        return value
    kept: dict[object, object] = {}
    for key, item in value.items():
        if isinstance(item, list):
            kept[key] = [remove_dict_none_values(element) for element in item]
        elif item is not None and (simple := remove_dict_none_values(item)) != {}:
            kept[key] = simple
    return kept


def find_unused_key(item: Mapping[str, object], key: str) -> str:
    """`key`, with as many underscores at its end as it takes to be new in `item`."""
    while key in item:
        key += "_"
    return key


def has_plugin_prefix(value: str) -> bool:
    """Whether the text starts with a loader's prefix, as in `gh:owner/repository`."""
    return re.match(r"^[a-zA-Z0-9_-]+:", value) is not None


# Control characters other than newline and tab (C0, DEL, C1) and those that turn the direction of
# writing round: on a terminal they would move the cursor, set titles, or hide what is said.
_UNSEEN = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def visible(text: str) -> str:
    """The text for a terminal: control sequences are seen there, never executed.

    Newlines and tabs stay, a carriage return before a newline goes. Each character is judged by
    itself, so a text may be shown in pieces that are cut anywhere.
    """
    return text.replace("\r\n", "\n").translate(_UNSEEN)


def nearest_names(word: str, names: Iterable[str]) -> list[str]:
    """At most three of `names` that somebody who wrote `word` may have meant, the best first."""
    from difflib import get_close_matches

    by_folded = {name.casefold(): name for name in names}
    folded = word.casefold()
    near = get_close_matches(folded, by_folded, n=3)
    if len(folded) >= 3:
        near += sorted((name for name in by_folded if folded in name), key=len)
    return [by_folded[name] for name in dict.fromkeys(near)][:3]


def edit_distance(one: str, other: str) -> int:
    """How many characters have to be inserted, deleted or replaced to make one text the other."""
    above = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        current = [row]
        for column, right in enumerate(other, 1):
            replaced = above[column - 1] + (left != right)
            current.append(min(above[column] + 1, current[-1] + 1, replaced))
        above = current
    return above[-1]


def suggestion(word: str, names: Iterable[str], show: Callable[[str], str] = str) -> str:
    """What to add to an error about a word that is not among `names`; empty if none is near."""
    near = " or ".join(map(show, nearest_names(word, names)))
    return near and f" - did you mean {near}?"


# JSON of values that hold very long texts, without a second copy of these in memory.

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
    if not _has_long(value):
        yield encode(value)
        return
    texts: list[str] = []
    token = os.urandom(16).hex()
    marked = encode(_marked(value, token, texts))
    for number, part in enumerate(re.split(f'"{token}([0-9]+){token}"', marked)):
        if number % 2 == 0:
            yield part
        else:
            yield '"'
            yield from (escape(piece)[1:-1] for piece in slices(texts[int(part)]))
            yield '"'


def slices(text: str) -> Iterator[str]:
    """A text in pieces of a length that can be handled."""
    for start in range(0, len(text), LONG_TEXT):
        yield text[start : start + LONG_TEXT]


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
        # Keys stay as they are: they may be sorted.
        return {key: _marked(item, token, texts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item, token, texts) for item in value]
    return value


# Identifiers that sort by time: lower-case ULIDs, strictly increasing within a process.
# Source: https://github.com/ulid/spec (48 bits of milliseconds, 80 random bits, Crockford base 32).

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Pairs of digits: encoding ten bits at a time halves the work of making an id.
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_SHIFTS = tuple(range(120, -1, -10))

_lock = threading.Lock()
_last = 0


def new_ulid_int() -> int:
    """The next identifier as a 128-bit number, greater than every earlier one of this process."""
    global _last
    millisecond = time.time_ns() // 1_000_000
    with _lock:
        if millisecond > _last >> 80:
            _last = millisecond << 80 | int.from_bytes(os.urandom(10), "big")
        else:
            # Same millisecond, or a clock that went back: count on from the previous one.
            _last += 1
        return _last


def encode_ulid(value: int) -> str:
    """The 26 lower-case digits of a 128-bit identifier."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def new_ulid() -> str:
    """A new identifier: 26 lower-case characters, sorting after every earlier one."""
    return encode_ulid(new_ulid_int())


def monotonic_ulid() -> ULID:
    """A new identifier as an object of the `ulid` package, which plugins expect."""
    from ulid import ULID

    return ULID(new_ulid_int().to_bytes(16, "big"))
