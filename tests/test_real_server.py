"""The command on an entry of `extra-openai-models.yaml`: a real server, and one that fails.

The real one runs a real small model, so that nothing is asserted about its words.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.providers.openai.transport import fast
from llm.text import JSONObject

from .helpers.openai_server import (
    OpenAIServer,
    Reply,
    chunk,
    error_reply,
    sse_reply,
    text_stream,
)
from .helpers.serve_model import running_server

ROOT = Path(__file__).parents[1]
SHORT = ("-o", "max_tokens", "12", "-o", "temperature", "0")
KEY = "sesame"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A real server that wants a key and has room for few tokens."""
    with running_server(api_key=KEY, context=256, plain=True) as address:
        yield address


@pytest.fixture
def real(base_url: str, user_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command as a process of its own, where the models `real` and `old` are set up."""
    entry = {"model_name": "smollm2", "api_base": base_url, "api_key_name": "mine"}
    models = [{"model_id": "real", **entry}, {"model_id": "old", "completion": True, **entry}]
    (user_path / "extra-openai-models.yaml").write_text(json.dumps(models))
    (user_path / "keys.json").write_text(json.dumps({"mine": KEY}))

    def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llm", *args],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "PYTHONUTF8": "1"},
        )

    return run


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed, after it ended well and without a traceback."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
    return done.stdout


def logged(real: Callable[..., subprocess.CompletedProcess[str]]) -> list[JSONObject]:
    """The rows of the log, oldest first."""
    rows = json.loads(succeeded(real("logs", "-n", "0", "--json")))
    assert isinstance(rows, list)
    return rows


def test_prompt_and_continuation_are_answered_and_kept(
    real: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """A streamed answer with its usage; `-c` goes on with the same conversation and sends it."""
    first = real("-m", "real", "Say hi", "-u", *SHORT)
    second = real("-c", "Say it again", "-u", *SHORT)
    answers = [succeeded(first), succeeded(second)]
    assert "Token usage: " in first.stderr
    rows = logged(real)
    assert [row["response"] + "\n" for row in rows] == answers
    assert [row["prompt"] for row in rows] == ["Say hi", "Say it again"]
    assert rows[0]["conversation_id"] == rows[1]["conversation_id"]
    assert rows[1]["input_tokens"] > rows[0]["input_tokens"] > 0
    assert all(row["output_tokens"] > 0 for row in rows)
    assert {row["response_json"]["object"] for row in rows} == {"chat.completion.chunk"}


@pytest.mark.parametrize(
    ("flag", "kind"), [("--no-stream", "chat.completion"), ("--async", "chat.completion.chunk")]
)
def test_other_ways_to_ask_are_answered_and_kept(
    real: Callable[..., subprocess.CompletedProcess[str]], flag: str, kind: str
) -> None:
    """Without streaming, and through the asynchronous twin."""
    done = real("-m", "real", flag, "Say hi", "-u", *SHORT)
    (row,) = logged(real)
    assert succeeded(done) == row["response"] + "\n"
    assert row["response_json"]["object"] == kind
    assert "Token usage: " in done.stderr


def test_chat_holds_a_conversation(real: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Two turns of a chat are one conversation in the log."""
    succeeded(real("chat", "-m", "real", *SHORT, stdin="Say hi\nAgain\nexit\n"))
    rows = logged(real)
    assert [row["prompt"] for row in rows] == ["Say hi", "Again"]
    assert rows[0]["conversation_id"] == rows[1]["conversation_id"]
    assert rows[1]["input_tokens"] > rows[0]["input_tokens"]


def test_completion_model_continues_the_text(
    real: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """`-c` puts the earlier texts before the new one; the log keeps only what was typed."""
    succeeded(real("-m", "old", "One two three", *SHORT))
    succeeded(real("-c", "four five", *SHORT))
    rows = logged(real)
    assert [row["prompt"] for row in rows] == ["One two three", "four five"]
    assert rows[1]["input_tokens"] > rows[0]["input_tokens"]


def test_prompt_that_is_too_long_is_told(
    real: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """A full context is an error with the server's figures, not a traceback."""
    done = real("-m", "real", "word " * 1500)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The prompt does not fit into the context of smollm2: ")
    assert done.stderr.count("\n") == 1


def test_wrong_key_is_told_without_showing_it(
    real: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The server refuses `--key`; the message says how to store another."""
    done = real("-m", "real", "--key", "sk-not-this-one", "Say hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert " answered 401: " in done.stderr
    assert done.stderr.endswith("Check the key: llm keys set mine\n")
    assert "sk-not-this-one" not in done.stderr


@pytest.fixture
def imitation(user_path: Path) -> Iterator[OpenAIServer]:
    """A server that gives scripted answers, set up as the model `wire`."""
    with OpenAIServer() as running:
        (user_path / "extra-openai-models.yaml").write_text(
            f"- {{model_id: wire, model_name: m, api_base: '{running.url}'}}"
        )
        yield running
    fast.close()


def ask(*args: str) -> Result:
    """The result of a prompt to that model."""
    return CliRunner().invoke(cli, ["-m", "wire", *args, "hi"], input="")


AT_ONCE = {"retry-after-ms": "0"}
FINAL = {"x-should-retry": "false"}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error_reply(404, "no such model"), "answered 404: no such model. Check the address"),
        (error_reply(429, "slow down", AT_ONCE), "answered 429: slow down"),
        (error_reply(503, "Loading model", AT_ONCE), "answered 503: Loading model"),
        (Reply(502, pieces=[b"<h1>Bad\nGateway</h1>"], headers=FINAL), "answered 502: Bad Gateway"),
    ],
    ids=["404", "429", "503", "502"],
)
@pytest.mark.parametrize("flags", [(), ("--no-stream",), ("--async",)], ids=lambda flags: flags)
def test_refusal_ends_in_one_line(
    imitation: OpenAIServer, reply: Reply, message: str, flags: tuple[str, ...]
) -> None:
    """The server's own words reach stderr in one line; the exit code is 1."""
    imitation.add(*[reply] * 5)
    result = ask(*flags)
    assert (result.exit_code, result.stdout) == (1, "")
    (error,) = [line for line in result.stderr.splitlines() if "trying again" not in line]
    assert error.startswith("Error: 127.0.0.1:")
    assert message in error


BEGUN = [chunk({"role": "assistant", "content": "Half an "}), chunk({"content": "answer"})]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (sse_reply(BEGUN, done=False, reset=True), "broke off before the answer was complete"),
        (sse_reply(BEGUN, done=False, truncate=True), "broke off before the answer was complete"),
        (sse_reply([*BEGUN, {"error": {"message": "out of memory"}}]), "out of memory"),
    ],
    ids=["reset", "cut short", "error inside"],
)
@pytest.mark.parametrize("flags", [(), ("--async",)], ids=lambda flags: flags)
def test_broken_stream_is_told_after_what_came(
    imitation: OpenAIServer, reply: Reply, message: str, flags: tuple[str, ...]
) -> None:
    """What arrived stays on stdout; stderr says that it is not all, and so does the exit code."""
    imitation.add(reply)
    result = ask(*flags)
    # What a reset connection still holds may be thrown away by the system.
    printed = result.stdout.strip()
    assert printed == "Half an answer" or (reply.reset and "Half an answer".startswith(printed))
    assert result.exit_code == (3 if printed else 1)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("flags", [(), ("--async",)], ids=lambda flags: flags)
@pytest.mark.parametrize("how", ["reset", "truncate"])
def test_stream_that_breaks_before_the_answer_has_failed(
    imitation: OpenAIServer, how: str, flags: tuple[str, ...]
) -> None:
    """Where nothing of the answer came, the exit code is that of any failure."""
    opening = chunk({"role": "assistant", "content": ""})
    imitation.add(sse_reply([opening], done=False, **{how: True}))
    result = ask(*flags)
    assert (result.exit_code, result.stdout.strip()) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_stream_that_is_no_json_is_told(imitation: OpenAIServer) -> None:
    """Garbage in an event stream is an error of the server's, not a traceback."""
    imitation.add(Reply(pieces=[b"data: {nonsense\n\n"], content_type="text/event-stream"))
    result = ask()
    assert (result.exit_code, result.stdout.strip()) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_failed_turn_does_not_break_the_conversation(imitation: OpenAIServer) -> None:
    """After an error the next prompt, and `-c`, work as ever."""
    imitation.add(text_stream("One"), error_reply(404, "gone"), text_stream("Two"))
    assert ask().stdout == "One\n"
    assert ask("-c").exit_code == 1
    assert ask("-c").stdout == "Two\n"
    roles = [message["role"] for message in imitation.last.body["messages"]]
    assert roles[:2] == ["user", "assistant"]
    assert roles[-1] == "user"
