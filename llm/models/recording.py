"""What a model said, piece by piece, in little more memory than its characters take.

A string costs 50 bytes and an event 100 beside the text, and an answer may have 50,000 of each.
So pieces that cannot change any more are joined, and events of one kind are kept as their texts;
both are made anew when somebody reads them.

`PartIndexer` says to which part of the answer each event belongs, as it arrives; `assemble` makes
the messages of a finished list of events, and `events_of` the events of messages.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, overload

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
from ..text import JSONObject
from ..tools.calling import ToolCall, parse_arguments

if TYPE_CHECKING:
    from array import array

    from .response_base import _BaseResponse

T = TypeVar("T")
E = TypeVar("E", bound="StreamEvent | _Run")

#: An answer that has so many characters is not read on.
LONGEST_ANSWER = 100_000_000
#: So many pieces are joined at a time.
BLOCK = 512
# Kinds of which an answer may have thousands.
_FREQUENT = frozenset({"text", "reasoning", "tool_call_args"})


class AnswerIsFull(Exception):
    """An answer has grown so long that it is not read on."""


class Observer(Protocol):
    """Is told about the course of an answer as it happens, before whoever reads it."""

    def begun(self, response: _BaseResponse) -> None:
        """The model is about to be asked; again, where an earlier attempt failed."""

    def recorded(self, event: StreamEvent) -> None:
        """The model said something."""


class _Readable(Sequence[T]):
    """What the sequences here share: they read like lists, and compare with lists."""

    __slots__ = ()
    __hash__: ClassVar[None]  # type: ignore[assignment]  # they grow

    @abstractmethod
    def _at(self, index: int) -> T:
        """The item at an index that is known to be there."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        count = len(self)
        if isinstance(index, slice):
            return [self._at(place) for place in range(count)[index]]
        if not -count <= index < count:
            raise IndexError("list index out of range")
        return self._at(index % count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, _Readable)):
            return NotImplemented
        return list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


