"""The tools of a conversation, and who chose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LLMError
from ..material.tools import gather_tools, name_in, spec_of, tools_from_code
from ..terminal import show_note
from ..terminal.asking import confirm, quoted

if TYPE_CHECKING:
    from ..models.prompt import ToolDef
    from ..tools.tool import Tool
    from .material import ToolChoice
    from .request import AnyConversation


class Toolset(NamedTuple):
    """Tools that every prompt of a conversation offers.

    Args:
        functions: Functions that the person gave as code.
        untrusted: Tools that somebody else chose, none of which has the name of another one here.
        named: Tools that the person named, now or earlier in the conversation.
        agreed: Those among the untrusted ones whose use the person has agreed to.
    """

    functions: Sequence[ToolDef] = ()
    untrusted: Sequence[ToolDef] = ()
    named: Sequence[ToolDef] = ()
    agreed: Sequence[ToolDef] = ()

    @property
    def tools(self) -> list[ToolDef]:
        """All of them."""
        return [*self.functions, *self.untrusted, *self.named]

    def is_untrusted(self, name: str) -> bool:
        """Whether the tool that counts for a name was chosen by somebody else."""
        return name in _called(self.untrusted) and name not in _called(self.named)

    def is_agreed(self, name: str) -> bool:
        """Whether the person has agreed to every untrusted tool of that name."""
        others = [tool for tool in self.untrusted if tool not in self.agreed]
        return name in _called(self.agreed) and name not in _called(others)

    def box_name(self, tool: Tool) -> str | None:
        """The class of the toolbox that a tool is a method of, or was added to."""
        from ..tools.running import box_behind
        from ..tools.toolbox import Toolbox

        box = box_behind(tool)
        for other in self.tools if box is None else ():
            if isinstance(other, Toolbox) and any(tool is added for added in other._extra_tools):
                box = other
        return None if box is None else type(box).__name__


def _called(tools: Sequence[ToolDef]) -> set[str]:
    """The names that models call tools by."""
    if not tools:
        return set()
    from ..models.prompt import wrap_tools

    return {tool.name for tool in wrap_tools(tools)}


def gather(
    choice: ToolChoice, conversation: AnyConversation, *, trust: bool = False
) -> Toolset | None:
    """The tools that were chosen, else those that the conversation had before; `None` for none.

    A toolbox that a conversation from elsewhere has configured is made only with the consent of
    the person, which `trust` gives for all of them. An `LLMError` says that there is no such tool,
    or that its specification or code is no good.
    """
    functions = _from_code(choice.functions)
    untrusted = _from_code(choice.untrusted_functions)
    if choice.names or choice.untrusted_names:
        named = _chosen(choice, conversation, untrusted)
        _mark_untrusted(conversation, untrusted, named)
        agreed = [*untrusted]
    else:
        agreed = [*untrusted]
        named = _restored(conversation, untrusted, trust=trust)
    taken = _names([*functions, *named])
    untrusted = [tool for tool in untrusted if name_in(spec_of(tool)) not in taken]
    toolset = Toolset(functions, untrusted, named, agreed if choice.has_consent else ())
    return toolset if toolset.tools else None


def _from_code(codes: Sequence[str]) -> list[ToolDef]:
    return [tool for code in codes for tool in tools_from_code(code)]


def _chosen(
    choice: ToolChoice, conversation: AnyConversation, untrusted: list[ToolDef]
) -> list[ToolDef]:
    """The tools that the person named, now or earlier; those of others are added to `untrusted`."""
    specs = conversation.loaded_tools or ()
    own = {spec for spec in specs if name_in(spec) not in conversation.untrusted_tools}
    named = gather_tools(choice.names, conversation.model)
    earlier: list[ToolDef] = []
    for tool in gather_tools(choice.untrusted_names, conversation.model):
        (earlier if spec_of(tool) in own else untrusted).append(tool)
    return [*earlier, *named]


def _mark_untrusted(
    conversation: AnyConversation, untrusted: Sequence[ToolDef], named: Sequence[ToolDef]
) -> None:
    """Keep which tools of a conversation somebody else chose, by their names.

    A function is the person's own once they have named it. A toolbox with other arguments is
    another one, so naming the class does not clear the one that was there.
    """
    own = {name for name in _names(named) if name not in conversation.untrusted_tools}
    own |= {spec_of(tool) for tool in named}
    conversation.untrusted_tools = (conversation.untrusted_tools | _names(untrusted)) - own


def _names(tools: Sequence[ToolDef]) -> set[str]:
    return {name_in(spec_of(tool)) for tool in tools}


def _restored(
    conversation: AnyConversation, untrusted: list[ToolDef], *, trust: bool
) -> list[ToolDef]:
    """The tools that the conversation began with, those still there; see `_chosen`."""
    named: list[ToolDef] = []
    for spec in conversation.loaded_tools or ():
        if not (trust or may_make(spec, conversation)):
            show_note(
                f"This conversation goes on without the tool {quoted(spec)}: it comes from "
                "elsewhere. Name it with -T, or add --trust if you trust its author"
            )
            continue
        try:
            tools = gather_tools([spec], conversation.model)
        except LLMError as error:
            show_note(f"This conversation goes on without the tool {spec}. {error}")
            continue
        kept = untrusted if name_in(spec) in conversation.untrusted_tools else named
        kept += [tool for tool in tools if _fits(tool, spec, conversation)]
    return named


def may_make(spec: str, conversation: AnyConversation) -> bool:
    """Whether a tool may be made again: a toolbox does what its arguments say as soon as it is."""
    if not conversation.has_foreign_tools or name_in(spec) == spec:
        return True
    title = quoted(conversation.name or conversation.id)
    about = f"Conversation {title} comes from elsewhere and wants to use:\n  tool: {quoted(spec)}"
    return bool(confirm("Use it?", about))


def _fits(tool: ToolDef, spec: str, conversation: AnyConversation) -> bool:
    from ..tools.tool import ServerSideTool

    model = conversation.model
    if model.supports_tools or isinstance(tool, ServerSideTool):
        return True
    show_note(f"This conversation goes on without the tool {spec}: {model} does not support tools")
    return False
