"""`llm logs vacuum` and `verify`: keeping the log small, and finding out whether it is whole."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..terminal import say, show_note
from ._group import command
from ._logs import database_option, database_path, writing

if TYPE_CHECKING:
    import sqlite3

# A file of this size takes seconds to be written.
LARGE_BYTES = 100 << 20


@command()
@database_option
def vacuum(database: str | None) -> None:
    """Write the log database anew, without the space that deleted rows have left."""
    with writing(database, tell=True) as db:
        compact_file(db.conn, database)


def compact_file(conn: sqlite3.Connection, database: str | None) -> None:
    """Rebuild the file and say what that has gained."""
    from ..logs.rewrite.upkeep import compact, size_bytes
    from .logs import readable_size

    path = database_path(database)
    size = size_bytes(path)
    if size >= LARGE_BYTES:
        show_note(f"Writing the log anew ({readable_size(size)}): this takes a while")
    sizes = compact(conn, path)
    before, after = readable_size(sizes.before), readable_size(sizes.after)
    say(f"Rebuilt {path}: {before} before, {after} now")


@command()
@database_option
def verify(database: str | None) -> None:
    """Check that the log is whole, and that every message is the one that was stored.

    Prints a line for each damage, and ends with exit code 1 if there is any.
    """
    from ..errors import LogError
    from ..logs.file.db import log_errors
    from ..logs.rewrite.upkeep import find_damage, message_count

    path = database_path(database)
    with writing(database, tell=True) as db, log_errors(path, "read"):
        count, damage = message_count(db.conn), 0
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
