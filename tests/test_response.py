"""Responses: lazy, run once, replayable, and complete when they are done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import llm
from llm.parts import ReasoningPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart

from .helpers.quick import Caller, Echo, Flaky, shout, told


def test_response_is_lazy() -> None:
    """Nothing runs before somebody reads, and then it runs once."""
    model = Echo()
    response = model.prompt("x")
    assert model.runs == 0
    assert response.text() == str(response) == response.text_or_raise() == "abcdef"
    assert response.json() == {"run": 1}
    assert model.runs == 1


def test_response_partial_iteration_then_text() -> None:
    """Whoever reads on takes up where the last reader stopped: the model is asked once."""
    model = Echo()
    response = model.prompt("x")
    assert next(iter(response)) == "abc"
    assert response.text() == "abcdef"
    assert response.messages() == [llm.assistant("abcdef")]
    assert model.runs == 1


def test_response_readers_share_one_run() -> None:
    """Two readers that take turns both see everything."""
    response = Echo("a", "b", "c").prompt("x")
    first, second = iter(response), response.stream_events()
    seen = [next(first), next(second).chunk, next(second).chunk, next(first), next(first)]
    assert seen == ["a", "a", "b", "b", "c"]
    assert [event.chunk for event in second] == ["c"]
    assert isinstance(response.model, Echo)
    assert response.model.runs == 1


def test_response_error_then_retry_starts_clean() -> None:
    """After a failure the next reader asks again, and nothing of the first attempt is left."""
    model = Flaky()
    response = model.prompt("x")
    with pytest.raises(ConnectionError):
        response.text()
    assert response._chunks == ["partial "]
    assert response.text() == "partial whole"
    assert response.messages() == [llm.assistant("partial whole")]
    assert response.tool_calls() == []
    assert response.usage() == llm.Usage(input=2)


def test_response_none_is_refused_and_not_resumed() -> None:
    """A model that yields None has a fault; it is not continued behind it."""
    nothing: Any = None
    model = Echo("a", nothing, "b")
    response = model.prompt("x")
    for _ in range(2):
        with pytest.raises(AssertionError, match="Echo: quick-echo yielded None"):
            response.text()
    assert model.runs == 2


def test_response_replay_keeps_timings() -> None:
    """Reading again changes neither the start nor the duration."""
    response = Echo().prompt("x")
    list(response)
    before = (response.datetime_utc(), response.duration_ms())
    assert list(response) == ["abc", "def"]
    assert [event.chunk for event in response.stream_events()] == ["abc", "def"]
    assert (response.datetime_utc(), response.duration_ms()) == before


def test_response_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The duration is from the first request to the last piece; the start is in UTC."""
    ticks = iter([10.0, 10.25, 11.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    response = Echo().prompt("x")
    assert (response.elapsed_ms(), response.started_utc(), response.first_token_ms) == (0, "", None)
    assert (response.duration_ms(), response.first_token_ms) == (1500, 250)
    started = datetime.fromisoformat(response.datetime_utc())
    assert started.tzinfo == timezone.utc


def test_response_order_of_events() -> None:
    """When it is done it is in the conversation, then callbacks run in their order."""
    conversation = Echo().conversation()
    response = conversation.prompt("x")
    seen: list[object] = []
    response.on_done(lambda r: seen.append((r._done, conversation.responses == [r])))
    response.on_done(lambda r: seen.append(r.text()))
    assert seen == []
    response.text()
    response.on_done(lambda r: seen.append("at once"))
    assert seen == [(True, True), "abcdef", "at once"]


def test_response_id_is_made_at_construction() -> None:
    """Ids go up in the order in which responses are made, and can be set."""
    first, second = Echo().prompt("x"), Echo().prompt("y")
    assert second.id > first.id
    assert len(first.id) == 26
    first.id = "mine"
    assert first.id == "mine"


def test_response_stream_events_of_every_kind() -> None:
    """Everything that the model says is an event; only text is text."""
    response = Echo(StreamEvent("reasoning", "hm"), "a", StreamEvent("text", "b")).prompt("x")
    events = list(response.stream_events())
    assert [(e.type, e.chunk, e.part_index) for e in events] == [
        ("reasoning", "hm", 0),
        ("text", "a", 1),
        ("text", "b", 1),
    ]
    assert response.text() == "ab"
    assert response.messages()[0].parts == [ReasoningPart("hm"), TextPart("ab")]


def test_response_messages_are_a_list_of_ones_own() -> None:
    """Changing the list that was handed out changes nothing."""
    response = Echo().prompt("x")
    response.messages().clear()
    assert len(response.messages()) == 1


def test_response_usage_and_resolved_model() -> None:
    """Tokens and the exact model are as the model registered them."""
    response = Echo().prompt("x")
    assert response.usage() == llm.Usage(1234, 5, {"cached": 1})
    assert response.token_usage() == '1,234 input, 5 output, {"cached": 1}'
    assert response.resolved_model == "quick-echo-1"


def test_response_tool_calls_get_ids() -> None:
    """A call without an id gets one."""
    response = Caller().prompt("x", tools=[shout])
    (call,) = response.tool_calls()
    assert call.tool_call_id is not None
    assert call.tool_call_id.startswith("tc_01")
    assert response.tool_calls_or_raise() == [call]
    assert response.messages()[0].parts[1] == ToolCallPart(
        "shout", {"text": "hi"}, call.tool_call_id
    )


def test_response_key_errors_come_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is told when somebody reads, not before."""

    class Locked(llm.KeyModel):
        model_id = "locked"
        needs_key = "vault"

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
            key: str | None,
        ) -> Iterator[str]:
            yield str(key)

    response = Locked().prompt("x")
    with pytest.raises(llm.NeedsKeyException):
        response.text()
    assert Locked().prompt("x", key="k1").text() == "k1"


def test_response_execute_may_return_any_iterable() -> None:
    """A model may return a list."""

    class Listed(llm.Model):
        model_id = "listed"

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Any:
            return ["a", "b"]

    assert Listed().prompt("x").text() == "ab"


def test_response_filled_by_hand() -> None:
    """A plugin that fills a response itself gets messages made of what it put in."""
    model = Echo()
    response = llm.Response(llm.Prompt("x", model), model, False)
    chunks: Any = ["hi"]
    response._chunks, response._tool_calls = chunks, [llm.ToolCall("f", {}, "1")]
    response._done = True
    assert response.messages()[0].parts == [TextPart("hi"), ToolCallPart("f", {}, "1")]
    assert model.runs == 0


def test_response_without_output_has_no_messages() -> None:
    """Nothing but empty text makes no message."""
    assert Echo("").prompt("x").messages() == []


def test_response_repr() -> None:
    """The repr shows the prompt, and the text once it is there."""
    response = Echo().prompt("x")
    assert repr(response) == "<Response prompt='x' text='... not yet done ...'>"
    response.text()
    assert repr(response) == "<Response prompt='x' text='abcdef'>"


def test_response_fake() -> None:
    """A fake is a finished response that never asks the model."""
    model = Echo()
    picture = llm.Attachment(type="image/png", content=b"x")
    response = llm.Response.fake(model, "p", picture, system="s", response="r")
    assert (response.text(), response.prompt.system, response.duration_ms()) == ("r", "s", 0)
    assert response.prompt.attachments == [picture]
    assert response.messages() == [llm.assistant("r")]
    assert model.runs == 0


def test_response_round_trip() -> None:
    """A response is the same after a trip through plain JSON, and can be replied to."""
    model = Echo("a")
    response = model.prompt("x", system=" s ", messages=[llm.user("h"), llm.assistant("i")])
    shape = response.to_dict()
    assert list(shape) == ["model", "prompt", "messages", "id", "usage", "datetime_utc"]
    assert shape["prompt"]["system"] == " s "
    again = llm.Response.from_dict(shape, model=model)
    assert again.to_dict() == shape
    assert (again.text(), again.usage(), model.runs) == ("a", response.usage(), 1)
    assert told(again.reply("more").prompt)[-2:] == [("assistant", "a"), ("user", "more")]


def test_response_to_dict_has_options_that_are_set() -> None:
    """Options that are not None are kept, defaults included, and restored."""

    class Tuned(Echo):
        class Options(llm.Options):
            warmth: float = 0.5
            seed: int | None = None

    model = Tuned()
    shape = model.prompt("x", seed=3).to_dict()
    assert shape["prompt"]["options"] == {"warmth": 0.5, "seed": 3}
    options = llm.Response.from_dict(shape, model=model).prompt.options
    assert isinstance(options, Tuned.Options)
    assert options.seed == 3
    assert model.prompt("x").to_dict()["prompt"]["options"] == {"warmth": 0.5}


def test_response_from_dict_of_little() -> None:
    """Only model, prompt and messages have to be there; a time may end in Z."""
    shape: Any = {
        "model": "quick-echo",
        "prompt": {"messages": []},
        "messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "text": "hi"},
                    {"type": "tool_call", "name": "f", "arguments": {}},
                    {"type": "tool_call", "name": "g", "arguments": {}, "server_executed": True},
                    {"type": "tool_result", "name": "g", "output": "o"},
                ],
            }
        ],
        "datetime_utc": "2026-01-02T03:04:05Z",
    }
    response = llm.Response.from_dict(shape, model=Echo())
    assert response.datetime_utc() == "2026-01-02T03:04:05+00:00"
    assert [call.name for call in response.tool_calls()] == ["f"]
    assert (response.prompt.prompt, response.usage()) == ("", llm.Usage())
    assert len(response.id) == 26
    types = [event.type for event in response.stream_events()]
    assert types == ["text", *["tool_call_name", "tool_call_args"] * 2, "tool_result"]


def test_response_from_dict_asks_the_registry() -> None:
    """Without a model the one of that name is looked up."""
    shape = Echo().prompt("x").to_dict() | {"model": "no-such-model"}
    with pytest.raises(llm.UnknownModelError, match="no-such-model"):
        llm.Response.from_dict(shape)


def test_response_reply_keeps_conversation_tools_and_stream() -> None:
    """A reply belongs to the same conversation and offers the same tools."""
    conversation = Caller().conversation(tools=[shout])
    response = conversation.prompt("x", stream=False, system="s")
    reply = response.reply("more", messages=[llm.user("last")])
    assert reply.conversation is conversation
    assert [tool.name for tool in reply.prompt.tools] == ["shout"]
    assert reply.stream is False
    assert told(reply.prompt) == [
        ("system", "s"),
        ("user", "x"),
        ("assistant", "calling"),
        ("tool", ""),
        ("user", "more"),
        ("user", "last"),
    ]
    reply.text()
    assert conversation.responses == [response, reply]


def test_response_reply_runs_the_tools() -> None:
    """The calls of the response are run, unless their results are given."""
    response = Caller().prompt("x", tools=[shout])
    call_id = response.tool_calls()[0].tool_call_id
    assert response.reply().prompt.messages[-1].parts == [ToolResultPart("shout", "HI", call_id)]
    given = [llm.ToolResult("shout", "mine", tool_call_id=call_id)]
    reply = response.reply(tool_results=given, tools=[])
    assert reply.prompt.messages[-1].parts == [ToolResultPart("shout", "mine", call_id)]
    assert reply.prompt.tools == []


def test_response_reply_system_follows_the_results() -> None:
    """Providers want results right after calls: a new system prompt goes behind them."""
    response = Caller().prompt("x", tools=[shout])
    roles = [role for role, _ in told(response.reply("y", system="new").prompt)]
    assert roles == ["user", "assistant", "tool", "system", "user"]


def test_response_log_to_db(tmp_path: Path) -> None:
    """A response is run, if it was not, and recorded."""
    db = sqlite_utils.Database(tmp_path / "logs.db")
    response = Echo().prompt("x")
    response.log_to_db(db)
    assert [row["id"] for row in db["turns"].rows] == [response.id]
    db.close()


def test_response_facts_are_none_where_unknown() -> None:
    """Nothing is made up: not before it has begun, nor where the service told nothing."""
    response = Echo().prompt("x")
    for _ in range(2):
        facts = (response.finish_reason, response.request_id)
        assert facts == (None, None)
        assert response.usage_so_far().reasoning is None
        response.text()
    restored = llm.Response.from_dict(response.to_dict(), model=Echo())
    assert restored.first_token_ms is None


@pytest.mark.parametrize(
    ("details", "cached", "reasoning"),
    [
        ({"cache_read_input_tokens": 4}, 4, None),
        ({"cachedContentTokenCount": 5, "thoughtsTokenCount": 6}, 5, 6),
        ({"input_tokens_details": {"cached_tokens": 7}}, 7, None),
        ({"other": 1, "deep": {"deeper": {"reasoning_tokens": 8}}}, None, 8),
        ({"cached_tokens": "many"}, None, None),
    ],
)
def test_usage_finds_what_services_call_differently(
    details: dict[str, Any], cached: int | None, reasoning: int | None
) -> None:
    """Tokens of a cache, and of reasoning, are looked for in the details of each provider."""
    usage = llm.Usage(10, 5, details)
    assert (usage.cached, usage.reasoning) == (cached, reasoning)


def test_response_repr_is_short() -> None:
    """A long prompt or answer is cut in its middle."""
    response = Echo().prompt("p" * 10_000)
    response.text()
    assert len(repr(response)) < 300
    assert repr(response).startswith("<Response prompt='ppp")


def test_response_is_shown_in_notebooks() -> None:
    """As Markdown, what has come; showing it asks for nothing."""
    response = Echo().prompt("x")
    assert response._repr_markdown_() is None
    next(iter(response))
    assert response._repr_markdown_() == "abc"
    response.text()
    assert response._repr_markdown_() == "abcdef"
