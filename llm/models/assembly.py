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
        if index >= self._next:
            self._next = index + 1
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

    def first_call_id(self) -> str | None:
        return next((e.tool_call_id for e in self.events if e.tool_call_id is not None), None)

    def joined(self, *types: str) -> str:
        return "".join([event.chunk for event in self.events if event.type in types])


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


def _text_part(group: _Group) -> Part | None:
    text = group.joined("text")
    return TextPart(text=text, provider_metadata=group.metadata()) if text else None


def _reasoning_part(group: _Group) -> Part | None:
    text = group.joined("reasoning")
    redacted = any(event.redacted for event in group.events)
    metadata = group.metadata()
    if not (text or redacted or metadata):
        return None
    return ReasoningPart(text=text, redacted=redacted, provider_metadata=metadata)


def _tool_call_part(group: _Group) -> Part:
    return ToolCallPart(
        name=group.joined("tool_call_name"),
        arguments=parse_arguments(group.joined("tool_call_args")),
        tool_call_id=group.first_call_id(),
        server_executed=any(event.server_executed for event in group.events),
        provider_metadata=group.metadata(),
    )


def _tool_result_part(group: _Group) -> Part:
    return ToolResultPart(
        name=next((e.tool_name for e in group.events if e.tool_name), ""),
        output=group.joined("tool_result"),
        tool_call_id=group.first_call_id(),
        server_executed=any(event.server_executed for event in group.events),
        provider_metadata=group.metadata(),
    )


def _attachment_part(group: _Group) -> Part | None:
    attachment = group.events[-1].attachment
    return AttachmentPart(attachment, group.metadata()) if attachment is not None else None


_BUILDERS = {
    "attachment": _attachment_part,
    "text": _text_part,
    "reasoning": _reasoning_part,
    "tool_call": _tool_call_part,
    "tool_result": _tool_result_part,
}


def _add_calls(parts: list[Part], all_parts: Sequence[Part], calls: Sequence[ToolCall]) -> None:
    """Append the calls that no event announced; an announcement without id takes the call's id."""
    announced = [part for part in all_parts if isinstance(part, ToolCallPart)]
    ids = {part.tool_call_id for part in announced}
    for call in calls:
        if call.tool_call_id in ids:
            continue
        twin = next((part for part in announced if _announces(part, call)), None)
        if twin is not None:
            twin.tool_call_id = call.tool_call_id
        else:
            parts.append(ToolCallPart(call.name, call.arguments, call.tool_call_id))


def _announces(part: ToolCallPart, call: ToolCall) -> bool:
    """Whether a part without an id is the announcement of a call."""
    is_open = part.tool_call_id is None and not part.server_executed
    return is_open and (part.name, part.arguments) == (call.name, call.arguments)


def _redacted_first(parts: list[Part]) -> list[Part]:
    """Reasoning that is not shown goes before what came of it."""
    hidden = [p for p in parts if isinstance(p, ReasoningPart) and p.redacted]
    if not hidden:
        return parts
    return hidden + [p for p in parts if not (isinstance(p, ReasoningPart) and p.redacted)]


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
        builder = _BUILDERS.get(group.family)
        part = builder(group) if builder else None
        if part is not None:
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
