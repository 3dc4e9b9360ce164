"""Asynchronous responses keep the promises of the synchronous ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import llm
from llm.parts import StreamEvent, TextPart, ToolResultPart

from .helpers.quick import AsyncCaller, AsyncEcho, AsyncFlaky, shout, told


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns."""
    return asyncio.run(work)


async def anext_of(iterator: Any) -> Any:
    """The next thing that an asynchronous iterator gives."""
    return await iterator.__anext__()


def test_async_response_is_lazy_and_awaitable() -> None:
    """Awaiting gives the response itself, complete; the model was asked once."""

    async def work() -> None:
        model = AsyncEcho()
        response = model.prompt("x")
        assert model.runs == 0
        assert await response is response
        assert await response.text() == response.text_or_raise() == "abcdef"
        assert await response.json() == {"run": 1}
        assert await response.messages() == [llm.assistant("abcdef")]
        assert await response.tool_calls() == response.tool_calls_or_raise() == []
        assert await response.usage() == llm.Usage(1234, 5, {"cached": 1})
        assert model.runs == 1

    run(work())


def test_async_response_partial_iteration_then_text() -> None:
    """Whoever reads on takes up where the last reader stopped."""

    async def work() -> None:
        response = AsyncEcho().prompt("x")
        async for piece in response:
            assert piece == "abc"
            break
        assert await response.text() == "abcdef"
        assert isinstance(response.model, AsyncEcho)
        assert response.model.runs == 1

    run(work())


def test_async_response_tasks_share_one_run() -> None:
    """Tasks that read at the same time all get the whole, from one run of the model."""

    async def work() -> None:
        model = AsyncEcho("a", "b", "c")
        response = model.prompt("x")

        async def pieces() -> list[str]:
            return [piece async for piece in response]

        got = await asyncio.gather(response.text(), pieces(), response.usage(), pieces())
        letters = ["a", "b", "c"]
        assert list(got) == ["abc", letters, llm.Usage(1234, 5, {"cached": 1}), letters]
        assert model.runs == 1

    run(work())


def test_async_response_tasks_share_a_failure() -> None:
    """A failure reaches every task that was waiting; none of them asks the model again."""

    async def work() -> None:
        model = AsyncFlaky()
        response = model.prompt("x")
        got = await asyncio.gather(response.text(), response.text(), return_exceptions=True)
        assert [type(error) for error in got] == [ConnectionError, ConnectionError]
        assert model.runs == 1

    run(work())


