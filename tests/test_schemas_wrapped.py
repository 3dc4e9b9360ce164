"""JSON that is asked for by a schema, and what models put around it."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import SchemaMismatch
from llm.providers.openai.wire.unwrapped import Unwrapper
from llm.schemas.validation import parse_answer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
WRAPS = (
    "{}",
    "```json\n{}\n```",
    "```\n{}\n```\n",
    "<think>so</think>\n\n{}",
    "<think>so</think>```json\n{}\n```",
)


def read(text: str, cuts: list[int]) -> tuple[str, str]:
    """The text and the thinking of an answer that arrives in pieces cut at these places."""
    unwrapper, found = Unwrapper(), ["", ""]
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(places):
        for is_thought, piece in unwrapper.feed(text[start:end]):
            found[is_thought] += piece
    return found[0] + unwrapper.end(), found[1]


@given(st.dictionaries(st.text(), VALUES), st.sampled_from(WRAPS), st.lists(st.integers(0)))
def test_json_comes_out_of_its_wrapping(value: object, wrap: str, cuts: list[int]) -> None:
    """Whatever it holds, and wherever it is cut."""
    text = json.dumps(value, ensure_ascii=False)
    wrapped = wrap.replace("{}", text, 1)
    assert read(wrapped, cuts) == (text, "so" if "think" in wrap else "")
    assert parse_answer(wrapped, None) == value


@given(st.text(alphabet="<think>/`\n a{}"), st.lists(st.integers(0)))
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    """An answer is the same however it is cut."""
    assert read(text, cuts) == read(text, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("so it is\n</think>\n[1]", [1]),
        ("Here:\n```json\n[1]\n```\nBye", [1]),
        ("```[1]```", [1]),
        ('{"a": "</think>```"}', {"a": "</think>```"}),
    ],
)
def test_answers_of_any_model_are_read(text: str, value: object) -> None:
    """Where nothing was left out on the way."""
    assert parse_answer(text, None) == value


@pytest.mark.parametrize("text", ["", "<think>", "```json\n```", "[1] </think>", "no JSON"])
def test_what_is_no_json_is_told(text: str) -> None:
    """In the words for the whole text."""
    with pytest.raises(SchemaMismatch, match="does not fit the schema"):
        parse_answer(text, None)
