"""What the OpenAI provider registers: models, embedding models, commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llm

from . import catalog
from .extra_models import ExtraModel, file_path, read_extra_models

if TYPE_CHECKING:
    import click

    from llm.hookspecs import RegisterEmbeddingModel, RegisterModel

# Problems of the user's file that have been told; hooks run at each look-up.
_told: set[str] = set()


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register the models of the catalog, then those of `extra-openai-models.yaml`."""
    from .chat import AsyncChat, Chat, Completion
    from .responses import AsyncResponses, Responses

    classes: dict[str, tuple[Any, Any]] = {
        "chat": (Chat, AsyncChat),
        "responses": (Responses, AsyncResponses),
        "completion": (Completion, None),
    }
    for entry in catalog.models():
        sync, twin = classes[entry.kind]
        register(
            sync(entry.model_id, **entry.settings),
            twin(entry.model_id, **entry.settings) if twin else None,
            aliases=entry.aliases,
        )
    llm.watch_file(file_path())
    for extra in _extra_models():
        if extra.kind != "embedding":
            sync, twin = classes[extra.kind]
            register(
                _with_key(sync(extra.model_id, **extra.settings), extra),
                _with_key(twin(extra.model_id, **extra.settings), extra) if twin else None,
                aliases=extra.aliases,
            )


@llm.hookimpl
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register the embedding models of the catalog, then those of the user's file."""
    from .embedding import OpenAIEmbeddingModel

    for entry in catalog.EMBEDDINGS:
        model = OpenAIEmbeddingModel(entry.model_id, entry.openai_model_id, entry.dimensions)
        register(model, aliases=entry.aliases)
    for extra in _extra_models():
        if extra.kind == "embedding":
            model = OpenAIEmbeddingModel(extra.model_id, **extra.settings)
            register(_with_key(model, extra), aliases=extra.aliases)


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm openai`."""
    from ...commands.openai import openai

    cli.add_command(openai)


def _with_key(model: Any, extra: ExtraModel) -> Any:
    """The model with the key rules of its entry."""
    if not extra.needs_key:
        model.needs_key = None
    elif extra.api_key_name:
        model.needs_key = extra.api_key_name
        # Its server is another one: OPENAI_API_KEY is none of its business.
        model.key_env_var = None
    return model


def _extra_models() -> tuple[ExtraModel, ...]:
    from .wire.notices import tell

    found = read_extra_models()
    for problem in map(str, found.problems):
        if problem not in _told:
            _told.add(problem)
            tell([f"Warning: {problem}"])
    return found.models
