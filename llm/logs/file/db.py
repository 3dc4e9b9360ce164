"""Opening, copying and measuring a log database file."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import quote

from ...errors import LLMError, LogError
from .migrations import (
    NotALog,
    build_indexes,
    connection_of,
    migrate,
    missing_indexes,
    needs_migration,
    refuse_others,
    rows_if_any,
    steps_of_plugins,
)
from .ownership import claim_new

if TYPE_CHECKING:
    from pathlib import Path

    from sqlite_utils import Database

BUSY_TIMEOUT_SECONDS = 5.0
# Some milliseconds, in steps of SQLite's machine.
_STEPS_BETWEEN_LOOKS = 100_000
FilePath: TypeAlias = "str | Path"


class LogStatus(NamedTuple):
    """What `llm logs status` tells about a file: its size in bytes and what it holds."""

    size_bytes: int
    threads: int
    turns: int
    legacy_conversations: int
    legacy_responses: int


@contextmanager
def file_errors(kind: type[LLMError], name: str, path: object, doing: str) -> Iterator[None]:
    """Turn an error of SQLite or of the file system into one that says what to do.

    Args:
        kind: The class of that error.
        name: What the file is called in the message, e.g. `log`.
        path: What names the file in the message.
        doing: What was attempted, e.g. `open`.
    """
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        pass_interrupt(error)
        text = f"Cannot {doing} the {name} database {path}: {error}. {_remedy(error)}"
        raise kind(text) from error


log_errors = partial(file_errors, LogError, "log")


def interruptible(conn: sqlite3.Connection) -> sqlite3.Connection:
    """Let Ctrl-C end a long query of the connection, which is returned.

    Python acts upon a signal between two steps of its own, and a query is one: it comes to a stop
    where the handler that SQLite calls now and then raises. What SQLite raises then is
    `interrupted`; see `pass_interrupt`.
    """
    conn.set_progress_handler(_goes_on, _STEPS_BETWEEN_LOOKS)
    return conn


def _goes_on() -> int:
    return 0


def pass_interrupt(error: Exception) -> None:
    """Raise Ctrl-C on where that is what SQLite tells of; to be called before anything else is
    made of an error."""
    if isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted":
        raise KeyboardInterrupt from error


def no_log(path: FilePath) -> LogError:
    """What to raise where there is no log database yet."""
    return LogError(f"No log database found at {path}: the first prompt that is logged creates it")


def _remedy(error: Exception) -> str:
    text = str(error)
    if isinstance(error, NotALog):
        return "It was left as it is: name another file with --database, or move this one away"
    if "locked" in text:
        return "Another program is writing to it: close that program, or try again"
    if "not a database" in text or "malformed" in text:
        return "Move the file away, or name another one with --database"
    if "full" in text:
        return "Free some space on the disk"
    return "Check that the file and its directory exist and can be written by you"


def open_log(
    path: FilePath,
    *,
    create: bool = True,
    any_thread: bool = False,
    timeout_s: float | None = None,
) -> Database:
    """The log database at `path`, migrated, in WAL mode, ready to be written.

    A new file is readable by its owner only. Creating, switching to WAL and migrating happen
    under a lock on `PATH.lock`, so that any number of processes may start at once.

    Args:
        path: The file.
        create: Make the file and its directory where they are missing.
        any_thread: Let other threads use it too; the caller sees to it that they take turns.
        timeout_s: How long to wait for other programs that are writing to it, in seconds; without
            it `BUSY_TIMEOUT_SECONDS`.

    Raises:
        LogError: The file is missing and may not be created, is no database, or cannot be written.
    """
    from sqlite_utils import Database

    with log_errors(path, "open"):
        if not os.path.exists(path):
            if not create:
                raise no_log(path)
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with _locked(path):
                # SQLite itself would give a new file, and its -wal, the mode of the umask.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        _check_size(path)
        wait_s = BUSY_TIMEOUT_SECONDS if timeout_s is None else timeout_s
        conn = sqlite3.connect(path, timeout=wait_s, check_same_thread=not any_thread)
        with _closed_on_failure(interruptible(conn)):
            is_empty = not os.path.getsize(path) and _has_no_tables(conn)
            prepare(conn, path)
            if is_empty:
                claim_new(conn, path)
            if _is_wal(conn):
                # In WAL mode a commit need not wait for the disk: whatever happens to this process
                # it stays, and a power cut leaves the file whole.
                conn.execute("pragma synchronous=normal")
        return Database(conn)


def open_in_memory(*, any_thread: bool = False) -> Database:
    """A log database without a file, which is gone once it is closed.

    Args:
        any_thread: As for `open_log`.
    """
    from sqlite_utils import Database

    conn = sqlite3.connect(":memory:", check_same_thread=not any_thread)
    migrate(conn)
    return Database(shows_any_text(conn))


@contextmanager
def _closed_on_failure(conn: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        conn.close()
        raise


def _has_no_tables(conn: sqlite3.Connection) -> bool:
    return conn.execute("select 1 from sqlite_master limit 1").fetchone() is None


def _check_size(path: FilePath) -> None:
    """Refuse a file of one byte: SQLite takes it for an empty one, and would write over it."""
    if os.path.getsize(path) == 1:
        raise sqlite3.DatabaseError("file is not a database")


def prepare(conn: sqlite3.Connection, path: FilePath) -> None:
    """Switch the file of `conn` to WAL mode, migrate and index it, under its lock, where needed.

    Args:
        conn: An open connection; within a transaction it is only migrated.
        path: The file; empty for a database in memory.
    """
    if conn.in_transaction or not path:
        migrate(conn)
        return
    if needs_migration(conn) or steps_of_plugins(conn):
        with _locked(path):
            refuse_others(conn)
            _switch_to_wal(conn)
            migrate(conn)
    if missing_indexes(conn) or not _is_wal(conn):
        # A file that cannot be written can still be read; one that is in use waits for next time.
        try:
            with _locked(path):
                _switch_to_wal(conn)
                build_indexes(conn, _tell)
        except (OSError, sqlite3.OperationalError) as error:
            pass_interrupt(error)


def _tell(line: str) -> None:
    """Show how far a long preparation is: one line, written anew on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
    elif line:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def set_aside(path: FilePath) -> str | None:
    """Give a file that is no database another name, so that a new log can be begun.

    Returns:
        The new path; `None` where the file is a database, or cannot be renamed.
    """
    with suppress(OSError), _locked(path):
        # Another process may have done it meanwhile.
        if not _is_garbage(path):
            return None
        names = (f"{path}.broken-{number}".removesuffix("-1") for number in count(1))
        target = next(name for name in names if not os.path.exists(name))
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{target}{suffix}")
        return target
    return None


