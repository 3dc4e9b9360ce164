"""Chat and completion models: both transports, subclasses in the wild, keys, addresses, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import llm
from llm.default_plugins.openai_models import AsyncChat, Chat, Completion, _Shared
from llm.errors import AuthError, ConnectionLost, ModelError, Overloaded, RateLimited
from llm.providers.openai.transport import fast

from .helpers.openai_server import (
    OpenAIServer,
    Reply,
    chunk,
    completion,
    error_reply,
    json_reply,
    sse_reply,
    text_stream,
)

USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "total_tokens": 8,
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running
    fast.close()


class SdkChat(Chat):
    """A chat model in the manner of plugins that bring their own client."""

    def get_client(self, key: str | None = None, async_: bool = False) -> Any:
        return openai.OpenAI(api_key=self.get_key(key), base_url=self.api_base, max_retries=0)


class SdkAsyncChat(AsyncChat):
    """Its asynchronous twin."""

    def get_client(self, key: str | None = None, async_: bool = False) -> Any:
        assert async_
        return openai.AsyncOpenAI(api_key=self.get_key(key), base_url=self.api_base, max_retries=0)


def run(kind: type, base: str, prompt: str = "x", **more: Any) -> Any:
    """A finished response of a model of that class, in a synchronous form."""
    model = kind("m", api_base=base, key="sk-test-key", supports_tools=True, reasoning=True)
    response = model.prompt(prompt, **more)
    if not isinstance(response, llm.AsyncResponse):
        response.text()
        return response

    async def finish() -> Any:
        return await (await response).to_sync_response()

    return asyncio.run(finish())


KINDS = [Chat, AsyncChat, SdkChat, SdkAsyncChat]
ANSWERS = {
    "text": (True, text_stream("Hel", "lo", usage=USAGE)),
    "tools": (
        True,
        sse_reply(
            [
                chunk({"role": "assistant", "content": "I look."}),
                chunk(
                    {
                        "tool_calls": [
                            {
                                "index": 0,
                                "id": "c1",
                                "type": "function",
                                "function": {"name": "f", "arguments": ""},
                            }
                        ]
                    }
                ),
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]}),
                chunk({}, "tool_calls"),
            ]
        ),
    ),
    "reasoning": (
        True,
        sse_reply(
            [chunk({"reasoning_content": "hm"}), chunk({"content": "Yes"}), chunk({}, "stop")]
        ),
    ),
    "whole": (
        False,
        json_reply(
            completion(
                {
                    "content": "Hello",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                usage=USAGE,
            )
        ),
    ),
    "whole without usage": (False, json_reply(completion({"content": "Hello"}))),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_transports_and_drivers_give_the_same(server: OpenAIServer, name: str) -> None:
    """The fast transport and the SDK, sync and async: same request, events, usage and record."""
    stream, reply = ANSWERS[name]
    tool = llm.Tool(name="f", description="d", input_schema={"type": "object"})
    found = []
    for kind in KINDS:
        server.add(reply)
        response = run(
            kind, server.url, stream=stream, tools=[tool], options={"reasoning_effort": "low"}
        )
        found.append(
            {
                "request": server.last.body,
                "events": response.event_log,
                "messages": response.messages(),
                "calls": response.tool_calls(),
                "usage": response.usage(),
                "json": response.response_json,
                "model": response.resolved_model,
                "ended": response.finish_reason,
            }
        )
    assert found[0]["ended"] in (None, "stop", "tool_calls")
    assert found[0]["events"]
    assert found.count(found[0]) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (error_reply(401, "Bad key sk-test-key"), AuthError, r"401: Bad key \[\.\.\.\]"),
        (error_reply(429, "slow", {"x-should-retry": "false"}), RateLimited, "429: slow"),
        (error_reply(503, "busy", {"x-should-retry": "false"}), Overloaded, "503: busy"),
        (error_reply(404, "no model"), ModelError, "404: no model"),
        (
            sse_reply([chunk({"content": "a"}), {"error": {"message": "broke", "code": 500}}]),
            ModelError,
            "broke",
        ),
        (
            sse_reply([chunk({"content": "a"})], done=False, truncate=True),
            ConnectionLost,
            "broke off",
        ),
    ],
)
def test_errors_of_both_transports_read_the_same(
    server: OpenAIServer, kind: type, reply: Reply, error: type, message: str
) -> None:
    """Class and text do not depend on the transport; no key is shown."""
    server.add(reply)
    with pytest.raises(error, match=message) as caught:
        run(kind, server.url)
    assert "sk-test-key" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_listening_is_told(kind: type) -> None:
    """The address is named, whichever transport tried it."""
    with OpenAIServer() as server:
        base = server.url
    host = base.removeprefix("http://").removesuffix("/v1")
    with pytest.raises(ConnectionLost, match=f"Cannot reach {host}"):
        run(kind, base)


def test_unusual_ends_are_told_on_stderr(
    server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal costs one line, with control sequences made visible."""
    server.add(sse_reply([chunk({"refusal": "No\x1b[2J\nway"}, "stop")]))
    assert run(Chat, server.url).text() == ""
    assert capsys.readouterr().err == "The model refused: No␛[2J way\n"


