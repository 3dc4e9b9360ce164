"""The model classes that providers and plugins subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from .. import models
from .._lazy import MODEL_TYPES
from ..errors import NeedsKeyException
from ..parts import StreamEvent
from ..text.secrets import remember
from ..tools.tool import ServerSideTool
from .asking import Asking, C, R
from .options import NO_OPTIONS, OptionsT, validated
from .prompt import Prompt

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..net.policy import CallPolicy
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .async_response import AsyncResponse
    from .chain import AsyncChainResponse, ChainResponse  # noqa: F401  # named in text below
    from .conversation import AsyncConversation, Conversation, _BaseConversation
    from .embedding import AsyncEmbeddingModel, EmbeddingModel
    from .prompt import PromptValues, ToolDef
    from .response import Response
    from .response_base import ResponseLog
else:
    globals().update({**MODEL_TYPES, **globals()})

# Stands for the plugin of a model that no hook has registered.
UNKNOWN_PLUGIN = "(unknown)"

T = TypeVar("T", bound="_BaseConversation[Any, Any]")


class _get_key_mixin:
    """What every model has: a name, and a way to find the key that it needs."""

    model_id: str
    needs_key: str | None = None
    key: str | None = None
    key_env_var: str | None = None

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """The key to use: the model's own, else the given one, else a stored or environment one.

        Args:
            explicit_key: A key, or the name of a stored one.

        Returns:
            The key, or `None` for a model that needs none.

        Raises:
            NeedsKeyException: A key is needed and none is found.
        """
        if self.needs_key is None:
            return None
        if self.key is not None:
            remember(self.key)
            return self.key
        import llm

        key = llm.get_key(explicit_key, self.needs_key, self.key_env_var)
        if key:
            return key
        message = f"No key found - add one using 'llm keys set {self.needs_key}'"
        if self.key_env_var:
            message += f" or set the {self.key_env_var} environment variable"
        raise NeedsKeyException(message, getattr(self, "model_id", None))

    def unload(self) -> None:
        """Let go of what `load`, marked with `llm.load_once`, has made for models of this id.

        An answer that is being made with it goes on; the next prompt loads again.
        """
        from .loading import unload

        unload(self)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.model_id}"

    def __repr__(self) -> str:
        return f"<{self!s}>"


class _BaseModel(ABC, _get_key_mixin):
    """What every chat model has. Each attribute has a default here, as most plugins never call
    `super().__init__()`."""

    can_stream: bool = False
    attachment_types: Iterable[str] = frozenset()
    supports_schema: bool = False
    supports_tools: bool = False
    supports_conversation: bool = True
    #: It answers asynchronously: its responses are awaited.
    is_async: ClassVar[bool] = False
    #: The history is put in front of the prompt as text: for models that complete text.
    continues_as_text: bool = False
    #: The model can stand in where no model is chosen and no key is found.
    answers_without_key: bool = False
    Options: ClassVar[Any] = NO_OPTIONS
    #: `execute` is given its key.
    takes_key: ClassVar[bool] = False

    @property
    def declares_attachment_types(self) -> bool:
        """Whether it says which types of attachments it accepts, if only that it accepts none."""
        kinds = type(self).__mro__
        above = kinds[: kinds.index(_BaseModel)]
        return any("attachment_types" in vars(owner) for owner in (self, *above))

    @property
    def supported_server_side_tools(self) -> tuple[type[ServerSideTool], ...]:
        """Classes of the tools that the provider runs itself; none here."""
        return ()


class _Answering(_BaseModel, Asking[R, C], Generic[R, C, T]):
    """What synchronous and asynchronous model classes share: each kind makes its own responses."""

    def _new_prompt(self, prompt: str | None, **values: Unpack[PromptValues]) -> Prompt:
        return Prompt.of_call(prompt, self, **values)

    def _new_response(
        self, request: Prompt, stream: bool, key: str | None, log: ResponseLog | None
    ) -> R:
        return self.response_class()(request, self, stream, key=key, log=log)

    def _own_conversation(self) -> T:
        return self.conversation()

    def conversation(
        self,
        tools: Iterable[ToolDef] | None = None,
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        chain_limit: int | None = None,
        policy: CallPolicy | None = None,
        truncate: str | None = None,
        log: ResponseLog | None = None,
        system: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> T:
        """A new conversation with this model.

        Args:
            tools: Tools that every prompt of it offers.
            before_call: Called before each tool call.
            after_call: Called after each tool call.
            chain_limit: The most responses that one chain may take; no limit for 0.
            policy: How often requests are sent again and how long to wait for the server.
            truncate: Which turns to leave out where the history is too long for the model:
                `oldest`, `middle` (the first turn is kept), or `none`.
            log: An `llm.Database`, or any function; it is given each finished response.
            system: The system prompt of every prompt that has none of its own.
            options: Model options of every prompt, by name; those of a prompt count before them.

        Raises:
            pydantic.ValidationError: An option is unknown or its value is not allowed.
        """
        validated(self, options or {})
        found = models.AsyncConversation if self.is_async else models.Conversation
        return cast("type[T]", found)(
            model=self,
            tools=list(tools) if tools is not None else None,
            before_call=before_call,
            after_call=after_call,
            chain_limit=chain_limit,
            policy=policy,
            truncate=truncate,
            log=log,
            system=system,
            options=options,
        )


class _Model(_Answering["Response", "ChainResponse", "Conversation"]):
    """What the synchronous model classes share."""

    def stream(self, prompt: str | None = None, **kwargs: Any) -> Iterator[str]:
        """The text of one prompt, piece by piece; the arguments are those of `prompt`."""
        return iter(self.prompt(prompt, **kwargs))

    def chain_stream(self, prompt: str | None = None, **kwargs: Any) -> Iterator[Response]:
        """The responses of a chain, each as soon as it can be read from; see `chain`."""
        return self.chain(prompt, **kwargs).responses()


class Model(_Model, Generic[OptionsT]):
    """A model that answers synchronously and needs no key, or finds its key itself.

    `Model[MyOptions]` has the options of that class, and so has `prompt.options` in `execute`; the
    same goes for the other three classes of models.
    """

    @abstractmethod
    def execute(
        self,
        prompt: Prompt[OptionsT],
        stream: bool,
        response: Response,
        conversation: Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        """Answer `prompt`: yield text or `StreamEvent`s as they come."""


class KeyModel(_Model, Generic[OptionsT]):
    """A model that answers synchronously and is given its key."""

    takes_key = True

    @abstractmethod
    def execute(
        self,
        prompt: Prompt[OptionsT],
        stream: bool,
        response: Response,
        conversation: Conversation | None,
        key: str | None,
    ) -> Iterator[str | StreamEvent]:
        """Answer `prompt` with `key`: yield text or `StreamEvent`s as they come."""


class _AsyncModel(_Answering["AsyncResponse", "AsyncChainResponse", "AsyncConversation"]):
    """What the asynchronous model classes share."""

    is_async = True

    def stream(self, prompt: str | None = None, **kwargs: Any) -> AsyncIterator[str]:
        """The text of one prompt, piece by piece; the arguments are those of `prompt`."""
        return self.prompt(prompt, **kwargs).__aiter__()

    def chain_stream(
        self, prompt: str | None = None, **kwargs: Any
    ) -> AsyncIterator[AsyncResponse]:
        """The responses of a chain, each as soon as it can be read from; see `chain`."""
        return self.chain(prompt, **kwargs).responses()

    def __str__(self) -> str:
        return f"{type(self).__name__} (async): {self.model_id}"


class AsyncModel(_AsyncModel, Generic[OptionsT]):
    """A model that answers asynchronously and needs no key, or finds its key itself."""

    @abstractmethod
    def execute(
        self,
        prompt: Prompt[OptionsT],
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer `prompt`: an async generator of text or `StreamEvent`s."""


