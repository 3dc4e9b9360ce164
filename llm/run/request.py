"""What was asked for, and who is to answer it: the request of a prompt or chat, made ready.

Order matters: everything that can be refused is refused before standard input is read and long
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config
from ..errors import LLMError, NotFound, UnknownModelError
from .calling import set_policy
from .inputs import clean_argument
from .recovery import take_up

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ..content import Attachment
    from ..models.async_response import AsyncResponse
    from ..models.base import _AsyncModel, _Model
    from ..models.chain import AsyncChainResponse, ChainResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.response import Response
    from ..templates import Template
    from ..tools.calling import ToolCall
    from .calls import ToolWatch
    from .toolset import Toolset

    AnyModel = _Model | _AsyncModel
    AnyConversation = Conversation | AsyncConversation
    AnyResponse = Response | AsyncResponse
    AnyChain = ChainResponse | AsyncChainResponse


@dataclass(frozen=True)
class ToolSettings:
    """How tools are run, as given on a command line.

    Args:
        debug: Show each call and its result.
        approve: Ask before each call.
        chain_limit: The most responses that one prompt may take; no limit for 0.
        allow: Rules for calls that need no question.
        deny: Rules for calls that are refused.
        ask: Which calls to ask about that no rule covers: always, foreign or never.
        output_limit: The most characters of a result that the model is sent; no limit for 0.
        timeout_s: The longest time that a call may take, in seconds; no limit where missing.
    """

    debug: bool = False
    approve: bool = False
    chain_limit: int = 5
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ask: str | None = None
    output_limit: int = 100_000
    timeout_s: float | None = None


@dataclass(frozen=True)
class PromptRequest:
    """What one `llm prompt` or `llm chat` was asked for, as given on its command line.

    Args:
        prompt: The typed prompt.
        system: The system prompt.
        attachments: Attachments in the order they are sent.
        options: Model options as pairs of name and text; the last value of a name wins.
        model_id: A model's id or alias.
        queries: Words that choose a model where `model_id` is not given.
        continue_latest: Go on with the conversation used last.
        conversation_id: Go on with this conversation: its id or title, or the beginning of either.
        name: The title of the conversation.
        is_async: Run the asynchronous twin of the model.
        key: A key, or the name of a stored key.
        no_stream: Ask the model for its whole answer at once.
        hide_reasoning: Do not show reasoning, and tell the model so.
        database: The log database, where it is not the one of the user directory.
        log: Log even where logging is switched off.
        no_log: Leave no trace on disk.
        extract: Print only the first fenced code block.
        extract_last: Print only the last fenced code block.
        usage: Print the number of tokens.
        json_output: Print log records instead of the answer.
        retries: How often a failed request is sent again; the model's default where missing.
        timeout_s: The longest silence of the server, in seconds; the same.
        fallback: Models to try where one fails before its first token; the same.
        truncate: Which turns to leave out of a conversation that is too long; the same.
        raw: Pass control sequences on to a terminal.
        tools: Names and specifications of tools.
        functions: Python code, or paths of files with it, whose functions are tools.
        foreign_tools: Names and specifications of tools that somebody else chose.
        foreign_functions: Python code that somebody else wrote.
        tool_settings: How tools are run.
        then: Further prompts, each on the answer before, for which `$input` stands.
        typed_attachments: Attachments whose type was given; they are sent after the others.
        fragments: Names of fragments in front of the prompt.
        system_fragments: Names of fragments in front of the system prompt.
        schema_input: What names the schema of the answer.
        schema_multi: What names the schema of the items of the answer.
        templates: Names of templates, applied from left to right.
        params: Values of variables of the templates, as pairs.
        trust: Let templates from elsewhere use what they name.
        repair: How often to ask again for an answer that does not fit its schema.
        out: The folder for files that the model makes.
        schema: The schema itself, once `material.prepare` has found it.
        loaded_templates: The templates themselves, once `material.prepare` has loaded them.
        template_model: The model that the templates ask for.
        model: The model itself, where it is not a registered one.
    """

    prompt: str | None = None
    system: str | None = None
    attachments: tuple[Attachment, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    model_id: str | None = None
    queries: tuple[str, ...] = ()
    continue_latest: bool = False
    conversation_id: str | None = None
    name: str | None = None
    is_async: bool = False
    key: str | None = None
    no_stream: bool = False
    hide_reasoning: bool = False
    database: str | None = None
    log: bool = False
    no_log: bool = False
    extract: bool = False
    extract_last: bool = False
    usage: bool = False
    json_output: bool = False
    retries: int | None = None
    timeout_s: float | None = None
    fallback: tuple[str, ...] = ()
    truncate: str | None = None
    raw: bool = False
    tools: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    foreign_tools: tuple[str, ...] = ()
    foreign_functions: tuple[str, ...] = ()
    tool_settings: ToolSettings = ToolSettings()
    then: tuple[str, ...] = ()
    typed_attachments: tuple[Attachment, ...] = ()
    fragments: tuple[str, ...] = ()
    system_fragments: tuple[str, ...] = ()
    schema_input: str | None = None
    schema_multi: str | None = None
    templates: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    trust: bool = False
    repair: int = 0
    out: str | None = None
    schema: dict[str, Any] | None = None
    loaded_templates: tuple[Template, ...] = ()
    template_model: str | None = None
    model: AnyModel | None = None

    @property
    def continues(self) -> bool:
        """Whether an earlier conversation is to go on."""
        return self.continue_latest or bool(self.conversation_id)

    @property
    def names_tools(self) -> bool:
        """Whether there are tools, wherever they come from."""
        own = self.tools or self.functions
        return bool(own or self.foreign_tools or self.foreign_functions)

    @property
    def database_path(self) -> Path:
        """The database that history is read from and turns are logged to."""
        return Path(self.database) if self.database else config.logs_db_path()

    @property
    def is_logged(self) -> bool:
        """Whether the turn will be written to the log database."""
        return not self.no_log and (self.log or config.logs_on())

    @property
    def shows_whole(self) -> bool:
        """Whether the answer is shown, if at all, only when it is complete."""
        late = self.extract or self.extract_last or self.json_output or self.repair > 0
        return self.no_stream or late


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
    options: dict[str, Any]
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
        return self.conversation._pending_calls()

    @property
    def goes_on(self) -> bool:
        """Whether there is something to do without a prompt: calls to run, or results to send."""
        return bool(self.pending_calls) or self.conversation._owes_answer()

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
        given: dict[str, Any] = {"key": self.request.key} if self.request.key else {}
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
    import llm

    found = [
        model.model_id
        for entry in llm.get_models_with_aliases()
        if all(entry.matches(query) for query in queries)
        and (model := entry.model or entry.async_model) is not None
    ]
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
    from ..logs.rehydrate import load_conversation

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


def resolve_options(model: AnyModel, given: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The options for a model: those given, then its stored defaults, validated and converted.

    Returns:
        The values that are not `None`, by name; empty where no option is given or stored.

    Raises:
        LLMError: An option is unknown to the model or its value is not allowed.
    """
    values: dict[str, Any] = {**config.get_model_options(model.model_id), **dict(given)}
    if not values:
        return {}
    from pydantic import ValidationError

    try:
        options = model.Options(**values)
    except ValidationError as error:
        raise LLMError(_describe_invalid(error, model, dict(given))) from error
    return {name: value for name, value in options if value is not None}


def _describe_invalid(error: ValidationError, model: AnyModel, given: dict[str, Any]) -> str:
    """Two lines for each option that was refused: its name, and why."""
    from ..registry import nearest_names

    lines = []
    for problem in error.errors():
        location = [str(step) for step in problem["loc"]]
        reason = problem["msg"]
        if problem["type"] == "extra_forbidden":
            near = nearest_names(location[0], list(model.Options.model_fields))
            reason += f" - did you mean {' or '.join(near)}?" if near else ""
        if location and location[0] not in given:
            reason += f" (a stored default: see 'llm models options show {model.model_id}')"
        lines.append(f"{'.'.join(location)}\n  {reason}")
    return "\n".join(lines)
