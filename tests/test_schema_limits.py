"""Checking an answer ends, whatever its schema asks for and in whatever thread."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.errors import InvalidInput, SchemaMismatch
from llm.schemas import limits
from llm.schemas.validation import check_schema, parse_answer, validate
from tests.helpers.content import Scripted, registered


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(limits, "LIMIT_S", 0.5)
    monkeypatch.chdir(tmp_path)
    with registered():
        yield


def references(depth: int, width: int, **more: Any) -> dict[str, Any]:
    """A schema that refers to another one several times, and so on: `width` ** `depth` times."""
    definitions: dict[str, Any] = {"d0": {"type": ["string", "object"]}}
    for level in range(1, depth + 1):
        definitions[f"d{level}"] = {"allOf": [{"$ref": f"#/$defs/d{level - 1}"}] * width}
    return {"$defs": definitions, "$ref": f"#/$defs/d{depth}", **more}


BACKTRACKS = "a" * 60 + "!"
ENDLESS: dict[str, tuple[Any, dict[str, Any]]] = {
    "nested loops": (BACKTRACKS, {"pattern": "^(a+)+$"}),
    "alternatives": (BACKTRACKS, {"pattern": "^(a|a)*$"}),
    "loops in a row": ("a" * 5000, {"pattern": "a*a*a*a*b"}),
    "a counted group": (BACKTRACKS, {"pattern": "^(a?){60}a{60}$"}),
    "a reference back": ("a" * 3000 + "!", {"pattern": r"^(a*)*\1$"}),
    "a pattern deep inside": (
        {"x": [{"y": BACKTRACKS}]},
        {"properties": {"x": {"items": {"properties": {"y": {"pattern": "^(a+)+$"}}}}}},
    ),
    "names": ({BACKTRACKS: 1}, {"patternProperties": {"^(a+)+$": {}}}),
    "further names": (
        {BACKTRACKS: 1},
        {"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False},
    ),
    "references": ("x", references(12, 4)),
    "references to what is left": ({"x": 1}, references(12, 4, unevaluatedProperties=False)),
    "unique items": ([{"a": number} for number in range(30_000)], {"uniqueItems": True}),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_check_that_takes_too_long_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer passes, and a line says that it was not checked."""
    value, schema = ENDLESS[name]
    validate(value, schema)
    told = "The answer was not checked against its schema: it takes longer than 0.5 seconds\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("name", ["nested loops", "references"])
def test_limit_holds_in_every_thread(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No signal is needed, which only the main thread could have."""
    value, schema = ENDLESS[name]
    thread = threading.Thread(target=validate, args=(value, schema))
    thread.start()
    thread.join()

    async def check() -> None:
        await asyncio.to_thread(validate, value, schema)

    asyncio.run(check())
    assert capsys.readouterr().err.count("was not checked") == 2
    assert sys.getprofile() is None


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        ("Ab", {"pattern": "^([A-Z][a-z]+)+$"}, True),
        ("ab", {"pattern": "^([A-Z][a-z]+)+$"}, False),
        ({"ab": 1}, {"patternProperties": {"^(a|b)+$": {"type": "string"}}}, False),
        ({"ab": 1}, {"patternProperties": {"^(a|b)+$": {}}, "additionalProperties": False}, True),
        ("x" * 100_000, {"pattern": "^x+$"}, True),
        ("x", references(3, 3), True),
        (1, references(3, 3), False),
    ],
)
def test_answers_are_checked_as_ever(value: Any, schema: dict[str, Any], fits: bool) -> None:
    """A pattern that could take for ever but does not is checked, in a process of its own."""
    if fits:
        validate(value, schema)
    else:
        with pytest.raises(SchemaMismatch):
            validate(value, schema)


@pytest.mark.parametrize(
    ("pattern", "is_quick"),
    [
        ("^[A-Z]{3}-[0-9]+$", True),
        (r"^\d{4}-\d\d-\d\d$", True),
        (r"[)*+]\)\*", True),
        (r"^\S+@\S+\.\S+$", True),
        ("^(a|b)?$", True),
        ("(a+)+", False),
        ("(?:a|b)*", False),
        ("(a){2,}", False),
        (r"(a)\1", False),
        ("(?=a*)a*", False),
        ("a*" * 9, False),
    ],
)
def test_quick_patterns_need_no_process(pattern: str, is_quick: bool) -> None:
    """What is surely done at once is checked here; of the rest nothing is assumed."""
    assert limits.are_quick([pattern], {"name": ["x" * 50]}) == is_quick


def test_without_processes_the_answer_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no process can be started, that is told."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    validate("a", {"pattern": "^(a+)+$"})
    assert "was not checked against its schema: [Errno 2]" in capsys.readouterr().err


def test_schema_that_takes_too_long_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """A schema that cannot be looked through in time is told, not refused."""
    check_schema({"enum": [{"a": number} for number in range(30_000)], **references(60, 200)})
    assert "The schema was not checked" in capsys.readouterr().err


def test_schema_that_is_too_deep_is_refused() -> None:
    """Nesting without end is an error in words."""
    schema: dict[str, Any] = {}
    for _ in range(3000):
        schema = {"not": schema}
    with pytest.raises(InvalidInput, match="nested too deeply"):
        check_schema(schema)


def test_prompt_goes_on() -> None:
    """The answer is printed and logged, and the exit code is 0."""
    Scripted.answers = [f'"{BACKTRACKS}"']
    schema = '{"type": "string", "pattern": "^(a+)+$"}'
    result = CliRunner().invoke(cli, ["-m", "scripted", "x", "--schema", schema])
    assert (result.exit_code, result.stdout) == (0, f'"{BACKTRACKS}"\n')
    assert "was not checked" in result.stderr
    assert parse_answer("1", {}) == 1
    assert llm.get_model("scripted") is not None
