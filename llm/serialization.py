"""The dictionary shapes of messages and responses, for type checkers and for pydantic."""

from __future__ import annotations

from typing import Any, Literal, Union

# pydantic refuses typing.TypedDict before Python 3.12; whoever imports this module wants pydantic.
from typing_extensions import NotRequired, TypedDict

__all__ = [
    "AttachmentDict",
    "AttachmentPartDict",
    "MessageDict",
    "PartDict",
    "PromptDict",
    "ReasoningPartDict",
    "ResponseDict",
    "TextPartDict",
    "ToolCallPartDict",
    "ToolResultPartDict",
    "UsageDict",
]


class AttachmentDict(TypedDict):
    """An attachment: exactly one of `url`, `path` and `content` (base64) is usual."""

    type: NotRequired[str]
    url: NotRequired[str]
    path: NotRequired[str]
    content: NotRequired[str]


class TextPartDict(TypedDict):
    """Text that was said."""

    type: Literal["text"]
    text: str
    provider_metadata: NotRequired[dict[str, Any]]


class ReasoningPartDict(TypedDict):
    """Reasoning that a model made visible, or the trace of reasoning that it did not."""

    type: Literal["reasoning"]
    text: str
    redacted: NotRequired[bool]
    provider_metadata: NotRequired[dict[str, Any]]


class ToolCallPartDict(TypedDict):
    """A request of the model to call a tool."""

    type: Literal["tool_call"]
    name: str
    arguments: dict[str, Any]
    tool_call_id: NotRequired[str]
    server_executed: NotRequired[bool]
    provider_metadata: NotRequired[dict[str, Any]]


class ToolResultPartDict(TypedDict):
    """What a tool gave back."""

    type: Literal["tool_result"]
    name: str
    output: str
    tool_call_id: NotRequired[str]
    server_executed: NotRequired[bool]
    exception: NotRequired[str]
    attachments: NotRequired[list[AttachmentDict]]
    provider_metadata: NotRequired[dict[str, Any]]


class AttachmentPartDict(TypedDict):
    """A file or media item inside a message."""

    type: Literal["attachment"]
    attachment: NotRequired[AttachmentDict]
    provider_metadata: NotRequired[dict[str, Any]]


PartDict = Union[
    TextPartDict, ReasoningPartDict, ToolCallPartDict, ToolResultPartDict, AttachmentPartDict
]


class MessageDict(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: list[PartDict]
    provider_metadata: NotRequired[dict[str, Any]]


class UsageDict(TypedDict):
    """Tokens that were counted."""

    input: NotRequired[int]
    output: NotRequired[int]
    details: NotRequired[dict[str, Any]]


class PromptDict(TypedDict):
    """What was sent: the complete chain of messages, options that were set, the system argument."""

    messages: list[MessageDict]
    options: NotRequired[dict[str, Any]]
    system: NotRequired[str]


class ResponseDict(TypedDict):
    """A finished response, as `Response.to_dict()` gives it."""

    model: str
    prompt: PromptDict
    messages: list[MessageDict]
    id: str
    usage: NotRequired[UsageDict]
    datetime_utc: NotRequired[str]
