"""Whole streams of both APIs, byte by byte: what servers may do to them, and what they should not.

The streams are those of the wire vectors.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm.default_plugins.openai_models import Responses
from llm.errors import LLMError
from llm.parts import StreamEvent
from llm.providers.openai.transport.fast import Reader
from llm.providers.openai.transport.faults import Endpoint, told_in_stream
from llm.providers.openai.wire.chat_answers import ChatAccumulator, CompletionAccumulator
from llm.providers.openai.wire.responses_answers import ResponsesAccumulator

ENDPOINT = Endpoint("http://127.0.0.1/v1")
MODEL = Responses("m", reasoning=True)
VECTORS = [
    vector
    for path in sorted((Path(__file__).parent / "data/wire").glob("*.json"))
    if (vector := json.loads(path.read_text(encoding="utf-8"))).get("stream")
]


def new_answer(api: str) -> Any:
    """What makes events of the objects of an answer."""
    if api == "responses":
        return ResponsesAccumulator(
            MODEL._server_tool_events,
            MODEL._refresh_server_tool_events,
            lambda value: told_in_stream(ENDPOINT, value),
        )
    ids = itertools.count()
    new_id: Callable[[], str] = lambda: f"new_{next(ids)}"  # noqa: E731
    return ChatAccumulator(new_id) if api == "chat" else CompletionAccumulator()


def read(api: str, stream: bytes, cuts: list[int]) -> tuple[Any, ...]:
    """Everything that a stream amounts to, when it arrives in pieces cut at these places."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader, answer = Reader(ENDPOINT), new_answer(api)
    events: list[Any] = []
    for start, end in itertools.pairwise(places):
        for value in reader.feed(stream[start:end]):
            events += answer.feed(value)
    for value in reader.finish(is_framed=True):
        events += answer.feed(value)
    events += answer.finish()
    assert all(isinstance(event, (str, StreamEvent)) for event in events)
    json.dumps(answer.response_json())
    ended = (answer.notices(), answer.resolved_model, answer.is_complete)
    return events, answer.calls(), answer.usage, *ended


# Lines that say nothing, and events of which nobody has heard.
NOISE = (
    *(": keep-alive", ":", "id: 7", "retry: 100", "unknown: field", "data-like", "event: ping"),
)
UNKNOWN = (
    {"type": "response.something.new", "item": {"type": "message"}},
    {"type": "ping"},
    {"object": "other", "choices": []},
)

Stream = tuple[str, list[Any], bytes]


def noisy_stream(number: int) -> Stream:
    """An API, the objects of a stream of it, and its bytes as a server with habits may send it.

    The number says which: as single choices of the generator of examples, they would take minutes.
    """
    choice = random.Random(number)
    vector = choice.choice(VECTORS)
    end = choice.choice(["\n", "\r", "\r\n"])
    lines: list[str] = []
    for value in vector["reply"]:
        lines += choice.sample(NOISE, choice.randrange(3))
        if not choice.randrange(6):
            lines += [f"data: {json.dumps(choice.choice(UNKNOWN))}", ""]
        if "type" in value and choice.randrange(2):
            lines.append(f"event: {value['type']}")
        more = {"unheard_of": {"x": [1]}} if choice.randrange(2) else {}
        text = json.dumps({**value, **more}, ensure_ascii=bool(choice.randrange(2)))
        lines += [choice.choice(["data: ", "data:"]) + text, ""]
    mark = choice.choice([b"", b"\xef\xbb\xbf"])
    text = "".join(line + end for line in [*lines, "data: [DONE]", ""])
    return vector["api"], vector["reply"], mark + text.encode()


STREAMS = st.integers(0, 2**32).map(noisy_stream)


@given(STREAMS, st.lists(st.integers(0, 100_000), max_size=30))
def test_habits_of_servers_do_not_change_an_answer(stream: Stream, cuts: list[int]) -> None:
    """Line ends, marks, comments, unknown fields, events and places of cutting mean nothing."""
    api, values, noisy = stream
    plain = "".join(f"data: {json.dumps(value)}\n\n" for value in [*values, None])
    plain = plain.replace("data: null", "data: [DONE]")
    assert read(api, noisy, cuts) == read(api, plain.encode(), [])


def outcome_of(api: str, data: bytes, cuts: list[int]) -> object:
    """The answer, or what a user is told in its place."""
    try:
        return read(api, data, cuts)
    except LLMError as error:
        return str(error).strip()


MUTATIONS = st.lists(
    st.tuples(st.integers(0, 100_000), st.integers(0, 40), st.binary(max_size=12)), max_size=5
)


@given(STREAMS, MUTATIONS, st.lists(st.integers(0, 100_000), max_size=10))
def test_damaged_stream_raises_our_own_errors_only(
    stream: Stream,
    mutations: list[tuple[int, int, bytes]],
    cuts: list[int],
) -> None:
    """Bytes that are lost, added or changed give an answer, or an error that a user can read."""
    api, _, data = stream
    for place, lost, added in mutations:
        start = place % (len(data) + 1)
        data = data[:start] + added + data[start + lost :]
    assert outcome_of(api, data, cuts)
