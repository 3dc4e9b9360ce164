"""Messages and their parts: values that survive a round trip through plain JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

import llm
from llm.parts import (
    AttachmentPart,
    Message,
    Part,
    ReasoningPart,
    StreamEvent,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    normalize_parts,
)
from llm.serialization import MessageDict

METADATA = {"vendor": {"signature": "s"}}
PICTURE = llm.Attachment(type="image/png", content=b"\x89PNG")
SHAPES = [
    (TextPart("hi"), {"type": "text", "text": "hi"}),
    (
        TextPart("hi", METADATA),
        {"type": "text", "text": "hi", "provider_metadata": METADATA},
    ),
    (ReasoningPart("hm"), {"type": "reasoning", "text": "hm"}),
    (
        ReasoningPart(redacted=True, provider_metadata=METADATA),
        {"type": "reasoning", "text": "", "redacted": True, "provider_metadata": METADATA},
    ),
    (ToolCallPart("f"), {"type": "tool_call", "name": "f", "arguments": {}}),
    (
        ToolCallPart("f", {"x": 1}, "c1", True, METADATA),
        {
            "type": "tool_call",
            "name": "f",
            "arguments": {"x": 1},
            "tool_call_id": "c1",
            "server_executed": True,
            "provider_metadata": METADATA,
        },
    ),
    (ToolResultPart("f", "out"), {"type": "tool_result", "name": "f", "output": "out"}),
    (
        ToolResultPart("f", "out", "c1", True, [PICTURE], "ValueError: no", METADATA),
        {
            "type": "tool_result",
            "name": "f",
            "output": "out",
            "tool_call_id": "c1",
            "server_executed": True,
            "exception": "ValueError: no",
            "attachments": [{"type": "image/png", "content": "iVBORw=="}],
            "provider_metadata": METADATA,
        },
    ),
    (AttachmentPart(), {"type": "attachment"}),
    (
        AttachmentPart(llm.Attachment(url="https://x.test/a.png"), METADATA),
        {
            "type": "attachment",
            "attachment": {"url": "https://x.test/a.png"},
            "provider_metadata": METADATA,
        },
    ),
]


@pytest.mark.parametrize(("part", "shape"), SHAPES)
def test_part_to_dict_has_set_keys_in_order(part: Part, shape: dict[str, object]) -> None:
    """A part becomes a dictionary with the keys that are set, in the documented order."""
    assert json.dumps(part.to_dict()) == json.dumps(shape)


@pytest.mark.parametrize(("part", "shape"), SHAPES)
def test_part_from_dict_restores(part: Part, shape: Any) -> None:
    """A part is equal to what its dictionary is read back as."""
    assert Part.from_dict(shape) == part


@pytest.mark.parametrize("kind", ["x", None])
def test_part_from_dict_unknown_type(kind: object) -> None:
    """A type that is none of the five is refused by name."""
    shape: Any = {"type": kind}
    with pytest.raises(ValueError, match=rf"^Unknown part type: {kind!r}$"):
        Part.from_dict(shape)


def test_part_from_dict_ignores_keys_of_the_future() -> None:
    """A key that a later release may add does not stop reading."""
    shape: Any = {"type": "text", "text": "x", "mood": "calm"}
    assert Part.from_dict(shape) == TextPart("x")


def test_part_base_class_has_no_dictionary() -> None:
    """The base class alone is no part."""
    part = Part()
    with pytest.raises(TypeError, match="Part has no dictionary form"):
        part.to_dict()


def test_part_empty_optional_values_are_kept_apart_from_missing() -> None:
    """An empty id is an id; empty metadata is none."""
    assert ToolCallPart("f", {}, "", provider_metadata={}).to_dict() == {
        "type": "tool_call",
        "name": "f",
        "arguments": {},
        "tool_call_id": "",
    }


def test_message_round_trip() -> None:
    """A message is equal to what its dictionary is read back as, metadata included."""
    message = Message("assistant", [TextPart("a"), ToolCallPart("f", {}, "1")], METADATA)
    shape = message.to_dict()
    assert list(shape) == ["role", "parts", "provider_metadata"]
    assert Message.from_dict(shape) == message


def test_message_without_parts_reads() -> None:
    """A message may be nothing but a role."""
    shape: Any = {"role": "user"}
    assert Message.from_dict(shape) == Message("user")


def test_message_dict_fits_its_typed_dict() -> None:
    """Plugins validate stored messages with pydantic: every kind of part fits the declared type."""
    message = Message("user", [part for part, _ in SHAPES])
    shape = message.to_dict()
    assert TypeAdapter(MessageDict).validate_python(shape) == shape


def test_message_text_joins_text_parts() -> None:
    """The text of a message leaves out everything that is not text."""
    message = Message("assistant", [TextPart("a"), ReasoningPart("no"), TextPart("b")])
    assert message.text() == "ab"


@pytest.mark.parametrize(
    ("make", "role"),
    [
        (llm.system, "system"),
        (llm.user, "user"),
        (llm.assistant, "assistant"),
        (llm.tool_message, "tool"),
    ],
)
def test_message_shortcut_normalizes_items(make: Callable[..., Message], role: str) -> None:
    """The four shortcuts take text, attachments, parts and lists of these, in any nesting."""
    message = make("a", PICTURE, [TextPart("b"), ("c",)], provider_metadata=METADATA)
    parts = [TextPart("a"), AttachmentPart(PICTURE), TextPart("b"), TextPart("c")]
    assert message == Message(role, parts, METADATA)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [None, 3, {"a": 1}])
def test_normalize_parts_refuses_other_things(item: object) -> None:
    """What is no content is refused and shown."""
    with pytest.raises(TypeError, match=r"^Cannot convert .* to an llm Part$"):
        normalize_parts([item])


def test_stream_event_defaults() -> None:
    """An event needs only a type and a chunk."""
    event = StreamEvent("text", "x")
    assert (event.part_index, event.tool_call_id, event.message_index) == (None, None, 0)
    assert (event.server_executed, event.redacted, event.tool_name) == (False, False, None)
