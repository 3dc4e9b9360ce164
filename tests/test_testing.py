"""`llm.testing`: what authors of plugins test with."""

from __future__ import annotations

import asyncio
import doctest
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import llm
from llm.parts import StreamEvent
from llm.testing import (
    AsyncScriptedModel,
    OpenAIServer,
    ScriptedModel,
    check_model,
    models,
    openai_server,
    registered,
    run_cli,
)
from llm.testing.conformance import _CHECKS


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# The scripted model


def test_scripted_model_gives_every_kind_of_piece() -> None:
    """Texts, events, calls, usage and the service's own reply, in the order of the script."""
    thought = StreamEvent("reasoning", "Hm")
    pieces: list[models.Piece] = [
        thought,
        "A",
        llm.ToolCall("add", {"a": 1}),
        llm.Usage(1, 2),
        {"id": "x"},
    ]
    model = ScriptedModel([pieces, llm.ModelError("gone")], model_id="every")
    response = model.prompt("hi", system="Be brief")
    assert [event.type for event in response.stream_events()] == ["reasoning", "text"]
    assert [call.name for call in response.tool_calls()] == ["add"]
    assert (response.usage().input, response.usage().output) == (1, 2)
    assert response.json() == {"id": "x"}
    assert [message.role for message in model.sent[0]] == ["system", "user"]
    with pytest.raises(llm.ModelError, match="gone"):
        model.prompt("again").text()
    with pytest.raises(llm.ModelError, match=r"script of every ends after 2 .* none for 'more'"):
        model.prompt("more").text()


def test_scripted_model_refuses_an_unknown_attribute() -> None:
    """A slip of the pen in an attribute is no silent one."""
    with pytest.raises(TypeError, match="no attribute 'suports_tools'"):
        ScriptedModel(suports_tools=False)


def test_scripted_twin_and_a_function() -> None:
    """A function sees each prompt; the twin for async takes the same scripts."""
    twin = AsyncScriptedModel(lambda prompt: (piece for piece in prompt.prompt.upper()))

    async def ask() -> str:
        return await twin.prompt("hi").text()

    assert asyncio.run(ask()) == "HI"
    assert [prompt.prompt for prompt in twin.prompts] == ["hi"]


@pytest.mark.parametrize("module", [models, openai_server])
def test_testing_doctests_run(module: Any) -> None:
    """The examples of the docstrings run."""
    results = doctest.testmod(module)
    assert results.attempted > 2
    assert results.failed == 0


# Registered, and run


def test_registered_for_a_command(user_path: Path) -> None:
    """Twins, aliases, embedding models and tools are there as long as the block runs."""

    class Length(llm.EmbeddingModel):
        model_id = "length"

        def embed_batch(self, items: Any, *, key: str | None = None) -> Iterator[list[float]]:
            return ([float(len(item))] for item in items)

    script = [llm.ToolCall("add", {"a": 1, "b": 2})], "three"
    model = ScriptedModel(script, model_id="adder")
    with registered(
        model, AsyncScriptedModel(model_id="adder"), Length(), add, aliases={"adder": "a"}
    ):
        done = run_cli("-m", "a", "-T", "add", "1 + 2?")
        assert (done.exit_code, done.stdout) == (0, "three\n"), done.output
        assert run_cli("-m", "adder", "--async", "hi").stdout == "ok\n"
        assert run_cli("embed", "-m", "length", "-c", "four").stdout == "[4.0]\n"
        assert model.prompts[-1].tool_results[0].output == "3"
    assert "Unknown model: adder" in run_cli("-m", "adder", "hi").stderr
    assert (user_path / "logs.db").exists()


def test_run_cli_keeps_off_the_user_directory(
    monkeypatch: pytest.MonkeyPatch, user_path: Path
) -> None:
    """Without LLM_USER_PATH a folder of the process is used, the same for every command."""
    monkeypatch.delenv("LLM_USER_PATH")
    first, second = run_cli("logs", "path").stdout, run_cli("logs", "path").stdout
    assert first == second
    assert Path(first).parent.name.startswith("llm-testing-")
    assert "LLM_USER_PATH" not in os.environ
    assert run_cli("logs", "path", env={"LLM_USER_PATH": str(user_path)}).stdout.startswith(
        str(user_path)
    )


def test_run_cli_reads_and_fails() -> None:
    """Standard input is what is given, and an error is an exit code and a line."""
    with registered(ScriptedModel(lambda prompt: prompt.prompt)):
        assert run_cli("-m", "scripted", stdin="from a pipe").output == "from a pipe\n"
    done = run_cli("-m", "nobody", "hi")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Unknown model: nobody")


# The server


@pytest.mark.parametrize("stream", [True, False])
def test_openai_server_answers_as_it_is_asked(stream: bool) -> None:
    """A text and a call are streamed or whole, as the request says."""
    from llm.default_plugins.openai_models import Chat

    with OpenAIServer(["Let me ", "see", llm.ToolCall("add", {"a": 1, "b": 2})], "3") as server:
        model = Chat("any", key="x", api_base=server.url, supports_tools=True, can_stream=True)
        chain = model.chain("1 + 2?", tools=[add], stream=stream)
        assert chain.text() == "Let me see 3"
        assert server.last.body["stream"] is stream
        sent = [message["role"] for message in server.last.body["messages"]]
        assert sent == ["user", "assistant", "tool"]
        with pytest.raises(llm.ModelError, match="no answer is scripted"):
            model.prompt("more").text()


