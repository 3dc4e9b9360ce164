"""Pieces of an answer and its events, kept in little more memory than their text."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.models.recording import EventLog, PartIndexer, Pieces, assemble
from llm.parts import EventType, StreamEvent

MANY = 3_000
TEXTS = st.lists(st.text(max_size=3), max_size=20)


@given(TEXTS, st.integers(0, MANY))
def test_pieces_read_like_a_list(texts: list[str], more: int) -> None:
    """Every way to read them gives what was put in."""
    expected = [*texts, *(str(number) for number in range(more)), *texts]
    pieces = Pieces(expected)
    assert pieces == expected
    assert list(pieces) == [pieces[place] for place in range(len(expected))]
    assert pieces[3:-2] == expected[3:-2]
    assert "".join(pieces) == "".join(expected)
    assert bool(pieces) == bool(expected)
    assert pieces[-1:] == expected[-1:]


def test_pieces_end_where_they_end() -> None:
    """There is nothing beyond, as in a list; and they are equal to nothing else."""
    pieces = Pieces(["a"])
    for index in (1, -2):
        with pytest.raises(IndexError):
            pieces[index]
    assert pieces != "a"
    assert repr(pieces) == "['a']"


EVENTS = st.builds(
    StreamEvent,
    st.sampled_from(["text", "reasoning", "tool_call_name", "tool_call_args", "tool_result"]),
    st.text(max_size=2),
    tool_call_id=st.sampled_from([None, None, "a", "b"]),
    server_executed=st.sampled_from([False, False, False, True]),
    redacted=st.sampled_from([False, False, False, True]),
    provider_metadata=st.sampled_from([None, None, None, {"p": {"x": 1}}]),
    message_index=st.sampled_from([0, 0, 0, 1]),
)


def placed(events: list[StreamEvent]) -> list[StreamEvent]:
    """The events with their parts found."""
    indexer = PartIndexer()
    for event in events:
        indexer.place(event)
    return events


@given(st.lists(EVENTS, max_size=40))
def test_event_log_reads_like_a_list_and_spells_the_same(events: list[StreamEvent]) -> None:
    """Whatever a model says comes out as it went in, one by one and joined."""
    log = EventLog()
    for event in placed(events):
        log.append(event)
    assert log == events
    assert [log[place] for place in range(len(events))] == events
    assert log.texts == [event.chunk for event in events if event.type == "text"]
    assert assemble(log.joined()) == assemble(events)


@given(TEXTS, st.lists(EVENTS, max_size=40))
def test_event_log_goes_on_after_plain_texts(texts: list[str], events: list[StreamEvent]) -> None:
    """Texts that came before are events like those after them."""
    log = EventLog(texts)
    for event in events:
        log.append(event)
    given = placed([*(StreamEvent("text", text) for text in texts), *events])
    assert log == given
    assert assemble(log.joined()) == assemble(given)


def test_event_log_keeps_single_events_as_they_are() -> None:
    """A model may put the final value into an event of its own tools later on."""
    log = EventLog()
    event = StreamEvent("tool_result", "searching", tool_call_id="a", server_executed=True)
    log.append(placed([event])[0])
    event.chunk = "found"
    assert log[0] is event


class Talker(llm.Model):
    """Says many short words."""

    model_id = "talker"
    kind: EventType = "text"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        for number in range(50_000):
            word = f" w{number % 10}"
            yield word if self.kind == "text" else StreamEvent(self.kind, word)


@pytest.mark.parametrize("kind", ["text", "reasoning"])
@pytest.mark.parametrize("way", ["__iter__", "stream_events"])
def test_long_answer_takes_its_text_and_little_more(kind: EventType, way: str) -> None:
    """50,000 pieces need 12 bytes each beside their characters, whoever reads them."""
    model = Talker()
    model.kind = kind
    response = model.prompt("hi")
    tracemalloc.start()
    try:
        characters = sum(
            len(piece if isinstance(piece, str) else piece.chunk)
            for piece in getattr(response, way)()
        )
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert characters == (0 if (kind, way) == ("reasoning", "__iter__") else 150_000)
    assert kept < 150_000 + 12 * 50_000
    assert len(response.event_log) == 50_000


def test_events_that_somebody_put_in_are_spelled() -> None:
    """Plugins fill responses by hand."""
    response = Talker().prompt("hi")
    events: Any = [StreamEvent("text", "by "), StreamEvent("text", "hand")]
    response.event_log = events
    response._done = True
    assert [message.text() for message in response.messages()] == ["by hand"]
