"""The indexes of our own: on new files, on those of other releases, and on large ones."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm.cli import cli
from llm.logs.file import migrations
from llm.logs.file.db import open_for_reading, open_log, open_memory, open_readonly
from llm.logs.file.migrations import INDEXES, build_indexes, missing_indexes
from llm.logs.read.query import LogFilters, select_ids
from tests.helpers.databases import RELEASES, copy_of
from tests.helpers.logged import LogBuilder


def indexes_of(path: Path) -> set[str]:
    """The names of the indexes of our own that are in a file."""
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute("select name from sqlite_master where type = 'index'")
        return {name for (name,) in rows} & set(INDEXES)


def test_new_file_has_every_index(tmp_path: Path) -> None:
    """A file made here needs no second step, and neither does one in memory."""
    path = tmp_path / "new.db"
    with closing(open_log(path).conn) as conn:
        assert missing_indexes(conn) == []
    assert indexes_of(path) == set(INDEXES)
    assert missing_indexes(open_memory().conn) == []


@pytest.mark.parametrize("release", RELEASES)
def test_file_of_another_release_is_indexed_when_it_is_read(release: str, tmp_path: Path) -> None:
    """The first look at a file that another release wrote makes what is missing."""
    path = copy_of(release, tmp_path)
    with closing(open_for_reading(path)) as conn:
        assert missing_indexes(conn) == []
    assert indexes_of(path) == set(INDEXES)


def test_interrupted_building_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was made before an interruption is kept, and only the rest is made."""
    path = copy_of("0.36", tmp_path)
    last = list(INDEXES)[-2:]
    with closing(open_log(path).conn) as conn, conn:
        for name in last:
            conn.execute(f"drop index {name}")
            conn.execute("delete from _llm_x_migrations where name = ?", [name])
        changes = conn.total_changes
        assert missing_indexes(conn) == last
        conn.commit()
        build_indexes(conn, lambda line: None)
        # One row is noted for each index that was made.
        assert conn.total_changes == changes + len(last)
    assert indexes_of(path) == set(INDEXES)


def test_killed_building_goes_on_where_it_stopped(user_path: Path) -> None:
    """SIGKILL in the middle costs the index that was being made, and the next start goes on."""
    path = copy_of("0.36", user_path).rename(user_path / "logs.db")
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 300000)"
            " insert into turns (id, thread_id, model, datetime_utc)"
            " select printf('00%024d', i), 't', 'm', '2026-01-01' from n"
        )
    command = [sys.executable, "-m", "llm", "logs", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b": 3 of" not in (line := process.stderr.readline()):
            assert line, "it ended before the third index"
        process.kill()
    made = indexes_of(path)
    assert set(list(INDEXES)[:2]) <= made < set(INDEXES)
    again = subprocess.run(command, capture_output=True, check=True)
    left = int(again.stderr.split()[-1])
    assert len(INDEXES) - len(made) <= left <= len(INDEXES) - 2
    assert indexes_of(path) == set(INDEXES)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("pragma quick_check").fetchall() == [("ok",)]


def test_large_file_is_indexed_with_a_line_for_each_step(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who waits is told why, on standard error, once."""
    copy_of("0.36", user_path).rename(user_path / "logs.db")
    monkeypatch.setattr(migrations, "LARGE", 1)
    first = CliRunner().invoke(cli, ["logs", "-n", "1"])
    again = CliRunner().invoke(cli, ["logs", "-n", "1"])
    assert f"Indexing the log, once: 1 of {len(INDEXES)}" in first.stderr
    assert again.stderr == ""
    assert first.stdout == again.stdout


def test_progress_at_a_terminal_is_one_line_that_disappears(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal each step is written over the one before, and the last is wiped away."""
    from llm.logs.file import db

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    db._tell("one")
    db._tell("")
    assert capsys.readouterr().err == "\r\x1b[Kone\r\x1b[K"


def test_file_that_cannot_be_written_is_read_without_indexes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexes only save time: without them the same is found."""
    path = copy_of("0.36", tmp_path)
    monkeypatch.setattr("os.access", lambda *args: False)
    with closing(open_for_reading(path)) as conn:
        found = select_ids(conn, LogFilters(model="fake", limit=3))
        assert missing_indexes(conn) == list(INDEXES)
    monkeypatch.undo()
    with closing(open_for_reading(path)) as conn:
        assert select_ids(conn, LogFilters(model="fake", limit=3)) == found != []


def test_file_that_another_program_holds_is_used_without_indexes(tmp_path: Path) -> None:
    """A program that has the file to itself delays nothing but the indexes."""
    path = copy_of("0.36", tmp_path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("pragma journal_mode=wal")
    with closing(sqlite3.connect(path)) as other:
        other.execute("begin immediate")
        with closing(open_readonly(path)) as conn:
            conn.execute("pragma query_only=off")
            conn.execute("pragma busy_timeout=10")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                build_indexes(conn, lambda line: None)
            assert missing_indexes(conn) == list(INDEXES)


@pytest.mark.parametrize(
    "filters",
    [
        LogFilters(limit=3, model="m"),
        LogFilters(limit=3, model="r"),
        LogFilters(limit=3, any_tools=True),
        LogFilters(limit=3, since="2026-01-01"),
        LogFilters(limit=3, until="2026-01-01"),
    ],
)
def test_filters_use_the_indexes(tmp_path: Path, filters: LogFilters) -> None:
    """What was measured as slow on a large log looks at no row that does not match."""
    log = LogBuilder(tmp_path / "logs.db")
    log.turn("01a", "q", "a", model="x", resolved_model="y")
    seen: list[str] = []
    log.conn.set_trace_callback(seen.append)
    assert len(select_ids(log.conn, filters)) <= 1
    log.conn.set_trace_callback(None)
    for statement in seen:
        plan = " ".join(row[3] for row in log.conn.execute(f"explain query plan {statement}"))
        assert "SCAN t" not in plan.replace("USING INDEX idx_x", "").replace("SCAN r", "SCAN t"), (
            statement,
            plan,
        )
    log.conn.close()
