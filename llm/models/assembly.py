"""From the events that a model streams to the messages that they spell.

Pure: no model, no I/O. `PartIndexer` says to which part of the answer each event belongs, as it
arrives; `assemble` makes the messages of a finished list of events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..parts import (
    AttachmentPart,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    StreamEvent,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ..tools.calling import ToolCall, parse_arguments

_FAMILIES = {
    "text": "text",
    "reasoning": "reasoning",
    "tool_call_name": "tool_call",
    "tool_call_args": "tool_call",
    "tool_result": "tool_result",
    "attachment": "attachment",
}


class PartIndexer:
    """Gives each event of one answer the index of the part that it belongs to."""

    __slots__ = ("_by_call_id", "_family", "_index", "_message_index", "_next")

    def __init__(self) -> None:
        self._next = 0
        self._by_call_id: dict[str, int] = {}
        self._family: str | None = None
        self._index = 0
        self._message_index = 0

    def place(self, event: StreamEvent) -> int:
        """The part index of `event`, which is also written into it where it had none."""
        if event.message_index != self._message_index:
            self._message_index = event.message_index
            self._family = None
        family = _FAMILIES.get(event.type, event.type)
        index = event.part_index
        if index is None:
            index = event.part_index = self._choose(event, family)
        if family == "tool_call" and event.tool_call_id is not None:
            self._by_call_id[event.tool_call_id] = index
        self._next = max(self._next, index + 1)
        self._family, self._index = family, index
        return index

    def _choose(self, event: StreamEvent, family: str) -> int:
        if family == "tool_call":
            if event.tool_call_id is not None:
                return self._by_call_id.get(event.tool_call_id, self._next)
            continues = event.type == "tool_call_args" and self._family == "tool_call"
            return self._index if continues else self._next
        if family in ("tool_result", "attachment") or family != self._family:
            return self._next
        return self._index


@dataclass(slots=True)
class _Group:
    """The events of one part."""

    family: str
    message_index: int
    events: list[StreamEvent] = field(default_factory=list)

    def metadata(self) -> Metadata | None:
        """All metadata of the events; where a top-level key comes twice the last one wins."""
        merged: Metadata = {}
        for event in self.events:
            if event.provider_metadata:
                merged.update(event.provider_metadata)
        return merged or None

    def joined(self, type: str) -> str:
        return "".join([event.chunk for event in self.events if event.type == type])


def _grouped(events: Iterable[StreamEvent]) -> list[_Group]:
    indexer = PartIndexer()
    groups: dict[int, _Group] = {}
    for event in events:
        index = indexer.place(event)
        family = _FAMILIES.get(event.type, event.type)
        group = groups.get(index)
        if group is None:
            group = groups[index] = _Group(family, event.message_index)
        elif group.family != family:
            raise ValueError(
                f"StreamEvent type {event.type!r} is incompatible with prior type at "
                f"part_index={index}. Events of one part must be of one kind "
                f"({group.family!r} so far): leave part_index out, or give another one."
            )
        group.events.append(event)
    return list(groups.values())


def _part_of(group: _Group) -> Part | None:
    """The part that the events of a group spell; `None` where they say nothing."""
    events, family = group.events, group.family
    metadata = group.metadata()
    if family == "text":
        text = group.joined("text")
        return TextPart(text, metadata) if text else None
    if family == "reasoning":
        text = group.joined("reasoning")
        redacted = any(event.redacted for event in events)
        return ReasoningPart(text, redacted, metadata) if text or redacted or metadata else None
    if family == "attachment":
        attachment = events[-1].attachment
        return AttachmentPart(attachment, metadata) if attachment is not None else None
    return _tool_part(group, metadata)


def _tool_part(group: _Group, metadata: Metadata | None) -> Part | None:
    events = group.events
    call_id = next((e.tool_call_id for e in events if e.tool_call_id is not None), None)
    server = any(event.server_executed for event in events)
    if group.family == "tool_call":
        arguments = parse_arguments(group.joined("tool_call_args"))
        return ToolCallPart(group.joined("tool_call_name"), arguments, call_id, server, metadata)
    if group.family != "tool_result":
        return None
    name = next((event.tool_name for event in events if event.tool_name), "")
    output = group.joined("tool_result")
    return ToolResultPart(name, output, call_id, server, provider_metadata=metadata)


def _add_calls(parts: list[Part], all_parts: Sequence[Part], calls: Sequence[ToolCall]) -> None:
    """Append the calls that no event announced; an announcement without id takes the call's id."""
    announced = [part for part in all_parts if isinstance(part, ToolCallPart)]
    ids = {part.tool_call_id for part in announced}
    for call in calls:
        if call.tool_call_id in ids:
            continue
        for part in announced:
            if part == ToolCallPart(call.name, call.arguments, None, False, part.provider_metadata):
                part.tool_call_id = call.tool_call_id
                break
        else:
            parts.append(ToolCallPart(call.name, call.arguments, call.tool_call_id))


def _redacted_first(parts: list[Part]) -> list[Part]:
    """Reasoning that is not shown goes before what came of it."""
    return sorted(parts, key=lambda p: not (isinstance(p, ReasoningPart) and p.redacted))


def assemble(events: Iterable[StreamEvent], calls: Sequence[ToolCall] = ()) -> list[Message]:
    """The assistant messages that a finished answer consists of.

    Args:
        events: Everything that was streamed, in order.
        calls: Tool calls that the model registered beside the stream; those that no event
            announced are appended to the last message.

    Returns:
        Usually one message; several where the events differ in `message_index`, in the order in
        which these were first seen; none where nothing but empty text came.

    Raises:
        ValueError: Events of different kinds claim the same part.
    """
    messages: dict[int, list[Part]] = {}
    for group in _grouped(events):
        parts = messages.setdefault(group.message_index, [])
        if (part := _part_of(group)) is not None:
            parts.append(part)
    if calls:
        last = next(reversed(messages.values())) if messages else messages.setdefault(0, [])
        _add_calls(last, [p for parts in messages.values() for p in parts], calls)
    return [Message("assistant", _redacted_first(parts)) for parts in messages.values() if parts]


def events_of(messages: Iterable[Message]) -> list[StreamEvent]:
    """The events that would have spelled the given messages: the reverse of `assemble`."""
    events: list[StreamEvent] = []
    index = 0
    for message_index, message in enumerate(messages):
        for part in message.parts:
            for event in _part_events(part):
                event.part_index, event.message_index = index, message_index
                event.provider_metadata = part.provider_metadata
                events.append(event)
            index += 1
    return events


def _part_events(part: Part) -> list[StreamEvent]:
    if isinstance(part, TextPart):
        return [StreamEvent("text", part.text)]
    if isinstance(part, ReasoningPart):
        return [StreamEvent("reasoning", part.text, redacted=part.redacted)]
    if isinstance(part, AttachmentPart):
        return [StreamEvent("attachment", "", attachment=part.attachment)]
    if isinstance(part, ToolCallPart):
        call_id, server = part.tool_call_id, part.server_executed
        arguments = json.dumps(part.arguments)
        return [
            StreamEvent("tool_call_name", part.name, None, call_id, server),
            StreamEvent("tool_call_args", arguments, None, call_id, server),
        ]
    if isinstance(part, ToolResultPart):
        call_id, server = part.tool_call_id, part.server_executed
        return [StreamEvent("tool_result", part.output, None, call_id, server, part.name)]
    return []
