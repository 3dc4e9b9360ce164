"""One log for two programs: what we write 0.36 reads, and the other way round."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.logs import LogStore
from llm.logs.file.db import open_log
from llm.logs.file.migrations import INDEXES
from llm.logs.rewrite.upkeep import find_damage
from tests.helpers.databases import DATA, RELEASES
from tests.helpers.logged import use_log
from tests.helpers.release_036 import Release


def run(*args: str, stdin: str | None = None) -> str:
    """The output of our command, which succeeds."""
    result = CliRunner().invoke(cli, args, input=stdin)
    assert result.exit_code == 0, (args, result.output, result.exception)
    return result.stdout


LISTINGS = (
    ["logs", "list", "-n", "0"],
    ["logs", "list", "-n", "0", "--json"],
    ["logs", "list", "-n", "0", "--json", "-e"],
    ["logs", "list", "-n", "0", "--short", "-u"],
    ["logs", "list", "-n", "0", "-q", "conversation OR words OR Count", "--json"],
    ["logs", "list", "-n", "0", "-q", "conversation OR words OR Count", "-l", "--short"],
    ["logs", "list", "-n", "0", "-m", "fake", "--short"],
    ["logs", "list", "-n", "0", "--tools", "--short"],
    ["logs", "list", "-n", "0", "-T", "shout", "--short"],
    ["logs", "list", "-n", "0", "--data", "--data-ids"],
    ["logs", "-c"],
    ["logs", "-r"],
)


def assert_same(other: Release, *listings: list[str]) -> None:
    """Both programs print the same, to the character."""
    for args in listings or LISTINGS:
        assert run(*args) == other.run(*args), args


def is_whole(user_path: Path) -> bool:
    """Whether every message of the log is the one that was stored."""
    with closing(open_log(user_path / "logs.db").conn) as conn:
        return not list(find_damage(conn))


def write_much(say: Callable[..., str]) -> None:
    """Log with one of the programs what it can log."""
    picture = str(DATA / "files" / "pixel.png")
    commands = [
        ["-m", "fake", "Plain words"],
        ["-m", "fake", "Plain words"],
        ["-m", "fake", "Ünïcode \u2028 words"],
        ["-m", "fake", "-s", "Be brief", "A conversation"],
        ["-c", "A conversation goes on"],
        ["-m", "fake", "-a", picture, "Picture words"],
        ["-m", "fake", "-T", "shout", 'Tool words CALL shout {"text": "hi"}'],
        ["-m", "fake", "-T", "Counter", 'Count CALL Counter_add {"by": 3}'],
    ]
    for command in commands:
        say(*command)


def log_more(database: Path) -> None:
    """Log from Python a turn with fragments and one with a schema."""
    model = llm.get_model("fake")
    text = (DATA / "files" / "novel.txt").read_text()
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    for values in ({"fragments": [text], "system_fragments": ["Be kind"]}, {"schema": schema}):
        response = model.prompt("Fragment or schema words", **values)
        response.text()
        response.log_to_db(open_log(database))


def test_what_we_write_is_listed_the_same_by_036(other: Release, user_path: Path) -> None:
    """Listings, searches, filters and data are equal to the character."""
    write_much(run)
    log_more(user_path / "logs.db")
    assert_same(other)
    assert is_whole(user_path)


def test_what_036_writes_is_listed_the_same_by_us(other: Release, user_path: Path) -> None:
    """And it stays so, as the file that 0.36 made becomes ours."""
    write_much(other.run)
    assert_same(other)
    assert is_whole(user_path)
    with closing(sqlite3.connect(user_path / "logs.db")) as conn:
        made = {name for (name,) in conn.execute("select name from sqlite_master")}
    assert set(INDEXES) <= made


def test_each_continues_what_the_other_began(other: Release, user_path: Path) -> None:
    """Turn by turn in one thread: both give the model the same history."""
    run("-m", "fake", "-s", "Be brief", "one", "--no-stream")
    for number in range(2, 8):
        (run if number % 2 else other.run)("-c", f"turn {number}")
    with closing(open_log(user_path / "logs.db").conn) as conn:
        threads = conn.execute("select tip_message_hash from threads").fetchall()
        assert len(threads) == 1
        messages = LogStore(open_log(user_path / "logs.db")).load_chain(threads[0][0])
    said = [message.text() for message in messages if message.role == "user"]
    assert said == ["one", *(f"turn {number}" for number in range(2, 8))]
    assert_same(other, *LISTINGS[:4], *LISTINGS[-2:])
    assert is_whole(user_path)


def dump(path: Path) -> list[str]:
    """Everything in a database, as SQL."""
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


@pytest.mark.parametrize("version", [*RELEASES, "0.36-unusual"])
def test_back_and_forth_ten_times_changes_nothing(
    version: str, other: Release, user_path: Path
) -> None:
    """After the first look nothing is ever written by looking, whoever looks."""
    path = use_log(user_path, f"v{version}")
    run("logs", "-n", "1")
    before = dump(path)
    listing = run("logs", "-n", "0", "--json")
    for _ in range(10):
        other.run("logs", "-n", "1")
        run("logs", "-n", "1")
    assert dump(path) == before
    assert run("logs", "-n", "0", "--json") == listing


def test_writing_back_and_forth_ten_times_keeps_all_rows(other: Release, user_path: Path) -> None:
    """Each adds a turn to one old file by turns: what was there stays as it was."""
    use_log(user_path, "v0.26-continued-by-0.36")
    before = json.loads(run("logs", "-n", "0", "--json"))
    with closing(sqlite3.connect(user_path / "logs.db")) as conn:
        tables = conn.execute("select type, name, sql from sqlite_master order by 2").fetchall()
    for number in range(10):
        (other.run if number % 2 else run)("-m", "fake", f"number {number}")
        (run if number % 2 else other.run)("-c", f"and after {number}")
    after = json.loads(run("logs", "-n", "0", "--json"))
    assert after[: len(before)] == before
    assert [row["prompt"] for row in after[len(before) :]] == [
        text for number in range(10) for text in (f"number {number}", f"and after {number}")
    ]
    with closing(sqlite3.connect(user_path / "logs.db")) as conn:
        assert (
            tables
            == conn.execute("select type, name, sql from sqlite_master order by 2").fetchall()
        )
    assert is_whole(user_path)


def test_036_goes_on_after_delete_and_redact(other: Release, user_path: Path) -> None:
    """What is left reads the same in both, can be searched and continued."""
    write_much(run)
    log_more(user_path / "logs.db")
    run("logs", "redact", "words", "--with", "WORDS", "--yes")
    run("logs", "delete", "-q", "Fragment", "--yes")
    run("logs", "delete", "-q", '"goes on"', "--yes")
    run("logs", "vacuum")
    assert_same(other)
    rows = json.loads(run("logs", "-n", "0", "--json"))
    conversation = next(row for row in rows if row["prompt"] == "A conversation")
    other.run("--cid", conversation["conversation_id"], "again")
    assert_same(other)
    assert "WORDS" in other.run("logs", "-q", "WORDS", "-n", "1")
    assert is_whole(user_path)


def test_our_filters_find_what_036_adds(other: Release, user_path: Path) -> None:
    """The indexes of our own are kept by SQLite, whoever writes."""
    run("-m", "fake", "ours")
    other.run("-m", "fake-events", '["theirs"]')
    rows = json.loads(run("logs", "-m", "fake-events", "--json"))
    assert [row["prompt"] for row in rows] == ['["theirs"]']
    assert [row["prompt"] for row in json.loads(run("logs", "--since", "1h", "--json"))] == [
        "ours",
        '["theirs"]',
    ]
