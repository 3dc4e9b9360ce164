"""Prompts without anything to send, words that are almost commands, and files that are gone."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli

from .helpers.models import registered
from .helpers.openai_server import OpenAIServer, text_stream
from .helpers.terminal import at_terminal


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A loopback server with the model `served`, which is the default one."""
    with OpenAIServer() as running, registered():
        shape: dict[str, Any] = {
            "model_id": "served",
            "model_name": "served",
            "api_base": running.url,
        }
        shape |= {"supports_schema": True, "vision": True}
        (user_path / "extra-openai-models.yaml").write_text(json.dumps([shape]))
        (user_path / "default_model.txt").write_text("served")
        running.add(*[text_stream("fine") for _ in range(4)])
        yield running


def invoke(*args: str, stdin: str = "") -> Any:
    """The result of `llm` with these arguments."""
    return CliRunner().invoke(cli, args, input=stdin)


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        ([], ""),
        ([""], ""),
        (["  \n "], ""),
        ([], " \n\t\n"),
        (["prompt"], ""),
        (["", "--async"], ""),
        (["", "--no-stream"], ""),
        (["", "-u", "--name", "Nothing"], ""),
        (["", "-o", "temperature", "1"], ""),
    ],
)
def test_nothing_is_not_sent(server: OpenAIServer, args: list[str], stdin: str) -> None:
    """A prompt with nothing in it is a usage error, and nothing is logged."""
    result = invoke(*args, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: The prompt is empty" in result.stderr
    assert server.requests == []
    assert json.loads(invoke("logs", "--json").stdout or "[]") == []


@pytest.mark.parametrize(
    "args",
    [
        ["-s", "Tell a joke"],
        ["-f", "note.txt"],
        ["--sf", "note.txt"],
        ["-a", "image.png"],
        ["--schema", "name, age int"],
        ["-t", "joke"],
        ["word"],
    ],
)
def test_something_is_sent(
    server: OpenAIServer, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands beside the prompt is something to answer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    invoke("Tell a joke", "--save", "joke")
    result = invoke(*args)
    assert result.exit_code in (0, 4), result.output
    assert len(server.requests) == 1


def test_conversation_goes_on_without_a_word(server: OpenAIServer) -> None:
    """`-c` alone sends the conversation again."""
    invoke("first")
    assert invoke("-c").exit_code == 0
    assert len(server.requests) == 2


def test_model_that_runs_here_may_be_asked_with_nothing(server: OpenAIServer) -> None:
    """A model that needs no service may make something of nothing."""
    assert invoke("-m", "echo", "").exit_code == 0


def test_terminal_is_told_what_is_waited_for(user_path: Path) -> None:
    """`llm` alone at a terminal says how to go on."""
    with at_terminal("-m", "echo") as (_, terminal):
        terminal.wait_for("Type the prompt, and end it with Ctrl-D")
        terminal.type("hello\r\x04")
        assert "user: hello" in terminal.rest()


@pytest.mark.parametrize(
    ("word", "meant"),
    [("modles", "models"), ("embed-model", "embed-models"), ("help", "--help"), ("chatt", "chat")],
)
@pytest.mark.parametrize("answer", ["y", "n"])
def test_word_that_is_almost_a_command_is_asked_about(word: str, meant: str, answer: str) -> None:
    """Alone on a terminal it is sent only when somebody agrees."""
    with at_terminal(word, LLM_MODEL="echo") as (process, terminal):
        terminal.wait_for(f"Send '{word}' as a prompt? Did you mean `llm {meant}`?")
        terminal.type(f"{answer}\r")
        rest = terminal.rest()
        assert process.wait(10) == (0 if answer == "y" else 2)
    assert (f"user: {word}" in rest) == (answer == "y")
    assert (f"did you mean 'llm {meant}'" in rest) == (answer == "n")


@pytest.mark.parametrize("args", [["hello"], ["models please"], ["modles", "-m", "echo"]])
def test_other_words_are_prompts(args: list[str]) -> None:
    """A word that is no command, and one with more beside it, is sent at once."""
    with at_terminal(*args, LLM_MODEL="echo") as (process, terminal):
        assert f"user: {args[0]}" in terminal.rest()
        assert process.wait(10) == 0


@pytest.mark.parametrize("word", ["modles", "embed-model", "help"])
def test_word_from_a_script_is_sent(word: str) -> None:
    """Where no terminal is, a single word is a prompt as it ever was."""
    with registered():
        result = CliRunner(env={"LLM_MODEL": "echo"}).invoke(cli, [word])
    assert (result.exit_code, result.stdout) == (0, f"user: {word}\n")


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.mark.parametrize("flags", [[], ["--async"]])
@pytest.mark.parametrize("change", ["gone", "changed", "a folder", "same"])
def test_attachment_that_is_not_what_it_was(
    server: OpenAIServer, tmp_path: Path, change: str, flags: list[str]
) -> None:
    """`-c` says which file it is, and sends a note in its place, never other bytes."""
    image = tmp_path / "image.png"
    image.write_bytes(PNG)
    assert invoke("look", "-a", str(image)).exit_code == 0
    if change != "same":
        image.unlink()
    if change == "changed":
        image.write_bytes(PNG + b"secret")
    if change == "a folder":
        image.mkdir()
    result = invoke("-c", "again", *flags)
    assert (result.exit_code, result.stdout) == (0, "fine\n")
    sent = json.dumps(server.last.body)
    told = re.findall(r"The attachment \S+ (is gone|has changed since it was sent)", result.stderr)
    if change == "same":
        assert (told, "image_url" in sent) == ([], True)
    else:
        assert told == ["has changed since it was sent" if change == "changed" else "is gone"]
        assert "image_url" not in sent
        assert "cannot be shown any more" in sent
    # The log has the conversation as it was.
    with_image = json.loads(invoke("logs", "-c", "--json").stdout)[0]
    assert with_image["attachments"][0]["path"] == str(image)
    assert invoke("-c", "once more").exit_code == 0


async def read(response: llm.AsyncResponse) -> str:
    """The text of an asynchronous response."""
    return await response.text()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("change", ["gone", "changed", "same"])
def test_attachment_that_is_not_what_it_was_in_python(
    server: OpenAIServer, tmp_path: Path, change: str, is_async: bool
) -> None:
    """A conversation of a `Database` warns of it, and has a note in its place."""
    image = tmp_path / "image.png"
    image.write_bytes(PNG)
    with llm.Database() as log:
        attachments = [llm.Attachment(path=str(image))]
        llm.get_model("served").prompt("look", attachments=attachments, log=log).text()
        if change == "changed":
            image.write_bytes(PNG + b"secret")
        elif change == "gone":
            image.unlink()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if is_async:
                response = asyncio.run(read(log.conversation(async_=True).prompt("again")))
            else:
                response = log.conversation().prompt("again").text()
    assert response == "fine"
    problem = {"changed": "has changed since it was sent", "gone": "is gone", "same": ""}[change]
    sent = json.dumps(server.last.body)
    assert [problem in str(warning.message) for warning in told] == ([True] if problem else [])
    assert ("image_url" in sent, "cannot be shown" in sent) == (not problem, bool(problem))


def test_attachment_whose_bytes_are_logged(server: OpenAIServer) -> None:
    """What came from standard input is sent again from the log."""
    invoke("look", "--at", "-", "image/png", stdin="bytes")
    result = invoke("-c", "again")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "image_url" in json.dumps(server.last.body)
