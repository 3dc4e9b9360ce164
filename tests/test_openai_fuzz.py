"""Whole streams of both APIs, byte by byte: what servers may do to them, and what they should not.

The streams are those of the wire vectors.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.default_plugins.openai_models import Responses
from llm.errors import LLMError
from llm.parts import StreamEvent
from llm.providers.openai.faults import Endpoint, told_in_stream
from llm.providers.openai.fold_chat import ChatFold
from llm.providers.openai.fold_responses import ResponsesFold
from llm.providers.openai.lane import Reader
from llm.providers.openai.wire_completions import CompletionFold

ENDPOINT = Endpoint("http://127.0.0.1/v1")
MODEL = Responses("m", reasoning=True)
VECTORS = [
    vector
    for path in sorted((Path(__file__).parent / "data/wire").glob("*.json"))
    if (vector := json.loads(path.read_text(encoding="utf-8"))).get("stream")
]


def new_fold(api: str) -> Any:
    """What makes events of the objects of an answer."""
    if api == "responses":
        return ResponsesFold(MODEL, lambda value: told_in_stream(ENDPOINT, value))
    ids = itertools.count()
    new_id: Callable[[], str] = lambda: f"new_{next(ids)}"  # noqa: E731
    return ChatFold(new_id) if api == "chat" else CompletionFold()


def read(api: str, stream: bytes, cuts: list[int]) -> tuple[Any, ...]:
    """Everything that a stream amounts to, when it arrives in pieces cut at these places."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader, fold = Reader(ENDPOINT), new_fold(api)
    events: list[Any] = []
    for start, end in itertools.pairwise(places):
        for value in reader.feed(stream[start:end]):
            events += fold.feed(value)
        reader.check()
    for value in reader.finish():
        events += fold.feed(value)
    events += fold.finish()
    assert all(isinstance(event, (str, StreamEvent)) for event in events)
    json.dumps(fold.response_json())
    return events, fold.calls(), fold.usage, fold.notices(), fold.resolved_model, fold.is_complete


ENDS = st.sampled_from(["\n", "\r", "\r\n"])
# Lines that say nothing, and events of which nobody has heard.
NOISE = st.sampled_from(
    [": keep-alive", ":", "id: 7", "retry: 100", "unknown: field", "data-like", "event: ping"]
)
UNKNOWN = st.sampled_from(
    [
        {"type": "response.something.new", "item": {"type": "message"}},
        {"type": "ping"},
        {"object": "other", "choices": []},
    ]
)


@st.composite
def noisy_streams(draw: st.DrawFn) -> tuple[str, list[Any], bytes]:
    """An API, the objects of a stream of it, and its bytes as a server with habits may send it."""
    vector = draw(st.sampled_from(VECTORS))
    api, values = vector["api"], vector["reply"]
    end = draw(ENDS)
    lines = []
    for value in values:
        for noise in draw(st.lists(NOISE, max_size=2)):
            lines.append(noise)
        if draw(st.integers(0, 5)) == 0:
            lines += [f"data: {json.dumps(draw(UNKNOWN))}", ""]
        if "type" in value and draw(st.booleans()):
            lines.append(f"event: {value['type']}")
        if draw(st.booleans()):
            value = {**value, "unheard_of": {"x": [1]}}
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        lines += [draw(st.sampled_from(["data: ", "data:"])) + text, ""]
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return api, values, mark + "".join(line + end for line in [*lines, "data: [DONE]", ""]).encode()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(noisy_streams(), st.lists(st.integers(0, 100_000), max_size=30))
def test_habits_of_servers_do_not_change_an_answer(
    stream: tuple[str, list[Any], bytes], cuts: list[int]
) -> None:
    """Line ends, marks, comments, unknown fields, events and places of cutting mean nothing."""
    api, values, noisy = stream
    plain = "".join(f"data: {json.dumps(value)}\n\n" for value in [*values, None])
    plain = plain.replace("data: null", "data: [DONE]")
    assert read(api, noisy, cuts) == read(api, plain.encode(), [])


MUTATIONS = st.lists(
    st.tuples(st.integers(0, 100_000), st.integers(0, 40), st.binary(max_size=12)), max_size=5
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(noisy_streams(), MUTATIONS, st.lists(st.integers(0, 100_000), max_size=10))
def test_damaged_stream_raises_our_own_errors_only(
    stream: tuple[str, list[Any], bytes],
    mutations: list[tuple[int, int, bytes]],
    cuts: list[int],
) -> None:
    """Bytes that are lost, added or changed give an answer, or an error that a user can read."""
    api, _, data = stream
    for place, lost, added in mutations:
        start = place % (len(data) + 1)
        data = data[:start] + added + data[start + lost :]
    with contextlib.suppress(LLMError):
        read(api, data, cuts)
