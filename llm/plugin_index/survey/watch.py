"""What plugins do while they are imported and their hooks run: what they read, and what they alter.

For the process that makes the plugin index alone: nothing of this can be taken back.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ...files.config import logs_db_path, user_path
from ..records import EVERY_HOOK, Stamp, mark_of, stamp_of

_NETWORK = frozenset(
    {
        *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"),
        *("socket.gethostbyaddr", "socket.sendto", "socket.sendmsg"),
    }
)
_PROCESSES = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
    *("os.forkpty", "pty.spawn", "os.startfile"),
)
_CHANGES = (
    *("os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link"),
    *("os.symlink", "os.utime", "shutil.move", "shutil.rmtree", "sqlite3.connect"),
)
# What an event means, and where it makes more uncertain than the hook that runs, all of it.
_DOUBTS = {
    **dict.fromkeys(_PROCESSES, ("it starts a program", EVERY_HOOK)),
    **dict.fromkeys(_CHANGES, ("it changes files", None)),
    **dict.fromkeys(("os.putenv", "os.unsetenv"), ("it changes environment variables", EVERY_HOOK)),
    "builtins.input": ("it asks the user", EVERY_HOOK),
}
_READS_FOLDER = frozenset({"os.listdir", "os.scandir"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROXIES = tuple(
    f"{kind}_proxy" for kind in ("http", "https", "all", "no", "ftp", "ws", "wss", "socks")
)
# These say where and how somebody works; what a plugin registers does not hang on them.
_OF_THE_TERMINAL = frozenset(
    {
        *("TERM", "COLUMNS", "LINES", "PWD", "OLDPWD", "SHLVL", "_", "COLORTERM", "NO_COLOR"),
        *("FORCE_COLOR", "TERM_PROGRAM", "WINDOWID", "DISPLAY", "TMPDIR", "TEMP", "TMP"),
        *("CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    }
)
# Their functions and classes are the ones that plugins replace.
_WATCHED = ("llm", "click", "pluggy")
_WATCHED_STANDARD = (
    *("asyncio", "asyncio.events", "builtins", "http.client", "json", "logging", "os", "os.path"),
    *("socket", "sqlite3", "ssl", "subprocess", "sys", "threading", "time", "urllib.request"),
)
_OF_SYS = ("path", "meta_path", "path_hooks", "excepthook", "displayhook", "stdin")

Where = tuple[str, str]


class Watch:
    """Takes down what the plugins read, and what makes it uncertain that this is all.

    Attributes:
        plugins: The names of the plugins that run now, the innermost last.
        hook: The hook that is called; `EVERY_HOOK` while plugins are imported.
        files: Stamps of files by plugin and hook.
        variables: Marks of environment variables by plugin and hook.
        uncertain: Reasons by plugin and hook.
        live: The plugins and hooks that used the network.
    """

    def __init__(self, plugins: list[str]) -> None:
        self.plugins = plugins
        self.hook = EVERY_HOOK
        self.files: dict[Where, dict[str, Stamp]] = {}
        self.variables: dict[Where, dict[str, int | None]] = {}
        self.uncertain: dict[Where, str] = {}
        self.live: set[Where] = set()
        self._is_noting = False
        self._user_path = os.path.abspath(user_path())
        self._log = str(logs_db_path())
        installed = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
        installed.add(str(Path(__file__).parents[2]))
        both = [folder for path in installed for folder in (path, os.path.realpath(path))]
        self._installed = tuple(f"{path.rstrip(os.sep)}{os.sep}" for path in both)

    @property
    def where(self) -> Where:
        """The plugin and the hook that run now; no plugin is the empty text."""
        return (self.plugins[-1] if self.plugins else "", self.hook)

    def doubt(self, reason: str, hook: str | None = None) -> None:
        """Take down that what was found out about the plugin that runs may not be all."""
        plugin, running = self.where
        self.uncertain.setdefault((plugin, hook or running), reason)

    def start(self) -> None:
        """Watch everything in this process from now on."""
        sys.addaudithook(self._audit)
        os.environ.__class__ = _environment_class(self)
        for name in ("stat", "lstat", "access"):
            self._wrap(os, name)
        for name in ("exists", "lexists", "isfile", "isdir", "getmtime", "getsize"):
            self._wrap(os.path, name)
        current = os.getcwd

        def getcwd() -> str:
            # That one only shortens paths with it.
            if _asker() != "rich":
                self.doubt("it asks for the current folder")
            return current()

        os.getcwd = getcwd

    def _wrap(self, module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def ask(path: object, *args: object, **kwargs: object) -> object:
            self.read(path, whole=False)
            return original(path, *args, **kwargs)

        # Some ask whether it is one of those that they support.
        for supported in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
            if original in supported:
                supported.add(ask)
        setattr(module, name, ask)

    # Files

    def read(self, path: object, *, whole: bool = True) -> None:
        """Take down a file or folder; not whole: whether there is such a folder is all."""
        if self._is_noting or not isinstance(path, (str, bytes, os.PathLike)):
            return
        self._is_noting = True
        try:
            self._note_file(os.fsdecode(path), whole)
        finally:
            self._is_noting = False

    def _note_file(self, path: str, whole: bool) -> None:
        if not os.path.isabs(path):
            self.doubt("it reads a file of the current folder")
            return
        path = os.path.normpath(path)
        if path.startswith(self._log) or (whole and path == self._user_path):
            self.doubt("it reads what changes with each command")
        elif self._may_change(path):
            # Of a folder that is not listed only that it is there.
            stamp = stamp_of(path, whole=whole or not os.path.isdir(path))
            known = self.files.setdefault(self.where, {})
            if "times" not in known.get(path, ()):
                known[path] = stamp

    def _may_change(self, path: str) -> bool:
        if path.startswith(f"{self._user_path}{os.sep}"):
            return True
        return not path.startswith((*self._installed, "/proc/", "/dev/", "/sys/"))

    def _note_opened(self, path: object, mode: object, flags: int) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if flags & _WRITES:
            if "__pycache__" not in name:
                self.doubt("it writes files")
        # Python reads modules so; these are known by their distribution.
        elif not (mode == "rb" and flags == 0):
            self.read(name)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._is_noting:
            return
        if event == "open":
            self._note_opened(*args)
        elif event in _READS_FOLDER:
            self.read("." if args[0] is None else args[0])
        elif event in _NETWORK:
            self.live.add(self.where)
        elif event == "os.mkdir":
            self._note_folder(args[0])
        elif event in _DOUBTS:
            self.doubt(*_DOUBTS[event])

    def _note_folder(self, path: str | bytes | os.PathLike[str]) -> None:
        self._is_noting = True
        try:
            # One for its own files in the user directory changes nothing for anybody.
            where = os.path.abspath(os.fsdecode(path))
            if not (os.path.isdir(where) or where.startswith(f"{self._user_path}{os.sep}")):
                self.doubt("it makes folders")
        finally:
            self._is_noting = False

    # Variables

    def note_variable(self, name: str) -> None:
        """Take down an environment variable."""
        if self._is_noting or name in _OF_THE_TERMINAL:
            return
        asker = _asker()
        if asker == "urllib.request" and not name.lower().endswith("_proxy"):
            return
        self._is_noting = True
        try:
            self.variables.setdefault(self.where, {}).setdefault(name, mark_of(name))
        finally:
            self._is_noting = False

    def note_all_variables(self) -> None:
        """Take down that all environment variables are looked at."""
        if self._is_noting:
            return
        if _asker() == "urllib.request":
            for name in _PROXIES:
                self.note_variable(name)
                self.note_variable(name.upper())
        else:
            self.doubt("it reads all environment variables")


def _environment_class(watch: Watch) -> type:
    kind: Any = type(os.environ)

    class Watched(kind):  # type: ignore[misc]  # the class of os.environ is not public
        """`os.environ`, which tells what is asked of it."""

        def __getitem__(self, name: str) -> object:
            watch.note_variable(name)
            return super().__getitem__(name)

        def __iter__(self) -> Iterator[Any]:
            watch.note_all_variables()
            return iter(list(super().__iter__()))

    return Watched


def _asker() -> str:
    """The module that asks for an environment variable or the current folder."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__"))
        if name not in ("_collections_abc", "collections.abc", "os", __name__):
            return name
        frame = frame.f_back
    return ""


