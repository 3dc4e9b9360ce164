"""Makes the plugin index, as a process of its own: imports each plugin, and calls its hooks.

What a plugin does to this process does not matter to anybody, so it can be watched closely.
"""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ... import plugins
from ...cli import cli
from ...errors import ConfigError
from ...files.disabled_plugins import disabled_plugins
from ...material.loaders import BUILTIN_LOADERS
from ...material.registered import as_tool
from ...models.base import EmbeddingModelWithAliases, ModelWithAliases
from ...registry.remembered import EMBEDDING_FEATURES, FEATURES
from .. import searched_folders
from ..records import (
    COMMANDS,
    EVERY_HOOK,
    SEES_ALL,
    IndexContent,
    ModelRecord,
    PluginRecord,
    Stamp,
    has_a_say_in_all,
    is_settled,
    made_for,
    stamp_of,
    write_index,
)
from .commands import WatchedCommands, all_of, command_record, is_same, parts_of
from .watch import Watch, house, is_altered

if TYPE_CHECKING:
    from ...models.base import AnyAsyncModel, SyncModel
    from ...models.embedding import EmbeddingModel
    from ...tools.tool import Tool
    from ...tools.toolbox import Toolbox
    from ..finding import Found

# More files than this are not looked at each time: such a plugin is always loaded.
_MOST_FILES = 300
_TOOLS = "register_tools"
_LOADERS = ("register_template_loaders", "register_fragment_loaders")

T = TypeVar("T")


def main() -> None:
    """Find out about the installed plugins, and write the index if everything is at rest."""
    sys.argv = ["llm"]
    warnings.showwarning = lambda *args, **kwargs: None
    folders = {path: stamp_of(path) for path in searched_folders()}
    # Plugins may change what it depends on.
    environment = made_for()
    survey = _Survey()
    survey.run()
    content = survey.content(environment, folders)
    if is_settled(content["files"].values()):
        write_index(content)


