"""What was asked for: the request of a prompt or chat, as its command line gave it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import config
from ..text import JSONObject

if TYPE_CHECKING:
    from ..content import Attachment
    from ..models.async_response import AsyncResponse
    from ..models.base import _AsyncModel, _Model
    from ..models.chain import AsyncChainResponse, ChainResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.response import Response
    from ..templates import Template

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
    schema: JSONObject | None = None
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
