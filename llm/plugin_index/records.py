"""The plugin index: what each installed plugin registers, and what that depends on.

A plugin that is in it need not be imported to know what it has. The index lies in the `cache`
folder of the user directory, one file for each environment. It holds as long as the folders of
`sys.path`, the files of the plugins, and the files and variables that they read are what they
were; it may be deleted at any time. `llm.plugin_survey` makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeGuard
from zlib import crc32

from .._version import VERSION
from ..files.config import user_dir, user_path
from . import SETTLED_NS, has_settled, is_ours, searched_folders

if TYPE_CHECKING:
    from pluggy import HookImpl

    from ..text import JSONObject

COMMANDS = "register_commands"
#: A hook that stands for all of them, and for the import.
EVERY_HOOK = "*"
_FORMAT = 1
# An index that holds no longer is not made anew sooner than this: where something changes all the
# time that would cost more than it saves.
_REST_NS = 60_000_000_000
_MOST_FILES = 8
_SURVEY = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "from llm.plugin_index.survey.run import main; main()"
)
_SURVEY_LIMIT_S = 60
#: The reason of a plugin that changes, or looks at, what others register.
SEES_ALL = "it sees what other plugins register"


class ModelRecord(TypedDict):
    """A model that a plugin registers, with what listings show of it."""

    model_id: str
    aliases: list[str]
    #: The models as text, None for one that there is not.
    shown: str | None
    async_shown: str | None
    async_id: str | None
    #: What both have in common, by the names of the attributes.
    features: JSONObject
    server_side_tools: list[dict[str, str | None]]


class CommandRecord(TypedDict):
    """A command that a plugin adds, with what its line in the help is made of."""

    help: str | None
    short_help: str | None
    hidden: bool
    deprecated: bool | str


class PluginRecord(TypedDict):
    """A plugin, with what it registers by hook.

    Attributes:
        name: The name of its entry point.
        target: `module:attribute` of its entry point.
        uncertain: The hooks for which it is loaded whenever they are called, with the reason.
        live: The hooks for which it used the network.
        faults: The problem by the hook that failed.
        names: By hook what may be asked for: ids and aliases of models, tools, prefixes, commands.
        reads: The commands that it looks at while it registers its own.
        alters: The commands of others that it changes.
    """

    name: str
    target: str
    distribution: str
    version: str
    uncertain: dict[str, str]
    live: list[str]
    faults: dict[str, str]
    names: dict[str, list[str]]
    models: list[ModelRecord]
    embedding_models: list[ModelRecord]
    commands: dict[str, CommandRecord]
    reads: list[str]
    alters: list[str]


class Stamp(TypedDict, total=False):
    """What a file or folder was like; only `kind` where just that was asked."""

    kind: int
    times: list[int]


class IndexContent(TypedDict):
    """The file: `plugins` in the order of registration, None where all have to be loaded."""

    made_for: list[str | int]
    files: dict[str, Stamp]
    variables: dict[str, int | None]
    plugins: list[PluginRecord] | None


class Index(NamedTuple):
    """The plugins of an environment, as they were found."""

    path: str
    content: IndexContent

    def holds(self) -> bool:
        """Whether everything that it depends on is as it was."""
        variables, files = self.content["variables"], self.content["files"]
        return all(value == mark_of(name) for name, value in variables.items()) and all(
            stamp == stamp_of(path, whole="times" in stamp) for path, stamp in files.items()
        )

    def may_be_renewed(self) -> bool:
        """Whether it is not too recent for that."""
        with contextlib.suppress(OSError):
            return abs(time.time_ns() - os.stat(self.path).st_mtime_ns) > _REST_NS
        return True

    def forget_if_wrong(self, hook: str, names: Iterable[str], plugins: Iterable[str]) -> bool:
        """Delete the file if it does not say that just these plugins register one of these names.

        What it says of plugins that have to be asked each time does not count. The next command
        that could use the index makes it anew.
        """
        wanted, found = set(names), set(plugins)
        for record in self.content["plugins"] or []:
            is_sure = {hook, EVERY_HOOK}.isdisjoint([*record["uncertain"], *record["live"]])
            known = record["commands"] if hook == COMMANDS else record["names"].get(hook, ())
            if is_sure and wanted.isdisjoint(known) == (record["name"] in found):
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
                return True
        return False


# What it depends on


def made_for() -> list[str | int]:
    """What an index has to be made for to be of use here."""
    return [_FORMAT, VERSION, sys.version, sys.prefix, *searched_folders()]


def mark_of(variable: str) -> int | None:
    """A checksum of the value of an environment variable; None where it is not set."""
    value = os.environ.get(variable)
    return None if value is None else crc32(os.fsencode(value))


def stamp_of(path: str, *, whole: bool = True) -> Stamp:
    """What tells whether a file, or the list of a folder, has changed; not whole: what it is."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {"times": []} if whole else {}
    kind = found.st_mode
    if not whole:
        return {"kind": kind}
    return {"kind": kind, "times": [found.st_mtime_ns, found.st_ctime_ns, found.st_size]}


def is_settled(stamps: Iterable[Stamp]) -> bool:
    """Whether a further change of any of these files would show."""
    return all(has_settled(stamp["times"][0]) for stamp in stamps if stamp.get("times"))


# The file


def index_path(environment: list[str | int]) -> str:
    """Where the index of an environment is kept, as `made_for` tells them apart."""
    number = crc32(os.fsencode("\n".join(map(str, environment))))
    return os.path.join(user_path(), "cache", f"plugins-{number:08x}.json")


