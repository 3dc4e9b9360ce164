"""`llm logs vacuum` and `verify`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.commands import logs_upkeep
from llm.commands._logs import counting
from llm.logs.file.db import open_log
from tests.helpers.databases import RELEASES
from tests.helpers.logged import use_log


def invoke(*args: str) -> Result:
    """The result of `llm logs` with these arguments."""
    return CliRunner().invoke(cli, ["logs", *args])


@pytest.mark.parametrize("release", [*RELEASES, "0.36-unusual"])
def test_verify_files_of_every_release(release: str, user_path: Path) -> None:
    """What other releases stored is whole, also where an attached file is gone."""
    use_log(user_path, f"v{release}")
    result = invoke("verify")
    assert (result.exit_code, result.output.endswith("the log is whole\n")) == (0, True)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("update parts set text = 'x' where id = 1", "does not have the content"),
        ("delete from messages where rowid = 1", "follows a message that is missing"),
        ("update turns set tip_message_hash = 'x' where rowid = 1", "turn 0"),
        ("update threads set tip_message_hash = 'x' where rowid = 1", "thread 0"),
        ("delete from threads where rowid = 2", "is of a conversation that is missing"),
        ("update turns set schema_id = 'x' where schema_id is not null", "has a schema that is"),
        ("delete from tools where id = 1", "has a tool that is missing"),
        ("delete from turn_search where id = 3", "cannot be searched for"),
        ("update turn_search set turn_id = 'x' where id = 3", "turn x is missing, but can be"),
        ("update parts set payload = '{' where payload is not null", "a part that is no JSON"),
        ("update messages set provider_metadata = 'x' where rowid = 1", "metadata that is no JSON"),
        ("delete from part_attachments; delete from attachments", "does not have the content"),
        ("delete from attachments", "is used but missing"),
        ("delete from fragments", "fragment 1 is used but missing"),
        ("insert into turn_search_fts(turn_search_fts) values ('delete-all')", "search index"),
        ("update attachments set content = x'00' where content is not null", "does not have its"),
    ],
)
def test_verify_names_damage(user_path: Path, sql: str, text: str) -> None:
    """Each kind of damage is told in a line, and the exit code is 1."""
    path = use_log(user_path, "v0.36")
    with closing(open_log(path).conn) as conn, conn:
        conn.executescript(sql)
    result = invoke("verify")
    assert result.exit_code == 1
    assert text in result.stdout
    assert "is damaged" in result.stderr


def test_verify_of_a_file_that_cannot_be_read_whole(user_path: Path) -> None:
    """A page that is overwritten ends in an error that says what to do, never in a traceback."""
    path = use_log(user_path, "v0.36")
    invoke("list", "-n", "1")
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    path.write_bytes(content)
    result = invoke("verify")
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert str(path) in result.stderr


def test_broken_part_takes_nothing_but_itself_from_a_listing(user_path: Path) -> None:
    """What can be read is listed, whatever lies beside it."""
    path = use_log(user_path, "v0.36")
    rows = invoke("list", "-n", "0", "--json").stdout.count('"resolved_model"')
    with closing(open_log(path).conn) as conn, conn:
        conn.execute("update parts set payload = '{' where payload is not null")
    result = invoke("list", "-n", "0", "--json")
    assert (result.exit_code, result.stdout.count('"resolved_model"')) == (0, rows)


def test_vacuum_gives_space_back(user_path: Path) -> None:
    """The file is smaller afterwards, its -wal empty, and searching finds the same."""
    path = use_log(user_path, "v0.36")
    before = invoke("list", "-q", "hello", "--json").stdout
    with closing(open_log(path).conn) as conn, conn:
        conn.execute("create table x as select zeroblob(1000000) as y")
        conn.execute("drop table x")
    result = invoke("vacuum")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Rebuilt {path}: ")
    assert path.stat().st_size < 1_000_000
    assert invoke("list", "-q", "hello", "--json").stdout == before


def test_vacuum_of_a_large_log_says_what_takes_time(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who waits is told why."""
    use_log(user_path, "v0.36")
    assert invoke("vacuum").stderr == ""
    monkeypatch.setattr(logs_upkeep, "LARGE_BYTES", 1)
    assert invoke("vacuum").stderr.startswith("Writing the log anew (")


@pytest.mark.parametrize("command", ["vacuum", "verify"])
def test_without_a_log_is_an_error(command: str, user_path: Path) -> None:
    """There is nothing to look after: exit code 1, and no file is made."""
    assert invoke(command).exit_code == 1
    assert not (user_path / "logs.db").exists()


def test_vacuum_of_a_file_in_use(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who writes at the same time is named as the cause."""
    path = use_log(user_path, "v0.36")
    open_log(path).close()
    monkeypatch.setattr("llm.logs.file.db.BUSY_TIMEOUT_SECONDS", 0.05)
    with closing(sqlite3.connect(path)) as other:
        other.execute("begin immediate")
        result = invoke("vacuum")
    assert result.exit_code == 1
    assert "Another program is writing to it" in result.stderr


def test_verify_shows_progress_of_a_large_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the number of messages looked at is shown, and wiped away at the end."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show = counting(10_000, "messages")
    show(0)
    show(9_500)
    shown = capsys.readouterr().err
    assert shown == "\r\x1b[K0 of 10,000 messages\r\x1b[K9,500 of 10,000 messages\r\x1b[K"
