"""Models of the Responses API, and the tools that OpenAI runs itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.default_plugins.openai_models import (
    AsyncResponses,
    CodeInterpreter,
    Responses,
    WebSearch,
    _SharedResponses,
)
from llm.errors import ConnectionLost, LLMError, ModelError, Overloaded, RateLimited
from llm.parts import StreamEvent
from llm.providers.openai.transport import fast
from llm.providers.openai.wire.responses_answers import Item, ResponsesAccumulator
from llm.providers.openai.wire.shapes import DONE
from llm.text import JSONObject

from .helpers.models import of_role
from .helpers.openai_server import OpenAIServer, json_reply, sse_reply, text_stream

WIRE = Path(__file__).parent / "data/wire"
EVERYTHING = json.loads((WIRE / "responses-stream-everything.json").read_text(encoding="utf-8"))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running
    fast.close()


class SdkResponses(Responses):
    """A model with a client of its own, as plugins have."""

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        return openai.OpenAI(api_key="k", base_url=self.api_base, max_retries=0)


class SdkAsyncResponses(AsyncResponses):
    """Its asynchronous twin."""

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        return openai.AsyncOpenAI(api_key="k", base_url=self.api_base, max_retries=0)


KINDS = [Responses, AsyncResponses, SdkResponses, SdkAsyncResponses]


def run(kind: type, base: str, **more: Any) -> Any:
    """A finished response of a model of that class, in a synchronous form."""
    model = kind("gpt-5", api_base=base, key="k", reasoning=True, supports_tools=True)
    response = model.prompt("hi", **more)
    if not isinstance(response, llm.AsyncResponse):
        response.text()
        return response

    async def finish() -> Any:
        return await (await response).to_sync_response()

    return asyncio.run(finish())


@pytest.mark.parametrize("stream", [True, False])
def test_transports_and_drivers_give_the_same(server: OpenAIServer, stream: bool) -> None:
    """The fast transport and the SDK, sync and async: same request, messages, usage and record."""
    whole = EVERYTHING["reply"][-1]["response"]
    found = []
    for kind in KINDS:
        server.add(sse_reply(EVERYTHING["reply"], done=False) if stream else json_reply(whole))
        response = run(kind, server.url, stream=stream, tools=[WebSearch()])
        found.append(
            {
                "request": server.last.body,
                "events": response.event_log,
                "messages": response.messages(),
                "calls": response.tool_calls(),
                "usage": response.usage(),
                "json": response.response_json,
                "model": response.resolved_model,
            }
        )
    assert found[0]["calls"]
    assert found.count(found[0]) == len(KINDS)


def test_final_values_replace_those_that_were_streamed(server: OpenAIServer) -> None:
    """The logged messages have the final encrypted reasoning and the final search action."""
    server.add(sse_reply(EVERYTHING["reply"], done=False))
    first, second = run(Responses, server.url).messages()
    assert first.parts[0].provider_metadata["openai"]["encrypted_content"] == "ENC2"
    assert first.parts[0].text == "Think"
    assert first.parts[1].arguments["sources"] == [{"type": "url", "url": "https://e"}]
    assert [part.type for part in first.parts] == [
        "reasoning",
        "tool_call",
        "tool_result",
        "text",
    ]
    assert [part.type for part in second.parts] == ["text", "tool_call"]


def test_reasoning_goes_back_with_the_next_turn(server: OpenAIServer) -> None:
    """What the API encrypted is sent back as it came."""
    server.add(
        sse_reply(EVERYTHING["reply"], done=False), sse_reply(EVERYTHING["reply"], done=False)
    )
    model = Responses("gpt-5", api_base=server.url, key="k", reasoning=True)
    conversation = model.conversation()
    conversation.prompt("a").text()
    conversation.prompt("b").text()
    sent = server.last.body["input"]
    assert sent[1] == {
        "type": "reasoning",
        "id": "rs_1",
        "encrypted_content": "ENC2",
        "summary": [{"type": "summary_text", "text": "Think"}],
    }


def test_reasoning_goes_back_in_another_process(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`llm -c` sends what the API needs to go on from its reasoning, and tool calls after it."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    reasoning = {"type": "reasoning", "id": "rs_1", "encrypted_content": "E", "summary": []}
    call = {"id": "fc_1", "call_id": "c1", "name": "shout", "arguments": '{"text": "a"}'}
    answer = {"type": "output_text", "text": "A"}
    for output in (
        [reasoning, {"type": "function_call", **call}],
        [{"type": "message", "id": "m1", "content": [answer]}],
        [{"type": "message", "id": "m2", "content": [answer]}],
    ):
        reply = {"object": "response", "status": "completed", "output": output}
        server.add(json_reply(reply))
    shout = "def shout(text: str): return text.upper()"
    for args in (["-m", "gpt-5", "--functions", shout, "go"], ["-c", "more"]):
        command = [sys.executable, "-m", "llm", *args]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("A\n", 0), done.stderr
    call.pop("id")
    arguments = call.pop("arguments")
    assert server.last.body["input"] == [
        {"role": "user", "content": "go"},
        reasoning,
        {"type": "function_call", **call, "arguments": arguments},
        {"type": "function_call_output", "call_id": "c1", "output": "A"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "more"},
    ]


def test_options_that_the_api_does_not_know_are_told(
    server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are not sent, and one line names them."""
    server.add(json_reply({"object": "response", "output": []}))
    options = {"stop": "x", "presence_penalty": 1, "logit_bias": {"1": 2}, "temperature": 0}
    run(Responses, server.url, stream=False, options=options)
    assert not {"stop", "presence_penalty", "logit_bias"} & set(server.last.body)
    assert server.last.body["temperature"] == 0
    assert capsys.readouterr().err == (
        "Not sent, as the Responses API has no such option: presence_penalty, stop, logit_bias\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_seed_is_sent_to_compatible_servers(server: OpenAIServer, kind: type) -> None:
    """They know it, though the API of OpenAI does not, nor does its library."""
    server.add(json_reply({"object": "response", "output": []}))
    run(kind, server.url, stream=False, options={"seed": 1})
    assert server.last.body["seed"] == 1


def test_seed_is_not_sent_to_openai(capsys: pytest.CaptureFixture[str]) -> None:
    """It would refuse the request."""
    model = Responses("gpt-5", key="k")
    response = model.prompt("hi", seed=1)
    request = model._request(response.prompt, True, response)
    assert not {"seed", "extra_body"} & set(request)
    assert capsys.readouterr().err.endswith("no such option: seed\n")


def test_no_summary_is_asked_for_where_none_is_wanted(server: OpenAIServer) -> None:
    """`reasoning_summary=False` leaves the object out, until an effort is given."""
    answer = json_reply({"object": "response", "output": []})
    server.add(answer, answer, answer)
    model = Responses("m", api_base=server.url, key="k", reasoning=True, reasoning_summary=False)
    model.prompt("x", stream=False).text()
    assert "reasoning" not in server.last.body
    assert "include" not in server.last.body
    model.prompt("x", stream=False, reasoning_effort="high").text()
    assert server.last.body["reasoning"] == {"effort": "high"}
    assert server.last.body["include"] == ["reasoning.encrypted_content"]
    Responses("m", api_base=server.url, key="k").prompt("x", stream=False).text()
    assert "reasoning" not in server.last.body


def test_provider_tools_shape_the_request(server: OpenAIServer) -> None:
    """Each tool puts in its specification and what else it needs."""
    server.add(json_reply({"object": "response", "output": []}))
    tools = [
        WebSearch(allowed_domains=["a.org"], include_sources=True, include_results=True),
        CodeInterpreter(memory_limit="4g", file_ids=["f1"]),
        llm.ServerSideTool({"type": "image_generation"}),
    ]
    run(Responses, server.url, stream=False, tools=tools)
    assert server.last.body["tools"] == [
        {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}},
        {
            "type": "code_interpreter",
            "container": {"type": "auto", "memory_limit": "4g", "file_ids": ["f1"]},
        },
        {"type": "image_generation"},
    ]
    assert server.last.body["include"] == [
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
        "code_interpreter_call.outputs",
    ]


