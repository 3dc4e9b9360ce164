"""`llm openai endpoint`: any compatible server by its address, without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.errors import LLMError
from llm.files.config import set_key
from llm.providers.openai.commands.endpoint import Server
from llm.providers.openai.transport import fast
from tests.helpers.serve_model import running_server

from .helpers.openai_server import (
    OpenAIServer,
    chunk,
    completion,
    error_reply,
    json_reply,
    sse_reply,
    text_stream,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
ANSWER = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi"}]}
RESPONSE = {"object": "response", "status": "completed", "output": [ANSWER]}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server with scripted answers."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def endpoint(*args: str, stdin: str | bytes | None = None) -> Result:
    """The result of `llm openai endpoint`."""
    return CliRunner().invoke(cli, ["openai", "endpoint", *args], input=stdin)


def traces(user_path: Path) -> list[str]:
    """What lies in the user directory, beside the list of the installed plugins."""
    return sorted(path.name for path in user_path.iterdir() if path.name != "cache")


def test_endpoint_streams_an_answer_and_leaves_no_trace(
    server: OpenAIServer, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt is standard input and argument; no file appears, no stored key is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("LLM_MODEL", "other")
    set_key("openai", "sk-openai")
    before = traces(user_path)
    server.add(text_stream("Hi", " there"))
    result = endpoint(server.url + "/", "-m", "big", "hello", "-s", "brief", stdin="piped")
    assert (result.exit_code, result.stdout) == (0, "Hi there\n")
    body = server.last.body
    assert (body["model"], body["stream"]) == ("big", True)
    assert [message["content"] for message in body["messages"]] == ["brief", "piped hello"]
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"
    assert traces(user_path) == before


def test_endpoint_sends_the_key_and_headers_that_are_given(server: OpenAIServer) -> None:
    """`--key` takes a key or the name of a stored one; `-H` adds headers."""
    set_key("mine", "sk-mine")
    server.add(text_stream("a"), text_stream("b"))
    endpoint(server.url, "-m", "x", "hi", "--key", "mine", "-H", "X-Team", "birds")
    assert server.last.headers["authorization"] == "Bearer sk-mine"
    assert server.last.headers["x-team"] == "birds"
    endpoint(server.url, "-m", "x", "hi", "--key", "sk-literal")
    assert server.last.headers["authorization"] == "Bearer sk-literal"


def test_endpoint_options_schema_and_attachments(server: OpenAIServer, tmp_path: Path) -> None:
    """Every ability is assumed; a schema of the command beats that of the template."""
    (tmp_path / "t.yaml").write_text(
        "prompt: 'About $input for $who'\nschema_object: {type: object}\nmodel: from-template\n"
    )
    (tmp_path / "p.png").write_bytes(PNG)
    server.add(json_reply(completion({"content": '{"name": "Rex"}'})))
    result = endpoint(
        *(server.url, "dogs", "-t", str(tmp_path / "t.yaml"), "-p", "who", "me", "--no-stream"),
        *("--schema", "name str", "-a", str(tmp_path / "p.png"), "-o", "image_detail", "original"),
        *("-o", "reasoning_effort", "low", "-o", "verbosity", "low", "-o", "temperature", "0"),
    )
    assert (result.exit_code, result.stdout) == (0, '{"name": "Rex"}\n'), result.output
    body = server.last.body
    assert (body["model"], body["stream"]) == ("from-template", False)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["name"]
    text, image = body["messages"][0]["content"]
    assert text["text"] == "About dogs for me"
    assert image["image_url"]["detail"] == "original"
    assert (body["reasoning_effort"], body["verbosity"], body["temperature"]) == ("low", "low", 0)
    server.add(json_reply(completion({"content": "{}"})))
    endpoint(server.url, "x", "-t", str(tmp_path / "t.yaml"), "-p", "who", "me", "--no-stream")
    assert server.last.body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_endpoint_has_no_service_tier(server: OpenAIServer) -> None:
    """That option is OpenAI's own."""
    result = endpoint(server.url, "-m", "x", "hi", "-o", "service_tier", "flex")
    assert result.exit_code == 1
    assert "service_tier" in result.stderr


def test_endpoint_runs_tools(server: OpenAIServer) -> None:
    """Functions are offered, called, shown on request, and their results sent back."""
    call = {"index": 0, "id": "c", "function": {"name": "shout", "arguments": '{"text": "a"}'}}
    server.add(sse_reply([chunk({"tool_calls": [call]}), chunk(finish="tool_calls")]))
    server.add(text_stream("done"))
    code = "def shout(text: str) -> str:\n    return text.upper()"
    result = endpoint(server.url, "-m", "x", "go", "--functions", code, "--td")
    assert (result.exit_code, result.stdout) == (0, "done\n"), result.output
    assert "shout({'text': 'a'})" in result.stderr
    assert server.last.body["messages"][-1]["content"] == "A"


def test_endpoint_speaks_the_responses_api(server: OpenAIServer) -> None:
    """`--responses` asks for no summary; an effort asks for reasoning to go back."""
    server.add(json_reply(RESPONSE), json_reply(RESPONSE))
    result = endpoint(server.url, "-m", "x", "hi", "--responses")
    assert (result.exit_code, result.stdout) == (0, "Hi\n")
    assert server.last.path == "/v1/responses"
    assert {"reasoning", "include"} & set(server.last.body) == set()
    endpoint(server.url, "-m", "x", "hi", "--responses", "-o", "reasoning_effort", "high")
    assert server.last.body["reasoning"] == {"effort": "high"}
    assert server.last.body["include"] == ["reasoning.encrypted_content"]


