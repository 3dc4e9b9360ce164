"""The core that both kinds of response share: state and rules, no driving.

Everything that is decided about an answer happens here, without asking the model for anything.
`Response` drives it with `next`, `AsyncResponse` with `await anext`.
"""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, cast

from .._lazy import MODEL_TYPES
from ..errors import ContextTooLong, ModelError, SchemaMismatch
from ..net.policy import CallPolicy
from ..parts import Message, StreamEvent, TextPart, Usage
from ..text import JSONObject, encode_ulid, new_ulid, new_ulid_int, token_usage_string
from ..text.secrets import said_by, storable, storable_count, storable_value
from ..tools.calling import ToolCall
from .prompt import Prompt, check_prompt, wrap_tools
from .recording import (
    BLOCK,
    LONGEST_ANSWER,
    AnswerIsFull,
    EventLog,
    Observer,
    Pieces,
    assemble,
    events_of,
    finished,
    joined,
    spelled,
)

if TYPE_CHECKING:
    from sqlite_utils import Database
    from typing_extensions import Self, TypeVar

    from ..content import Attachment
    from ..serialization import ResponseDict
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .base import _BaseModel
    from .conversation import _BaseConversation
    from .prompt import AnyTool, ToolDef

    AnyConversation = _BaseConversation[Any, Any]
    #: The type of the value that the answer describes.
    T = TypeVar("T", covariant=True, default=Any)
else:
    T = typing.TypeVar("T", covariant=True)
    globals().update({**MODEL_TYPES, **globals()})


#: Takes each finished response, to keep it: an `llm.Database`, or any function.
ResponseLog = Callable[[Any], object]


