"""`llm openai add`: ask a server, show the entry, write it and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.errors import ConfigError, InvalidInput
from llm.files.config import load_keys, set_key
from llm.providers.openai.commands import adding
from llm.providers.openai.commands import models as commands
from llm.providers.openai.commands.probe import green_png
from llm.providers.openai.transport import fast

from .helpers.openai_server import OpenAIServer, completion, error_reply, json_reply
from .helpers.serve_model import running_server

LIST = {"object": "list", "data": [{"id": "big"}]}
TWO = {"object": "list", "data": [{"id": "big"}, {"id": "small"}]}
CALL = {"function": {"name": "get_weather", "arguments": '{"city": "London"}'}, "id": "c1"}
VECTOR = {"data": [{"index": 0, "embedding": [0.5, 1.0]}]}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server with scripted answers."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def add(*args: str, stdin: str | None = None) -> Result:
    """The result of `llm openai add`."""
    return CliRunner().invoke(cli, ["openai", "add", *args], input=stdin)


def says(text: str) -> Any:
    """A scripted answer in words."""
    return json_reply(completion({"content": text}))


def able(server: OpenAIServer) -> None:
    """Script a model that can do everything."""
    server.add(
        json_reply(LIST),
        says("hello"),
        json_reply(completion({"content": None, "tool_calls": [CALL]}, "tool_calls")),
        says('{"pelicans_seen": 4}'),
        says("It is Green."),
        json_reply(VECTOR),
    )


def plain(server: OpenAIServer) -> None:
    """Script a model that can do nothing but answer, and says so in the ways servers do."""
    server.add(
        json_reply(LIST),
        says("hello"),
        *[error_reply(500, "tools param requires --jinja flag")] * 2,
        *[says("four")] * 2,
        *[error_reply(400, "image input is not supported")] * 2,
        error_reply(501, "This server does not support embeddings"),
    )


def entries(user_path: Path) -> Any:
    """What the file holds."""
    return yaml.safe_load((user_path / "extra-openai-models.yaml").read_text())


def test_add_writes_what_the_server_can_do(server: OpenAIServer, user_path: Path) -> None:
    """Each ability that a request shows is in the entry, which is printed and usable at once."""
    able(server)
    result = add("house", "--base-url", server.url + "/")
    assert result.exit_code == 0, result.output
    expected = {
        "model_id": "house",
        "model_name": "big",
        "api_base": server.url,
        "supports_tools": True,
        "supports_schema": True,
        "vision": True,
    }
    assert entries(user_path) == [expected]
    assert yaml.safe_load(result.stdout) == [expected]
    assert "  tools: yes\n  schema: yes\n  vision: yes\n  embeddings: yes\n" in result.stderr
    server.add(says("hi"))
    model = llm.get_model("house")
    assert model.prompt("x", stream=False).text() == "hi"
    assert (model.supports_tools, model.supports_schema, model.needs_key) == (True, True, None)


def test_add_of_what_is_there_changes_nothing(server: OpenAIServer, user_path: Path) -> None:
    """The same command again is no error and asks nothing; another address or header is one."""
    able(server)
    assert add("house", "--base-url", server.url).exit_code == 0
    before, asked = (user_path / "extra-openai-models.yaml").read_text(), len(server.requests)
    again = add("house", "--base-url", server.url + "/", "-m", "big")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "house is there already, and stays as it is" in again.stderr
    for change in (
        ["--base-url", "http://localhost:9"],
        ["-m", "other"],
        ["-H", "X-Team", "birds"],
    ):
        result = add("house", "--base-url", server.url, *change)
        assert result.exit_code == 2
        assert "There is a model named house already" in result.stderr
    assert (user_path / "extra-openai-models.yaml").read_text() == before
    assert len(server.requests) == asked


def test_add_leaves_out_what_the_server_refuses(server: OpenAIServer, user_path: Path) -> None:
    """Errors and answers that miss the point mean no, at the second attempt; none is repeated."""
    plain(server)
    assert add("house", "--base-url", server.url).exit_code == 0
    (entry,) = entries(user_path)
    assert entry == {"model_id": "house", "model_name": "big", "api_base": server.url}
    assert [request.body.get("temperature") for request in server.requests[2:-1]] == [0, None] * 3


def test_add_asks_again_where_a_model_takes_no_temperature(
    server: OpenAIServer, user_path: Path
) -> None:
    """What some reasoning models refuse says nothing about what they can do."""
    refused = error_reply(400, "Unsupported value: 'temperature' does not support 0")
    able(server)
    for place in (2, 4, 6):
        server.replies.insert(place, refused)
    assert add("house", "--base-url", server.url).exit_code == 0
    (entry,) = entries(user_path)
    assert (entry["supports_tools"], entry["supports_schema"], entry["vision"]) == (True,) * 3


def test_add_sends_no_stored_key(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key for OpenAI goes to OpenAI alone."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    set_key("openai", "sk-openai")
    able(server)
    add("house", "--base-url", server.url)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer DUMMY_KEY"}


def test_add_stores_a_new_key(server: OpenAIServer, user_path: Path) -> None:
    """A key that is given is sent, stored under the name of the model, and named in the entry."""
    plain(server)
    result = add(
        "gateway", "--base-url", server.url, "--key", "sk-gateway", "-H", "X-Team", "birds"
    )
    assert result.exit_code == 0, result.output
    assert load_keys()["gateway"] == "sk-gateway"
    (entry,) = entries(user_path)
    assert (entry["api_key_name"], entry["headers"]) == ("gateway", {"X-Team": "birds"})
    assert {request.headers["authorization"] for request in server.requests} == {
        "Bearer sk-gateway"
    }
    assert {request.headers["x-team"] for request in server.requests} == {"birds"}
    if sys.platform != "win32":
        assert (user_path / "extra-openai-models.yaml").stat().st_mode & 0o777 == 0o600
    assert "sk-gateway" not in result.output


def test_add_uses_a_stored_key(server: OpenAIServer, user_path: Path) -> None:
    """The name of a stored key is kept as a name."""
    set_key("team", "sk-team")
    plain(server)
    assert add("gateway", "--base-url", server.url, "--key", "team").exit_code == 0
    assert entries(user_path)[0]["api_key_name"] == "team"
    assert server.last.headers["authorization"] == "Bearer sk-team"
    assert "gateway" not in load_keys()


def test_add_embedding_model(server: OpenAIServer, user_path: Path) -> None:
    """`--embedding` asks for nothing else and adds an embedding model."""
    server.add(json_reply(LIST), json_reply(VECTOR))
    result = add("vectors", "--base-url", server.url, "--embedding", "-a", "v")
    assert result.exit_code == 0, result.output
    assert entries(user_path)[0]["embedding"] is True
    server.add(json_reply(VECTOR))
    assert llm.get_embedding_model("v").embed("x") == [0.5, 1.0]


def test_add_finds_that_a_model_only_embeds(server: OpenAIServer, user_path: Path) -> None:
    """A model that cannot answer but embeds becomes an embedding model by itself."""
    server.add(json_reply(LIST), error_reply(400, "no chat"), json_reply(VECTOR))
    assert add("vectors", "--base-url", server.url).exit_code == 0
    assert entries(user_path)[0]["embedding"] is True


def test_add_tells_why_a_model_does_not_answer(server: OpenAIServer, user_path: Path) -> None:
    """A model that can do nothing is not added; the server's reason is told."""
    server.add(json_reply(LIST), error_reply(400, "model is broken"), error_reply(400, "no"))
    result = add("x", "--base-url", server.url)
    assert result.exit_code == 1
    assert "model is broken" in result.stderr
    assert not (user_path / "extra-openai-models.yaml").exists()


