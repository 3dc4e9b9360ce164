"""What goes into prompts, kept by one program and used by the other: ours and 0.36."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm.cli import cli
from tests.helpers.databases import DATA
from tests.helpers.release_036 import Release

PICTURE = str(DATA / "files" / "pixel.png")


def run(*args: str, stdin: str | None = None) -> str:
    """The output of our command, which succeeds."""
    result = CliRunner().invoke(cli, args, input=stdin)
    assert result.exit_code == 0, (args, result.output, result.exception)
    return result.stdout


@pytest.fixture
def templates(user_path: Path) -> Path:
    """The templates directory, which both use."""
    folder = user_path / "templates"
    folder.mkdir()
    return folder


# Templates

SAVED: list[list[str]] = [
    ["Just a prompt"],
    ["-s", "Be brief: \N{SNOWMAN}"],
    ["-m", "fake", "With $name", "-p", "name", "Ann", "-p", "age", "5"],
    ["Lines\n\nand tabs\there ", "-s", "a: b # c", "-x", "--xl"],
    ["x", "--schema", "name, age int, bio: what they do", "-m", "fake"],
    ["x", "--schema-multi", "name,", "-m", "fake"],
    ["x", "--schema", '{"type": "object", "title": "T", "properties": {}}', "-m", "fake"],
    ["x", "-T", "shout", "-T", "Counter", "--functions", "def f():\n    pass"],
    ["x", "-m", "fake", "-a", PICTURE, "--at", PICTURE, "image/png", "-a", "http://x.invalid/i"],
    ["x", "-m", "fake", "-o", "temperature", "0.5", "-o", "think", "1"],
    ["x" * 300 + " " + "y" * 100],
]


@pytest.mark.parametrize("args", [args for args in SAVED if "http://x.invalid/i" not in args])
def test_both_save_the_same_template(other: Release, templates: Path, args: list[str]) -> None:
    """`--save` writes the same bytes, whatever is kept."""
    path = templates / "kept.yaml"
    assert run(*args, "--save", "kept") == ""
    ours = path.read_bytes()
    path.unlink()
    assert other.run(*args, "--save", "kept") == ""
    assert path.read_bytes() == ours


USED = {
    "plain": "prompt: Hello\n",
    "text": "Just $input in a string\n",
    "input": "prompt: 'In: $input'\n",
    "system": "system: 'Be brief with $input'\n",
    "both": "system: S\nprompt: P $input\n",
    "variables": "prompt: '$a and $b, $$5'\ndefaults: {a: 1, b: two}\n",
    "options": "options: {temperature: 0.5}\nprompt: o\n",
    "extract": "extract: true\nprompt: '```py\n\n  x\n\n  ```'\n",
    "schema": "schema_object: {type: object, properties: {a: {type: string}}}\nprompt: s\n",
    "picture": f"attachments: [{PICTURE}]\nfragments: [{DATA}/files/novel.txt]\nprompt: x\n",
    "tools": "tools: [shout]\nfunctions: |\n  def f(x: int) -> int:\n      return x\nprompt: t\n",
    "model": "name: odd\nmodel: fake\nprompt: |\n  line one\n  line $input\n\n  end\n",
}
KEYS = ("model", "options_json", "prompt", "system", "response", "schema_json", "attachments")


def last_row(*more: str) -> list[object]:
    """What the log has about the latest prompt."""
    (row,) = json.loads(run("logs", "-n", "1", "--json"))
    tools = [(tool["name"], tool["input_schema"]) for tool in row["tools"]]
    return [*(row[key] for key in KEYS), tools, row["prompt_fragments"]]


@pytest.mark.parametrize(
    "names",
    [*([name] for name in USED), ["both", "input"], ["system", "options"], ["input", "plain"]],
    ids="+".join,
)
def test_both_make_the_same_prompt_of_templates(
    other: Release, templates: Path, names: list[str]
) -> None:
    """The same answer, and the same in the log: prompt, system, options, schema, tools."""
    for name, text in USED.items():
        (templates / f"{name}.yaml").write_text(text)
    args = [
        "-m",
        "fake",
        *(part for name in names for part in ("-t", name)),
        "cats",
        "-p",
        "a",
        "7",
    ]
    printed = run(*args)
    row = last_row()
    assert other.run(*args) == printed
    assert last_row() == row


def test_both_list_and_show_the_same_templates(other: Release, templates: Path) -> None:
    """`templates list`, `show` and `path` print the same."""
    for name, text in USED.items():
        (templates / f"{name}.yaml").write_text(text)
    for args in (["list"], ["path"], *(["show", name] for name in USED)):
        assert run("templates", *args) == other.run("templates", *args), args


# Fragments

CONTENTS = [
    "one line",
    "two\nlines\n",
    "def f():\n    return 1\n\n\nx = 2\n",
    " leads\nand trails \n",
    "no: yaml # here",
    "caf\xe9 \N{SNOWMAN}\n",
    "tab\there\n",
    "\n\nempty lines first\n",
    "word " * 60,
    "5",
    "null",
    "",
]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The paths of files with texts of every kind."""
    paths = [tmp_path / f"f{number}.txt" for number in range(len(CONTENTS))]
    for path, content in zip(paths, CONTENTS, strict=True):
        path.write_text(content, encoding="utf-8")
    return list(map(str, paths))


