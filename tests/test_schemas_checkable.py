"""Schemas that are not what JSON Schema allows are sent, and checked as far as they can be."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llm.cli import cli
from llm.errors import SchemaMismatch
from llm.schemas.checkable import checkable
from llm.schemas.notation import schema_summary
from llm.schemas.typed import AnswerType
from llm.schemas.validation import check_schema, parse_answer, validate
from tests.helpers.content import Scripted, registered

UPPER = r"^\p{Lu}"


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registered():
        yield


def schema_with(**keywords: Any) -> dict[str, Any]:
    """A schema of an object with a number `n` and a property `a` with these keywords."""
    return {"properties": {"n": {"type": "integer"}, "a": keywords}, "required": ["n"]}


# A schema, values of `a` that fit what is left, values that do not, and what is told.
CASES: dict[str, tuple[dict[str, Any], list[Any], list[Any], str]] = {
    "property of Unicode": (
        {"type": "string", "pattern": UPPER},
        ["x", "X"],
        [5],
        "$.properties.a.pattern: the pattern '^\\\\p{Lu}' is not one that Python knows",
    ),
    "atomic sets": ({"pattern": "[a-z&&[^b]]++("}, ["b", "c"], [], "$.properties.a.pattern"),
    "named group": ({"pattern": "^(?<y>[0-9]+)$"}, ["1"], ["x"], ""),
    "named group again": (
        {"pattern": r"^(?<y>.)\k<y>$"},
        ["aa"],
        ["ab"],
        "",
    ),
    "name by pattern": (
        {"patternProperties": {UPPER: {"type": "string"}, "^x": {"type": "string"}}},
        [{"A": 1}, {"x": "1"}],
        [{"x": 1}],
        f"$.properties.a.patternProperties.{UPPER}",
    ),
    "flag of draft 4": (
        {"minimum": 3, "exclusiveMinimum": True},
        [4],
        [3, 2],
        "$.properties.a.exclusiveMinimum: true, read as 3",
    ),
    "flag before its limit": (
        {"exclusiveMaximum": True, "maximum": 3},
        [2],
        [3, 4],
        "$.properties.a.exclusiveMaximum: true, read as 3",
    ),
    "flag alone": ({"exclusiveMinimum": True}, [1], [], "exclusiveMinimum: true, not checked"),
    "flag that is false": (
        {"minimum": 3, "exclusiveMinimum": False},
        [3],
        [2],
        "exclusiveMinimum: false, not checked",
    ),
    "type in capitals": ({"type": "STRING"}, ["x"], [5], "'STRING' is read in small letters"),
    "types in capitals": (
        {"type": ["STRING", "Null"]},
        ["x", None],
        [5],
        "is read in small letters",
    ),
    "unknown type": ({"type": "file"}, ["x", 5], [], "$.properties.a.type: 'file' is not valid"),
    "null": (
        {"type": "string", "description": None, "enum": None, "items": None},
        ["x"],
        [5],
        "$.properties.a.description: null, not checked",
    ),
    "null that is meant": ({"const": None, "default": None}, [None], [5], ""),
    "required in words": ({"required": "x"}, [{}], [], "$.properties.a.required"),
    "required number": ({"required": ["x", 5]}, [{"x": 1}], [{}], "$.properties.a.required[1]"),
    "list of odd things": (
        {"allOf": [5, {"type": "string"}, None]},
        ["x"],
        [5],
        "$.properties.a.allOf[2]",
    ),
    "elsewhere": ({"$ref": "https://x.invalid/s"}, [1], [], "$ref: it refers to"),
    "nowhere": ({"$ref": "#/$defs/none"}, [1], [], "$ref: it refers to '#/$defs/none'"),
    "data that looks like it": (
        {"enum": [{"type": "STRING", "pattern": UPPER, "description": None}]},
        [{"type": "STRING", "pattern": UPPER, "description": None}],
        ["x"],
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_odd_schema_is_sent_as_it_is_and_checked_as_far_as_can_be(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model gets it unchanged, stderr says what is not checked, the rest is checked."""
    keywords, fitting, misfitting, told = CASES[name]
    schema = schema_with(**keywords)
    before = copy.deepcopy(schema)
    check_schema(schema)
    note = capsys.readouterr().err
    assert told in note
    assert note.count("\n") == bool(told)
    for value in fitting:
        validate({"n": 1, "a": value}, schema)
    for value in misfitting:
        with pytest.raises(SchemaMismatch):
            validate({"n": 1, "a": value}, schema)
    with pytest.raises(SchemaMismatch):
        validate({"a": fitting[0]}, schema)
    assert capsys.readouterr().err == ""
    assert schema == before
    Scripted.answers = [json.dumps({"n": 1, "a": fitting[0]})]
    text = json.dumps(schema)
    runner = CliRunner(env={"LLM_MODEL": "scripted"})
    result = runner.invoke(cli, ["--schema", text, "x"])
    assert (result.exit_code, result.stdout) == (0, f"{json.dumps({'n': 1, 'a': fitting[0]})}\n")
    assert told in result.stderr
    sent = CliRunner(env={"LLM_MODEL": "tell"}).invoke(cli, ["--schema", text, "x"])
    assert json.loads(sent.stdout)["schema"] == before