def test_web_search_puts_in_every_given_value() -> None:
    """Arguments that are given go out by name; a location is approximate."""
    tool = WebSearch(
        blocked_domains=["b.org"],
        user_location={"city": "Rome"},
        search_context_size="low",
        external_web_access=False,
        return_token_budget="unlimited",
        search_content_types=["text", "image"],
        image_settings={"max_results": 2, "caption": True},
    )
    assert tool.tool_spec(None) == {
        "type": "web_search",
        "filters": {"blocked_domains": ["b.org"]},
        "user_location": {"type": "approximate", "city": "Rome"},
        "search_context_size": "low",
        "external_web_access": False,
        "return_token_budget": "unlimited",
        "search_content_types": ["text", "image"],
        "image_settings": {"max_results": 2, "caption": True},
    }
    assert CodeInterpreter("cntr_1").tool_spec(None)["container"] == "cntr_1"
    kwargs: dict[str, Any] = {}
    WebSearch().prepare_request(None, kwargs)
    assert kwargs == {}
    tool.include_sources = True
    tool.prepare_request(None, kwargs)
    tool.prepare_request(None, kwargs)
    assert kwargs == {"include": ["web_search_call.action.sources"]}


@pytest.mark.parametrize(
    ("tool", "settings", "error"),
    [
        (WebSearch, {"allowed_domains": "a.org"}, TypeError),
        (WebSearch, {"allowed_domains": [5]}, TypeError),
        (WebSearch, {"allowed_domains": [""]}, ValueError),
        (WebSearch, {"blocked_domains": ["https://a.org"]}, ValueError),
        (WebSearch, {"allowed_domains": ["a"] * 101}, ValueError),
        (WebSearch, {"user_location": "Rome"}, TypeError),
        (WebSearch, {"user_location": {"type": "exact"}}, ValueError),
        (WebSearch, {"search_context_size": "huge"}, ValueError),
        (WebSearch, {"search_context_size": 5}, TypeError),
        (WebSearch, {"return_token_budget": "some"}, ValueError),
        (WebSearch, {"search_content_types": ["video"]}, ValueError),
        (WebSearch, {"image_settings": 5}, TypeError),
        (WebSearch, {"image_settings": {"max_results": True}}, TypeError),
        (WebSearch, {"image_settings": {"max_results": 0}}, ValueError),
        (WebSearch, {"image_settings": {"caption": "yes"}}, TypeError),
        (WebSearch, {"external_web_access": "no"}, TypeError),
        (WebSearch, {"include_sources": 1}, TypeError),
        (CodeInterpreter, {"container": 5}, TypeError),
        (CodeInterpreter, {"container": ""}, ValueError),
        (CodeInterpreter, {"container": "c", "memory_limit": "1g"}, ValueError),
        (CodeInterpreter, {"memory_limit": "2g"}, ValueError),
        (CodeInterpreter, {"file_ids": 5}, TypeError),
    ],
)
def test_provider_tools_check_their_arguments(
    tool: Any, settings: JSONObject, error: type[Exception]
) -> None:
    """A wrong type is a TypeError, a wrong value a ValueError."""
    with pytest.raises(error):
        tool(**settings)


