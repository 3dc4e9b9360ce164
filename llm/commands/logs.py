"""`llm logs`: where prompts and responses are kept, and how to see them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..terminal import say, show_note
from ._errors import reported
from ._group import Lazy, LazyGroup
from ._logs import database_option, database_path, writing

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_TARGET = "llm.commands.logs_list:logs_list"
_DELETE = "llm.commands.logs_delete"
# A file of this size takes seconds to be written.
LARGE_BYTES = 100 << 20


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(_TARGET, "Show logged prompts and their responses."),
        "delete": Lazy(f"{_DELETE}:delete", "Delete prompts and their responses from the log."),
        "expire": Lazy(f"{_DELETE}:expire", "Delete everything that is older than some age."),
        "redact": Lazy(f"{_DELETE}:redact", "Replace what matches PATTERN everywhere in the log."),
    },
    default="list",
)
def logs() -> None:
    """Explore logged prompts and responses.

    Without a command this is 'llm logs list': the last three prompts.
    """


@logs.command()
@reported
def path() -> None:
    """Print the path of the log database."""
    from ..files.config import logs_db_path

    say(logs_db_path())


@logs.command()
@reported
def status() -> None:
    """Show whether prompts are logged, and what the log holds."""
    from ..files.config import logs_db_path, logs_on
    from ..logs.file import db
    from ..run.recovery import take_up

    file = logs_db_path()
    take_up(file)
    found = db.status(file)
    if found is None:
        say(f"No log database found at {file}")
        return
    say("Logging is ON for all prompts" if logs_on() else "Logging is OFF")
    say(f"Found log database at {file}")
    say(f"Number of threads logged:\t{found.threads}")
    say(f"Number of turns logged:\t\t{found.turns}")
    if found.legacy_conversations or found.legacy_responses:
        say(f"Number of legacy conversations:\t{found.legacy_conversations}")
        say(f"Number of legacy responses:\t{found.legacy_responses}")
    say(f"Database file size: \t\t{readable_size(found.size_bytes)}")


@logs.command()
@reported
def on() -> None:
    """Log all prompts (the default)."""
    from ..files.config import set_logging

    set_logging(True)


@logs.command()
@reported
def off() -> None:
    """Log no prompts, except those given with --log."""
    from ..files.config import set_logging

    set_logging(False)


@logs.command()
@click.argument("path", type=click.Path(dir_okay=True, writable=True))
@reported
def backup(path: str) -> None:
    """Write a compact copy of the log database to the file PATH."""
    from ..files.config import logs_db_path
    from ..logs.file import db
    from ..run.recovery import take_up

    take_up(logs_db_path())
    size_bytes = db.backup(logs_db_path(), path)
    say(f"Backed up {readable_size(size_bytes)} to {path}")


def readable_size(size_bytes: float) -> str:
    """A size for people: two decimals and a unit."""
    if not size_bytes:
        return "0B"
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1024:
            return f"{size_bytes:.2f}{unit}"
        size_bytes /= 1024
    return f"{size_bytes:.2f}TB"


@logs.command()
@database_option
@reported
def vacuum(database: str | None) -> None:
    """Write the log database anew, without the space that deleted rows have left."""
    with writing(database, tell=True) as db:
        compact_file(db.conn, database_path(database))


def compact_file(conn: sqlite3.Connection, path: Path) -> None:
    """Rebuild the file and say what that has gained."""
    from ..logs.rewrite.upkeep import compact, size_bytes

    size = size_bytes(path)
    if size >= LARGE_BYTES:
        show_note(f"Writing the log anew ({readable_size(size)}): this takes a while")
    sizes = compact(conn, path)
    before, after = readable_size(sizes.before), readable_size(sizes.after)
    say(f"Rebuilt {path}: {before} before, {after} now")


@logs.command()
@database_option
@reported
def verify(database: str | None) -> None:
    """Check that the log is whole, and that every message is the one that was stored.

    Prints a line for each damage, and ends with exit code 1 if there is any.
    """
    from ..errors import LogError
    from ..logs.file.db import log_errors
    from ..logs.rewrite.upkeep import find_damage, message_count

    path = database_path(database)
    with writing(database, tell=True) as db, log_errors(path, "read"):
        count = message_count(db.conn)
        damage = 0
        for line in find_damage(db.conn, _progress(count)):
            damage += 1
            say(line)
    if damage:
        raise LogError(
            f"The log {path} is damaged: {damage:,} finding{'' if damage == 1 else 's'} above."
            " A copy from before may help: llm logs backup makes one"
        )
    say(f"Verified {count:,} messages: the log is whole")


def _progress(total: int) -> Callable[[int], None]:
    def show(count: int) -> None:
        if total >= 10_000 and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{count:,} of {total:,} messages")
            sys.stderr.write("\r\x1b[K" if count + 500 >= total else "")
            sys.stderr.flush()

    return show
