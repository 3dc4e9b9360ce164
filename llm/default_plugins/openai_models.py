"""The OpenAI provider under the path that plugins import from; its home is `llm.providers.openai`.

The hooks are here at once, everything else on first use.
"""

from __future__ import annotations

# Where the types of options are looked up by name.
from typing import TYPE_CHECKING, Any, Optional, Union  # noqa: F401

import llm
from llm._lazy import attach
from llm.providers.openai import catalog

if TYPE_CHECKING:
    import click

    from llm.hookspecs import RegisterEmbeddingModel, RegisterModel

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.providers.openai.chat": (
            "AsyncChat", "AsyncResponses", "Chat", "Completion", "Responses", "_SharedResponses",
        ),
        "llm.providers.openai.wire.server_tools": ("CodeInterpreter", "WebSearch"),
        "llm.providers.openai.options": (
            "ImageDetailEnum", "ImageDetailWithOriginalEnum", "ReasoningEffortEnum",
            "ReasoningSummaryEnum", "SharedOptions", "VerbosityEnum", "build_options_class",
        ),
        "llm.providers.openai.wire.shapes": ("not_nulls", "redact_data"),
    },
    # What 0.36 has imported there for itself, and plugins import from there.
    AsyncKeyModel="llm",
    KeyModel="llm",
    StreamEvent="llm.parts",
    hookimpl="llm",
    logging_client="llm.utils",
    remove_dict_none_values="llm.utils",
    simplify_usage_dict="llm.utils",
    _Shared="llm.providers.openai.shared",
    OpenAIEmbeddingModel="llm.providers.openai.embedding",
    combine_chunks="llm.providers.openai.wire.chat_answers",
    _attachment="llm.providers.openai.wire.chat_requests:attachment_item",
)  # fmt: skip

__all__ = ["register_commands", "register_embedding_models", "register_models"]


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register the models of the catalog, then those of `extra-openai-models.yaml`."""
    for entry in catalog.models():
        register(*entry)
    path = catalog.extra_models_path()
    llm.watch_file(path)
    if path.exists():
        from llm.providers.openai.extra_models import chat_models

        for entry in chat_models():
            register(*entry)


@llm.hookimpl
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register the embedding models of the catalog, then those of the user's file."""
    from llm.providers.openai.extra_models import embedding_models

    for model, aliases, twin in [*catalog.embedding_models(), *embedding_models()]:
        try:
            register(model, aliases, twin)
        except TypeError:
            # A plugin passes a function of its own, which takes what 0.36 gives it.
            register(model, aliases)


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm openai`."""
    from llm.providers.openai.commands import openai

    cli.add_command(openai)
