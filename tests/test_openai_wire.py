"""Requests and replies against vectors that were checked by hand with the API reference.

Each file of `data/wire` holds our messages and options, the request that they have to become, the
server's objects, and the events, calls, usage and record that those have to become.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.default_plugins import openai_models
from llm.default_plugins.openai_models import (
    AsyncChat,
    Chat,
    combine_chunks,
    not_nulls,
    redact_data,
)
from llm.errors import ConnectionLost, ModelError
from llm.models.recording import EventLog, assemble
from llm.parts import Message, StreamEvent, ToolCallPart, ToolResultPart
from llm.providers.openai.transport import fast
from llm.providers.openai.wire import calls
from llm.providers.openai.wire.calls import Nesting
from llm.providers.openai.wire.chat_answers import ChatAccumulator
from llm.providers.openai.wire.chat_requests import chat_messages
from llm.providers.openai.wire.shapes import DONE, TextMender, malformed
from llm.text import JSONObject

from .helpers.models import of_role
from .helpers.openai_server import OpenAIServer, chunk, completion, json_reply, sse_reply

WIRE = Path(__file__).parent / "data/wire"
VECTORS = sorted(path for path in WIRE.glob("*.json") if path.stem != "embeddings")


def model_for(vector: dict[str, Any], base: str) -> llm.Model | llm.KeyModel:
    """The model that speaks the vector's API, at a loopback server."""
    names = {"chat": "gpt-4o", "completions": "gpt-3.5-turbo-instruct", "responses": "gpt-5"}
    model = llm.get_model(names[vector["api"]])
    settings = {"api_base": base, "key": "sk-test-key"}
    if vector["api"] == "chat":
        model = Chat(
            "gpt-4o",
            vision=True,
            audio=True,
            reasoning=True,
            verbosity=True,
            service_tier=True,
            supports_schema=True,
            supports_tools=True,
        )
    for name, value in settings.items():
        setattr(model, name, value)
    return model


