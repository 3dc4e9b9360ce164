"""The asynchronous twin of `Response`: the same core, driven with `await`."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, Generic

from .._lazy import MODEL_TYPES
from ..parts import Message, StreamEvent, Usage
from ..text import JSONObject
from ..tools.running import prepare_async, run_calls_async
from .recording import AnswerIsFull
from .response import Response
from .response_base import ResponseLog, T, _BaseResponse

if TYPE_CHECKING:
    from asyncio import Future

    from sqlite_utils import Database

    from ..serialization import ResponseDict
    from ..tools.calling import ToolCall, ToolResult
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .base import _AsyncModel
    from .conversation import AsyncConversation
    from .prompt import ToolDef
else:
    globals().update({**MODEL_TYPES, **globals()})


class AsyncResponse(_BaseResponse, Generic[T]):
    """What an asynchronous model answers: await it, or iterate over it with `async for`."""

    is_async = True
    model: _AsyncModel
    conversation: AsyncConversation | None
    _unfinished = "... not yet awaited ..."
    # While one task asks the model for the next piece: others that want it too.
    _waiters: list[Future[bool]] | None = None

    async def _advance(self) -> bool:
        """Take one more piece from the model; `False` when the answer is complete."""
        if self._done:
            return False
        if self._waiters is not None:
            import asyncio

            waiter: Future[bool] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            return await waiter
        self._waiters = []
        failure: Exception | None = None
        try:
            return await self._take()
        except Exception as error:
            failure = error
            raise
        finally:
            self._release(failure)

    def _release(self, failure: Exception | None) -> None:
        """Let the waiting tasks look again; or share the failure, which must not be paid twice."""
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(True)
            else:
                waiter.set_exception(failure)

    async def _take(self) -> bool:
        if self._source is None:
            if await prepare_async(self.prompt.toolboxes()):
                self.prompt.take_prepared()
            self._source = self._begin().__aiter__()
        try:
            self._record(await self._source.__anext__())
        except (StopAsyncIteration, AnswerIsFull):
            if self.cut_off and hasattr(self._source, "aclose"):
                await self._source.aclose()
            self._finish()
            for callback in self.done_callbacks:
                await called(callback, self)
            return False
        except BaseException as error:
            if not self._may_retry(error):
                raise
        return True

    async def _force(self) -> None:
        while await self._advance():
            pass

    def __await__(self) -> Generator[Any, None, AsyncResponse[T]]:
        """The response itself, complete."""
        yield from self._force().__await__()
        return self

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of text as they come; from the start each time, without asking the model twice."""
        index = 0
        while True:
            if index < len(self._chunks):
                yield self._chunks[index]
                index += 1
            elif not await self._advance():
                return

    async def astream_events(self) -> AsyncGenerator[StreamEvent, None]:
        """Everything that the model says as it comes: text, reasoning, tool calls, tool results.

        Leaving the loop early closes the model's generator.
        """
        if self._done:
            for event in self._replay():
                yield event
            return
        index = 0
        try:
            while True:
                if index < len(self.event_log):
                    yield self.event_log[index]
                    index += 1
                elif not await self._advance():
                    return
        except GeneratorExit as left:
            source = self._source
            self._may_retry(left)
            if hasattr(source, "aclose"):
                await source.aclose()
            raise

    async def text(self) -> str:
        """The whole text."""
        await self._force()
        return self.text_so_far

    def _require_awaited(self, method: str = "") -> None:
        if not self._done:
            hint = f" \N{EM DASH} call `await response` before {method}()" if method else ""
            raise ValueError(f"Response not yet awaited{hint}")

    def text_or_raise(self) -> str:
        """The whole text of a response that was awaited.

        Raises:
            ValueError: It was not.
        """
        self._require_awaited()
        return self.text_so_far

    async def json(self) -> JSONObject | None:
        """The provider's own form of the answer, where the model keeps it."""
        await self._force()
        return self.response_json

    async def parsed(self) -> T:
        """The value that the answer describes; see `Response.parsed`."""
        from .following import again

        await self._force()
        while (following := again(self)) is not None:
            await following.text()
        value: T = (self.repairs[-1] if self.repairs else self).parsed_value()
        return value

    async def stream_objects(self) -> AsyncIterator[T]:
        """The value of the answer as it grows; see `Response.stream_objects`."""
        from .following import growing_answer

        growing = growing_answer(self.prompt)
        async for piece in self:
            for value in growing.feed(piece):
                yield value
        for value in growing.end():
            yield value

    async def messages(self) -> list[Message]:
        """The answer as messages: usually one; none where nothing but empty text came."""
        await self._force()
        return list(self.output_messages())

    async def tool_calls(self) -> list[ToolCall]:
        """The tool calls that the model asks for, in order."""
        await self._force()
        return self._tool_calls

    def tool_calls_or_raise(self) -> list[ToolCall]:
        """The tool calls of a response that was awaited.

        Raises:
            ValueError: It was not.
        """
        self._require_awaited()
        return self._tool_calls

    async def usage(self) -> Usage:
        """The tokens that the answer cost."""
        await self._force()
        return self.usage_so_far()

    async def duration_ms(self) -> int:
        """Milliseconds from the first request for a piece to the last piece."""
        await self._force()
        return self.elapsed_ms()

    async def datetime_utc(self) -> str:
        """When it started, in ISO 8601 with `+00:00`; empty where that is not known."""
        await self._force()
        return self.started_utc()

    async def on_done(self, callback: Callable[[AsyncResponse[T]], object]) -> None:
        """Call or await `callback` with this response once it is complete, or at once if it is."""
        if self._done:
            await called(callback, self)
        else:
            self.done_callbacks.append(callback)

    async def execute_tool_calls(
        self,
        *,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        tool_calls_list: list[ToolCall] | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> list[ToolResult]:
        """Run the tool calls that the model asks for; see `Response.execute_tool_calls`.

        Asynchronous tools run at the same time; hooks may be asynchronous.
        """
        calls = await self.tool_calls() if tool_calls_list is None else tool_calls_list
        return await run_calls_async(calls, *self._run_with(tools, before_call, after_call))

    async def execute_tool_call(self, tool_call: ToolCall) -> ToolResult:
        """Run one tool call, for models that run their tool loop themselves."""
        self._name_call(tool_call)
        return (await run_calls_async([tool_call], *self._run_with()))[0]

    async def reply(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        tools: Iterable[ToolDef] | None = None,
        options: Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> AsyncResponse:
        """The response to a next prompt, sent with everything so far; see `Response.reply`.

        Raises:
            ValueError: This response was not awaited.
        """
        self._require_awaited("reply")
        if tool_results is None and self._tool_calls:
            tool_results = await self.execute_tool_calls(tools=tools)
        from .following import reply_to

        return reply_to(self, prompt, messages, tool_results, tools, options, kwargs)

    def to_dict(self) -> ResponseDict:
        """The response as plain JSON values, complete.

        Raises:
            ValueError: It was not awaited.
        """
        self._require_awaited("to_dict")
        from .serialize import response_dict

        return response_dict(self)

    async def to_sync_response(self) -> Response[T]:
        """A synchronous response with the same id and everything that came."""
        await self._force()
        return self._finished_twin()

    def _finished_twin(self) -> Response[T]:
        conversation = self.conversation
        twin = Response.__new__(Response)
        vars(twin).update(
            vars(self),
            _source=None,
            done_callbacks=[],
            conversation=conversation.to_sync_conversation() if conversation else None,
        )
        return twin

    def log_to_db(self, db: Database) -> None:
        """Record the response in a log database, and its conversation where that is new.

        Raises:
            ValueError: It was not awaited.
        """
        self._require_awaited("log_to_db")
        twin = self._finished_twin()
        twin.log_to_db(db)
        self.stored_tip: tuple[int, str] | None = twin.stored_tip
        if self.conversation is not None and twin.conversation is not None:
            self.conversation.stored_name = twin.conversation.stored_name


async def called(callback: ResponseLog, response: object) -> None:
    """Call a function that is told about what is complete, and await what it gives if need be."""
    result = callback(response)
    # A coroutine function was given only if asyncio-style awaitables come back.
    if isinstance(result, Awaitable):
        await result
