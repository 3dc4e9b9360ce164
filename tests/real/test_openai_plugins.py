"""Plugins that derive their models from ours, unchanged from the package index.

Each runs as its users run it, with the addresses it was published with: a proxy on loopback leads
all of them to an imitation, which proves itself as the vendor by an authority of the tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..helpers.authority import Authority
from ..helpers.openai_server import (
    OpenAIServer,
    Received,
    Reply,
    completion,
    json_reply,
    sse_reply,
    text_stream,
    tool_call_stream,
)
from ..helpers.plugin_environment import PluginEnvironment, plugin_environment

PLUGINS = (
    "llm-azure==2.1",
    "llm-deepseek==0.1.6",
    "llm-github-copilot==0.3.1",
    "llm-llama-server==0.2",
    "llm-openrouter==0.7.1",
    "llm-venice==0.9.1",
)
SHOUT = "def shout(text: str) -> str:\n    'Say it loudly'\n    return text.upper()"
ANSWER = {
    "type": "message",
    "id": "m1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hi there"}],
}


@pytest.fixture(scope="module")
def installed() -> PluginEnvironment:
    """An environment with the plugins."""
    return plugin_environment(*PLUGINS)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Vouches for the vendors."""
    return Authority()


@pytest.fixture
def vendors(authority: Authority) -> Iterator[OpenAIServer]:
    """All vendors in one."""
    with OpenAIServer(authority) as running:
        yield running


class Plugins:
    """The plugins of one user, and the vendors they reach.

    Args:
        environment: Where they are installed.
        vendors: Who answers.
        user_path: What the user has stored.
        certificate: The authority that the user trusts.
    """

    def __init__(
        self,
        environment: PluginEnvironment,
        vendors: OpenAIServer,
        user_path: Path,
        certificate: Path,
    ) -> None:
        self.vendors = vendors
        self._environment = environment
        self._user_path = user_path
        self._variables = {
            "HTTP_PROXY": vendors.proxy_url,
            "HTTPS_PROXY": vendors.proxy_url,
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(certificate),
            "LLM_DEEPSEEK_KEY": "",
        }

    def store(self, name: str, value: Any) -> None:
        """Put a file into the user directory."""
        path = self._user_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
        path.chmod(0o600)

    def ask(self, *args: str, replies: list[Reply], env: Mapping[str, str] | None = None) -> str:
        """What `llm` writes with these arguments, when the vendor answers like this."""
        self.vendors.add(*replies)
        result = self._environment.llm(*args, env={**self._variables, **(env or {})})
        assert (result.stderr, result.returncode) == ("", 0)
        assert self.vendors.replies == []
        return result.stdout

    def refuses(self, *args: str) -> str:
        """The error that `llm` ends with, before anything is sent."""
        result = self._environment.llm(*args, env=self._variables)
        assert result.returncode == 1
        assert self.vendors.requests == []
        return result.stderr

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.vendors.last


@pytest.fixture
def plugins(
    installed: PluginEnvironment,
    vendors: OpenAIServer,
    authority: Authority,
    user_path: Path,
    tmp_path: Path,
) -> Plugins:
    """The plugins of a user who has stored no key."""
    user_path.chmod(0o700)
    return Plugins(installed, vendors, user_path, authority.write(tmp_path / "authority.pem"))


def response_stream(*items: dict[str, Any]) -> Reply:
    """A streamed answer of the Responses API."""
    events: list[dict[str, Any]] = []
    for item in items:
        events.append({"type": "response.output_item.added", "item": item})
        if item["type"] == "message":
            text = item["content"][0]["text"]
            events.append(
                {"type": "response.output_text.delta", "item_id": item["id"], "delta": text}
            )
        events.append({"type": "response.output_item.done", "item": item})
    final = {"id": "r", "object": "response", "status": "completed", "output": items}
    events.append({"type": "response.completed", "response": final})
    return sse_reply(events, done=False)


SYNC_AND_ASYNC = pytest.mark.parametrize("driver", [(), ("--async",)], ids=["sync", "async"])
Driver = tuple[str, ...]


