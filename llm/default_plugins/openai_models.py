"""The OpenAI provider under the path that plugins import from; its home is `llm.providers.openai`.

The hooks are here at once, everything else on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm
from llm._lazy import attach, homes_of
from llm.providers.openai.plugin import register_embedding_models, register_models

if TYPE_CHECKING:
    import click

_HOME = "llm.providers.openai"
__getattr__, __dir__ = attach(
    __name__,
    {
        **homes_of(
            {
                f"{_HOME}.chat": ("AsyncChat", "Chat", "Completion"),
                f"{_HOME}.responses": ("AsyncResponses", "Responses", "_SharedResponses"),
                f"{_HOME}.wire.server_tools": ("CodeInterpreter", "WebSearch"),
                f"{_HOME}.shared": ("_Shared",),
                f"{_HOME}.embedding": ("OpenAIEmbeddingModel",),
                f"{_HOME}.options": (
                    "ImageDetailEnum",
                    "ImageDetailWithOriginalEnum",
                    "ReasoningEffortEnum",
                    "ReasoningSummaryEnum",
                    "SharedOptions",
                    "VerbosityEnum",
                    "build_options_class",
                ),
                f"{_HOME}.wire.chat_answers": ("combine_chunks",),
                f"{_HOME}.wire.shapes": ("not_nulls", "redact_data"),
            }
        ),
        "_attachment": f"{_HOME}.wire.chat_requests:attachment_item",
    },
)

__all__ = ["register_commands", "register_embedding_models", "register_models"]


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm openai`."""
    from llm.providers.openai.commands import openai

    cli.add_command(openai)
