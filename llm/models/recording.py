"""What a model said, piece by piece, in little more memory than its characters take.

A string costs 50 bytes and an event 100 beside the text, and an answer may have 50,000 of each.
So pieces that cannot change any more are joined, and events of one kind are kept as their texts;
both are made anew when somebody reads them.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from ..parts import StreamEvent

if TYPE_CHECKING:
    from array import array

    from .response_base import _BaseResponse

T = TypeVar("T")

_BLOCK = 512
# Kinds of which an answer may have thousands.
_FREQUENT = frozenset({"text", "reasoning", "tool_call_args"})


class Observer(Protocol):
    """Is told about the course of an answer as it happens, before whoever reads it."""

    def begun(self, response: _BaseResponse) -> None:
        """The model is about to be asked; again, where an earlier attempt failed."""

    def recorded(self, event: StreamEvent) -> None:
        """The model said something."""


class _Readable(Sequence[T]):
    """What the sequences here share: they read like lists, and compare with lists."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # they grow

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
            return [self._at(place) for place in range(*index.indices(count))]
        place = index + count if index < 0 else index
        if not 0 <= place < count:
            raise IndexError("list index out of range")
        return self._at(place)

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
        if len(self._open) == _BLOCK:
            self._join()

    def _join(self) -> None:
        from array import array

        ends = array("Q", accumulate(map(len, self._open)))
        self._blocks = [*self._blocks, ("".join(self._open), ends)]
        self._open = []

    def clear(self) -> None:
        """Forget all pieces."""
        self._blocks = ()
        self._open = []

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._open)

    def _at(self, index: int) -> str:
        number, place = divmod(index, _BLOCK)
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
    """Events that differ in their text only."""

    __slots__ = ("first", "pieces", "start", "stop")

    def __init__(self, first: StreamEvent, pieces: Pieces) -> None:
        self.first = first
        self.pieces = pieces
        self.start = len(pieces)
        self.stop = self.start

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
        first = self.first
        chunk = self.pieces[self.start + number]
        if number == 0:
            return first
        return StreamEvent(
            first.type,
            chunk,
            first.part_index,
            first.tool_call_id,
            message_index=first.message_index,
        )

    def joined(self) -> StreamEvent:
        if self.stop - self.start == 1:
            return self.first
        return replace(self.first, chunk="".join(self.pieces[self.start : self.stop]))


class EventLog(_Readable[StreamEvent]):
    """The events of an answer in the order in which they came.

    Args:
        texts: Takes the text of each text event, besides.
    """

    __slots__ = ("_count", "_entries", "_others", "_starts", "_texts")

    def __init__(self, texts: Pieces) -> None:
        self._texts = texts
        self._others: Pieces | None = None
        # Single events, and runs of them; with the number of the first event of each.
        self._entries: list[StreamEvent | _Run] = []
        self._starts: list[int] = []
        self._count = 0

    def append(self, event: StreamEvent) -> None:
        """Add an event, whose part has been found."""
        pieces = self._texts if event.type == "text" else self._made_others()
        if _is_plain(event):
            last = self._entries[-1] if self._entries else None
            if last.__class__ is not _Run or not last.goes_on_with(event):
                last = self._enter(_Run(event, pieces))
            pieces.append(event.chunk)
            last.stop += 1
        else:
            self._enter(event)
            if event.type == "text":
                pieces.append(event.chunk)
        self._count += 1

    def _made_others(self) -> Pieces:
        if self._others is None:
            self._others = Pieces()
        return self._others

    def _enter(self, entry: Any) -> Any:
        self._entries.append(entry)
        self._starts.append(self._count)
        return entry

    def clear(self) -> None:
        """Forget all events and their texts."""
        self._texts.clear()
        self._others = None
        self._entries.clear()
        self._starts.clear()
        self._count = 0

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


def _is_plain(event: StreamEvent) -> bool:
    """Whether its text is all that it does not share with its neighbours."""
    return event.type in _FREQUENT and not (
        event.provider_metadata or event.redacted or event.server_executed or event.tool_name
    )
