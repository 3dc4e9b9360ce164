"""The plainer form of a request, for compatible servers that refuse the documented one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import llm
from llm.default_plugins.openai_models import AsyncChat, AsyncResponses, Chat, Responses
from llm.errors import AuthError, ModelError, Overloaded
from llm.net.policy import CallPolicy
from llm.parts import Message, Part, ReasoningPart, TextPart, user
from llm.providers.openai.transport import fast
from llm.providers.openai.wire import shapes

from .helpers.openai_server import OpenAIServer, completion, error_reply, json_reply

ITEM_REFUSED = error_reply(400, "Cannot determine type of 'item'", type="invalid_request_error")
TOOL_REFUSED = error_reply(500, "Failed to parse tools: type must be string, but is null")


class SdkResponses(Responses):
    """Takes the library's transport, as a class with its own client does."""

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        """The usual client."""
        return super().get_client(key, async_=async_)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A loopback server of which nothing is known yet."""
    monkeypatch.setattr(shapes, "_learnt", {})
    with OpenAIServer() as running:
        yield running
    fast.close()


def answer_of(model: Any, retries: int = 2, **asked: Any) -> str:
    """The text that a model answers in one piece, whichever kind it is."""
    conversation = model.conversation(policy=CallPolicy(retries=retries))
    response = conversation.prompt("and now?", stream=False, **asked)
    if not isinstance(response, llm.AsyncResponse):
        return str(response.text())

    async def text() -> str:
        return await response.text()

    return asyncio.run(text())


def said(*parts: Part) -> list[Message]:
    """A history with an answer of these parts."""
    return [user("hello"), Message("assistant", list(parts))]


def response(text: str) -> Any:
    """A whole answer of the Responses API."""
    content = [{"type": "output_text", "text": text}]
    item = {"type": "message", "id": "m", "role": "assistant", "content": content}
    return json_reply({"object": "response", "status": "completed", "output": [item]})


def undocumented(x: int) -> int:
    return x


@pytest.mark.parametrize("kind", [Responses, AsyncResponses, SdkResponses])
def test_history_is_sent_with_types_once_it_was_refused(server: OpenAIServer, kind: Any) -> None:
    """The documented form goes first; the server's next request has its form at once."""
    model = kind("m", api_base=server.url, key="k")
    server.add(ITEM_REFUSED, response("Hi"), response("Hi again"))
    assert answer_of(model, messages=said(TextPart("yo"))) == "Hi"
    usual, plain = (request.body["input"] for request in server.requests)
    assert usual[1] == {"role": "assistant", "content": "yo"}
    assert plain[1] == {"type": "message", "role": "assistant", "content": "yo"}
    assert [plain[0], plain[2]] == [usual[0], usual[2]]
    assert answer_of(model, messages=said(TextPart("yo"))) == "Hi again"
    assert server.last.body["input"] == plain
    assert len(server.requests) == 3


@pytest.mark.parametrize("kind", [Chat, AsyncChat])
def test_tool_without_a_description_is_sent_without_one(server: OpenAIServer, kind: Any) -> None:
    """A server that fails over null gets no null; what it failed over is not sent again."""
    model = kind("m", api_base=server.url, key="k", supports_tools=True)
    server.add(TOOL_REFUSED, json_reply(completion({"content": "Hi"})))
    assert answer_of(model, tools=[undocumented]) == "Hi"
    usual, plain = (request.body["tools"][0]["function"] for request in server.requests)
    assert usual["description"] is None
    assert plain == {name: value for name, value in usual.items() if name != "description"}


def test_reasoning_is_sent_as_text_or_not_at_all(server: OpenAIServer) -> None:
    """Servers that cannot read what is encrypted get what can be read."""

    def reasoning(id: str, *texts: str) -> ReasoningPart:
        summary = [{"type": "summary_text", "text": text} for text in texts]
        kept = {"id": id, "encrypted_content": "E", "summary": summary}
        return ReasoningPart(text="".join(texts), provider_metadata={"openai": kept})

    server.add(error_reply(400, "item['content'] is not an array"), response("Hi"))
    history = said(reasoning("r1", "so"), reasoning("r2"), TextPart("yo"))
    assert answer_of(Responses("m", api_base=server.url, key="k"), messages=history) == "Hi"
    sent = server.last.body["input"]
    assert [item.get("id") for item in sent] == [None, "r1", None, None]
    assert sent[1]["content"] == [{"type": "reasoning_text", "text": "so"}]