def test_tools_are_claimed_by_responses_models_only() -> None:
    """A chat model does not take them."""
    tools = llm.get_model("gpt-5").supported_server_side_tools
    assert tools == (WebSearch, CodeInterpreter, llm.ServerSideTool)
    with pytest.raises(ValueError, match="does not support server-side tool 'web_search'"):
        llm.get_model("gpt-4o").prompt("x", tools=[WebSearch()])


@pytest.mark.parametrize(
    ("item", "arguments", "result"),
    [
        ({"type": "web_search_call", "id": "w"}, "{}", "completed"),
        ({"type": "web_search_call", "id": "w", "status": "failed"}, "{}", "failed"),
        ({"type": "web_search_call", "id": "w", "results": [{"a": 1}]}, "{}", '[{"a": 1}]'),
        (
            {
                "type": "code_interpreter_call",
                "id": "c",
                "code": "print(1)",
                "outputs": [{"type": "logs", "logs": "1\n"}, {"type": "image", "url": "http://z"}],
            },
            '{"code": "print(1)"}',
            "1\n\nhttp://z",
        ),
        ({"type": "code_interpreter_call", "id": "c", "code": None}, '{"code": ""}', "completed"),
    ],
)
def test_provider_tool_items_become_call_and_result(
    item: dict[str, Any], arguments: str, result: str
) -> None:
    """Call, arguments and result carry the item's id and are marked as run by the provider."""
    events = Responses("m")._server_tool_events(Item(item), 2)
    assert [event.type for event in events] == ["tool_call_name", "tool_call_args", "tool_result"]
    assert events[1].chunk == arguments
    assert events[2].chunk == result
    assert all(event.server_executed and event.message_index == 2 for event in events)
    assert Responses("m")._server_tool_events(Item({"type": "message"}), 0) == []
    # Plugins hand over objects of the `openai` library, and namespaces.
    assert Responses("m")._server_tool_events(as_object(item), 2) == events
    final = {"status": None, **item, "code": None, "results": None, "outputs": None}
    given = Responses("m")._server_tool_events(as_object(item), 2)
    Responses("m")._refresh_server_tool_events([as_object(final)], {item["id"]: given})
    assert given[-1].chunk == str(item.get("status") or "completed")