# The conformance suite

JSON = '{"name": "Cleo"}'


class Options(llm.Options):
    """Options of the good model."""

    shout: bool | None = None


class Good:
    """What both good twins are."""

    model_id = "good"
    can_stream = True
    supports_tools = True
    supports_schema = True
    attachment_types: Iterable[str] = {"image/png", "text/plain"}
    Options: ClassVar[Any] = Options

    def answer(self, prompt: llm.Prompt, response: Any) -> Iterator[str]:
        """Answer with JSON and look at everything."""
        assert isinstance(prompt.options, Options)
        assert prompt.messages
        assert prompt.schema or not prompt.schema
        for tool in prompt.tools:
            response.add_tool_call(llm.ToolCall(tool.name, {"a": 1, "b": 2}))
        yield from (JSON.upper() if prompt.options.shout else JSON).split(" ")
        response.set_usage(input=1, output=2)


class GoodModel(Good, llm.Model):
    """Does everything that is expected."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        return self.answer(prompt, response)


class AsyncGoodModel(Good, llm.AsyncModel):
    """The same for async."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        for piece in self.answer(prompt, response):
            yield piece


def test_check_model_finds_nothing_wrong() -> None:
    """A model that does what is expected passes, by name with its twin, and stays as it was."""
    model = GoodModel()
    assert check_model(model, AsyncGoodModel(), options={"shout": True}) == []
    assert vars(model) == {}
    with registered(model, AsyncGoodModel()):
        assert check_model("good") == []
    with registered(AsyncGoodModel()):
        assert check_model("good") == []
    with pytest.raises(llm.UnknownModelError, match="nobody"):
        check_model("nobody")


class BadOptions(llm.Options):
    """Options, one of which has no default."""

    depth: int


class Bad(Good, llm.Model):
    """Does nothing that is expected."""

    attachment_types = {"png", "image/png"}
    Options = BadOptions

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[Any]:
        try:
            yield 1
            yield prompt.prompt if stream else ""
        except BaseException:
            yield "never mind"


def test_check_model_says_what_is_wrong() -> None:
    """Each failure is a sentence that begins with the name of the check."""
    found = check_model(Bad())
    assert {sentence.partition(":")[0] for sentence in found} == {*_CHECKS}
    told = "\n".join(found)
    for sentence in (
        "streaming: it yielded int, where only str and llm.parts.StreamEvent are allowed",
        "options: Options() failed with ValidationError",
        "system: neither prompt.system nor prompt.messages was looked at, so it is not sent",
        "history: the earlier turns were not looked at: send prompt.messages",
        "attachments: attachment_types has 'png', which is no MIME type",
        "attachments: neither prompt.attachments nor prompt.messages was looked at for image/png",
        "tools: prompt.tools was not looked at, so the tools are not offered",
        "schema: prompt.schema was not looked at",
        "schema: the answer to a prompt with a schema is no JSON: '1Say hello'",
        "usage: response.set_usage(input=, output=) was not called",
        "interruption: KeyboardInterrupt in the middle of an answer is swallowed",
    ):
        assert sentence in told
    assert check_model(Bad(), skip=_CHECKS) == []
    with pytest.raises(ValueError, match=r"No such check: toools; see \['streaming'"):
        check_model(Bad(), skip=["toools"])


class Failing(GoodModel):
    """Fails on everything but a bare prompt, and makes another error of Ctrl-C."""

    def answer(self, prompt: llm.Prompt, response: Any) -> Iterator[str]:
        if prompt.system or prompt.tools or prompt.attachments or not response.stream:
            raise KeyError("unexpected")
        if len(prompt.messages) > 1:
            return
        assert prompt.options
        try:
            yield from ("a", "b")
        except KeyboardInterrupt:
            raise ValueError("stopped") from None


def test_check_model_tells_of_exceptions() -> None:
    """What a model raises, and an empty answer, end one check and not the others."""
    told = "\n".join(check_model(Failing(), skip=["usage", "schema"]))
    for sentence in (
        "streaming: a prompt with stream=False failed with KeyError: 'unexpected'",
        "system: a prompt with a system prompt failed with KeyError",
        "history: the answer to a prompt that goes on with a conversation is empty",
        "attachments: a prompt with a file of",
        "tools: a prompt with a tool failed with KeyError",
        "interruption: KeyboardInterrupt in the middle of an answer becomes ValueError: stopped",
    ):
        assert sentence in told


def test_check_model_compares_twins() -> None:
    """Where the twin differs, or fails by itself, it says so."""

    class Twin(AsyncGoodModel):
        supports_tools = False
        attachment_types = {"image/png"}

        async def execute(self, *arguments: Any, **others: Any) -> AsyncGenerator[str, None]:
            try:
                yield JSON
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                yield "never mind"

    found = check_model(GoodModel(), Twin())
    assert found[:2] == [
        "async: supports_tools is False, that of the model True",
        "async: attachment_types is ['image/png'], that of the model ['image/png', 'text/plain']",
    ]
    told = "\n".join(found)
    assert "async, usage: response.set_usage" in told
    assert "async, interruption: CancelledError in the middle of an answer is swallowed" in told
    assert check_model(GoodModel(), Twin(), skip=["async"]) == []
