"""What the local models add to `llm`: the models that are installed, and the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm

from . import store

if TYPE_CHECKING:
    import click

    from llm.hookspecs import RegisterModel


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register each installed model; where none is installed, nothing more is imported."""
    llm.watch_file(store.list_path())
    installed = store.installed_models()
    if not installed:
        return
    from .model import AsyncLocalModel, LocalModel

    for model in installed:
        register(LocalModel(model), AsyncLocalModel(model), aliases=model.aliases)


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `llm local`."""
    from .commands import local

    cli.add_command(local)
