"""The files of the user, and who else can read them: ours are closed, those that were named told.

Beside it in this room: the small files of the user directory, YAML, and templates.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AnyPath = str | os.PathLike[str]
OTHERS = 0o077


def tighten(path: AnyPath, mode: int, *, tell: bool = True) -> None:
    """Let nobody but the owner use a file or directory of ours; `tell` if others could get there.

    Nothing happens where it is missing or belongs to somebody else.
    """
    with suppress(OSError):
        if _is_open(path):
            os.chmod(path, mode)
            if tell and _is_reachable(path):
                print(f"Others could read {path}: now only you can", file=sys.stderr)


def tighten_database(path: AnyPath) -> None:
    """Let nobody but the owner use a database of ours and the files beside it."""
    tighten(path, 0o600)
    for suffix in ("-wal", "-shm"):
        tighten(f"{os.fspath(path)}{suffix}", 0o600, tell=False)


def tell_if_open(path: AnyPath, told: AnyPath) -> None:
    """Say, as `tell_once` does, that others can read what the user named; its mode stays."""
    if _is_open(path) and _is_reachable(path):
        text = f"Others can read {path}. To keep them out: chmod go= {path}"
        tell_once(os.path.abspath(path), text, told)


def tell_once(
    subject: str,
    text: str,
    told: AnyPath,
    *,
    or_always: bool = False,
    say: Callable[[str], object] | None = None,
) -> None:
    """Say a line on stderr, once for each subject: programs may read it for output of theirs.

    The file `told` remembers the subjects; where it cannot be written nothing is said, or the
    line each time for `or_always`. `say` writes the line.
    """
    known: list[object] = []
    with suppress(OSError, ValueError), open(told, encoding="utf-8") as file:
        if isinstance(found := json.load(file), list):
            known = found
    if subject in known:
        return
    is_told = or_always
    with suppress(OSError):
        fd = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump([*known, subject], file)
        is_told = True
    if is_told:
        say(text) if say else print(text, file=sys.stderr)


def _is_open(path: AnyPath) -> bool:
    if os.name != "nt":
        with suppress(OSError):
            found = os.stat(path)
            return bool(found.st_mode & OTHERS) and found.st_uid == os.getuid()
    return False


def _is_reachable(path: AnyPath) -> bool:
    """Whether others get as far as the directory of `path`."""
    folders = Path(os.path.realpath(path)).parents
    return all(os.stat(folder).st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in folders)


@contextmanager
def locked(path: AnyPath, *, timeout_s: float = -1, poll_s: float = 0.05) -> Iterator[None]:
    """Hold the lock on the file `path`, which is made; wait for others that do.

    Some file systems (NFS without its lock service, FUSE) have no locks: there nobody waits, and
    what is done is done all the same. A user at a time is the rule, and a lock that cannot be had
    is no reason to lose an answer.

    Args:
        path: The lock file. Its directory is there.
        timeout_s: How long to wait, in seconds; without end where negative.
        poll_s: How often to try.

    Raises:
        TimeoutError: Somebody held it all that time.
        OSError: The file cannot be made.
    """
    from filelock import FileLock

    if not _can_be_locked(path):
        yield
        return
    with FileLock(path, timeout=timeout_s, poll_interval=poll_s):
        yield


def _can_be_locked(path: AnyPath) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