def as_object(value: Any) -> Any:
    """JSON as objects with attributes, at any depth."""
    if isinstance(value, list):
        return [as_object(item) for item in value]
    if not isinstance(value, dict):
        return value
    return SimpleNamespace(**{name: as_object(item) for name, item in value.items()})


def test_item_reads_by_key_and_by_attribute() -> None:
    """Overrides written for the SDK's objects and such for dicts both work."""
    item = Item({"type": "x", "action": {"query": "q"}, "list": [{"a": 1}]})
    assert item.action.query == item["action"]["query"] == "q"
    assert item.list[0].a == 1
    assert item.missing is None
    assert item.model_dump(mode="json") == dict(item)
    with pytest.raises(AttributeError):
        item.__wrapped__  # noqa: B018


def test_overridden_methods_are_used(server: OpenAIServer) -> None:
    """A plugin may reshape request and tool events, with calls of super()."""
    calls = []
    # What it is mixed into has the methods.
    unknown: Any = object

    class Mixin(unknown):
        def _build_responses_input(self, prompt: Any, image_detail: Any = None) -> Any:
            items, instructions = super()._build_responses_input(prompt, image_detail)
            return [*items, {"role": "user", "content": "added"}], instructions

        def _build_responses_kwargs(self, prompt: Any, stream: bool) -> Any:
            kwargs = super()._build_responses_kwargs(prompt, stream)
            kwargs["extra_body"] = {"provider": {}}
            kwargs["store"] = True
            kwargs["include"] = ["reasoning.encrypted_content"]
            return kwargs

        def _server_tool_events(self, item: Any, message_index: int) -> Any:
            calls.append(item.type)
            return super()._server_tool_events(item, message_index)

        def _refresh_server_tool_events(self, output: Any, done_events: Any) -> None:
            calls.append(sorted(done_events))
            super()._refresh_server_tool_events(output, done_events)

    class Mine(Mixin, Responses):
        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None = None,
            key: str | None = None,
        ) -> Iterator[str | StreamEvent]:
            yield from super().execute(prompt, stream, response, conversation, key)

    server.add(sse_reply(EVERYTHING["reply"], done=False))
    run(Mine, server.url)
    assert server.last.body["input"][-1] == {"role": "user", "content": "added"}
    assert server.last.body["provider"] == {}
    assert server.last.body["store"] is True
    assert server.last.body["include"] == ["reasoning.encrypted_content"]
    assert "web_search_call" in calls
    assert ["ws_1"] in calls


@pytest.mark.parametrize("kind", KINDS)
def test_chat_completions_takes_the_older_api(server: OpenAIServer, kind: type) -> None:
    """`-o chat_completions 1` sends the same prompt there, with the model's own key rules."""
    server.add(text_stream("old"))
    options = {"chat_completions": True, "reasoning_summary": "auto", "reasoning_effort": "low"}
    assert run(kind, server.url, options=options).text() == "old"
    assert server.last.path == "/v1/chat/completions"
    assert server.last.body == {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning_effort": "low",
    }


