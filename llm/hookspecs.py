"""The hooks that a plugin can implement, each with its exact parameters.

An implementation is a function of the hook's name, marked with `llm.hookimpl`, that declares any
subset of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pluggy import HookimplMarker, HookspecMarker

from ._lazy import for_hints

if TYPE_CHECKING:
    import click

    from .content import Attachment, Fragment
    from .models.base import AnyAsyncModel, ModelWithAliases, SyncModel
    from .models.embedding import AsyncEmbeddingModel, EmbeddingModel
    from .parts import Message
    from .templates import Template
    from .tools.tool import Tool
    from .tools.toolbox import Toolbox

    AnyTool = Tool | type[Toolbox]
    TemplateLoader = Callable[[str], Template]
    # One that has a second parameter is given a `FragmentContext` by its name.
    FragmentLoader = Callable[..., Fragment | Attachment | list[Fragment | Attachment]]

    class RegisterModel(Protocol):
        """What the hook `register_models` gets as `register`."""

        def __call__(
            self,
            model: SyncModel | None,
            async_model: AnyAsyncModel | None = None,
            aliases: Iterable[str] | None = None,
        ) -> None:
            """Register a model, its asynchronous twin, or both, with further names."""

    class RegisterEmbeddingModel(Protocol):
        """What the hook `register_embedding_models` gets as `register`."""

        def __call__(
            self,
            model: EmbeddingModel,
            aliases: Iterable[str] | None = None,
            async_model: AsyncEmbeddingModel | None = None,
        ) -> None:
            """Register an embedding model, with further names and its asynchronous twin."""

    class RegisterTool(Protocol):
        """What the hook `register_tools` gets as `register`."""

        def __call__(
            self, tool_or_function: AnyTool | Callable[..., object], name: str | None = None
        ) -> None:
            """Register a tool, a toolbox class or a function, under another name if given."""

    class RegisterTemplateLoader(Protocol):
        """What the hook `register_template_loaders` gets as `register`."""

        def __call__(self, prefix: str, loader: TemplateLoader) -> None:
            """Register a loader for templates named `prefix:rest`."""

    class RegisterFragmentLoader(Protocol):
        """What the hook `register_fragment_loaders` gets as `register`."""

        def __call__(self, prefix: str, loader: FragmentLoader) -> None:
            """Register a loader for fragments named `prefix:rest`."""
else:
    for_hints(
        globals(),
        {
            "click": "",
            "llm.content": "Attachment Fragment",
            "llm.models.base": "AnyAsyncModel ModelWithAliases SyncModel",
            "llm.models.embedding": "AsyncEmbeddingModel EmbeddingModel",
            "llm.parts": "Message",
            "llm.templates": "Template",
            "llm.tools.tool": "Tool",
            "llm.tools.toolbox": "Toolbox",
        },
        AnyTool="llm.tools.tool.Tool | builtins.type",
    )
    TemplateLoader = Callable[[str], Template]
    FragmentLoader = Callable[..., Any]
    RegisterModel = RegisterEmbeddingModel = RegisterTool = Callable[..., None]
    RegisterTemplateLoader = RegisterFragmentLoader = Callable[..., None]


hookspec: HookspecMarker = HookspecMarker("llm")
hookimpl: HookimplMarker = HookimplMarker("llm")


@dataclass(frozen=True)
class FragmentContext:
    """What a loader of fragments is given that has a second parameter, `context`.

    Args:
        prompt: The text of the prompt, standard input and templates included; never empty.
        history: The messages of the conversation before it, the system prompt included.
    """

    prompt: str
    history: Sequence[Message] = ()


# The hooks


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
        register: `register(model, aliases=None, async_model=None)`.
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
            `Fragment`, an `Attachment` or a list of both, or raises ValueError. One that has a
            second parameter `context` is called when everything else is known, with a
            `FragmentContext`; in a chat for each prompt anew.
    """
