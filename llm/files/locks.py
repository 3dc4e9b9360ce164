"""A lock on a file, which processes take in turns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import AnyPath


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
        filelock.Timeout: Somebody held it all that time.
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
