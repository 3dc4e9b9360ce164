"""Taking up what dead processes left: their journals become turns of the log."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import LogError
from ..files import tighten_database
from ..files.config import logs_db_path
from ..terminal import show_note
from .journal import leftovers, lock

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


def take_up(database: str | Path, *, tell: bool = False) -> None:
    """Log what processes that died have left for `database`; what cannot be logged stays.

    Where nothing was left this costs a look at three folders.

    Args:
        database: The path of a log database.
        tell: Say on stderr why something cannot be logged now.
    """
    paths = leftovers()
    if not paths or not _is_writable(os.fspath(database)):
        return
    for path in paths:
        try:
            _take_up_one(path, os.path.abspath(database))
        except LogError as error:
            if tell:
                show_note(f"{error}. What is not in the log yet is kept in {os.path.dirname(path)}")
            return


def reading(database: str | Path) -> sqlite3.Connection:
    """A connection that reads the log; what dead processes have left is in it.

    Raises:
        LogError: There is no such file, or it cannot be read.
    """
    from ..logs.file.db import open_for_reading

    if os.fspath(database) == os.fspath(logs_db_path()):
        tighten_database(database)
    take_up(database)
    return open_for_reading(database)


def _is_writable(database: str) -> bool:
    folder = os.path.dirname(os.path.abspath(database))
    return os.access(folder, os.W_OK) and (
        not os.path.exists(database) or os.access(database, os.W_OK)
    )


def _take_up_one(path: str, database: str) -> None:
    """Log one journal and delete it, if its owner is dead and it belongs to the database.

    Raises:
        LogError: The database cannot be written.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        is_done = False
        try:
            # One that has lost its name was taken up by another process meanwhile.
            if lock(fd) and os.fstat(fd).st_nlink:
                from .replay import log_journal

                is_done = log_journal(fd, path, database)
                if is_done and os.name != "nt":
                    os.unlink(path)
        finally:
            os.close(fd)
        if is_done and os.name == "nt":
            # There an open file cannot be deleted.
            os.unlink(path)
