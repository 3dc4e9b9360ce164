"""The commands of `llm openai`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.providers.openai.transport import fast

from .helpers.openai_server import OpenAIServer, Reply, error_reply, json_reply

MODELS = [
    {"id": "gpt-9", "object": "model", "created": 1700000000, "owned_by": "openai"},
    {"id": "a", "object": "model"},
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A loopback server in the place of OpenAI."""
    with OpenAIServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/")
        yield running
    fast.close()


def run(*args: str) -> Result:
    """The result of a command."""
    return CliRunner().invoke(cli, ["openai", *args])


def test_models_are_listed_as_a_table(server: OpenAIServer) -> None:
    """Id, owner and time of creation stand in columns."""
    server.add(json_reply({"data": MODELS}))
    result = run("models", "--key", "sk-given")
    assert result.output.splitlines() == [
        "id       owned_by    created                  ",
        "gpt-9    openai      2023-11-14T22:13:20+00:00",
        "a        None                                 ",
    ]
    assert server.last.headers["authorization"] == "Bearer sk-given"
    assert server.last.path == "/v1/models"


def test_models_are_listed_as_json(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--json` gives what OpenAI says; the key may come from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    server.add(json_reply({"data": MODELS}))
    result = run("models", "--json")
    assert result.output == json.dumps(MODELS, indent=4) + "\n"
    assert server.last.headers["authorization"] == "Bearer sk-env"


def test_key_may_come_from_standard_input_or_a_file(server: OpenAIServer, tmp_path: Path) -> None:
    """`--key -` takes the first line, `--key @FILE` a file; a missing one is a usage error."""
    path = tmp_path / "key"
    path.write_text("sk-from-file\n")
    for value, sent in (("-", "sk-from-stdin"), (f"@{path}", "sk-from-file")):
        server.add(json_reply({"data": MODELS}))
        arguments = ["openai", "models", "--key", value]
        result = CliRunner().invoke(cli, arguments, input="sk-from-stdin\nmore\n")
        assert result.exit_code == 0
        assert server.last.headers["authorization"] == f"Bearer {sent}"
    result = run("models", "--key", "@/nowhere/key")
    assert result.exit_code == 2
    assert "Invalid value for '--key': Could not read a key from /nowhere/key" in result.output


def test_missing_key_is_told(server: OpenAIServer) -> None:
    """Without a key nothing is sent."""
    result = run("models")
    assert result.exit_code == 1
    assert "No key found - add one using 'llm keys set openai'" in result.output
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error_reply(401, "Bad key"), "401: Bad key. Check the key: llm keys set openai"),
        (json_reply({"data": 5}), "unexpected shape"),
    ],
)
def test_failure_ends_with_one_line(server: OpenAIServer, reply: Reply, message: str) -> None:
    """What goes wrong is an error of the command."""
    server.add(reply)
    result = run("models", "--key", "k")
    assert result.exit_code == 1
    assert message in result.output


def test_hook_adds_the_group() -> None:
    """The commands reach a command line through the plugin's hook."""
    import click

    from llm.default_plugins.openai_models import register_commands

    root = click.Group()
    register_commands(root)
    openai = root.commands["openai"]
    assert isinstance(openai, click.Group)
    assert sorted(openai.commands) == ["add", "endpoint", "models"]
