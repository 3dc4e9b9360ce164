"""Models of plugins that are not imported, as listings show them: what the plugin index says."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .. import plugins
from ..models.base import EmbeddingModelWithAliases, ModelWithAliases

if TYPE_CHECKING:
    from ..models.base import AnyAsyncModel, SyncModel
    from ..models.embedding import EmbeddingModel
    from ..plugin_index.records import ModelRecord, PluginRecord

    UserAliases = dict[str, list[str]]

# What listings ask of a model besides its name, and of an embedding model.
FEATURES = (
    *("can_stream", "supports_schema", "supports_tools", "supports_conversation"),
    *("attachment_types", "answers_without_key"),
)
EMBEDDING_FEATURES = ("supports_text", "supports_binary", "batch_size")

E = TypeVar("E", bound=ModelWithAliases | EmbeddingModelWithAliases)


class Remembered:
    """What is known of a model without its plugin: enough to show it, not to ask it."""

    def __init__(self, model_id: str, shown: str, record: ModelRecord) -> None:
        self.model_id = model_id
        self.shown = shown
        self.supported_server_side_tools: tuple[SimpleNamespace, ...] = tuple(
            SimpleNamespace(__name__=tool["name"], plugin=tool["plugin"])
            for tool in record["server_side_tools"]
        )
        vars(self).update(record["features"])

    def __str__(self) -> str:
        return self.shown


def _remembered(model_id: str, shown: str | None, record: ModelRecord) -> Remembered | None:
    return None if shown is None else Remembered(model_id, shown, record)


def with_models(
    entries: list[ModelWithAliases], left: list[PluginRecord], user_aliases: UserAliases
) -> list[ModelWithAliases]:
    """The registered models and those of the plugins that were left out, in the order of calls."""

    def entry(plugin: PluginRecord, record: ModelRecord) -> ModelWithAliases:
        model = _remembered(record["model_id"], record["shown"], record)
        twin = _remembered(record["async_id"] or "", record["async_shown"], record)
        aliases = [*record["aliases"], *user_aliases.get(record["model_id"], ())]
        return ModelWithAliases(
            cast("SyncModel | None", model),
            cast("AnyAsyncModel | None", twin),
            aliases,
            plugin["name"],
        )

    return _merged(entries, left, lambda plugin: [entry(plugin, one) for one in plugin["models"]])


def with_embedding_models(
    entries: list[EmbeddingModelWithAliases],
    left: list[PluginRecord],
    user_aliases: UserAliases,
) -> list[EmbeddingModelWithAliases]:
    """As `with_models`, of embedding models."""

    def entry(plugin: PluginRecord, record: ModelRecord) -> EmbeddingModelWithAliases:
        model_id = record["model_id"]
        model: Any = Remembered(model_id, record["shown"] or "", record)
        aliases = [*record["aliases"], *user_aliases.get(model_id, ())]
        return EmbeddingModelWithAliases(cast("EmbeddingModel", model), aliases, plugin["name"])

    return _merged(
        entries, left, lambda plugin: [entry(plugin, one) for one in plugin["embedding_models"]]
    )


def _merged(
    entries: list[E], left: list[PluginRecord], remembered: Callable[[PluginRecord], list[E]]
) -> list[E]:
    places = plugins.call_order()

    found = [*entries, *(entry for plugin in left for entry in remembered(plugin))]
    return sorted(found, key=lambda entry: places.get(entry.plugin, 1))
