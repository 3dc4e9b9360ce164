"""The dictionary shapes of messages and responses, for type checkers and for pydantic."""

from typing import Any, Literal, Union

# pydantic refuses typing.TypedDict before Python 3.12; whoever imports this module wants pydantic.
from typing_extensions import NotRequired, TypedDict

from .text import JSONObject

__all__ = [
    "AttachmentDict", "AttachmentPartDict", "ConversationDict", "FragmentDict", "InstanceDict",
    "MessageDict", "MessageNodeDict", "PartDict", "PromptDict", "ReasoningPartDict", "ResponseDict",
    "TextPartDict", "ToolCallPartDict", "ToolDict", "ToolResultPartDict", "TurnDict", "UsageDict",
]  # fmt: skip


class AttachmentDict(TypedDict, total=False):
    """An attachment: exactly one of `url`, `path` and `content` (base64) is usual."""

    type: str
    url: str
    path: str
    content: str
    id: str


class _WithMetadata(TypedDict):
    """Opaque values that a provider wants back, by provider name."""

    provider_metadata: NotRequired[JSONObject]


class _OfCall(_WithMetadata):
    """What belongs to one call of a tool."""

    tool_call_id: NotRequired[str]
    server_executed: NotRequired[bool]


class TextPartDict(_WithMetadata):
    """Text that was said."""

    type: Literal["text"]
    text: str


class ReasoningPartDict(_WithMetadata):
    """Reasoning that a model made visible, or the trace of reasoning that it did not."""

    type: Literal["reasoning"]
    text: str
    redacted: NotRequired[bool]


class ToolCallPartDict(_OfCall):
    """A request of the model to call a tool."""

    type: Literal["tool_call"]
    name: str
    arguments: JSONObject


class ToolResultPartDict(_OfCall):
    """What a tool gave back."""

    type: Literal["tool_result"]
    name: str
    output: str
    exception: NotRequired[str]
    attachments: NotRequired[list[AttachmentDict]]


class AttachmentPartDict(_WithMetadata):
    """A file or media item inside a message."""

    type: Literal["attachment"]
    attachment: NotRequired[AttachmentDict]


PartDict = Union[
    TextPartDict, ReasoningPartDict, ToolCallPartDict, ToolResultPartDict, AttachmentPartDict
]


class MessageDict(_WithMetadata):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: list[PartDict]


class UsageDict(TypedDict, total=False):
    """Tokens that were counted."""

    input: int
    output: int
    details: JSONObject


class PromptDict(TypedDict):
    """What was sent: the complete chain of messages, options that were set, the system argument."""

    messages: list[MessageDict]
    options: NotRequired[JSONObject]
    system: NotRequired[str]


class ResponseDict(TypedDict):
    """A finished response, as `Response.to_dict()` gives it."""

    model: str
    prompt: PromptDict
    messages: list[MessageDict]
    id: str
    usage: NotRequired[UsageDict]
    datetime_utc: NotRequired[str]


class InstanceDict(TypedDict):
    """A configured toolbox or provider tool: the name of its class and its arguments."""

    name: str
    arguments: JSONObject
    plugin: NotRequired[str]


class ToolDict(TypedDict):
    """What a model is told of a tool, and where the tool comes from."""

    name: str
    description: str | None
    input_schema: JSONObject
    plugin: NotRequired[str]
    instance: NotRequired[InstanceDict]
    server_side: NotRequired[bool]
    hash: NotRequired[str]


class FragmentDict(TypedDict):
    """A fragment: its text and where it came from."""

    content: str
    source: NotRequired[str]


class MessageNodeDict(MessageDict, total=False):
    """A message; `parent` is the number of its predecessor where that is not the one before."""

    parent: int | None
    hash: str
    fragments: list[int]


class AnswerDict(TypedDict, total=False):
    """What is known of an answer beside its messages."""

    usage: UsageDict
    resolved_model: str
    datetime_utc: str
    duration_ms: int
    prompt_json: Any
    response_json: Any
    condensed_json: str
    outcome: list[str]


class TurnDict(AnswerDict):
    """One turn; `input` and `output` are numbers of the last message given, and answered."""

    id: str
    model: str
    input: int | None
    output: int | None
    options: NotRequired[JSONObject]
    system: NotRequired[str]
    schema: NotRequired[JSONObject]
    tools: NotRequired[list[int]]
    fragments: NotRequired[list[int]]
    system_fragments: NotRequired[list[int]]
    tool_instances: NotRequired[dict[str, InstanceDict]]
    hide_reasoning: NotRequired[bool]


class ConversationDict(TypedDict):
    """A conversation, as `Conversation.to_dict()` gives it; `tip` numbers its last message.

    A chain has the same shape, with the ids of its own turns in `responses`.
    """

    format: Literal["llm-conversation", "llm-chain"]
    version: int
    id: str
    name: str | None
    model: str | None
    messages: list[MessageNodeDict]
    turns: list[TurnDict]
    tip: int | None
    tools: NotRequired[list[ToolDict]]
    fragments: NotRequired[list[FragmentDict]]
    offered_tools: NotRequired[list[int]]
    chain_limit: NotRequired[int]
    loaded_tools: NotRequired[list[str]]
    responses: NotRequired[list[str]]
    forked_from: NotRequired[str]
    datetime_utc: NotRequired[str]
