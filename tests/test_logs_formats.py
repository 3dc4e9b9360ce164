"""Conversations as Markdown and as OpenAI messages, and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import InvalidInput
from llm.logs.exchange.as_markdown import from_markdown, to_markdown
from llm.logs.exchange.as_openai import to_openai
from llm.logs.exchange.formats import format_of, read, written
from llm.models.openai_messages import from_openai
from llm.models.serialize import from_messages
from llm.parts import Message
from llm.serialization import MessageDict
from llm.text import JSONObject

BYTES = base64.b64encode(b"content").decode()
EVERYTHING = [
    {"role": "system", "parts": [{"type": "text", "text": "Be brief"}]},
    {
        "role": "user",
        "parts": [
            {"type": "text", "text": "What is this?\n\n## User\n### Text\n\\## tool\n---"},
            {"type": "attachment", "attachment": {"type": "image/png", "content": BYTES}},
            {"type": "attachment", "attachment": {"type": "image/png", "url": "https://x.y/a"}},
            {"type": "attachment", "attachment": {"type": "text/plain", "path": "/a b.txt"}},
            {"type": "attachment", "attachment": {"url": "https://x.y/b"}},
            {"type": "text", "text": "\n\n  \nEnd\n"},
        ],
    },
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "text": "Hmm\n[attachment-1]: data:a/b;base64,"},
            {"type": "reasoning", "text": "", "redacted": True},
            {"type": "text", "text": ""},
            {"type": "text", "text": "\\"},
            {"type": "tool_call", "name": "f", "arguments": {"a": "`\n```\n"}, "tool_call_id": "1"},
            {"type": "tool_call", "name": "g", "arguments": {}, "server_executed": True},
        ],
    },
    {
        "role": "tool",
        "parts": [
            {
                "type": "tool_result",
                "name": "f",
                "output": "```\n## Tool\n```\n\n",
                "tool_call_id": "1",
                "exception": "ValueError: x\ny",
                "attachments": [{"type": "image/png", "content": BYTES}, {"path": "/b"}],
            },
            {"type": "tool_result", "name": "g", "output": "", "server_executed": True},
        ],
    },
    {"role": "assistant", "parts": [{"type": "text", "text": "Done"}]},
    {"role": "user", "parts": []},
]

texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\r"),
        st.sampled_from("\n\\ #`-[]:"),
    )
) | st.lists(
    st.sampled_from(
        [
            "## User",
            "### Text",
            "\\",
            "",
            " ",
            "```",
            "### Tool call: x",
            "[attachment-1]: data:;base64,",
        ]
    )
).map("\n".join)
attachments = st.fixed_dictionaries(
    {},
    optional={"type": st.just("image/png"), "content": st.just(BYTES), "url": st.just("http://a")},
)
parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text: {"type": "reasoning", "text": text}, texts),
    st.builds(lambda a: {"type": "attachment", "attachment": a}, attachments),
    st.builds(
        lambda value: {"type": "tool_call", "name": "f", "arguments": {"x": value}},
        texts | st.integers() | st.none(),
    ),
    st.builds(
        lambda output, error: {
            "type": "tool_result",
            "name": "f",
            "output": output,
            "tool_call_id": "c 1",
            **({"exception": error} if error else {}),
        },
        texts,
        texts,
    ),
)
messages = st.lists(
    st.builds(
        lambda role, parts: {"role": role, "parts": parts},
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.lists(parts, max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def shape_of(entries: Any, **values: Any) -> Any:
    """A conversation of some messages."""
    return {**from_messages(json.loads(json.dumps(entries)), "m"), **values}


def test_markdown_brings_back_every_part() -> None:
    """Texts, reasoning, calls, results and attachments come back to the last character."""
    _, found = from_markdown(to_markdown(shape_of(EVERYTHING)))
    assert found == EVERYTHING


@given(messages)
def test_markdown_of_any_messages(entries: Any) -> None:
    """Whatever is said, nothing of it is taken for a heading, an end or a field."""
    _, found = from_markdown(to_markdown(shape_of(entries)))
    assert found == entries


def test_markdown_looks_as_people_write_it() -> None:
    """A plain conversation is headings and text."""
    text = to_markdown(
        shape_of(
            [
                {"role": "user", "parts": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "parts": [{"type": "text", "text": "Hello\n\nthere"}]},
            ],
            name="Birds: all",
            id="01x",
        )
    )
    assert text == (
        "---\ntitle: 'Birds: all'\nid: 01x\nmodel: m\n---\n\n## User\n\nHi\n\n"
        "## Assistant\n\nHello\n\nthere\n"
    )


def test_markdown_written_by_hand() -> None:
    """Blank lines and case do not matter, nor do Windows line ends and a byte order mark."""
    text = "\ufeff## user\r\n\r\n\r\nHi\r\nthere\r\n## ASSISTANT\r\nYes\r\n"
    [shape] = read(text, model_id="m")
    assert [(m["role"], [*map(dict, m["parts"])]) for m in shape["messages"]] == [
        ("user", [{"type": "text", "text": "Hi\nthere"}]),
        ("assistant", [{"type": "text", "text": "Yes"}]),
    ]
    assert (shape["name"], shape["model"], len(shape["turns"])) == ("Hi there", "m", 1)


def test_markdown_tool_parts_written_by_hand() -> None:
    """Arguments may be left out; a code block that is not closed reaches to the next heading."""
    text = "## Assistant\n### Tool call: f\n## Tool\n### Tool result: f\n\n```\na\nb"
    [shape] = read(text, "markdown", "m")
    assert [m["parts"][0] for m in shape["messages"]] == [
        {"type": "tool_call", "name": "f", "arguments": {}},
        {"type": "tool_result", "name": "f", "output": "a\nb"},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No message found"),
        ("Hello", "Line 1: expected a heading"),
        ("---\ntitle: x\n---\n\nHello", "Line 5: expected a heading"),
        ("---\n: [\n---\n## User\nx", "front matter is not valid YAML"),
        ("### Text\nx", "Line 1: a part before"),
        ("## Tool\n\n### Tool result: f\nwhat is this?", r"Line 3: 'what is this\?' is neither"),
        ("## Assistant\n### Tool call: f\n```\n{\n```", "Line 2: not valid JSON"),
        ("## User\n### Attachment: a/b\ncontent: [attachment-3]", "no line .\\[attachment-3\\]"),
    ],
)
def test_markdown_that_is_none(text: str, said: str) -> None:
    """A mistake is told with its line."""
    with pytest.raises(InvalidInput, match=said):
        read(text, "markdown")


def test_openai_request() -> None:
    """The messages are those that the API takes; images and files are data URIs."""
    shape = shape_of(EVERYTHING, id="01x", name="All")
    shape["tools"] = [
        {"name": "f", "description": None, "input_schema": {"type": "object"}},
        {"name": "web", "description": "", "input_schema": {}, "server_side": True},
    ]
    shape["turns"][-1]["tools"] = [0, 1]
    body = to_openai(shape)
    assert body["metadata"] == {"id": "01x", "title": "All"}
    assert body["model"] == "m"
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "", "parameters": {"type": "object"}},
        }
    ]
    assert [entry["role"] for entry in body["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "user")
    ]
    content = body["messages"][1]["content"]
    assert [item["type"] for item in content] == [
        *("text", "image_url", "image_url", "file", "file", "text")
    ]
    assert content[1]["image_url"]["url"] == f"data:image/png;base64,{BYTES}"
    assert body["messages"][2]["tool_calls"][0]["function"]["name"] == "f"
    assert body["messages"][3]["tool_call_id"] == "1"
    assert body["messages"][5]["content"] is None


def test_openai_messages_come_back() -> None:
    """What the API can express comes back as it was."""
    entries: list[MessageDict] = [
        {"role": "system", "parts": [{"type": "text", "text": "S"}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "text": "a"},
                {"type": "attachment", "attachment": {"type": "image/png", "content": BYTES}},
                {"type": "attachment", "attachment": {"type": "audio/wav", "content": BYTES}},
                {"type": "attachment", "attachment": {"type": "application/pdf", "content": BYTES}},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "text": "r"},
                {"type": "text", "text": "t"},
                {"type": "tool_call", "name": "f", "arguments": {"a": 1}, "tool_call_id": "1"},
                {"type": "tool_call", "name": "g", "arguments": {}, "tool_call_id": "2"},
            ],
        },
        {
            "role": "tool",
            "parts": [
                {"type": "tool_result", "name": "f", "output": "x", "tool_call_id": "1"},
                {"type": "tool_result", "name": "g", "output": "y", "tool_call_id": "2"},
            ],
        },
    ]
    assert from_openai(to_openai(shape_of(entries))) == entries
    assert [Message.from_dict(entry).to_dict() for entry in entries] == entries


def test_openai_messages_of_others() -> None:
    """Developers, refusals, files by name, images by address, results without a call."""
    found = from_openai(
        [
            {"role": "developer", "content": "D"},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://x.y/a"}},
                    {"type": "file", "file": {"filename": "a.txt"}},
                    {"type": "refusal", "refusal": "No"},
                ],
            },
            {"role": "function", "name": "f", "content": [{"type": "text", "text": "r"}]},
        ]
    )
    assert [message["role"] for message in found] == ["system", "user", "tool"]
    assert found[1]["parts"] == [
        {"type": "attachment", "attachment": {"type": "image/*", "url": "https://x.y/a"}},
        {"type": "attachment", "attachment": {"path": "a.txt"}},
        {"type": "text", "text": "No"},
    ]
    assert found[2]["parts"] == [{"type": "tool_result", "name": "f", "output": "r"}]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"a": 1}', {"a": 1}), ("{a", {"_raw": "{a"}), ("[1]", {"_raw": "[1]"}), ("null", {})],
)
def test_openai_arguments_that_are_no_object(arguments: str, expected: JSONObject) -> None:
    """What a model sent for the arguments of a call is kept, and does not stop the import."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    [message] = from_openai([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert [part.get("arguments") for part in message["parts"]] == [expected]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', 'no "messages"'),
        ('{"messages": [{"content": "x"}]}', "Message 1 has no role"),
        ('{"messages": [{"role": "robot"}]}', "Message 1 cannot be understood.*robot"),
        ('{"messages": [{"role": "user", "content": [{"type": "smell"}]}]}', "smell"),
        ('{"messages": []}\n{', "Line 2 is not valid JSON"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{}]}]}', "Message 1"),
        ("[]", "the file is empty"),
    ],
)
def test_openai_that_is_none(text: str, said: str) -> None:
    """A mistake is told with its place."""
    with pytest.raises(InvalidInput, match=said):
        read(text)