def test_notice_begins_a_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the answer before a notice may not have ended its line."""
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    llm.notice("one")
    assert terminal.getvalue() == "\none\n"
    monkeypatch.setattr(sys, "stderr", None)
    llm.notice("nobody sees it")


def test_model_that_cannot_stream_is_asked_for_the_whole(server: OpenAIServer) -> None:
    """`can_stream=False` beats the wish to stream."""
    server.add(json_reply(completion({"content": "Hi"})))
    model = Chat("m", api_base=server.url, key="k", can_stream=False)
    assert model.prompt("x").text() == "Hi"
    assert server.last.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": False,
    }


def test_conversation_sends_its_history(server: OpenAIServer) -> None:
    """The second turn carries the first."""
    server.add(text_stream("one"), text_stream("two"))
    model = Chat("m", model_name="real", api_base=server.url, key="k")
    conversation = model.conversation()
    conversation.prompt("a", system="s").text()
    conversation.prompt("b").text()
    assert server.last.body["model"] == "real"
    assert [(m["role"], m["content"]) for m in server.last.body["messages"]] == [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "one"),
        ("user", "b"),
    ]


def test_chain_runs_tools(server: OpenAIServer) -> None:
    """A tool call is run and its result sent back."""
    server.add(ANSWERS["tools"][1], text_stream("Done"))

    def f(a: int) -> int:
        """Add one."""
        return a + 1

    model = Chat("m", api_base=server.url, key="k", supports_tools=True)
    assert model.chain("x", tools=[f]).text() == "I look. Done"
    assert server.last.body["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "2",
    }


def test_redacted_request_is_kept_for_inspection(server: OpenAIServer) -> None:
    """The request without binary data is at hand; the request itself has the data."""
    server.add(text_stream("x"))
    model = Chat("m", api_base=server.url, key="k", vision=True)
    image = llm.Attachment(type="image/png", content=b"abc")
    response = model.prompt("look", attachments=[image])
    response.text()
    kept = response._prompt_json["messages"][0]["content"]
    assert kept[1]["image_url"]["url"] == "data:..."
    assert "base64" in server.last.body["messages"][0]["content"][1]["image_url"]["url"]


def test_overridden_builders_are_used_in_both_transports(server: OpenAIServer) -> None:
    """`build_kwargs` and `build_messages` of a subclass shape the request, extras included."""

    class Mine(Chat):
        needs_key = "mine"
        key_env_var = "MINE_KEY"

        def build_kwargs(self, prompt: Any, stream: bool) -> dict[str, Any]:
            kwargs = super().build_kwargs(prompt, stream)
            kwargs["extra_body"] = {"provider": {"order": ["a"]}}
            kwargs["extra_headers"] = {"X-Title": "t"}
            kwargs["extra_query"] = {"v": "1"}
            kwargs["timeout"] = 30
            return kwargs

        def build_messages(  # type: ignore[override]
            self, prompt: Any, conversation: Any
        ) -> list[dict[str, Any]]:
            return [{"role": "user", "content": "mine"}]

    class MineSdk(Mine):
        get_client = SdkChat.get_client

    requests = []
    for kind in (Mine, MineSdk):
        server.add(text_stream("x"))
        kind("m", api_base=server.url, key="k").prompt("x").text()
        requests.append(server.last)
    for request in requests:
        assert request.body["provider"] == {"order": ["a"]}
        assert request.body["messages"] == [{"role": "user", "content": "mine"}]
        assert request.headers["x-title"] == "t"
        assert request.path == "/v1/chat/completions?v=1"
    assert requests[0].body == requests[1].body


def test_client_set_on_an_instance_is_used(server: OpenAIServer) -> None:
    """Replacing `get_client` on one object counts too."""
    server.add(text_stream("x"))
    model = Chat("m", api_base=server.url, key="k")
    used = []

    def get_client(key: str | None, *, async_: bool = False) -> Any:
        used.append(key)
        return Chat.get_client(model, key, async_=async_)

    vars(model)["get_client"] = get_client
    assert model.prompt("x").text() == "x"
    assert used == ["k"]


def test_client_that_is_not_of_the_library_is_understood() -> None:
    """A client made by hand may give dicts and need no closing."""
    from types import SimpleNamespace

    class Mine(Chat):
        def get_client(self, key: Any, *, async_: bool = False) -> Any:
            answer = [chunk({"content": "hi"}), chunk({}, "stop")]
            create = SimpleNamespace(create=lambda **_: answer)
            return SimpleNamespace(chat=SimpleNamespace(completions=create))

    assert Mine("m", key="k").prompt("x").text() == "hi"

    class MineAsync(AsyncChat):
        def get_client(self, key: Any, *, async_: bool = False) -> Any:
            async def answer() -> Any:
                yield chunk({"content": "hi"})
                yield chunk({}, "stop")

            class Stream:
                def __aiter__(self) -> Any:
                    return answer()

            async def create(**_: Any) -> Any:
                return Stream()

            completions = SimpleNamespace(create=create)
            return SimpleNamespace(chat=SimpleNamespace(completions=completions))

    async def go() -> str:
        return await MineAsync("m", key="k").prompt("x").text()

    assert asyncio.run(go()) == "hi"


def test_failing_plugin_client_raises_its_own_error() -> None:
    """What is no trouble of the connection is not dressed up as such."""

    class Mine(Chat):
        def get_client(self, key: Any, *, async_: bool = False) -> Any:
            raise RuntimeError("plugin bug")

    with pytest.raises(RuntimeError, match="plugin bug"):
        Mine("m", key="k").prompt("x").text()


def test_subclass_that_finishes_itself_may_reuse_usage(server: OpenAIServer) -> None:
    """`set_usage` of a subclass is called with the server's object."""
    seen = []

    class Mine(Chat):
        def set_usage(self, response: Any, usage: dict[str, Any]) -> None:
            seen.append(usage)

    server.add(text_stream("x", usage=USAGE))
    Mine("m", api_base=server.url, key="k").prompt("x").text()
    assert seen == [USAGE]


