"""For plugins with a chat or a runner of their own: what they import from `llm.cli`, as in 0.36."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .._lazy import for_hints
from ..errors import LLMError
from ._errors import error_text

if TYPE_CHECKING:
    from ..content import Attachment, Fragment
    from ..logs.records.shared import AnyDatabase
    from ..models.base import _BaseModel
    from ..models.prompt import ToolDef
    from ..prompting.request import AnyConversation
    from ..tools.calling import ToolCall, ToolResult
    from ..tools.tool import Tool
else:
    for_hints(
        globals(),
        {
            "llm.content": "Attachment Fragment",
            "llm.logs.records.shared": "AnyDatabase",
            "llm.models.base": "_BaseModel",
            "llm.models.prompt": "ToolDef",
            "llm.prompting.request": "AnyConversation",
            "llm.tools.calling": "ToolCall ToolResult",
            "llm.tools.tool": "Tool",
        },
    )


@contextmanager
def _as_in_036() -> Iterator[None]:
    """Let an error of ours be one that plugins know."""
    try:
        yield
    except LLMError as error:
        raise click.ClickException(error_text(error)) from error


def get_model_options(model_id: str) -> dict[str, str]:
    """The default options of a model that the user has set, as they were typed.

    Raises:
        ClickException: The file with them is not valid.
    """
    from ..files.model_options import OPTIONS

    with _as_in_036():
        return OPTIONS.get(model_id)


def gather_tools(
    tool_specs: Sequence[str], python_tools: Sequence[str], model: _BaseModel | None = None
) -> list[ToolDef]:
    """The tools that were chosen.

    Args:
        tool_specs: Names of tools, and toolboxes with their arguments.
        python_tools: Python code with functions, or files of it.
        model: Whose own tools may be named too.

    Raises:
        ClickException: There is no such tool, or the code is no good.
    """
    from ..material.tools import gather_tools, tools_from_code

    with _as_in_036():
        functions = [tool for code in python_tools for tool in tools_from_code(code)]
        return [*functions, *gather_tools(list(tool_specs), model)]


def conversation_tools(
    conversation: AnyConversation | None, tools: Sequence[str]
) -> list[str] | None:
    """The tools of plugins that a conversation has used, to go on with where none are chosen.

    Toolboxes that somebody else has configured are left out if the person does not agree.
    """
    if conversation is None or tools or not conversation.responses:
        return None
    from ..material.tools import spec_of
    from ..prompting.toolset import may_make

    specs = conversation.loaded_tools
    if specs is None:
        given = conversation.responses[-1].prompt.tools
        specs = [spec_of(tool) for tool in given if tool.plugin]
    return [spec for spec in specs if may_make(spec, conversation)]


def approve_tool_call(tool: Tool | None, tool_call: ToolCall) -> None:
    """Ask the person whether a tool may be called, as `--ta` does; for `before_call`.

    Raises:
        CancelToolCall: It may not.
        Abort: Nobody answers.
    """
    from ..prompting.approval import Gate
    from ..prompting.request import ToolSettings
    from ..tools.tool import Tool

    with _as_in_036():
        gate = Gate(ToolSettings(approve=True), None)
    # Who holds a chat by `input()` has what was piped in there.
    gate.read_line = sys.stdin.readline
    try:
        gate.check(tool or Tool(tool_call.name), tool_call)
    except EOFError as error:
        raise click.Abort from error


def debug_tool_call(tool: Tool | None, tool_call: ToolCall, tool_result: ToolResult) -> None:
    """Show a call and its result on standard error, as `--td` does; for `after_call`."""
    from ..prompting.approval import show_call

    show_call(tool_call, tool_result)


def process_fragments_in_chat(
    db: AnyDatabase, prompt: str
) -> tuple[str, list[Fragment], list[Attachment]]:
    """A prompt without its lines `!fragment A B`, and what these name.

    Raises:
        ClickException: A fragment cannot be found.
    """
    from ..content import Attachment, Fragment
    from ..material.fragments import resolve_fragments
    from ..prompting.repl import read_instructions

    text, names, _ = read_instructions(prompt, ("!fragment",))
    with _as_in_036():
        found = resolve_fragments(db, names, allow_attachments=True)
    fragments = [item for item in found if isinstance(item, Fragment)]
    return text, fragments, [item for item in found if isinstance(item, Attachment)]
