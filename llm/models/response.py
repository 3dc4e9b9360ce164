"""Responses: what a synchronous model answers, read piece by piece or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

from .._lazy import MODEL_TYPES
from ..parts import Message, StreamEvent, Usage
from ..text import JSONObject
from ..tools.calling import ToolCall
from .recording import AnswerIsFull
from .response_base import T, _BaseResponse

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ..serialization import ResponseDict
    from ..tools.calling import ToolResult
    from ..tools.running import AfterCallSync, BeforeCallSync
    from .base import _Model
    from .conversation import Conversation
    from .prompt import ToolDef
else:
    globals().update({**MODEL_TYPES, **globals()})


class Response(_BaseResponse, Generic[T]):
    """What a synchronous model answers. Nothing is sent before somebody reads from it."""

    model: _Model
    conversation: Conversation | None

    def _advance(self) -> bool:
        """Take one more piece from the model; `False` when the answer is complete."""
        if self._done:
            return False
        if self._source is None:
            if boxes := self.prompt.toolboxes():
                from ..tools.running import prepare

                if prepare(boxes):
                    self.prompt.take_prepared()
            self._source = iter(self._begin())
        try:
            self._record(next(self._source))
        except (StopIteration, AnswerIsFull):
            if self.cut_off:
                _stop(self._source)
            self._finish()
            for callback in self.done_callbacks:
                callback(self)
            return False
        except BaseException as error:
            if not self._may_retry(error):
                raise
        return True

    def _force(self) -> None:
        while self._advance():
            pass

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they come; from the start each time, without asking the model twice."""
        index = 0
        while True:
            if index < len(self._chunks):
                yield self._chunks[index]
                index += 1
            elif not self._advance():
                return

    def stream_events(self) -> Iterator[StreamEvent]:
        """Everything that the model says as it comes: text, reasoning, tool calls, tool results."""
        if self._done:
            yield from self._replay()
            return
        index = 0
        while True:
            if index < len(self.event_log):
                yield self.event_log[index]
                index += 1
            elif not self._advance():
                return

    def text(self) -> str:
        """The whole text."""
        self._force()
        return self.text_so_far

    text_or_raise = text
    __str__ = text

    def json(self) -> JSONObject | None:
        """The provider's own form of the answer, where the model keeps it."""
        self._force()
        return self.response_json

    def parsed(self) -> T:
        """The value that the answer describes: JSON that fits the schema of the prompt.

        With `repair=` the model is asked again, as often as that, where it does not fit.

        Returns:
            A value of the type that was given as the schema, else what JSON gives.

        Raises:
            SchemaMismatch: The answer does not fit; it tells where.
        """
        from .following import again

        self._force()
        while (following := again(self)) is not None:
            following.text()
        value: T = (self.repairs[-1] if self.repairs else self).parsed_value()
        return value

    def stream_objects(self) -> Iterator[T]:
        """The value of the answer as it grows, each time it says more than before.

        What is yielded is not checked; `parsed()` gives the complete value, checked. Fields that
        have not come yet are `None`, or what they are by default. What is complete of a value is
        part of those after it, too: copy what you want to change.
        """
        from .following import growing_answer

        growing = growing_answer(self.prompt)
        for piece in self:
            yield from growing.feed(piece)
        yield from growing.end()

    def messages(self) -> list[Message]:
        """The answer as messages: usually one; none where nothing but empty text came."""
        self._force()
        return list(self.output_messages())

    def tool_calls(self) -> list[ToolCall]:
        """The tool calls that the model asks for, in order."""
        self._force()
        return self._tool_calls

    tool_calls_or_raise = tool_calls

    def usage(self) -> Usage:
        """The tokens that the answer cost."""
        self._force()
        return self.usage_so_far()

    def duration_ms(self) -> int:
        """Milliseconds from the first request for a piece to the last piece."""
        self._force()
        return self.elapsed_ms()

    def datetime_utc(self) -> str:
        """When it started, in ISO 8601 with `+00:00`; empty where that is not known."""
        self._force()
        return self.started_utc()

    def execute_tool_calls(
        self,
        *,
        before_call: BeforeCallSync | None = None,
        after_call: AfterCallSync | None = None,
        tool_calls_list: list[ToolCall] | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> list[ToolResult]:
        """Run the tool calls that the model asks for, one after the other.

        Args:
            before_call: Called with the tool (or `None`) and the call; may raise
                `CancelToolCall`.
            after_call: Called with the tool, the call and the result.
            tool_calls_list: Run these calls instead.
            tools: Use these tools instead of those of the prompt.

        Returns:
            A result a call, in order; what a tool raised is told in its result.

        Raises:
            PauseChain: A tool wants the chain to stop; it carries the results so far.
        """
        from ..tools.running import run_calls

        calls = self.tool_calls() if tool_calls_list is None else tool_calls_list
        return run_calls(calls, *self._run_with(tools, before_call, after_call))

    def execute_tool_call(self, tool_call: ToolCall) -> ToolResult:
        """Run one tool call, for models that run their tool loop themselves.

        Args:
            tool_call: The call; it gets an id if it has none.
        """
        from ..tools.running import run_calls

        self._name_call(tool_call)
        return run_calls([tool_call], *self._run_with())[0]

    def on_done(self, callback: Callable[[Response[T]], object]) -> None:
        """Call `callback` with this response once it is complete, or at once if it is."""
        if self._done:
            callback(self)
        else:
            self.done_callbacks.append(callback)

    def reply(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        tools: Iterable[ToolDef] | None = None,
        options: Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> Response:
        """The response to a next prompt, sent with everything so far, in the same conversation.

        Args:
            prompt: The text of the next prompt.
            messages: Further messages, after everything else.
            tool_results: Results of the tool calls of this response; the calls are run where
                they are missing.
            tools: Replaces the tools of this response's prompt.
            kwargs: Further arguments of `Model.prompt`.
        """
        self._force()
        if tool_results is None and self._tool_calls:
            tool_results = self.execute_tool_calls(tools=tools)
        from .following import reply_to

        return reply_to(self, prompt, messages, tool_results, tools, options, kwargs)

    def to_dict(self) -> ResponseDict:
        """The response as plain JSON values, complete: the request, the answer, usage, time."""
        self._force()
        from .serialize import response_dict

        return response_dict(self)

    def log_to_db(self, db: Database) -> None:
        """Record the response in a log database, and its conversation where that is new."""
        self._force()
        from ..logs.write.store import LogStore

        LogStore(db).log(self)


def _stop(source: object) -> None:
    """Let a generator that has not ended let go of what it has open."""
    if isinstance(source, Generator):
        source.close()
