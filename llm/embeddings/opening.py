"""Opening a database of embeddings, and one connection to it for each thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, Union, cast
from urllib.parse import quote

from .._lazy import for_hints
from ..errors import EmbeddingsError
from ..logs.file.db import file_errors
from ..logs.file.migrations import connection_of
from .migrations import migrate

if TYPE_CHECKING:
    import sqlite_utils

    from ..database import Database

else:
    for_hints(globals(), {"sqlite_utils": "", "llm.database": "Database"})

#: What a collection takes for its database: a path, a connection, or an object that has one.
AnyDatabase: TypeAlias = Union[
    "str", os.PathLike[str], sqlite3.Connection, sqlite_utils.Database, Database
]
_MEMORY = ":memory:"

BUSY_TIMEOUT_S = 30.0


_errors = partial(file_errors, EmbeddingsError, "embeddings")


def open_embeddings(
    path: str | os.PathLike[str], *, any_thread: bool = False
) -> sqlite3.Connection:
    """The database of embeddings at `path`, migrated and ready to be written.

    It is made where it is missing, readable by its owner only and in WAL mode; one that cannot be
    written is opened to be read.

    Raises:
        EmbeddingsError: It is no database, or can be neither read nor made.
    """
    with _errors(path, "open"):
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            # SQLite itself would give a new file, and its -wal, the mode of the umask.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        is_writable = _is_writable(path)
        conn = (_connect if is_writable else _read_only)(path, any_thread)
        try:
            if is_writable and _mode(conn) != "wal":
                _switch_to_wal(conn, path)
            migrate(conn)
            if _mode(conn) == "wal":
                # A commit need not wait for the disk: a power cut leaves the file whole.
                conn.execute("pragma synchronous=normal")
        except BaseException:
            conn.close()
            raise
        return conn


def _switch_to_wal(conn: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    """To switch does not wait for others, so those who start at once take turns."""
    from ..files import locked

    with locked(f"{os.fspath(path)}.lock", poll_s=0.01):
        with suppress(sqlite3.OperationalError):
            conn.execute("pragma journal_mode=wal").fetchone()
        migrate(conn)


def path_of(db: AnyDatabase) -> str | None:
    """The path that a database was named by; `None` for one that is open."""
    if isinstance(db, (str, os.PathLike)):
        return os.fspath(db)
    # Only an `llm.Database` has this.
    path: os.PathLike[str] | None = getattr(db, "path", None)
    return None if path is None else os.fspath(path)


class Connections:
    """The database of a collection, with a connection for each thread that uses it.

    The thread that made the collection uses what it was given. SQLite lets no other thread have
    that, so any other gets a connection of its own to the same file. A database in memory has one
    connection, which threads use by turns.

    Args:
        db: What the collection was given; nothing stands for a new database in memory.
        migrates: Bring it to the current form first.
    """

    def __init__(self, db: AnyDatabase | None, *, migrates: bool = True) -> None:
        self._thread = threading.get_ident()
        self._others = threading.local()
        self._turns = threading.RLock()
        self._opened: list[sqlite3.Connection] = []
        self._wrapper: sqlite_utils.Database | None = None
        self._main = self._first(_MEMORY if db is None else db)
        if migrates:
            migrate(self._main)
        #: The path of the file, empty for a database in memory.
        self.path: str = str(self._main.execute("pragma database_list").fetchone()[2])

    def _first(self, db: AnyDatabase) -> sqlite3.Connection:
        path = path_of(db)
        if path is None:
            if not isinstance(db, sqlite3.Connection):
                self._wrapper = cast("sqlite_utils.Database", db)
            return connection_of(cast("sqlite_utils.Database", db))
        if path == _MEMORY:
            self._opened.append(sqlite3.connect(_MEMORY, check_same_thread=False))
        else:
            self._opened.append(open_embeddings(path, any_thread=True))
        return self._opened[0]

    def current(self) -> sqlite3.Connection:
        """The connection that the running thread may use."""
        if not self.path or threading.get_ident() == self._thread:
            return self._main
        found: sqlite3.Connection | None = getattr(self._others, "conn", None)
        if found is None:
            found = self._others.conn = open_embeddings(self.path, any_thread=True)
            self._opened.append(found)
        return found

    def wrapped(self) -> sqlite_utils.Database:
        """The same as an object of `sqlite_utils`."""
        from sqlite_utils import Database

        conn = self.current()
        if conn is not self._main:
            return Database(conn)
        if self._wrapper is None:
            self._wrapper = Database(conn)
        return self._wrapper

    @contextmanager
    def turn(self) -> Iterator[sqlite3.Connection]:
        """The connection, for as long as the running thread needs it."""
        if self.path:
            yield self.current()
            return
        with self._turns:
            yield self._main

    def close(self) -> None:
        """Close what was opened here; a connection that was given stays open."""
        while self._opened:
            self._opened.pop().close()


def _mode(conn: sqlite3.Connection) -> str:
    return str(conn.execute("pragma journal_mode").fetchone()[0])


def _is_writable(path: str | os.PathLike[str]) -> bool:
    folder = os.path.dirname(os.path.abspath(path))
    return os.access(path, os.W_OK) and os.access(folder, os.W_OK)


def _read_only(path: str | os.PathLike[str], any_thread: bool = False) -> sqlite3.Connection:
    """A connection that reads; as it lies on the disk where no -wal can be made beside the file."""
    if _is_writable(path):
        # A connection that may only read would leave the -wal and -shm files behind.
        conn = _connect(path, any_thread)
        conn.execute("pragma query_only=on")
        return conn
    try:
        return _connect(path, any_thread, "mode=ro")
    except sqlite3.OperationalError:
        return _connect(path, any_thread, "mode=ro&immutable=1")


def _connect(
    path: str | os.PathLike[str], any_thread: bool, how: str = "mode=rw"
) -> sqlite3.Connection:
    uri = f"file:{quote(os.path.abspath(path))}?{how}"
    conn = sqlite3.connect(uri, BUSY_TIMEOUT_S, uri=True, check_same_thread=not any_thread)
    try:
        conn.execute("select 1 from sqlite_master limit 1").fetchone()
    except BaseException:
        conn.close()
        raise
    return conn


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection | None]:
    """A connection that reads the database as it is and changes nothing; `None` for no file.

    Raises:
        EmbeddingsError: It is no database.
    """
    if not os.path.exists(path):
        yield None
        return
    with _errors(path, "read"), closing(_read_only(path)) as conn:
        yield conn