def test_chat_completions_never_sends_a_key_that_was_not_asked_for(
    server: OpenAIServer, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of another server that needs no key needs none there either."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    (user_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: r, responses: true, api_base: '{server.url}'}}"
    )
    server.add(text_stream("x"))
    assert llm.get_model("r").prompt("x", chat_completions=True).text() == "x"
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"


def test_chat_completions_refuses_provider_tools() -> None:
    """The older API has none of them."""
    model = Responses("m", key="k", supports_tools=True)
    response = model.prompt("x", tools=[WebSearch()], chat_completions=True)
    with pytest.raises(ValueError, match="leave out the option chat_completions"):
        response.text()


def test_system_prompt_can_be_disallowed() -> None:
    """A model that takes none says so."""
    model = Responses("m", key="k", allows_system_prompt=False)
    with pytest.raises(NotImplementedError, match="does not support system prompts"):
        model.prompt("x", system="s").text()


def test_request_without_data_is_kept(server: OpenAIServer) -> None:
    """Input and instructions are at hand, with data URLs cut."""
    server.add(json_reply({"object": "response", "output": []}))
    model = Responses("m", api_base=server.url, key="k", vision=True)
    image = llm.Attachment(type="image/png", content=b"abc")
    response = model.prompt("look", system="s", attachments=[image], stream=False)
    response.text()
    kept = response._prompt_json
    assert kept["instructions"] == "s"
    assert kept["input"][0]["content"][1]["image_url"] == "data:..."


class Tools(_SharedResponses):
    """Turns items into events without being a model."""

    def __init__(self) -> None:
        super().__init__("m")


def folded(*values: dict[str, Any]) -> tuple[ResponsesAccumulator, list[Any]]:
    """An accumulator that has taken these objects, and the events that it gave."""
    answer = ResponsesAccumulator(
        Tools()._server_tool_events,
        Tools()._refresh_server_tool_events,
        lambda value: ModelError(json.dumps(value)),
    )
    events = [event for value in values for event in answer.feed(value)]
    return answer, events + answer.finish()


def done(**item: Any) -> dict[str, Any]:
    """The event that an output item is finished."""
    return {"type": "response.output_item.done", "item": item}


def completed(**response: Any) -> dict[str, Any]:
    """The event that the response is finished."""
    return {"type": "response.completed", "response": {"object": "response", **response}}


def test_servers_that_stream_no_deltas_are_understood() -> None:
    """Finished items alone give text, calls and reasoning."""
    answer, events = folded(
        done(type="reasoning", id="r", summary=[], content=[{"text": "hm"}]),
        done(type="message", id="m", content=[{"type": "output_text", "text": "Hi"}]),
        done(type="function_call", call_id="c", name="f", arguments="{oops"),
        completed(),
    )
    assert [e if isinstance(e, str) else (e.type, e.chunk) for e in events] == [
        ("reasoning", "hm"),
        "Hi",
        ("tool_call_name", "f"),
        ("tool_call_args", "{oops"),
    ]
    assert answer.calls() == [("f", {"_raw": "{oops"}, "c")]
    assert answer.is_complete


def at(index: int | None, kind: str, **fields: Any) -> dict[str, Any]:
    """An event about the item at a place in the output."""
    place = {} if index is None else {"output_index": index}
    return {"type": f"response.{kind}", **place, **fields}


def begun(index: int | None, **item: Any) -> dict[str, Any]:
    """The event that an item begins."""
    return at(index, "output_item.added", item=item)