# What is altered


def house() -> dict[tuple[object, str], object]:
    """What plugins have been seen to replace in this process: functions, methods, and more."""
    found: dict[tuple[object, str], object] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in _WATCHED:
            found.update(_attributes(name, module, everything=True))
        elif name in _WATCHED_STANDARD:
            found.update(_attributes(name, module, everything=False))
    for name in _OF_SYS:
        value = getattr(sys, name)
        found["sys", name] = tuple(value) if isinstance(value, list) else value
    logging = sys.modules.get("logging")
    if logging is not None:
        found["logging", "handlers"] = tuple(logging.getLogger().handlers)
    return found


def _attributes(
    name: str, module: ModuleType, *, everything: bool
) -> Iterator[tuple[tuple[object, str], object]]:
    for attribute, value in list(vars(module).items()):
        if attribute.startswith("__"):
            continue
        if isinstance(value, type):
            yield (name, attribute), value
            if everything and value.__module__ == name:
                yield from (((value, key), found) for key, found in _methods(value))
        elif isinstance(value, FunctionType) or (everything and not attribute.startswith("_")):
            yield (name, attribute), value


def _methods(kind: type) -> Iterator[tuple[str, object]]:
    for key, value in list(vars(kind).items()):
        if isinstance(value, (FunctionType, property, staticmethod, classmethod)):
            yield key, value


def is_altered(before: dict[tuple[object, str], object], is_ours: Callable[[str], bool]) -> bool:
    """Whether something is not what it was, or is new and comes from a module that is not ours."""
    for key, value in house().items():
        if key in before:
            if value is not before[key] and not _is_same_text(value, before[key]):
                return True
        elif not is_ours(str(getattr(value, "__module__", None) or "")):
            return True
    return False


def _is_same_text(value: object, old: object) -> bool:
    return type(value) is type(old) and isinstance(value, (str, int, tuple)) and value == old
