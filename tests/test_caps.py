"""Servers and models whose answers have no end: what has come is kept, and the rest not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.errors import ModelError
from llm.models import recording, response_base
from llm.parts import EventType, StreamEvent
from llm.providers.openai.transport import fast, faults
from tests.helpers.log_models import plugin_of

from .helpers.openai_server import OpenAIServer, Reply, chunk, json_reply, text_stream

KILO = 1000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A loopback server; a thousandth of the usual limits holds."""
    monkeypatch.setattr(fast, "LONGEST_EVENT", 16 * KILO)
    monkeypatch.setattr(fast, "LONGEST_BODY", 100 * KILO)
    monkeypatch.setattr(fast, "LONGEST_REFUSAL", KILO)
    with OpenAIServer() as running:
        yield running
    fast.close()


@pytest.fixture
def model(server: OpenAIServer, user_path: Path) -> str:
    """The name of a model that the server serves."""
    shape = {"model_id": "served", "model_name": "served", "api_base": server.url}
    (user_path / "extra-openai-models.yaml").write_text(json.dumps([shape]))
    return "served"


def invoke(*args: str) -> Any:
    """The result of `llm` with these arguments."""
    return CliRunner().invoke(cli, args)


def test_limits_are_those_of_the_docs() -> None:
    """100 MB of an answer, 16 MB of a line, 1 MB of a refusal."""
    limits = (recording.LONGEST_ANSWER, fast.LONGEST_BODY, fast.LONGEST_EVENT)
    assert (*limits, fast.LONGEST_REFUSAL) == (10**8, 10**8, 16 * 10**6, 10**6)


@pytest.mark.parametrize("flags", [[], ["--async"]])
@pytest.mark.parametrize(
    ("line", "before"),
    [
        (b"data: " + b"x" * 500, False),
        (b"x" * 500, True),
        (b"data: x\n" * 60, True),
        (b": nothing\n" * 50, False),
        (b" " * 500, False),
    ],
)
def test_line_without_end(
    server: OpenAIServer, model: str, line: bytes, before: bool, flags: list[str]
) -> None:
    """It is an error that names the limit; what came before is printed and logged."""
    first = b"data: " + json.dumps(chunk({"content": "hello"})).encode() + b"\n\n"
    pieces = [first] * before + [line] * 4000
    server.add(Reply(pieces=list(pieces), content_type="text/event-stream"))
    result = invoke("-m", model, "hi", *flags)
    assert result.exit_code == (3 if before else 1)
    assert result.stdout.strip() == ("hello" if before else "")
    assert "sent a line of more than 0 MB: it is not read on" in result.stderr
    [row] = json.loads(invoke("logs", "--json").stdout)
    assert (row["response"], row["status"]) == ("hello" if before else "", "failed")


@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"]])
def test_body_without_end(server: OpenAIServer, model: str, flags: list[str]) -> None:
    """A whole answer of more than the limit is not read."""
    server.add(Reply(pieces=[b'{"choices": [', *[b'"x", ' * 1000] * 4000]))
    result = invoke("-m", model, "hi", *flags)
    assert result.exit_code == 1
    assert "sent an answer of more than 0 MB" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--async"]])
@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_refusal_without_end(
    server: OpenAIServer, model: str, status: int, flags: list[str]
) -> None:
    """Its beginning is told, as that of any refusal."""
    endless = Reply(status, pieces=[b"no such thing ", *[b"no " * 1000] * 4000])
    server.add(*[endless] * 3)
    result = invoke("-m", model, "hi", "--retries", "0", *flags)
    assert result.exit_code == 1
    assert "no such thing" in result.stderr
    assert len(result.stderr) < 5000


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_long_refusal_is_tried_again(server: OpenAIServer, model: str, flags: list[str]) -> None:
    """However long the refusal, it is as passing as its status says."""
    later = {"retry-after": "0"}
    server.add(Reply(503, later, pieces=[b"busy " * 1000] * 1000), text_stream("hello"))
    result = invoke("-m", model, "hi", *flags)
    assert (result.exit_code, result.stdout) == (0, "hello\n")


class Endless(llm.Model):
    """A model that never stops."""

    model_id = "endless"
    can_stream = True
    closed = False
    kind: EventType = "text"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        try:
            yield "on "
            while True:
                yield "and on " if self.kind == "text" else StreamEvent(self.kind, "and on ")
        finally:
            type(self).closed = True


class AsyncEndless(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "endless"
    can_stream = True
    closed = False

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "on and "
        finally:
            type(self).closed = True


@pytest.fixture
def endless(plugin: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> Endless:
    """A model that never stops; a thousand characters are enough."""
    monkeypatch.setattr(response_base, "LONGEST_ANSWER", KILO)
    monkeypatch.setattr(response_base._BaseResponse, "_room", KILO)
    monkeypatch.setattr(Endless, "closed", False)
    monkeypatch.setattr(AsyncEndless, "closed", False)
    model = Endless()
    plugin("endless", **plugin_of((model, AsyncEndless())))
    return model


@pytest.mark.parametrize("kind", ["text", "reasoning", "tool_call_args"])
@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"]])
def test_answer_without_end_is_cut(
    endless: Endless, kind: str, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed and logged as far as it is read, told, and the exit code is 3."""
    monkeypatch.setattr(Endless, "kind", kind)
    result = invoke("-m", "endless", "hi", *flags)
    assert result.exit_code == 3
    assert result.stdout.startswith("on ")
    assert "The answer is cut off: it is longer than 1,000 characters" in result.stderr
    assert endless.closed or AsyncEndless.closed
    [row] = json.loads(invoke("logs", "--json").stdout)
    assert row["status"] == "failed"
    assert "is cut off" in row["error"]
    assert row["response"].strip() == result.stdout.strip()


def test_library_gets_what_was_read(endless: Endless) -> None:
    """From Python the answer is there, and says that it was cut off."""
    response = endless.prompt("hi")
    assert KILO - 7 <= len(response.text()) <= KILO
    assert response.cut_off is not None
    twin = llm.get_async_model("endless").prompt("hi")
    assert len(asyncio.run(twin.text())) <= KILO
    assert twin.cut_off is not None
    assert AsyncEndless.closed


def test_answer_of_the_length_is_whole(endless: Endless, server: OpenAIServer, model: str) -> None:
    """What just fits is no error."""
    server.add(text_stream("x" * KILO), json_reply({"error": {"message": "y" * 900}}, 400))
    result = invoke("-m", model, "hi")
    assert (result.exit_code, len(result.stdout)) == (0, KILO + 1)
    assert invoke("-m", model, "hi").exit_code == 1


def test_numbers_of_a_refusal_are_looked_through_in_time() -> None:
    """Digits without end are no context, and no failure of their own."""
    endpoint = faults.Endpoint("http://127.0.0.1/v1", "m", "openai", [])
    for text in ("9" * 900_000, "maximum context length is " + "9" * 9000, "<" * 900_000):
        body = json.dumps({"error": {"message": text}}).encode()
        assert isinstance(faults.refusal(endpoint, 400, {}, body), ModelError)
        assert isinstance(faults.refusal(endpoint, 400, {}, b"<" + text.encode()), ModelError)