class AsyncKeyModel(_AsyncModel, Generic[OptionsT]):
    """A model that answers asynchronously and is given its key."""

    takes_key = True

    @abstractmethod
    def execute(
        self,
        prompt: Prompt[OptionsT],
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None,
        key: str | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer `prompt` with `key`: an async generator of text or `StreamEvent`s."""


SyncModel: TypeAlias = Model | KeyModel
AnyAsyncModel: TypeAlias = AsyncModel | AsyncKeyModel


@dataclass
class ModelWithAliases:
    """A registered model: the synchronous class, the asynchronous one, or both, and its aliases."""

    model: SyncModel | None
    async_model: AnyAsyncModel | None
    aliases: list[str]
    #: The name of the plugin that registered it.
    plugin: str = field(default=UNKNOWN_PLUGIN, compare=False, repr=False)

    @property
    def model_id(self) -> str:
        """The id of the model, of the asynchronous one where there is no other."""
        return self.shown.model_id

    @property
    def shown(self) -> SyncModel | AnyAsyncModel:
        """The object that stands for this entry in listings."""
        found = self.model or self.async_model
        if found is None:
            raise ValueError("This entry has neither a model nor an async model")
        return found

    def matches(self, query: str) -> bool:
        """Whether an alias, the displayed name or the async id contains `query`, in any case."""
        names = [*self.aliases, str(self.shown)]
        if self.async_model:
            names.append(self.async_model.model_id)
        return any(query.lower() in name.lower() for name in names)


@dataclass
class EmbeddingModelWithAliases:
    """A registered embedding model, its aliases and its asynchronous twin."""

    model: EmbeddingModel
    aliases: list[str]
    #: The name of the plugin that registered it.
    plugin: str = field(default=UNKNOWN_PLUGIN, compare=False, repr=False)
    async_model: AsyncEmbeddingModel | None = field(default=None, compare=False, repr=False)

    @property
    def model_id(self) -> str:
        """The id of the model."""
        return self.model.model_id

    def matches(self, query: str) -> bool:
        """Whether an alias or the displayed name contains `query`, in any case."""
        return any(query.lower() in name.lower() for name in [*self.aliases, str(self.model)])
