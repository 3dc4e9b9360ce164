"""Schemas: the short notation, ids, summaries, and what people may name."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import llm
from llm.errors import ConfigError, InvalidInput, NotFound
from llm.schemas import notation as schemas
from llm.utils import make_schema_id, multi_schema, resolve_schema_input, schema_summary

VECTORS = json.loads((Path(__file__).parent / "data" / "id_vectors.json").read_text())
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize("text", VECTORS["schema_dsl"])
def test_schema_dsl_vector(text: str) -> None:
    """The short notation means what it means to 0.36, to the order of the keys."""
    assert json.dumps(llm.schema_dsl(text)) == json.dumps(VECTORS["schema_dsl"][text])


def test_schema_dsl_multi() -> None:
    """`multi` asks for a list of such objects."""
    assert llm.schema_dsl("a", multi=True) == VECTORS["schema_dsl_multi"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name foo", "Invalid schema DSL: unknown type 'foo' for field 'name'"),
        ("a, a int", "Invalid schema DSL: duplicate field name 'a'"),
        (": d", "Invalid schema DSL: field ': d' is missing a name before ':'"),
    ],
)
def test_schema_dsl_error(text: str, message: str) -> None:
    """A mistake in the notation is named with the field."""
    with pytest.raises(ValueError) as caught:
        llm.schema_dsl(text)
    assert str(caught.value) == message


def test_schema_dsl_ignores_further_words() -> None:
    """Words after the type are left alone; an empty description is none."""
    assert llm.schema_dsl("a int extra: why\nb :")["properties"] == {
        "a": {"type": "integer", "description": "why"},
        "b": {"type": "string"},
    }


def test_schema_id_vector() -> None:
    """The id and the stored form of a schema are those of 0.36."""
    vector = VECTORS["schema"]
    assert make_schema_id(vector["schema"]) == (vector["id"], vector["json"])


@pytest.mark.parametrize(
    ("schema", "summary"),
    [
        ({}, ""),
        ("no schema", ""),
        ({"type": "string"}, ""),
        ({"properties": {"a": {}}}, ""),
        (PERSON, "{name}"),
        ({"type": "object"}, "{}"),
        ({"type": "array", "items": PERSON}, "[{name}]"),
        ({"type": "array", "items": {"type": "string"}}, ""),
        (multi_schema(PERSON), "{items: [{name}]}"),
    ],
)
def test_schema_summary(schema: Any, summary: str) -> None:
    """A summary gives the names at every level and nothing else."""
    assert schema_summary(schema) == summary


def no_template(name: str) -> llm.Template:
    """A loader that must not be called."""
    raise AssertionError(name)


@pytest.fixture
def db() -> sqlite_utils.Database:
    """A database with one stored schema, `abc`."""
    database = sqlite_utils.Database(memory=True)
    database.table("schemas").insert({"id": "abc", "content": json.dumps(PERSON)}, pk="id")
    return database


@pytest.mark.parametrize("text", [json.dumps(PERSON), f"\n {json.dumps(PERSON)} ", "abc"])
def test_resolve_schema_input_json_or_id(db: sqlite_utils.Database, text: str) -> None:
    """A schema may be written as JSON, or named by its id."""
    assert resolve_schema_input(db, text, no_template) == PERSON


@pytest.mark.parametrize("text", ["name,", "name str", "{name, }"])
def test_resolve_schema_input_short_notation(db: sqlite_utils.Database, text: str) -> None:
    """A space or a comma means the short notation, also where JSON was meant but is not."""
    assert resolve_schema_input(db, text, no_template)["type"] == "object"


def test_resolve_schema_input_template(db: sqlite_utils.Database) -> None:
    """`t:NAME` takes the schema of a template."""
    template = llm.Template(name="n", schema_object=PERSON)
    assert resolve_schema_input(db, "t:n", lambda name: template) == PERSON


def test_resolve_schema_input_template_without_schema(db: sqlite_utils.Database) -> None:
    """A template without a schema is not a schema."""
    with pytest.raises(NotFound, match="Template 'n' has no schema"):
        resolve_schema_input(db, "t:n", lambda name: llm.Template(name=name))


def test_resolve_schema_input_file(db: sqlite_utils.Database, tmp_path: Path) -> None:
    """A file of JSON is read."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(PERSON))
    assert resolve_schema_input(db, str(path), no_template) == PERSON


@pytest.mark.parametrize("content", ["{oops", "[1]"])
def test_resolve_schema_input_bad_file(
    db: sqlite_utils.Database, tmp_path: Path, content: str
) -> None:
    """A file of something else is named in the error."""
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"schema\.json: no JSON schema"):
        resolve_schema_input(db, str(path), no_template)


@pytest.mark.parametrize("text", ["unknown", "a foo"])
def test_resolve_schema_input_invalid(db: sqlite_utils.Database, text: str) -> None:
    """What is none of these is a mistake of the user, and a ValueError to Python code."""
    with pytest.raises(InvalidInput, match="Invalid schema") as caught:
        resolve_schema_input(db, text, no_template)
    assert isinstance(caught.value, ValueError)


def test_resolve_schema_input_without_tables() -> None:
    """A database that has no schemas yet does not get in the way."""
    with pytest.raises(InvalidInput, match="Invalid schema 'abc'"):
        resolve_schema_input(sqlite_utils.Database(memory=True), "abc", no_template)


def test_schema_doctests_run() -> None:
    """The examples in the docstrings give what they say."""
    results = doctest.testmod(schemas)
    assert (results.failed, results.attempted) == (0, 1)
