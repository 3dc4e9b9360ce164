"""Whether any plugin is installed at all, found without `importlib.metadata`.

The answer comes from the `entry_points.txt` files beside the installed packages. It is kept in the
user directory's `cache` folder, one file per environment, together with the times of every folder
it was read from; the file may be deleted at any time. Whatever looks unusual counts as "yes", which
costs the time of an ordinary search and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from zlib import crc32

from ..files.config import user_path

# A folder changed this recently may change again without its time showing it.
SETTLED_NS = 2_000_000_000


def any_plugin_installed(*, offers: bool = False) -> bool:
    """Whether some installed distribution may have an `llm` entry point.

    False is certain. Reads the folders of `sys.path`; writes one cache file, and only where the
    user directory exists.

    Args:
        offers: Where something has changed, tell of plugins that were installed and are gone.
    """
    from importlib.machinery import PathFinder

    finders = (finder for finder in sys.meta_path if finder is not PathFinder)
    if any(hasattr(finder, "find_distributions") for finder in finders):
        return True
    folders = searched_folders()
    cached = _cached_answer(folders)
    if cached is not None:
        return cached
    try:
        answer, times = _search(folders)
    except OSError:
        return True
    _write_cache(answer, folders, times)
    if offers:
        from .installed import offer_sync

        offer_sync()
    return answer


def searched_folders() -> list[str]:
    """The folders where Python finds modules, in order."""
    return list(dict.fromkeys(map(os.path.abspath, sys.path)))


def is_ours(descriptor: int) -> bool:
    """Whether an open file belongs to this user and nobody else can write to it."""
    if os.name == "nt":
        return True
    found = os.fstat(descriptor)
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def has_settled(time_ns: int) -> bool:
    """Whether a change that comes after `time_ns`, when something changed last, would show.

    It may lie ahead, where the clock was set back: then, too, a change has another time.
    """
    return abs(time.time_ns() - time_ns) > SETTLED_NS


# Searching


def _search(folders: list[str]) -> tuple[bool, dict[str, int]]:
    """The answer, and the modification times that it holds for; an OSError where something on
    `sys.path` cannot be judged from here."""
    times: dict[str, int] = {}
    answer = False
    for folder in folders:
        if folder.endswith(".egg"):
            raise OSError(folder)
        times[folder] = _time_of(folder)
        if times[folder] < 0:
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".egg-info") and entry.is_dir():
                    # Unlike a .dist-info, this is rewritten in place during development.
                    listing = os.path.join(entry.path, "entry_points.txt")
                    times.update({path: _time_of(path) for path in (entry.path, listing)})
                    answer |= _names_plugin(entry.path)
                elif entry.name.endswith(".dist-info"):
                    answer |= _names_plugin(entry.path)
    return answer, times


def _names_plugin(metadata_folder: str) -> bool:
    try:
        with open(os.path.join(metadata_folder, "entry_points.txt"), "rb") as file:
            return any(line.strip() == b"[llm]" for line in file)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _time_of(path: str) -> int:
    """The modification time in ns, or -1 where there is nothing; an OSError below a file, such as
    a zip archive on `sys.path`."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return -1


# The cache: the answer, a line per folder of sys.path, an empty line, a line per path and time


def _cache_path() -> str:
    environment = crc32(os.fsencode(sys.prefix))
    version = "".join(map(str, sys.version_info[:2]))
    return os.path.join(user_path(), "cache", f"plugins-{environment:08x}-{version}.txt")


def _cached_answer(folders: list[str]) -> bool | None:
    """What the cache says, if it still holds."""
    head = [sys.prefix, *folders, ""]
    try:
        with open(_cache_path(), encoding="utf-8", errors="surrogateescape") as file:
            if not is_ours(file.fileno()):
                return None
            answer, *lines = file.read().split("\n")
        if answer not in ("yes", "no") or lines[-1:] != ["end"] or lines[: len(head)] != head:
            return None
        # A path may hold spaces, a time does not.
        recorded = (line.partition(" ") for line in lines[len(head) : -1])
        holds = all(str(_time_of(path)) == time_ns for time_ns, _, path in recorded)
    except OSError:
        return None
    return answer == "yes" if holds else None


def _write_cache(answer: bool, folders: list[str], times: dict[str, int]) -> None:
    if not all(map(has_settled, times.values())) or not os.path.isdir(user_path()):
        return
    lines = ["yes" if answer else "no", sys.prefix, *folders, ""]
    lines += [f"{recorded} {path}" for path, recorded in times.items()]
    if any("\n" in line for line in lines):
        return
    path = _cache_path()
    temporary = f"{path}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join([*lines, "end"]))
        os.replace(temporary, path)
