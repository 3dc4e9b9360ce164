"""Models that answer as a test says, and their registration for as long as it needs them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from ..errors import ModelError
from ..hookspecs import hookimpl
from ..models.base import AnyAsyncModel, AsyncModel, Model, SyncModel, _BaseModel
from ..models.embedding import EmbeddingModel
from ..parts import Message, StreamEvent, Usage
from ..text import JSONObject
from ..tools.calling import ToolCall

if TYPE_CHECKING:
    from ..models.async_response import AsyncResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.prompt import Prompt
    from ..models.response import Response
    from ..tools.tool import Tool

#: One thing that an answer is made of; see `ScriptedModel`.
Piece: TypeAlias = str | StreamEvent | ToolCall | Usage | JSONObject | BaseException
Answer: TypeAlias = Piece | Iterable[Piece]
#: What a plugin may register: a model, an embedding model, or a tool of any kind.
Guest: TypeAlias = Union[SyncModel, AnyAsyncModel, EmbeddingModel, "Tool", Callable[..., object]]


class _Scripted:
    """What both kinds are: a script, and the prompts so far."""

    model_id = "scripted"
    can_stream = True
    supports_tools = True
    supports_schema = True
    attachment_types: Iterable[str] = ("image/png", "image/jpeg", "application/pdf", "text/plain")

    def __init__(
        self,
        script: Sequence[Answer] | Callable[[Prompt], Answer] = ("ok",),
        **attributes: object,
    ) -> None:
        self.script = script
        #: The prompts that it was given, the latest last, and all messages that came with each.
        self.prompts: list[Prompt] = []
        self.sent: list[list[Message]] = []
        for name, value in attributes.items():
            if not hasattr(type(self), name):
                raise TypeError(f"A model has no attribute {name!r}")
            setattr(self, name, value)

    def _pieces(
        self, prompt: Prompt, response: Response | AsyncResponse
    ) -> Iterator[str | StreamEvent]:
        self.prompts.append(prompt)
        self.sent.append(prompt.messages)
        answer = self._answer(prompt)
        if isinstance(answer, (str, StreamEvent, ToolCall, Usage, dict, BaseException)):
            answer = [answer]
        for piece in answer:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, ToolCall):
                response.add_tool_call(piece)
            elif isinstance(piece, Usage):
                response.set_usage(input=piece.input, output=piece.output, details=piece.details)
            elif isinstance(piece, dict):
                response.response_json = piece
            else:
                yield piece

    def _answer(self, prompt: Prompt) -> Answer:
        if callable(self.script):
            return self.script(prompt)
        number = len(self.prompts)
        if number > len(self.script):
            raise ModelError(
                f"The script of {self.model_id} ends after {len(self.script)} of its answers: "
                f"there is none for {prompt.prompt!r}. Give it more, or a function"
            )
        return self.script[number - 1]


class ScriptedModel(_Scripted, Model):
    """A model that answers what a test has written.

    Args:
        script: The answers in their order; a model that is asked more often fails. Or a function
            that is called with each prompt and returns, or yields, the answer. An answer is one
            piece, or several of them: a text or `StreamEvent` is yielded, a `ToolCall` asked for,
            `Usage` counted, a dict kept as the reply of the service, an exception raised.
        attributes: Attributes of the model, such as `model_id` or `supports_tools`; without them it
            is called `scripted` and takes everything.

    Example:
        >>> model = ScriptedModel(["Hello", ["Good", "bye"]])
        >>> model.prompt("hi").text(), model.prompt("bye").text()
        ('Hello', 'Goodbye')
        >>> [prompt.prompt for prompt in model.prompts]
        ['hi', 'bye']
        >>> ScriptedModel(lambda prompt: prompt.prompt.upper()).prompt("hi").text()
        'HI'
    """

    def execute(
        self, prompt: Prompt, stream: bool, response: Response, conversation: Conversation | None
    ) -> Iterator[str | StreamEvent]:
        """Yield the next answer."""
        return self._pieces(prompt, response)


class AsyncScriptedModel(_Scripted, AsyncModel):
    """The same for `async`."""

    async def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Yield the next answer."""
        for piece in self._pieces(prompt, response):
            yield piece


@contextlib.contextmanager
def registered(
    *guests: Guest,
    aliases: Mapping[str, Iterable[str]] | None = None,
) -> Iterator[None]:
    """Within it these are registered, as if an installed plugin did it.

    Args:
        guests: Models, of which a synchronous and an asynchronous one with the same id are twins;
            embedding models; tools, given as for the hook `register_tools`.
        aliases: Other names of models, by their id.
    """
    from ..plugins import load_plugins, manager

    load_plugins()
    plugin = _Plugin(guests, aliases or {})
    manager().register(plugin, name=f"llm.testing-{id(plugin)}")
    try:
        yield
    finally:
        manager().unregister(plugin)


class _Plugin:
    """Registers guests by their kind."""

    def __init__(self, guests: Iterable[object], aliases: Mapping[str, Iterable[str]]) -> None:
        self._guests = list(guests)
        self._aliases = aliases

    @hookimpl
    def register_models(self, register: Callable[..., None]) -> None:
        """Register twins together."""
        models = [guest for guest in self._guests if isinstance(guest, _BaseModel)]
        for model_id in dict.fromkeys(model.model_id for model in models):
            twins = {one.is_async: one for one in models if one.model_id == model_id}
            register(twins.get(False), twins.get(True), aliases=self._aliases.get(model_id))

    @hookimpl
    def register_embedding_models(self, register: Callable[..., None]) -> None:
        """Register each."""
        for guest in self._guests:
            if isinstance(guest, EmbeddingModel):
                register(guest, aliases=self._aliases.get(guest.model_id))

    @hookimpl
    def register_tools(self, register: Callable[..., None]) -> None:
        """Register what is no model."""
        for guest in self._guests:
            if not isinstance(guest, (_BaseModel, EmbeddingModel)):
                register(guest)