def test_key_is_sent_only_where_one_is_needed(server: OpenAIServer) -> None:
    """Without a need for a key the server gets a dummy; spaces around a key are no part of it."""
    server.add(text_stream("x"), text_stream("x"), text_stream("x"))
    model = Chat("m", api_base=server.url)
    keyless: Any = None
    model.needs_key = keyless
    model.prompt("x", key="sk-real").text()
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"
    model = Chat("m", api_base=server.url)
    model.prompt("x", key="sk-real\n").text()
    assert server.last.headers["authorization"] == "Bearer sk-real"
    list(
        model.execute(
            llm.Prompt("x", model),
            True,
            llm.Response(llm.Prompt("x", model), model, True),
            None,
            "given",
        )
    )
    assert server.last.headers["authorization"] == "Bearer given"


def test_headers_are_added_and_may_replace(server: OpenAIServer) -> None:
    """Headers of the model are sent, also in place of our own."""
    server.add(text_stream("x"))
    headers = {"X-One": "1", "Authorization": "Custom abc"}
    Chat("m", api_base=server.url, key="k", headers=headers).prompt("x").text()
    assert server.last.headers["x-one"] == "1"
    assert server.last.headers["authorization"] == "Custom abc"
    assert server.last.headers["accept-encoding"] == "identity"
    assert server.last.headers["user-agent"].startswith("llm/")