def read_index() -> Index | None:
    """The index of this environment, whether it holds or not; None where there is none of ours."""
    path = index_path(made_for())
    try:
        with open(path, "rb") as file:
            if not is_ours(file.fileno()):
                return None
            content = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    if not _is_content(content) or content["made_for"] != made_for():
        return None
    return Index(path, content)


def _is_content(content: object) -> TypeGuard[IndexContent]:
    # Only we write it; a file that was cut off is no JSON.
    return isinstance(content, dict) and content.keys() == IndexContent.__annotations__.keys()


def write_index(content: IndexContent) -> None:
    """Keep an index; nothing happens where that cannot be done."""
    path = index_path(content["made_for"])
    if not os.path.isdir(user_path()):
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
        os.replace(temporary, path)
        _remove_old(os.path.dirname(path))


def _remove_old(folder: str) -> None:
    """Remove the indexes that were written longest ago, which are those of other environments."""
    with os.scandir(folder) as entries:
        found = [
            (entry.stat().st_mtime_ns, entry.path)
            for entry in entries
            if entry.name.startswith("plugins-") and entry.name.endswith((".json", ".tmp"))
        ]
    for _, path in sorted(found)[:-_MOST_FILES]:
        os.unlink(path)


# What it says


def loaded_for(
    plugins: list[PluginRecord], hook: str, names: Iterable[str] | None
) -> Iterator[str]:
    """The plugins that have to be loaded before `hook` is called.

    Args:
        plugins: Those of the index.
        hook: The hook.
        names: What is looked for among the things registered; None for a listing, which takes
            what can be remembered from the index.
    """
    wanted = None if names is None else set(names)
    if wanted and hook == COMMANDS:
        wanted = _with_read_commands(plugins, wanted)
    for plugin in plugins:
        is_asked = {hook, EVERY_HOOK}.intersection
        if wanted is None:
            is_needed = bool(is_asked(plugin["live"]) or (hook == COMMANDS and plugin["alters"]))
        else:
            is_needed = not wanted.isdisjoint(plugin["names"].get(hook, ()))
        if is_needed or is_asked(plugin["uncertain"]):
            yield plugin["name"]


def _with_read_commands(plugins: list[PluginRecord], wanted: set[str]) -> set[str]:
    """These commands and those that their plugins look at, which others may have changed."""
    while True:
        more = set(wanted)
        for plugin in plugins:
            if not wanted.isdisjoint(plugin["names"].get(COMMANDS, ())):
                more.update(plugin["reads"], plugin["alters"])
        if more == wanted:
            return wanted
        wanted = more


def sees_all(plugins: list[PluginRecord], hook: str, loaded: set[str]) -> bool:
    """Whether one of the loaded plugins needs to see in this hook what all others register."""
    return any(
        plugin["name"] in loaded and plugin["uncertain"].get(hook) == SEES_ALL for plugin in plugins
    )


def has_a_say_in_all(implementation: HookImpl) -> bool:
    """Whether an implementation of a hook changes what others register, or their order."""
    return (
        implementation.tryfirst
        or implementation.trylast
        or implementation.wrapper
        or implementation.hookwrapper
        or "model_aliases" in implementation.argnames
    )


def imported(target: str) -> object:
    """What an entry point names, `module:attribute`."""
    module, _, attributes = target.partition(":")
    found: object = import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


# Making it


def current_index(*, renew: bool) -> Index | None:
    """The index of this environment if it holds; with `renew` it is made where it does not."""
    found = read_index()
    if found is not None and found.holds():
        return found
    if not renew or (found is not None and not found.may_be_renewed()) or not _can_be_made(found):
        return None
    make_index()
    found = read_index()
    return found if found is not None and found.holds() else None


def _can_be_made(old: Index | None) -> bool:
    # A program that is frozen has no interpreter that could be started.
    if not sys.executable or getattr(sys, "frozen", False) or not os.path.isdir(user_path()):
        return False
    files = old.content["files"] if old else {}
    # Of other folders only that they are there counts.
    paths = [*searched_folders(), *(path for path, stamp in files.items() if "times" in stamp)]
    return is_settled(map(stamp_of, paths))


def renew_index() -> bool:
    """Make the index whatever is there, as soon as everything is at rest; whether it holds then."""
    user_dir()
    old = read_index()
    if old is not None:
        with contextlib.suppress(OSError):
            os.unlink(old.path)
    end = time.monotonic() + 2 * SETTLED_NS / 1e9
    while not (can_be_made := _can_be_made(None)) and time.monotonic() < end:
        time.sleep(0.1)
    if can_be_made:
        make_index(wait_s=_SURVEY_LIMIT_S)
    found = read_index()
    return found is not None and found.content["plugins"] is not None and found.holds()


def make_index(wait_s: float = 0) -> None:
    """Make the index, in a process of its own: nothing that plugins do then stays in this one.

    Where another process does so it is waited for, if at all, as long as `wait_s`.

    Where plugins end that process, or do not let it end, the index says that all are to be loaded.
    """
    import subprocess

    from ..files import locked

    folder = os.path.dirname(index_path(made_for()))
    # Folders that change meanwhile make the index one that does not hold.
    files = {path: stamp_of(path) for path in searched_folders()}
    # A lock that somebody holds is an OSError as well.
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with locked(os.path.join(folder, "plugins.lock"), timeout_s=wait_s):
            process = subprocess.Popen(
                [sys.executable, "-c", _SURVEY, json.dumps(searched_folders())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                ended = process.wait(_SURVEY_LIMIT_S) == 0
            except subprocess.TimeoutExpired:
                ended = False
            finally:
                process.kill()
                process.wait()
            if not ended:
                write_index(
                    {"made_for": made_for(), "files": files, "variables": {}, "plugins": None}
                )
