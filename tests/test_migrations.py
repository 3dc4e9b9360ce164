"""Log databases of every release are brought to the same form, once, without loss."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from llm.logs.file import migrations, schema
from llm.logs.file.migrations import NAMES, applied_names, immediate, migrate, needs_migration
from tests.helpers.databases import DATA, RELEASES, columns_of, copy_of


def connect(path: Path) -> closing[sqlite3.Connection]:
    """A connection that is closed at the end of the block."""
    return closing(sqlite3.connect(path))


@pytest.mark.parametrize("release", RELEASES)
def test_migrate_old_file_gives_the_tables_of_a_new_one(release: str, tmp_path: Path) -> None:
    """Whatever release wrote a file, its columns end up as those of 0.36."""
    path = copy_of(release, tmp_path)
    with connect(path) as conn:
        migrate(conn)
        assert conn.execute("pragma integrity_check").fetchone()[0] == "ok"
        assert applied_names(conn) == set(NAMES)
    assert columns_of(path) == columns_of(DATA / "logs-v0.36.db")


def test_migrate_empty_file_gives_the_tables_of_0_36(tmp_path: Path) -> None:
    """A new file has exactly the columns that 0.36 knows."""
    path = tmp_path / "new.db"
    with connect(path) as conn:
        migrate(conn)
    assert columns_of(path) == columns_of(DATA / "logs-v0.36.db")


@pytest.mark.parametrize("release", RELEASES)
def test_migrate_old_file_keeps_every_row(release: str, tmp_path: Path) -> None:
    """No row of any table is lost or changed in number."""
    path = copy_of(release, tmp_path)
    tables = ("conversations", "responses", "attachments", "fragments", "tool_calls", "turns")
    with connect(path) as conn:
        present = {row[0] for row in conn.execute("select name from sqlite_master")}
        count = {
            table: conn.execute(f"select count(*) from {table}").fetchone()[0]
            for table in tables
            if table in present
        }
        migrate(conn)
        after = {t: conn.execute(f"select count(*) from {t}").fetchone()[0] for t in count}
    assert after == count


def test_migrate_again_changes_nothing(tmp_path: Path) -> None:
    """A second call writes nothing at all."""
    with connect(copy_of("0.13", tmp_path)) as conn:
        migrate(conn)
        version = conn.execute("pragma data_version").fetchone()
        changes = conn.total_changes
        migrate(conn)
        assert conn.total_changes == changes
        assert conn.execute("pragma data_version").fetchone() == version


@pytest.mark.parametrize("count", range(len(NAMES)))
def test_migrate_from_any_prefix_completes_the_list(count: int, tmp_path: Path) -> None:
    """A file that stopped at any migration of the list is brought to its end."""
    path = copy_of("0.36", tmp_path)
    with connect(path) as conn, conn:
        kept = NAMES[:count]
        marks = ", ".join("?" * count)
        conn.execute(f"delete from _llm_migrations where name not in ({marks})", kept)
        assert needs_migration(conn)
    with connect(path) as conn:
        migrate(conn)
        assert not needs_migration(conn)
        assert conn.execute("select count(*) from turns").fetchone()[0] == 41
    assert columns_of(path) == columns_of(DATA / "logs-v0.36.db")


def test_migrate_unknown_name_and_table_are_left_alone(tmp_path: Path) -> None:
    """What other programs keep in the file stays."""
    with connect(copy_of("0.19", tmp_path)) as conn:
        conn.execute("create table theirs (a)")
        conn.execute("insert into _llm_migrations values ('m999_of_the_future', 'then')")
        conn.commit()
        migrate(conn)
        assert "m999_of_the_future" in applied_names(conn)
        assert conn.execute("select count(*) from theirs").fetchone()[0] == 0


def test_migrate_failure_in_the_middle_undoes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All migrations succeed, or the file stays as it was."""

    def fail(conn: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    path = copy_of("0.13", tmp_path)
    before = columns_of(path)
    steps = (*migrations.STEPS[:-1], ("m027_turns_response_json", (fail,)))
    monkeypatch.setattr(migrations, "STEPS", steps)
    with connect(path) as conn, pytest.raises(sqlite3.OperationalError):
        migrate(conn)
    assert columns_of(path) == before


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            "provider, system, prompt, chat_id, response, model, timestamp",
            (7, None, "2023-05-01 10:00:00"),
        ),
        (
            "provider, system, prompt, response, model, timestamp",
            (None, None, "2023-05-01 10:00:00"),
        ),
        (
            "id integer primary key, model, timestamp, prompt, system, response,"
            " chat_id integer, debug text, duration_ms integer",
            (7, 9, "2023-05-01 10:00:00"),
        ),
        (
            "id integer primary key, model, timestamp_utc, prompt, system, response,"
            " chat_id integer, duration_ms integer, options_json, reply_to_id integer",
            (7, 9, "2023-05-01 10:00:00"),
        ),
    ],
)
def test_migrate_table_of_2023_keeps_rows_in_its_last_form(
    columns: str, expected: tuple[object, ...], tmp_path: Path
) -> None:
    """The first table of all, in any of its forms, becomes `logs`."""
    values = {
        "system": "be brief",
        "prompt": "hello",
        "response": "hi",
        "model": "m",
        "chat_id": 7,
        "duration_ms": 9,
        "timestamp": "2023-05-01 10:00:00",
        "timestamp_utc": "2023-05-01 10:00:00",
    }
    given = {k: v for k, v in values.items() if k in columns.replace(",", " ").split()}
    path = tmp_path / "old.db"
    with connect(path) as conn:
        conn.execute(f"create table log ({columns})")
        conn.execute(
            f"insert into log ({', '.join(given)}) values ({', '.join('?' * len(given))})",
            list(given.values()),
        )
        conn.commit()
        migrate(conn)
        row = conn.execute(
            "select id, prompt, system, response, chat_id, duration_ms, datetime_utc from logs"
        ).fetchone()
        assert row == (1, "hello", "be brief", "hi", *expected)
        assert not conn.execute("select 1 from sqlite_master where name = 'log'").fetchone()


