"""The reader of event streams: every way in which bytes may be cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import LLMError
from llm.providers.openai.transport.fast import Reader
from llm.providers.openai.transport.faults import Endpoint
from llm.providers.openai.wire.chat_answers import ChatAccumulator
from llm.providers.openai.wire.chat_requests import usage_fields
from llm.providers.openai.wire.sse import ErrorPayload, EventDecoder


def decoded(pieces: list[bytes]) -> list[bytes]:
    """All events of a stream that arrives in these pieces."""
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.finish()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends_of_each_kind_are_understood(end: bytes) -> None:
    """LF, CR and CRLF end a line."""
    stream = end.join([b"data: one", b"", b"data:two", b"data:  more", b"", b""])
    assert decoded([stream]) == [b"one", b"two\n more"]


def test_byte_order_mark_comments_and_other_fields_are_skipped() -> None:
    """Only data counts."""
    stream = b"\xef\xbb\xbfdata: a\n: keep-alive\nid: 7\nretry: 10\nevent: x\nunknown\n\n:\n\n"
    assert decoded([stream]) == [b"a"]


def test_event_without_its_empty_line_is_given_at_the_end() -> None:
    """Servers that forget the last line break are forgiven."""
    assert decoded([b"data: a\n\ndata: b"]) == [b"a", b"b"]
    assert decoded([b"data: b\n"]) == [b"b"]


def test_event_named_error_is_marked() -> None:
    """The name of an event matters for errors, and only for that event."""
    events = decoded(
        [b"event: error\ndata: {}\n\nevent: x\ndata: 1\n\nevent: error\n\ndata: 2\n\n"]
    )
    assert [isinstance(event, ErrorPayload) for event in events] == [True, False, False]


def test_empty_stream_has_no_events() -> None:
    """Nothing in, nothing out."""
    assert decoded([]) == []
    assert decoded([b"", b"\r", b"", b"\n"]) == []


LINES = st.sampled_from(
    [
        b"data: 1",
        b"data:{}",
        b"data",
        b"data: \xf0\x9f\x92\xa9",
        b": comment",
        b"",
        b"",
        b"event: error",
        b"id: 1",
        b"x: y",
        b"dat",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=12), st.lists(st.integers(0, 200)), st.booleans())
def test_events_do_not_depend_on_where_bytes_are_cut(
    lines: list[tuple[bytes, bytes]], cuts: list[int], mark: bool
) -> None:
    """Any way to cut a stream into pieces gives the events of the whole."""
    stream = (b"\xef\xbb\xbf" if mark else b"") + b"".join(line + end for line, end in lines)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert decoded(pieces) == decoded([stream])
    assert decoded([stream[n : n + 1] for n in range(len(stream))]) == decoded([stream])


NAMES = (
    *("choices", "delta", "content", "tool_calls", "function", "name", "arguments", "id", "index"),
    *("usage", "finish_reason", "message", "reasoning", "role", "error", "type", "model"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"delta": JSON}), max_size=2) | JSON}
)


@given(st.lists(st.one_of(JSON, CHUNKS, st.binary(max_size=30)), max_size=5))
def test_nonsense_raises_our_own_errors_only(values: list[object]) -> None:
    """Whatever a server sends, the reader gives events or an error that the user can read."""
    assert error_of(values) != ""


def error_of(values: list[object]) -> str | None:
    """The error that reading ends with; anything but an error of ours goes through."""
    try:
        read_all(values)
    except LLMError as error:
        return str(error)
    return None


def read_all(values: list[object]) -> None:
    """Read a stream of these events and everything that it amounts to."""
    reader, answer = Reader(Endpoint("http://h/v1")), ChatAccumulator()
    for value in values:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        for piece in (b"data: ", data, b"\n\n"):
            for found in reader.feed(piece):
                list(answer.feed(found))
    for found in reader.finish(is_framed=True):
        list(answer.feed(found))
    list(answer.finish())
    answer.calls()
    answer.notices()
    json.dumps(answer.response_json())
    usage_fields(answer.usage or {})
    assert answer.resolved_model is None or isinstance(answer.resolved_model, str)
