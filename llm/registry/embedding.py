"""From names to embedding models, as `registry` does it for models."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import llm

from .. import plugins
from .._lazy import for_hints
from ..errors import NeedsKeyException, UnknownModelError
from . import bearing, meant_by, names_of, some_of, unknown_model, user_aliases

if TYPE_CHECKING:
    from ..models.base import EmbeddingModelWithAliases
    from ..models.embedding import AsyncEmbeddingModel, EmbeddingModel

    EmbeddingEntries = list[EmbeddingModelWithAliases]
else:
    for_hints(
        globals(),
        {
            "llm.models.base": "EmbeddingModelWithAliases",
            "llm.models.embedding": "AsyncEmbeddingModel EmbeddingModel",
        },
    )
    EmbeddingEntries = list[EmbeddingModelWithAliases]


def get_embedding_models_with_aliases() -> list[EmbeddingModelWithAliases]:
    """All registered embedding models, each with the aliases of its plugin and of the user.

    Raises:
        ConfigError: `aliases.json` is not valid.
    """
    from ..models.base import UNKNOWN_PLUGIN, EmbeddingModelWithAliases

    entries: list[EmbeddingModelWithAliases] = []
    of_user = user_aliases()
    running = plugins.running_plugins()

    def register(
        model: EmbeddingModel,
        aliases: Iterable[str] | None = None,
        async_model: AsyncEmbeddingModel | None = None,
    ) -> None:
        names = [*(aliases or ()), *of_user.get(model.model_id, ())]
        plugin = running[-1] if running else UNKNOWN_PLUGIN
        entries.append(EmbeddingModelWithAliases(model, names, plugin, async_model))

    plugins.call_each("register_embedding_models", register=register)
    return entries


def get_embedding_models() -> list[EmbeddingModel]:
    """A new instance of every registered embedding model, in order of registration."""
    return [entry.model for entry in llm.get_embedding_models_with_aliases()]


def get_embedding_model_aliases() -> dict[str, EmbeddingModel]:
    """The embedding models by alias and by id; of two with one name the later counts."""
    return {
        name: entry.model
        for entry in llm.get_embedding_models_with_aliases()
        for name in names_of(entry)
    }


def get_embedding_model(name: str) -> EmbeddingModel:
    """The embedding model with an id or alias.

    Raises:
        UnknownModelError: No embedding model has that name.
    """
    found, entries = look_up_embedding(name)
    for entry in found:
        return entry.model
    raise unknown_model(name, entries)


def get_async_embedding_model(name: str) -> AsyncEmbeddingModel:
    """The asynchronous embedding model with an id or alias.

    Raises:
        UnknownModelError: No embedding model has that name, or none that is awaited.
    """
    found, entries = look_up_embedding(name)
    for entry in found:
        if entry.async_model:
            return entry.async_model
    if found:
        raise UnknownModelError(f"Unknown async embedding model (sync model exists): {name}")
    raise unknown_model(name, entries)


def resolve_default_embedding_model() -> str | None:
    """The id of the model that embeds where none is named, or `None`.

    The one the user has set; else, unless the key of some registered model is found, the first
    that has a true attribute `answers_without_key`.
    """
    if chosen := llm.get_default_embedding_model():
        return chosen
    keyless = None
    for entry in llm.get_embedding_models_with_aliases():
        with plugins.isolated(entry.plugin):
            if entry.model.needs_key and has_key(entry.model):
                return None
            if keyless is None and getattr(entry.model, "answers_without_key", False):
                keyless = entry.model_id
    return keyless


def has_key(model: EmbeddingModel) -> bool:
    """Whether the key that a model needs is found."""
    with suppress(NeedsKeyException):
        return model.get_key() is not None
    return False


def listed_embedding_models() -> list[EmbeddingModelWithAliases]:
    """As `listed_models`, of embedding models."""
    with _some_embedding_models(None) as left:
        entries = llm.get_embedding_models_with_aliases()
    if not left:
        return entries
    from .remembered import with_embedding_models

    return with_embedding_models(entries, left, user_aliases())


_some_embedding_models = partial(
    some_of, "register_embedding_models", get_embedding_models_with_aliases
)


def look_up_embedding(name: str) -> tuple[EmbeddingEntries, EmbeddingEntries]:
    """The embedding models that bear a name, and those among which they were found."""
    with _some_embedding_models(meant_by(name)):
        entries = llm.get_embedding_models_with_aliases()
    if found := list(bearing(name, entries)):
        return found, entries
    entries = llm.get_embedding_models_with_aliases()
    found = list(bearing(name, entries))
    registering = {entry.plugin for entry in found}
    plugins.check_index("register_embedding_models", meant_by(name), registering)
    return found, entries
