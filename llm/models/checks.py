"""What a prompt asks of a model, against what the model can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConversationNotSupported
from ..tools.tool import ServerSideTool, Tool

if TYPE_CHECKING:
    from ..content import Attachment
    from .base import _BaseModel
    from .prompt import AnyTool, Prompt


def check_prompt(prompt: Prompt, model: _BaseModel) -> None:
    """Refuse what the model cannot do, before anything is sent.

    Raises:
        ConversationNotSupported: There is a history and the model cannot take one.
        ValueError: Attachments, a schema or tools are given that the model does not support.
    """
    if prompt.attachments:
        check_attachments(prompt.attachments, model)
    if prompt.schema and not model.supports_schema:
        raise ValueError(f"{model} does not support schemas")
    if prompt.tool_sources:
        _check_tools(prompt, model)
    if not model.supports_conversation and any(
        message.role in ("assistant", "tool") for message in prompt.full_messages
    ):
        raise ConversationNotSupported(f"{model} does not support conversations")


def check_attachments(attachments: Sequence[Attachment], model: _BaseModel) -> None:
    """Refuse attachments that the model does not take.

    Raises:
        ValueError: It takes none, or none of that type.
    """
    accepted = set(model.attachment_types)
    if not accepted:
        raise ValueError("This model does not support attachments")
    for attachment in attachments:
        found = attachment.resolve_type()
        if found not in accepted:
            raise ValueError(
                f"This model does not support attachments of type '{found}', "
                f"only {', '.join(sorted(accepted))}"
            )


def _check_tools(prompt: Prompt, model: _BaseModel) -> None:
    # A toolbox counts although it may have no tools before it is prepared.
    local = any(not isinstance(tool, ServerSideTool) for tool in prompt.tool_sources)
    if local and not model.supports_tools:
        raise ValueError(f"{model} does not support tools")
    _partition_tools(model, prompt.tools)


def _partition_tools(
    model: _BaseModel, tools: Sequence[AnyTool]
) -> tuple[list[Tool], list[ServerSideTool]]:
    """The tools that run here and those that the provider runs.

    Raises:
        ValueError: The model does not claim a server-side tool.
    """
    functions = [tool for tool in tools if not isinstance(tool, ServerSideTool)]
    server_side = [tool for tool in tools if isinstance(tool, ServerSideTool)]
    for tool in server_side:
        if not _claims(model, tool):
            raise ValueError(
                f"Model '{model.model_id}' does not support server-side tool '{tool.name}'. "
                f"Run: llm tools -m {model.model_id}"
            )
    return functions, server_side


def _claims(model: _BaseModel, tool: ServerSideTool) -> bool:
    """A class covers its subclasses; the base class covers only itself."""
    return any(
        type(tool) is ServerSideTool if claimed is ServerSideTool else isinstance(tool, claimed)
        for claimed in model.supported_server_side_tools
    )