def test_default_address_follows_the_environment(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OPENAI_BASE_URL`, organisation and project count where the model names no address."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    server.add(text_stream("x"), text_stream("x"))
    Chat("m", key="k").prompt("x").text()
    assert server.last.path == "/v1/chat/completions"
    assert server.last.headers["openai-organization"] == "org-1"
    assert server.last.headers["openai-project"] == "proj-1"
    Chat("m", key="k", api_base=server.url).prompt("x").text()
    assert "openai-project" not in server.last.headers


def test_default_address_is_that_of_openai() -> None:
    """Without any setting the request goes to OpenAI."""
    assert Chat("m")._url("chat/completions") == "https://api.openai.com/v1/chat/completions"


def test_azure_settings_make_azure_requests(server: OpenAIServer) -> None:
    """`api_type: azure` uses the classic addresses; other values add query and `engine`."""
    base = server.url.removesuffix("/v1")
    server.add(*[text_stream("x") for _ in range(3)])
    settings: dict[str, Any] = {"api_base": base, "key": "sk-azure", "api_version": "2024-02-01"}
    Chat("m", api_type="azure", api_engine="my deployment", **settings).prompt("x").text()
    assert server.last.path == (
        "/openai/deployments/my%20deployment/chat/completions?api-version=2024-02-01"
    )
    assert server.last.headers["api-key"] == "sk-azure"
    assert "authorization" not in server.last.headers
    Chat("m", api_type="azure_ad", **settings).prompt("x").text()
    assert server.last.path.startswith("/openai/deployments/m/")
    assert server.last.headers["authorization"] == "Bearer sk-azure"
    Chat("m", api_type="open_ai", api_engine="e", **settings).prompt("x").text()
    assert server.last.path == "/chat/completions?api-version=2024-02-01"
    assert server.last.body["engine"] == "e"


@pytest.mark.parametrize("is_async", [False, True])
def test_get_client_gives_a_client_of_the_library(is_async: bool) -> None:
    """Plugins and scripts can have the SDK's client, with all settings of the model."""
    model = Chat("m", api_base="http://h/v1", key="k", headers={"X-A": "b"})
    client = model.get_client(None, async_=is_async)
    assert isinstance(client, openai.AsyncOpenAI if is_async else openai.OpenAI)
    assert str(client.base_url) == "http://h/v1/"
    assert client.api_key == "k"
    assert client.default_headers["X-A"] == "b"
    azure = Chat(
        "m", api_base="http://h", key="k", api_type="azure", api_engine="e", api_version="v"
    ).get_client(None, async_=is_async)
    assert isinstance(azure, openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI)
    plain = Chat("m", key="k").get_client(None)
    assert str(plain.base_url) == "https://api.openai.com/v1/"
    assert Chat("m", key="k", api_base="http://h", api_type="azure").get_client(None)


@pytest.mark.parametrize("is_async", [False, True])
def test_exchange_of_the_sdk_is_shown(
    server: OpenAIServer,
    is_async: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`LLM_OPENAI_SHOW_RESPONSES` works there too, sync and async, with the key masked."""
    monkeypatch.setenv("LLM_OPENAI_SHOW_RESPONSES", "1")

    base: Any = AsyncChat if is_async else Chat

    class Mine(base):
        def get_client(self, key: Any, *, async_: bool = False) -> Any:
            return super().get_client(key, async_=async_)

    server.add(text_stream("x"))
    assert run(Mine, server.url).text() == "x"
    err = capsys.readouterr().err
    assert "Request: POST" in err
    assert "Response: status_code=200" in err
    assert "data: [DONE]" in err
    assert "sk-test-key" not in err


def test_mixin_alone_can_be_used_as_by_plugins() -> None:
    """A plugin may combine `_Shared` with its own classes."""

    class Mine(_Shared, llm.KeyModel):
        needs_key = "mine"

        def execute(
            self, prompt: Any, stream: Any, response: Any, conversation: Any, key: Any
        ) -> Any:
            yield "x"

    assert Mine(model_id="m", model_name="n", api_base="http://h", vision=True).vision


def test_completion_goes_on_with_the_text(server: OpenAIServer) -> None:
    """The history is text; the default number of tokens is sent."""
    server.add(
        sse_reply([{"choices": [{"text": "b", "finish_reason": "stop"}]}]),
        json_reply(
            {
                "model": "ins-1",
                "choices": [{"text": "d", "finish_reason": "length"}],
                "usage": {"prompt_tokens": 4, "completion_tokens": 1},
            }
        ),
    )
    model = Completion("m", model_name="ins", api_base=server.url, key="k", default_max_tokens=9)
    conversation = model.conversation()
    conversation.prompt("a").text()
    response = conversation.prompt("c", stream=False, max_tokens=7)
    assert response.text() == "d"
    assert server.last.path == "/v1/completions"
    assert server.last.body == {
        "model": "ins",
        "prompt": "a\nb\nc",
        "stream": False,
        "max_tokens": 7,
    }
    assert server.requests[0].body["max_tokens"] == 9
    assert response.usage().input == 4
    assert response.resolved_model == "ins-1"
    assert not response.history_ignored


def test_completion_takes_no_system_prompt() -> None:
    """A system prompt is refused before anything is sent."""
    with pytest.raises(NotImplementedError, match="System prompts are not supported"):
        Completion("m", key="k").prompt("x", system="s").text()


def test_completion_text_that_is_no_text_is_nothing(server: OpenAIServer) -> None:
    """A choice without text adds nothing."""
    server.add(sse_reply([{"choices": [{"text": None}]}, {"choices": [{"finish_reason": "stop"}]}]))
    assert Completion("m", api_base=server.url, key="k").prompt("x").text() == ""


def test_extra_model_works_from_the_file_alone(server: OpenAIServer, user_path: Path) -> None:
    """An entry of `extra-openai-models.yaml` answers, without a key, sync and async."""
    (user_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: wire, model_name: real, api_base: '{server.url}'}}"
    )
    server.add(text_stream("Hi", " there", usage=USAGE), text_stream("async"))
    response = llm.get_model("wire").prompt("x")
    assert list(response) == ["Hi", " there"]
    assert response.usage() == llm.Usage(
        3, 5, {"completion_tokens_details": {"reasoning_tokens": 2}}
    )
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"

    async def go() -> str:
        return await llm.get_async_model("wire").prompt("x").text()

    assert asyncio.run(go()) == "async"


def test_prompt_without_options_needs_no_pydantic(server: OpenAIServer) -> None:
    """The usual prompt imports neither pydantic nor the SDK."""
    import subprocess
    import sys

    server.add(text_stream("Hi"))
    code = (
        "import sys; from llm.default_plugins.openai_models import Chat;"
        f"print(Chat('m', api_base='{server.url}', key='k').prompt('x').text());"
        "print([m for m in ('pydantic', 'openai', 'yaml', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Hi\n[]\n"


@pytest.mark.parametrize("kind", [Chat, AsyncChat])
def test_response_knows_what_the_service_said(server: OpenAIServer, kind: type) -> None:
    """How the answer ended, the id of the request, the model, and the details of the tokens."""
    details = {"cached_tokens": 3, "audio_tokens": 0}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    reply = text_stream("Hel", "lo", usage=usage)
    reply.headers["X-Request-Id"] = "req_1"
    server.add(reply)
    response = run(kind, server.url)
    assert (response.request_id, response.finish_reason) == ("req_1", "stop")
    found = response.usage()
    assert (found.input, found.output, found.cached, found.reasoning) == (9, 5, 3, 2)
    assert response.first_token_ms is not None
    assert 0 <= response.first_token_ms <= response.duration_ms()