@SYNC_AND_ASYNC
def test_deepseek_answers_and_goes_on(plugins: Plugins, driver: Driver) -> None:
    """Its models are there once its key is; `-c` sends the history along."""
    key = {"LLM_DEEPSEEK_KEY": "sk-deep"}
    asked = ("-m", "deepseek-chat", "-s", "be brief", "-o", "max_tokens", "7", *driver, "hello")
    assert plugins.ask(*asked, replies=[text_stream("Hi", " there")], env=key) == "Hi there\n"
    assert set(plugins.vendors.tunnels) == {"api.deepseek.com:443"}
    assert plugins.last.path == "/chat/completions"
    assert plugins.last.headers["authorization"] == "Bearer sk-deep"
    assert (plugins.last.body["model"], plugins.last.body["max_tokens"]) == ("deepseek-chat", 7)
    assert plugins.ask("-c", *driver, "more", replies=[text_stream("And")], env=key) == "And\n"
    assert [(m["role"], m["content"]) for m in plugins.last.body["messages"]] == [
        ("system", "be brief"),
        ("user", "hello"),
        ("assistant", "Hi there"),
        ("user", "more"),
    ]


@SYNC_AND_ASYNC
def test_llama_server_needs_no_key(plugins: Plugins, driver: Driver) -> None:
    """The key of its class is sent to the fixed address, nothing that the user has stored."""
    asked = ("-m", "llama-server", *driver, "hello")
    assert plugins.ask(*asked, replies=[text_stream("Hi")]) == "Hi\n"
    assert plugins.last.path == "http://localhost:8080/v1/chat/completions"
    assert plugins.last.headers["authorization"] == "Bearer sk-llama-server"


def test_llama_server_calls_tools_without_streaming(plugins: Plugins) -> None:
    """`can_stream=False` and `supports_tools=True` count."""
    call = {"id": "c1", "function": {"name": "shout", "arguments": '{"text": "hi"}'}}
    replies = [
        json_reply(completion({"content": None, "tool_calls": [call]}, "tool_calls")),
        json_reply(completion({"content": "HI"})),
    ]
    asked = ("-m", "llama-server-tools", "--functions", SHOUT, "go")
    assert plugins.ask(*asked, replies=replies) == "HI\n"
    assert plugins.last.body["stream"] is False
    assert plugins.last.body["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "HI",
    }


@pytest.fixture
def venice(plugins: Plugins) -> Plugins:
    """The plugins, with a key and one model of the vendor."""
    plugins.store("keys.json", {"venice": "sk-venice"})
    plugins.store("venice_models.json", VENICE)
    return plugins


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
def test_venice_adds_flags_and_an_extra_body(venice: Plugins, driver: Driver) -> None:
    """It wraps `llm prompt`, extends `Chat.Options`, and changes what `build_kwargs` gives."""
    asked = ("-m", "venice/v", "--web-search", "on", "--character", "bob", "-o", "min_p", "0.1")
    assert venice.ask(*asked, *driver, "hello", replies=[text_stream("Hi")]) == "Hi\n"
    assert set(venice.vendors.tunnels) == {"api.venice.ai:443"}
    body = venice.last.body
    assert body["venice_parameters"] == {"enable_web_search": "on", "character_slug": "bob"}
    assert (body["min_p"], "enable_web_search" in body) == (0.1, False)
    assert venice.last.headers["authorization"] == "Bearer sk-venice"


def test_venice_keeps_strictly_to_a_schema(venice: Plugins) -> None:
    """It changes the schema within the request."""
    asked = ("-m", "venice/v", "--schema", "name, age int", "a dog")
    answer = '{"name": "Rex", "age": 3}'
    assert venice.ask(*asked, replies=[text_stream(answer)]) == f"{answer}\n"
    shape = venice.last.body["response_format"]["json_schema"]
    assert (shape["strict"], shape["schema"]["additionalProperties"]) == (True, False)


def test_venice_refuses_by_an_error_of_ours(venice: Plugins) -> None:
    """The `llm.ModelError` that it raises while the request is built ends the command."""
    assert "enable_web_search must be set" in venice.refuses(
        "-m", "venice/v", "--web-citations", "hello"
    )


@pytest.fixture
def azure(plugins: Plugins) -> Plugins:
    """The plugins, with a deployment on the service."""
    entry = {
        "provider": "openai",
        "model_id": "az",
        "model_name": "deployment",
        "endpoint": plugins.vendors.url,
        "api_key_name": "azure-key",
        "aliases": ["azure-alias"],
    }
    plugins.store("keys.json", {"azure-key": "sk-azure"})
    plugins.store("azure/config.yaml", [entry])
    return plugins


