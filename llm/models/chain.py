"""Chains: a prompt, and the further prompts that its answer leads to.

A model may ask for tools to be called, and the caller may have a function that makes the next
prompt of an answer. `chain_plan` holds the rules: a generator without I/O that yields what has to
be done next and is sent what came of it. `ChainResponse` and `AsyncChainResponse` do it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._lazy import MODEL_TYPES
from ..parts import Message, StreamEvent, Usage
from ..text import JSONObject, needs_space
from ..tools.calling import ToolResult
from ..tools.running import run_calls, run_calls_async
from ..tools.signatures import signature_of
from .asking import R
from .async_response import AsyncResponse, called
from .following import said_again
from .plan import AskNext, CallTools, NextPrompt, chain_plan, unanswered_results
from .prompt import Prompt
from .response import Response
from .response_base import ResponseLog, T

if TYPE_CHECKING:
    from sqlite_utils import Database
    from typing_extensions import Self

    from ..serialization import ConversationDict
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .base import _BaseModel
    from .conversation import _BaseConversation
    from .prompt import ToolDef
else:
    globals().update({**MODEL_TYPES, **globals()})


P = TypeVar("P", str, StreamEvent)


class _Seam:
    """Finds where the text of two responses would run into each other: a space is shown there."""

    __slots__ = ("_at_start", "_last")

    def __init__(self) -> None:
        self._last = ""
        self._at_start = False

    def next_response(self) -> None:
        self._at_start = True

    def space_before(self, piece: P) -> P | None:
        """The space to be shown before a piece; it is never part of the answer."""
        text = piece if isinstance(piece, str) else piece.chunk if piece.type == "text" else ""
        if not text:
            return None
        last, self._last = self._last, text
        at_seam, self._at_start = self._at_start, False
        if not (at_seam and needs_space(last, text)):
            return None
        return " " if isinstance(piece, str) else StreamEvent("text", " ")


class _BaseChainResponse(Generic[R]):
    """What both kinds of chain share.

    Args:
        prompt: The first prompt.
        model: The model that answers all of them.
        stream: Ask the provider for the answers piece by piece.
        conversation: The conversation that takes up the responses.
        chain_limit: The most responses that the chain may take; no limit for `None` and 0.

    The other arguments are those of `Model.chain`.
    """

    #: The longest time that a tool call may take, in seconds; no limit for `None`.
    tool_timeout_s: float | None = None
    _response_class: Any

    def __init__(
        self,
        prompt: Prompt,
        model: _BaseModel,
        stream: bool,
        conversation: _BaseConversation[R, Any],
        key: str | None = None,
        chain_limit: int | None = 10,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        *,
        next: NextPrompt | None = None,
        once: bool = False,
        repeat: int | None = None,
        log: ResponseLog | None = None,
    ) -> None:
        self.prompt = prompt
        self.model = model
        self.stream = stream
        self.conversation = conversation
        self._key = key
        self.chain_limit = chain_limit
        self.before_call = before_call
        self.after_call = after_call
        self._next = next
        self._log = log or (conversation.log if conversation is not None else None)
        self._responses: list[R] = []
        self._ended = False
        self._failure: BaseException | None = None
        self.done_callbacks: list[ResponseLog] = []
        next_limit = 0 if next is None else 1 if once else repeat
        self._plan = chain_plan(prompt, self._follow, chain_limit, next_limit)

    def _follow(
        self,
        prompt: Prompt,
        *,
        tool_results: list[ToolResult] | None = None,
        given: str | Prompt | None = None,
        answer: str = "",
    ) -> Prompt:
        """The prompt after `prompt`, whose answer the conversation has taken up."""
        if prompt.calls_before:
            prompt.tool_results = [*prompt.tool_results, *(tool_results or [])]
            earlier = unanswered_results(self.conversation.loaded_messages or ())
            prompt.attach_results([*earlier, *prompt.tool_results])
            prompt.calls_before = ()
            self.conversation.put_history(prompt)
            return prompt
        if isinstance(given, Prompt):
            if given.is_complete:
                return given
            following = given
        else:
            text = (given or "").replace("$input", answer)
            following = prompt.follow_up(text, tool_results or [])
        if self._responses and (responses := self.conversation.all_responses()):
            # Nobody else goes on from the last one, so its list may be used.
            following.continue_after(responses[-1], in_place=True)
        else:
            following.attach_results(unanswered_results(prompt.full_messages))
            following.continue_from(prompt.full_messages)
        return following

    def _respond(self, prompt: Prompt) -> None:
        response = self._response_class(
            prompt,
            self.model,
            self.stream,
            self.conversation,
            self._key,
            self.before_call,
            self.after_call,
            self._log,
        )
        response.tool_timeout_s = self.tool_timeout_s
        response.asks_once = True
        self._responses.append(response)

    def _end(self, error: BaseException) -> None:
        """Take down how the chain came to its end; an error passes, now and later."""
        self._ended = True
        if not isinstance(error, StopIteration):
            self._failure = error
            raise error

    def _said_again(self) -> None:
        """Raise what the chain ended with, where that was an error, or the tool that paused it."""
        if self._failure is not None:
            raise said_again(self._failure, self.text_or_partial)

    @property
    def text_or_partial(self) -> str:
        """The text that has come, whether the chain came to its end or not; nothing is asked."""
        shown = ""
        for response in self._responses:
            text = response.text_so_far
            shown += f" {text}" if needs_space(shown, text) else text
        return shown

    def _messages(self) -> list[Message]:
        found: list[Message] = []
        for response in self._responses:
            chain = response.prompt.chain
            found += chain.messages[chain.history_count :] if found else []
            found += response.output_messages()
        return found

    def log_to_db(self, db: Database) -> None:
        """Record every finished response in a log database, as turns of one conversation."""
        for response in self._responses:
            if response.has_ended:
                response.log_to_db(db)  # type: ignore[attr-defined]

    def _to_dict(self) -> ConversationDict:
        from .serialize import CHAIN_FORMAT

        shape: ConversationDict = self.conversation.to_dict()
        shape["format"] = CHAIN_FORMAT
        shape["responses"] = [response.id for response in self._responses]
        if self.chain_limit is not None:
            shape["chain_limit"] = self.chain_limit
        return shape

    @classmethod
    def from_dict(
        cls,
        shape: ConversationDict,
        *,
        model: _BaseModel | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> Self:
        """The finished chain that `to_dict()` described, in a conversation that can go on.

        Where the chain was paused before tools had run, `conversation.chain()` runs them and goes
        on.

        Args:
            model: The model to go on with; the one of that name where missing.
            tools: Functions and toolboxes, as for `Conversation.from_dict`.

        Raises:
            InvalidInput: It is no chain.
            UnknownModelError: No model of that name is installed.
        """
        from ..errors import InvalidInput
        from .serialize import conversation_from_dict

        conversation = conversation_from_dict(
            lambda found: found.conversation(), cls._response_class, shape, model, tools
        )
        own = set(shape.get("responses", ()))
        responses = [response for response in conversation.all_responses() if response.id in own]
        if not responses:
            raise InvalidInput('Not a chain: there are no "responses" in it')
        limit = shape.get("chain_limit")
        chain = cls(responses[0].prompt, conversation.model, False, conversation, chain_limit=limit)
        chain._responses = responses
        chain._ended = True
        return chain

    def __repr__(self) -> str:
        return f"<{type(self).__name__} prompt={self.prompt.prompt!r} model={self.model}>"


class ChainResponse(_BaseChainResponse[Response[T]]):
    """A chain with a synchronous model. Nothing is sent before somebody reads from it."""

    _response_class = Response

    def to_dict(self) -> ConversationDict:
        """The chain as plain JSON values, with the whole conversation that it belongs to."""
        if not self._ended:
            self.text()
        return self._to_dict()

    def _step(self) -> bool:
        """Go on to the next response; `False` when the chain is complete."""
        if self._ended:
            self._said_again()
            return False
        value = self._responses[-1] if self._responses else None
        if value is not None and not value.has_ended:
            value.text()
        try:
            action = self._plan.send(value)
            while not isinstance(action, Prompt):
                action = self._plan.send(self._perform(action))
            self._respond(action)
        except BaseException as error:
            self._end(error)
            for callback in self.done_callbacks:
                callback(self)
        return not self._ended

    def _perform(self, action: CallTools | AskNext) -> list[ToolResult] | str | Prompt | None:
        if isinstance(action, AskNext):
            return _checked(_ask(self._next, action))
        return run_calls(
            action.calls,
            action.prompt.tools,
            self.before_call,
            self.after_call,
            self.tool_timeout_s,
            self.conversation,
        )

    def responses(self) -> Iterator[Response[T]]:
        """The responses, each as soon as it can be read from; from the first one each time."""
        index = 0
        while True:
            if index < len(self._responses):
                yield self._responses[index]
                index += 1
            elif not self._step():
                return

    def __iter__(self) -> Iterator[str]:
        """Pieces of text of all responses, a space between two of them where there is none."""
        return self._parted(iter)

    def stream_events(self) -> Iterator[StreamEvent]:
        """Everything that the model says in all responses, with the spaces between them."""
        return self._parted(Response.stream_events)

    def _parted(self, read: Callable[[Response], Iterable[P]]) -> Iterator[P]:
        seam = _Seam()
        for response in self.responses():
            seam.next_response()
            for piece in read(response):
                if space := seam.space_before(piece):
                    yield space
                yield piece

    def text(self) -> str:
        """The whole text of all responses."""
        return "".join(self)

    def _all(self) -> list[Response[T]]:
        self.text()
        return self._responses

    def messages(self) -> list[Message]:
        """What came of the prompt: the answers, the results of tools, and further prompts."""
        self.text()
        return self._messages()

    def json(self) -> JSONObject | None:
        """The provider's own form of the last answer, where the model keeps it."""
        return self._all()[-1].json()

    def parsed(self) -> T:
        """The value that the last answer describes; see `Response.parsed`."""
        return self._all()[-1].parsed()

    def usage(self) -> Usage:
        """The tokens that all answers cost together."""
        return sum(self.usages(), Usage())

    def usages(self) -> list[Usage]:
        """The tokens that each answer cost, in the order of `responses()`."""
        return [response.usage() for response in self._all()]

    def on_done(self, callback: Callable[[ChainResponse[T]], object]) -> None:
        """Call `callback` with this chain once it is complete, or at once if it is."""
        if self._ended and self._failure is None:
            callback(self)
        else:
            self.done_callbacks.append(callback)


