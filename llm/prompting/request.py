"""What was asked for, as a command line gave it, and who is to answer: the model, conversation,
options and tools that the request names, found and checked.

Order matters: everything that can be refused is refused before standard input is read and long
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._lazy import for_hints
from ..errors import LLMError, NotFound, UnknownModelError
from ..files import config
from ..files.model_options import OPTIONS, CallDefaults, call_defaults
from ..net.policy import RETRIES, TIMEOUT_S, CallPolicy
from ..terminal import show_note
from ..text import JSONObject
from .journal import leftovers
from .material import Material, Texts, ToolChoice, gather_material

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ..content import Attachment
    from ..models.async_response import AsyncResponse
    from ..models.base import _AsyncModel, _Model
    from ..models.chain import AsyncChainResponse, ChainResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.response import Response
    from .toolset import Toolset

    AnyModel: TypeAlias = _Model | _AsyncModel
    AnyConversation: TypeAlias = Conversation | AsyncConversation
    AnyResponse: TypeAlias = Response | AsyncResponse
    AnyChain: TypeAlias = ChainResponse | AsyncChainResponse
else:
    for_hints(
        globals(),
        {
            "llm.content": "Attachment",
            "llm.models.async_response": "AsyncResponse",
            "llm.models.base": "_AsyncModel _Model",
            "llm.models.chain": "AsyncChainResponse ChainResponse",
            "llm.models.conversation": "AsyncConversation Conversation",
            "llm.models.response": "Response",
            "llm.prompting.toolset": "Toolset",
            "pydantic": "ValidationError",
        },
        AnyModel="llm.models.base._Model | llm.models.base._AsyncModel",
        AnyConversation="llm.Conversation | llm.AsyncConversation",
        AnyResponse="llm.Response | llm.AsyncResponse",
        AnyChain="llm.models.chain.ChainResponse | llm.models.chain.AsyncChainResponse",
    )


@dataclass(frozen=True)
class LogSettings:
    """Where history is read from, and whether the turn is written there.

    Args:
        database: The log database, where it is not the one of the user directory.
        log: Log even where logging is switched off.
        no_log: Leave no trace on disk.
    """

    database: str | None = None
    log: bool = False
    no_log: bool = False

    @cached_property
    def path(self) -> Path:
        """The log database."""
        return Path(self.database) if self.database else config.logs_db_path()

    @cached_property
    def is_on(self) -> bool:
        """Whether the turn will be written to the log database."""
        return not self.no_log and (self.log or config.logs_on())


class ToolSettings(NamedTuple):
    """How tools are run.

    Args:
        chain_limit: The most responses that one prompt may take; no limit for 0.
        allow: Rules for calls that need no question.
        deny: Rules for calls that are refused.
        ask: Which calls to ask about that no rule covers: always, foreign or never.
        output_limit: The most characters of a result that the model is sent; no limit for 0.
        time_limit_s: The longest time that a call may take, in seconds; no limit where missing.
    """

    debug: bool = False
    approve: bool = False
    chain_limit: int = 5
    allow: Texts = ()
    deny: Texts = ()
    ask: str | None = None
    output_limit: int = 100_000
    time_limit_s: float | None = None


class OutputSettings(NamedTuple):
    """What is shown of the answer, and how.

    Args:
        hide_reasoning: Do not show reasoning, and tell the model so.
        json: Print log records instead of the answer.
    """

    no_stream: bool = False
    hide_reasoning: bool = False
    extract: bool = False
    extract_last: bool = False
    usage: bool = False
    json: bool = False
    raw: bool = False
    out: str | None = None


@dataclass(frozen=True)
class Request:
    """What one `llm prompt` or `llm chat` was asked for, as given on its command line.

    Args:
        attachments: Attachments in the order they are sent.
        typed_attachments: Attachments whose type was given; they are sent after the others.
        options: Model options as pairs of name and text; the last value of a name wins.
        queries: Words that choose a model where `model_id` is not given.
        conversation_id: Go on with this conversation: its id or title, or the beginning of either.
        templates: Names of templates, applied from left to right.
        params: Values of variables of the templates, as pairs.
        trust: Let templates and conversations from elsewhere use what they name.
        schema_input: What names the schema of the answer.
        repair: How often to ask again for an answer that does not fit its schema.
        then: Further prompts, each on the answer before, for which `$input` stands.
        functions: Python code, or paths of files with it, whose functions are tools.
        key: A key, or the name of a stored key.
        docs: The set of documents to answer from.
        quotes: Have each sentence quote its sources, and check the quotes.
        strict: Fail where a quote is not found.
    """

    prompt: str | None = None
    system: str | None = None
    attachments: tuple[Attachment, ...] = ()
    typed_attachments: tuple[Attachment, ...] = ()
    fragments: Texts = ()
    system_fragments: Texts = ()
    options: tuple[tuple[str, str], ...] = ()
    model_id: str | None = None
    queries: Texts = ()
    is_async: bool = False
    continue_latest: bool = False
    conversation_id: str | None = None
    name: str | None = None
    templates: Texts = ()
    params: tuple[tuple[str, str], ...] = ()
    trust: bool = False
    schema_input: str | None = None
    schema_multi: str | None = None
    repair: int = 0
    then: Texts = ()
    tools: Texts = ()
    functions: Texts = ()
    tool_settings: ToolSettings = field(default_factory=ToolSettings)
    key: str | None = None
    docs: str | None = None
    quotes: bool = False
    strict: bool = False
    call: CallDefaults = field(default_factory=CallDefaults)
    log: LogSettings = field(default_factory=LogSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    @property
    def continues(self) -> bool:
        """Whether an earlier conversation is to go on."""
        return self.continue_latest or bool(self.conversation_id)


class Resolved(NamedTuple):
    """A request with everything found that it names: its conversation is ready to be prompted.

    Args:
        conversation: A new conversation, or the continued one with its history.
        options: The validated options that are not `None`.
        fallbacks: Models to try, in order, where the one before fails before its first token.
        toolset: The tools that every prompt offers; `None` where there are none.
    """

    request: Request
    material: Material
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
        output, material = self.request.output, self.material
        late = output.json or self.request.repair > 0 or material.extract or material.extract_last
        return bool(self.model.can_stream) and not (output.no_stream or late)

    @property
    def goes_on(self) -> bool:
        """Whether there is something to do without a prompt: calls to run, or results to send."""
        return bool(self.conversation.pending_calls()) or self.conversation.owes_answer()


def resolve(
    request: Request, material: Material | None = None, model: AnyModel | None = None
) -> Resolved:
    """What a request names: its model, conversation, options and tools.

    Args:
        material: What the prompt is made of, where it was gathered before.
        model: The model that answers, where it is not one that the request names.

    Raises:
        LLMError: Options of the command contradict each other, or something that is named does
            not exist or is not allowed.
    """
    material = material or gather_material(request)
    conversation = resolve_conversation(request, material, model)
    if conversation.foreign_messages:
        from .trust import check_conversation

        check_conversation(conversation, trust=request.trust)
    options = resolve_options(conversation.model, material.options)
    names = set_policy(conversation, request.call)
    fallbacks = tuple(_stand_ins(names, request.is_async))
    toolset = None
    if material.tools != ToolChoice() or conversation.loaded_tools:
        from .toolset import gather

        toolset = gather(material.tools, conversation, trust=request.trust)
    return Resolved(request, material, conversation, options, fallbacks, toolset)


def _stand_ins(names: Iterable[str], is_async: bool) -> Iterator[AnyModel]:
    """The models to try in turn, but for one that could be there and only is not installed."""
    from ..registry import INSTALLABLE

    for name in names:
        try:
            yield _get_model(name, is_async)
        except UnknownModelError as error:
            if name not in INSTALLABLE:
                raise
            show_note(f"{error}. Going on without it")


def set_policy(conversation: AnyConversation, call: CallDefaults) -> Texts:
    """Let a conversation be called as the request, and the defaults of its model, say.

    Gives the names of the models to try where this one fails before its first token.
    """
    stored = call_defaults(conversation.model.model_id)
    retries = call.retries if call.retries is not None else stored.retries
    timeout_s = call.timeout_s if call.timeout_s is not None else stored.timeout_s
    conversation.policy = CallPolicy(
        retries=RETRIES if retries is None else retries,
        timeout_s=TIMEOUT_S if timeout_s is None else timeout_s,
        tell=show_note,
    )
    conversation.truncate = call.truncate or stored.truncate
    return call.fallback or stored.fallback


@contextmanager
def standing_in(resolved: Resolved) -> Iterator[Resolved]:
    """What was resolved, with the next model, which the conversation has while the block runs."""
    model, *others = resolved.fallbacks
    conversation = resolved.conversation
    former = conversation.model
    policy, cut = conversation.policy, (conversation.truncate, conversation.token_budget)
    options = _options_for(model, resolved)
    conversation.model, conversation.token_budget = model, None
    set_policy(conversation, resolved.request.call)
    try:
        yield resolved._replace(options=options, fallbacks=tuple(others))
    finally:
        conversation.model, conversation.policy = former, policy
        conversation.truncate, conversation.token_budget = cut


def _options_for(model: AnyModel, resolved: Resolved) -> JSONObject:
    """The options that were given and another model takes; of each of the others a line tells."""
    given = resolved.material.options
    stored = OPTIONS.get(resolved.model.model_id)
    asked = {k: v for k, v in resolved.options.items() if k in given or k not in stored}
    own = OPTIONS.get(model.model_id)
    taken: JSONObject = {}
    for name, value in {**own, **asked}.items():
        try:
            found = getattr(model.Options(**{name: value}), name)
        except (ValueError, AttributeError):
            show_note(f"{model.model_id} does not take the option {name}: dropped")
            continue
        if found is not None:
            taken[name] = found
    return taken


def resolve_conversation(
    request: Request, material: Material, model: AnyModel | None = None
) -> AnyConversation:
    """The conversation to go on with, under the model to use; a new one if there is none."""
    log = request.log
    if log.log and log.no_log:
        raise LLMError("--log and --no-log are mutually exclusive")
    if log.is_on and leftovers():
        from .recovery import take_up

        take_up(log.path, tell=request.continues)
    model = model or _named_model(request, material)
    conversation = _load_conversation(request, model) if request.continues else None
    if conversation is None:
        from ..registry import resolve_default_model

        model = model or _get_model(resolve_default_model(), request.is_async)
        conversation = model.conversation()
    if request.name:
        conversation.name = request.name
    return conversation


def _named_model(request: Request, material: Material) -> AnyModel | None:
    name = named_model_id(request)
    name = material.model_id if name is None else name
    return None if name is None else _get_model(name, request.is_async)


def named_model_id(request: Request) -> str | None:
    """The id or alias of the model that the command line names, if it does."""
    if request.model_id is not None or not request.queries:
        return request.model_id
    from ..registry import entries_matching

    found = [entry.model_id for entry in entries_matching(request.queries)]
    if not found:
        raise NotFound(
            f"No model found matching queries {', '.join(request.queries)}. "
            "'llm models' lists the models there are"
        )
    # The first of them on a tie.
    return min(found, key=len)


def _get_model(model_id: str, is_async: bool) -> AnyModel:
    import llm

    return llm.get_async_model(model_id) if is_async else llm.get_model(model_id)


def _load_conversation(request: Request, model: AnyModel | None) -> AnyConversation | None:
    """The stored conversation, or `None` where the latest is wanted and there is none."""
    from ..logs.read.rehydrate import load_conversation

    wanted = request.conversation_id or None
    path = request.log.path
    found = None
    if path.exists():
        try:
            found = load_conversation(
                path,
                wanted,
                async_=request.is_async,
                model=model,
                may_change=request.log.is_on,
                tell=show_note,
            )
        except UnknownModelError as error:
            raise UnknownModelError(
                f"{error}. Go on with another model by adding -m MODEL"
            ) from error
    if found is None and wanted:
        raise NotFound(f"No conversation found with id={wanted}")
    return found


def resolve_options(model: AnyModel, given: JSONObject) -> JSONObject:
    """The options for a model that are not `None`, by name, validated and converted: those given,
    then its stored defaults. One that it does not take is an `LLMError`."""
    values: JSONObject = {**OPTIONS.get(model.model_id), **given}
    if not values:
        return {}
    from pydantic import ValidationError

    try:
        options = model.Options(**values)
    except ValidationError as error:
        raise LLMError(_describe_invalid(error, model, given)) from error
    return {name: value for name, value in options if value is not None}


def _describe_invalid(error: ValidationError, model: AnyModel, given: JSONObject) -> str:
    """Two lines for each option that was refused: its name, and why."""
    from ..text import suggestion

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
