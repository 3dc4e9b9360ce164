"""The tools of a conversation, and who chose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import LLMError
from ..tools.gather import gather_tools, name_in, tools_from_code
from .output import show_note

if TYPE_CHECKING:
    from ..models.prompt import ToolDef
    from .request import AnyConversation, PromptRequest


@dataclass(frozen=True)
class Toolset:
    """Tools that every prompt of a conversation offers.

    Args:
        functions: Functions that the person gave as code.
        foreign: Tools that somebody else chose.
        named: Tools that the person named, now or earlier in the conversation.
    """

    functions: Sequence[ToolDef] = ()
    foreign: Sequence[ToolDef] = ()
    named: Sequence[ToolDef] = ()

    @property
    def tools(self) -> list[ToolDef]:
        """All of them; of two with one name the later counts."""
        return [*self.functions, *self.foreign, *self.named]

    def is_foreign(self, name: str) -> bool:
        """Whether the tool that counts for a name was chosen by somebody else."""
        if not self.foreign:
            return False
        from ..models.prompt import wrap_tools

        def names(tools: Sequence[ToolDef]) -> set[str]:
            return {tool.name for tool in wrap_tools(tools)}

        return name in names(self.foreign) and name not in names(self.named)


def gather(request: PromptRequest, conversation: AnyConversation) -> Toolset | None:
    """The tools that were asked for; without any, those that the conversation had before.

    Returns:
        The tools, `None` where there are none.

    Raises:
        LLMError: There is no such tool, a specification or the code of a function cannot be used.
    """
    functions = [tool for code in request.functions for tool in tools_from_code(code)]
    named: list[ToolDef] = []
    foreign = gather_tools(request.foreign_tools, conversation.model)
    if request.tools or foreign:
        named += gather_tools(request.tools, conversation.model)
        conversation._foreign_tools = frozenset(map(name_in, request.foreign_tools)) - frozenset(
            map(name_in, request.tools)
        )
    else:
        for spec, tool in _restored(conversation):
            is_foreign = name_in(spec) in conversation._foreign_tools
            (foreign if is_foreign else named).append(tool)
    return Toolset(functions, foreign, named) if functions or foreign or named else None


def _restored(conversation: AnyConversation) -> list[tuple[str, ToolDef]]:
    """Specification and tool of those that the conversation began with and that are still there."""
    restored: list[tuple[str, ToolDef]] = []
    for spec in conversation.loaded_tools or ():
        try:
            tools = gather_tools([spec], conversation.model)
        except LLMError as error:
            show_note(f"This conversation goes on without the tool {spec}. {error}")
            continue
        restored += [(spec, tool) for tool in tools if _fits(tool, spec, conversation)]
    return restored


def _fits(tool: ToolDef, spec: str, conversation: AnyConversation) -> bool:
    from ..tools.tool import ServerSideTool

    model = conversation.model
    if model.supports_tools or isinstance(tool, ServerSideTool):
        return True
    show_note(f"This conversation goes on without the tool {spec}: {model} does not support tools")
    return False
