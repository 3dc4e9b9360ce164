"""Plugins: finding them, loading them, calling their hooks, and surviving their faults.

A plugin that fails costs one line on stderr; everything else goes on. `LLM_RAISE_ERRORS` lets the
exception through instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from . import plugin_index

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from pluggy import PluginManager

    pm: PluginManager

_GROUP = "llm"
_DEFAULTS_PREFIX = "llm.default_plugins."

# The default plugins and the hooks that each implements: their modules are imported when a hook of
# theirs is called. Later ones are called earlier.
DEFAULT_PLUGINS = {
    "llm.default_plugins.local": ("register_commands", "register_models"),
    "llm.default_plugins.openai_models": (
        "register_commands",
        "register_embedding_models",
        "register_models",
    ),
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

_loaded = False
# Two, so that asking for the manager never waits for the import of a plugin.
_load_lock = threading.RLock()
_manager_lock = threading.Lock()
_manager: PluginManager | None = None
# The name and version of the distribution of each plugin that has one.
_origins: dict[str, tuple[str, str]] = {}
_faults: dict[str, Fault] = {}
_running = threading.local()


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
    global _loaded
    with _load_lock:
        if _loaded:
            return
        # Set first: a plugin that looks up models while it is imported must not start over.
        _loaded = True
        if _entry_points_possible():
            for entry_point, distribution in _find_entry_points():
                _load_entry_point(entry_point, distribution)
        for name, hooks in DEFAULT_PLUGINS.items():
            if not manager().has_plugin(name) and not manager().is_blocked(name):
                manager().register(_stand_in(name, hooks), name=name)


def call_each(hook_name: str, **arguments: object) -> None:
    """Call a hook of `llm.hookspecs` of every plugin, the plugin registered last first."""
    load_plugins()
    getattr(manager().hook, hook_name)(**arguments)


def guests_possible() -> bool:
    """False where it is certain that no plugin takes part but the default ones.

    Loads nothing.
    """
    return guests_loaded() or (not _loaded and _entry_points_possible())


def guests_loaded() -> bool:
    """Whether a plugin takes part that is none of the default ones."""
    return _manager is not None and any(
        plugin is not None and not name.startswith(_DEFAULTS_PREFIX)
        for name, plugin in _manager.list_name_plugin()
    )


def running_plugins() -> list[str]:
    """The names of the plugins whose hooks this thread is in, the innermost last; a live list."""
    names: list[str] = _running.__dict__.setdefault("names", [])
    return names


def faults() -> list[Fault]:
    """The plugins that have failed in this process, in the order of their first failure."""
    return list(_faults.values())


def get_plugins(all: bool = False) -> list[dict[str, object]]:
    """The loaded plugins in the order of registration, then those that could not be loaded.

    Args:
        all: Include the default plugins.

    Returns:
        A dict for each with `name` (of the distribution where it has one), `hooks` (sorted names),
        `version` where it is known, and `fault` (a text) where it has failed.
    """
    load_plugins()
    registered = {name: plugin for name, plugin in manager().list_name_plugin() if plugin}
    rows = [_describe(name, registered.get(name)) for name in {**registered, **_faults}]
    return [row for row in rows if all or not str(row["name"]).startswith(_DEFAULTS_PREFIX)]


def _describe(plugin_name: str, plugin: object | None) -> dict[str, object]:
    callers = manager().get_hookcallers(plugin) if plugin else None
    name = getattr(plugin, "__name__", plugin_name)
    row: dict[str, object] = {"name": name, "hooks": sorted(found.name for found in callers or ())}
    if plugin_name in _origins:
        row["name"], row["version"] = _origins[plugin_name]
    if plugin_name in _faults:
        row["fault"] = _faults[plugin_name].problem
    return row


# Loading


def _entry_points_possible() -> bool:
    chosen = os.environ.get("LLM_LOAD_PLUGINS")
    if chosen is not None:
        return any(name.strip() for name in chosen.split(","))
    if hasattr(sys, "_called_from_test"):
        return False
    return plugin_index.any_plugin_installed()


def _find_entry_points() -> Iterator[tuple[EntryPoint, Distribution]]:
    """The entry points in a stable order: as LLM_LOAD_PLUGINS names them, else by distribution."""
    from importlib import metadata

    chosen = os.environ.get("LLM_LOAD_PLUGINS")
    distributions: list[Distribution] = []
    if chosen is None:
        distributions += filter(_entry_points_of, metadata.distributions())
        distributions.sort(key=lambda found: _field(found, "Name").lower())
    for name in filter(None, map(str.strip, (chosen or "").split(","))):
        try:
            distributions.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            _tell(f"Plugin {name} could not be found")
    for distribution in distributions:
        for entry_point in _entry_points_of(distribution):
            yield entry_point, distribution


def _entry_points_of(distribution: Distribution) -> list[EntryPoint]:
    try:
        return [found for found in distribution.entry_points if found.group == _GROUP]
    except Exception as ex:
        # Metadata that cannot be read concerns us only where it may be that of a plugin.
        if f"[{_GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
            _report(_field(distribution, "Name") or "(unnamed)", ex)
        return []


def _field(distribution: Distribution, name: str) -> str:
    """A field of the metadata, or nothing; Python warns of asking for one that is missing."""
    metadata = distribution.metadata
    return metadata[name] if name in metadata else ""  # noqa: SIM401 (its type has no get)


def _load_entry_point(entry_point: EntryPoint, distribution: Distribution) -> None:
    name = entry_point.name
    if manager().has_plugin(name) or manager().is_blocked(name):
        return
    _origins[name] = _field(distribution, "Name") or name, _field(distribution, "Version")
    with isolated(name):
        try:
            manager().register(entry_point.load(), name=name)
        except BaseException:
            if manager().has_plugin(name):
                manager().unregister(name=name)
            raise


def _stand_in(name: str, hooks: tuple[str, ...]) -> ModuleType:
    """A module that imports the default plugin `name` when one of its hooks is called."""
    from importlib import import_module

    from .hookspecs import hookimpl

    def call(hook: str, argument: object) -> None:
        # The root group has a table of what the default plugins add to it.
        if name not in getattr(argument, "provides", ()):
            getattr(import_module(name), hook)(argument)

    def caller(hook: str) -> Callable[[object], None]:
        # The hooks know their arguments by name.
        if hook == "register_commands":
            return lambda cli: call(hook, cli)
        return lambda register: call(hook, register)

    module = ModuleType(name, f"Stands in for {name} until one of its hooks is called.")
    for hook in hooks:
        setattr(module, hook, hookimpl(caller(hook)))
    return module


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
    problem = " ".join(f"{type(ex).__name__}: {ex}".split()).removesuffix(":")
    fault = Fault(plugin, name, version, problem)
    if _faults.setdefault(plugin, fault) is fault:
        _tell(f"Plugin {name} failed to load: {problem}")


def _tell(line: str) -> None:
    from .text import visible
    from .text.secrets import masked

    err = sys.stderr
    if err is not None:
        line = masked(line)
        print(visible(line) if err.isatty() else line, file=err)
