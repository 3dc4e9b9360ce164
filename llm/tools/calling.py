"""What a tool call is, what it gives back, and what may be raised to steer it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._lazy import for_hints
from ..text import JSONObject
from ..text.secrets import MOST_LEVELS

if TYPE_CHECKING:
    from ..content import Attachment
    from .toolbox import Toolbox
else:
    for_hints(
        globals(),
        {
            "llm.content": "Attachment",
            "llm.tools.toolbox": "Toolbox",
        },
    )


@dataclass
class ToolCall:
    """A request of a model to run a tool.

    Args:
        name: The tool's name.
        arguments: Its arguments by name.
        tool_call_id: The provider's id of this call, echoed with the result.
    """

    name: str
    arguments: JSONObject
    tool_call_id: str | None = None


def parse_arguments(given: object) -> JSONObject:
    """The arguments of a tool call, as a model wrote them or a service sent them.

    Args:
        given: JSON text, or the value itself.

    Returns:
        The object; `{}` for nothing, `null`, `[]` or blank text; `{"_raw": text}` for anything
        else, so that nothing of what the model said is lost.
    """
    try:
        value = _read(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return {"_raw": given}
    if value is None or value == []:
        return {}
    if isinstance(value, dict):
        return value
    return {"_raw": given if isinstance(given, str) else json.dumps(given)}


def _read(text: str) -> object:
    """The value that a JSON text spells; some services encode the text of it once more."""
    value: object = text
    for _ in range(2):
        if isinstance(value, str):
            text = value
            value = json.loads(text) if text.strip() else None
    if text.count("{") + text.count("[") > MOST_LEVELS and not _can_be_handled(value):
        raise ValueError("nested too deeply")
    return value


def _can_be_handled(value: object, level: int = 0) -> bool:
    """Whether a value is not nested so deeply that comparing or sending it fails."""
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return level < MOST_LEVELS and all(_can_be_handled(item, level + 1) for item in items)
    return True


@dataclass
class ToolResult:
    """What one tool call gave.

    Args:
        name: The tool's name.
        output: The text that the model is told.
        attachments: Files that go with it.
        tool_call_id: The id of the call.
        instance: The toolbox whose method ran.
        exception: What the tool raised, if it did.
    """

    name: str
    output: str
    attachments: list[Attachment] = field(default_factory=list)
    tool_call_id: str | None = None
    instance: Toolbox | None = None
    exception: Exception | None = None


@dataclass
class ToolOutput:
    """What a tool may return instead of a plain value: an output with attachments."""

    output: object = None
    attachments: list[Attachment] = field(default_factory=list)


@dataclass
class ToolContext:
    """What a tool is told about its call that has a parameter of this type.

    Args:
        tool_call: The call, with the arguments as the model wrote them.
        conversation: The conversation that it is part of; `None` where there is none.
        cancelled: Nobody waits for the result any more: its time was over, or the chain was
            cancelled. A tool that runs in a thread may look now and then, and stop.
    """

    tool_call: ToolCall
    conversation: Any = None
    cancelled: bool = False

    @property
    def tool_call_id(self) -> str | None:
        """The provider's id of the call."""
        return self.tool_call.tool_call_id


class CancelToolCall(Exception):
    """Raised in `before_call` to refuse one tool call; the model is told the text."""


class PauseChain(Exception):
    """Raised in a tool to stop the chain; it can be resumed from its messages.

    Attributes:
        tool_call: The call whose tool paused, set by the engine.
        tool_results: Results of the sibling calls that had finished, in call order.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.tool_call: ToolCall | None = None
        self.tool_results: list[ToolResult] = []
