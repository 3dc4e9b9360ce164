"""Classes that plugins derive from ours: small models in the shape of those that are out there.

Each is built and prompted as its plugin does it, against a server on loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Optional

import pytest
from pydantic import Field

import llm
from llm.default_plugins import openai_models
from llm.default_plugins.openai_models import (
    AsyncChat,
    AsyncResponses,
    Chat,
    ReasoningEffortEnum,
    Responses,
    _Shared,
    combine_chunks,
)
from llm.files.config import set_key
from llm.parts import StreamEvent
from llm.providers.openai.transport import fast

from .helpers.openai_server import OpenAIServer, chunk, json_reply, sse_reply, text_stream

DONE = {
    "type": "response.completed",
    "response": {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [{"type": "web_lookup", "id": "w1", "result": "found"}],
    },
}
LOOKUP = {"type": "web_lookup", "id": "w1", "result": "searching"}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback imitation of the vendor."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def text_of(model: Any, prompt: str = "hello", **more: Any) -> str:
    """The text that a model answers, whichever kind it is."""
    response = model.prompt(prompt, **more)
    if isinstance(response, llm.AsyncResponse):

        async def text() -> str:
            return await response.text()

        return asyncio.run(text())
    return str(response.text())


# llm-azure

# What a mixin is mixed into has the methods that it calls.
_Unknown: Any = object


class _SharedAzure(_Shared, _Unknown):
    """Another order of parameters, and a client of the library's own making."""

    def __init__(
        self, model_id: str, model_name: str, api_base: str, needs_key: str, **settings: bool
    ) -> None:
        super().__init__(
            model_id=model_id,
            model_name=model_name,
            api_base=api_base,
            vision=settings.get("vision", False),
            supports_schema=settings.get("supports_schema", False),
            supports_tools=settings.get("supports_tools", False),
        )
        self.needs_key = needs_key

    def get_client(self, key: str | None = None, async_: bool = False) -> Any:
        from openai import AsyncOpenAI, OpenAI

        settings: dict[str, Any] = {"base_url": self.api_base, "api_key": self.get_key(key)}
        return AsyncOpenAI(**settings) if async_ else OpenAI(**settings)

    def __str__(self) -> str:
        return f"Azure: {self.model_id}"


class AzureChat(_SharedAzure, Chat):
    """The synchronous one."""


class AzureAsyncChat(_SharedAzure, AsyncChat):
    """The asynchronous one."""


