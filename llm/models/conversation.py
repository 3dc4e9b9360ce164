"""Conversations: responses in order, and what the next prompt has to carry of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..parts import Message, ToolCallPart, ToolResultPart
from ..text.ids import new_ulid
from .prompt import Prompt
from .response import Response
from .response_base import ResponseLog, _BaseResponse
from .truncation import check_choice

if TYPE_CHECKING:
    from ..content import Attachment
    from ..net.policy import CallPolicy
    from ..serialization import ConversationDict
    from ..tools.calling import ToolCall, ToolResult
    from ..tools.running import AfterCallAsync, AfterCallSync, BeforeCallAsync, BeforeCallSync
    from .async_response import AsyncResponse
    from .base import _AsyncModel, _BaseModel, _Model
    from .chain import AsyncChainResponse, ChainResponse
    from .plan import NextPrompt
    from .prompt import ToolDef

R = TypeVar("R", bound=_BaseResponse)


class _BaseConversation(Generic[R]):
    """What both kinds of conversation share.

    Args:
        model: The model that answers.
        id: A lower-case ULID; the id of the thread in the log.
        name: The title in the log.
        responses: Earlier responses, oldest first.
        tools: Tools that every prompt offers.
        chain_limit: The most responses that one chain may take; no limit for 0.
        loaded_messages: History that was read from the log, complete.
        loaded_tools: Specifications of the tools that the first turn in the log had.
        before_call: Called before each tool call.
        after_call: Called after each tool call.
        policy: How often requests are sent again and how long to wait for the server.
        truncate: Turns to leave out where there are too many: `oldest`, `middle` or `none`.
        log: An `llm.Database`, or any function; it is given each finished response.
    """

    #: Its model answers asynchronously.
    is_async: ClassVar[bool] = False
    #: Where `loaded_messages` end in the log: (number of messages, address of the last one).
    stored_tip: tuple[int, str] | None = None
    responses_read: bool = False
    token_budget: int | None = None  # what may be sent, once a service said it was too much
    # The title in the log; another `name` goes there with the next turn.
    stored_name: str | None = None

    # Results, by the id of the call, that no request has taken up.
    finished_calls: Mapping[str | None, ToolResult] = {}
    # Names of tools and toolboxes that somebody else than the person chose: now, and in the log.
    untrusted_tools: frozenset[str] = frozenset()
    stored_untrusted: frozenset[str] = frozenset()

    def __init__(
        self,
        model: _BaseModel,
        id: str | None = None,
        name: str | None = None,
        responses: Iterable[R] | None = None,
        tools: list[ToolDef] | None = None,
        chain_limit: int | None = None,
        loaded_messages: list[Message] | None = None,
        loaded_tools: list[str] | None = None,
        before_call: Callable[..., Any] | None = None,
        after_call: Callable[..., Any] | None = None,
        policy: CallPolicy | None = None,
        truncate: str | None = None,
        log: ResponseLog | None = None,
    ) -> None:
        self.model: Any = model
        self.id = id or new_ulid()
        self.name = name
        self._responses: list[R] = list(responses) if responses is not None else []
        self._load_history: Callable[[], list[R]] | None = None
        self.tools = tools
        self.chain_limit = chain_limit
        self.loaded_messages = loaded_messages
        self.loaded_tools = loaded_tools
        self.before_call = before_call
        self.after_call = after_call
        self.policy = policy
        self.truncate = check_choice(truncate)
        self.log = log

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> _BaseConversation[R]:
        """The conversation of a row with `model`, `id` and `name`; the model must be installed."""
        import llm

        look_up = llm.get_async_model if cls.is_async else llm.get_model
        return cls(model=look_up(row["model"]), id=row["id"], name=row["name"])

    def to_dict(self) -> ConversationDict:
        """The conversation as plain JSON values, complete: every message, turn, tool, attachment.

        Files that are attached by path stay where they are; functions cannot be written down.
        """
        from .portable import conversation_dict

        return conversation_dict(self)

    @property
    def responses(self) -> list[R]:
        """The responses so far, oldest first; those of the log are read when first asked for."""
        self.responses_read = True
        return self.all_responses()

    @responses.setter
    def responses(self, responses: list[R]) -> None:
        self._load_history = None
        self._responses = responses

    def all_responses(self) -> list[R]:
        if self._load_history is not None:
            load, self._load_history = self._load_history, None
            try:
                self._responses[:0] = load()
            except BaseException:
                self._load_history = load
                raise
        return self._responses

    def append(self, response: R) -> None:
        """Put a restored response at the end."""
        self._responses.append(response)

    def set_history(self, load: Callable[[], list[R]]) -> None:
        """Let `load` give the earlier responses when somebody looks at `responses`."""
        self._load_history = load

    def _add(self, response: R) -> None:
        """Take up a finished response: from here on it carries the history."""
        self._responses.append(response)
        self.loaded_messages = None
        self.finished_calls = {}

    def _prepare(
        self,
        prompt: str | None,
        *,
        tools: Iterable[ToolDef] | None,
        messages: Sequence[Message] | None,
        **values: Any,
    ) -> Prompt:
        """The prompt of the next turn, with the history in front."""
        request = Prompt.of_call(
            prompt, self.model, tools=tools or self.tools, messages=messages, **values
        )
        if messages is None:
            if self.owes_answer() and not self.pending_calls():
                from .plan import unanswered_results

                request.attach_results(unanswered_results(self.loaded_messages or ()))
            self.put_history(request)
        return request

    def put_history(self, request: Prompt, *, in_place: bool = False) -> None:
        """Put everything so far in front of a request.

        Args:
            in_place: Nobody else goes on from the last response, so its list may be used.
        """
        if self.loaded_messages is not None:
            request.continue_from(self.loaded_messages)
            request.continues = self
            return
        last = self._last_response()
        if last is None:
            return
        if in_place:
            request.continue_in_place(last.prompt, last.output_messages())
        else:
            request.continue_from(last.all_messages(), last.prompt.chain.system)
        request.continues = last

    def _rules(
        self, key: str | None, limit: int | None, before_call: Any, after_call: Any
    ) -> tuple[str | None, int | None, Any, Any]:
        """How a chain runs: what it was given, and for what is missing that of the conversation."""
        limit = self.chain_limit if limit is None else limit
        return key, limit, before_call or self.before_call, after_call or self.after_call

    def pending_calls(self) -> list[ToolCall]:
        """The tool calls at the end of the history that have no results yet."""
        history = self._history()
        kinds = (ToolCallPart, ToolResultPart)
        if not history or not any(isinstance(part, kinds) for part in history[-1].parts):
            return []
        from .plan import pending_tool_calls

        return pending_tool_calls(history)

    def owes_answer(self) -> bool:
        """Whether the history ends in results of tools, which the model has not answered."""
        history = self._history()
        if history and history[-1].role == "user" and not history[-1].text():
            # The files that tools returned follow their results.
            history = history[:-1]
        return bool(history) and history[-1].role == "tool"

    def _history(self) -> Sequence[Message]:
        if self.loaded_messages is not None:
            return self.loaded_messages
        last = self._last_response()
        return [] if last is None else last.all_messages()

    def _last_response(self) -> R | None:
        if not self._responses:
            self.all_responses()
        return self._responses[-1] if self._responses else None

    def __repr__(self) -> str:
        count = len(self.all_responses())
        plural = "" if count == 1 else "s"
        return f"<{type(self).__name__}: {self.id} - {count} response{plural}>"


class Conversation(_BaseConversation[Response]):
    """A conversation with a synchronous model."""

    model: _Model

    @classmethod
    def from_dict(
        cls,
        shape: ConversationDict,
        *,
        model: _Model | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> Conversation:
        """The conversation that `to_dict()` described, ready to go on.

        Args:
            model: The model to go on with; the one of that name where missing.
            tools: Functions and toolboxes that take the place of tools of their names. Those that
                plugins registered come back by themselves; others can be shown, but not called.

        Raises:
            InvalidInput: It is no conversation.
            UnknownModelError: No model of that name is installed.
        """
        from .revival import revived

        return revived(cls, Response, shape, model, tools)

    def prompt(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[Message] | None = None,
        stream: bool = True,
        schema: Any = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, Any] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        **kwargs: Any,
    ) -> Response:
        """The response to the next prompt of the conversation; see `Model.prompt`.

        Args:
            messages: Replaces the history of the conversation.
            tools: Replaces the tools of the conversation.
            log: Is given the finished response, in place of the log of the conversation.
        """
        request = self._prepare(
            prompt,
            fragments=fragments,
            attachments=attachments,
            system=system,
            system_fragments=system_fragments,
            messages=messages,
            schema=schema,
            tools=tools,
            tool_results=tool_results,
            options=options,
            hide_reasoning=hide_reasoning,
            keywords=kwargs,
        )
        response = Response(
            request, self.model, stream, self, key, self.before_call, self.after_call
        )
        log = log or self.log
        if log is not None:
            response.keep_in(log)
        return response

    def chain(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[Message] | None = None,
        stream: bool = True,
        schema: Any = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallSync | None = None,
        after_call: AfterCallSync | None = None,
        key: str | None = None,
        options: Mapping[str, Any] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
    ) -> ChainResponse:
        """The chain of a prompt: tool calls are run and their results sent until none is asked for.

        Args:
            chain_limit: The most responses; the conversation's where missing, no limit for 0.
            before_call: Called before each tool call; may raise `CancelToolCall`.
            after_call: Called after each tool call.
            next: Called with each answer that asks for no tools (and its prompt, if it takes
                two arguments); returns `None` to end the chain, a text in which `$input` stands
                for the answer, or a `Prompt`.
            once: Call `next` once.
            repeat: Call `next` at most so many times.
            log: Is given each finished response, in place of the log of the conversation.

        The other arguments are those of `Model.prompt`.
        """
        from .chain import ChainResponse

        request = self._prepare(
            prompt,
            fragments=fragments,
            attachments=attachments,
            system=system,
            system_fragments=system_fragments,
            messages=messages,
            schema=schema,
            tools=tools,
            tool_results=tool_results,
            options=options,
            hide_reasoning=hide_reasoning,
            keywords={},
        )
        rules = self._rules(key, chain_limit, before_call, after_call)
        return ChainResponse(
            request, self.model, stream, self, *rules, next=next, once=once, repeat=repeat, log=log
        )


class AsyncConversation(_BaseConversation["AsyncResponse"]):
    """A conversation with an asynchronous model."""

    model: _AsyncModel
    is_async = True

    @classmethod
    def from_dict(
        cls,
        shape: ConversationDict,
        *,
        model: _AsyncModel | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> AsyncConversation:
        """The conversation that `to_dict()` described; see `Conversation.from_dict`."""
        from .async_response import AsyncResponse
        from .revival import revived

        return revived(cls, AsyncResponse, shape, model, tools)

    def prompt(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[Message] | None = None,
        stream: bool = True,
        schema: Any = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, Any] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        **kwargs: Any,
    ) -> AsyncResponse:
        """The response to the next prompt of the conversation; see `Conversation.prompt`."""
        from .async_response import AsyncResponse

        request = self._prepare(
            prompt,
            fragments=fragments,
            attachments=attachments,
            system=system,
            system_fragments=system_fragments,
            messages=messages,
            schema=schema,
            tools=tools,
            tool_results=tool_results,
            options=options,
            hide_reasoning=hide_reasoning,
            keywords=kwargs,
        )
        response = AsyncResponse(
            request, self.model, stream, self, key, self.before_call, self.after_call
        )
        log = log or self.log
        if log is not None:
            response.keep_in(log)
        return response

    def chain(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[Message] | None = None,
        stream: bool = True,
        schema: Any = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        key: str | None = None,
        options: Mapping[str, Any] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
    ) -> AsyncChainResponse:
        """The chain of a prompt; see `Conversation.chain`.

        Hooks, tools and `next` may be asynchronous.
        """
        from .chain import AsyncChainResponse

        request = self._prepare(
            prompt,
            fragments=fragments,
            attachments=attachments,
            system=system,
            system_fragments=system_fragments,
            messages=messages,
            schema=schema,
            tools=tools,
            tool_results=tool_results,
            options=options,
            hide_reasoning=hide_reasoning,
            keywords={},
        )
        rules = self._rules(key, chain_limit, before_call, after_call)
        return AsyncChainResponse(
            request, self.model, stream, self, *rules, next=next, once=once, repeat=repeat, log=log
        )

    def to_sync_conversation(self) -> Conversation:
        """A synchronous conversation of the same id, name, model and tools, without responses."""
        kept = ("model", "id", "name", "tools", "chain_limit", "policy", "truncate")
        twin = Conversation(**{name: getattr(self, name) for name in kept})
        twin.stored_tip = self.stored_tip
        twin.untrusted_tools, twin.stored_untrusted = self.untrusted_tools, self.stored_untrusted
        twin.stored_name = self.stored_name
        return twin
