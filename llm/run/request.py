"""What was asked for: the request of a prompt or chat, as its command line gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..files import config

if TYPE_CHECKING:
    from ..content import Attachment
    from ..models.async_response import AsyncResponse
    from ..models.base import _AsyncModel, _Model
    from ..models.chain import AsyncChainResponse, ChainResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.response import Response

    AnyModel: TypeAlias = _Model | _AsyncModel
    AnyConversation: TypeAlias = Conversation | AsyncConversation
    AnyResponse: TypeAlias = Response | AsyncResponse
    AnyChain: TypeAlias = ChainResponse | AsyncChainResponse


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


@dataclass(frozen=True)
class CallSettings:
    """How a model is called; the model's default where something is missing.

    Args:
        key: A key, or the name of a stored key.
        retries: How often a failed request is sent again.
        timeout_s: The longest silence of the server, in seconds.
        fallback: Models to try where one fails before its first token.
        truncate: Which turns to leave out of a conversation that is too long.
    """

    key: str | None = None
    retries: int | None = None
    timeout_s: float | None = None
    fallback: tuple[str, ...] = ()
    truncate: str | None = None


@dataclass(frozen=True)
class ToolSettings:
    """How tools are run.

    Args:
        debug: Show each call and its result.
        approve: Ask before each call.
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
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ask: str | None = None
    output_limit: int = 100_000
    time_limit_s: float | None = None


@dataclass(frozen=True)
class OutputSettings:
    """What is shown of the answer, and how.

    Args:
        no_stream: Ask the model for its whole answer at once.
        hide_reasoning: Do not show reasoning, and tell the model so.
        extract: Print only the first fenced code block.
        extract_last: Print only the last fenced code block.
        usage: Print the number of tokens.
        json: Print log records instead of the answer.
        raw: Pass control sequences on to a terminal.
        out: The folder for files that the model makes.
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
        prompt: The typed prompt.
        system: The system prompt.
        attachments: Attachments in the order they are sent.
        typed_attachments: Attachments whose type was given; they are sent after the others.
        fragments: Names of fragments in front of the prompt.
        system_fragments: Names of fragments in front of the system prompt.
        options: Model options as pairs of name and text; the last value of a name wins.
        model_id: A model's id or alias.
        queries: Words that choose a model where `model_id` is not given.
        is_async: Run the asynchronous twin of the model.
        continue_latest: Go on with the conversation used last.
        conversation_id: Go on with this conversation: its id or title, or the beginning of either.
        name: The title of the conversation.
        templates: Names of templates, applied from left to right.
        params: Values of variables of the templates, as pairs.
        trust: Let templates from elsewhere use what they name.
        schema_input: What names the schema of the answer.
        schema_multi: What names the schema of the items of the answer.
        repair: How often to ask again for an answer that does not fit its schema.
        then: Further prompts, each on the answer before, for which `$input` stands.
        tools: Names and specifications of tools.
        functions: Python code, or paths of files with it, whose functions are tools.
        tool_settings: How tools are run.
        call: How the model is called.
        log: Where the turn is logged, if it is.
        output: What is shown of the answer.
    """

    prompt: str | None = None
    system: str | None = None
    attachments: tuple[Attachment, ...] = ()
    typed_attachments: tuple[Attachment, ...] = ()
    fragments: tuple[str, ...] = ()
    system_fragments: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    model_id: str | None = None
    queries: tuple[str, ...] = ()
    is_async: bool = False
    continue_latest: bool = False
    conversation_id: str | None = None
    name: str | None = None
    templates: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    trust: bool = False
    schema_input: str | None = None
    schema_multi: str | None = None
    repair: int = 0
    then: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    tool_settings: ToolSettings = ToolSettings()
    call: CallSettings = CallSettings()
    log: LogSettings = field(default_factory=LogSettings)
    output: OutputSettings = OutputSettings()

    @property
    def continues(self) -> bool:
        """Whether an earlier conversation is to go on."""
        return self.continue_latest or bool(self.conversation_id)