def test_endpoint_shows_reasoning_on_stderr_unless_hidden(server: OpenAIServer) -> None:
    """`-R` hides it."""
    pieces = [chunk({"reasoning_content": "hmm"}), chunk({"content": "Hi"}), chunk(finish="stop")]
    server.add(sse_reply(pieces), sse_reply(pieces))
    shown = endpoint(server.url, "-m", "x", "hi")
    assert (shown.stdout, shown.stderr) == ("Hi\n", "hmm\n")
    assert endpoint(server.url, "-m", "x", "hi", "-R").stderr == ""


def test_endpoint_chat(server: OpenAIServer, user_path: Path, tmp_path: Path) -> None:
    """The system prompt and attachments go with the first turn, `!fragment` is plain text."""
    (tmp_path / "p.png").write_bytes(PNG)
    server.add(text_stream("one"), text_stream("two"))
    result = endpoint(
        *(server.url, "-m", "big", "--chat", "-s", "brief", "-a", str(tmp_path / "p.png")),
        stdin="first\n!fragment x\nquit\n",
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Chatting with big at {server.url}\nType 'exit'")
    assert "!fragment" not in result.stdout
    assert "one\n" in result.stdout
    assert "two\n" in result.stdout
    messages = server.last.body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[1]["content"][1]["type"] == "image_url"
    assert messages[3]["content"] == "!fragment x"
    assert not (user_path / "logs.db").exists()


def test_endpoint_lists_models(server: OpenAIServer) -> None:
    """One id a line, as the server has them; what else is asked for is refused."""
    server.add(json_reply({"data": [{"id": "b"}, {"id": "a"}]}))
    result = endpoint(server.url, "--models", "--key", "sk-x")
    assert (result.exit_code, result.stdout) == (0, "b\na\n")
    assert (server.last.method, server.last.path) == ("GET", "/v1/models")
    assert server.last.headers["authorization"] == "Bearer sk-x"
    server.add(json_reply({"data": 5}))
    assert "unexpected shape" in endpoint(server.url, "--models").stderr


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, "a\nb\n"),
        ([{"id": "a"}, {"id": "b"}], "a\nb\n"),
        ([{"id": "a", "description": "small"}], "a\n"),
        ({"data": [{"id": "a"}], "message": "ok"}, "a\n"),
        ({"models": [{"id": "a"}]}, "a\n"),
        (["a", "b"], "a\nb\n"),
        (["a"], "a\n"),
        ([], ""),
        (None, ""),
        ({"object": "list", "data": None}, ""),
    ],
)
def test_models_are_listed_in_whatever_shape(
    server: OpenAIServer, answer: object, names: str
) -> None:
    """A bare array, of one, and no list at all are lists of models."""
    server.add(json_reply(answer))
    result = endpoint(server.url, "--models")
    assert (result.exit_code, result.stdout, result.stderr) == (0, names, "")


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        (("--models", "hi"), 1, "--models cannot be used with a prompt"),
        (("--models", "-t", "x"), 1, "--models cannot be used with --template"),
        (("--models", "-T", "x"), 1, "--models cannot be used with tools"),
        (("--models", "--functions", "x"), 1, "--models cannot be used with tools"),
        (("--models", "--schema", "a b"), 1, "--models cannot be used with --schema"),
        (("--chat", "hi", "-m", "x"), 1, "--chat takes no prompt"),
        (("hi",), 1, "No model is named"),
        (("-m", "x"), 1, "Nothing to send"),
        (("-m", "x", "hi", "-t", "missing"), 1, "missing"),
    ],
)
def test_endpoint_refuses(
    server: OpenAIServer, args: tuple[str, ...], code: int, problem: str
) -> None:
    """What does not go together is told before anything is sent."""
    result = endpoint(server.url, *args)
    assert result.exit_code == code
    assert problem in result.stderr
    assert server.requests == []


def test_endpoint_takes_all_of_stdin(server: OpenAIServer) -> None:
    """Without an argument the prompt is standard input."""
    server.add(text_stream("ok"))
    assert endpoint(server.url, "-m", "x", stdin="from a pipe\n").stdout == "ok\n"
    assert server.last.body["messages"][0]["content"] == "from a pipe\n"


def test_endpoint_address_has_to_be_one() -> None:
    """Without a scheme it is a wrong use of the command."""
    result = endpoint("localhost:8080", "-m", "x", "hi")
    assert result.exit_code == 2
    assert "begin it with http://" in result.stderr
    with pytest.raises(LLMError, match="no address"):
        Server("ftp://x").model("y")


def test_endpoint_tells_how_to_give_a_key(server: OpenAIServer) -> None:
    """A server that wants a key names the option in the error."""
    server.add(error_reply(401, "Who are you?"), error_reply(401, "Wrong key"))
    result = endpoint(server.url, "-m", "x", "hi")
    assert result.exit_code == 1
    assert "Give the key of this server with --key" in result.stderr
    result = endpoint(server.url, "-m", "x", "hi", "--key", "sk-wrong")
    assert "Check the key that --key gives" in result.stderr


def test_endpoint_on_a_real_server(user_path: Path) -> None:
    """A process of its own, a real model: models, an answer, a schema, nothing on disk."""
    environment = {**os.environ, "LLM_USER_PATH": str(user_path)}
    with running_server() as url:

        def run(*args: str) -> str:
            command = [sys.executable, "-m", "llm", "openai", "endpoint", url, *args]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, input="", check=True
            )
            return done.stdout

        assert run("--models") == "smollm2\n"
        assert run("-m", "smollm2", "Say hi", "-o", "max_tokens", "5").strip()
        shape = run("-m", "smollm2", "A dog", "--schema", "age int", "-o", "temperature", "0")
        assert isinstance(json.loads(shape)["age"], int)
    assert traces(user_path) == []
