"""What is said to the engine and what it says, without the engine."""

from __future__ import annotations

from typing import Any

import pytest

import llm
from llm.errors import ContextTooLong, ModelError
from llm.parts import (
    AttachmentPart,
    Message,
    Part,
    ReasoningPart,
    StreamEvent,
    ToolCallPart,
    ToolResultPart,
)
from llm.providers.local.wire import DEFAULT_SYSTEM, Reply, build_messages, build_request

OURS = {"role": "system", "content": DEFAULT_SYSTEM}


class Recorder:
    """Takes what a reply records."""

    def __init__(self) -> None:
        self.response_json: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None

    def set_usage(self, **usage: Any) -> None:
        self.usage = usage


def delta(**values: Any) -> dict[str, Any]:
    """A chunk with one piece of an answer."""
    return {"id": "c1", "created": 7, "choices": [{"finish_reason": None, "delta": values}]}


def test_messages_without_system_prompt_get_ours() -> None:
    """The template's own system prompt is never used."""
    assert build_messages([llm.user("Hi")]) == [OURS, {"role": "user", "content": "Hi"}]


def test_messages_with_several_system_prompts_send_the_last_in_front() -> None:
    """Templates take one system message, first; the last one given is the one that holds."""
    messages = [llm.system("A"), llm.user("1"), llm.assistant("2"), llm.system("B"), llm.user("3")]
    assert build_messages(messages) == [
        {"role": "system", "content": "B"},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
    ]


def test_messages_with_empty_system_prompt_get_ours() -> None:
    """An empty system prompt is none."""
    assert build_messages([llm.system(""), llm.user("Hi")])[0] == OURS


def test_messages_of_one_role_in_a_row_become_one() -> None:
    """User and assistant alternate, also where an answer is missing between two questions."""
    messages = [llm.user("1"), Message("assistant", []), llm.user("2")]
    assert build_messages(messages) == [OURS, {"role": "user", "content": "1\n\n2"}]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (ToolCallPart(name="add", arguments={"a": 1}), '[called add with {"a": 1}]'),
        (ToolResultPart(name="add", output="3"), "[result of add: 3]"),
        (AttachmentPart(llm.Attachment(type="image/png", content=b"x")), "[attachment: image/png]"),
        (AttachmentPart(llm.Attachment(url="http://127.0.0.1/x")), "[attachment: file]"),
        (AttachmentPart(None), "[attachment: file]"),
    ],
)
def test_messages_with_parts_that_are_no_text_tell_them_in_words(part: Part, text: str) -> None:
    """A conversation begun with another model goes on, whatever it contains."""
    assert build_messages([Message("user", [part])])[1]["content"] == text


def test_messages_leave_reasoning_out() -> None:
    """What a model thought is not part of what was said."""
    message = Message("assistant", [ReasoningPart("hm"), *llm.assistant("Yes").parts])
    assert build_messages([message])[1] == {"role": "assistant", "content": "Yes"}


def test_messages_of_tools_are_told_by_the_user() -> None:
    """Results of tools come in a role that every template knows."""
    message = llm.tool_message(ToolResultPart(name="now", output="noon"))
    assert build_messages([message])[1]["role"] == "user"


def test_messages_with_lone_surrogates_are_made_valid() -> None:
    """Bytes that are not UTF-8 do not make the engine refuse the request."""
    assert build_messages([llm.user("a\udcffb")])[1]["content"] == "a?b"


def test_request_always_streams() -> None:
    """Only a stream can be interrupted, and progress reports make that possible early."""
    request = build_request([llm.user("Hi")], {})
    assert request["stream"] is True
    assert request["return_progress"] is True
    assert request["stream_options"] == {"include_usage": True}
    assert "response_format" not in request


def test_request_carries_the_sampling_options() -> None:
    """Options of sampling are sent, those of loading are not."""
    options = {"temperature": 0, "max_tokens": 5, "top_p": 0.5, "seed": 1, "threads": 2}
    request = build_request([llm.user("Hi")], options)
    assert {name: request.get(name) for name in options} == {**options, "threads": None}


def test_request_with_schema_asks_for_a_grammar() -> None:
    """A schema becomes the response format that the engine enforces."""
    schema = {"type": "object"}
    request = build_request([llm.user("Hi")], {}, schema)
    assert request["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": schema},
    }


def test_reply_gives_events_of_text_and_reasoning() -> None:
    """Each piece is one event; chunks without a piece give none."""
    reply = Reply("local/x")
    chunks = [
        {"prompt_progress": {"total": 3, "processed": 3}},
        delta(role="assistant", content=None),
        delta(reasoning_content="hm"),
        delta(content="Hi"),
        delta(content=" you"),
    ]
    assert [event for chunk in chunks for event in reply.take(chunk)] == [
        StreamEvent(type="reasoning", chunk="hm"),
        StreamEvent(type="text", chunk="Hi"),
        StreamEvent(type="text", chunk=" you"),
    ]
    assert list(reply.whole()) == [
        StreamEvent(type="reasoning", chunk="hm"),
        StreamEvent(type="text", chunk="Hi you"),
    ]


def test_reply_records_usage_and_payload() -> None:
    """A finished answer leaves its tokens and one object as without streaming."""
    reply = Reply("local/x")
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    for chunk in (
        delta(content="Hi"),
        {"choices": [{"finish_reason": "stop", "delta": {}}]},
        {"id": "c1", "created": 7, "choices": [], "usage": usage, "timings": {"predicted_n": 2}},
    ):
        list(reply.take(chunk))
    recorder = Recorder()
    reply.record(recorder)  # type: ignore[arg-type]  # a response takes the same two
    assert recorder.usage == {
        "input": 3,
        "output": 2,
        "details": {"prompt_tokens_details": {"cached_tokens": 1}},
    }
    assert recorder.response_json == {
        "content": "Hi",
        "role": "assistant",
        "finish_reason": "stop",
        "usage": usage,
        "timings": {"predicted_n": 2},
        "id": "c1",
        "object": "chat.completion",
        "model": "local/x",
        "created": 7,
    }


def test_reply_without_usage_records_none() -> None:
    """Tokens that are not known are not made up."""
    recorder = Recorder()
    reply = Reply("local/x")
    reply.record(recorder)  # type: ignore[arg-type]  # a response takes the same two
    assert recorder.usage is None
    assert list(reply.whole()) == []


def test_reply_to_a_prompt_too_long_names_both_sizes() -> None:
    """A conversation that does not fit says how long it is and how to make room."""
    error = {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 512}
    with pytest.raises(ContextTooLong, match=r"900 tokens.*context of 512.*-o context") as caught:
        list(Reply("local/x").take({"error": error}))
    assert caught.value.limit == 512


def test_reply_with_another_error_is_a_model_error() -> None:
    """Whatever else the engine reports reaches the user with the name of the model."""
    with pytest.raises(ModelError, match="local/x: out of luck"):
        list(Reply("local/x").take({"error": {"message": "out of luck"}}))