class _Survey:
    """What is known of each plugin so far."""

    def __init__(self) -> None:
        self.records: dict[str, PluginRecord] = {}
        self.files: dict[str, Stamp] = {}
        # Of a plugin the names of its top-level modules.
        self.modules: dict[str, set[str]] = {}
        self.watch = Watch(plugins.running_plugins())
        # Where the names that others have taken decide about the names that something gets.
        self.taken: dict[str, list[tuple[str, str]]] = {}
        # Where it cannot be read which of them are switched off, that is told each time.
        self.gives_up = True

    def run(self) -> None:
        """Import every plugin and call every hook of it."""
        cli.asks_plugins = False
        _import_house()
        cli.commands = WatchedCommands(cli.commands, self.watch)
        for name in ("call_each", "call_others", "load_plugins"):
            setattr(plugins, name, self._watched(getattr(plugins, name)))
        self.watch.start()
        with suppress(ConfigError):
            disabled_plugins()
            self.gives_up = False
        loading = iter(plugins.loading())
        found = next(loading, None)
        while found is not None:
            self._begin(found)
            with self._step(found.name, EVERY_HOOK):
                following = next(loading, None)
            self._look_at_hooks(found.name)
            found = following
        self._call_hooks()

    def _watched(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        """A look-up; what a plugin sees that calls it while it is imported depends on the order."""

        def call(*args: object, **kwargs: object) -> object:
            self.gives_up |= bool(self.watch.plugins) and self.watch.hook == EVERY_HOOK
            return look_up(*args, **kwargs)

        return call

    def content(self, environment: list[str | int], folders: dict[str, Stamp]) -> IndexContent:
        """The index."""
        self._add_doubts()
        files, variables = {**self.files, **folders}, dict[str, int | None]()
        for where, found in self.watch.files.items():
            if self._counts(where):
                files = {**found, **files}
        for where, marks in self.watch.variables.items():
            if self._counts(where):
                variables.update(marks)
        for hook in (_TOOLS, *_LOADERS):
            self._add_numbered(hook)
        return {
            "made_for": environment,
            "files": files,
            "variables": variables,
            "plugins": None if self.gives_up else list(self.records.values()),
        }

    def _add_doubts(self) -> None:
        for (plugin, hook), reason in self.watch.uncertain.items():
            if plugin in self.records:
                self.records[plugin]["uncertain"].setdefault(hook, reason)
        for plugin, hook in self.watch.live:
            if plugin in self.records:
                self.records[plugin]["live"].append(hook)

    def _counts(self, where: tuple[str, str]) -> bool:
        """Whether what was read there decides about what the index says."""
        plugin, hook = where
        record = self.records.get(plugin)
        if record is None:
            return True
        return {hook, EVERY_HOOK}.isdisjoint([*record["uncertain"], *record["live"]])

    # Plugins

    def _begin(self, found: Found) -> None:
        if found.name in self.records:
            # Of two with one name the first counts, unless it fails.
            self.gives_up = True
        self.records[found.name] = {
            "name": found.name,
            "target": ":".join(filter(None, (found.entry_point.module, found.entry_point.attr))),
            "distribution": found.distribution,
            "version": found.version,
            "uncertain": {},
            "live": [],
            "faults": {},
            "names": {},
            "models": [],
            "embedding_models": [],
            "commands": {},
            "reads": [],
            "alters": [],
        }
        reason = self._note_files(found)
        if reason:
            self.records[found.name]["uncertain"][EVERY_HOOK] = reason

    def _note_files(self, found: Found) -> str:
        """Take down the files that belong to a plugin; the reason if they are not known."""
        listed = found.metadata.read_text("RECORD")
        origin = json.loads(found.metadata.read_text("direct_url.json") or "{}")
        if not listed:
            return "nothing lists its files"
        if origin.get("dir_info", {}).get("editable"):
            return "it is installed in editable mode"
        paths = _files_of(found)
        top = found.entry_point.module.split(".")[0]
        base = str(found.metadata.locate_file(top))
        if not {f"{base}.py", os.path.join(base, "__init__.py")} & set(paths):
            return "its files are not all listed"
        if len(paths) > _MOST_FILES:
            return "it has too many files"
        self.modules[found.name] = {top}
        folders = {os.path.dirname(path) for path in paths} - set(searched_folders())
        for path in [*paths, *folders]:
            self.files.setdefault(path, stamp_of(path))
        return ""

    def _look_at_hooks(self, name: str) -> None:
        plugin = plugins.manager().get_plugin(name)
        record = self.records[name]
        callers = plugins.manager().get_hookcallers(plugin) if plugin else None
        if plugin and not callers:
            record["uncertain"][EVERY_HOOK] = "it has no hooks"
        for caller in callers or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin and has_a_say_in_all(implementation):
                    record["uncertain"][caller.name] = SEES_ALL

    def _step(self, plugin: str, hook: str) -> _Step:
        return _Step(self, plugin, hook)

    # Hooks

    def _call_hooks(self) -> None:
        calls: dict[str, Callable[[str], None]] = {
            COMMANDS: self._call_commands,
            "register_models": self._call_models,
            "register_embedding_models": self._call_embedding_models,
            _TOOLS: self._call_tools,
            **dict.fromkeys(_LOADERS, self._call_loaders),
        }
        for hook, call in calls.items():
            self.watch.hook = hook
            for implementation in reversed(getattr(plugins.manager().hook, hook).get_hookimpls()):
                if implementation.plugin_name in self.records:
                    with self._step(implementation.plugin_name, hook):
                        call(implementation.plugin_name)
                elif hook in (_TOOLS, *_LOADERS):
                    call(implementation.plugin_name)

    def _call(self, plugin: str, hook: str, **arguments: object) -> None:
        others = [found for name, found in plugins.manager().list_name_plugin() if name != plugin]
        plugins.manager().subset_hook_caller(hook, others)(**arguments)

    def _call_models(self, plugin: str) -> None:
        entries: list[ModelWithAliases] = []

        def register(
            model: SyncModel | None,
            async_model: AnyAsyncModel | None = None,
            aliases: Iterable[str] | None = None,
        ) -> None:
            entry = ModelWithAliases(model, async_model, list(aliases or ()), plugin)
            entry.aliases += ()
            _ = entry.model_id
            entries.append(entry)

        hook = "register_models"
        self._call(plugin, hook, register=register, model_aliases=entries)
        record = self.records[plugin]
        for entry in entries:
            record["names"].setdefault(hook, []).extend([entry.model_id, *entry.aliases])
            with self._showing(plugin, hook):
                record["models"].append(_same_as_json(_model_record(entry)))

    def _call_embedding_models(self, plugin: str) -> None:
        entries: list[EmbeddingModelWithAliases] = []

        def register(model: EmbeddingModel, aliases: Iterable[str] | None = None) -> None:
            names = [*(aliases or ())]
            _ = model.model_id
            entries.append(EmbeddingModelWithAliases(model, names, plugin))

        hook = "register_embedding_models"
        self._call(plugin, hook, register=register)
        record = self.records[plugin]
        for entry in entries:
            record["names"].setdefault(hook, []).extend([entry.model_id, *entry.aliases])
            with self._showing(plugin, hook):
                record["embedding_models"].append(_same_as_json(_embedding_record(entry)))

    def _showing(self, plugin: str, hook: str) -> _Showing:
        return _Showing(self.watch, plugin, hook)

    def _call_tools(self, plugin: str) -> None:
        def register(
            tool_or_function: Tool | type[Toolbox] | Callable[..., object], name: str | None = None
        ) -> None:
            tool = as_tool(tool_or_function, name)
            self._take(_TOOLS, plugin, tool.name or "")
            if isinstance(tool, type):
                self._take(_TOOLS, plugin, tool.__name__)

        self._call(plugin, _TOOLS, register=register)

    def _call_loaders(self, plugin: str) -> None:
        hook = self.watch.hook

        def register(prefix: str, loader: object) -> None:
            self._take(hook, plugin, prefix)

        self._call(plugin, hook, register=register)

    def _take(self, hook: str, plugin: str, name: str) -> None:
        self.taken.setdefault(hook, []).append((plugin, name))

    def _add_numbered(self, hook: str) -> None:
        """Take down what may be asked for: names, and those with a number that twins get."""
        taken = self.taken.get(hook, [])
        for plugin, name in taken:
            if plugin not in self.records:
                continue
            twins = sum(other == name for _, other in taken)
            names = self.records[plugin]["names"].setdefault(hook, [])
            names += [name, *(f"{name}_{number}" for number in range(1, twins + 1))]
            if hook == "register_fragment_loaders" and name in BUILTIN_LOADERS:
                names.append(f"llm-{name}")

    # Commands

    def _call_commands(self, plugin: str) -> None:
        before = {name: parts_of(command) for name, command in all_of(cli.commands)}
        root = parts_of(cli, commands=False)
        self._call(plugin, COMMANDS, cli=cli)
        after = dict(all_of(cli.commands))
        record = self.records[plugin]
        for name, command in after.items():
            if name not in before:
                with self._showing(plugin, COMMANDS):
                    record["commands"][name] = _same_as_json(command_record(command))
            elif not is_same(before[name], parts_of(command)):
                record["alters"].append(name)
        record["alters"] += before.keys() - after.keys()
        record["names"][COMMANDS] = [*record["commands"], *record["alters"]]
        if not is_same(root, parts_of(cli, commands=False)):
            record["uncertain"][EVERY_HOOK] = "it changes the root of the commands"
        self._note_reads(record)

    def _note_reads(self, record: PluginRecord) -> None:
        watched = cli.commands
        if isinstance(watched, WatchedCommands):
            asked = watched.asked.pop(record["name"], set())
            record["reads"] = sorted(asked - record["commands"].keys())
        others = {name for other in self.records.values() for name in other["commands"]}
        others -= record["commands"].keys()
        if others & {*record["reads"], *record["alters"]} or EVERY_HOOK in record["reads"]:
            record["uncertain"][COMMANDS] = SEES_ALL


def _files_of(found: Found) -> list[str]:
    return [
        os.path.normpath(str(found.metadata.locate_file(file)))
        for file in found.metadata.files or ()
        if file.suffix != ".pyc" and file.name not in ("RECORD", "INSTALLER", "REQUESTED")
    ]


class _Step:
    """Around the code of a plugin: what is printed, altered and failing is taken down."""

    def __init__(self, survey: _Survey, plugin: str, hook: str) -> None:
        self.survey, self.plugin, self.hook = survey, plugin, hook

    def __enter__(self) -> None:
        self.survey.watch.hook = self.hook
        self.house = house()
        self.streams = sys.stdout, sys.stderr
        self.printed = io.StringIO()
        sys.stdout = sys.stderr = self.printed

    def __exit__(self, *exception: object) -> None:
        sys.stdout, sys.stderr = self.streams
        survey, record = self.survey, self.survey.records[self.plugin]
        printed = self.printed.getvalue()
        faults = plugins.faults()
        plugins.forget_faults()
        for fault in faults:
            if fault.plugin not in survey.records:
                survey.gives_up = True
                continue
            survey.records[fault.plugin]["faults"][self.hook] = fault.problem
            printed = "".join(
                line
                for line in printed.splitlines(keepends=True)
                if not line.startswith(f"Plugin {fault.name} failed to load: ")
            )
        if printed:
            record["uncertain"].setdefault(EVERY_HOOK, "it prints")
        own = survey.modules.get(self.plugin, set())
        if is_altered(self.house, lambda module: module.split(".")[0] not in own):
            record["uncertain"].setdefault(EVERY_HOOK, "it changes the program")


class _Showing:
    """Around what asks a model or a command how it is shown: if that fails it is not known."""

    def __init__(self, watch: Watch, plugin: str, hook: str) -> None:
        self.watch, self.plugin, self.hook = watch, plugin, hook

    def __enter__(self) -> None:
        self.watch.plugins.append(self.plugin)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> bool:
        if kind is not None:
            self.watch.doubt("it cannot be shown", self.hook)
        self.watch.plugins.pop()
        return kind is not None and issubclass(kind, Exception)


def _import_house() -> None:
    """Have everything that is served on first use, so that what is new later is not ours."""
    import llm

    for module in (llm, sys.modules["llm.cli"]):
        for name in dir(module):
            getattr(module, name, None)
    for _, command in all_of(cli.commands):
        parts_of(command)


# Records


def _model_record(entry: ModelWithAliases) -> ModelRecord:
    shown, twin = entry.model, entry.async_model
    features = {name: getattr(entry.shown, name) for name in FEATURES}
    features["attachment_types"] = sorted(features["attachment_types"])
    return {
        "model_id": entry.model_id,
        "aliases": entry.aliases,
        "shown": None if shown is None else str(shown),
        "async_shown": None if twin is None else str(twin),
        "async_id": None if twin is None else twin.model_id,
        "features": features,
        "server_side_tools": [
            {"name": tool.__name__, "plugin": tool.plugin}
            for tool in entry.shown.supported_server_side_tools
        ],
    }


def _embedding_record(entry: EmbeddingModelWithAliases) -> ModelRecord:
    return {
        "model_id": entry.model_id,
        "aliases": entry.aliases,
        "shown": str(entry.model),
        "async_shown": None,
        "async_id": None,
        "features": {name: getattr(entry.model, name) for name in EMBEDDING_FEATURES},
        "server_side_tools": [],
    }


def _same_as_json(record: T) -> T:
    """The record, if reading it gives what was written."""
    if json.loads(json.dumps(record)) != record:
        raise TypeError("it cannot be written down")
    return record
