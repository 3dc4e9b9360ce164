"""Opening a log database: created safely, migrated once, readable wherever it lies."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils

from llm.errors import LogError
from llm.logs import LogStore
from llm.logs.file import db as log_db
from llm.logs.file.db import (
    backup,
    log_errors,
    open_log,
    open_memory,
    open_readonly,
    prepare,
    status,
)
from llm.logs.file.migrations import NAMES, applied_names, needs_migration
from tests.helpers.databases import copy_of


def test_open_log_new_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    """A new file, in directories made for it, is readable by its owner only."""
    path = tmp_path / "deep" / "er" / "logs.db"
    db = open_log(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert db.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert db.execute("pragma busy_timeout").fetchone()[0] == 5000
    assert applied_names(db.conn) == set(NAMES)
    db.close()


def test_open_log_without_create_refuses_a_missing_file(tmp_path: Path) -> None:
    """A command that only reads does not leave an empty database behind."""
    path = tmp_path / "logs.db"
    with pytest.raises(LogError, match=r"No log database found at .*logs\.db"):
        open_log(path, create=False)
    assert not path.exists()


def test_open_log_old_file_is_migrated_and_switched_to_wal(tmp_path: Path) -> None:
    """A file of an older release is brought up to date when it is opened to be written."""
    path = copy_of("0.19", tmp_path)
    db = open_log(path, create=False)
    assert not needs_migration(db.conn)
    assert db.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert db["responses"].count == 10
    db.close()


def test_open_log_again_takes_no_lock(tmp_path: Path) -> None:
    """A file that is up to date is opened without the lock file."""
    path = tmp_path / "logs.db"
    open_log(path).close()
    Path(f"{path}.lock").unlink(missing_ok=True)
    open_log(path).close()
    assert not Path(f"{path}.lock").exists()


def test_open_log_file_in_use_by_another_program_stays_in_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the switch to WAL has to wait for another program, the file is used as it is."""
    path = copy_of("0.36", tmp_path)
    other = sqlite3.connect(path)
    other.execute("begin")
    other.execute("select count(*) from turns").fetchone()
    monkeypatch.setattr(log_db, "BUSY_TIMEOUT_SECONDS", 0.01)
    db = open_log(path)
    assert db.execute("pragma journal_mode").fetchone()[0] == "delete"
    assert db["turns"].count == 41
    db.close()
    other.close()


def test_open_log_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    """A file of another kind is refused with its name, the reason and a way out."""
    path = tmp_path / "logs.db"
    path.write_text("this is not a database, it is a text " * 50, encoding="utf-8")
    with pytest.raises(LogError, match=r"logs\.db: file is not a database\. Move the file away"):
        open_log(path)
    with pytest.raises(LogError, match="is not a database"):
        open_readonly(path)


