"""Messages, the parts they are made of, the events that a model streams, and what they cost.

A `Message` has a role and a list of parts. A part is text, reasoning, a tool call, a tool result
or an attachment. All are plain values: equal when their fields are, and the same after a round
trip through `to_dict()` and `from_dict()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, cast

from ._lazy import for_hints
from .content import Attachment
from .text import JSONObject, suggestion

if TYPE_CHECKING:
    from .serialization import MessageDict, PartDict
else:
    for_hints(
        globals(),
        {
            "llm.serialization": "MessageDict PartDict",
        },
    )

__all__ = [
    "AttachmentPart", "EventType", "Message", "Part", "ReasoningPart", "Role", "StreamEvent",
    "TextPart", "ToolCallPart", "ToolResultPart", "Usage", "assistant", "normalize_parts", "system",
    "tool_message", "user",
]  # fmt: skip

Metadata = JSONObject
#: Who may say something in a conversation.
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES = ("system", "user", "assistant", "tool")
#: What a `StreamEvent` may bring.
EventType: TypeAlias = Literal[
    "text", "reasoning", "tool_call_name", "tool_call_args", "tool_result", "attachment"
]
# What the dictionary of a part that has it never lacks, even where it is empty.
_ALWAYS = frozenset({"text", "name", "arguments", "output"})


class Part:
    """Base of everything that a message can contain."""

    type: ClassVar[str] = ""
    provider_metadata: Metadata | None
    # What its dictionary has, in this order.
    _keys: ClassVar[tuple[str, ...]]

    def to_dict(self) -> PartDict:
        """The part as plain JSON values; optional keys only where they are set."""
        if not self.type:
            raise TypeError(f"{type(self).__name__} has no dictionary form")
        shape: JSONObject = {"type": self.type}
        for name in (*self._keys, "provider_metadata"):
            value = getattr(self, name)
            if isinstance(value, Attachment):
                shape[name] = value.to_dict()
            elif name == "attachments" and value:
                shape[name] = [attachment.to_dict() for attachment in value]
            elif value or value == "" or name in _ALWAYS:
                shape[name] = value
        return cast("PartDict", shape)

    @classmethod
    def from_dict(cls, shape: PartDict) -> Part:
        """The part that `to_dict()` described.

        Raises:
            ValueError: `type` is none of the five known ones.
        """
        values: JSONObject = dict(shape)
        kind = values.pop("type", None)
        if kind not in _PART_CLASSES:
            raise ValueError(f"Unknown part type: {kind!r}")
        part_class = _PART_CLASSES[kind]
        if values.get("attachment") is not None:
            values["attachment"] = Attachment.from_dict(values["attachment"])
        if "attachments" in values:
            values["attachments"] = [Attachment.from_dict(a) for a in values["attachments"]]
        known = part_class.__dataclass_fields__  # type: ignore[attr-defined]
        return part_class(**{name: value for name, value in values.items() if name in known})


@dataclass
class TextPart(Part):
    """Text that was said."""

    type = "text"
    _keys = ("text",)
    text: str = ""
    provider_metadata: Metadata | None = None


@dataclass
class ReasoningPart(Part):
    """Reasoning of a model; `redacted` where it happened but is not shown."""

    type = "reasoning"
    _keys = ("text", "redacted")
    text: str = ""
    redacted: bool = False
    provider_metadata: Metadata | None = None


@dataclass
class ToolCallPart(Part):
    """A request to call a tool; `server_executed` where the provider runs it itself."""

    type = "tool_call"
    _keys = ("name", "arguments", "tool_call_id", "server_executed")
    name: str
    arguments: JSONObject = field(default_factory=dict)
    tool_call_id: str | None = None
    server_executed: bool = False
    provider_metadata: Metadata | None = None


@dataclass
class ToolResultPart(Part):
    """What a tool gave back; `exception` is `ClassName: message` where it failed."""

    type = "tool_result"
    _keys = ("name", "output", "tool_call_id", "server_executed", "exception", "attachments")
    name: str
    output: str
    tool_call_id: str | None = None
    server_executed: bool = False
    attachments: list[Attachment] = field(default_factory=list)
    exception: str | None = None
    provider_metadata: Metadata | None = None


@dataclass
class AttachmentPart(Part):
    """A file or media item."""

    type = "attachment"
    _keys = ("attachment",)
    attachment: Attachment | None = None
    provider_metadata: Metadata | None = None


_PART_CLASSES: dict[str | None, type[Part]] = {
    part_class.type: part_class
    for part_class in (TextPart, ReasoningPart, ToolCallPart, ToolResultPart, AttachmentPart)
}


@dataclass
class Message:
    """One message of a conversation.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        parts: What it contains, in order.
        provider_metadata: Opaque values that a provider wants back, by provider name.

    Raises:
        ValueError: The role is none of these.
    """

    role: Role
    parts: list[Part] = field(default_factory=list)
    provider_metadata: Metadata | None = None

    def __post_init__(self) -> None:
        """Refuse who has no say in a conversation."""
        if self.role not in ROLES:
            near = suggestion(str(self.role), ROLES)
            raise ValueError(f"{self.role!r} is no role: use one of {', '.join(ROLES)}{near}")

    def to_dict(self) -> MessageDict:
        """The message as plain JSON values."""
        shape: JSONObject = {"role": self.role, "parts": [part.to_dict() for part in self.parts]}
        if self.provider_metadata:
            shape["provider_metadata"] = self.provider_metadata
        return cast("MessageDict", shape)

    @classmethod
    def from_dict(cls, shape: MessageDict) -> Message:
        """The message that `to_dict()` described."""
        parts = [Part.from_dict(part) for part in shape.get("parts", ())]
        return cls(shape["role"], parts, shape.get("provider_metadata"))

    def text(self) -> str:
        """The text parts joined."""
        return "".join([part.text for part in self.parts if isinstance(part, TextPart)])


def normalize_parts(items: Iterable[object]) -> list[Part]:
    """Parts from what people pass: text, attachments, parts, and lists or tuples of these.

    Raises:
        TypeError: An item is none of these.
    """
    parts: list[Part] = []
    for item in items:
        if isinstance(item, str):
            parts.append(TextPart(text=item))
        elif isinstance(item, Attachment):
            parts.append(AttachmentPart(attachment=item))
        elif isinstance(item, Part):
            parts.append(item)
        elif isinstance(item, (list, tuple)):
            parts.extend(normalize_parts(item))
        else:
            raise TypeError(f"Cannot convert {item!r} to an llm Part")
    return parts


def system(*items: object, provider_metadata: Metadata | None = None) -> Message:
    """A system message of the given texts and parts."""
    return Message("system", normalize_parts(items), provider_metadata)


def user(*items: object, provider_metadata: Metadata | None = None) -> Message:
    """A user message of the given texts, attachments and parts."""
    return Message("user", normalize_parts(items), provider_metadata)


def assistant(*items: object, provider_metadata: Metadata | None = None) -> Message:
    """An assistant message of the given texts and parts."""
    return Message("assistant", normalize_parts(items), provider_metadata)


def tool_message(*items: object, provider_metadata: Metadata | None = None) -> Message:
    """A tool message of the given result parts."""
    return Message("tool", normalize_parts(items), provider_metadata)


@dataclass(slots=True)
class StreamEvent:
    """One piece of an answer as it arrives.

    Args:
        type: `text`, `reasoning`, `tool_call_name`, `tool_call_args`, `tool_result` or
            `attachment`.
        chunk: The text of this piece.
        part_index: Which part of the answer it belongs to; found by the assembly where `None`.
        tool_call_id: The call it belongs to.
        server_executed: The provider runs, or has run, the tool.
        tool_name: The tool's name, on a `tool_result`.
        redacted: There was reasoning that is not shown.
        provider_metadata: Opaque values to keep with the part, by provider name.
        message_index: Which message of the answer it belongs to, where there are several.
        attachment: A file that the model made, on an `attachment`, which has an empty chunk.
    """

    type: EventType
    chunk: str
    part_index: int | None = None
    tool_call_id: str | None = None
    server_executed: bool = False
    tool_name: str | None = None
    redacted: bool = False
    provider_metadata: Metadata | None = None
    message_index: int = 0
    attachment: Attachment | None = None


# Where services say, in their details, what came from a cache and what was thought.
_CACHED = ("cached_tokens", "cache_read_input_tokens", "cachedContentTokenCount", "cached")
_REASONING = ("reasoning_tokens", "thoughtsTokenCount", "reasoning")


@dataclass
class Usage:
    """Tokens read, tokens written, and the provider's own details; `None` where not known."""

    input: int | None = None
    output: int | None = None
    details: JSONObject | None = None

    @property
    def cached(self) -> int | None:
        """How many of the tokens read came from a cache, as far as the details tell."""
        return _count_in(self.details, _CACHED)

    @property
    def reasoning(self) -> int | None:
        """How many of the tokens written were reasoning, as far as the details tell."""
        return _count_in(self.details, _REASONING)

    def __add__(self, other: Usage) -> Usage:
        """The tokens of both; what is not known counts nothing."""
        return Usage(**cast("JSONObject", _added(vars(self), vars(other))))


def _added(one: object, other: object) -> object:
    """The sum of two numbers, or of the numbers in two objects."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _added(one.get(name), other.get(name)) for name in {**one, **other}}
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one + other
    return other


def _count_in(details: JSONObject | None, names: tuple[str, ...]) -> int | None:
    for name, value in (details or {}).items():
        if name in names and isinstance(value, int):
            return value
        if isinstance(value, dict) and (found := _count_in(value, names)) is not None:
            return found
    return None
