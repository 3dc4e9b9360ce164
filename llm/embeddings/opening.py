"""Opening a database of embeddings, and one connection to it for each thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Union
from urllib.parse import quote

from ..errors import EmbeddingsError
from .migrations import migrate

if TYPE_CHECKING:
    import sqlite_utils

    from ..database import Database

#: What a collection takes for its database: a path, a connection, or an object that has one.
AnyDatabase = Union[
    "str", "os.PathLike[str]", sqlite3.Connection, "sqlite_utils.Database", "Database"
]
_MEMORY = ":memory:"

BUSY_TIMEOUT_S = 30.0


@contextmanager
def embeddings_errors(path: object, doing: str) -> Iterator[None]:
    """Turn an error of SQLite or of the file system into one that says what to do.

    Args:
        path: What names the file in the message.
        doing: What was attempted, e.g. `open`.
    """
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        text = f"Cannot {doing} the embeddings database {path}: {error}. {_remedy(str(error))}"
        raise EmbeddingsError(text) from error


def _remedy(problem: str) -> str:
    if "locked" in problem:
        return "Another program is writing to it: try again when it has ended"
    if "not a database" in problem or "malformed" in problem:
        return "Move the file away, or name another one with --database"
    if "full" in problem:
        return "Free some space on the disk"
    return "Check that the file and its directory exist and can be written by you"


def open_embeddings(
    path: str | os.PathLike[str], *, any_thread: bool = False
) -> sqlite_utils.Database:
    """The database of embeddings at `path`, migrated and ready to be written.

    It is made where it is missing, readable by its owner only and in WAL mode; one that cannot be
    written is opened to be read.

    Raises:
        EmbeddingsError: It is no database, or can be neither read nor made.
    """
    from filelock import FileLock
    from sqlite_utils import Database

    with embeddings_errors(path, "open"):
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            # SQLite itself would give a new file, and its -wal, the mode of the umask.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        is_writable = _is_writable(path)
        conn = (
            _connect(path, "mode=rw", any_thread) if is_writable else _read_only(path, any_thread)
        )
        db = Database(conn)
        try:
            if is_writable and _mode(conn) != "wal":
                # To switch does not wait for others, so those who start at once take turns.
                with FileLock(f"{os.fspath(path)}.lock", poll_interval=0.01):
                    with suppress(sqlite3.OperationalError):
                        conn.execute("pragma journal_mode=wal").fetchone()
                    migrate(db)
            migrate(db)
            if _mode(conn) == "wal":
                # A commit need not wait for the disk: a power cut leaves the file whole.
                conn.execute("pragma synchronous=normal")
        except BaseException:
            db.close()
            raise
        return db


class Connections:
    """The database of a collection, with a connection for each thread that uses it.

    The thread that made the collection uses what it was given. SQLite lets no other thread have
    that, so any other gets a connection of its own to the same file. A database in memory has one
    connection, which threads use by turns.

    Args:
        db: What the collection was given; nothing stands for a new database in memory.
    """

    def __init__(self, db: AnyDatabase | None) -> None:
        self._thread = threading.get_ident()
        self._others = threading.local()
        self._turns = threading.RLock()
        self._opened: list[sqlite_utils.Database] = []
        self._main = self._first(_MEMORY if db is None else db)
        #: The path of the file, empty for a database in memory.
        self.path = str(self._main.execute("pragma database_list").fetchone()[2])

    def _first(self, db: AnyDatabase) -> sqlite_utils.Database:
        import sqlite_utils

        if isinstance(db, sqlite_utils.Database):
            return db
        if isinstance(db, sqlite3.Connection):
            return sqlite_utils.Database(db)
        if db == _MEMORY:
            conn = sqlite3.connect(_MEMORY, check_same_thread=False)
            self._opened.append(sqlite_utils.Database(conn))
        else:
            path = db if isinstance(db, (str, os.PathLike)) else db.path
            self._opened.append(open_embeddings(path, any_thread=True))
        return self._opened[0]

    def current(self) -> sqlite_utils.Database:
        """The database as the running thread may use it."""
        if not self.path or threading.get_ident() == self._thread:
            return self._main
        found: sqlite_utils.Database | None = getattr(self._others, "db", None)
        if found is None:
            found = self._others.db = open_embeddings(self.path, any_thread=True)
            self._opened.append(found)
        return found

    @contextmanager
    def turn(self) -> Iterator[sqlite_utils.Database]:
        """The database, for as long as the running thread needs it."""
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
        conn = _connect(path, "mode=rw", any_thread)
        conn.execute("pragma query_only=on")
        return conn
    try:
        return _connect(path, "mode=ro", any_thread)
    except sqlite3.OperationalError:
        return _connect(path, "mode=ro&immutable=1", any_thread)


def _connect(path: str | os.PathLike[str], how: str, any_thread: bool) -> sqlite3.Connection:
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
    with embeddings_errors(path, "read"), closing(_read_only(path)) as conn:
        yield conn