def test_open_log_old_file_in_use_is_migrated_later_in_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrating does not depend on the switch to WAL."""
    path = copy_of("0.26", tmp_path)
    monkeypatch.setattr(log_db, "BUSY_TIMEOUT_SECONDS", 0.01)
    other = sqlite3.connect(path)
    other.execute("begin")
    other.execute("select count(*) from responses").fetchone()
    with pytest.raises(LogError, match="locked"):
        open_log(path)
    other.rollback()
    open_log(path).close()
    other.close()


def test_open_log_failure_while_preparing_closes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed migration leaves no connection open and says what failed."""

    def fail(conn: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(log_db, "migrate", fail)
    with pytest.raises(LogError, match="Free some space"):
        open_log(tmp_path / "logs.db")


def test_prepare_file_that_cannot_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    """A file of 0.36 can be read through a connection that may not write."""
    path = copy_of("0.36", tmp_path)
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    prepare(conn, path)
    assert conn.execute("pragma journal_mode").fetchone()[0] == "delete"
    conn.close()


def test_prepare_old_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file that lacks tables, and cannot get them, is of no use."""
    path = copy_of("0.13", tmp_path)
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        prepare(conn, path)
    conn.close()


def test_prepare_within_a_transaction_only_migrates(tmp_path: Path) -> None:
    """The transaction of a caller is neither committed nor in the way."""
    conn = sqlite3.connect(tmp_path / "logs.db")
    conn.execute("begin")
    prepare(conn, tmp_path / "logs.db")
    assert conn.in_transaction
    assert not needs_migration(conn)
    conn.rollback()
    assert needs_migration(conn)
    conn.close()


def test_log_store_switches_a_file_to_wal_mode(tmp_path: Path) -> None:
    """A database that a caller opened is treated like one of ours."""
    db = sqlite_utils.Database(tmp_path / "logs.db")
    LogStore(db)
    assert db.execute("pragma journal_mode").fetchone()[0] == "wal"
    db.close()


def test_open_log_many_processes_at_once_all_write(tmp_path: Path) -> None:
    """Any number of processes may start on a directory without a database."""
    path = tmp_path / "logs.db"
    code = (
        "import sys; from llm.logs.file.db import open_log;"
        "db = open_log(sys.argv[1]);"
        "db.execute('insert into threads (id) values (?)', [sys.argv[2]])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), f"t{number}"], stderr=subprocess.PIPE
        )
        for number in range(12)
    ]
    failures = [process.communicate(timeout=120)[1].decode() for process in started]
    assert failures == [""] * 12
    conn = open_readonly(path)
    assert conn.execute("select count(*) from threads").fetchone()[0] == 12
    conn.close()


def test_open_readonly_cannot_write_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Reading changes no file and makes none."""
    path = tmp_path / "logs.db"
    open_log(path).close()
    before = sorted(os.listdir(tmp_path))
    conn = open_readonly(path)
    assert not needs_migration(conn)
    with pytest.raises(sqlite3.OperationalError):
        conn.execute("insert into threads (id) values ('x')")
    conn.close()
    assert sorted(os.listdir(tmp_path)) == before


def test_open_readonly_old_file_is_left_as_it_is(tmp_path: Path) -> None:
    """A file of an older release can be read, and tells that it needs migrating."""
    path = copy_of("0.13", tmp_path)
    before = path.read_bytes()
    conn = open_readonly(path)
    assert needs_migration(conn)
    assert conn.execute("select count(*) from responses").fetchone()[0] == 6
    conn.close()
    assert path.read_bytes() == before


def test_open_readonly_missing_file_is_a_log_error(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(LogError, match=r"missing\.db"):
        open_readonly(tmp_path / "missing.db")


def test_open_readonly_unwritable_directory_reads_a_wal_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no -wal file can be made beside it, a database is read as it lies there."""
    path = tmp_path / "logs.db"
    db = open_log(path)
    db.execute("insert into threads (id) values ('x')")
    db.close()
    opened: list[str] = []
    connect = log_db._connect_uri

    def as_on_a_readonly_disk(path: Path, parameters: str) -> sqlite3.Connection:
        opened.append(parameters)
        if "immutable" not in parameters:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, parameters)

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(log_db, "_connect_uri", as_on_a_readonly_disk)
    conn = open_readonly(path)
    assert conn.execute("select id from threads").fetchall() == [("x",)]
    assert opened == ["mode=ro", "mode=ro&immutable=1"]
    conn.close()


def test_open_memory_is_ready_for_use() -> None:
    """A database in memory has all tables."""
    db = open_memory()
    assert not needs_migration(db.conn)


def test_backup_writes_a_whole_copy_and_never_over_a_file(tmp_path: Path) -> None:
    """The copy has every row, also those still in the -wal file; nothing is overwritten."""
    path, target = tmp_path / "logs.db", tmp_path / "copy.db"
    db = open_log(path)
    db.execute("insert into threads (id) values ('x')")
    size = backup(path, target)
    assert size == target.stat().st_size
    copy = open_readonly(target)
    assert copy.execute("select id from threads").fetchall() == [("x",)]
    copy.close()
    with pytest.raises(LogError, match="exists already"):
        backup(path, target)
    with pytest.raises(LogError, match="write a copy"):
        backup(path, tmp_path / "nowhere" / "copy.db")
    db.close()


def test_status_counts_both_generations(tmp_path: Path) -> None:
    """Size and counts are told for old files, new files and no file."""
    assert status(tmp_path / "missing.db") is None
    old = status(copy_of("0.13", tmp_path))
    assert old is not None
    assert (old.threads, old.turns, old.legacy_conversations, old.legacy_responses) == (0, 0, 4, 6)
    assert old.size_bytes == 45056
    new = status(copy_of("0.36", tmp_path))
    assert new is not None
    assert (new.threads, new.turns, new.legacy_conversations) == (32, 41, 0)


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [("database is locked", "Another program"), ("unable to open", "Check that the file")],
)
def test_log_errors_say_what_to_do(problem: str, remedy: str) -> None:
    """Each message names the file, what failed, why, and a next step."""
    with (
        pytest.raises(LogError, match=f"Cannot read the log database f: {problem}. {remedy}"),
        log_errors("f", "read"),
    ):
        raise sqlite3.OperationalError(problem)
