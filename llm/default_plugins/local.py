"""The default plugin that registers local models and their commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm
from llm.providers.local import LIST

if TYPE_CHECKING:
    import click

    from llm.hookspecs import RegisterModel

__all__ = ["register_commands", "register_models"]


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register each installed model; where none is installed, nothing more is imported."""
    path = llm.user_dir() / LIST
    llm.watch_file(path)
    if path.exists():
        from llm.providers.local.model import AsyncLocalModel, LocalModel
        from llm.providers.local.store import installed_models

        for model in installed_models():
            register(LocalModel(model), AsyncLocalModel(model), aliases=model.aliases)


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm local`."""
    from llm.providers.local.commands import local

    cli.add_command(local)
