"""Taking up what dead processes left: their journals become turns of the log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import LogError
from ..files import config, tell_once, tighten_database
from ..terminal import show_note
from .journal import ASIDE, close, is_in_user_directory, leftovers, lock, open_own
from .journal_lines import described, read_lines

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from sqlite_utils import Database

    from ..logs.write.store import LogStore
    from ..parts import Part
    from ..text import JSONObject
    from .journal_lines import Journaled

# Opening the log must not wait for long: what cannot be logged now can be logged later.
TIMEOUT_S = 1.0
# A journal without a request belongs to a process that is about to write it, or died then.
EMPTY_AGE_S = 3600.0
# Folders in which there are journals that may be somebody else's, and that were told of.
_told: set[str] = set()


def take_up(database: str | Path, *, tell: bool = False) -> None:
    """Log what processes that died have left for a database; where the database does not take it
    all of it stays, and stderr may `tell` why.

    A journal that is itself the reason, because of what it says, is set aside, which is told once.
    Where nothing was left this costs a look at three folders.
    """
    paths = leftovers()
    if not paths or not _is_writable(os.fspath(database)):
        return
    for path in paths:
        try:
            _take_up_one(path, os.path.abspath(database))
        except ImportError:
            return
        except PermissionError as error:
            _tell_of_stranger(path, error)
        except Exception as error:  # a journal may say anything
            if isinstance(error, LogError) and not _is_about_values(error):
                if tell:
                    where = os.path.dirname(path)
                    show_note(f"{error}. What is not in the log yet is kept in {where}")
                return
            _set_aside(path, error)


def _tell_of_stranger(path: str, error: PermissionError) -> None:
    """Say, once for each folder, that a journal is not read."""
    folder = os.path.dirname(path)
    if folder in _told:
        return
    _told.add(folder)
    tell_once(
        folder,
        f"A journal in {folder} is left alone ({error.filename!r}: {error.strerror}): it, and its "
        "folder, have to belong to you, and nobody else may be able to write there",
        config.user_dir() / "told.json",
        or_always=True,
    )


def _is_about_values(error: LogError) -> bool:
    """Whether the database refused what it was given, and would take other things."""
    from sqlite3 import DataError, IntegrityError, InterfaceError, ProgrammingError

    refusals = (DataError, IntegrityError, InterfaceError, ProgrammingError)
    return isinstance(error.__cause__, refusals)


def _set_aside(path: str, error: Exception) -> None:
    """Give a journal a name by which nothing looks for it, and tell why."""
    target = f"{path}{ASIDE}"
    with suppress(OSError):
        os.rename(path, target)
        show_note(
            f"An answer that another process left cannot be logged: {described(error)}. It is"
            f" kept in {target}: llm logs recover shows it, and tries again"
        )


def reading(database: str | Path, *, missing_is_empty: bool = False) -> sqlite3.Connection:
    """A connection that reads the log; what dead processes have left is in it.

    A file that is missing is an error, or with `missing_is_empty` a log without any rows.
    """
    from ..logs.file.db import open_for_reading, open_memory
    from ..logs.file.migrations import connection_of

    if os.fspath(database) == os.fspath(config.logs_db_path()):
        tighten_database(database)
    take_up(database)
    if missing_is_empty and not os.path.exists(database):
        return connection_of(open_memory())
    return open_for_reading(database)


def _is_writable(database: str) -> bool:
    may_write_file = not os.path.exists(database) or os.access(database, os.W_OK)
    return may_write_file and os.access(os.path.dirname(os.path.abspath(database)), os.W_OK)


def _take_up_one(path: str, database: str) -> None:
    """Log one journal and delete it, if its owner is dead and it belongs to the database.

    A `PermissionError` says that it may be somebody else's.
    """
    try:
        fd = open_own(path)
    except PermissionError:
        raise
    except OSError:
        # It is gone.
        return
    is_done = False
    with suppress(OSError):
        try:
            # One that has lost its name was taken up by another process meanwhile.
            if _is_dead(fd) and os.fstat(fd).st_nlink > 0 and os.path.exists(path):
                is_done = _log_journal(fd, path, database)
        finally:
            close(fd, path if is_done else None)


def _is_dead(fd: int) -> bool:
    """Whether the owner of an open journal is; where nobody can lock, its age has to do."""
    try:
        return lock(fd)
    except OSError:
        return _is_old(fd)


def _is_old(fd: int) -> bool:
    return os.fstat(fd).st_mtime < time.time() - EMPTY_AGE_S


def read_journal(fd: int, *, leniently: bool = False) -> Journaled | None:
    """What the journal that is open as `fd` says; see `read_lines`."""
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return read_lines(file.read(), leniently=leniently)


def _log_journal(fd: int, path: str, database: str) -> bool:
    """Log the journal that is open as `fd`, unless it is that of another database; whether it has
    served its purpose."""
    journaled = read_journal(fd)
    if journaled is None:
        return _is_old(fd)
    if not journaled.is_known or not _is_same_file(database_of(journaled, path), database):
        return False
    log_journaled(journaled, database)
    return True


def log_journaled(journaled: Journaled, database: str) -> None:
    """Put what a journal says into a database, if it is not there.

    Raises:
        LogError: The database does not take it.
        Exception: Whatever comes of a journal that says something else than this program does.
    """
    from ..logs.file.db import log_errors, open_log

    request = journaled.request
    with (
        closing(open_log(database, timeout_s=TIMEOUT_S)) as db,
        log_errors(database, "write to"),
    ):
        if "results_of" in request:
            append_results(db, request, journaled.results)
        # The process may have died after it had logged the turn.
        elif not db.conn.execute("select 1 from turns where id = ?", [request["id"]]).fetchone():
            _log_turn(db, journaled)


def database_of(journaled: Journaled, path: str) -> str:
    """The database that the journal at `path` belongs to."""
    named: str | None = journaled.request["database"]
    if named is not None:
        return os.fspath(named)
    moves_along = is_in_user_directory(path)
    folder = os.path.dirname(os.path.dirname(path)) if moves_along else journaled.request["user"]
    return os.path.join(folder, "logs.db")


def _is_same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _log_turn(db: Database, journaled: Journaled) -> None:
    from ..logs.file.migrations import immediate
    from ..logs.read.provenance import has_calls
    from ..logs.records.chains import is_stored
    from ..logs.records.outcome import (
        INTERRUPTED,
        RECOVERED,
        mark_foreign,
        mark_unprompted,
        mark_untrusted,
    )
    from ..logs.write.turns import HashedTables, TurnWriter
    from ..models.serialize import add_tables, check_conversation, serialize_conversation
    from ..models.turn_record import Tables
    from ..text import conversation_name, new_ulid
    from ..text.secrets import storable

    request, done = journaled.request, journaled.done
    tables = Tables()
    turn = journaled.turn(tables)
    turn["outcome"] = [INTERRUPTED, "", "The process ended before the answer was complete"]
    if done is not None:
        turn["outcome"] = done["outcome"] or [RECOVERED, "", ""]
    name = request.get("name") or conversation_name(request.get("title", ""))
    thread_id = request["thread"] or new_ulid()
    # A database takes more than readers of the log do: this has to be what an import has to be.
    shape = serialize_conversation(thread_id, name, None, [{**turn}], tables, None)
    add_tables(shape, tables)
    check_conversation(shape)
    with _writing(db) as store, immediate(db.conn):
        _, before = request["after"] or (0, None)
        if before is not None and not is_stored(db.conn, before):
            # The log was replaced since.
            before = None
        mark_unprompted(db.conn, turn["id"], RECOVERED)
        writer = TurnWriter(turn, HashedTables(tables, before))
        store.write_turn(writer, thread_id, storable(name))
        mark_untrusted(db.conn, thread_id, request.get("foreign", ()))
        pairs = zip(tables.messages, writer.hashed.messages, strict=True)
        calling = [hashed.hash for message, hashed in pairs if has_calls(message)]
        mark_foreign(db.conn, thread_id, calling, RECOVERED)


@contextmanager
def _writing(db: Database) -> Iterator[LogStore]:
    from ..logs.file.db import log_errors
    from ..logs.write.store import LogStore

    store = LogStore(db)
    with log_errors(store, "write to"):
        yield store


def append_results(db: Database, request: JSONObject, results: Sequence[Part]) -> None:
    """Put the results of tools at the end of a thread, if it still ends in their calls.

    The conversation then goes on without running these tools again. `request` is that of a
    `ResultsJournal`.
    """
    from ..parts import Message

    if not results:
        return
    with _writing(db) as store:
        tips = "select tip_message_hash from {} where id = ?"
        turn = db.conn.execute(tips.format("turns"), [request["results_of"]]).fetchone()
        end = turn[0] if turn is not None else request["tip"]
        thread_id = request["thread"]
        thread = db.conn.execute(tips.format("threads"), [thread_id]).fetchone()
        if end is not None and thread is not None and thread[0] == end:
            store.append(thread_id, [Message("tool", list(results))])