class _BaseResponse:
    """State and rules of one response, whoever drives it.

    Args:
        prompt: What was asked.
        model: Who answers.
        stream: Ask the provider for the answer piece by piece.
        conversation: The conversation that it belongs to.
        key: A key, or the name of a stored one.
        before_call, after_call: Called before and after each tool call.
        log: Is given this response, and replies to it, once complete.

    Raises:
        ValueError: The model does not support what the prompt asks for.
        TypeError: `log` cannot be called, such as a path.
    """

    is_async: ClassVar[bool] = False
    response_json: JSONObject | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    token_details: JSONObject | None = None
    resolved_model: str | None = None
    #: Why it ended, in the service's own word, such as `stop`; the service's id of the request.
    finish_reason: str | None = None
    request_id: str | None = None
    #: The longest time that a tool call may take, in seconds; no limit for `None`.
    tool_timeout_s: float | None = None
    own_policy: CallPolicy | None = None
    # The model, or whoever reads for it, has looked at the history.
    _looked: bool = True
    _prompt_json: Any = None
    _done: bool = False
    _start: float | None = None
    _first: float | None = None
    _end: float | None = None
    _start_utcnow: datetime | None = None
    _id: str | None = None
    _event_log: EventLog | None = None
    _output: list[Message] | None = None
    #: Why it was cut off on purpose, where it was: by the provider, or because it had no end.
    cut_off: str | None = None
    # How many characters it may still have.
    _room: int = LONGEST_ANSWER
    #: It ended before it was complete.
    broke_off: bool = False
    #: Where it fails it is not asked for again, by whoever reads it: it says so again.
    asks_once: bool = False
    _failure: BaseException | None = None
    #: How often `parsed()` asks again for an answer that does not fit.
    repair: int = 0
    #: The responses that were asked for because the one before did not fit the schema.
    repairs: Sequence[Self] = ()
    #: Told about the course of the answer as it happens.
    observer: Observer | None = None
    #: What became of an answer that is not complete: status, error class, error text.
    outcome: tuple[str, str, str] | None = None
    #: Where this response ends in the log: (number of messages, address of the last one).
    stored_tip: tuple[int, str] | None = None

    def __init__(
        self,
        prompt: Prompt,
        model: _BaseModel,
        stream: bool,
        conversation: AnyConversation | None = None,
        key: str | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        log: ResponseLog | None = None,
    ) -> None:
        self._id_number = new_ulid_int()
        self.prompt = prompt
        self.model = model
        self.stream = stream
        self.conversation = conversation
        self._key = key
        self.before_call = before_call
        self.after_call = after_call
        self._log = log
        self.attachments: list[Attachment] = []
        self.done_callbacks: list[ResponseLog] = []
        self._source: Any = None
        self._chunks: list[str] | Pieces = []
        self._tool_calls: list[ToolCall] = []
        self._call_ids: set[str | None] = set()
        if log is not None:
            if not callable(log):
                raise TypeError(f"log= takes an llm.Database or a function, not {log!r}")
            self.done_callbacks.append(log)
        if not self._done:
            check_prompt(prompt, model)

    @classmethod
    def restored(
        cls,
        prompt: Prompt,
        model: _BaseModel,
        *,
        id: str | None = None,
        conversation: Any = None,
        messages: Sequence[Message] = (),
        started: datetime | None = None,
        duration_ms: int = 0,
    ) -> Self:
        """A finished response put together from what was stored; nothing is checked or run.

        Its output are `messages`, as the model gave them; it `started` then, in UTC.
        """
        response = cls.__new__(cls)
        response._done = True
        _BaseResponse.__init__(response, prompt, model, False, conversation)
        vars(response).update(finished(messages))
        response._id = id
        response._start_utcnow = started
        response._start, response._end = 0.0, duration_ms / 1000
        return response

    @classmethod
    def fake(
        cls,
        model: _BaseModel,
        prompt: str,
        *attachments: Attachment,
        system: str | None = None,
        response: str,
    ) -> Self:
        """A finished response with the given text, for tests of code that takes responses."""
        request = Prompt(prompt, model, attachments=attachments, system=system)
        return cls.restored(request, model, messages=[Message("assistant", [TextPart(response)])])

    @classmethod
    def from_dict(cls, shape: ResponseDict, *, model: _BaseModel | None = None) -> Self:
        """The finished response that `to_dict()` described.

        Args:
            model: The model to go on with; the one of that name where missing.

        Raises:
            UnknownModelError: No model of that name is installed.
        """
        from .serialize import response_from

        return response_from(cls, shape, model)

    @classmethod
    def from_row(cls, db: Database, row: Mapping[str, Any]) -> Self:
        """The response of a row of the `responses` table, which releases before 0.32 wrote."""
        from ..logs.read.rehydrate import response_from_row

        return cast("Self", response_from_row(db, row, async_=cls.is_async))

    @property
    def id(self) -> str:
        """A lower-case ULID that sorts by the time of construction; the id of the turn logged."""
        if self._id is None:
            self._id = encode_ulid(self._id_number)
        return self._id

    @id.setter
    def id(self, id: str) -> None:
        self._id = id

    @property
    def has_begun(self) -> bool:
        """Whether the model was asked."""
        return self._start is not None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come: it is complete, or was broken off."""
        return self._done

    @property
    def history_ignored(self) -> bool:
        """Whether there was a history and the model looked at none of it."""
        return not self._looked and self.prompt.has_history

    @property
    def event_log(self) -> EventLog:
        """What has come, piece by piece; made when it is first needed: most want only text."""
        if self._event_log is None:
            self._event_log = EventLog(self._chunks)
            self._chunks = self._event_log.texts
        return self._event_log

    @event_log.setter
    def event_log(self, events: EventLog) -> None:
        self._event_log = events

    @property
    def text_so_far(self) -> str:
        """The text that has come; nothing more is asked for."""
        return "".join(self._chunks)

    @property
    def calls_so_far(self) -> Sequence[ToolCall]:
        """The tool calls that have come; nothing more is asked for."""
        return self._tool_calls

    @property
    def policy(self) -> CallPolicy:
        """How often a request may be sent again and how long to wait."""
        return self.own_policy or getattr(self.conversation, "policy", None) or CallPolicy()

    def thread_id(self) -> str | None:
        """The id of the conversation, if there is one."""
        return self.conversation.id if self.conversation is not None else None

    def _run_with(
        self,
        tools: Iterable[ToolDef] | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
    ) -> tuple[list[AnyTool], BeforeCallAsync | None, AfterCallAsync | None, float | None, object]:
        """What tool calls are run with: tools, hooks, time limit, conversation."""
        return (
            self.prompt.tools if tools is None else wrap_tools(tools),
            before_call or self.before_call,
            after_call or self.after_call,
            self.tool_timeout_s,
            self.conversation,
        )

    # What a model says while it answers.

    def add_tool_call(self, tool_call: ToolCall) -> None:
        """Register a tool call that the model asks for; it gets an id if it has none of its own."""
        if tool_call.tool_call_id in self._call_ids:
            tool_call.tool_call_id = None
        self._name_call(tool_call)
        self._call_ids.add(tool_call.tool_call_id)
        self._tool_calls.append(tool_call)

    @staticmethod
    def _name_call(tool_call: ToolCall) -> None:
        if tool_call.tool_call_id is None:
            tool_call.tool_call_id = f"tc_{new_ulid()}"

    def set_usage(
        self,
        *,
        input: int | None = None,
        output: int | None = None,
        details: JSONObject | None = None,
    ) -> None:
        """Register the tokens that the answer cost; what is no number counts as not known."""
        self.input_tokens = storable_count(input)
        self.output_tokens = storable_count(output)
        self.token_details = storable_value(details)

    def set_resolved_model(self, model_id: str) -> None:
        """Register the exact model that the provider says answered."""
        self.resolved_model = storable(said_by(model_id))

    def set_prompt_json(self, request: JSONObject) -> None:
        """Register the request as it goes to the provider, for the log."""
        self._prompt_json = request

    # The course of an answer: begin, record each piece, finish or fail.

    def _begin(self) -> Any:
        """What `execute` gives, after clearing whatever an earlier, failed attempt left."""
        if self._failure is not None:
            from .following import said_again

            raise said_again(self._failure, self.text_so_far)
        if self._start is not None:
            self._clear()
        self._start = time.monotonic()
        self._start_utcnow = datetime.now(timezone.utc)
        model: Any = self.model
        conversation = self.conversation
        if conversation is not None:
            conversation.responses_read = False
            if conversation.token_budget is not None:
                from .truncation import cut_to_budget

                cut_to_budget(self)
        request = self.prompt.as_text() if model.continues_as_text else self.prompt
        self.prompt.history_read = False
        # Without its key a model is not asked.
        key = model.get_key(self._key) if model.takes_key else None
        if self.observer is not None:
            self.observer.begun(self)
        ask, stream = model.execute, self.stream
        if not model.takes_key:
            return ask(request, stream=stream, response=self, conversation=conversation)
        return ask(request, stream=stream, response=self, conversation=conversation, key=key)

    def _clear(self) -> None:
        self._chunks, self._event_log = [], None
        self._tool_calls.clear()
        self._call_ids.clear()
        self._output = self.response_json = self.resolved_model = None
        self.finish_reason = self.request_id = self._first = None
        self._room = LONGEST_ANSWER
        self.set_usage()

    def _record(self, chunk: str | StreamEvent) -> None:
        assert chunk is not None, f"{self.model} yielded None"
        text = chunk if isinstance(chunk, str) else chunk.chunk
        if self._first is None:
            self._first = time.monotonic()
        self._room -= len(text)
        if self._room < 0:
            self.cut_off = f"The answer is cut off: it is longer than {LONGEST_ANSWER:,} characters"
            raise AnswerIsFull
        is_bare = text is chunk and self._event_log is None and self.observer is None
        if is_bare and len(self._chunks) < BLOCK:
            self._chunks.append(text)
            return
        self._take_event(StreamEvent("text", chunk) if isinstance(chunk, str) else chunk)

    def _take_event(self, event: StreamEvent) -> None:
        self.event_log.append(event)
        if self.observer is not None:
            self.observer.recorded(event)

    def _finish(self) -> None:
        """Close a complete answer; the callbacks are the driver's to call."""
        self._source = None
        self._looked = self.prompt.history_read or self.model.continues_as_text
        if (conversation := self.conversation) is not None:
            self._looked = self._looked or conversation.responses_read
            conversation.take_up(self)
        self._end = time.monotonic()
        self._done = True

    def _may_retry(self, error: BaseException) -> bool:
        """Whether to ask again, with a shorter prompt, after the model has failed."""
        # The generator is gone; whoever asks again starts the model anew.
        self._source = None
        if isinstance(error, ModelError):
            error.response, error.partial = self, self.text_so_far
            error.request_id = error.request_id or self.request_id
        if isinstance(error, ContextTooLong):
            from .truncation import shorten

            if shorten(self, error):
                return True
        if self.asks_once:
            self._failure = error
        return False

    def break_off(self) -> None:
        """Close an answer that will not be complete; the conversation takes up what it says."""
        source, self._source = self._source, None
        if hasattr(source, "close"):
            # What a model raises on that way is moot.
            with suppress(Exception):
                source.close()
        self.broke_off = self._done = True
        self._end = time.monotonic()
        if self.output_messages():
            self._finish()

    def said_nothing(self) -> bool:
        """Whether it ended before anything came."""
        return self.broke_off and not self.output_messages()

    def stored_part(self) -> tuple[int, str] | None:
        """How much of what is sent is in the log: number of messages, address of the last one."""
        earlier = self.prompt.continues
        tip = earlier.stored_tip if earlier is not None else None
        # Another number of messages: the history was changed since.
        return tip if tip is not None and tip[0] == self.prompt.chain.history_count else None

    def _replay(self) -> Sequence[StreamEvent]:
        """The events of a finished answer; made from its messages where none were kept."""
        return (self.has_begun and self.event_log) or events_of(self.output_messages())

    def all_messages(self) -> list[Message]:
        """Everything so far, a new list: what was sent, and what came."""
        return self.prompt.full_messages + self.output_messages()

    def output_messages(self) -> list[Message]:
        """What has come, as messages; the list itself, so leave it as it is."""
        if self._output is None:
            if self._event_log is None:
                self._output = spelled(self.text_so_far, self._tool_calls)
            else:
                self._output = assemble(joined(self._event_log), self._tool_calls)
        return self._output

    def parsed_value(self) -> Any:
        """The answer as a value that fits the schema; see `Response.parsed`."""
        if (kind := self.prompt.answer_type) is not None:
            return kind.parse(self.text_so_far)
        from ..schemas.validation import parse_answer

        return parse_answer(self.text_so_far, self.prompt.schema)

    def mismatch(self) -> SchemaMismatch | None:
        """What is wrong with the answer; `None` where it fits its schema, or has none."""
        if self.prompt.schema is not None:
            try:
                self.parsed_value()
            except SchemaMismatch as error:
                return error
        return None

    def usage_so_far(self) -> Usage:
        """The tokens that are known by now."""
        return Usage(self.input_tokens, self.output_tokens, self.token_details)

    def elapsed_ms(self) -> int:
        """Milliseconds from the first request for a piece to the last piece; 0 until then."""
        if self._start is None or self._end is None:
            return 0
        return int((self._end - self._start) * 1000)

    @property
    def first_token_ms(self) -> int | None:
        """Milliseconds from the question to the first piece of the answer; `None` until then."""
        return None if self._first is None else int((self._first - (self._start or 0)) * 1000)

    def token_usage(self) -> str:
        """The tokens as a person reads them: `1,234 input, 56 output, {"details": 1}`."""
        return token_usage_string(self.input_tokens, self.output_tokens, self.token_details)

    def started_utc(self) -> str:
        """When the model was asked, in ISO 8601 with `+00:00`; empty where that is not known."""
        return self._start_utcnow.isoformat() if self._start_utcnow else ""

    def next_response(self, request: Prompt, **changed: Any) -> Self:
        """The response to a prompt that goes on after this one, asked for in the same way."""
        given = {"stream": self.stream, "key": self._key, "log": self._log, **changed}
        return type(self)(request, self.model, conversation=self.conversation, **given)

    def __repr__(self) -> str:
        from .shown import described

        return described(self, self._unfinished)

    def _repr_markdown_(self) -> str | None:
        """What a notebook shows: the text that has come; nothing is asked for."""
        return self.text_so_far if self.has_begun else None

    _unfinished = "... not yet done ..."
