"""The default plugin that registers local models and their commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm
from llm.providers.local import LIST

if TYPE_CHECKING:
    import click

    from llm.hookspecs import RegisterEmbeddingModel, RegisterModel

__all__ = ["register_commands", "register_embedding_models", "register_models"]


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register each installed model; where none is installed, nothing more is imported."""
    path = llm.user_dir() / LIST
    llm.watch_file(path)
    if path.exists():
        from llm.providers.local.model import AsyncLocalModel, LocalModel
        from llm.providers.local.store import installed_models

        for model in installed_models(embeds=False):
            register(LocalModel(model), AsyncLocalModel(model), aliases=model.aliases)


@llm.hookimpl
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register each installed model that embeds texts, and is told apart in the same list."""
    if (llm.user_dir() / LIST).exists():
        from llm.providers.local.embedding import AsyncLocalEmbeddingModel, LocalEmbeddingModel
        from llm.providers.local.store import installed_models

        for model in installed_models(embeds=True):
            found = LocalEmbeddingModel(model)
            try:
                register(found, model.aliases, AsyncLocalEmbeddingModel(model))
            except TypeError:
                # A plugin passes a function of its own, which takes what 0.36 gives it.
                register(found, model.aliases)


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm local`."""
    from llm.providers.local.commands import local

    cli.add_command(local)