@pytest.mark.parametrize("kind", [AzureChat, AzureAsyncChat])
def test_azure_client_is_used(
    server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mixin over `_Shared` that makes its own client answers through it, with its own key."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    set_key("azure", "sk-azure")
    model = kind("azure/x", "deployment", server.url, "azure", vision=True, supports_tools=True)
    server.add(text_stream("Hi", " there"))
    assert text_of(model) == "Hi there"
    assert server.last.headers["authorization"] == "Bearer sk-azure"
    assert server.last.body["model"] == "deployment"
    assert "x-stainless-lang" in server.last.headers
    assert (str(model), model.supports_tools, model.supports_schema) == (
        "Azure: azure/x",
        True,
        False,
    )
    assert "image/png" in model.attachment_types


# llm-venice


class _VeniceOptions(Chat.Options):
    """Options beside those of every chat model."""

    web_search: Optional[str] = Field(description="Search the web", default=None)
    character: Optional[str] = Field(description="Who speaks", default=None)


class VeniceChat(Chat):
    """Moves its own options into the extra body."""

    needs_key = "venice"
    key_env_var = "LLM_VENICE_KEY"

    class Options(_VeniceOptions):
        """As the plugin nests it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def build_kwargs(self, prompt: llm.Prompt, stream: bool) -> dict[str, Any]:
        """The fields of the request."""
        kwargs = super().build_kwargs(prompt, stream)
        own = {name: kwargs.pop(name) for name in ("web_search", "character") if name in kwargs}
        if own:
            kwargs["extra_body"] = {"venice_parameters": own}
        return kwargs


class AsyncVeniceChat(AsyncChat):
    """The asynchronous twin."""

    needs_key = "venice"
    key_env_var = "LLM_VENICE_KEY"

    class Options(_VeniceOptions):
        """As the plugin nests it."""

    def build_kwargs(self, prompt: llm.Prompt, stream: bool) -> dict[str, Any]:
        """The fields of the request."""
        kwargs = super().build_kwargs(prompt, stream)
        if "web_search" in kwargs:
            search = {"web_search": kwargs.pop("web_search")}
            kwargs["extra_body"] = {"venice_parameters": search}
        return kwargs


@pytest.mark.parametrize("kind", [VeniceChat, AsyncVeniceChat])
def test_venice_options_go_into_the_extra_body(
    server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested `Options` extend ours, and what `build_kwargs` puts into `extra_body` is sent."""
    monkeypatch.setenv("LLM_VENICE_KEY", "sk-venice")
    model = kind(model_id="venice/x", model_name="x", api_base=server.url, can_stream=True)
    server.add(text_stream("Hi"))
    assert text_of(model, web_search="auto", temperature=0.5) == "Hi"
    body = server.last.body
    assert body["venice_parameters"] == {"web_search": "auto"}
    assert (body["temperature"], "web_search" in body) == (0.5, False)
    assert server.last.headers["authorization"] == "Bearer sk-venice"


# llm-deepseek, llm-fireworks, llm-anyscale-endpoints, llm-llamafile


class DeepSeekChat(Chat):
    """Runs the request by itself and keeps the chunks."""

    needs_key = "deepseek"
    key_env_var = "LLM_DEEPSEEK_KEY"

    def __init__(self, model_name: str, api_base: str) -> None:
        super().__init__(
            model_name=model_name, model_id=f"deepseek/{model_name}", api_base=api_base
        )

    def __str__(self) -> str:
        return f"DeepSeek: {self.model_id}"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: Any = None,
        key: str | None = None,
    ) -> Iterator[str]:
        """Answer with the reasoning left out."""
        messages = self.build_messages(prompt, conversation)
        response._prompt_json = {"messages": messages}
        kwargs = self.build_kwargs(prompt, stream)
        client: Any = self.get_client(key)
        completion = client.chat.completions.create(
            model=self.model_name, messages=messages, stream=True, **kwargs
        )
        chunks = []
        for piece in completion:
            chunks.append(piece)
            content = piece.choices[0].delta.content if piece.choices else None
            if content is not None:
                yield content
        response.response_json = openai_models.redact_data(combine_chunks(chunks))
        self.set_usage(response, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})


class DeepSeekAsyncChat(AsyncChat):
    """The asynchronous twin."""

    needs_key = "deepseek"
    key_env_var = "LLM_DEEPSEEK_KEY"

    def __init__(self, model_name: str, api_base: str) -> None:
        super().__init__(
            model_name=model_name, model_id=f"deepseek/{model_name}", api_base=api_base
        )

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: Any = None,
        key: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """Answer."""
        messages = self.build_messages(prompt, conversation)
        kwargs = self.build_kwargs(prompt, stream)
        client: Any = self.get_client(key, async_=True)
        completion = await client.chat.completions.create(
            model=self.model_name, messages=messages, stream=True, **kwargs
        )
        async for piece in completion:
            if piece.choices and piece.choices[0].delta.content:
                yield piece.choices[0].delta.content


