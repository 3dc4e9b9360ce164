"""Who is to answer a request: its model, conversation, options and tools, found and checked.

Order matters: everything that can be refused is refused before standard input is read and long
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import LLMError, NotFound, UnknownModelError
from ..files import config
from ..files.model_defaults import call_defaults
from ..net.policy import RETRIES, TIMEOUT_S, CallPolicy
from ..terminal.output import show_note
from ..terminal.stdin import clean_argument
from ..text import JSONObject
from .recovery import take_up

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ..tools.calling import ToolCall
    from .calls import ToolWatch
    from .request import AnyChain, AnyConversation, AnyModel, AnyResponse, PromptRequest
    from .toolset import Toolset


@dataclass(frozen=True)
class Session:
    """A conversation that is ready to be prompted: the request with all its names resolved.

    Args:
        request: What was asked for.
        conversation: A new conversation, or the continued one with its history.
        options: The validated options that are not `None`.
        fallbacks: Models to try, in order, where the one before fails before its first token.
        toolset: The tools that every prompt offers; `None` where there are none.
    """

    request: PromptRequest
    conversation: AnyConversation
    options: JSONObject
    fallbacks: tuple[AnyModel, ...] = ()
    toolset: Toolset | None = None

    @property
    def model(self) -> AnyModel:
        """The model that answers."""
        return self.conversation.model

    @property
    def stream(self) -> bool:
        """Whether the answer is asked for, and shown, piece by piece."""
        return bool(self.model.can_stream) and not self.request.shows_whole

    @property
    def pending_calls(self) -> list[ToolCall]:
        """The tool calls that the conversation ends in and that have no results."""
        return self.conversation.pending_calls()

    @property
    def goes_on(self) -> bool:
        """Whether there is something to do without a prompt: calls to run, or results to send."""
        return bool(self.pending_calls) or self.conversation.owes_answer()

    def respond(
        self,
        text: str,
        values: Mapping[str, Any] | None = None,
        watch: ToolWatch | None = None,
    ) -> AnyResponse | AnyChain:
        """What answers one prompt; nothing has been sent yet.

        Args:
            text: The prompt.
            values: Further arguments of `Conversation.prompt`, see `TurnInput.values`.
            watch: Stands by when tools are called. Without it the prompt offers no tools.

        Returns:
            A chain where tools may be called, else a response.

        Raises:
            ValueError: The model does not take what it is given, e.g. attachments.
        """
        given: JSONObject = {"key": self.request.key} if self.request.key else {}
        given |= {
            **(values or {}),
            "stream": self.stream,
            "schema": self.request.schema,
            "options": self.options or None,
            "hide_reasoning": self.request.hide_reasoning,
        }
        if watch is None:
            return self.conversation.prompt(text, **given)
        return watch.chain(text, given)


def open_session(request: PromptRequest) -> Session:
    """The session for a request: its model, conversation and options.

    Raises:
        LLMError: Options of the command contradict each other, or the model, the conversation or
            a model option is unknown or not allowed.
    """
    request = _with_clean_arguments(request)
    conversation = resolve_conversation(request)
    options = resolve_options(conversation.model, request.options)
    names = set_policy(conversation, request)
    fallbacks = tuple(_get_model(name, request.is_async) for name in names)
    toolset = None
    if request.names_tools or conversation.loaded_tools:
        from .toolset import gather

        toolset = gather(request, conversation)
    return Session(request, conversation, options, fallbacks, toolset)


def set_policy(conversation: AnyConversation, request: PromptRequest) -> tuple[str, ...]:
    """Let a conversation be called as the request, and the defaults of its model, say.

    Returns:
        The names of the models to try where this one fails before its first token.

    Raises:
        ConfigError: `model_defaults.json` is not valid.
    """
    stored = call_defaults(conversation.model.model_id)
    retries = request.retries if request.retries is not None else stored.retries
    timeout_s = request.timeout_s if request.timeout_s is not None else stored.timeout_s
    conversation.policy = CallPolicy(
        retries=RETRIES if retries is None else retries,
        timeout_s=TIMEOUT_S if timeout_s is None else timeout_s,
        tell=show_note,
    )
    conversation.truncate = request.truncate or stored.truncate
    return request.fallback or stored.fallback


def resolve_conversation(request: PromptRequest) -> AnyConversation:
    """The conversation to go on with, under the model to use; a new one if there is none.

    Raises:
        LLMError: The model or the named conversation is unknown.
    """
    if request.log and request.no_log:
        raise LLMError("--log and --no-log are mutually exclusive")
    if request.is_logged:
        take_up(request.database_path, tell=request.continues)
    model = _requested_model(request)
    conversation = _load_conversation(request, model) if request.continues else None
    if conversation is None:
        conversation = (model or _default_model(request)).conversation()
    if request.name:
        conversation.name = request.name
    return conversation


def model_from_queries(queries: tuple[str, ...]) -> str:
    """The shortest id among the models that match all queries, the first of them on a tie.

    Raises:
        NotFound: No model matches.
    """
    from ..registry import entries_matching

    found = [entry.model_id for entry in entries_matching(queries)]
    if not found:
        raise NotFound(
            f"No model found matching queries {', '.join(queries)}. "
            "'llm models' lists the models there are"
        )
    return min(found, key=len)


def _requested_model(request: PromptRequest) -> AnyModel | None:
    """The model named on the command line, if one is."""
    if request.model is not None:
        return request.model
    model_id = request.model_id
    if model_id is None and request.queries:
        model_id = model_from_queries(request.queries)
    model_id = model_id if model_id is not None else request.template_model
    return None if model_id is None else _get_model(model_id, request.is_async)


def _default_model(request: PromptRequest) -> AnyModel:
    from ..registry import resolve_default_model

    return _get_model(resolve_default_model(), request.is_async)


def _get_model(model_id: str, is_async: bool) -> AnyModel:
    import llm

    return llm.get_async_model(model_id) if is_async else llm.get_model(model_id)


def _load_conversation(request: PromptRequest, model: AnyModel | None) -> AnyConversation | None:
    """The stored conversation, or `None` where the latest is wanted and there is none."""
    from ..logs.read.rehydrate import load_conversation

    wanted = request.conversation_id or None
    path = request.database_path
    found = None
    if path.exists():
        try:
            found = load_conversation(
                path,
                wanted,
                async_=request.is_async,
                model=model,
                may_change=request.is_logged,
            )
        except UnknownModelError as error:
            raise UnknownModelError(
                f"{error}. Go on with another model by adding -m MODEL"
            ) from error
    if found is None and wanted:
        raise NotFound(f"No conversation found with id={wanted}")
    return found


def _with_clean_arguments(request: PromptRequest) -> PromptRequest:
    """The request with texts that can be sent and logged, whatever bytes the shell passed on."""
    given = (request.system, *(value for _, value in request.options))
    if all(value.isascii() for value in given if isinstance(value, str)):
        return request
    return replace(
        request,
        system=_clean(request.system),
        options=tuple((name, _clean(value)) for name, value in request.options),
    )


def _clean(value: Any) -> Any:
    return clean_argument(value) if isinstance(value, str) else value


def resolve_options(model: AnyModel, given: tuple[tuple[str, Any], ...]) -> JSONObject:
    """The options for a model: those given, then its stored defaults, validated and converted.

    Returns:
        The values that are not `None`, by name; empty where no option is given or stored.

    Raises:
        LLMError: An option is unknown to the model or its value is not allowed.
    """
    values: JSONObject = {**config.get_model_options(model.model_id), **dict(given)}
    if not values:
        return {}
    from pydantic import ValidationError

    try:
        options = model.Options(**values)
    except ValidationError as error:
        raise LLMError(_describe_invalid(error, model, dict(given))) from error
    return {name: value for name, value in options if value is not None}


def _describe_invalid(error: ValidationError, model: AnyModel, given: JSONObject) -> str:
    """Two lines for each option that was refused: its name, and why."""
    from ..text.shaping import suggestion

    lines = []
    for problem in error.errors():
        location = [str(step) for step in problem["loc"]]
        reason = problem["msg"]
        if problem["type"] == "extra_forbidden":
            reason += suggestion(location[0], model.Options.model_fields)
        if location and location[0] not in given:
            reason += f" (a stored default: see 'llm models options show {model.model_id}')"
        lines.append(f"{'.'.join(location)}\n  {reason}")
    return "\n".join(lines)
