"""Text for people: shortening, tables, code blocks, names, token counts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import utils
from llm.text import conversation_name, visible


@pytest.mark.parametrize(
    ("arguments", "cut"),
    [
        (("hello",), "hello"),
        (("x" * 200,), "x" * 97 + "..."),
        (("x" * 200, 10), "x" * 7 + "..."),
        (("a  b\n c   d", 7, True), "a b c d"),
        (("abcdefghijklmnop", 9, False, True), "ab... op"),
        (("abcdefghijklmnop", 8, False, True), "abcde..."),
        (("abcdefghijklmnop", 15, False, True), "abcde... lmnop"),
        (("abcdefghijklmnop", 16, False, True), "abcdefghijklmnop"),
    ],
)
def test_truncate_string(arguments: tuple[Any, ...], cut: str) -> None:
    """Text is cut to the length, at the end or in the middle, as 0.36 cuts it."""
    assert utils.truncate_string(*arguments) == cut


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hello", "hello"),
        (" a \n b\t", " a b "),
        ("x" * 32, "x" * 32),
        ("x" * 33, "x" * 31 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_conversation_name_has_32_characters(text: str, name: str) -> None:
    """A conversation is named after its first prompt: one line of at most 32 characters."""
    assert conversation_name(text) == name


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("```python\nx\n```\n", "x\n", "x\n"),
        ("```\nx\n```", "x\n", "x\n"),
        ("```a\n1\n```\n```b\n2\n```\n", "1\n", "2\n"),
        ("````\n```\nin\n```\n````", "```\nin\n```\n", "```\nin\n```\n"),
        ("```\r\nx\r\n```\r\n", "x\r\n", "x\r\n"),
        ("```\n```", "", ""),
        ("```\nno end", None, None),
        ("no code", None, None),
        ("text ```x\n1\n```", None, None),
    ],
)
def test_extract_fenced_code_block(text: str, first: str | None, last: str | None) -> None:
    """The first or the last fenced block is found, with its final newline."""
    assert utils.extract_fenced_code_block(text) == first
    assert utils.extract_fenced_code_block(text, last=True) == last


@given(st.lists(st.sampled_from(["```", "````", "`````", "x", " ", "\t", "\r", "\n", "``"])))
def test_fenced_blocks_are_those_of_the_pattern(pieces: list[str]) -> None:
    """The blocks are found that a regular expression finds, which takes a time without bounds."""
    pattern = re.compile(
        r"^(?P<fence>`{3,})(?:\w+)?[ \t]*\r?\n(?P<code>.*?)^(?P=fence)[ \r]*$",
        re.MULTILINE | re.DOTALL,
    )
    text = "".join(pieces)
    blocks = [match["code"] for match in pattern.finditer(text)]
    assert utils.extract_fenced_code_block(text) == (blocks[0] if blocks else None)
    assert utils.extract_fenced_code_block(text, last=True) == (blocks[-1] if blocks else None)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"```x{number}\n" for number in range(60_000)),
        "".join("`" * (3 + number % 400) + "x\n" for number in range(60_000)),
        "".join("`" * (3 + number) + "\n" for number in range(2_000)),
        "`" * 1_000_000,
        ("`" * 500 + "\n") * 1_000 + "```x",
        "```\n" + "\n" * 500_000,
    ],
)
def test_fences_without_end_are_found_at_once(text: str) -> None:
    """Each line is looked at once: with a search to the end for each fence this takes minutes."""
    utils.extract_fenced_code_block(text, last=True)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("hi", "hi"),
        ("<b>" * 10, "<b>" * 10),
        ("<b>" * 11, "\n```\n" + "<b>" * 11 + "\n```"),
        ("a\nb\nc\nd\n", "\n```\na\nb\nc\nd\n```"),
        ("````\na\nb\nc", "\n`````\n````\na\nb\nc\n`````"),
        ("a\nb\nc\n" + "x" * 200, "a\nb\nc\n" + "x" * 200),
    ],
)
def test_maybe_fenced_code(content: str, shown: str) -> None:
    """What looks like code goes into a fence that is longer than any fence in it."""
    assert utils.maybe_fenced_code(content) == shown


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((None, None, None), ""),
        ((1234, 56, {"cached": 7}), '1,234 input, 56 output, {"cached": 7}'),
        ((0, None, {}), "0 input"),
        ((None, 5, None), "5 output"),
    ],
)
def test_token_usage_string(counts: tuple[Any, ...], shown: str) -> None:
    """Token counts are told as far as they are known."""
    assert utils.token_usage_string(*counts) == shown


def test_dicts_to_table_string_pads_columns() -> None:
    """A table has its headings first, and columns as wide as their widest cell."""
    lines = utils.dicts_to_table_string(["a", "bb"], [{"a": 1, "bb": "xyz"}, {"a": "long"}])
    assert lines == ["a       bb ", "1       xyz", "long       "]


def test_dicts_to_table_string_without_rows() -> None:
    """A table without rows is its headings."""
    assert utils.dicts_to_table_string(["a", "bb"], []) == ["a    bb"]


@pytest.mark.parametrize("options", [{}, {"compact": True}], ids=["indented", "compact"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_output_rows_as_json_is_one_array(options: dict[str, bool], count: int) -> None:
    """The lines together are a JSON array, however many rows there are."""
    rows = [{"n": n, "data": '{"x": [1]}', "none": None} for n in range(count)]
    text = "\n".join(utils.output_rows_as_json(rows, json_cols=["data", "none"], **options))
    assert json.loads(text) == [{"n": n, "data": {"x": [1]}, "none": None} for n in range(count)]


def test_output_rows_as_json_lines() -> None:
    """With `nl` each row is a line of its own, and none at all are no lines."""
    assert list(utils.output_rows_as_json([{"a": 1}, {"a": {2}}], nl=True)) == [
        '{"a": 1}',
        '{"a": "{2}"}',
    ]
    assert list(utils.output_rows_as_json([], nl=True)) == []


def test_simplify_usage_dict_drops_zeros() -> None:
    """Zeros and what is empty without them go, at every level."""
    usage = {"a": 0, "b": {"c": 0}, "d": 1, "e": None, "f": {"g": 2, "h": 0}}
    assert utils.simplify_usage_dict(usage) == {"d": 1, "f": {"g": 2}}


def test_remove_dict_none_values_as_036_does() -> None:
    """`None` goes, with the dictionaries that it empties; lists keep their length."""
    value = {"a": [{"b": None}, None, [None, {"c": None}]], "d": {"e": None}, "f": {}, "g": 0}
    assert utils.remove_dict_none_values(value) == {
        "a": [{}, None, [None, {"c": None}]],
        "g": 0,
    }
    assert utils.remove_dict_none_values("x") == "x"


def test_find_unused_key_appends_underscores() -> None:
    """A key that is taken gets underscores until it is free."""
    assert utils.find_unused_key({"a": 1, "a_": 2}, "a") == "a__"
    assert utils.find_unused_key({}, "a") == "a"


@pytest.mark.parametrize(
    ("value", "has"),
    [("gh:x", True), ("a_b-1:", True), (":x", False), ("x", False), ("a b:c", False)],
)
def test_has_plugin_prefix(value: str, has: bool) -> None:
    """A prefix is letters, digits, dashes and underscores before a colon."""
    assert utils.has_plugin_prefix(value) is has


def test_visible_shows_control_sequences() -> None:
    """No sequence that a terminal would obey is left; newlines and tabs stay."""
    shown = visible("a\tb\r\nc\x1b]0;t\x07\x7f\x9b\u202e")
    assert shown == "a\tb\nc\u241b]0;t\u2407\u2421\\x9b\\u202e"
