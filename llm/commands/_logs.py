"""What the commands about the log share: their options, and opening it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import flag, option

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

database_option = option(
    "-d",
    "--database",
    type=click.Path(readable=True, dir_okay=False),
    help="Path to the log database.",
)
# The older name of the same.
path_option = option("-p", "--path", type=click.Path(readable=True, dir_okay=False), hidden=True)
utc_option = flag("--utc", help="Show times in UTC.")
json_option = flag("--json", "json_output", help="Print JSON.")
yes_option = flag("-y", "--yes", help="Do not ask for confirmation.")


def database_path(database: str | None) -> Path:
    """The log database to use."""
    from ..files.config import logs_db_path

    return Path(database) if database else logs_db_path()


@contextmanager
def reading(database: str | None) -> Iterator[sqlite3.Connection]:
    """A connection to the log that can only read; what dead processes have left is in it.

    Before anything is logged in a user directory its log is an empty one; a file that was named has
    to be there.
    """
    from ..prompting import recovery

    path = database_path(database)
    with closing(recovery.reading(path, missing_is_empty=database is None)) as conn:
        yield conn


@contextmanager
def writing(database: str | None, *, create: bool = False) -> Iterator[Database]:
    """The log, open for changes; what dead processes have left is in it, or stderr says why not.

    A log that is missing is made with `create`, and an error without.
    """
    from ..logs.file.db import open_log
    from ..prompting.recovery import take_up

    path = database_path(database)
    take_up(path, tell=True)
    with closing(open_log(path, create=create)) as db:
        yield db


def period(since: str | None, until: str | None, *, utc: bool) -> tuple[str | None, str | None]:
    """What `--since` and `--until` say, as the log compares times."""
    from ..text.times import parse_time

    return (
        None if since is None else parse_time(since, utc=utc),
        None if until is None else parse_time(until, utc=utc, end_of_day=True),
    )


def time_writer(*, utc: bool) -> Callable[[str | None], str]:
    """On a terminal times are those of its user; programs always read UTC."""
    from ..terminal import is_terminal
    from ..text.times import shown_time, stored_time

    return shown_time(utc=utc) if is_terminal(sys.stdout) else stored_time


def counting(total: int, noun: str) -> Callable[[int], None]:
    """What shows on a terminal how many of many things are done."""

    def show(count: int) -> None:
        if total >= 10_000 and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{count:,} of {total:,} {noun}")
            sys.stderr.write("\r\x1b[K" if count + 500 >= total else "")
            sys.stderr.flush()

    return show