def listings(call: Callable[..., str]) -> list[str]:
    """Every form of the list of fragments."""
    forms = [[], ["--json"], ["--aliases"], ["-q", "lines"], ["-q", "a3"], ["-q", "nosuch"]]
    return [call("fragments", "list", *form) for form in forms]


@pytest.mark.parametrize("writer", ["ours", "0.36"])
def test_fragments_of_one_are_those_of_the_other(
    other: Release, user_path: Path, files: list[str], writer: str
) -> None:
    """Stored by one, both list them to the character, show, use and log them the same."""
    write, read = (run, other.run) if writer == "ours" else (other.run, run)
    for number, path in enumerate(files):
        if number % 3:
            write("fragments", "set", f"a{number}", path)
        else:
            write("-m", "fake", "-f", path, "used")
    write("fragments", "set", "again", files[1])
    # 0.36 sorts by the second in which they were stored.
    with contextlib.closing(sqlite3.connect(user_path / "logs.db")) as db, db:
        db.execute("update fragments set datetime_utc = datetime('2026-01-01', id || ' minutes')")
    assert listings(run) == listings(other.run)
    assert read("fragments", "show", "a1") == f"{CONTENTS[1]}\n"
    first = json.loads(read("fragments", "--json"))[1]
    assert first["aliases"] == ["a1", "again"]
    assert read("fragments", "show", first["hash"]) == f"{CONTENTS[1]}\n"
    used = read("-m", "fake", "-f", "a1", "-f", first["hash"], "--sf", "a4", "used")
    assert used == "Echo(1): two / lines /  / two / lines /  / used (system 15 chars)\n"
    assert run("logs", "-f", "a1", "-e") == other.run("logs", "-f", "a1", "-e")


def test_fragments_are_stored_once_by_both(other: Release, files: list[str]) -> None:
    """What one has stored the other only refers to; an alias that one removes is gone for both."""
    for path in files:
        run("-m", "fake", "-f", path, "--sf", path, "x")
        other.run("-m", "fake", "-f", path, "--sf", path, "x")
    stored = json.loads(run("fragments", "--json"))
    assert sorted(fragment["content"] for fragment in stored) == sorted(CONTENTS)
    run("fragments", "set", "mine", files[0])
    other.run("fragments", "remove", "mine")
    other.run("fragments", "set", "theirs", files[0])
    assert [name for row in json.loads(run("fragments", "--json")) for name in row["aliases"]] == [
        "theirs"
    ]
    run("fragments", "remove", "theirs")
    assert other.run("fragments", "list", "--aliases", "--json").strip() == "[]"


# Schemas

NOTATIONS = [
    "name",
    "name, age int",
    "a float, b bool: is it",
    "a\nb int: how many, exactly",
    "a:b",
]


@pytest.mark.parametrize("text", NOTATIONS)
def test_both_read_the_short_notation_the_same(other: Release, text: str) -> None:
    """`schemas dsl` prints the same schema, of one and of many."""
    for more in ([], ["--multi"]):
        assert run("schemas", "dsl", text, *more) == other.run("schemas", "dsl", text, *more)


def test_schemas_of_one_are_those_of_the_other(other: Release) -> None:
    """The same id, found by the other; the data of both come out of both the same."""
    run("-m", "fake", "--schema", "name, age int", "ours")
    other.run("-m", "fake", "--schema", "title, pages int", "theirs")
    other.run("-m", "fake", "--schema-multi", "name,", "many")
    ids = [row["id"] for row in json.loads(run("schemas", "--json"))]
    assert len(ids) == 3
    for schema_id in ids:
        assert run("schemas", "show", schema_id) == other.run("schemas", "show", schema_id)
        for more in (["--data"], ["--data-array"], ["--data-ids"], ["--data-key", "items"]):
            args = ["logs", "--schema", schema_id, *more]
            assert run(*args) == other.run(*args) != "", args
        run("-m", "fake", "--schema", schema_id, "again")
        other.run("-m", "fake", "--schema", schema_id, "again")
    assert [row["times_used"] for row in json.loads(run("schemas", "--json"))] == [3, 3, 3]
