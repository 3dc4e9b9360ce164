"""Schemas and templates against a real server with a real small model: only forms are asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm.text import JSONObject

from .helpers.serve_model import running_server

ROOT = Path(__file__).parents[1]
STEADY = ("-o", "temperature", "0", "-o", "max_tokens", "400")
# Every key that the model can be given: it does not see, so nothing is attached.
EVERY_KEY = """\
name: ignored
model: real
prompt: 'Invent a $what that is called $input'
system: Answer with JSON
defaults: {{what: cat}}
options: {{temperature: 0, max_tokens: 200}}
extract: false
extract_last: false
schema_object:
    type: object
    properties: {{name: {{type: string}}, age: {{type: integer}}}}
    required: [name, age]
fragments: ['{folder}/animals.txt']
system_fragments: ['{folder}/rules.txt']
attachments: []
attachment_types: []
tools: [llm_version]
functions: |
    def shout(text: str) -> str:
        return text.upper()
"""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of one server for all tests of this file."""
    with running_server() as address:
        yield address


@pytest.fixture
def real(url: str, user_path: Path) -> Run:
    """Runs the command as a process, with the model `real`; gives what it printed."""
    abilities = {"supports_schema": True, "supports_tools": True}
    entry = {"model_id": "real", "model_name": "smollm2", "api_base": url, **abilities}
    (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))

    def run(*args: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llm", *args],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def assert_is_dog(value: object) -> None:
    """The value has the fields that were asked for, and no others."""
    assert isinstance(value, dict)
    assert {name: type(field) for name, field in value.items()} == {"name": str, "age": int}


@pytest.mark.parametrize("flags", [(), ("--no-stream",), ("--async",), ("--repair", "1")], ids=str)
def test_answer_fits_a_schema(real: Run, flags: tuple[str, ...]) -> None:
    """`--schema 'name, age int'` gives a valid object, and the log finds it by its schema."""
    asked = real("-m", "real", "--schema", "name, age int", "Invent a dog", *STEADY, *flags)
    assert_is_dog(json.loads(asked))
    found = real("logs", "--schema", "name, age int", "--data")
    assert json.loads(found) == json.loads(asked)


def test_answer_is_a_list_of_what_fits(real: Run) -> None:
    """Lists in a schema of JSON are kept to as well; `--data-key` takes out their items."""
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    dog: JSONObject = {"type": "object", "properties": properties}
    dog |= {"required": ["name", "age"], "additionalProperties": False}
    # Without an end to the list so small a model may not find one.
    dogs = {"type": "array", "items": dog, "minItems": 1, "maxItems": 2}
    schema = {"type": "object", "properties": {"dogs": dogs}, "required": ["dogs"]}
    answer = real("-m", "real", "--schema", json.dumps(schema), "Invent two dogs", *STEADY)
    found = json.loads(answer)["dogs"]
    for item in found:
        assert_is_dog(item)
    data = real("logs", "--schema", json.dumps(schema), "--data-key", "dogs")
    assert [json.loads(line) for line in data.splitlines()] == found


@pytest.mark.parametrize("command", ["prompt", "chat"])
def test_template_with_every_key_is_answered(real: Run, user_path: Path, command: str) -> None:
    """All keys together make one request that a real server takes, in a prompt and in a chat."""
    (user_path / "animals.txt").write_text("Dogs bark.\n")
    (user_path / "rules.txt").write_text("Be brief.\n")
    (user_path / "templates").mkdir()
    text = EVERY_KEY.format(folder=user_path)
    (user_path / "templates" / "all.yaml").write_text(text)
    given = ["Rex"] if command == "prompt" else []
    stdin = "Rex\nquit\n" if command == "chat" else ""
    real(command, *given, "-t", "all", "-p", "what", "dog", stdin=stdin)
    (row,) = json.loads(real("logs", "--json"))
    assert_is_dog(json.loads(row["response"]))
    assert row["prompt"] == "Dogs bark.\n\nInvent a dog that is called Rex"
    assert row["system"] == "Be brief.\n\nAnswer with JSON"
    assert row["options_json"] == {"temperature": 0, "max_tokens": 200}
    assert [tool["name"] for tool in row["tools"]] == ["shout", "llm_version"]
    assert list(row["schema_json"]["properties"]) == ["name", "age"]
