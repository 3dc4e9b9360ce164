"""Plugins that derive their models from ours, unchanged from the package index."""

from __future__ import annotations

import time

import pytest

from ...helpers.openai_server import (
    completion,
    json_reply,
    sse_reply,
    text_stream,
    tool_call_stream,
)
from .user import User
from .vendors import response_stream

SHOUT = "def shout(text: str) -> str:\n    'Say it loudly'\n    return text.upper()"
ANSWER = {
    "type": "message",
    "id": "m1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hi there"}],
}


SYNC_AND_ASYNC = pytest.mark.parametrize("driver", [(), ("--async",)], ids=["sync", "async"])
Driver = tuple[str, ...]


@SYNC_AND_ASYNC
def test_deepseek_answers_and_goes_on(user: User, driver: Driver) -> None:
    """Its models are there once its key is; `-c` sends the history along."""
    user.uses("llm-deepseek")
    key = {"LLM_DEEPSEEK_KEY": "sk-deep"}
    asked = ("-m", "deepseek-chat", "-s", "be brief", "-o", "max_tokens", "7", *driver, "hello")
    assert user.ask(*asked, replies=[text_stream("Hi", " there")], env=key) == "Hi there\n"
    assert set(user.vendors.tunnels) == {"api.deepseek.com:443"}
    assert user.last.path == "/chat/completions"
    assert user.last.headers["authorization"] == "Bearer sk-deep"
    assert (user.last.body["model"], user.last.body["max_tokens"]) == ("deepseek-chat", 7)
    assert user.ask("-c", *driver, "more", replies=[text_stream("And")], env=key) == "And\n"
    assert [(m["role"], m["content"]) for m in user.last.body["messages"]] == [
        ("system", "be brief"),
        ("user", "hello"),
        ("assistant", "Hi there"),
        ("user", "more"),
    ]


@SYNC_AND_ASYNC
def test_llama_server_needs_no_key(user: User, driver: Driver) -> None:
    """The key of its class is sent to the fixed address, nothing that the user has stored."""
    user.uses("llm-llama-server")
    asked = ("-m", "llama-server", *driver, "hello")
    assert user.ask(*asked, replies=[text_stream("Hi")]) == "Hi\n"
    assert user.last.path == "http://localhost:8080/v1/chat/completions"
    assert user.last.headers["authorization"] == "Bearer sk-llama-server"


def test_llama_server_calls_tools_without_streaming(user: User) -> None:
    """`can_stream=False` and `supports_tools=True` count."""
    user.uses("llm-llama-server")
    call = {"id": "c1", "function": {"name": "shout", "arguments": '{"text": "hi"}'}}
    replies = [
        json_reply(completion({"content": None, "tool_calls": [call]}, "tool_calls")),
        json_reply(completion({"content": "HI"})),
    ]
    asked = ("-m", "llama-server-tools", "--functions", SHOUT, "go")
    assert user.ask(*asked, replies=replies) == "HI\n"
    assert user.last.body["stream"] is False
    assert user.last.body["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "HI",
    }


@pytest.fixture
def venice(user: User) -> User:
    """A user with a key and one model of the vendor."""
    user.store("keys.json", {"venice": "sk-venice"})
    user.store("venice_models.json", VENICE)
    return user.uses("llm-venice")


VENICE = [
    {
        "id": "v",
        "type": "text",
        "model_spec": {
            "capabilities": {
                "supportsResponseSchema": True,
                "supportsFunctionCalling": True,
                "supportsWebSearch": True,
            }
        },
    }
]


@SYNC_AND_ASYNC
def test_venice_adds_flags_and_an_extra_body(venice: User, driver: Driver) -> None:
    """It wraps `llm prompt`, extends `Chat.Options`, and changes what `build_kwargs` gives."""
    asked = ("-m", "venice/v", "--web-search", "on", "--character", "bob", "-o", "min_p", "0.1")
    assert venice.ask(*asked, *driver, "hello", replies=[text_stream("Hi")]) == "Hi\n"
    assert set(venice.vendors.tunnels) == {"api.venice.ai:443"}
    body = venice.last.body
    assert body["venice_parameters"] == {"enable_web_search": "on", "character_slug": "bob"}
    assert (body["min_p"], "enable_web_search" in body) == (0.1, False)
    assert venice.last.headers["authorization"] == "Bearer sk-venice"


def test_venice_keeps_strictly_to_a_schema(venice: User) -> None:
    """It changes the schema within the request."""
    asked = ("-m", "venice/v", "--schema", "name, age int", "a dog")
    answer = '{"name": "Rex", "age": 3}'
    assert venice.ask(*asked, replies=[text_stream(answer)]) == f"{answer}\n"
    shape = venice.last.body["response_format"]["json_schema"]
    assert (shape["strict"], shape["schema"]["additionalProperties"]) == (True, False)


def test_venice_refuses_by_an_error_of_ours(venice: User) -> None:
    """The `llm.ModelError` that it raises while the request is built ends the command."""
    assert "enable_web_search must be set" in venice.refuses(
        "-m", "venice/v", "--web-citations", "hello"
    )


@pytest.fixture
def azure(user: User) -> User:
    """A user with a deployment on the service."""
    entry = {
        "provider": "openai",
        "model_id": "az",
        "model_name": "deployment",
        "endpoint": user.vendors.url,
        "api_key_name": "azure-key",
        "aliases": ["azure-alias"],
    }
    user.store("keys.json", {"azure-key": "sk-azure"})
    user.store("azure/config.yaml", [entry])
    return user.uses("llm-azure")


