"""What the hooks of a plugin get as `register`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .content import Attachment, Fragment
    from .models.base import AsyncKeyModel, AsyncModel, KeyModel, Model
    from .models.embedding import EmbeddingModel
    from .templates import Template
    from .tools.tool import Tool
    from .tools.toolbox import Toolbox

    SyncModel: TypeAlias = Model | KeyModel
    AnyAsyncModel: TypeAlias = AsyncModel | AsyncKeyModel
    TemplateLoader: TypeAlias = Callable[[str], Template]
    FragmentLoader: TypeAlias = Callable[[str], Fragment | Attachment | list[Fragment | Attachment]]


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

    def __call__(self, model: EmbeddingModel, aliases: Iterable[str] | None = None) -> None:
        """Register an embedding model, with further names."""


class RegisterTool(Protocol):
    """What the hook `register_tools` gets as `register`."""

    def __call__(
        self, tool_or_function: Tool | type[Toolbox] | Callable[..., Any], name: str | None = None
    ) -> None:
        """Register a tool, a toolbox class or a function, under another name if one is given."""


class RegisterTemplateLoader(Protocol):
    """What the hook `register_template_loaders` gets as `register`."""

    def __call__(self, prefix: str, loader: TemplateLoader) -> None:
        """Register a loader for templates named `prefix:rest`."""


class RegisterFragmentLoader(Protocol):
    """What the hook `register_fragment_loaders` gets as `register`."""

    def __call__(self, prefix: str, loader: FragmentLoader) -> None:
        """Register a loader for fragments named `prefix:rest`."""
