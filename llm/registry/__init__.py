"""From names to models and embedding models, as the plugins register them.

A list calls the hooks each time, so its instances are independent of each other and changes of
`aliases.json` are seen; so does the look-up of a model, until `_Known` has it. Look-ups go through
the attributes of the package `llm`, because plugins replace some of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import llm

from .. import plugins
from .._lazy import for_hints
from ..errors import ConfigError, NeedsKeyException, UnknownModelError
from ..files import AnyPath, config
from ..text import suggestion

if TYPE_CHECKING:
    from pluggy import HookImpl

    from ..models.base import AnyAsyncModel, EmbeddingModelWithAliases, ModelWithAliases, SyncModel
    from ..plugin_index.records import PluginRecord
else:
    for_hints(
        globals(),
        {
            "llm.models.base": "AnyAsyncModel EmbeddingModelWithAliases ModelWithAliases SyncModel",
            "llm.plugin_index.records": "PluginRecord",
            "pluggy": "HookImpl",
        },
    )

# Models

_leaves_out_user_aliases = False


def get_models_with_aliases() -> list[ModelWithAliases]:
    """All registered models, each with the aliases of its plugin and then those of the user.

    Raises:
        ConfigError: `aliases.json` is not valid.
    """
    from ..models.base import UNKNOWN_PLUGIN, ModelWithAliases

    entries: list[ModelWithAliases] = []
    of_user = user_aliases()
    running = plugins.running_plugins()

    def register(
        model: SyncModel | None,
        async_model: AnyAsyncModel | None = None,
        aliases: Iterable[str] | None = None,
    ) -> None:
        plugin = running[-1] if running else UNKNOWN_PLUGIN
        entry = ModelWithAliases(model, async_model, list(aliases or ()), plugin)
        # The entry itself, which has no id then, complains where there is neither.
        entry.aliases += of_user.get((model or async_model or entry).model_id, ())
        entries.append(entry)

    plugins.call_each("register_models", register=register, model_aliases=entries)
    return entries


def listed_models(keyless: bool = False) -> list[ModelWithAliases]:
    """What there is to show of the registered models, in order of registration.

    As `get_models_with_aliases`, but of plugins that need not be imported it gives what the plugin
    index says. With `keyless`, which is to find the model that answers where none is named, those
    that look around in the network are not imported either.
    """
    with _some_models([config.DEFAULT_MODEL] if keyless else None) as left:
        entries = _entries()
    if not left:
        return entries
    from .remembered import with_models

    return with_models(entries, left, user_aliases())


@contextmanager
def some_of(
    hook_name: str, look_up: Callable[[], object], names: list[str] | None
) -> Iterator[list[PluginRecord]]:
    """Load what a look-up of the package needs for these names, or for a listing.

    Gives what the plugin index says of the plugins that are left out.
    """
    # The look-up of a plugin that replaces ours takes what is loaded.
    if vars(llm).get(look_up.__name__, look_up) is not look_up:
        plugins.load_plugins()
    with plugins.enough_for(hook_name, names) as left:
        yield left


def _some_models(names: list[str] | None) -> AbstractContextManager[list[PluginRecord]]:
    return some_of("register_models", get_models_with_aliases, names)


def _entries() -> list[ModelWithAliases]:
    return llm.get_models_with_aliases()


def user_aliases() -> dict[str, list[str]]:
    """The aliases of the user by the id of the model."""
    found: dict[str, list[str]] = {}
    if _leaves_out_user_aliases:
        return found
    watch_file(config.aliases_path())
    for alias, model_id in config.load_aliases().items():
        # A plugin keeps objects there; they are its own affair.
        if isinstance(model_id, str):
            found.setdefault(model_id, []).append(alias)
    return found


def entries_matching(queries: Iterable[str]) -> list[ModelWithAliases]:
    """The registered models that match every query, in order of registration."""
    found = []
    for entry in _entries():
        with plugins.isolated(entry.plugin):
            if all(map(entry.matches, queries)):
                found.append(entry)
    return found


def get_models() -> list[SyncModel]:
    """A new instance of every registered synchronous model, in order of registration."""
    return [entry.model for entry in _entries() if entry.model]


def get_async_models() -> list[AnyAsyncModel]:
    """A new instance of every registered asynchronous model, in order of registration."""
    return [entry.async_model for entry in _entries() if entry.async_model]


def get_model_aliases() -> dict[str, SyncModel]:
    """The synchronous models by alias and by id; of two with one name the later counts."""
    return {name: entry.model for entry in _entries() if entry.model for name in names_of(entry)}


def get_async_model_aliases() -> dict[str, AnyAsyncModel]:
    """The asynchronous models by alias and by the id of their synchronous twin."""
    return {
        name: entry.async_model
        for entry in _entries()
        if entry.async_model
        for name in names_of(entry)
    }


def get_model(name: str | None = None) -> SyncModel:
    """The model with an id or alias.

    Args:
        name: The id or alias; without one the default model, see `resolve_default_model`.

    Raises:
        UnknownModelError: No synchronous model has that name.
    """
    known = _known
    if known is not None and (make := known.models.get(name)) and known.holds():
        return make()
    wanted, entries = look_up(name)
    for entry in entries:
        if entry.model:
            return entry.model
    raise UnknownModelError(f"Unknown model (async model exists): {wanted}")


def get_async_model(name: str | None = None) -> AnyAsyncModel:
    """The asynchronous model with an id or alias.

    Args:
        name: The id or alias; without one the default model.

    Raises:
        UnknownModelError: No asynchronous model has that name.
    """
    known = _known
    if known is not None and (make := known.twins.get(name)) and known.holds():
        return make()
    wanted, entries = look_up(name)
    for entry in entries:
        if entry.async_model:
            return entry.async_model
    raise UnknownModelError(f"Unknown async model (sync model exists): {wanted}")


def look_up(name: str | None) -> tuple[str, list[ModelWithAliases]]:
    """The name of the wanted model, and the models that bear it; an `UnknownModelError` for none.

    A model that has the name without the user's aliases does not need `aliases.json`, so it may be
    broken; it is a `ConfigError` where the name could be an alias.
    """
    if plugins.can_load_some():
        name = name or resolve_default_model()
        with suppress(ConfigError), _some_models(meant_by(name)):
            if found := list(bearing(name, _listed(name))):
                return name, found
    wanted, entries = _wanted_among_all(name)
    found = list(bearing(wanted, entries))
    if plugins.guests_loaded():
        registering = {entry.plugin for entry in found}
        plugins.check_index("register_models", meant_by(wanted), registering)
    if found:
        return wanted, found
    raise unknown_model(wanted, entries)


def _wanted_among_all(name: str | None) -> tuple[str, list[ModelWithAliases]]:
    """The name of the wanted model, and all models."""
    global _leaves_out_user_aliases
    try:
        entries = _listed()
        return name or resolve_default_model(entries), entries
    except ConfigError:
        _leaves_out_user_aliases = True
        try:
            entries = _entries()
            wanted = name or resolve_default_model(entries)
        finally:
            _leaves_out_user_aliases = False
        if not any(bearing(wanted, entries)):
            raise
    return wanted, entries


def meant_by(name: str) -> list[str]:
    """A name, and the id that it stands for if it is an alias of the user."""
    with suppress(ConfigError):
        meant = config.load_aliases().get(name)
        return [name, meant] if isinstance(meant, str) else [name]
    return [name]


def resolve_default_model(entries: Sequence[ModelWithAliases] | None = None) -> str:
    """The id of the model that answers where none is named.

    The one the user has set; else the built-in default, unless it needs a key that cannot be found
    and a registered model has a true attribute `answers_without_key`: then that model.
    """
    if chosen := llm.get_default_model(default=None):
        return chosen
    known = listed_models(keyless=True) if entries is None else entries
    if (keyless := _keyless(known)) and _lacks_key(known):
        return keyless.model_id
    return llm.get_default_model()


def nothing_can_answer() -> bool:
    """Whether no default is set, the built-in one lacks its key and no model does without."""
    if llm.get_default_model(default=None):
        return False
    entries = listed_models(keyless=True)
    return _lacks_key(entries) and not _keyless(entries)


def _keyless(entries: Iterable[ModelWithAliases]) -> ModelWithAliases | None:
    for entry in entries:
        with plugins.isolated(entry.plugin):
            if getattr(entry.shown, "answers_without_key", False):
                return entry
    return None


def _lacks_key(entries: Sequence[ModelWithAliases]) -> bool:
    """Whether the built-in default model is absent or has no key."""
    with suppress(NeedsKeyException):
        for entry in bearing(config.DEFAULT_MODEL, entries):
            entry.shown.get_key()
            return False
    return True


# Look-ups that need no list

_Stamp = tuple[int, int] | None
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})


class _Origin(NamedTuple):
    """What a list of models comes from, besides the files that the hooks read."""

    is_replaced: bool
    user_path: str
    hooks: list[HookImpl]

    @classmethod
    def now(cls) -> _Origin:
        is_replaced = llm.get_models_with_aliases is not get_models_with_aliases
        hooks = plugins.manager().hook.register_models.get_hookimpls()
        return cls(is_replaced, config.user_path(), hooks)


class _Known(NamedTuple):
    """What two lists from one origin had in common: it is looked up without a third.

    Two, because only a second one tells what a plugin makes each time, of which copies are given
    out, from what is one object for everybody. What is neither is left to the list.
    """

    origin: _Origin
    files: dict[str, _Stamp]
    entries: list[ModelWithAliases]
    models: dict[str | None, Callable[[], SyncModel] | None]
    twins: dict[str | None, Callable[[], AnyAsyncModel] | None]

    def holds(self) -> bool:
        """Whether nothing has changed since."""
        return self.origin == _Origin.now() and self.files == {
            path: _stamp(path) for path in self.files
        }

    def learn(self, again: list[ModelWithAliases], name: str | None) -> None:
        """Take down what can be given out without a list, now that there is a second one.

        Args:
            again: The second list.
            name: The one name that it is complete for; None for all.
        """
        for old, new in zip(self.entries, again, strict=True):
            names = [one for one in names_of(new) if name in (None, one)]
            # The later of two with one name counts, also where it has to be listed.
            if new.model:
                self.models.update(dict.fromkeys(names, _maker(old.model, new.model)))
            if new.async_model:
                self.twins.update(dict.fromkeys(names, _maker(old.async_model, new.async_model)))


_known: _Known | None = None
_thread = threading.local()


def watch_file(path: AnyPath) -> None:
    """Say in the hook `register_models` that a file decides what is registered.

    `get_model` asks the plugins again once the file has changed; else it need not.
    """
    files: dict[str, _Stamp] | None = getattr(_thread, "files", None)
    if files is not None:
        files[os.fspath(path)] = _stamp(path)


def _stamp(path: AnyPath) -> _Stamp:
    # Asked first: to raise and catch costs more where there is no such file.
    if os.access(path, os.F_OK):
        with suppress(OSError):
            found = os.stat(path)
            return found.st_mtime_ns, found.st_size
    return None


def _listed(name: str | None = None) -> list[ModelWithAliases]:
    """The registered models; what the next look-up can do without a list is kept in `_known`.

    With a `name` just those that have it need be among them.
    """
    global _known
    if name is None:
        plugins.load_plugins()
    origin = _Origin.now()
    outer, files = getattr(_thread, "files", None), dict[str, _Stamp]()
    _thread.files = files
    try:
        entries = _entries()
    finally:
        _thread.files = outer
    before = _known
    if before is None or before[:2] != (origin, files) or len(before.entries) != len(entries):
        _known = None if origin.is_replaced else _Known(origin, files, entries, {}, {})
    elif name is not None or not (before.models or before.twins):
        before.learn(entries, name)
    return entries


AnyModel = TypeVar("AnyModel")


def _maker(old: object, new: AnyModel) -> Callable[[], AnyModel] | None:
    """What gives `new`, or another one like it if it is not `old`; `None` if that is not sure."""
    if old is new:
        return lambda: new
    kind = type(new)
    has_slots = any(vars(base).get("__slots__") for base in kind.__mro__)
    if has_slots or kind.__new__ is not object.__new__ or type(old) is not kind:
        return None
    if not all(map(_is_plain, vars(new).values())):
        return None
    # `new` itself is given out as well, so what is kept is apart from it.
    copies = {
        name: value.copy()
        for name, value in vars(new).items()
        if isinstance(value, (dict, list, set))
    }
    values = {**vars(new), **copies}

    def make() -> AnyModel:
        made = object.__new__(kind)
        vars(made).update(values)
        vars(made).update({name: value.copy() for name, value in copies.items()})
        return made

    return make


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        value = (*value, *value.values())
    items = value if isinstance(value, (list, set, tuple, frozenset)) else (value,)
    return _ATOMS.issuperset(map(type, items))


# Names

#: Those of the models that `llm local install` fetches, with what it is given for them.
INSTALLABLE = {
    **dict.fromkeys(("smollm2", "smollm2-135m", "local/smollm2-135m"), ""),
    **dict.fromkeys(("wordllama", "local/wordllama"), " --embeddings"),
}
AnyEntry = TypeVar("AnyEntry", "ModelWithAliases", "EmbeddingModelWithAliases")


def names_of(entry: ModelWithAliases | EmbeddingModelWithAliases) -> list[str]:
    """Everything that a model can be asked for by."""
    return [*entry.aliases, entry.model_id]


def bearing(name: str, entries: Sequence[AnyEntry]) -> Iterator[AnyEntry]:
    """The entries with that id or alias; the last registered, which counts, comes first."""
    for entry in reversed(entries):
        if entry.model_id == name or name in entry.aliases:
            yield entry


def unknown_model(
    name: str, entries: Iterable[ModelWithAliases | EmbeddingModelWithAliases]
) -> UnknownModelError:
    """The error about a name that none of these models has, with what may help."""
    near = suggestion(name, [known for entry in entries for known in names_of(entry)])
    hints = ". ".join(_hints(name))
    gap = " " if near else ". "
    return UnknownModelError(f"Unknown model: {name}{near}{hints and gap + hints}")


def _hints(name: str) -> Iterator[str]:
    """What may help somebody whose model is not there."""
    if name in INSTALLABLE:
        yield f"To install it: llm local install{INSTALLABLE[name]}"
    elif name.startswith("local/"):
        yield "'llm local list' shows what is installed"
    else:
        from .known_plugins import plugin_for

        if plugin := plugin_for(name):
            yield f"A plugin may have it: llm install {plugin}"
    with suppress(ConfigError):
        if name == llm.get_default_model(default=None):
            yield "It is your default model: 'llm models default MODEL' chooses another one"