def test_async_response_cancelled_reader_leaves_the_others() -> None:
    """When the task that asks the model is cancelled, another one takes over."""

    async def work() -> None:
        model = AsyncEcho()
        response = model.prompt("x")
        first = asyncio.create_task(response.text())
        await asyncio.sleep(0)
        second, third = (asyncio.create_task(response.text()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        third.cancel()
        assert await second == "abcdef"
        assert first.cancelled()
        assert third.cancelled()

    run(work())


def test_async_response_error_then_retry_starts_clean() -> None:
    """Nothing of a failed attempt is left when the model is asked again."""

    async def work() -> None:
        response = AsyncFlaky().prompt("x")
        with pytest.raises(ConnectionError):
            await response.text()
        assert await response.text() == "partial whole"
        assert await response.tool_calls() == []

    run(work())


def test_async_response_none_is_refused() -> None:
    """A model that yields None has a fault."""
    nothing: Any = None
    with pytest.raises(AssertionError, match="yielded None"):
        run(AsyncEcho(nothing).prompt("x").text())


def test_async_response_replay_keeps_timings() -> None:
    """Reading again changes neither the start nor the duration."""

    async def work() -> None:
        response = await AsyncEcho().prompt("x")
        before = (await response.datetime_utc(), await response.duration_ms())
        assert [piece async for piece in response] == ["abc", "def"]
        assert [e.chunk async for e in response.astream_events()] == ["abc", "def"]
        assert (await response.datetime_utc(), await response.duration_ms()) == before

    run(work())


def test_async_response_stream_events() -> None:
    """Everything that the model says is an event."""

    async def work() -> None:
        response = AsyncEcho(StreamEvent("reasoning", "hm"), "a").prompt("x")
        events = [(e.type, e.part_index) async for e in response.astream_events()]
        assert events == [("reasoning", 0), ("text", 1)]

    run(work())


def test_async_response_abandoned_events_close_the_model() -> None:
    """Leaving the loop early closes the model's generator, so that a connection is freed."""

    async def work() -> None:
        model = AsyncEcho()
        response = model.prompt("x")
        events = response.astream_events()
        await anext_of(events)
        await events.aclose()
        assert model.closed == 1
        assert await response.text() == "abcdef"

    run(work())


def test_async_response_abandoned_iterator_without_close() -> None:
    """A model may give an iterator that cannot be closed."""

    class Counted:
        def __init__(self) -> None:
            self.left = ["b", "a"]

        def __aiter__(self) -> Counted:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    class Plain(llm.AsyncModel):
        model_id = "plain"

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.AsyncResponse,
            conversation: llm.AsyncConversation | None,
        ) -> Any:
            return Counted()

    async def work() -> None:
        response = Plain().prompt("x")
        events = response.astream_events()
        assert (await anext_of(events)).chunk == "a"
        await events.aclose()
        assert await response.text() == "ab"

    run(work())


def test_async_response_callbacks_may_be_either() -> None:
    """Callbacks are plain or coroutine functions, run in order; they may read the response."""

    async def work() -> None:
        seen: list[str] = []
        response = AsyncEcho().prompt("x")

        async def read(done: llm.AsyncResponse) -> None:
            seen.append(await done.text())

        await response.on_done(read)
        await response.on_done(lambda done: seen.append("plain"))
        await response
        await response.on_done(read)
        assert seen == ["abcdef", "plain", "abcdef"]

    run(work())


@pytest.mark.parametrize("method", ["text_or_raise", "tool_calls_or_raise"])
def test_async_response_not_awaited(method: str) -> None:
    """What needs a complete response says so."""
    response = AsyncEcho().prompt("x")
    with pytest.raises(ValueError, match=r"^Response not yet awaited$"):
        getattr(response, method)()


@pytest.mark.parametrize(
    ("method", "arguments"), [("to_dict", []), ("reply", ["more"]), ("log_to_db", [None])]
)
def test_async_response_not_awaited_says_how(method: str, arguments: list[object]) -> None:
    """Methods that cannot wait say what to do first, in the words that programs look for."""

    async def work() -> None:
        response = AsyncEcho().prompt("x")

        async def use() -> None:
            result = getattr(response, method)(*arguments)
            if hasattr(result, "__await__"):
                await result

        with pytest.raises(ValueError, match="Response not yet awaited") as caught:
            await use()
        assert str(caught.value) == (
            "Response not yet awaited \N{EM DASH} call `await response` before " + method + "()"
        )

    run(work())


def test_async_response_reply_keeps_the_conversation() -> None:
    """A reply belongs to the same conversation and runs the tools."""

    async def work() -> None:
        conversation = AsyncCaller().conversation(tools=[shout])
        response = await conversation.prompt("x")
        reply = await response.reply("more")
        call_id = response.tool_calls_or_raise()[0].tool_call_id
        assert reply.conversation is conversation
        assert reply.prompt.messages[-2].parts == [ToolResultPart("shout", "HI", call_id)]
        assert told(reply.prompt)[-1] == ("user", "more")

    run(work())


def test_async_response_round_trip() -> None:
    """A response is the same after a trip through plain JSON."""
    model = AsyncEcho()
    response = model.prompt("x", system="s")
    run(response._force())
    again = llm.AsyncResponse.from_dict(response.to_dict(), model=model)
    assert again.to_dict() == response.to_dict()
    assert again.text_or_raise() == "abcdef"
    with pytest.raises(llm.UnknownModelError):
        llm.AsyncResponse.from_dict({**response.to_dict(), "model": "no-such-model"})


def test_async_response_restored_streams_again() -> None:
    """A stored response can be streamed."""

    async def work() -> list[str]:
        response = llm.AsyncResponse.fake(AsyncEcho(), "p", system="s", response="r")
        return [event.chunk async for event in response.astream_events()]

    assert run(work()) == ["r"]


def test_async_response_to_sync_response() -> None:
    """The synchronous copy has the same id and everything that came."""

    async def work() -> None:
        conversation = AsyncEcho().conversation()
        response = conversation.prompt("x")
        twin = await response.to_sync_response()
        assert isinstance(twin, llm.Response)
        assert (twin.id, twin.text(), twin.usage()) == (
            response.id,
            "abcdef",
            await response.usage(),
        )
        assert twin.messages()[0].parts == [TextPart("abcdef")]
        assert twin.datetime_utc() == await response.datetime_utc()
        assert isinstance(twin.conversation, llm.Conversation)
        assert twin.conversation.id == conversation.id
        assert (await AsyncEcho().prompt("x").to_sync_response()).conversation is None

    run(work())


def test_async_response_log_to_db(tmp_path: Path) -> None:
    """An awaited response is recorded."""
    db = sqlite_utils.Database(tmp_path / "logs.db")
    response = AsyncEcho().prompt("x")
    run(response._force())
    response.log_to_db(db)
    assert [row["id"] for row in db["turns"].rows] == [response.id]
    db.close()


def test_async_response_repr() -> None:
    """The repr shows the prompt, and the text once it is there."""
    response = AsyncEcho().prompt("x")
    assert repr(response) == "<AsyncResponse prompt='x' text='... not yet awaited ...'>"
    run(response._force())
    assert repr(response) == "<AsyncResponse prompt='x' text='abcdef'>"
