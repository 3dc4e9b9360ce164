"""The tools of a conversation, and who chose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import LLMError
from ..tools.gather import gather_tools, tools_from_code
from .output import show_note

if TYPE_CHECKING:
    from ..models.prompt import ToolDef
    from .request import AnyConversation, PromptRequest


@dataclass(frozen=True)
class Toolset:
    """Tools that every prompt of a conversation offers.

    Args:
        own: Those that the person chose, now or earlier in the conversation.
        foreign: Those that somebody else chose.
    """

    own: Sequence[ToolDef] = ()
    foreign: Sequence[ToolDef] = ()

    @property
    def tools(self) -> list[ToolDef]:
        """All of them; of two with one name the person's own counts, as it comes later."""
        return [*self.foreign, *self.own]

    def is_foreign(self, name: str) -> bool:
        """Whether the tool of that name was chosen by somebody else alone."""
        if not self.foreign:
            return False
        from ..models.prompt import wrap_tools

        def names(tools: Sequence[ToolDef]) -> set[str]:
            return {tool.name for tool in wrap_tools(tools)}

        return name in names(self.foreign) and name not in names(self.own)


def gather(request: PromptRequest, conversation: AnyConversation) -> Toolset | None:
    """The tools that were asked for; without any, those that the conversation had before.

    Returns:
        The tools, `None` where there are none.

    Raises:
        LLMError: There is no such tool, a specification or the code of a function cannot be used.
    """
    own: list[ToolDef] = [tool for code in request.functions for tool in tools_from_code(code)]
    foreign = gather_tools(request.foreign_tools, conversation.model)
    if request.tools or foreign:
        own += gather_tools(request.tools, conversation.model)
    else:
        own += _restored(conversation)
    return Toolset(own, foreign) if own or foreign else None


def _restored(conversation: AnyConversation) -> list[ToolDef]:
    """The tools that the conversation began with, as far as they are still there."""
    restored: list[ToolDef] = []
    for spec in conversation.loaded_tools or ():
        try:
            tools = gather_tools([spec], conversation.model)
        except LLMError as error:
            show_note(f"This conversation goes on without the tool {spec}. {error}")
            continue
        restored += [tool for tool in tools if _fits(tool, spec, conversation)]
    return restored


def _fits(tool: ToolDef, spec: str, conversation: AnyConversation) -> bool:
    from ..tools.tool import ServerSideTool

    model = conversation.model
    if model.supports_tools or isinstance(tool, ServerSideTool):
        return True
    show_note(f"This conversation goes on without the tool {spec}: {model} does not support tools")
    return False