TEXT = [{"type": "output_text", "text": "Hi"}]
F = {"type": "function_call", "name": "f", "arguments": '{"x":1}'}
G = {"type": "function_call", "name": "g", "arguments": '{"x":2}'}
ITEMS: dict[str, list[dict[str, Any]]] = {
    "another id in each event": [
        begun(0, type="message", id="1"),
        at(0, "output_text.delta", item_id="2", delta="H"),
        at(0, "output_text.delta", item_id="3", delta="i"),
        at(0, "output_text.done", item_id="4", text="Hi"),
        at(0, "output_item.done", item={"type": "message", "id": "5", "content": TEXT}),
        begun(1, **F, id="6", call_id="a"),
        at(1, "function_call_arguments.delta", item_id="7", delta=F["arguments"]),
        at(1, "output_item.done", item={**F, "id": "8", "call_id": "a"}),
        begun(2, **G, id="9", call_id="b"),
        completed(
            output=[
                {"type": "message", "id": "10", "content": TEXT},
                {**F, "id": "11", "call_id": "a"},
                {**G, "id": "12", "call_id": "b"},
            ]
        ),
    ],
    "another id in each event, and no place": [
        begun(None, type="message", id="1"),
        at(None, "output_text.delta", item_id="2", delta="Hi"),
        at(None, "output_item.done", item={"type": "message", "id": "3", "content": TEXT}),
        begun(None, **F, id="4", call_id="a"),
        at(None, "function_call_arguments.delta", item_id="5", delta=F["arguments"]),
        at(None, "output_item.done", item={**F, "id": "6", "call_id": "a"}),
        begun(None, **G, id="7", call_id="b"),
        at(None, "function_call_arguments.done", item_id="8", arguments=G["arguments"]),
        at(None, "output_item.done", item={**G, "id": "9", "call_id": "b"}),
        completed(),
    ],
    "one place for all": [
        begun(0, type="message", id="1"),
        at(0, "output_text.delta", item_id="1", delta="Hi"),
        begun(0, **F, id="2", call_id="a"),
        at(0, "function_call_arguments.delta", item_id="2", delta=F["arguments"]),
        at(0, "output_item.done", item={**F, "id": "2", "call_id": "a"}),
        begun(0, **G, id="3", call_id="b"),
        at(0, "function_call_arguments.delta", item_id="3", delta=G["arguments"]),
        at(0, "output_item.done", item={**G, "id": "3", "call_id": "b"}),
        completed(output=[{**G, "call_id": "b"}, {**F, "call_id": "a"}]),
    ],
    "only the end": [
        completed(
            output=[{"type": "message", "content": "Hi"}, {**F, "call_id": "a"}, {**G, "id": "b"}]
        )
    ],
    "one of two calls only in the end": [
        at(None, "output_text.delta", delta="Hi"),
        begun(1, **G, id="2", call_id="b"),
        completed(output=[{**F, "call_id": "a"}, {**G, "id": "3", "call_id": "b"}]),
    ],
    "texts and arguments only when they are done": [
        at(0, "output_text.done", content_index=0, text="H"),
        at(0, "output_text.done", content_index=1, text="i"),
        begun(1, type="function_call", call_id="a", name="f"),
        at(1, "function_call_arguments.done", arguments=F["arguments"]),
        begun(2, type="function_call", call_id="b", name="g"),
        at(2, "function_call_arguments.done", arguments=G["arguments"]),
        completed(),
    ],
    "everything finished twice": [
        at(0, "output_item.done", item={"type": "message", "id": "m", "content": TEXT}),
        at(0, "output_item.done", item={"type": "message", "id": "m", "content": TEXT}),
        at(1, "output_item.done", item={**F, "call_id": "a"}),
        at(1, "output_item.done", item={**F, "call_id": "a"}),
        at(2, "output_item.done", item={**G, "call_id": "b"}),
        completed(),
    ],
}


@pytest.mark.parametrize("values", ITEMS.values(), ids=ITEMS)
def test_items_come_once_whatever_a_server_calls_them(values: list[dict[str, Any]]) -> None:
    """Text and calls are told once and whole, where they stand in the stream or in its end."""
    answer, events = folded(*values)
    assert "".join(event for event in events if isinstance(event, str)) == "Hi"
    assert sorted(answer.calls()) == [("f", {"x": 1}, "a"), ("g", {"x": 2}, "b")]
    names = [event.chunk for event in events if not isinstance(event, str)]
    assert sorted(names) == sorted(["f", F["arguments"], "g", G["arguments"]])


