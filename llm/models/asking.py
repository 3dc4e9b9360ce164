"""Asking: what models and conversations, synchronous and asynchronous, have in common.

The arguments of `prompt` and `chain` are listed here and nowhere else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload

from .. import models
from .._lazy import MODEL_TYPES
from .options import all_options

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

    from ..content import Attachment
    from ..net.policy import CallPolicy
    from ..text import JSONObject
    from ..tools.calling import ToolResult
    from ..tools.guarding import Approve
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .async_response import AsyncResponse
    from .chain import AsyncChainResponse, ChainResponse, _BaseChainResponse
    from .conversation import _BaseConversation
    from .message_chain import GivenMessage
    from .plan import NextPrompt
    from .prompt import Prompt, PromptValues, Schema, ToolDef
    from .response import Response
    from .response_base import ResponseLog, _BaseResponse
else:
    globals().update({**MODEL_TYPES, **globals()})

R = TypeVar("R", bound="_BaseResponse")
C = TypeVar("C", bound="_BaseChainResponse[Any]")
S = TypeVar("S")


class Asking(Generic[R, C]):
    """Makes responses, and chains of them."""

    #: Its responses are awaited.
    is_async: ClassVar[bool] = False

    @classmethod
    def response_class(cls) -> type[R]:
        """What its responses are."""
        return cast("type[R]", models.AsyncResponse if cls.is_async else models.Response)

    @abstractmethod
    def _new_prompt(self, prompt: str | None, **values: Unpack[PromptValues]) -> Prompt:
        """The prompt that arguments of `prompt` ask for."""

    @abstractmethod
    def _new_response(
        self, request: Prompt, stream: bool, key: str | None, log: ResponseLog | None
    ) -> Any:
        """The response to a prompt."""

    @abstractmethod
    def _own_conversation(self) -> _BaseConversation[R, C]:
        """The conversation that a chain belongs to."""

    @overload
    def prompt(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: JSONObject | str | None = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        policy: CallPolicy | None = None,
        **kwargs: object,
    ) -> R: ...
    @overload
    def prompt(
        self: Asking[Response, ChainResponse],
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: TypeForm[S],
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        policy: CallPolicy | None = None,
        **kwargs: object,
    ) -> Response[S]: ...
    @overload
    def prompt(
        self: Asking[AsyncResponse, AsyncChainResponse],
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: TypeForm[S],
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        policy: CallPolicy | None = None,
        **kwargs: object,
    ) -> AsyncResponse[S]: ...
    def prompt(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: Schema | None = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        key: str | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        policy: CallPolicy | None = None,
        **kwargs: object,
    ) -> Any:
        """The response to a prompt; nothing is sent before somebody reads from it.

        Args:
            prompt: The text; see `llm.Prompt` for what the other arguments of that name mean.
            messages: What was said before; replaces the history of a conversation. Dictionaries of
                OpenAI's chat API will do, too.
            stream: Ask the provider for the answer piece by piece.
            tools: What the model may call; replaces the tools of a conversation.
            options: Model options by name; further keywords are options, too.
            key: A key, or the name of a stored one.
            log: Given the finished response, in place of the log of the conversation; a function.
            repair: How often `parsed()` asks again for an answer that does not fit the schema.
            policy: How often the request is sent again, and how long the server may be silent.

        Raises:
            TypeError: An option is given twice.
            pydantic.ValidationError: An option is unknown or its value is not allowed.
            ValueError: The model does not support what was asked for.
        """
        request = self._new_prompt(
            prompt,
            fragments=fragments,
            attachments=attachments,
            system=system,
            system_fragments=system_fragments,
            messages=messages,
            schema=schema,
            tools=tools,
            tool_results=tool_results,
            options=all_options(options, kwargs),
            hide_reasoning=hide_reasoning,
        )
        response = self._new_response(request, stream, key, log)
        response.own_policy = policy
        if repair:
            from .following import checked_repair

            response.repair = checked_repair(repair, request)
        return response

    @overload
    def chain(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: JSONObject | str | None = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        key: str | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        tool_timeout: float | None = None,
        tool_output_limit: int | None = None,
        allow: Iterable[str] | None = None,
        approve: Approve | None = None,
    ) -> C: ...
    @overload
    def chain(
        self: Asking[Response, ChainResponse],
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: TypeForm[S],
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        key: str | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        tool_timeout: float | None = None,
        tool_output_limit: int | None = None,
        allow: Iterable[str] | None = None,
        approve: Approve | None = None,
    ) -> ChainResponse[S]: ...
    @overload
    def chain(
        self: Asking[AsyncResponse, AsyncChainResponse],
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: TypeForm[S],
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        key: str | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        tool_timeout: float | None = None,
        tool_output_limit: int | None = None,
        allow: Iterable[str] | None = None,
        approve: Approve | None = None,
    ) -> AsyncChainResponse[S]: ...
    def chain(
        self,
        prompt: str | None = None,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        stream: bool = True,
        schema: Schema | None = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        chain_limit: int | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        key: str | None = None,
        options: Mapping[str, object] | None = None,
        hide_reasoning: bool = False,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
        repair: int = 0,
        tool_timeout: float | None = None,
        tool_output_limit: int | None = None,
        allow: Iterable[str] | None = None,
        approve: Approve | None = None,
    ) -> Any:
        """The chain of a prompt: tool calls are run and their results sent until none is asked for.

        Hooks, tools and `next` may be asynchronous where the model is; the rest is as for `prompt`.

        Args:
            chain_limit: The most responses; the conversation's where missing, no limit for 0.
            next: Called with each answer that asks for no tools (and its prompt, if it takes two
                arguments), `once` or at most `repeat` times; gives `None` to end the chain, a
                text in which `$input` stands for the answer, or a `Prompt`.
            log: Is given each finished response, in place of the log of the conversation.
            repair: How often to ask again for an answer that does not fit; not beside `next`.
            tool_timeout: The longest time that a tool call may take, in seconds.
            tool_output_limit: The most characters of a result that the model is told.
            allow: Rules for calls that run without a question, as `--allow` takes them; any other
                call is refused where there is no `approve`.
            approve: Asked with the tool and the call about every call that no rule allows; says
                whether it may run.
        """
        owner = self._own_conversation()
        request = owner.next_prompt(
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
        )
        follow = next
        if repair:
            from .following import next_of_repair

            follow, repeat = next_of_repair(next, repair, request), repair
        limit = owner.chain_limit if chain_limit is None else chain_limit
        hooks = (before_call or owner.before_call, after_call or owner.after_call)
        if (tool_timeout, tool_output_limit, allow, approve) != (None,) * 4:
            from ..tools.guarding import check_seconds, guarded, limited

            check_seconds(tool_timeout)
            before, after = hooks
            hooks = (guarded(before, allow, approve), limited(after, tool_output_limit))
        chain_class = models.AsyncChainResponse if self.is_async else models.ChainResponse
        make = partial(cast("type[C]", chain_class), request, owner.model, stream, owner, key)
        chain = make(limit, *hooks, next=follow, once=once, repeat=repeat, log=log)
        chain.tool_timeout_s = tool_timeout
        return chain


def installed_model(model_id: str | None, is_async: bool) -> Any:
    """The model of that name or alias, asynchronous or not; the default one for `None`.

    Raises:
        UnknownModelError: There is none of that kind.
    """
    import llm

    return llm.get_async_model(model_id) if is_async else llm.get_model(model_id)
