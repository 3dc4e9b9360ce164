"""Schemas: naming them, listing them, and answers that have to fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.errors import SchemaMismatch
from llm.schemas.growing import GrowingValue
from llm.schemas.validation import check_schema, parse_answer, validate
from tests.helpers.content import Scripted, registered

DOG = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
REX = '{"name": "Rex", "age": 3}'
BAD = '{"name": "Rex", "age": "three"}'


class Dog(pydantic.BaseModel):
    """A schema as a class."""

    name: str
    age: int


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registered():
        yield


def run(*args: str, code: int = 0, model: str = "tell") -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner(env={"LLM_MODEL": model}).invoke(cli, list(args))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def schema_of(*args: str) -> Any:
    """The schema that the model was given, whatever it answered."""
    result = CliRunner(env={"LLM_MODEL": "tell"}).invoke(cli, [*args, "x"])
    assert result.exit_code in (0, 4), result.output
    return json.loads(result.stdout)["schema"]


def test_schema_can_be_named_in_every_way(user_path: Path, tmp_path: Path) -> None:
    """Fields, JSON, a file, a template, and the id of a stored schema."""
    (tmp_path / "dog.json").write_text(json.dumps(DOG))
    (user_path / "templates").mkdir()
    (user_path / "templates" / "dog.yaml").write_text(f"schema_object: {json.dumps(DOG)}")
    for text in ("name, age int", "name\nage int", json.dumps(DOG), "dog.json", "t:dog"):
        assert schema_of("--schema", text) == DOG
    [stored] = json.loads(run("schemas", "list", "--json").stdout)
    assert stored["times_used"] == 5
    assert schema_of("--schema", stored["id"]) == DOG
    assert schema_of("--schema-multi", "name, age int")["properties"]["items"]["items"] == DOG
    assert schema_of("--schema", "a, b", "--schema-multi", "dog.json")["required"] == ["items"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("name", 2, "Invalid schema 'name'"),
        ("{bad", 2, "Invalid schema '{bad'"),
        ("[" * 20000, 2, "Invalid schema"),
        ('{"a":' * 20000, 2, "Invalid schema"),
        ("a foo", 2, "Invalid schema DSL: unknown type 'foo' for field 'a'"),
        ("a, a", 2, "duplicate field name 'a'"),
        (": x y", 2, "is missing a name"),
        ("broken.json", 1, "broken.json: no JSON schema"),
        ("t:none", 1, "Invalid template: none"),
        ("t:plain", 1, "Template 'plain' has no schema"),
    ],
)
def test_unusable_schema_is_an_error(
    user_path: Path, tmp_path: Path, text: str, code: int, message: str
) -> None:
    """It is refused before anything is sent: 2 for a bad value, 1 for a bad file or template."""
    (tmp_path / "broken.json").write_text("{")
    (user_path / "templates").mkdir()
    (user_path / "templates" / "plain.yaml").write_text("prompt: x")
    result = run("--schema", text, "x", code=code)
    assert message in result.stderr
    assert result.stdout == ""


def test_model_without_schemas_is_refused() -> None:
    """A model that cannot take a schema is not asked."""
    from tests.helpers.models import registered as fake_models

    with fake_models():
        result = run("--schema", "a, b", "x", code=1, model="echo")
    assert "does not support schemas" in result.stderr


def test_list_shows_use_and_summary() -> None:
    """Each schema with its fields, how often and when it was used last."""
    run("--schema", "name, age int", "x", code=4)
    run("--schema", "name, age int", "x", code=4)
    run("--schema-multi", "title", "x", code=2)
    run("--schema-multi", "title,", "x", code=4)
    shown = run("schemas").output
    assert "  summary: |\n    {name, age}\n  usage: |\n    2 times, most recently 20" in shown
    assert "  summary: |\n    {items: [{title}]}\n  usage: |\n    1 time, most recently 20" in shown
    assert shown.index("{name, age}") < shown.index("{items")
    assert '  schema: |\n    {\n      "type": "object",' in run("schemas", "list", "--full").output
    [line] = run("schemas", "list", "--nl", "-q", "TITLE").output.splitlines()
    row = json.loads(line)
    assert list(row) == ["id", "content", "recently_used", "times_used"]
    assert json.loads(run("schemas", "show", row["id"]).output) == row["content"]
    assert json.loads(run("schemas", "list", "--json", "-q", "none").output) == []


@pytest.mark.parametrize("is_logged", [False, True])
def test_schema_show_tells_what_is_missing(is_logged: bool) -> None:
    """An unknown id is told, also before anything was logged."""
    if is_logged:
        run("x")
    assert "Invalid schema ID: nosuch" in run("schemas", "show", "nosuch", code=1).stderr


def test_dsl_prints_the_schema() -> None:
    """`schemas dsl` prints what a list of fields stands for."""
    assert json.loads(run("schemas", "dsl", "name, age int").output) == DOG
    multi = json.loads(run("schemas", "dsl", "name, age int", "--multi").output)
    assert multi["properties"]["items"]["items"] == DOG
    assert "unknown type 'foo'" in run("schemas", "dsl", "a foo", code=2).stderr


def test_logs_of_a_schema() -> None:
    """`llm logs --schema` keeps the prompts that had it; `--data` prints their objects."""
    Scripted.answers = [REX, '{"items": [{"name": "A", "age": 1}]}', "other"]
    run("--schema", "name, age int", "x", model="scripted")
    run("--schema-multi", "name, age int", "y", model="scripted")
    run("z", model="scripted")
    assert run("logs", "--schema", "name, age int", "--data").output == REX + "\n"
    arguments = ["--schema-multi", "name, age int", "--data-key", "items"]
    assert run("logs", *arguments).output == '{"name": "A", "age": 1}\n'
    assert json.loads(run("logs", "--schema", "other, x", "--json").output) == []


# Answers


def test_fitting_answer_is_printed() -> None:
    """An answer that fits ends with exit code 0."""
    Scripted.answers = [REX]
    assert run("--schema", "name, age int", "x", model="scripted").stdout == REX + "\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (BAD, "$.age: 'three' is not of type 'integer'"),
        ("{}", "$: 'name' is a required property (and 1 more)"),
        ("Sure!", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("", "it is empty"),
        ("[" * 100000, "The answer is nested too deeply"),
    ],
)
def test_misfitting_answer_is_reported_with_its_place(
    user_path: Path, answer: str, message: str
) -> None:
    """It is printed and logged, what is wrong is told with its place, the exit code is 4."""
    Scripted.answers = [answer]
    result = run("--schema", "name, age int", "x", model="scripted", code=4)
    assert result.stdout == answer + "\n"
    assert message in result.stderr
    assert json.loads(run("logs", "--json").stdout)[0]["response"] == answer


def test_repair_asks_again_with_the_error() -> None:
    """The model is told the place; only the last answer is printed, all are logged."""
    Scripted.answers = ["no", BAD, REX]
    result = run("--schema", "name, age int", "--repair", "3", "x", model="scripted")
    assert result.stdout == REX + "\n"
    assert "Asking again (2 of 3)" in result.stderr
    assert "At $.age: 'three' is not of type 'integer'" in Scripted.asked[2]
    rows = json.loads(run("logs", "--json").stdout)
    assert [row["response"] for row in rows] == ["no", BAD, REX]
    assert len({row["conversation_id"] for row in rows}) == 1


def test_repair_gives_up_after_its_number() -> None:
    """After N further answers the last is printed, with exit code 4."""
    Scripted.answers = [BAD, "worse"]
    result = run("--schema", "name, age int", "--repair", "1", "x", model="scripted", code=4)
    assert result.stdout == "worse\n"
    assert Scripted.answers == []


def test_repair_without_need_asks_once() -> None:
    """A first answer that fits is enough, and records are printed as without it."""
    Scripted.answers = [REX]
    arguments = ["--schema", "name, age int", "--repair", "2", "--json", "x"]
    [row] = json.loads(run(*arguments, model="scripted").stdout)
    assert row["response"] == REX


# Python


def response(answer: str, schema: Any = DOG) -> llm.Response:
    """A response with that answer."""
    Scripted.answers = [answer]
    return llm.get_model("scripted").prompt("x", schema=schema)


def test_parsed_gives_the_value() -> None:
    """`parsed()` gives what JSON gives, or an instance of the class that was the schema."""
    assert response(REX).parsed() == {"name": "Rex", "age": 3}
    assert response(REX, Dog).parsed() == Dog(name="Rex", age=3)
    assert response("[1]", None).parsed() == [1]


def test_parsed_refuses_what_does_not_fit() -> None:
    """It raises with place and problem, for both kinds of schema."""
    for schema in (DOG, Dog):
        with pytest.raises(SchemaMismatch, match=r"\$\.age: ") as caught:
            response(BAD, schema).parsed()
        assert caught.value.place == "$.age"
        assert caught.value.exit_code == 4
    with pytest.raises(SchemaMismatch, match="does not fit Dog"):
        response("nothing", Dog).parsed()


def test_stream_objects_grow() -> None:
    """Each object says more than the one before; the last is complete."""
    seen = list(response(REX).stream_objects())
    assert seen[-1] == {"name": "Rex", "age": 3}
    assert seen[0] in ({}, {"name": ""})
    assert len(seen) == len({json.dumps(value) for value in seen})
    names = [value.get("name", "") for value in seen]
    assert names == sorted(names, key=len)


@pytest.mark.asyncio
async def test_async_twin_parses_and_grows() -> None:
    """The asynchronous response has both, to be awaited and iterated."""
    Scripted.answers = [REX, REX, BAD]
    model = llm.get_async_model("scripted")
    assert await model.prompt("x", schema=Dog).parsed() == Dog(name="Rex", age=3)
    seen = [value async for value in model.prompt("x", schema=DOG).stream_objects()]
    assert seen[-1] == {"name": "Rex", "age": 3}
    with pytest.raises(SchemaMismatch):
        await model.prompt("x", schema=DOG).parsed()


def test_growing_value_survives_what_is_no_json() -> None:
    """Text that is no JSON gives nothing."""
    growing = GrowingValue()
    assert [value for piece in ("Sure! ", "{", "}") for value in growing.feed(piece)] == []
    growing = GrowingValue()
    assert list(growing.feed('[1, {"a": "b')) == [[1, {"a": "b"}]]
    assert list(growing.feed("")) == []


def test_validation_never_fetches(capsys: pytest.CaptureFixture[str]) -> None:
    """A reference out of the schema is told, and is no request."""
    outside = {"$ref": "http://127.0.0.1:1/x", "type": "object"}
    check_schema(outside)
    assert "$.$ref: it refers to 'http://127.0.0.1:1/x', which is not in it" in (
        capsys.readouterr().err
    )
    validate({}, outside)
    with pytest.raises(SchemaMismatch):
        validate([], outside)
    assert parse_answer("1", {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}) == 1


def test_log_can_be_named_by_the_hidden_option_of_0_36(tmp_path: Path) -> None:
    """`-p` and `--path` mean what `-d` does, and go before it, as in `llm logs list`."""
    other = tmp_path / "other.db"
    run("--schema", "name, age int", "-d", str(other), "--log", "x", code=4)
    [known] = json.loads(run("schemas", "list", "-d", str(other), "--json").stdout)
    nothing = tmp_path / "nothing.db"
    run("--schema", "title, pages int", "-d", str(nothing), "--log", "x", code=4)
    for name in ("-p", "--path"):
        for args in ([name, str(other)], [name, str(other), "-d", str(nothing)]):
            [listed] = json.loads(run("schemas", "list", "--json", *args).stdout)
            assert listed == known
            shown = run("schemas", "show", known["id"], *args).stdout
            assert json.loads(shown) == known["content"]
    for command in (["list"], ["show", "x"]):
        run("schemas", *command, "-p", str(tmp_path / "missing.db"), code=1)
        assert "--path" not in run("schemas", command[0], "--help").stdout
