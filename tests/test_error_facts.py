"""What an error of a service carries beside its text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import llm
from llm.providers.openai import chat
from llm.providers.openai.transport import fast

from .helpers.openai_server import OpenAIServer, chunk, error_reply, sse_reply

KEY = "sk-facts-12345678"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def failure(server: OpenAIServer, is_async: bool) -> llm.ModelError:
    """What a prompt to the server raises."""
    kind = chat.AsyncChat if is_async else chat.Chat
    model = kind("m", key=KEY, api_base=server.url)
    response = model.conversation(policy=llm.CallPolicy(retries=0)).prompt("Hi")
    with pytest.raises(llm.ModelError) as caught:
        asyncio.run(response.text()) if is_async else response.text()  # type: ignore[arg-type]
    assert caught.value.response is response
    return caught.value


@pytest.mark.parametrize("is_async", [False, True])
def test_refusal_carries_what_the_service_told(server: OpenAIServer, is_async: bool) -> None:
    """Status, code, id of the request, pause, body and headers; no key is in any of them."""
    headers = {"retry-after": "7", "x-request-id": "req_1", "set-cookie": "a=b", "x-echo": KEY}
    server.replies.append(
        error_reply(429, f"Slow down, {KEY}", headers, code="rate_limit_exceeded")
    )
    error = failure(server, is_async)
    assert isinstance(error, llm.RateLimited)
    assert (error.status_code, error.code) == (429, "rate_limit_exceeded")
    assert (error.request_id, error.retry_after, error.partial) == ("req_1", 7.0, "")
    assert isinstance(error.body, dict)
    assert error.body["error"]["message"] == "Slow down, [...]"
    assert error.headers["retry-after"] == "7"
    assert error.headers["x-echo"] == "[...]"
    assert error.headers["set-cookie"] == "a=..."


@pytest.mark.parametrize("is_async", [False, True])
def test_error_within_an_answer_carries_the_text_so_far(
    server: OpenAIServer, is_async: bool
) -> None:
    """What had come is there, with the status that the service tells in the stream."""
    told = {"error": {"message": "Lost it", "code": 502, "type": "upstream"}}
    reply = sse_reply([chunk({"content": "One, "}), told])
    reply.headers["x-request-id"] = "req_2"
    server.replies.append(reply)
    error = failure(server, is_async)
    assert (error.status_code, error.code, error.partial) == (502, "upstream", "One, ")
    assert error.request_id == "req_2"
    assert error.body == told


@pytest.mark.parametrize("is_async", [False, True])
def test_lost_connection_carries_its_cause_and_the_text_so_far(
    server: OpenAIServer, is_async: bool
) -> None:
    """The exception of the transport is the cause; there is no status."""
    reply = sse_reply([chunk({"content": "One, "})], done=False)
    reply.truncate = True
    server.replies.append(reply)
    error = failure(server, is_async)
    assert isinstance(error, llm.ConnectionLost)
    assert (error.status_code, error.partial) == (None, "One, ")
    assert error.__cause__ is not None


def test_error_of_a_plugin_knows_its_response() -> None:
    """A `ModelError` that a plugin raises has the response and the text, and can have the rest."""

    class Failing(llm.Model):
        model_id = "failing"
        can_stream = True

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            yield "One, "
            error = llm.Overloaded("Try later")
            error.status_code = 529
            raise error

    response = Failing().prompt("x")
    with pytest.raises(llm.Overloaded) as caught:
        response.text()
    assert caught.value.response is response
    assert (caught.value.status_code, caught.value.partial, caught.value.body) == (
        529,
        "One, ",
        None,
    )