def test_calls_of_one_id_or_none_have_an_id_each() -> None:
    """Two calls stay two; a result can be told from the other."""
    answer, _ = folded(
        at(0, "output_item.done", item={**F, "call_id": "a"}),
        at(1, "output_item.done", item={**G, "call_id": "a"}),
        at(2, "output_item.done", item={**G}),
        completed(output=[{**F, "call_id": "a"}, {**G, "call_id": "a"}, {**G}]),
    )
    names, ids = zip(*((name, call_id) for name, _, call_id in answer.calls()), strict=True)
    assert names == ("f", "g", "g")
    assert len(set(ids)) == 3
    assert ids[0] == "a"


def test_reasoning_of_several_pieces_is_whole() -> None:
    """Where only the end of each piece of a summary is told, no piece is lost."""
    _, events = folded(
        at(0, "reasoning_summary_text.done", item_id="1", summary_index=0, text="one "),
        at(0, "reasoning_summary_text.done", item_id="2", summary_index=1, text="two"),
        at(0, "output_item.done", item={"type": "reasoning", "id": "3", "summary": []}),
        completed(output=[{"type": "reasoning", "id": "4", "encrypted_content": "x"}]),
    )
    assert [event.chunk for event in events] == ["one ", "two", "", ""]
    assert events[-1].provider_metadata == {"openai": {"id": "4", "encrypted_content": "x"}}


def test_whole_text_of_reasoning_counts_where_no_delta_came() -> None:
    """The `.done` events are used only then."""
    _, events = folded(
        {"type": "response.reasoning_summary_text.done", "item_id": "r", "text": "whole"},
        {"type": "response.reasoning_text.delta", "item_id": "s", "delta": "piece"},
        {"type": "response.reasoning_text.done", "item_id": "s", "text": "piece"},
        done(type="reasoning", id="r", summary=[]),
        done(type="reasoning", id="t", summary=[]),
    )
    assert [(event.chunk, event.redacted) for event in events] == [
        ("whole", False),
        ("piece", False),
        ("", False),
        ("", True),
    ]


def test_reasoning_nobody_saw_is_marked() -> None:
    """Tokens without an item give one redacted event."""
    _, events = folded(completed(usage={"output_tokens_details": {"reasoning_tokens": 4}}))
    assert events == [StreamEvent("reasoning", "", redacted=True)]


def test_half_a_character_at_the_end_is_replaced() -> None:
    """Nothing of the text is lost."""
    _, events = folded({"type": "response.output_text.delta", "item_id": "m", "delta": "a\ud83d"})
    assert events[0] == "a"
    assert events[1].chunk == "\ufffd"


@pytest.mark.parametrize(
    ("values", "notice"),
    [
        (
            [{"type": "response.refusal.delta", "item_id": "m", "delta": "No"}, completed()],
            "The model refused: No",
        ),
        (
            [done(type="message", id="m", content=[{"type": "refusal", "refusal": "No"}])],
            "The model refused: No",
        ),
        (
            [
                {
                    "type": "response.incomplete",
                    "response": {
                        "status": "incomplete",
                        "incomplete_details": {"reason": "max_output_tokens"},
                    },
                }
            ],
            "cut off",
        ),
        (
            [completed(status="incomplete", incomplete_details={"reason": "content_filter"})],
            "content filter",
        ),
        ([completed(status="incomplete")], "incomplete: the provider gives no reason"),
        ([completed(status="cancelled")], "incomplete: its status is cancelled"),
    ],
)
def test_unusual_end_is_noticed(values: list[JSONObject], notice: str) -> None:
    """Refusal, limit and filter are told to the user."""
    answer, _ = folded(*values)
    assert notice in answer.notices()[0]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "response.failed", "response": {"error": {"message": "broke"}}},
        {"type": "response.failed", "response": {}},
        {"type": "response.failed"},
        {"type": "error", "message": "broke"},
        {"object": "response", "status": "failed"},
    ],
)
def test_failure_is_an_error(value: JSONObject) -> None:
    """What the server calls a failure is one."""
    with pytest.raises(ModelError, match=r"broke|failed"):
        folded(value)


