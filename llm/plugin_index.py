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

from .files.config import user_path

# A folder changed this recently may change again without its time showing it.
_SETTLED_NS = 2_000_000_000


class _Uncertain(Exception):
    """Something on `sys.path` cannot be judged from here."""


def any_plugin_installed() -> bool:
    """Whether some installed distribution may have an `llm` entry point.

    False is certain. Reads the folders of `sys.path`; writes one cache file, and only where the
    user directory exists.
    """
    from importlib.machinery import PathFinder

    if any(
        finder is not PathFinder and hasattr(finder, "find_distributions")
        for finder in sys.meta_path
    ):
        return True
    folders = list(dict.fromkeys(map(os.path.abspath, sys.path)))
    cached = _read_cache()
    if cached is not None and _still_true(cached, folders):
        return cached[0] == "yes"
    try:
        answer, times = _search(folders)
    except (_Uncertain, OSError):
        return True
    _write_cache(answer, folders, times)
    return answer


# Searching


def _search(folders: list[str]) -> tuple[bool, dict[str, int]]:
    times: dict[str, int] = {}
    answer = False
    for folder in folders:
        answer = _search_folder(folder, times) or answer
    return answer, times


def _search_folder(folder: str, times: dict[str, int]) -> bool:
    if folder.endswith(".egg"):
        raise _Uncertain(folder)
    times[folder] = _time_of(folder)
    if times[folder] < 0:
        return False
    answer = False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".dist-info"):
                answer = _names_plugin(entry.path) or answer
            elif entry.name.endswith(".egg-info") and entry.is_dir():
                # Unlike a .dist-info, this is rewritten in place during development.
                listing = os.path.join(entry.path, "entry_points.txt")
                times.update({entry.path: _time_of(entry.path), listing: _time_of(listing)})
                answer = _names_plugin(entry.path) or answer
    return answer


def _names_plugin(metadata_folder: str) -> bool:
    try:
        with open(os.path.join(metadata_folder, "entry_points.txt"), "rb") as file:
            return any(line.strip() == b"[llm]" for line in file)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _time_of(path: str) -> int:
    """The modification time in ns, or -1 where there is nothing.

    Raises:
        NotADirectoryError: Something on the path is a file, as with a zip archive on `sys.path`.
    """
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return -1


# The cache: the answer, a line per folder of sys.path, an empty line, a line per path and time


def _cache_path() -> str:
    environment = crc32(sys.prefix.encode("utf-8", "surrogateescape"))
    version = "".join(str(number) for number in sys.version_info[:2])
    return os.path.join(user_path(), "cache", f"plugins-{environment:08x}-{version}.txt")


def _read_cache() -> list[str] | None:
    try:
        with open(_cache_path(), encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().split("\n")
    except OSError:
        return None
    return lines if lines[0] in ("yes", "no") and lines[-1] == "end" else None


def _still_true(lines: list[str], folders: list[str]) -> bool:
    head = [lines[0], sys.prefix, *folders, ""]
    if lines[: len(head)] != head:
        return False
    try:
        # A path may hold spaces, a time does not.
        recorded = (line.partition(" ") for line in lines[len(head) : -1])
        return all(str(_time_of(path)) == time_ns for time_ns, _, path in recorded)
    except OSError:
        return False


def _write_cache(answer: bool, folders: list[str], times: dict[str, int]) -> None:
    newest = max(times.values(), default=0)
    names = [sys.prefix, *folders, *times]
    if time.time_ns() - newest < _SETTLED_NS or any("\n" in name for name in names):
        return
    lines = ["yes" if answer else "no", sys.prefix, *folders, ""]
    lines += [f"{recorded} {path}" for path, recorded in times.items()]
    path = _cache_path()
    temporary = f"{path}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):
        if not os.path.isdir(user_path()):
            return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join([*lines, "end"]))
        os.replace(temporary, path)
