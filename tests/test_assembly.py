"""From stream events to messages, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm
from llm.models.recording import assemble, events_of
from llm.parts import (
    AttachmentPart,
    Message,
    ReasoningPart,
    StreamEvent,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llm.text import JSONObject

VECTORS = json.loads((Path(__file__).parent / "data" / "stream_vectors.json").read_text())


class Scripted(llm.Model):
    """Says what the test tells it to."""

    model_id = "scripted"

    def __init__(self, script: list[StreamEvent | JSONObject | str]) -> None:
        self.script = script

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        for item in self.script:
            if isinstance(item, dict) and "add_tool_call" in item:
                response.add_tool_call(llm.ToolCall(**item["add_tool_call"]))
            else:
                yield StreamEvent(**item) if isinstance(item, dict) else item


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_assembly_vector(case: JSONObject) -> None:
    """Each recorded stream gives the indexes, the text and the messages that 0.36 gave."""
    response = Scripted(case["events"]).prompt("go")
    events = list(response.stream_events())
    assert [event.part_index for event in events] == case["resolved_part_indexes"]
    assert response.text() == case["text"]
    assert [message.to_dict() for message in response.messages()] == case["messages"]


def test_assembly_mixed_families_name_the_part() -> None:
    """Text and a tool call cannot share a part; the error tells which."""
    events = [StreamEvent("text", "a", part_index=2), StreamEvent("tool_call_name", "f", 2)]
    with pytest.raises(ValueError, match=r"'tool_call_name' is incompatible .* part_index=2"):
        assemble(events)


def test_assembly_unknown_event_type_leaves_nothing() -> None:
    """An event of a kind that this release does not know makes no part."""
    odd = StreamEvent("hologram", "x")  # type: ignore[arg-type]
    assert assemble([odd, StreamEvent("text", "a")]) == [Message("assistant", [TextPart("a")])]


def test_assembly_call_without_id_takes_the_registered_one() -> None:
    """A call that is streamed without id and registered too is one call, with the made-up id."""
    events = [StreamEvent("tool_call_name", "f"), StreamEvent("tool_call_args", '{"x": 1}')]
    calls = [llm.ToolCall("f", {"x": 1}, "tc_1"), llm.ToolCall("f", {"x": 1}, "tc_2")]
    assert assemble(events, calls) == [
        Message(
            "assistant", [ToolCallPart("f", {"x": 1}, "tc_1"), ToolCallPart("f", {"x": 1}, "tc_2")]
        )
    ]


def test_assembly_call_of_a_silent_stream_makes_a_message() -> None:
    """A registered call is in the messages even where nothing was streamed."""
    assert assemble([], [llm.ToolCall("f", {}, "1")]) == [
        Message("assistant", [ToolCallPart("f", {}, "1")])
    ]


def test_assembly_calls_go_to_the_last_message() -> None:
    """Calls that no event announced belong to the end of the answer."""
    events = [StreamEvent("text", "a"), StreamEvent("text", "b", message_index=1)]
    first, last = assemble(events, [llm.ToolCall("f", {}, "1")])
    assert first.parts == [TextPart("a")]
    assert last.parts == [TextPart("b"), ToolCallPart("f", {}, "1")]


def test_events_of_messages_assemble_to_the_same() -> None:
    """A stored answer can be replayed as events that spell the same messages."""
    messages = [
        Message(
            "assistant",
            [
                ReasoningPart("", redacted=True),
                TextPart("a", {"v": {"k": 1}}),
                ToolCallPart("ws", {"q": "é"}, "s", True),
                ToolResultPart("ws", "hits", "s", True),
            ],
        ),
        Message("assistant", [TextPart("b"), ToolCallPart("f", {})]),
    ]
    assert assemble(events_of(messages)) == messages


def test_attachments_survive_a_replay() -> None:
    """A file that a model made is a part of its own, in events and in messages."""
    first, second = llm.Attachment(url="u"), llm.Attachment(content=b"x", type="image/png")
    messages = [Message("assistant", [AttachmentPart(first), AttachmentPart(second)])]
    events = events_of(messages)
    assert [event.type for event in events] == ["attachment", "attachment"]
    assert assemble(events) == messages
    assert assemble([StreamEvent("attachment", "")]) == []
