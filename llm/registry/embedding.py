"""From names to embedding models, as `registry` does it for models."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import llm

from .. import plugins
from .._lazy import for_hints
from . import bearing, meant_by, names_of, some_of, unknown_model, user_aliases

if TYPE_CHECKING:
    from ..models.base import EmbeddingModelWithAliases
    from ..models.embedding import EmbeddingModel

    EmbeddingEntries = list[EmbeddingModelWithAliases]
else:
    for_hints(
        globals(),
        {
            "llm.models.base": "EmbeddingModelWithAliases",
            "llm.models.embedding": "EmbeddingModel",
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

    def register(model: EmbeddingModel, aliases: Iterable[str] | None = None) -> None:
        names = [*(aliases or ()), *of_user.get(model.model_id, ())]
        plugin = running[-1] if running else UNKNOWN_PLUGIN
        entries.append(EmbeddingModelWithAliases(model, names, plugin))

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
