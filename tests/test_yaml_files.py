"""YAML that people write: where a mistake is, and one more item in a list."""

from __future__ import annotations

import pytest
import yaml

from llm.utils import InvalidYAML, parse_yaml, yaml_lines_of, yaml_with_item

ENTRY = {"model_id": "new", "api_base": "http://x/v1", "vision": True}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: [1\nc: 2\n", 3, "not valid YAML (did not find expected ',' or ']')"),
        ("a:\n\t- 1\n", 2, "not valid YAML (found character that cannot start any token)"),
        ("a: 1\nb: c\x07d\n", 2, "not valid YAML (control characters are not allowed)"),
        (
            "- 1\n- !odd 2\n",
            2,
            "not valid YAML (could not determine a constructor for the tag '!odd')",
        ),
        ("- a: 1\n  b: 2026-99-99\n", 2, "not valid YAML (month must be in 1..12)"),
        (
            "a: 1\nb:\n  - !!int x\n",
            3,
            "not valid YAML (invalid literal for int() with base 10: 'x')",
        ),
        ("a:\n- !!float ''\n", 2, "not valid YAML (string index out of range)"),
        ("a: 1\n--- \nb: 2\n", 2, "not valid YAML (but found another document)"),
        ("{[]: 1}\n", 1, "not valid YAML (found unhashable key)"),
        ("\n" + "[" * 300, 2, "nested too deeply (more than 200 levels)"),
    ],
)
def test_mistake_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    """Whatever the parser says or raises becomes one clause and a line."""
    with pytest.raises(InvalidYAML) as error:
        parse_yaml(text)
    assert (error.value.line, error.value.problem) == (line, problem)
    assert str(error.value) == f"Line {line}: {problem}"
    told = str(error.value.in_file("/x.yaml", "Correct it"))
    assert told == f"/x.yaml, line {line}: {problem}. Correct it"


def test_line_of_a_value() -> None:
    """The line is that of the value, or of the last key on its way that is there."""
    line_of = yaml_lines_of("# head\n- a: 1\n- a: 2\n  b:\n    - x\n    - y\n")
    places: list[list[str | int]] = [[], [0], [1, "b"], [1, "b", 1], [1, "c"], [7], ["a"]]
    assert [line_of(place) for place in places] == [2, 2, 4, 6, 3, 2, 2]


@pytest.mark.parametrize(
    ("before", "keys", "after"),
    [
        ("", "allow", "allow:\n- 'x'\n"),
        ("# note\n", "allow", "# note\nallow:\n- 'x'\n"),
        ("ask: always", "allow", "ask: always\nallow:\n- 'x'\n"),
        ("allow: []\n", "allow", "allow: ['x']\n"),
        ("allow: [a,]\n", "allow", "allow: [a,'x']\n"),
        ("allow: [a] # one\nask: never\n", "allow", "allow: [a, 'x'] # one\nask: never\n"),
        ("allow: [a, x]\n", "allow", "allow: [a, x]\n"),
        (
            "allow:\n  - a  # one\n\n# end\nask: never\n",
            "allow",
            "allow:\n  - a  # one\n  - 'x'\n\n# end\nask: never\n",
        ),
        (
            "folders:\n  /a:\n    deny: [b]\nask: never\n",
            "folders /a allow",
            "folders:\n  /a:\n    deny: [b]\n    allow:\n    - 'x'\nask: never\n",
        ),
        (
            "ask: always\r\nallow:\r\n- a\r\n# end\r\n",
            "allow",
            "ask: always\r\nallow:\r\n- a\r\n- 'x'\r\n# end\r\n",
        ),
        ("", "folders /it's: allow", "folders:\n  '/it''s:':\n    allow:\n    - 'x'\n"),
        ("{ask: never}\n", "allow", "ask: never\nallow:\n- x\n"),
        ("allow:\n", "allow", "allow:\n- x\n"),
    ],
)
def test_text_is_added_without_touching_the_rest(before: str, keys: str, after: str) -> None:
    """A text is put where it belongs; comments stay where the form allows it."""
    assert yaml_with_item(before, keys.split(), "x", may_rewrite=True) == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "---\n",
        "- model_id: a # a comment\n  api_base: 'x'\n\n# the end",
        "# head\n  - model_id: a\n  - model_id: b\n",
        "- model_id: a\r\n- model_id: b\r\n",
        "\ufeff- model_id: ä\n",
        "[]",
        "[{model_id: a}] # end\n",
        "[\n  {model_id: a}, # x\n]\n",
        "- {model_id: a}",
    ],
)
def test_mapping_is_added_and_all_else_stays(text: str) -> None:
    """A mapping goes to the end of the list, in the style and with the line ends that are there."""
    after = yaml_with_item(text, (), ENTRY, may_rewrite=False)
    assert after is not None
    assert yaml.safe_load(after) == [*(yaml.safe_load(text) or []), ENTRY]
    assert after.startswith(text.partition("]")[0])
    assert yaml_with_item(after, (), ENTRY, may_rewrite=False) == after
    if "\r\n" in text:
        assert after.count("\n") == after.count("\r\n")


def test_unusual_form_is_left_alone() -> None:
    """Where no way is known and the text may not be rewritten, there is no new text."""
    assert yaml_with_item("- a\n...\n", (), "x", may_rewrite=False) is None


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("allow: [", "allow", "Line 2: not valid YAML"),
        ("ask: never\nallow: 5\n", "allow", "Line 2: not a list"),
        ("- a\n", "allow", "Line 1: not a mapping of keys"),
        ("a: b\n", "", "Line 1: not a list"),
    ],
)
def test_nothing_is_added_to_something_else(text: str, keys: str, message: str) -> None:
    """What is broken, or no list, is told with its line."""
    with pytest.raises(InvalidYAML, match=message):
        yaml_with_item(text, keys.split(), "x", may_rewrite=True)
