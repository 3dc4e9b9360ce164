"""From names to models, embedding models, tools and loaders, as the plugins register them.

Nothing is cached: each look-up calls the hooks again, so instances are independent of each other
and changes of `aliases.json` are seen. Look-ups go through the attributes of the package `llm`,
because plugins replace some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from . import plugins
from .errors import AliasNotFound, ConfigError, NeedsKeyException, UnknownModelError
from .files import config

if TYPE_CHECKING:
    from .models.embedding import EmbeddingModel
    from .registering import AnyAsyncModel, FragmentLoader, SyncModel, TemplateLoader
    from .tools.tool import Tool
    from .tools.toolbox import Toolbox

# Stands for the plugin of a model that no hook has registered.
_UNKNOWN = "(unknown)"


@dataclass
class ModelWithAliases:
    """A registered model: the synchronous class, the asynchronous one, or both, and its aliases."""

    model: SyncModel | None
    async_model: AnyAsyncModel | None
    aliases: list[str]
    #: The name of the plugin that registered it.
    plugin: str = field(default=_UNKNOWN, compare=False, repr=False)

    @property
    def model_id(self) -> str:
        """The id of the model, of the asynchronous one where there is no other."""
        return self.shown.model_id

    @property
    def shown(self) -> SyncModel | AnyAsyncModel:
        """The object that stands for this entry in listings."""
        found = self.model or self.async_model
        if found is None:
            raise ValueError("This entry has neither a model nor an async model")
        return found

    def matches(self, query: str) -> bool:
        """Whether an alias, the displayed name or the async id contains `query`, in any case."""
        names = [*self.aliases]
        with plugins.isolated(self.plugin):
            names.append(str(self.shown))
        if self.async_model:
            names.append(self.async_model.model_id)
        return any(query.lower() in name.lower() for name in names)


@dataclass
class EmbeddingModelWithAliases:
    """A registered embedding model and its aliases."""

    model: EmbeddingModel
    aliases: list[str]

    @property
    def model_id(self) -> str:
        """The id of the model."""
        return self.model.model_id

    def matches(self, query: str) -> bool:
        """Whether an alias or the displayed name contains `query`, in any case."""
        return any(query.lower() in name.lower() for name in [*self.aliases, str(self.model)])


# Models

_leaves_out_user_aliases = False


def get_models_with_aliases() -> list[ModelWithAliases]:
    """All registered models, each with the aliases of its plugin and then those of the user.

    Raises:
        ConfigError: `aliases.json` is not valid.
    """
    entries: list[ModelWithAliases] = []
    user_aliases = _user_aliases()

    def register(
        model: SyncModel | None,
        async_model: AnyAsyncModel | None = None,
        aliases: Iterable[str] | None = None,
    ) -> None:
        plugin = plugins.running_plugin() or _UNKNOWN
        entry = ModelWithAliases(model, async_model, list(aliases or ()), plugin)
        entry.aliases += user_aliases.get(entry.model_id, ())
        entries.append(entry)

    plugins.call_each("register_models", register=register, model_aliases=entries)
    return entries


def _user_aliases() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if _leaves_out_user_aliases:
        return found
    for alias, model_id in config.load_aliases().items():
        # A plugin keeps objects there; they are its own affair.
        if isinstance(model_id, str):
            found.setdefault(model_id, []).append(alias)
    return found


def get_models() -> list[SyncModel]:
    """A new instance of every registered synchronous model, in order of registration."""
    import llm

    return [entry.model for entry in llm.get_models_with_aliases() if entry.model]


def get_async_models() -> list[AnyAsyncModel]:
    """A new instance of every registered asynchronous model, in order of registration."""
    import llm

    return [entry.async_model for entry in llm.get_models_with_aliases() if entry.async_model]


def get_model_aliases() -> dict[str, SyncModel]:
    """The synchronous models by alias and by id; of two with one name the later counts."""
    import llm

    return {
        name: entry.model
        for entry in llm.get_models_with_aliases()
        if entry.model
        for name in _names_of(entry)
    }


def get_async_model_aliases() -> dict[str, AnyAsyncModel]:
    """The asynchronous models by alias and by the id of their synchronous twin."""
    import llm

    return {
        name: entry.async_model
        for entry in llm.get_models_with_aliases()
        if entry.async_model
        for name in _names_of(entry)
    }


def get_model(name: str | None = None) -> SyncModel:
    """The model with an id or alias.

    Args:
        name: The id or alias; without one the default model, see `resolve_default_model`.

    Raises:
        UnknownModelError: No synchronous model has that name.
    """
    wanted, entries = _look_up(name)
    for entry in _bearing(wanted, entries):
        if entry.model:
            return entry.model
    if any(_bearing(wanted, entries)):
        raise UnknownModelError(f"Unknown model (async model exists): {wanted}")
    raise _unknown_model(wanted, entries)


def get_async_model(name: str | None = None) -> AnyAsyncModel:
    """The asynchronous model with an id or alias.

    Args:
        name: The id or alias; without one the default model, see `resolve_default_model`.

    Raises:
        UnknownModelError: No asynchronous model has that name.
    """
    wanted, entries = _look_up(name)
    for entry in _bearing(wanted, entries):
        if entry.async_model:
            return entry.async_model
    if any(_bearing(wanted, entries)):
        raise UnknownModelError(f"Unknown async model (sync model exists): {wanted}")
    raise _unknown_model(wanted, entries)


def _look_up(name: str | None) -> tuple[str, list[ModelWithAliases]]:
    """The name of the wanted model, and the registered models.

    A model that has the name without the user's aliases does not need `aliases.json`, so it may be
    broken.

    Raises:
        ConfigError: It is, and the name could be an alias.
    """
    import llm

    global _leaves_out_user_aliases
    try:
        entries = llm.get_models_with_aliases()
        return name or resolve_default_model(entries), entries
    except ConfigError:
        _leaves_out_user_aliases = True
        try:
            entries = llm.get_models_with_aliases()
            wanted = name or resolve_default_model(entries)
        finally:
            _leaves_out_user_aliases = False
        if any(_bearing(wanted, entries)):
            return wanted, entries
        raise


def resolve_default_model(entries: Sequence[ModelWithAliases] | None = None) -> str:
    """The id of the model that answers where none is named.

    The one the user has set; else the built-in default, unless it needs a key that cannot be found
    and a registered model has a true attribute `answers_without_key`: then that model.

    Args:
        entries: The registered models, where the caller has them already.
    """
    import llm

    chosen: str | None = llm.get_default_model(default=None)
    if chosen:
        return chosen
    known = llm.get_models_with_aliases() if entries is None else entries
    keyless = _keyless(known)
    if keyless is not None and _lacks_key(known):
        return keyless.model_id
    return llm.get_default_model()


def nothing_can_answer() -> bool:
    """Whether no default is set, the built-in one lacks its key and no model does without."""
    import llm

    if llm.get_default_model(default=None):
        return False
    entries = llm.get_models_with_aliases()
    return _lacks_key(entries) and _keyless(entries) is None


def _keyless(entries: Iterable[ModelWithAliases]) -> ModelWithAliases | None:
    for entry in entries:
        with plugins.isolated(entry.plugin):
            if getattr(entry.shown, "answers_without_key", False):
                return entry
    return None


def _lacks_key(entries: Sequence[ModelWithAliases]) -> bool:
    """Whether the built-in default model is absent or has no key."""
    for entry in _bearing(config.DEFAULT_MODEL, entries):
        try:
            entry.shown.get_key()
        except NeedsKeyException:
            return True
        return False
    return True


# Embedding models


def get_embedding_models_with_aliases() -> list[EmbeddingModelWithAliases]:
    """All registered embedding models, each with the aliases of its plugin and of the user.

    Raises:
        ConfigError: `aliases.json` is not valid.
    """
    entries: list[EmbeddingModelWithAliases] = []
    user_aliases = _user_aliases()

    def register(model: EmbeddingModel, aliases: Iterable[str] | None = None) -> None:
        names = [*(aliases or ()), *user_aliases.get(model.model_id, ())]
        entries.append(EmbeddingModelWithAliases(model, names))

    plugins.call_each("register_embedding_models", register=register)
    return entries


def get_embedding_models() -> list[EmbeddingModel]:
    """A new instance of every registered embedding model, in order of registration."""
    import llm

    return [entry.model for entry in llm.get_embedding_models_with_aliases()]


def get_embedding_model_aliases() -> dict[str, EmbeddingModel]:
    """The embedding models by alias and by id; of two with one name the later counts."""
    import llm

    return {
        name: entry.model
        for entry in llm.get_embedding_models_with_aliases()
        for name in _names_of(entry)
    }


def get_embedding_model(name: str) -> EmbeddingModel:
    """The embedding model with an id or alias.

    Raises:
        UnknownModelError: No embedding model has that name.
    """
    import llm

    entries = llm.get_embedding_models_with_aliases()
    for entry in _bearing(name, entries):
        return entry.model
    raise _unknown_model(name, entries)


# Names


AnyEntry = TypeVar("AnyEntry", ModelWithAliases, EmbeddingModelWithAliases)


def _names_of(entry: ModelWithAliases | EmbeddingModelWithAliases) -> list[str]:
    return [*entry.aliases, entry.model_id]


def _bearing(name: str, entries: Sequence[AnyEntry]) -> Iterator[AnyEntry]:
    """The entries with that id or alias; the last registered, which counts, comes first."""
    for entry in reversed(entries):
        if entry.model_id == name or name in entry.aliases:
            yield entry


def _unknown_model(
    name: str, entries: Iterable[ModelWithAliases | EmbeddingModelWithAliases]
) -> UnknownModelError:
    from .text.shaping import suggestion

    known = [known for entry in entries for known in _names_of(entry)]
    return UnknownModelError(f"Unknown model: {name}{suggestion(name, known)}")


def set_alias(alias: str, model_id_or_alias: str) -> None:
    """Store an alias in `aliases.json`.

    Args:
        alias: The new name.
        model_id_or_alias: A chat or embedding model; what nobody knows is stored as it is.

    Raises:
        ConfigError: `aliases.json` is not valid or cannot be written.
    """
    model_id = resolve_model_id(model_id_or_alias)
    config.update_json(
        config.aliases_path(), lambda aliases: aliases.update({alias: model_id}), **_ALIASES_FORMAT
    )


def resolve_model_id(name: str) -> str:
    """The id of the chat model, else of the embedding model, with that name; else the name."""
    import llm

    for entry in _bearing(name, llm.get_models_with_aliases()):
        return entry.model_id
    for embedding_entry in _bearing(name, llm.get_embedding_models_with_aliases()):
        return embedding_entry.model_id
    return name


def remove_alias(alias: str) -> None:
    """Remove an alias from `aliases.json`.

    Raises:
        AliasNotFound: There is no such alias, or no such file; it is a KeyError.
        ConfigError: `aliases.json` is not valid or cannot be written.
    """
    path = config.aliases_path()
    if not path.exists():
        raise AliasNotFound("No aliases.json file exists")

    def change(aliases: config.JSONObject) -> None:
        if alias not in aliases:
            raise AliasNotFound(f"No such alias: {alias}")
        del aliases[alias]

    config.update_json(path, change, **_ALIASES_FORMAT)


class _Format(TypedDict):
    indent: int
    newline: bool


_ALIASES_FORMAT: _Format = {"indent": 4, "newline": True}


# Tools and loaders


def get_tools() -> dict[str, Tool | type[Toolbox]]:
    """The registered tools and toolbox classes by name, in order of registration.

    A name that is taken gets `_1`, `_2` and so on appended.
    """
    tools: dict[str, Tool | type[Toolbox]] = {}

    def register(
        tool_or_function: Tool | type[Toolbox] | Callable[..., Any], name: str | None = None
    ) -> None:
        tool = _as_tool(tool_or_function, name)
        tool.plugin = plugins.running_plugin()
        tools[_unused(tool.name or "", tools)] = tool

    plugins.call_each("register_tools", register=register)
    return tools


def _as_tool(
    tool_or_function: Tool | type[Toolbox] | Callable[..., Any], name: str | None
) -> Tool | type[Toolbox]:
    from .tools.tool import Tool
    from .tools.toolbox import Toolbox

    if isinstance(tool_or_function, Tool):
        tool_or_function.name = name or tool_or_function.name
        return tool_or_function
    if not isinstance(tool_or_function, type):
        return Tool.function(tool_or_function, name=name)
    if not issubclass(tool_or_function, Toolbox):
        raise TypeError(
            f"Toolbox classes must inherit from llm.Toolbox, {tool_or_function.__name__} does not."
        )
    tool_or_function.name = name or tool_or_function.__name__
    return tool_or_function


def get_template_loaders() -> dict[str, TemplateLoader]:
    """The loaders of templates by prefix; a prefix that is taken gets `_1`, `_2` and so on."""
    return _loaders("register_template_loaders")


def get_fragment_loaders() -> dict[str, FragmentLoader]:
    """The loaders of fragments by prefix; a prefix that is taken gets `_1`, `_2` and so on.

    Those of plugins come first. Ours, `dir` and `cmd`, are `llm-dir` and `llm-cmd` where a plugin
    has the prefix.
    """
    from .material.loaders import BUILTIN_LOADERS

    loaders = _loaders("register_fragment_loaders")
    for prefix, loader in BUILTIN_LOADERS.items():
        loaders[_unused(f"llm-{prefix}" if prefix in loaders else prefix, loaders)] = loader
    return loaders


def _loaders(hook_name: str) -> dict[str, Callable[[str], Any]]:
    loaders: dict[str, Callable[[str], Any]] = {}

    def register(prefix: str, loader: Callable[[str], Any]) -> None:
        loaders[_unused(prefix, loaders)] = loader

    plugins.call_each(hook_name, register=register)
    return loaders


def _unused(name: str, taken: Iterable[str]) -> str:
    names, number = [name], 0
    while names[-1] in taken:
        number += 1
        names.append(f"{name}_{number}")
    return names[-1]