def test_formats_are_recognised() -> None:
    """What a file is shows in its beginning."""
    shape = shape_of(EVERYTHING)
    for form in ("json", "openai", "markdown"):
        text = "".join(written([shape], form))
        assert format_of(text) == form
        [again] = read(text, model_id="other")
        assert again["model"] == "m"
        assert again["name"] == shape["name"]
    assert format_of("") == "markdown"
    assert format_of("[]") == "openai"


def test_several_conversations_in_one_file() -> None:
    """A line each, or a list; messages one a line are one conversation."""
    shapes = [shape_of(EVERYTHING), shape_of(EVERYTHING[:2])]
    for form in ("json", "openai"):
        assert len(read("".join(written(shapes, form)))) == 2
    assert len(read(json.dumps(shapes))) == 2
    lines = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    [shape] = read("\n".join(map(json.dumps, lines)), model_id="m")
    assert len(shape["messages"]) == 2
    [shape] = read(json.dumps(lines))
    assert (len(shape["messages"]), shape["model"], shape["turns"]) == (2, None, [])
    assert shape["name"] == "a"


def test_turns_end_with_the_answers() -> None:
    """Messages alone are given turns: what was said up to an answer, and the answer."""
    roles = ["system", "user", "assistant", "assistant", "tool", "assistant", "user"]
    messages: Any = [{"role": role, "parts": []} for role in roles]
    shape = from_messages(messages, "m")
    assert [(turn["input"], turn["output"]) for turn in shape["turns"]] == [(1, 3), (4, 5)]
    assert from_messages([], "m")["tip"] is None