def event_dict(event: str | StreamEvent) -> dict[str, Any]:
    """An event as the vectors write it: type, chunk, and what is not the default."""
    if isinstance(event, str):
        return {"type": "text", "chunk": event}
    shape = {"type": event.type, "chunk": event.chunk}
    for name in (
        *("tool_call_id", "server_executed", "tool_name", "redacted", "provider_metadata"),
        "message_index",
    ):
        value = getattr(event, name)
        if value:
            shape[name] = value
    return shape


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector_goes_out_and_comes_back(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The request on the wire and everything made of the reply are exactly those of the file."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    with OpenAIServer() as server:
        stream = vector["stream"]
        server.add(sse_reply(vector["reply"]) if stream else json_reply(vector["reply"][0]))
        model = model_for(vector, server.url)
        response = model.prompt(
            messages=[Message.from_dict(message) for message in vector["messages"]],
            options=vector.get("options"),
            schema=vector.get("schema"),
            tools=[
                *(llm.Tool(**tool) for tool in vector.get("tools", [])),
                *(provider_tool(*tool) for tool in vector.get("provider_tools", [])),
            ],
            stream=stream,
            hide_reasoning=vector.get("hide_reasoning", False),
        )
        events = [event_dict(event) for event in response.stream_events()]
    fast.close()
    assert server.last.body == vector["request"]
    assert events == vector["events"]
    assert [[c.name, c.arguments, c.tool_call_id] for c in response.tool_calls()] == (
        vector["calls"]
    )
    usage = vars(response.usage())
    assert usage == (vector["usage"] or {"input": None, "output": None, "details": None})
    assert response.resolved_model == vector["resolved_model"]
    assert response.response_json == vector["response_json"]
    assert capsys.readouterr().err.splitlines() == vector.get("notices", [])


def provider_tool(name: str, settings: dict[str, Any]) -> llm.ServerSideTool:
    """A tool that the provider runs, by the name of its class."""
    kind: type[llm.ServerSideTool] = getattr(
        llm if name == "ServerSideTool" else openai_models, name
    )
    return kind(**settings)


def test_vector_of_embeddings_goes_out_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request for all texts; the vectors are put into their order."""
    vector = json.loads((WIRE / "embeddings.json").read_text(encoding="utf-8"))
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
        server.add(json_reply(vector["reply"]))
        found = list(llm.get_embedding_model(vector["model"]).embed_multi(vector["texts"]))
    fast.close()
    assert server.last.path == "/v1/embeddings"
    assert server.last.body == vector["request"]
    assert found == vector["vectors"]


def folded(
    *values: dict[str, Any], done: bool = True
) -> tuple[ChatAccumulator, list[dict[str, Any]]]:
    """An accumulator that has taken these objects, and the events that it gave."""
    ids = iter(f"new_{n}" for n in range(100))
    answer = ChatAccumulator(lambda: next(ids), "host", ("known", "other"))
    events = [event for value in values for event in answer.feed(value)]
    if done:
        events += answer.feed(DONE)
    events += answer.finish()
    return answer, [event_dict(event) for event in events]


def call(**fields: Any) -> dict[str, Any]:
    """A chunk with one piece of a tool call."""
    return chunk({"tool_calls": [fields]})


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        # No index: pieces belong together by id, and without an id to the last one.
        (
            [
                call(id="a", function={"name": "f", "arguments": '{"x"'}),
                call(function={"arguments": ":1}"}),
                call(id="b", function={"name": "g", "arguments": "{}"}),
            ],
            [("f", {"x": 1}, "a"), ("g", {}, "b")],
        ),
        # No id: one is made.
        (
            [
                call(index=0, function={"name": "f", "arguments": "{}"}),
                call(index=1, function={"name": "g"}),
            ],
            [("f", {}, "new_0"), ("g", {}, "new_1")],
        ),
        # Neither: a name begins another call.
        (
            [
                call(function={"name": "f", "arguments": '{"x":1}'}),
                call(function={"name": "f", "arguments": '{"x":2}'}),
            ],
            [("f", {"x": 1}, "new_0"), ("f", {"x": 2}, "new_1")],
        ),
        # Every call has index 0.
        (
            [
                call(index=0, id="a", function={"name": "f", "arguments": "{}"}),
                call(index=0, id="b", function={"name": "f", "arguments": "{}"}),
            ],
            [("f", {}, "a"), ("f", {}, "b")],
        ),
        # The name is repeated with each piece.
        (
            [
                call(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
                call(index=0, id="a", function={"name": "f", "arguments": ":1}"}),
            ],
            [("f", {"x": 1}, "a")],
        ),
        # The name comes in pieces.
        (
            [
                call(index=0, id="a", function={"name": "get_", "arguments": ""}),
                call(index=0, function={"name": "it", "arguments": "{}"}),
            ],
            [("get_it", {}, "a")],
        ),
        # Arguments as an object, null, empty, or nonsense.
        (
            [call(index=0, id="a", function={"name": "f", "arguments": {"x": 1}})],
            [("f", {"x": 1}, "a")],
        ),
        ([call(index=0, id="a", function={"name": "f", "arguments": None})], [("f", {}, "a")]),
        ([call(index=0, id="a", function={"name": "f", "arguments": "null"})], [("f", {}, "a")]),
        ([call(index=0, id="a", function={"name": "f", "arguments": "[]"})], [("f", {}, "a")]),
        # Every call has index 0 and none an id; the first is whole, or has another name.
        (
            [
                call(index=0, function={"name": "f", "arguments": '{"x":"}"}'}),
                call(index=0, function={"name": "f", "arguments": '{"x":2}'}),
            ],
            [("f", {"x": "}"}, "new_0"), ("f", {"x": 2}, "new_1")],
        ),
        (
            [
                call(index=0, function={"name": "f", "arguments": "null"}),
                call(index=0, function={"name": "g", "arguments": '{"x":2}'}),
            ],
            [("f", {}, "new_0"), ("g", {"x": 2}, "new_1")],
        ),
        (
            [
                call(index=0, function={"name": "known", "arguments": ""}),
                call(index=0, function={"name": "other", "arguments": ""}),
            ],
            [("known", {}, "new_0"), ("other", {}, "new_1")],
        ),
        # One id for two calls, with an index each or without, in one piece or in several.
        (
            [
                call(index=0, id="a", function={"name": "f", "arguments": '{"x":1}'}),
                call(index=1, id="a", function={"name": "f", "arguments": '{"x":2}'}),
            ],
            [("f", {"x": 1}, "a"), ("f", {"x": 2}, "new_0")],
        ),
        (
            [
                call(id="a", function={"name": "f", "arguments": '{"x"'}),
                call(id="a", function={"arguments": ":1}"}),
                call(id="a", function={"name": "f", "arguments": '{"x"'}),
                call(id="a", function={"arguments": ":2}"}),
            ],
            [("f", {"x": 1}, "a"), ("f", {"x": 2}, "new_0")],
        ),
        # The name comes late, or with an id that comes late.
        (
            [
                call(index=0, id="a", function={"arguments": '{"x":1}'}),
                call(index=0, function={"name": "f"}),
            ],
            [("f", {"x": 1}, "a")],
        ),
        (
            [
                call(index=0, function={"name": "f", "arguments": '{"x"'}),
                call(index=0, id="a", function={"name": "f", "arguments": ":1}"}),
            ],
            [("f", {"x": 1}, "new_0")],
        ),
        # Each piece has another id, or another index.
        (
            [
                call(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
                call(index=0, id="b", function={"name": "f", "arguments": ":1}"}),
            ],
            [("f", {"x": 1}, "a")],
        ),
        (
            [
                call(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
                call(index=1, id="a", function={"arguments": ":"}),
                call(index=2, function={"arguments": "1}"}),
            ],
            [("f", {"x": 1}, "a")],
        ),
        # Pieces that say nothing are no calls.
        ([call(index=0, function={"arguments": ""}), call(), chunk({"tool_calls": [None]})], []),
        # The older kind, alone and beside the newer one.
        (
            [
                chunk({"function_call": {"name": "f", "arguments": '{"x"'}}),
                chunk({"function_call": {"arguments": ":1}"}}),
            ],
            [("f", {"x": 1}, "new_0")],
        ),
        (
            [
                chunk(
                    {
                        "function_call": {"name": "f", "arguments": "{}"},
                        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
                    }
                )
            ],
            [("f", {}, "a")],
        ),
        # Whole messages: each entry is a call of its own.
        (
            [
                completion(
                    {
                        "tool_calls": [
                            {"id": "a", "function": {"name": "f", "arguments": ""}},
                            {"id": "a", "function": {"name": "f", "arguments": ""}},
                        ]
                    }
                )
            ],
            [("f", {}, "a"), ("f", {}, "new_0")],
        ),
        (
            [call(index=0, id="a", function={"name": "f", "arguments": "{oops"})],
            [("f", {"_raw": "{oops"}, "a")],
        ),
        (
            [call(index=0, id="a", function={"name": "f", "arguments": "[1]"})],
            [("f", {"_raw": "[1]"}, "a")],
        ),
    ],
)
def test_tool_calls_are_put_together_as_servers_send_them(
    chunks: list[JSONObject], calls: list[tuple[Any, ...]]
) -> None:
    """Missing index, missing id, whole or empty arguments: each call comes out once and whole."""
    answer, _ = folded(*chunks)
    assert answer.calls() == calls


@pytest.mark.parametrize("thinking", ["hm", [{"type": "text", "text": "hm"}], {"text": "hm"}])
@pytest.mark.parametrize("text", ["yes", {"type": "text", "text": "yes"}, {"text": ["y", "es"]}])
def test_list_of_pieces_is_text_and_thinking(thinking: object, text: object) -> None:
    """A content that is a list gives its texts and thoughts, in whatever shape they are."""
    content = [{"type": "thinking", "thinking": thinking}, text, {"type": "image_url"}, None]
    _, events = folded(chunk({"content": content}))
    assert events[0] == {"type": "reasoning", "chunk": "hm"}
    assert [event["type"] for event in events[1:]] == ["text"] * len(events[1:])
    assert "".join(event["chunk"] for event in events[1:]) == "yes"


@pytest.mark.parametrize("count", [100, 3000])
def test_name_with_each_piece_of_a_long_call_is_read_in_one_pass(count: int) -> None:
    """Whether a call is whole is found out without reading what was read before."""
    nesting: list[int] = []

    class Counted(Nesting):
        def add(self, text: str) -> None:
            nesting.append(len(text))
            super().add(text)

    with mock.patch.object(calls, "Nesting", Counted):
        pieces = ['{"x": [', *['{"a": "\\\\"},'] * count, "0]}"]
        answer, _ = folded(
            *(call(index=0, id="a", function={"name": "f", "arguments": text}) for text in pieces)
        )
    ((name, arguments, _),) = answer.calls()
    assert (name, len(arguments["x"])) == ("f", count + 1)
    assert sum(nesting) <= sum(map(len, pieces))


@given(
    st.recursive(st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_object_is_whole_at_its_last_character_only(value: object) -> None:
    """Wherever an object is cut, in texts and after backslashes too."""
    text, nesting = json.dumps({"x": value}, ensure_ascii=False), calls.Nesting()
    for character in text[:-1]:
        nesting.add(character)
        assert not nesting.is_whole
    nesting.add(text[-1])
    assert nesting.is_whole


DETAILS = [{"type": "reasoning.text", "text": "hm", "index": 0}]
SIGNED = {"id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"s": "x"}}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"reasoning_content": "hm"}, {"reasoning_content": "hm"}),
        ({"reasoning": "hm"}, {"reasoning": "hm"}),
        ({"reasoning_text": "hm", "reasoning_opaque": "o"}, None),
        ({"reasoning_content": "", "reasoning": "hm"}, {"reasoning": "hm"}),
        ({"reasoning_content": ""}, {"reasoning_content": ""}),
        ({"reasoning_content": None}, {}),
        ({"reasoning_details": DETAILS}, {"reasoning_details": DETAILS}),
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, {}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
def test_reasoning_goes_back_as_it_came_to_its_server_alone(
    message: JSONObject, told: JSONObject | None, is_streamed: bool
) -> None:
    """Beside a call it goes back under the server's name for it, and so do signatures; others, who
    may refuse what they do not know, get neither."""
    message = {**message, "tool_calls": [SIGNED]}
    answer = ChatAccumulator(server="host")
    given = [*answer_events(chunk(message) if is_streamed else completion(message), answer)]
    messages = [*assemble(given), llm.tool_message(ToolResultPart("f", "out", "a"))]
    (sent, _) = chat_messages(messages, server="host")
    expected = message.copy() if told is None else {**told, "tool_calls": [SIGNED]}
    expected["tool_calls"] = [{**SIGNED, "type": "function"}]
    assert sent == {"role": "assistant", "content": None, **expected}
    for other in ("elsewhere", None):
        (sent, _) = chat_messages(messages, server=other)
        assert sent.keys() == {"role", "content", "tool_calls"}
        assert sent["tool_calls"][0].keys() == {"type", "id", "function"}


def answer_events(value: JSONObject, answer: ChatAccumulator) -> Iterator[StreamEvent]:
    """The events of an answer of one object, each with the index of its part."""
    log = EventLog()
    for events in (answer.feed(value), answer.feed(DONE)):
        for event in events:
            log.append(event if isinstance(event, StreamEvent) else StreamEvent("text", event))
    for event in answer.finish():
        log.append(event if isinstance(event, StreamEvent) else StreamEvent("text", event))
    return iter(log)


def test_empty_details_are_no_reasoning() -> None:
    """Some servers send an empty list with each chunk."""
    _, events = folded(chunk({"content": "a", "reasoning": None, "reasoning_details": []}))
    assert events == [{"type": "text", "chunk": "a"}]


def test_details_that_are_no_pieces_of_one_stay_apart() -> None:
    """Only texts of one entry are joined: same kind, same place, no other id."""
    pieces = [
        {"type": "reasoning.summary", "summary": "a", "index": 0},
        {"type": "reasoning.summary", "summary": "b", "index": 0, "id": None},
        {"type": "reasoning.text", "text": "c", "index": 0, "signature": None},
        {"type": "reasoning.text", "text": None, "index": 0, "signature": "s"},
        {"type": "reasoning.text", "text": "d", "index": 1},
        {"type": "reasoning.encrypted", "data": "x", "index": 2},
        {"type": "reasoning.encrypted", "data": "y", "index": 2},
    ]
    _, events = folded(*(chunk({"reasoning_details": [piece]}) for piece in pieces))
    assert [event["chunk"] for event in events] == ["a", "b", "c", "d", ""]
    assert events[-1]["provider_metadata"] == {
        "host": {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "ab", "index": 0},
                {"type": "reasoning.text", "text": "c", "index": 0, "signature": "s"},
                *pieces[4:],
            ]
        }
    }


def test_halves_of_a_character_are_joined() -> None:
    """A surrogate pair that was split over two chunks is one character again."""
    _, events = folded(chunk({"content": "a\ud83d"}), chunk({"content": "\ude00b"}))
    assert [event["chunk"] for event in events] == ["a", "😀b"]
    _, events = folded(chunk({"content": "x\ud83d"}))
    assert [event["chunk"] for event in events] == ["x", "\ufffd"]
    assert TextMender().mend("\ude00ü") == "\ufffdü"


@pytest.mark.parametrize(
    ("value", "notice"),
    [
        (chunk({"content": "x"}, "length"), "cut off"),
        (chunk({}, "content_filter"), "content filter"),
        (chunk({"refusal": "I cannot"}, "stop"), "The model refused: I cannot"),
        (completion({"content": None, "refusal": "No"}), "The model refused: No"),
    ],
)
def test_unusual_end_is_noticed(value: JSONObject, notice: str) -> None:
    """Length, filter and refusal are told to the user."""
    answer, _ = folded(value)
    assert notice in answer.notices()[0]


def test_usual_end_is_not_noticed() -> None:
    """A complete answer needs no notice."""
    answer, _ = folded(chunk({"content": "x"}, "stop"))
    assert answer.notices() == []


def test_finish_reason_makes_an_answer_complete() -> None:
    """Servers that never send the end marker are believed when they give a reason."""
    assert folded(chunk({}, "stop"), done=False)[0].is_complete
    assert not folded(chunk({"content": "x"}), done=False)[0].is_complete


def test_reply_without_choices_is_no_answer() -> None:
    """A body of another kind is an error, not an empty answer."""
    with pytest.raises(ModelError, match="holds no answer"):
        folded({"status": "ok"})
    nothings: list[Any] = [{"choices": []}, {"choices": None}, {"choices": [], "usage": {"n": 1}}]
    for nothing in nothings:
        with pytest.raises(ModelError, match=r"holds no answer: .*choices"):
            folded(nothing)


@pytest.mark.parametrize(
    "choices", [5, [5], [{"delta": 5}], {"a": 1}, [{"delta": {"tool_calls": 5}}]]
)
def test_unexpected_shape_is_our_error(choices: object) -> None:
    """A chunk that is not as promised is a readable error."""
    with pytest.raises(ModelError, match="unexpected shape"):
        folded({"choices": choices})


def test_choice_without_delta_adds_nothing() -> None:
    """A choice may hold nothing but a reason."""
    assert folded({"choices": [{"finish_reason": "stop"}]})[1] == []


def test_combine_chunks_takes_objects_of_the_library() -> None:
    """Chunks of the SDK, and dicts, amount to the same record."""
    from openai.types.chat import ChatCompletionChunk

    chunks = [chunk({"content": "he"}), chunk({"content": "y"}), chunk(finish="stop")]
    expected: JSONObject = {
        "content": "hey",
        "role": None,
        "finish_reason": "stop",
        "usage": {},
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "served-model",
        "created": 1700000000,
    }
    assert combine_chunks(chunks) == expected
    assert combine_chunks([ChatCompletionChunk(**value) for value in chunks]) == expected


def test_plain_takes_any_object() -> None:
    """An object without a method for it is read by its attributes."""
    from types import SimpleNamespace

    from llm.providers.openai.wire.shapes import plain

    assert plain(SimpleNamespace(a=1)) == {"a": 1}


def test_names_that_plugins_import_work() -> None:
    """The small functions keep their results."""
    assert not_nulls([("a", 1), ("b", None)]) == {"a": 1}
    item = openai_models._attachment(
        llm.Attachment(content=b"x", type="image/png"), image_detail="low"
    )
    assert item["image_url"] == {"url": "data:image/png;base64,eA==", "detail": "low"}
    request = {"m": [{"image_url": {"url": "data:xx"}}, {"input_audio": {"data": "x"}}, 5]}
    assert redact_data(request) is request
    assert request == {
        "m": [{"image_url": {"url": "data:..."}}, {"input_audio": {"data": "..."}}, 5]
    }
    files = [{"file_data": "data:x"}, {"image_url": "data:x"}, {"url": "https://x"}]
    assert redact_data(files) == [
        {"file_data": "data:..."},
        {"image_url": "data:..."},
        {"url": "https://x"},
    ]
    assert redact_data(5) == 5


def test_empty_messages_are_not_sent() -> None:
    """Empty texts of user and system are left out; an assistant keeps its turn."""
    model = Chat("m")
    messages = [llm.system(""), llm.user(""), llm.user("a", "b"), llm.assistant()]
    prompt = llm.Prompt(None, model, messages=messages)
    assert model.build_messages(prompt, None) == [
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": ""},
    ]


def test_message_of_an_unknown_role_is_not_sent() -> None:
    """A role that the API does not know stays at home."""
    prompt = llm.Prompt(None, Chat("m"), messages=[of_role("critic"), llm.user("a")])
    assert len(Chat("m").build_messages(prompt, None)) == 1


@pytest.mark.parametrize("kind", [Chat, AsyncChat])
def test_system_prompt_can_be_disallowed(kind: type) -> None:
    """A model that takes none says so."""
    model = kind("m", allows_system_prompt=False)
    with pytest.raises(NotImplementedError, match="does not support system prompts"):
        model.build_messages(llm.Prompt("x", model, system="s"), None)
    assert model.build_messages(llm.Prompt("x", model), None)


def test_deep_arguments_of_a_call_are_kept_raw() -> None:
    """A call with arguments that no parser takes is assembled all the same."""
    with OpenAIServer() as server:
        text = "[" * 100_000
        function = {"name": "f", "arguments": text}
        server.add(sse_reply([call(index=0, id="a", function=function), chunk({}, "tool_calls")]))
        response = Chat("m", api_base=server.url, key="k").prompt("x")
        (part,) = response.messages()[0].parts
        assert isinstance(part, ToolCallPart)
        assert part.arguments == {"_raw": text}
    fast.close()


def test_malformed_value_nested_too_deeply_is_described() -> None:
    """Even the error about it does not fail."""
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    assert "nested too deeply" in str(malformed(ValueError("x"), value))


def test_long_conversation_is_built_fast() -> None:
    """The request for turn 1,000 is made from its chain in one pass."""
    messages = [m for n in range(1000) for m in (llm.user(f"q{n}"), llm.assistant(f"a{n}"))]
    prompt = llm.Prompt(None, Chat("m"), messages=[*messages, llm.user("last")])
    assert len(Chat("m").build_messages(prompt, None)) == 2001


def test_incomplete_answer_is_lost(user_path: Path) -> None:
    """A stream that ends early is an error after its text; usage and model are kept."""
    with OpenAIServer() as server:
        pieces = [chunk({"content": "par"}), chunk({"content": "tial"})]
        server.add(sse_reply(pieces, done=False, chunked=False))
        response = Chat("m", api_base=server.url, key="k").prompt("x")
        seen: list[str] = []
        with pytest.raises(ConnectionLost, match="end marker is missing"):
            seen.extend(response)
    fast.close()
    assert response._chunks == ["par", "tial"]
    assert response.resolved_model == "served-model"