def test_deepseek_runs_its_own_request(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`build_messages`, `build_kwargs`, `get_client`, `combine_chunks` and `set_usage` serve it."""
    monkeypatch.setenv("LLM_DEEPSEEK_KEY", "sk-deep")
    model = DeepSeekChat("chat", server.url)
    server.add(text_stream("Hi", " there"))
    response = model.prompt("hello", system="be brief", max_tokens=7)
    assert response.text() == "Hi there"
    assert response.response_json is not None
    assert response.response_json["content"] == "Hi there"
    assert response.response_json["finish_reason"] == "stop"
    assert (response.usage().input, response.usage().output) == (1, 2)
    assert [message["role"] for message in server.last.body["messages"]] == ["system", "user"]
    assert server.last.body["max_tokens"] == 7
    assert server.last.body["stream_options"] == {"include_usage": True}
    server.add(text_stream("Again"))
    assert text_of(DeepSeekAsyncChat("chat", server.url)) == "Again"
    assert server.last.headers["authorization"] == "Bearer sk-deep"


class Llamafile(Chat):
    """Settings as class attributes, and no key."""

    model_id = "llamafile"
    key = "sk-llamafile"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            model_name="LLaMA_CPP", model_id=self.model_id, api_base=kwargs.pop("api_base")
        )

    def __str__(self) -> str:
        return f"llamafile: {self.model_id}"


def test_llamafile_key_of_the_class_is_sent(server: OpenAIServer) -> None:
    """A key that is an attribute of the class needs no stored one."""
    server.add(text_stream("Hi"))
    assert text_of(Llamafile(api_base=server.url)) == "Hi"
    assert server.last.headers["authorization"] == "Bearer sk-llamafile"


# llm-llama-server


class LlamaServer(Chat):
    """Every ability switched on by keyword, and a harmless key."""

    needs_key: Any = None
    key = "sk-llama-server"

    def __init__(self, api_base: str, **kwargs: Any) -> None:
        super().__init__(
            model_name="llama-server", model_id="llama-server", api_base=api_base, **kwargs
        )


class AsyncLlamaServer(AsyncChat):
    """The asynchronous twin."""

    needs_key: Any = None
    key = "sk-llama-server"

    def __init__(self, api_base: str, **kwargs: Any) -> None:
        super().__init__(
            model_name="llama-server", model_id="llama-server", api_base=api_base, **kwargs
        )


@pytest.mark.parametrize("kind", [LlamaServer, AsyncLlamaServer])
def test_llama_server_calls_tools(server: OpenAIServer, kind: Any) -> None:
    """Tools and schemas work by keyword alone; no key of the user's is sent."""
    model = kind(
        server.url, vision=True, can_stream=True, supports_schema=True, supports_tools=True
    )
    call = {"id": "c1", "function": {"name": "shout", "arguments": '{"text": "hi"}'}}
    server.add(
        sse_reply([chunk({"tool_calls": [{"index": 0, **call}]}), chunk(finish="tool_calls")]),
        text_stream("HI"),
    )

    def shout(text: str) -> str:
        """Say it loudly."""
        return text.upper()

    if kind is LlamaServer:
        assert model.chain("go", tools=[shout]).text() == "HI"
    else:

        async def run() -> str:
            return str(await model.chain("go", tools=[shout]).text())

        assert asyncio.run(run()) == "HI"
    assert server.last.body["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "HI",
    }
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"


# llm-github-copilot


class CopilotMixin(_Unknown):
    """A key from elsewhere, headers of the instance, and messages of its own."""

    needs_key: Any = "github_copilot"
    key_env_var: Any = "GH_COPILOT_KEY"

    def get_key(self, explicit_key: str | None = None) -> str:
        """A token that was fetched."""
        return "copilot-token"

    def build_messages(self, prompt: Any, conversation: Any, image_detail: Any = None) -> Any:
        """The messages, each marked."""
        messages = super().build_messages(prompt, conversation, image_detail)
        return [{**message, "name": "me"} for message in messages]


class CopilotChat(CopilotMixin, openai_models.Chat):
    """The synchronous one."""


class CopilotAsyncChat(CopilotMixin, openai_models.AsyncChat):
    """The asynchronous one."""


@pytest.mark.parametrize("kind", [CopilotChat, CopilotAsyncChat])
def test_copilot_key_headers_and_messages_are_its_own(server: OpenAIServer, kind: Any) -> None:
    """Overridden `get_key` and `build_messages`, and `headers` set after the constructor, count."""
    model = kind("github_copilot/x", model_name="x", supports_tools=True)
    model.api_base = server.url
    model.headers = {"editor-version": "vscode/1"}
    server.add(text_stream("Hi"))
    assert text_of(model) == "Hi"
    assert server.last.headers["authorization"] == "Bearer copilot-token"
    assert server.last.headers["editor-version"] == "vscode/1"
    assert server.last.body["messages"] == [{"role": "user", "content": "hello", "name": "me"}]


# llm-openrouter


class Lookup(llm.ServerSideTool):
    """A tool that the vendor runs."""

    name = "web_lookup"

    def tool_spec(self, model: Any) -> dict[str, Any]:
        """The tool as the vendor takes it."""
        return {"type": "web_lookup"}


class _OpenRouterMixin(_Unknown):
    """Options made in the constructor, an extra body, and events of a tool of the vendor's."""

    needs_key: Any = "openrouter"
    key_env_var: Any = "OPENROUTER_KEY"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        base: Any = super().Options

        class Options(base):
            online: Optional[bool] = Field(description="Search the web", default=None)
            effort: Optional[ReasoningEffortEnum] = Field(description="Effort", default=None)

        self.Options = Options

    @property
    def supported_server_side_tools(self) -> tuple[type, ...]:
        """Those of the vendor."""
        return (Lookup,)

    def _build_responses_kwargs(self, prompt: Any, stream: bool) -> Any:
        kwargs = super()._build_responses_kwargs(prompt, stream)
        kwargs.pop("effort", None)
        if kwargs.pop("online", None):
            kwargs["extra_body"] = {"plugins": [{"id": "web"}]}
        return kwargs

    def _server_tool_events(self, item: Any, message_index: int) -> Any:
        if item.type != "web_lookup":
            return super()._server_tool_events(item, message_index)
        given = {"server_executed": True, "message_index": message_index, "tool_call_id": item.id}
        return [
            StreamEvent("tool_call_name", "web_lookup", **given),
            StreamEvent("tool_result", item.result, tool_name="web_lookup", **given),
        ]

    def _refresh_server_tool_events(self, output: Any, done_events: Any) -> None:
        super()._refresh_server_tool_events(output, done_events)
        self.refreshed = [item.type for item in output]


class OpenRouterResponses(_OpenRouterMixin, Responses):
    """The synchronous one, which calls `execute` of ours with five arguments."""

    def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any = None, key: Any = None
    ) -> Iterator[Any]:
        """Answer."""
        yield from super().execute(prompt, stream, response, conversation, key)


