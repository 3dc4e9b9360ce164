"""Which log databases are ours: a random id in the database is also in a file of the user.

What a person chose is kept in the database itself, so it is believed only where that file has the
id with the path of the database: a copy, and a file of somebody else, hold choices that whoever
sits here may never have made.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from ...errors import ConfigError
from ...files import config
from .migrations import rows_if_any

if TYPE_CHECKING:
    from pathlib import Path

    FilePath = str | Path

REGISTER = "databases.json"
#: The table in which a database keeps its id.
IDENTITY = "_llm_x_identity"
# Where so many are registered, those that are gone are forgotten.
_MANY = 200


def claim(conn: sqlite3.Connection, path: FilePath) -> None:
    """Make a database ours; it can be written.

    Raises:
        ConfigError: The file of the user cannot be written, or is not valid.
        sqlite3.OperationalError: The database is busy.
    """
    place = _place(path)
    conn.execute(f"create table if not exists {IDENTITY} (id text)")
    found = _id_of(conn)
    if found is None:
        found = os.urandom(16).hex()
        with conn:
            conn.execute(f"insert into {IDENTITY} values (?)", [found])

    def register(known: dict[str, object]) -> None:
        if len(known) >= _MANY:
            gone = [name for name in known if not os.path.exists(_path(name))]
            for name in gone:
                del known[name]
        known[place] = found

    config.update_json(_register(), register, indent=2, newline=True, mode=0o600)


def claim_new(conn: sqlite3.Connection, path: FilePath) -> None:
    """As `claim`, for a database that was made right now; where that fails it is not ours."""
    with suppress(ConfigError, sqlite3.OperationalError):
        claim(conn, path)


def is_ours(conn: sqlite3.Connection, path: FilePath) -> bool:
    """Whether what a person chose in a database may be believed.

    The log of the user directory, where a release that knew no ids has made it, becomes ours.

    Args:
        conn: A connection that reads it, or a copy of it.
        path: Its file; one that lives in memory, without a file, is ours.
    """
    if not path:
        return True
    place, found = _place(path), _id_of(conn)
    try:
        known = config.read_json_object(_register())
    except ConfigError:
        return False
    if found is None and place not in known and place == _place(config.logs_db_path()):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as own:
            claim_new(own, path)
        return True
    return found is not None and known.get(place) == found


def path_of(conn: sqlite3.Connection) -> str:
    """The file of a connection; empty for a database in memory."""
    return str(conn.execute("pragma database_list").fetchone()[2])


def _register() -> Path:
    return config.user_dir() / REGISTER


def _id_of(conn: sqlite3.Connection) -> str | None:
    rows = rows_if_any(conn, f"select id from {IDENTITY} limit 1")
    return str(rows[0][0]) if rows else None


def _place(path: FilePath) -> str:
    """The name of a file in the register: its canonical path, from the user directory if there.

    So what lies in the user directory moves about with it.
    """
    real, folder = os.path.realpath(path), os.path.realpath(config.user_path())
    return os.path.relpath(real, folder) if real.startswith(os.path.join(folder, "")) else real


def _path(place: str) -> str:
    return os.path.join(config.user_path(), place)
