"""JSON that is read while it grows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from llm.schemas import growing
from llm.schemas.growing import GrowingValue

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
).filter(lambda value: isinstance(value, (list, dict)))


def grown(pieces: Iterable[str]) -> list[Any]:
    """Everything that the pieces give."""
    value = GrowingValue()
    return [found for piece in pieces for found in value.feed(piece)] + list(value.end())


def expected(pieces: Iterable[str]) -> list[Any]:
    """What reading all of the text anew at each piece gives."""
    text, found = "", []
    for piece in pieces:
        text += piece
        if text.strip():
            found.append(from_json(text, allow_partial="trailing-strings"))
    return [value for at, value in enumerate(found) if not at or not same(value, found[at - 1])]


def same(one: object, other: object) -> bool:
    """Whether two values are the same JSON: `True` is not 1 there."""
    return json.dumps(one) == json.dumps(other)


@given(VALUES, st.data(), st.booleans(), st.sampled_from([None, 1]))
def test_each_value_is_that_of_the_text_so_far(
    value: Any, data: st.DataObject, is_ascii: bool, indent: int | None
) -> None:
    """However the text is cut, each value is what a reader makes of all that has come."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=len(text)).map(sorted))
    ends = [*places, len(text)]
    pieces = [text[start:end] for start, end in zip([0, *places], ends, strict=True)]
    assert list(map(json.dumps, grown(pieces))) == list(map(json.dumps, expected(pieces)))


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("[1.5, -2e3]", [1.5, -2000.0]),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('["\\ud83d\\ude00", "\\u00e9", "\\ud83dx", "\\ud83d"]', ["😀", "é", "\ud83dx", "\ud83d"]),
        ("  [] and more", []),
        ("[1] ]", [1]),
        ("[[]]", [[]]),
        ('{"a": {}, "b": [true, false, null]}', {"a": {}, "b": [True, False, None]}),
        ('{"open": ["text', {"open": ["text"]}),
        ('{"open": 12', {"open": 12}),
        ('{"name', {}),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_last_value(text: str, last: Any, size: int) -> None:
    """Whatever the size of the pieces, the last value has all that the text says."""
    assert grown(text[at : at + size] for at in range(0, len(text), size))[-1] == last


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "12", '"text"', "null", "Sure! {}", "]", ",", "{]", "[}", "\ufeff[]"),
        *("{1", "{,", "[,", "\ud800", "\0"),
    ],
)
def test_no_object_or_list_gives_little(text: str) -> None:
    """Text that is no JSON object or list gives nothing, or what it was before that showed."""
    assert grown(text) in ([], [{}], [[]])


@pytest.mark.parametrize(
    "text",
    [
        *("[1,]", '{"a":1,}', '{"a" 1}', '["a" "b"]', "[1 2]", '["\n"]', '["\\x"]', "[00]"),
        *("[tru]", '["\\u12g4"]'),
    ],
)
def test_what_is_no_json_ends_it(text: str) -> None:
    """Nothing is said after the place where it stops being JSON, and nothing is raised."""
    assert all(value in ([], [0], [1], ["a"], [""], {}, {"a": 1}) for value in grown(text))


def test_deep_nesting_ends_it() -> None:
    """What no reader takes is not read."""
    assert len(grown("[" * 5000)) == 200


def test_values_stay_as_they_were() -> None:
    """What was given is not changed by what comes after it."""
    value, seen = GrowingValue(), []
    for character in '[{"a": ["x", "yz"]}, 12, {"b": {}}]':
        seen += [(found, json.dumps(found)) for found in value.feed(character)]
    assert all(json.dumps(found) == text for found, text in seen)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"text": "word " * 20_000}),
        json.dumps([{"name": f"item {number}", "is": [number]} for number in range(4_000)]),
        json.dumps({f"name {number}": number for number in range(4_000)}),
        "[" + " " * 100_000 + "]",
        "[" + "1" * 100_000,
    ],
    ids=["a long text", "a long list", "a long object", "blanks", "a long number"],
)
def test_work_grows_with_the_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each character is read a few times at most, and what is copied is in proportion to them."""
    read, copied = 0, 0
    plain_end, plain_value = growing._end_of, GrowingValue._value

    def end_of(pattern: Any, text: str, at: int) -> int:
        nonlocal read
        end = plain_end(pattern, text, at)
        read += end - at + 1
        return end

    def value_of(self: Any) -> object:
        nonlocal copied
        copied += sum(map(len, self._open)) * 16 + sum(map(len, self._string or ()))
        return plain_value(self)

    monkeypatch.setattr(growing, "_end_of", end_of)
    monkeypatch.setattr(GrowingValue, "_value", value_of)
    found = grown(text[at : at + 4] for at in range(0, len(text), 4))
    assert text.endswith("1") or found[-1] == json.loads(text)
    assert read <= 12_600_000
    assert copied <= 5000 * len(text)