def _is_garbage(path: FilePath) -> bool:
    try:
        _check_size(path)
        _connect_uri(path, "mode=ro").close()
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True
    return False


def _locked(path: FilePath) -> AbstractContextManager[object]:
    from ...files import locked

    return locked(f"{path}.lock", poll_s=0.01)


def _is_wal(conn: sqlite3.Connection) -> bool:
    return bool(conn.execute("pragma journal_mode").fetchone()[0] == "wal")


def _switch_to_wal(conn: sqlite3.Connection) -> None:
    try:
        conn.execute("pragma journal_mode=wal").fetchone()
    except sqlite3.OperationalError as error:
        # A program that knows nothing of the lock file is using it: next time, then.
        if "locked" not in str(error):
            raise


def open_memory() -> Database:
    """An empty log database that lives in memory."""
    from sqlite_utils import Database

    db = Database(memory=True)
    migrate(db)
    return db


def open_readonly(path: FilePath) -> sqlite3.Connection:
    """A connection that reads the log database at `path` and cannot change it.

    It imports nothing but the standard library. A file of an older release is opened as it is:
    ask `needs_migration` and go through `open_log` where the current tables are needed. Where
    nothing can be written beside the file, it is read as it lies on the disk.

    Raises:
        LogError: The file is missing or is no database.
    """
    with log_errors(path, "read"):
        if not os.path.exists(path):
            raise no_log(path)
        directory = os.path.dirname(os.path.abspath(path))
        if os.access(path, os.W_OK) and os.access(directory, os.W_OK):
            # A read-only connection would leave the -wal and -shm files behind.
            conn = _connect_uri(path, "mode=rw")
            conn.execute("pragma query_only=on")
            return conn
        try:
            return _connect_uri(path, "mode=ro")
        except sqlite3.OperationalError:
            return _connect_uri(path, "mode=ro&immutable=1")


