"""The hooks that a plugin can implement, each with its exact parameters.

An implementation is a function of the hook's name, marked with `llm.hookimpl`, that declares any
subset of the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import click

    from .registering import (
        RegisterEmbeddingModel,
        RegisterFragmentLoader,
        RegisterModel,
        RegisterTemplateLoader,
        RegisterTool,
    )
    from .registry import ModelWithAliases

hookspec = HookspecMarker("llm")
hookimpl = HookimplMarker("llm")


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands and groups to the command line.

    Args:
        cli: The root group. All built-in commands exist; `cli.commands[...]` may be changed.
    """


@hookspec
def register_models(register: RegisterModel, model_aliases: list[ModelWithAliases]) -> None:
    """Register models.

    Args:
        register: `register(model, async_model=None, aliases=None)`; one of the two may be None.
        model_aliases: The live list of what is registered so far. With
            `@hookimpl(trylast=True)` a plugin may inspect, edit, append or remove entries.
    """


@hookspec
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register embedding models.

    Args:
        register: `register(model, aliases=None)`.
    """


@hookspec
def register_tools(register: RegisterTool) -> None:
    """Register tools.

    Args:
        register: `register(tool_or_function, name=None)`: a function, a `Tool` or a subclass of
            `Toolbox`.
    """


@hookspec
def register_template_loaders(register: RegisterTemplateLoader) -> None:
    """Register loaders of templates named `prefix:rest`.

    Args:
        register: `register(prefix, loader)`. The loader is called with `rest` and returns a
            `Template`, or raises ValueError where there is none. What such templates name of
            files, tools and functions is used only with the consent of the user.
    """


@hookspec
def register_fragment_loaders(register: RegisterFragmentLoader) -> None:
    """Register loaders of fragments named `prefix:rest`.

    Args:
        register: `register(prefix, loader)`. The loader is called with `rest` and returns a
            `Fragment`, an `Attachment` or a list of both, or raises ValueError.
    """