def test_add_responses_model(server: OpenAIServer, user_path: Path) -> None:
    """`--responses` looks at the model through the Responses API and says so in the entry."""
    message = {"type": "message", "content": [{"type": "output_text", "text": "green"}]}
    body = {"object": "response", "status": "completed", "output": [message]}
    server.add(json_reply(LIST), json_reply(body), error_reply(400, "no embeddings"))
    flags = ("--no-tools", "--schema", "--no-vision", "--reasoning", "--audio")
    result = add("r", "--base-url", server.url, "--responses", *flags)
    assert result.exit_code == 0, result.output
    assert [request.path for request in server.requests] == [
        "/v1/models",
        "/v1/responses",
        "/v1/embeddings",
    ]
    (entry,) = entries(user_path)
    switches = [key for key, value in entry.items() if value is True]
    assert switches == ["responses", "supports_schema", "audio", "reasoning"]


def test_add_completes_the_address(server: OpenAIServer, user_path: Path) -> None:
    """An address without a path is tried with `/v1`, as that is where such servers listen."""
    plain(server)
    assert add("house", "--base-url", server.url.removesuffix("/v1")).exit_code == 0
    assert entries(user_path)[0]["api_base"] == server.url


def test_add_tries_a_second_address(server: OpenAIServer, user_path: Path) -> None:
    """A path that lists no models is tried with `/v1` at its end."""
    server.add(error_reply(404, "nothing here"))
    plain(server)
    assert add("house", "--base-url", server.url + "/x").exit_code == 0
    assert entries(user_path)[0]["api_base"] == server.url + "/x/v1"