def open_for_reading(path: FilePath, *, may_change: bool = True) -> sqlite3.Connection:
    """A connection that reads the current tables of the log at `path`.

    A file of an older release is brought up to date first; where it cannot be written, a copy in
    memory is. Bytes that are no UTF-8 are replaced, so that any row can be shown.

    Args:
        path: The file.
        may_change: Bring the file itself up to date, not a copy.

    Raises:
        LogError: There is no such file, or it cannot be read.
    """
    conn = open_readonly(path)
    if needs_migration(conn):
        conn = brought_up_to_date(path, conn, may_change=may_change)
    elif may_change and missing_indexes(conn) and os.access(path, os.W_OK):
        # As it is it can be read too, which only takes longer.
        with suppress(LogError):
            indexed = connection_of(open_log(path, create=False))
            conn.close()
            conn = indexed
    return shows_any_text(conn)


def shows_any_text(conn: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, on which bytes that are no UTF-8 are replaced from now on."""
    conn.text_factory = partial(str, encoding="utf-8", errors="replace")
    return conn


def brought_up_to_date(
    path: FilePath, conn: sqlite3.Connection, *, may_change: bool = True
) -> sqlite3.Connection:
    """A connection that reads the current tables of a file of an older release.

    Args:
        path: The file.
        conn: A connection to it, which is closed.
        may_change: Migrate the file. Otherwise, and where it cannot be written, a copy in memory
            is migrated.
    """
    try:
        if may_change:
            with suppress(LogError):
                return connection_of(open_log(path, create=False))
        with log_errors(path, "read"):
            copy = interruptible(sqlite3.connect(":memory:"))
            with _closed_on_failure(copy):
                conn.backup(copy)
                migrate(copy)
            return copy
    finally:
        conn.close()


def _connect_uri(path: FilePath, parameters: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.path.abspath(path))}?{parameters}"
    conn = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS)
    with _closed_on_failure(interruptible(conn)):
        # The first access to the file: this is where opening fails.
        conn.execute("select 1 from sqlite_master limit 1").fetchone()
    return conn


def backup(source: FilePath, destination: FilePath) -> int:
    """Write a compact copy of the log database and return its size in bytes.

    Raises:
        LogError: `destination` exists, or either file cannot be used.
    """
    with log_errors(destination, "write a copy of"):
        if os.path.exists(destination):
            raise FileExistsError(17, "the file exists already", str(destination))
        with closing(open_readonly(source)) as conn:
            conn.execute("pragma query_only=off")
            # SQLite takes an empty file, and leaves its mode as it is.
            os.close(os.open(destination, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                conn.execute("vacuum into ?", [str(destination)])
            except BaseException:
                os.unlink(destination)
                raise
        return os.path.getsize(destination)


def status(path: FilePath) -> LogStatus | None:
    """Size and row counts of the log database at `path`, or `None` where there is no file.

    Raises:
        LogError: The file cannot be read.
    """
    if not os.path.exists(path):
        return None
    with closing(open_readonly(path)) as conn, log_errors(path, "read"):
        # Not the size of the file: what was written last may still be in its -wal.
        size = conn.execute(
            "select page_count * page_size from pragma_page_count(), pragma_page_size()"
        )
        counts = (
            sum(row[0] for row in rows_if_any(conn, f"select count(*) from {table}"))
            for table in ("threads", "turns", "conversations", "responses")
        )
        return LogStatus(size.fetchone()[0], *counts)


# Those of the search indexes do nothing but write into the index.
_ODD = """
select group_concat(name, ', ') from sqlite_master where type = 'trigger' and (
    name not in ('responses_ai', 'responses_ad', 'responses_au',
        'turn_search_ai', 'turn_search_ad', 'turn_search_au')
    or sql like '%raise%' or sql like '%delete%from%' or sql like '%update%set%')
"""


def odd_triggers(conn: sqlite3.Connection) -> str:
    """The names of triggers in the file that are none of this program; empty if there are none."""
    return conn.execute(_ODD).fetchone()[0] or ""


def not_kept(conn: sqlite3.Connection, what: str) -> LogError:
    """What to raise where something that was written is not there."""
    names = odd_triggers(conn)
    cause = f"its triggers ({names}) changed or dropped it" if names else "it is not there"
    return LogError(
        f"The log database did not keep {what}: {cause}. Remove the triggers, or log to another"
        " file with --database"
    )