def test_second_refusal_is_told(server: OpenAIServer) -> None:
    """What is wrong is not the form."""
    server.add(ITEM_REFUSED, error_reply(400, "no such model"))
    with pytest.raises(ModelError, match="no such model"):
        answer_of(Responses("m", api_base=server.url, key="k"), messages=said(TextPart("yo")))


@pytest.mark.parametrize(
    ("reply", "error"),
    [(error_reply(401, "bad key"), AuthError), (error_reply(503, "busy"), Overloaded)],
)
def test_other_trouble_is_told_at_once(
    server: OpenAIServer, reply: Any, error: type[Exception]
) -> None:
    """No other form would help."""
    server.add(reply)
    model = Responses("m", api_base=server.url, key="k")
    with pytest.raises(error):
        answer_of(model, retries=0, messages=said(TextPart("yo")))
    assert len(server.requests) == 1


def test_plain_request_is_sent_once(server: OpenAIServer) -> None:
    """There is no other form of it."""
    model = Responses("m", api_base=server.url, key="k", supports_tools=True)

    def documented(x: int) -> int:
        """Say x."""
        return x

    for tools in ([], [documented]):
        server.add(ITEM_REFUSED)
        with pytest.raises(ModelError, match="Cannot determine"):
            answer_of(model, tools=tools)
    assert len(server.requests) == 2


def tries(url: str, refusal: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The forms of a request that a server is sent which always refuses with the same words."""
    forms, sent = shapes.Forms(url, request), []
    with contextlib.suppress(ModelError):
        for form in forms:
            with forms.sending():
                sent.append(form)
                raise ModelError(refusal)
    return sent


@pytest.mark.parametrize(
    ("url", "refusal", "count"),
    [
        ("http://127.0.0.1/v1/responses", "no", 2),
        # It wrote the document; what it names is another matter.
        ("https://api.openai.com/v1/responses", "no", 1),
        ("https://api.openai.com/v1/responses", "Unsupported parameter: max_tokens", 2),
    ],
)
def test_openai_gets_another_form_only_where_it_says_why(
    url: str, refusal: str, count: int
) -> None:
    """A refusal without a reason is the last word of OpenAI."""
    request = {"input": [{"role": "assistant", "content": "yo"}], "max_tokens": 5}
    assert len(tries(url, refusal, request)) == count


def test_what_was_learnt_is_of_a_server_or_of_one_of_its_models(server: OpenAIServer) -> None:
    """The name of a limit is of a model; a form that is refused in the end teaches nothing."""
    refused = error_reply(400, "Unsupported parameter: 'max_tokens'")
    answered = json_reply(completion({"content": "Hi"}))
    server.add(refused, error_reply(400, "no such model"))
    with pytest.raises(ModelError, match="no such model"):
        answer_of(Chat("m", api_base=server.url, key="k"), options={"max_tokens": 5})
    server.add(refused, answered, answered, answered)
    for name in ("m", "m", "other"):
        answer_of(Chat(name, api_base=server.url, key="k"), options={"max_tokens": 5})
    sent = ["max_tokens" in request.body for request in server.requests]
    assert sent == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    "refusal",
    [
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens",
        "Invalid schema for response_format 'output': 'a' is not a type",
        "The model does not exist",
    ],
)
def test_no_other_form_is_tried_where_the_value_is_wrong(refusal: str) -> None:
    """What is refused for its value is refused under any name."""
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    request = {"messages": [], "max_tokens": 5000, "response_format": schema}
    assert len(tries("http://127.0.0.1/v1", refusal, request)) == 1