def test_schema_of_draft_4_keeps_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """What its draft allows is read as its draft says."""
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "minimum": 3,
        "exclusiveMinimum": True,
    }
    check_schema(schema)
    assert capsys.readouterr().err == ""
    validate(4, schema)
    with pytest.raises(SchemaMismatch):
        validate(3, schema)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"$ref": "#x"}])
def test_schema_that_cannot_be_followed_is_told_and_passes(
    schema: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference to itself without end, or to nothing, ends in a line."""
    check_schema(schema)
    validate({"a": 1}, schema)
    assert "The answer was not checked against its schema: the schema refers to" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("text", ["NaN", '{"a": NaN}', "[Infinity]", '{"a": -Infinity}'])
def test_what_is_no_number_does_not_fit(text: str) -> None:
    """JSON has no such numbers, whatever Python reads."""
    with pytest.raises(SchemaMismatch, match=r"it is not JSON \(-?(NaN|Infinity) is no number"):
        parse_answer(text, {})
    assert parse_answer('{"a": "NaN"}', {}) == {"a": "NaN"}


class Weighed(pydantic.BaseModel):
    """A schema as a class."""

    name: str
    weight: float


def test_what_is_no_number_does_not_fit_a_class() -> None:
    """Nor does a class take one, and it takes the words."""
    with pytest.raises(SchemaMismatch, match="NaN is no number"):
        AnswerType(Weighed).parse('{"name": "x", "weight": NaN}')
    named = AnswerType(Weighed).parse('{"name": "NaN Infinity", "weight": 1}')
    assert named == Weighed(name="NaN Infinity", weight=1)


def test_many_notes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """One line says the first of what is not checked."""
    check_schema({"properties": {name: {"type": "FILE"} for name in "abcdef"}})
    assert re.fullmatch(
        r"The schema is sent .*; and 3 more\n", capsys.readouterr().err, flags=re.DOTALL
    )


KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "items", "required", "enum", "const", "pattern", "minimum"),
        *("exclusiveMinimum", "$ref", "$defs", "allOf", "not", "patternProperties", "$schema"),
        *("prefixItems", "additionalProperties", "minLength", "format", "$id", "$anchor", "title"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["string", "STRING", "a", UPPER, "#", "#/$defs/a", "(", "^a", "uri"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=8,
)


@given(schema=st.dictionaries(KEYWORDS, VALUES, max_size=4), value=VALUES)
def test_any_object_is_a_schema(schema: dict[str, Any], value: Any) -> None:
    """Nothing that can stand in a schema stops a prompt; the schema itself is never changed."""
    before = copy.deepcopy(schema)
    check_schema(schema)
    left, _ = checkable(schema)
    assert checkable(left) == (left, [])
    with contextlib.suppress(SchemaMismatch):
        validate(value, schema)
    assert isinstance(schema_summary(schema), str)
    assert schema == before