class Pieces(_Readable[str]):
    """Texts in the order in which they came.

    Args:
        texts: The first ones.
    """

    __slots__ = ("_blocks", "_open")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        # Joined texts, each with the places where its pieces end; few answers have any.
        self._blocks: Sequence[tuple[str, array[int]]] = ()
        self._open: list[str] = []
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add a piece."""
        self._open.append(text)
        if len(self._open) == BLOCK:
            self._join()

    def _join(self) -> None:
        from array import array

        ends = array("Q", accumulate(map(len, self._open)))
        self._blocks = [*self._blocks, ("".join(self._open), ends)]
        self._open = []

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + len(self._open)

    def _at(self, index: int) -> str:
        number, place = divmod(index, BLOCK)
        if number == len(self._blocks):
            return self._open[place]
        text, ends = self._blocks[number]
        return text[ends[place - 1] if place else 0 : ends[place]]

    def __iter__(self) -> Iterator[str]:
        for text, ends in self._blocks:
            start = 0
            for end in ends:
                yield text[start:end]
                start = end
        yield from self._open


class _Run:
    """Events that differ in their text only: the first one, and where the texts of all are."""

    __slots__ = ("first", "pieces", "start", "stop")

    def __init__(self, first: StreamEvent, pieces: Pieces, start: int) -> None:
        self.first = first
        self.pieces = pieces
        self.start = start
        self.stop = len(pieces)

    def goes_on_with(self, event: StreamEvent) -> bool:
        first = self.first
        return (
            event.type == first.type
            and event.part_index == first.part_index
            and event.message_index == first.message_index
            and event.tool_call_id == first.tool_call_id
            and self.stop == len(self.pieces)
        )

    def event(self, number: int) -> StreamEvent:
        return continuation(self.first, self.pieces[self.start + number]) if number else self.first

    def joined(self) -> StreamEvent:
        if self.stop - self.start == 1:
            return self.first
        return replace(self.first, chunk="".join(self.pieces[self.start : self.stop]))


class EventLog(_Readable[StreamEvent]):
    """The events of an answer in the order in which they came.

    Args:
        texts: What plain text has come before, an event each.
    """

    __slots__ = ("_count", "_entries", "_indexer", "_others", "_starts", "texts")

    def __init__(self, texts: Sequence[str] = ()) -> None:
        #: The text of each text event.
        self.texts: Pieces = Pieces(texts)
        self._others = Pieces()
        self._indexer = PartIndexer()
        # Single events, and runs of them; with the number of the first event of each.
        self._entries: list[StreamEvent | _Run] = []
        self._starts: list[int] = []
        self._count = 0
        if texts:
            first = StreamEvent("text", texts[0])
            self._indexer.place(first)
            self._enter(_Run(first, self.texts, 0))
            self._count = len(texts)

    def append(self, event: StreamEvent) -> None:
        """Add an event, and find its part."""
        self._indexer.place(event)
        pieces = self.texts if event.type == "text" else self._others
        if _is_plain(event):
            last = self._entries[-1] if self._entries else None
            if last.__class__ is not _Run or not last.goes_on_with(event):
                last = self._enter(_Run(event, pieces, len(pieces)))
            pieces.append(event.chunk)
            last.stop += 1
        else:
            self._enter(event)
            if event.type == "text":
                pieces.append(event.chunk)
        self._count += 1

    def _enter(self, entry: E) -> E:
        self._entries.append(entry)
        self._starts.append(self._count)
        return entry

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[StreamEvent]:
        for place in range(self._count):
            yield self._at(place)

    def _at(self, index: int) -> StreamEvent:
        starts = self._starts
        number = len(starts) - 1
        if index < starts[number]:
            number = bisect_right(starts, index) - 1
        entry = self._entries[number]
        return entry.event(index - starts[number]) if isinstance(entry, _Run) else entry

    def joined(self) -> Iterator[StreamEvent]:
        """The events with each run made into one; they spell the same answer."""
        for entry in self._entries:
            yield entry.joined() if isinstance(entry, _Run) else entry


def joined(events: Iterable[StreamEvent]) -> Iterable[StreamEvent]:
    """The events in as few as spell the same answer; those that a plugin put in are left alone."""
    return events.joined() if isinstance(events, EventLog) else events


def continuation(event: StreamEvent, text: str) -> StreamEvent:
    """The event that goes on with the text of another one."""
    return StreamEvent(
        event.type, text, event.part_index, event.tool_call_id, message_index=event.message_index
    )


def _is_plain(event: StreamEvent) -> bool:
    """Whether its text is all that it does not share with its neighbours."""
    return event.type in _FREQUENT and not (
        event.provider_metadata or event.redacted or event.server_executed or event.tool_name
    )


# Kinds of events that make one kind of part; each other kind makes its own.
_FAMILIES = {"tool_call_name": "tool_call", "tool_call_args": "tool_call"}


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


def _family(event: StreamEvent) -> str:
    return _FAMILIES.get(event.type, event.type)


def _grouped(events: Iterable[StreamEvent]) -> Iterable[list[StreamEvent]]:
    """The events of each part."""
    indexer = PartIndexer()
    groups: dict[int, list[StreamEvent]] = {}
    for event in events:
        index = indexer.place(event)
        group = groups.setdefault(index, [])
        group.append(event)
        if _family(group[0]) != _family(event):
            raise ValueError(
                f"StreamEvent type {event.type!r} is incompatible with prior type at "
                f"part_index={index}. Events of one part must be of one kind "
                f"({_family(group[0])!r} so far): leave part_index out, or give another one."
            )
    return groups.values()


def _part_of(events: Sequence[StreamEvent]) -> Part | None:
    """The part that the events of one spell; `None` where they say nothing."""
    family, metadata = _family(events[0]), _metadata_of(events)
    text = _joined(events, family)
    if family == "text":
        return TextPart(text, metadata) if text else None
    if family == "reasoning":
        redacted = any(event.redacted for event in events)
        return ReasoningPart(text, redacted, metadata) if text or redacted or metadata else None
    if family == "attachment":
        attachment = events[-1].attachment
        return AttachmentPart(attachment, metadata) if attachment is not None else None
    return _tool_part(events, family, metadata)


def _joined(events: Iterable[StreamEvent], type: str) -> str:
    return "".join([event.chunk for event in events if event.type == type])


def _metadata_of(events: Iterable[StreamEvent]) -> Metadata | None:
    """All metadata of events; where a top-level key comes twice the last one wins."""
    merged: Metadata = {}
    for event in events:
        merged.update(event.provider_metadata or {})
    return merged or None


def _tool_part(
    events: Sequence[StreamEvent], family: str, metadata: Metadata | None
) -> ToolCallPart | ToolResultPart | None:
    call_id = next((e.tool_call_id for e in events if e.tool_call_id is not None), None)
    server = any(event.server_executed for event in events)
    if family == "tool_call":
        arguments = parse_arguments(_joined(events, "tool_call_args"))
        name = _joined(events, "tool_call_name")
        return ToolCallPart(name, arguments, call_id, server, metadata)
    if family != "tool_result":
        return None
    name = next((event.tool_name for event in events if event.tool_name), "")
    output = _joined(events, family)
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
        parts = messages.setdefault(group[0].message_index, [])
        if (part := _part_of(group)) is not None:
            parts.append(part)
    if calls:
        last = next(reversed(messages.values())) if messages else messages.setdefault(0, [])
        _add_calls(last, [p for parts in messages.values() for p in parts], calls)
    # Reasoning that is not shown goes before what came of it.
    ordered = [sorted(parts, key=_is_redacted, reverse=True) for parts in messages.values()]
    return [Message("assistant", parts) for parts in ordered if parts]


def _is_redacted(part: Part) -> bool:
    return isinstance(part, ReasoningPart) and part.redacted


def spelled(text: str, calls: Sequence[ToolCall]) -> list[Message]:
    """The assistant message of an answer that is plain text and tool calls; see `assemble`."""
    parts: list[Part] = [TextPart(text)] if text else []
    parts += [ToolCallPart(call.name, call.arguments, call.tool_call_id) for call in calls]
    return [Message("assistant", parts)] if parts else []


def finished(messages: Sequence[Message]) -> JSONObject:
    """What a response has, by the names of its attributes, whose answer is these messages."""
    calls = [
        ToolCall(part.name, part.arguments, part.tool_call_id)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCallPart) and not part.server_executed
    ]
    return {
        "_output": list(messages),
        "_chunks": [text for message in messages if (text := message.text())],
        "_event_log": EventLog(),
        "_tool_calls": calls,
    }


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
    if not isinstance(part, (ToolCallPart, ToolResultPart)):
        return []
    call_id, server = part.tool_call_id, part.server_executed
    if isinstance(part, ToolResultPart):
        return [StreamEvent("tool_result", part.output, None, call_id, server, part.name)]
    return [
        StreamEvent("tool_call_name", part.name, None, call_id, server),
        StreamEvent("tool_call_args", json.dumps(part.arguments), None, call_id, server),
    ]