def test_add_without_a_list_of_models(server: OpenAIServer, user_path: Path) -> None:
    """A server that lists no models needs the name; without it the first error is told."""
    server.add(error_reply(404, "first"), error_reply(404, "second"))
    result = add("house", "--base-url", server.url + "/x")
    assert result.exit_code == 1
    assert "first" in result.stderr
    server.add(error_reply(404, "first"), json_reply({"data": 5}), says("hello"))
    flags = ("--no-tools", "--no-schema", "--no-vision", "-m", "named")
    assert add("house", "--base-url", server.url + "/x", *flags).exit_code == 0
    assert entries(user_path)[0]["model_name"] == "named"


def test_add_chooses_among_models(server: OpenAIServer, user_path: Path) -> None:
    """Of several models the one of that name, or the one that `--model` names."""
    flags = ("--no-tools", "--no-schema", "--no-vision", "--base-url", server.url)
    server.add(json_reply(TWO), says("hello"))
    assert add("small", *flags).exit_code == 0
    server.add(json_reply(TWO), says("hello"))
    assert add("other", "-m", "big", *flags).exit_code == 0
    assert [entry["model_name"] for entry in entries(user_path)] == ["small", "big"]
    server.add(json_reply(TWO))
    assert "several models: big, small. Choose one with --model" in add("x", *flags).stderr
    server.add(json_reply(TWO))
    assert "no model huge. It has: big, small" in add("x", "-m", "huge", *flags).stderr
    server.add(json_reply({"data": []}))
    assert "lists no models. Name one with --model" in add("x", *flags).stderr


