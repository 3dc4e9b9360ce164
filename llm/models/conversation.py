"""Conversations: responses in order, and what the next prompt has to carry of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._lazy import MODEL_TYPES
from ..parts import Message, ToolCallPart, ToolResultPart
from ..text import new_ulid
from .asking import Asking, C, R, installed_model
from .prompt import Prompt
from .response_base import ResponseLog

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..net.policy import CallPolicy
    from ..serialization import ConversationDict
    from ..tools.calling import ToolCall, ToolResult
    from ..tools.running import AfterCallAsync, BeforeCallAsync
    from .async_response import AsyncResponse  # noqa: F401  # named in text below
    from .base import _AsyncModel, _BaseModel, _Model
    from .chain import AsyncChainResponse, ChainResponse  # noqa: F401
    from .prompt import PromptValues, ToolDef
    from .response import Response  # noqa: F401
else:
    globals().update({**MODEL_TYPES, **globals()})


class _BaseConversation(Asking[R, C]):
    """What both kinds of conversation share.

    Args:
        model: The model that answers.
        id: A lower-case ULID; the id of the thread in the log.
        name: The title in the log.
        responses: Earlier responses, oldest first.
        loaded_messages: History that was read from the log, complete.
        loaded_tools: Specifications of the tools that the first turn in the log had.

    The other arguments are those of `Model.conversation`.
    """

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
    # Messages that no prompt of this person has brought and that ask for something, a call or a
    # file, each with where it comes from; and whether the arguments of its tools came that way.
    foreign_messages: Sequence[tuple[Message, str]] = ()
    has_foreign_tools: bool = False

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
        before_call: BeforeCallAsync | None = None,
        after_call: AfterCallAsync | None = None,
        policy: CallPolicy | None = None,
        truncate: str | None = None,
        log: ResponseLog | None = None,
        system: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.model = model
        self.id: str = id or new_ulid()
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
        self.truncate = truncate
        if truncate is not None:
            from .truncation import check_choice

            check_choice(truncate)
        self.log = log
        self.system = system
        self.options = options

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> _BaseConversation[R, C]:
        """The conversation of a row with `model`, `id` and `name`; the model must be installed."""
        model = installed_model(row["model"], cls.is_async)
        return cls(model, id=row["id"], name=row["name"])

    @classmethod
    def from_dict(
        cls,
        shape: ConversationDict,
        *,
        model: _BaseModel | None = None,
        tools: Iterable[ToolDef] | None = None,
    ) -> Self:
        """The conversation that `to_dict()` described, ready to go on.

        Args:
            model: The model to go on with; the one of that name where missing.
            tools: Functions and toolboxes that take the place of tools of their names. Those that
                plugins registered come back by themselves; others can be shown, but not called.

        Raises:
            InvalidInput: It is no conversation.
            UnknownModelError: No model of that name is installed.
        """
        from .serialize import conversation_from_dict

        return conversation_from_dict(cls, cls.response_class(), shape, model, tools)

    def to_dict(self) -> ConversationDict:
        """The conversation as plain JSON values, complete: every message, turn, tool, attachment.

        Files that are attached by path stay where they are; functions cannot be written down.
        """
        from .serialize import conversation_dict

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
        """The responses so far; unlike `responses` not a sign that a model looks at them."""
        if self._load_history is not None:
            load, self._load_history = self._load_history, None
            try:
                self._responses[:0] = load()
            except BaseException:
                self._load_history = load
                raise
        return self._responses

    def set_history(self, load: Callable[[], list[R]]) -> None:
        """Let `load` give the earlier responses when somebody looks at `responses`."""
        self._load_history = load

    def take_up(self, response: R) -> None:
        """Take up a finished response: from here on it carries the history."""
        self._responses.append(response)
        self.loaded_messages = None
        self.finished_calls = {}

    def next_prompt(self, prompt: str | None, **values: Unpack[PromptValues]) -> Prompt:
        """The prompt of the next turn, with the history in front; nothing is sent."""
        values["tools"] = values.get("tools") or self.tools
        if self.system or self.options:
            self._fill_in(values)
        request = Prompt.of_call(prompt, self.model, **values)
        if not request.is_complete:
            if self.owes_answer() and not self.pending_calls():
                from .plan import unanswered_results

                request.attach_results(unanswered_results(self.loaded_messages or ()))
            self.put_history(request)
        return request

    _new_prompt = next_prompt

    def _fill_in(self, values: PromptValues) -> None:
        """Add to the arguments of a prompt what the conversation has for all of them."""
        if self.system and not (values.get("system") or values.get("system_fragments")):
            values["system"] = self.system
        values["options"] = {**(self.options or {}), **(values.get("options") or {})}

    def _new_response(
        self, request: Prompt, stream: bool, key: str | None, log: ResponseLog | None
    ) -> R:
        hooks = (self.before_call, self.after_call)
        return self.response_class()(
            request, self.model, stream, self, key, *hooks, log=log or self.log
        )

    def _own_conversation(self) -> Self:
        return self

    def put_history(self, request: Prompt) -> None:
        """Put everything so far in front of a request."""
        if self.loaded_messages is not None:
            request.continue_from(self.loaded_messages)
            request.continues = self
            return
        if (last := self._last_response()) is not None:
            request.continue_after(last)

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
        if self.loaded_messages is None:
            last = self._last_response()
            if last is None or last.output_messages():
                return False
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
        responses = self._responses or self.all_responses()
        return responses[-1] if responses else None

    def __repr__(self) -> str:
        count = len(self.all_responses())
        plural = "" if count == 1 else "s"
        return f"<{type(self).__name__}: {self.id} - {count} response{plural}>"


class Conversation(_BaseConversation["Response", "ChainResponse"]):
    """A conversation with a synchronous model."""

    model: _Model


class AsyncConversation(_BaseConversation["AsyncResponse", "AsyncChainResponse"]):
    """A conversation with an asynchronous model."""

    model: _AsyncModel
    is_async = True

    def to_sync_conversation(self) -> Conversation:
        """A synchronous conversation of the same id, name, model and tools, without responses."""
        kept = ("model", "id", "name", "tools", "chain_limit", "policy", "truncate", "system")
        twin = Conversation(**{name: getattr(self, name) for name in (*kept, "options")})
        for name in (
            *("stored_tip", "stored_name", "untrusted_tools", "stored_untrusted"),
            *("foreign_messages", "has_foreign_tools"),
        ):
            setattr(twin, name, getattr(self, name))
        return twin