def test_azure_answers_through_its_own_client(azure: User) -> None:
    """`get_client` of a mixin over `_Shared` decides who sends the request."""
    asked = ("-m", "azure-alias", "-s", "be brief", "hello")
    assert azure.ask(*asked, replies=[text_stream("Hi", " there")]) == "Hi there\n"
    assert azure.last.headers["authorization"] == "Bearer sk-azure"
    assert "x-stainless-lang" in azure.last.headers
    assert azure.last.body["model"] == "deployment"


def test_azure_calls_tools_and_keeps_to_schemas(azure: User) -> None:
    """What its constructor asks for works in the library's fast."""
    replies = [tool_call_stream(("shout", {"text": "hi"})), text_stream("HI")]
    assert azure.ask("-m", "az", "--functions", SHOUT, "go", replies=replies) == "HI\n"
    assert azure.last.body["messages"][-1]["content"] == "HI"
    answer = '{"name": "Rex"}'
    replies = [text_stream(answer)]
    assert azure.ask("-m", "az", "--schema", "name str", "dog", replies=replies) == f"{answer}\n"
    assert azure.last.body["response_format"]["type"] == "json_schema"


@SYNC_AND_ASYNC
def test_github_copilot_uses_its_token_and_headers(user: User, driver: Driver) -> None:
    """It lists its models over the network, and hands over a key and headers."""
    user.uses("llm-github-copilot")
    token = {"token": "copilot-token", "expires_at": time.time() + 3600}
    user.store("github_copilot_api_key.json", token)
    abilities = {"streaming": True, "tool_calls": True}
    listed = json_reply({"data": [{"id": "g", "capabilities": {"supports": abilities}}]})
    replies = [listed, tool_call_stream(("shout", {"text": "hi"})), text_stream("HI")]
    asked = ("-m", "github_copilot/g", "--functions", SHOUT, *driver, "go")
    assert user.ask(*asked, replies=replies) == "HI\n"
    assert set(user.vendors.tunnels) == {"api.githubcopilot.com:443"}
    assert user.last.headers["authorization"] == "Bearer copilot-token"
    assert user.last.headers["editor-version"].startswith("vscode/")
    assert (user.last.body["model"], user.last.body["stream"]) == ("g", True)


ROUTED = {
    "id": "acme/m",
    "name": "M",
    "architecture": {"input_modalities": ["text", "image"]},
    "supported_parameters": ["tools", "reasoning", "structured_outputs"],
}


@pytest.fixture
def router(user: User) -> User:
    """A user with a key and one model of the router."""
    user.store("keys.json", {"openrouter": "sk-router"})
    user.store("openrouter_models.json", {"data": [ROUTED]})
    return user.uses("llm-openrouter")


@SYNC_AND_ASYNC
def test_openrouter_puts_its_options_where_they_belong(router: User, driver: Driver) -> None:
    """It moves what `_build_responses_kwargs` gives, penalties included, into the extra body."""
    options = {"provider": '{"only": ["x"]}', "reasoning_effort": "high", "frequency_penalty": "1"}
    asked = ["-m", "openrouter/acme/m", *driver]
    for name, value in options.items():
        asked += ["-o", name, value]
    assert router.ask(*asked, "hello", replies=[response_stream(ANSWER)]) == "Hi there\n"
    assert set(router.vendors.tunnels) == {"openrouter.ai:443"}
    assert router.last.path == "/api/v1/responses"
    assert router.last.headers["authorization"] == "Bearer sk-router"
    assert router.last.headers["x-openrouter-title"] == "LLM"
    body = router.last.body
    assert body["provider"] == {"only": ["x"]}
    assert body["reasoning"] == {"effort": "high"}
    assert body["frequency_penalty"] == 1


def test_openrouter_refuses_options_that_the_router_has_not(router: User) -> None:
    """It finds them in what `_build_responses_kwargs` gives."""
    told = router.refuses("-m", "openrouter/acme/m", "-o", "seed", "1", "-o", "stop", "x", "hi")
    assert "does not support these options: stop, seed" in told


@SYNC_AND_ASYNC
def test_openrouter_tools_of_the_vendor_go_back_as_they_came(router: User, driver: Driver) -> None:
    """Its events, their final values and the items it replays survive the log."""
    search = {"type": "openrouter:web_search", "id": "w1", "status": "searching"}
    found = {**search, "status": "completed", "action": {"query": "pelicans"}}
    final = {"id": "r", "object": "response", "status": "completed", "output": [found, ANSWER]}
    reply = sse_reply(
        [
            {"type": "response.output_item.done", "item": search},
            {"type": "response.output_item.done", "item": ANSWER},
            {"type": "response.completed", "response": final},
        ],
        done=False,
    )
    asked = ("-m", "openrouter/acme/m", "-T", "WebSearch", *driver, "go")
    assert router.ask(*asked, replies=[reply]) == "Hi there\n"
    assert router.last.body["tools"] == [{"type": "openrouter:web_search"}]
    replies = [response_stream(ANSWER)]
    assert router.ask("-c", *driver, "more", replies=replies) == "Hi there\n"
    assert [item.get("type", item.get("role")) for item in router.last.body["input"]] == [
        "user",
        "openrouter:web_search",
        "assistant",
        "user",
    ]
    assert router.last.body["input"][1] == found


@SYNC_AND_ASYNC
def test_openrouter_delegates_to_chat_completions(router: User, driver: Driver) -> None:
    """`_delegate_chat_kwargs` builds its own chat model."""
    asked = ("-m", "openrouter/acme/m", "-o", "chat_completions", "1", "-o", "seed", "4", *driver)
    assert router.ask(*asked, "hello", replies=[text_stream("Hi")]) == "Hi\n"
    assert router.last.path == "/api/v1/chat/completions"
    assert router.last.body["seed"] == 4
    assert router.last.headers["authorization"] == "Bearer sk-router"