def test_add_on_a_terminal_asks_and_edits(
    server: OpenAIServer, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is chosen by number; the entry is shown, edited, shown again and confirmed."""
    monkeypatch.setattr(commands, "_is_interactive", lambda: True)
    edits = iter([None, "- model_id: mine\n  model_name: small\n  api_base: http://other/v1\n"])
    monkeypatch.setattr(click, "edit", lambda text, **more: next(edits))
    server.add(json_reply(TWO), says("hello"))
    flags = ("--no-tools", "--no-schema", "--no-vision", "--base-url", server.url)
    result = add("x", *flags, stdin="2\ne\ne\ny\n")
    assert result.exit_code == 0, result.output
    wanted = {"model_id": "mine", "model_name": "small", "api_base": "http://other/v1"}
    assert entries(user_path) == [wanted]
    server.add(json_reply(TWO), says("hello"))
    assert add("y", *flags, stdin="1\nn\n").exit_code == 1
    assert entries(user_path) == [wanted]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- [", "not valid YAML"),
        ("hello", "not one entry"),
        ("- model_id: a\n- model_id: b", "not one entry"),
        ("- model_name: a", "model_id is missing"),
    ],
)
def test_add_refuses_a_bad_edit(
    server: OpenAIServer, user_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    """What was edited into nonsense is not written."""
    monkeypatch.setattr(click, "edit", lambda *args, **more: text)
    server.add(json_reply(LIST), says("hello"))
    flags = ("--no-tools", "--no-schema", "--no-vision", "--base-url", server.url)
    result = add("x", *flags, "--edit", "--yes")
    assert result.exit_code == 2
    assert problem in result.stderr
    assert not (user_path / "extra-openai-models.yaml").exists()


def test_add_edit_may_be_one_mapping() -> None:
    """The list around the one entry may be missing."""
    assert adding.entry_from("model_id: a") == {"model_id": "a"}


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("x", "--base-url", "localhost:80"), "is no address"),
        ((" ", "--base-url", "http://localhost"), "name is empty"),
        (("gpt-4o", "--base-url", "http://localhost"), "a model named gpt-4o already"),
        (("x", "-a", "4o", "--base-url", "http://localhost"), "a model named 4o already"),
        (("x", "--base-url", "http://localhost", "--key", "sk-new"), "A key named x is stored"),
        (("ada", "--embedding", "--base-url", "http://localhost"), "a model named ada already"),
    ],
)
def test_add_refuses_before_asking(args: tuple[str, ...], problem: str) -> None:
    """What cannot be added is refused as a wrong use of the command."""
    set_key("x", "sk-old")
    result = add(*args)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_add_asks_for_a_key_where_one_is_needed(server: OpenAIServer) -> None:
    """A server that wants a key: the message names the option."""
    server.add(error_reply(401, "Who are you?"))
    result = add("x", "--base-url", server.url)
    assert result.exit_code == 1
    assert "Who are you?. Give the right key of this server with --key" in result.stderr


def test_add_says_when_nobody_answers(free_port: int) -> None:
    """No server: one line."""
    result = add("x", "--base-url", f"http://127.0.0.1:{free_port}/v1")
    assert result.exit_code == 1
    assert "Cannot reach 127.0.0.1" in result.stderr


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a: [", "not valid YAML"),
        ("a: b", "not a list|cannot be used|form"),
        ("5", "not a list"),
        ("- a\n...\n", "form is not one that can be extended"),
    ],
)
def test_entry_is_not_added_to_what_is_not_understood(
    tmp_path: Path, text: str, problem: str
) -> None:
    """A file in another form is left alone; the entry is there to be added by hand."""
    with pytest.raises(ConfigError, match=problem):
        adding.extended(tmp_path / "f", text, {"model_id": "new"})


def test_entries_added_at_once_all_stay(user_path: Path) -> None:
    """Writers wait for each other."""
    path = user_path / "extra-openai-models.yaml"
    path.write_text("# mine\n")
    names = [f"m{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: adding.add_entry({"model_id": name}), names))
    assert sorted(entry["model_id"] for entry in entries(user_path)) == sorted(names)
    assert path.read_text().startswith("# mine\n")


def test_entry_that_cannot_be_used_is_named() -> None:
    """The same check as on reading."""
    with pytest.raises(InvalidInput, match="headers of a is not a mapping"):
        adding.checked({"model_id": "a", "headers": 5})


def test_probe_image_is_a_png() -> None:
    """What is sent to see whether a model sees is an image."""
    from llm.text.media import type_of_bytes

    assert type_of_bytes(green_png()) == "image/png"


def test_add_a_real_server(user_path: Path) -> None:
    """The small model of the tests is found out, added and answers by its name."""
    with running_server() as url:
        result = add("tiny", "--base-url", url.removesuffix("/v1"))
        assert result.exit_code == 0, result.output
        (entry,) = entries(user_path)
        assert entry == {
            "model_id": "tiny",
            "model_name": "smollm2",
            "api_base": url,
            "supports_tools": True,
            "supports_schema": True,
        }
        assert "embeddings: yes" in result.stderr
        answer = CliRunner().invoke(cli, ["-m", "tiny", "Say hi", "-o", "max_tokens", "5", "-n"])
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.strip()
    assert json.dumps(entry)