def test_azure_answers_through_its_own_client(azure: Plugins) -> None:
    """`get_client` of a mixin over `_Shared` decides who sends the request."""
    asked = ("-m", "azure-alias", "-s", "be brief", "hello")
    assert azure.ask(*asked, replies=[text_stream("Hi", " there")]) == "Hi there\n"
    assert azure.last.headers["authorization"] == "Bearer sk-azure"
    assert "x-stainless-lang" in azure.last.headers
    assert azure.last.body["model"] == "deployment"


def test_azure_calls_tools_and_keeps_to_schemas(azure: Plugins) -> None:
    """What its constructor asks for works in the library's fast."""
    replies = [tool_call_stream(("shout", {"text": "hi"})), text_stream("HI")]
    assert azure.ask("-m", "az", "--functions", SHOUT, "go", replies=replies) == "HI\n"
    assert azure.last.body["messages"][-1]["content"] == "HI"
    answer = '{"name": "Rex"}'
    replies = [text_stream(answer)]
    assert azure.ask("-m", "az", "--schema", "name str", "dog", replies=replies) == f"{answer}\n"
    assert azure.last.body["response_format"]["type"] == "json_schema"


@SYNC_AND_ASYNC
def test_github_copilot_uses_its_token_and_headers(plugins: Plugins, driver: Driver) -> None:
    """It lists its models over the network, and hands over a key and headers."""
    token = {"token": "copilot-token", "expires_at": time.time() + 3600}
    plugins.store("github_copilot_api_key.json", token)
    abilities = {"streaming": True, "tool_calls": True}
    listed = json_reply({"data": [{"id": "g", "capabilities": {"supports": abilities}}]})
    replies = [listed, tool_call_stream(("shout", {"text": "hi"})), text_stream("HI")]
    asked = ("-m", "github_copilot/g", "--functions", SHOUT, *driver, "go")
    # Making the index asks for the list, too.
    env = {"LLM_NO_PLUGIN_INDEX": "1"}
    assert plugins.ask(*asked, replies=replies, env=env) == "HI\n"
    assert set(plugins.vendors.tunnels) == {"api.githubcopilot.com:443"}
    assert plugins.last.headers["authorization"] == "Bearer copilot-token"
    assert plugins.last.headers["editor-version"].startswith("vscode/")
    assert (plugins.last.body["model"], plugins.last.body["stream"]) == ("g", True)


ROUTED = {
    "id": "acme/m",
    "name": "M",
    "architecture": {"input_modalities": ["text", "image"]},
    "supported_parameters": ["tools", "reasoning", "structured_outputs"],
}


@pytest.fixture
def router(plugins: Plugins) -> Plugins:
    """The plugins, with a key and one model of the router."""
    plugins.store("keys.json", {"openrouter": "sk-router"})
    plugins.store("openrouter_models.json", {"data": [ROUTED]})
    return plugins


@SYNC_AND_ASYNC
def test_openrouter_puts_its_options_where_they_belong(router: Plugins, driver: Driver) -> None:
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


def test_openrouter_refuses_options_that_the_router_has_not(router: Plugins) -> None:
    """It finds them in what `_build_responses_kwargs` gives."""
    told = router.refuses("-m", "openrouter/acme/m", "-o", "seed", "1", "-o", "stop", "x", "hi")
    assert "does not support these options: stop, seed" in told


@SYNC_AND_ASYNC
def test_openrouter_tools_of_the_vendor_go_back_as_they_came(
    router: Plugins, driver: Driver
) -> None:
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
def test_openrouter_delegates_to_chat_completions(router: Plugins, driver: Driver) -> None:
    """`_delegate_chat_kwargs` builds its own chat model."""
    asked = ("-m", "openrouter/acme/m", "-o", "chat_completions", "1", "-o", "seed", "4", *driver)
    assert router.ask(*asked, "hello", replies=[text_stream("Hi")]) == "Hi\n"
    assert router.last.path == "/api/v1/chat/completions"
    assert router.last.body["seed"] == 4
    assert router.last.headers["authorization"] == "Bearer sk-router"