def test_migrate_empty_table_of_2023_is_dropped(tmp_path: Path) -> None:
    """A first table without rows is not kept."""
    with connect(tmp_path / "old.db") as conn:
        conn.execute("create table log (prompt, response, model, timestamp)")
        conn.commit()
        migrate(conn)
        found = conn.execute("select name from sqlite_master where name in ('log', 'logs')")
        assert found.fetchall() == []


def test_migrate_fragment_keys_without_position_are_widened(tmp_path: Path) -> None:
    """After the upgrade one response may use a fragment twice."""
    with connect(tmp_path / "old.db") as conn:
        migrate(conn)
        for table in ("prompt_fragments", "system_fragments"):
            conn.execute(f"drop table {table}")
        conn.execute(
            'create table prompt_fragments (response_id text, fragment_id integer, "order" integer,'
            " primary key (response_id, fragment_id))"
        )
        conn.execute("insert into prompt_fragments values ('r', 1, 0)")
        conn.execute("delete from _llm_migrations where name = 'm016_fragments_table_pks'")
        conn.commit()
        migrate(conn)
        conn.execute("insert into prompt_fragments values ('r', 1, 1)")
        assert conn.execute("select count(*) from prompt_fragments").fetchone()[0] == 2
        assert conn.execute("select count(*) from system_fragments").fetchone()[0] == 0


def instances_spelled_out(conn: sqlite3.Connection) -> None:
    """Make the tables as they were before m024, with two calls of one toolbox."""
    migrate(conn)
    for statement in (
        "drop table tool_instantiations",
        "create table tool_instantiations (turn_id text, tool_call_id text, name text,"
        " plugin text, arguments text, primary key (turn_id, tool_call_id))",
        "insert into threads (id) values ('t')",
        "insert into turns (id, thread_id) values ('a', 't'), ('b', 't')",
        "insert into tools (id, hash, name) values (1, 'x', 'Box_add'), (2, 'y', 'other')",
        "insert into turn_tools (turn_id, tool_id) values ('a', 1), ('a', 2), ('b', 1)",
        "insert into tool_instantiations values ('b', 'c1', 'Box', null, '{}'),"
        " ('b', 'c2', 'Box', null, '{}')",
        "delete from _llm_migrations where name like 'm024%' or name like 'm025%'",
    ):
        conn.execute(statement)
    conn.commit()


def test_migrate_spelled_out_instances_become_shared_rows(tmp_path: Path) -> None:
    """Equal instances share one row, and tools of the same thread find theirs by prefix."""
    with connect(tmp_path / "old.db") as conn:
        instances_spelled_out(conn)
        migrate(conn)
        instances = conn.execute("select id, name, plugin, arguments from tool_instances")
        assert instances.fetchall() == [(1, "Box", None, "{}")]
        calls = conn.execute("select tool_call_id, instance_id from tool_instantiations")
        assert calls.fetchall() == [("c1", 1), ("c2", 1)]
        tools = conn.execute("select turn_id, tool_id, instance_id from turn_tools order by 1, 2")
        assert tools.fetchall() == [("a", 1, 1), ("a", 2, None), ("b", 1, 1)]


@pytest.mark.parametrize("release", ["0.36", "0.26-continued-by-0.36"])
def test_message_tree_view_gives_the_rows_of_0_36(release: str, tmp_path: Path) -> None:
    """Our own view shows the same tree, in the same order, as that of 0.36."""
    expected = json.loads((DATA / f"logs-v{release}.message_tree.json").read_text("utf-8"))
    with connect(copy_of(release, tmp_path)) as conn:
        conn.execute("drop view message_tree")
        conn.execute(schema.MESSAGE_TREE)
        conn.row_factory = sqlite3.Row
        assert [dict(row) for row in conn.execute("select * from message_tree")] == expected


def test_immediate_inside_a_transaction_leaves_the_commit_to_the_caller() -> None:
    """Within a transaction of the caller a failure undoes only its own writes."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("create table t (a)")
        conn.execute("begin")
        conn.execute("insert into t values (1)")
        with pytest.raises(sqlite3.OperationalError), immediate(conn):
            conn.executemany("insert into t values (2 + abs(?))", [[0], [-(2**63)]])
        with immediate(conn):
            conn.execute("insert into t values (3)")
        assert conn.in_transaction
        conn.commit()
        assert conn.execute("select a from t").fetchall() == [(1,), (3,)]


def test_immediate_whose_transaction_is_gone_raises_the_first_error() -> None:
    """Where SQLite has undone the transaction itself, the error that caused it is seen."""
    with closing(sqlite3.connect(":memory:")) as conn:
        with pytest.raises(sqlite3.OperationalError, match="no transaction"), immediate(conn):
            conn.executescript("rollback")
        assert not conn.in_transaction


def test_migrate_import_path_of_plugins_takes_a_sqlite_utils_database() -> None:
    """`llm.migrations.migrate(db)` works as plugins use it."""
    from llm.migrations import migrate as imported

    db = sqlite_utils.Database(memory=True)
    imported(db)
    assert imported is migrate
    assert db["turns"].exists()