class OpenRouterAsyncResponses(_OpenRouterMixin, AsyncResponses):
    """The asynchronous one."""

    async def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any = None, key: Any = None
    ) -> AsyncGenerator[Any, None]:
        """Answer."""
        async for event in super().execute(prompt, stream, response, conversation, key):
            yield event


@pytest.mark.parametrize("kind", [OpenRouterResponses, OpenRouterAsyncResponses])
def test_openrouter_overrides_reach_request_and_events(
    server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options of the instance, the extra body, tool events and their final values all count."""
    monkeypatch.setenv("OPENROUTER_KEY", "sk-or")
    model = kind(
        model_id="openrouter/x",
        model_name="x",
        api_base=server.url,
        vision=True,
        supports_tools=True,
        supports_schema=True,
        reasoning=True,
        headers={"X-Title": "LLM"},
    )
    server.add(
        sse_reply(
            [
                {"type": "response.output_item.done", "item": LOOKUP},
                {"type": "response.output_text.delta", "item_id": "m", "delta": "Hi"},
                DONE,
            ],
            done=False,
        )
    )
    response = model.prompt("hello", tools=[Lookup()], online=True)

    async def messages() -> Any:
        return await response.messages()

    found = response.messages() if kind is OpenRouterResponses else asyncio.run(messages())
    body = server.last.body
    assert (body["plugins"], body["tools"]) == ([{"id": "web"}], [{"type": "web_lookup"}])
    assert "online" not in body
    assert server.last.headers["x-title"] == "LLM"
    assert model.refreshed == ["web_lookup"]
    results = [part.output for part in found[0].parts if hasattr(part, "output")]
    assert results == ["found"]


def test_openrouter_chat_is_delegated_with_its_client(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chat_completions` and `_delegate_chat_kwargs` keep address, headers and key."""
    monkeypatch.setenv("OPENROUTER_KEY", "sk-or")
    model = OpenRouterResponses(
        model_id="openrouter/x", model_name="x", api_base=server.url, headers={"X-Title": "LLM"}
    )
    server.add(json_reply({"choices": [{"message": {"content": "old"}, "finish_reason": "stop"}]}))
    assert text_of(model, chat_completions=True, stream=False) == "old"
    assert server.last.path == "/v1/chat/completions"
    assert server.last.headers["authorization"] == "Bearer sk-or"
    assert model._delegate_chat_kwargs()["headers"] == {"X-Title": "LLM"}