@pytest.mark.parametrize(
    ("code", "error"), [("rate_limit_exceeded", RateLimited), ("server_error", Overloaded)]
)
def test_failure_has_the_class_of_its_code(server: OpenAIServer, code: str, error: type) -> None:
    """The code of a failed response says which error it is."""
    failed = {"type": "response.failed", "response": {"error": {"code": code, "message": "m"}}}
    server.add(sse_reply([failed], done=False))
    with pytest.raises(error, match="m"):
        run(Responses, server.url)


def test_stream_that_ends_early_is_lost(server: OpenAIServer) -> None:
    """Without `response.completed` the answer is complete only where its body ended by itself."""
    cut = EVERYTHING["reply"][:-1]
    server.add(sse_reply(cut), sse_reply(cut, done=False, chunked=False))
    run(Responses, server.url)
    with pytest.raises(ConnectionLost, match="end marker is missing"):
        run(Responses, server.url)


def test_unknown_events_and_end_marker_are_skipped() -> None:
    """New kinds of events do no harm."""
    answer, events = folded(
        *({"type": "response.new_thing"}, {"type": 5}, {}, DONE, {"type": "response.created"}),
        completed(),
    )
    assert events == []
    assert answer.is_complete


def test_reply_without_a_response_is_no_answer() -> None:
    """A body of another kind is an error that shows it."""
    with pytest.raises(ModelError, match=r"holds no answer: .*ready"):
        folded({"status": "ready"}, DONE)


def test_pieces_that_say_nothing_give_nothing() -> None:
    """Empty deltas, unknown items and repeated announcements are no events."""
    item = {"type": "function_call", "id": "f", "name": "f"}
    _, events = folded(
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.output_text.delta", "delta": ""},
        {"type": "response.reasoning_text.delta", "delta": ""},
        {"type": "response.reasoning_text.done", "text": ""},
        {"type": "response.function_call_arguments.delta", "item_id": "other", "delta": "x"},
        {"type": "response.output_item.added", "item": item},
        {"type": "response.output_item.added", "item": item},
        {"type": "response.output_item.added", "item": {"type": "computer_call"}},
        done(type="message", id="m", content=[{"type": "other"}]),
    )
    assert [event.type for event in events] == ["tool_call_name"]


def test_messages_and_roles_that_cannot_be_sent_are_left_out() -> None:
    """Empty messages, unknown roles and reasoning of others stay at home."""
    model = Responses("m")
    reasoning = llm.parts.ReasoningPart(provider_metadata={"openai": {"id": "r"}})
    foreign = llm.parts.ReasoningPart(provider_metadata={"openai": "odd"})
    messages = [
        llm.system(""),
        llm.user(""),
        llm.user("a", "b"),
        of_role("critic"),
        llm.assistant(reasoning, foreign),
    ]
    prompt = llm.Prompt(None, model, messages=messages)
    assert model._build_responses_input(prompt) == (
        [{"role": "user", "content": "ab"}, {"type": "reasoning", "id": "r", "summary": []}],
        None,
    )


NAMES = ("type", "item", "response", "output", "id", "item_id", "delta", "usage", "content")
KINDS_OF_EVENTS = (
    *("response.output_item.added", "response.output_item.done", "response.completed"),
    *("response.function_call_arguments.delta", "response.output_text.delta", "response.failed"),
    *("message", "reasoning", "function_call", "web_search_call", "code_interpreter_call"),
    *("error", "response", "output_text"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(KINDS_OF_EVENTS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((*NAMES, "summary", "text", "name", "arguments", "action", "outputs")),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS_OF_EVENTS)},
    optional={"item": JSON, "response": JSON, "delta": JSON, "item_id": JSON, "object": JSON},
)


@given(st.lists(EVENTS | st.dictionaries(st.sampled_from(NAMES), JSON), max_size=6))
def test_nonsense_raises_our_own_errors_only(values: list[dict[str, Any]]) -> None:
    """Whatever a server sends gives events or an error that the user can read."""
    with contextlib.suppress(LLMError):
        answer, events = folded(*values)
        assert all(isinstance(event, (str, StreamEvent)) for event in events)
        answer.notices()
        answer.calls()
        json.dumps(answer.response_json())
