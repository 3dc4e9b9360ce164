"""Plugins: loading those that are needed, calling their hooks, and surviving their faults.

A plugin that fails costs one line on stderr; everything else goes on. `LLM_RAISE_ERRORS` lets the
exception through instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from . import plugin_index
from ._lazy import stand_ins
from .text.secrets import said_by

if TYPE_CHECKING:
    from pluggy import PluginManager

    from .plugin_index.finding import Found
    from .plugin_index.records import Index, PluginRecord

    pm: PluginManager

_GROUP = "llm"
DEFAULTS_PREFIX = "llm.default_plugins."
# Everything is loaded where one of these is set: the second one wants the exceptions themselves.
_WITHOUT_INDEX = ("LLM_NO_PLUGIN_INDEX", "LLM_RAISE_ERRORS")

_OF_PROVIDERS = ("register_commands", "register_embedding_models", "register_models")
# The default plugins and the hooks that each implements: their modules are imported when a hook of
# theirs is called. Later ones are called earlier.
DEFAULT_PLUGINS: Mapping[str, tuple[str, ...]] = {
    "llm.default_plugins.local": _OF_PROVIDERS,
    "llm.default_plugins.openai_models": _OF_PROVIDERS,
    "llm.default_plugins.default_tools": ("register_tools",),
}


class Fault(NamedTuple):
    """What is wrong with a plugin.

    Attributes:
        plugin: The name it is registered under.
        name: The name to show: that of its distribution where it has one.
        version: The version of the distribution, or None.
        problem: Class and text of the first exception, on one line.
    """

    plugin: str
    name: str
    version: str | None
    problem: str


# Whether Ctrl-C during the import or a hook of a plugin gives up that plugin alone: the command
# needs no plugin, and sends nothing.
outlasts_interrupts = False
# Whether this process may start another one that makes the plugin index: it is the program itself.
makes_index = False

_loaded = False
# Two, so that asking for the manager never waits for the import of a plugin.
_load_lock = threading.RLock()
_manager_lock = threading.Lock()
_manager: PluginManager | None = None
# The name and version of the distribution of each plugin that has one.
_origins: dict[str, tuple[str, str]] = {}
_faults: dict[str, Fault] = {}
_running = threading.local()
# The index, once it was read; the plugins that were loaded because of it, before all were; those
# that somebody had registered by then.
_index: Index | None = None
_some: set[str] = set()
_earlier: list[str] | None = None
_importing = False


def __getattr__(name: str) -> object:
    if name == "pm":
        return manager()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def manager() -> PluginManager:
    """The plugin manager, the same object as `llm.pm`; made on first use, without any plugin."""
    global _manager
    with _manager_lock:
        if _manager is None:
            _manager = _new_manager()
        return _manager


def load_plugins() -> None:
    """Load all installed plugins and the default ones, once per process.

    `LLM_LOAD_PLUGINS` restricts the installed ones to the distributions it names.
    """
    with _load_lock:
        # A plugin that looks up models while it is imported must not start over.
        if not (_loaded or _importing):
            _load_all(_entry_points_possible())


def call_each(hook_name: str, **arguments: object) -> None:
    """Call a hook of `llm.hookspecs` of every plugin, the plugin registered last first.

    Within `enough_for`, of those plugins that are loaded.
    """
    _load_unless_enough(hook_name)
    getattr(manager().hook, hook_name)(**arguments)


def call_others(hook_name: str, called: set[str], **arguments: object) -> None:
    """As `call_each`, but of plugins that are not among `called`, to which they are added."""
    _load_unless_enough(hook_name)
    implemented = getattr(manager().hook, hook_name).get_hookimpls()
    before = [found.plugin for found in implemented if found.plugin_name in called]
    called.update(found.plugin_name for found in implemented)
    manager().subset_hook_caller(hook_name, before)(**arguments)


def guests_possible() -> bool:
    """False where it is certain that no plugin takes part but the default ones.

    Loads nothing.
    """
    return guests_loaded() or (not _loaded and _entry_points_possible())


def guests_loaded() -> bool:
    """Whether a plugin takes part that is none of the default ones."""
    return _manager is not None and any(
        plugin is not None and not name.startswith(DEFAULTS_PREFIX)
        for name, plugin in _manager.list_name_plugin()
    )


def running_plugins() -> list[str]:
    """The names of the plugins whose hooks this thread is in, the innermost last; a live list."""
    names: list[str] = _running.__dict__.setdefault("names", [])
    return names


def faults() -> list[Fault]:
    """The plugins that have failed in this process, in the order of their first failure."""
    return list(_faults.values())


def forget_faults() -> None:
    """Let the next failure of each plugin be its first."""
    _faults.clear()


def origins() -> dict[str, tuple[str, str]]:
    """The name and version of the distribution of each plugin that has one, loaded or not."""
    return _origins


# Loading


def _entry_points_possible() -> bool:
    chosen = os.environ.get("LLM_LOAD_PLUGINS")
    if chosen is not None:
        return any(name.strip() for name in chosen.split(","))
    if hasattr(sys, "_called_from_test"):
        return False
    return plugin_index.any_plugin_installed(offers=makes_index)


def loading() -> Iterator[Found]:
    """As `load_plugins`, one plugin at a time; each is given before it is imported."""
    global _loaded
    from .plugin_index.faults import tell
    from .plugin_index.finding import find_plugins

    _loaded = True
    with _in_order() as aside:
        for found in find_plugins(tell, _report):
            yield found
            _load_found(found, aside)


def _load_found(found: Found, aside: dict[str, object]) -> None:
    name = found.name
    if name in aside:
        _register(name, aside.pop(name))
    elif name not in _some and _is_free(name):
        _origins[name] = found.distribution, found.version
        with isolated(name):
            _register(name, found.entry_point.load())


def _register(name: str, plugin: object) -> None:
    try:
        manager().register(plugin, name=name)
    except BaseException:
        if manager().has_plugin(name):
            manager().unregister(name=name)
        raise


def _is_free(name: str) -> bool:
    return not manager().has_plugin(name) and not manager().is_blocked(name)


@contextlib.contextmanager
def _in_order() -> Iterator[dict[str, object]]:
    """Register installed plugins within it: the default ones follow them.

    It gives those that came since the first such time. What is taken out is registered in its turn,
    the others at the end.
    """
    global _earlier
    from .hookspecs import hookimpl

    registered = {name: found for name, found in manager().list_name_plugin() if found is not None}
    _earlier = list(registered) if _earlier is None else _earlier
    aside = {name: registered[name] for name in registered if name not in _earlier}
    for name in aside:
        manager().unregister(name=name)
    try:
        yield aside
    finally:
        ours = stand_ins(DEFAULT_PLUGINS, hookimpl)
        for name in filter(_is_free, DEFAULT_PLUGINS):
            _register(name, aside.pop(name, None) or ours[name])
        for name, plugin in aside.items():
            _register(name, plugin)


def _load_all(are_possible: bool) -> None:
    global _loaded
    _loaded = True
    if are_possible:
        list(loading())
        return
    with _in_order():
        pass


# Loading some


@contextlib.contextmanager
def enough_for(hook_name: str, names: Iterable[str] | None = None) -> Iterator[list[PluginRecord]]:
    """Within it the hook is called of the plugins that matter, and only those are imported.

    Args:
        hook_name: The hook.
        names: Which names of models, tools, prefixes or commands are looked for. Without it a
            listing is made.

    Returns:
        What the plugin index says of those that are left out: plugins that register no such name,
        or, in a listing, just what stands there. Empty where all plugins are called.
    """
    left = _load_some(hook_name, names)
    state = _running.__dict__
    outer = state.get("enough")
    state["enough"] = None if left is None else (hook_name, len(running_plugins()))
    try:
        yield left or []
    finally:
        state["enough"] = outer


def _load_unless_enough(hook_name: str) -> None:
    # Not so for what a hook looks up that was called within it.
    if _running.__dict__.get("enough") != (hook_name, len(running_plugins())):
        load_plugins()


def can_load_some(*, or_all: bool = True) -> bool:
    """Whether there is an index that saves loading all plugins; else, with `or_all`, all are."""
    return _records_or_all(or_all) is not None


def call_order() -> dict[str, int]:
    """The place of each plugin in the order of calls, of those that are not loaded, too."""
    records = (_index.content["plugins"] if _index else None) or []
    registered = [name for name, _ in manager().list_name_plugin()]
    names = [*(_earlier or ()), *(record["name"] for record in records), *registered]
    return {name: -place for place, name in enumerate(dict.fromkeys(names))}


def check_index(hook_name: str, names: Iterable[str], plugins: Iterable[str]) -> bool:
    """Forget the index if it does not say that just these plugins register one of these names.

    Returns:
        Whether it was wrong.
    """
    return _index is not None and _index.forget_if_wrong(hook_name, names, plugins)


def _load_some(hook_name: str, names: Iterable[str] | None) -> list[PluginRecord] | None:
    """Load what matters, and return what the index says of the others; None if all are loaded."""
    if _loaded:
        return None
    with _load_lock:
        records = _records_or_all()
        if records is None:
            return None
        from .plugin_index.records import has_a_say_in_all, loaded_for, sees_all

        wanted = set(loaded_for(records, hook_name, names))
        _load_records(records, wanted)
        called = getattr(manager().hook, hook_name).get_hookimpls()
        if sees_all(records, hook_name, wanted) or any(map(has_a_say_in_all, called)):
            load_plugins()
            return None
        left = [record for record in records if record["name"] not in _some]
        for record in left:
            _tell_remembered(record, hook_name)
        return left


def _records_or_all(or_all: bool = True) -> list[PluginRecord] | None:
    """What the index says of the installed plugins; None where all are loaded, now or before."""
    if _loaded:
        return None
    with _load_lock:
        is_possible = _index is not None or _entry_points_possible()
        records = _usable_records() if is_possible else None
        if records is None and or_all and not _importing:
            _load_all(is_possible)
        return records


def _usable_records() -> list[PluginRecord] | None:
    global _index
    if "LLM_LOAD_PLUGINS" in os.environ or any(map(os.environ.get, _WITHOUT_INDEX)):
        return None
    from .plugin_index.records import current_index

    if _index is None or not _index.holds():
        try:
            _index = current_index(renew=makes_index)
        except KeyboardInterrupt:
            if not outlasts_interrupts:
                raise
    return _index and _index.content["plugins"]


def _load_records(records: list[PluginRecord], wanted: set[str]) -> None:
    """Import the wanted plugins, and register them where they stand in the order of all."""
    new = [one for one in records if one["name"] in wanted - _some]
    _some.update(wanted)
    found = {record["name"]: plugin for record in new if (plugin := _imported(record))}
    if found or _earlier is None:
        with _in_order() as aside:
            aside.update(found)
            for name in (record["name"] for record in records if record["name"] in aside):
                with isolated(name):
                    _register(name, aside.pop(name))


def _imported(record: PluginRecord) -> object | None:
    global _importing
    from .plugin_index.records import imported

    name = record["name"]
    if _is_free(name):
        _origins[name] = record["distribution"], record["version"]
        _importing = True
        try:
            with isolated(name):
                return imported(record["target"])
        finally:
            _importing = False
    return None


def _tell_remembered(record: PluginRecord, hook_name: str) -> None:
    """Report the fault that a plugin had when it was indexed, as if it were loaded now."""
    from .plugin_index.records import EVERY_HOOK

    for hook, problem in record["faults"].items():
        if hook in (hook_name, EVERY_HOOK):
            name = record["name"]
            _tell_fault(Fault(name, record["distribution"], record["version"], problem))


# Isolation


def _new_manager() -> PluginManager:
    import warnings

    from pluggy import PluginManager

    from . import hookspecs

    # A plugin that replaces the look-up calls this hook itself, without what was added to it later.
    warnings.filterwarnings("ignore", "Argument.*'model_aliases' which are declared in the hook")

    class GuardedManager(PluginManager):
        """A plugin manager whose hook calls survive the exceptions of plugins."""

        def register(self, plugin: object, name: str | None = None) -> str | None:
            registered = super().register(plugin, name)
            for caller in self.get_hookcallers(plugin) or []:
                for implementation in caller.get_hookimpls():
                    if implementation.plugin is plugin:
                        is_wrapper = implementation.wrapper or implementation.hookwrapper
                        guard = _guarded_wrapper if is_wrapper else _guarded
                        guarded = guard(implementation.plugin_name, implementation.function)
                        # Declared final, though arguments and order stay.
                        object.__setattr__(implementation, "function", guarded)
            return registered

    made = GuardedManager(_GROUP)
    made.add_hookspecs(hookspecs)
    return made


def _guarded(plugin: str, function: Callable[..., object]) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        with isolated(plugin):
            return function(*args, **kwargs)
        return None

    return call


def _guarded_wrapper(
    plugin: str, function: Callable[..., object]
) -> Callable[..., Generator[None, object, object]]:
    def call(*args: object, **kwargs: object) -> Generator[None, object, object]:
        wrapper: Generator[None, object, object] | None = None
        with isolated(plugin):
            wrapper = function(*args, **kwargs)  # type: ignore[assignment]  # pluggy checked it
            next(wrapper)  # type: ignore[arg-type]  # a generator, see above
        outcome = yield
        with isolated(plugin):
            try:
                if wrapper is not None:
                    wrapper.send(outcome)
            except StopIteration as end:
                outcome = end.value
        return outcome

    return call


@contextlib.contextmanager
def isolated(plugin: str) -> Iterator[None]:
    """Run code of a plugin: where it raises, that is reported once, and what follows goes on.

    What it prints goes to standard error: output of a command is not its affair.
    """
    names = running_plugins()
    names.append(plugin)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except BaseException as ex:
        _report(plugin, ex)
    finally:
        names.pop()


def _report(plugin: str, ex: BaseException) -> None:
    """Say once for each plugin what is wrong; with LLM_RAISE_ERRORS raise it instead."""
    if isinstance(ex, KeyboardInterrupt):
        # It may be meant for the command, too.
        if not outlasts_interrupts:
            raise ex
        ex = InterruptedError("it took too long, and was interrupted")
    if os.environ.get("LLM_RAISE_ERRORS"):
        if isinstance(ex, SystemExit):
            # It would end the program without a word.
            raise RuntimeError(f"{plugin} wants to end the program") from ex
        raise ex
    name, version = _origins.get(plugin, (plugin, None))
    problem = " ".join(f"{type(ex).__name__}: {said_by(ex)}".split()).removesuffix(":")
    _tell_fault(Fault(plugin, name, version, problem))


def _tell_fault(fault: Fault) -> None:
    """Say, once for each plugin, that it has failed; the program, once for each fault."""
    if _faults.setdefault(fault.plugin, fault) is fault:
        from .plugin_index.faults import tell, tell_new

        if makes_index:
            tell_new(*fault[1:])
        else:
            tell(f"Plugin {fault.name} failed to load: {fault.problem}")