class AsyncChainResponse(_BaseChainResponse[AsyncResponse[T]]):
    """A chain with an asynchronous model. Nothing is sent before somebody reads from it."""

    _response_class = AsyncResponse

    def to_dict(self) -> ConversationDict:
        """The chain as plain JSON values, with the whole conversation that it belongs to.

        Raises:
            ValueError: It was not read to its end.
        """
        if not self._ended:
            raise ValueError(
                "Chain not yet complete \N{EM DASH} call `await chain.text()` before to_dict()"
            )
        return self._to_dict()

    async def _step(self) -> bool:
        """Go on to the next response; `False` when the chain is complete."""
        if self._ended:
            self._said_again()
            return False
        value = self._responses[-1] if self._responses else None
        if value is not None and not value.has_ended:
            await value.text()
        try:
            action = self._plan.send(value)
            while not isinstance(action, Prompt):
                action = self._plan.send(await self._perform(action))
            self._respond(action)
        except BaseException as error:
            self._end(error)
            for callback in self.done_callbacks:
                await called(callback, self)
        return not self._ended

    async def _perform(self, action: CallTools | AskNext) -> list[ToolResult] | str | Prompt | None:
        if isinstance(action, AskNext):
            given = _ask(self._next, action)
            return _checked(await given if isinstance(given, Awaitable) else given)
        tools = action.prompt.tools
        return await run_calls_async(
            action.calls,
            tools,
            self.before_call,
            self.after_call,
            self.tool_timeout_s,
            self.conversation,
        )

    async def responses(self) -> AsyncIterator[AsyncResponse[T]]:
        """The responses, each as soon as it can be read from; from the first one each time."""
        index = 0
        while True:
            if index < len(self._responses):
                yield self._responses[index]
                index += 1
            elif not await self._step():
                return

    def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of text of all responses, a space between two of them where there is none."""
        return self._parted(AsyncResponse.__aiter__)

    def astream_events(self) -> AsyncIterator[StreamEvent]:
        """Everything that the model says in all responses, with the spaces between them."""
        return self._parted(AsyncResponse.astream_events)

    async def _parted(self, read: Callable[[AsyncResponse], AsyncIterator[P]]) -> AsyncIterator[P]:
        seam = _Seam()
        async for response in self.responses():
            seam.next_response()
            async for piece in read(response):
                if space := seam.space_before(piece):
                    yield space
                yield piece

    async def text(self) -> str:
        """The whole text of all responses."""
        return "".join([chunk async for chunk in self])

    async def _all(self) -> list[AsyncResponse[T]]:
        await self.text()
        return self._responses

    async def messages(self) -> list[Message]:
        """What came of the prompt: the answers, the results of tools, and further prompts."""
        await self.text()
        return self._messages()

    async def json(self) -> JSONObject | None:
        """The provider's own form of the last answer, where the model keeps it."""
        return await (await self._all())[-1].json()

    async def parsed(self) -> T:
        """The value that the last answer describes; see `Response.parsed`."""
        return await (await self._all())[-1].parsed()

    async def usage(self) -> Usage:
        """The tokens that all answers cost together."""
        return sum(await self.usages(), Usage())

    async def usages(self) -> list[Usage]:
        """The tokens that each answer cost, in the order of `responses()`."""
        return [await response.usage() for response in await self._all()]

    async def on_done(self, callback: Callable[[AsyncChainResponse[T]], object]) -> None:
        """Call or await `callback` with this chain once it is complete, or at once if it is."""
        if self._ended and self._failure is None:
            await called(callback, self)
        else:
            self.done_callbacks.append(callback)


def _ask(next: NextPrompt | None, action: AskNext) -> object:
    assert next is not None
    parameters = signature_of(next).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    # `lambda response, n=n: ...` binds a value; it does not ask for the prompt.
    wants_prompt = any(p.default is p.empty or p.name == "prompt" for p in positional[1:])
    if wants_prompt or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return next(action.response, action.response.prompt)
    return next(action.response)


def _checked(given: object) -> str | Prompt | None:
    """What a function that makes the next prompt returned.

    Raises:
        TypeError: It cannot be sent.
    """
    if given is None or isinstance(given, (str, Prompt)):
        return given
    if hasattr(given, "close"):
        given.close()
    raise TypeError(
        f"next returned {type(given).__name__}, but has to return a text, a Prompt or None"
        " (and may be asynchronous only in an asynchronous chain)"
    )
