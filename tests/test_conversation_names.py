"""Conversations are called by their titles, on the command line and in the log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.logs.records.threads import find_conversation_id
from tests.helpers.log_models import AsyncSays, Says
from tests.helpers.models import registered


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    with registered():
        yield


def run(*args: str, stdin: str = "") -> Result:
    """The result of a command line."""
    return CliRunner().invoke(cli, list(args), input=stdin)


def names(path: Path) -> list[str]:
    """The titles of the threads, in the order of their making."""
    with sqlite3.connect(path / "logs.db") as conn:
        return [row[0] for row in conn.execute("select name from threads order by id")]


def ids(path: Path) -> list[str]:
    """The ids of the threads, in the order of their making."""
    with sqlite3.connect(path / "logs.db") as conn:
        return [row[0] for row in conn.execute("select id from threads order by id")]


def test_name_is_the_title_of_a_new_conversation(user_path: Path) -> None:
    """`--name` is kept in place of the beginning of the prompt, by prompt and by chat."""
    run("-m", "echo", "--name", "Birds of prey", "hi")
    run("chat", "-m", "echo", "--name", "Songs", stdin="hi\nquit\n")
    assert names(user_path) == ["Birds of prey", "Songs"]


def test_name_renames_the_conversation_that_goes_on(user_path: Path) -> None:
    """With `-c` the conversation gets the new title with its next turn."""
    run("-m", "echo", "hi")
    run("-c", "--name", "Greetings", "again")
    run("-c", "and again")
    assert names(user_path) == ["Greetings"]


def test_cid_takes_the_beginning_of_id_or_title(user_path: Path) -> None:
    """An unambiguous beginning of an id or title names the conversation."""
    run("-m", "echo", "--name", "Birds", "one")
    run("-m", "echo", "--name", "Bees", "two")
    birds, _ = ids(user_path)
    for name in (birds, birds[:-1], birds[:-1].upper(), "Birds", "bir"):
        result = run("--cid", name, "x")
        assert result.stdout.startswith("user: one"), name
    assert run("logs", "--cid", "bees", "-r").stdout == "user: two\n"
    assert run("chat", "--cid", "bees", stdin="quit\n").exit_code == 0


def test_cid_that_names_several_is_an_error(user_path: Path) -> None:
    """Where a beginning could mean several the message lists them, and nothing is sent."""
    for number in range(7):
        run("-m", "echo", "--name", f"Birds {number}", "one")
    result = run("--cid", "Birds", "x")
    assert result.exit_code == 1
    assert "is the beginning of several conversations" in result.stderr
    assert result.stderr.count("Birds ") == 5
    assert result.stderr.endswith("  ...\n")
    assert run("logs", "--cid", "Birds").exit_code == 1


def test_cid_prefers_the_whole_title(user_path: Path) -> None:
    """A title that is the beginning of another one still names its own conversation."""
    run("-m", "echo", "--name", "Bird", "one")
    run("-m", "echo", "--name", "Birds", "two")
    assert run("--cid", "Bird", "x").stdout.startswith("user: one")


def test_cid_unknown(user_path: Path) -> None:
    """A name that is no conversation's is an error, for logs an empty list."""
    run("-m", "echo", "hi")
    result = run("--cid", "nope", "x")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: No conversation found with id=nope\n",
    )
    assert run("logs", "--cid", "nope").stdout == ""


def test_nothing_is_no_name(user_path: Path) -> None:
    """An empty text names no conversation."""
    run("-m", "echo", "hi")
    with sqlite3.connect(user_path / "logs.db") as conn:
        assert find_conversation_id(conn, "") is None


def test_usage_tells_the_conversation(user_path: Path) -> None:
    """`-u` prints the id on stderr, with which the conversation can be continued."""
    result = run("-m", "echo", "-u", "hi")
    assert result.stderr.splitlines()[-1] == f"Conversation: {ids(user_path)[0]}"
    assert "Conversation" not in run("-m", "echo", "-u", "-n", "hi").stderr


def test_name_given_in_python_is_stored_with_the_next_turn(tmp_path: Path) -> None:
    """A title set on a conversation, sync or async, reaches the log with its next turn."""
    with llm.Database(tmp_path / "a.db") as db:
        conversation = Says().conversation(log=db)
        conversation.prompt("one").text()
        conversation.name = "First"
        conversation.prompt("two").text()
        conversation.name = "Second"
        conversation.prompt("three").text()
        assert [info.name for info in db.conversations()] == ["Second"]
        again = db.conversation("Second", model=AsyncSays(), async_=True)
        again.name = "Third"

        async def go_on() -> None:
            await again.prompt("four")
            again.name = "Fourth"
            await again.prompt("five")

        asyncio.run(go_on())
        assert [(info.name, info.turns) for info in db.conversations()] == [("Fourth", 5)]


def test_turns_are_found_by_time(tmp_path: Path) -> None:
    """`since` and `until` take dates, times and ages."""
    from datetime import date, datetime, timedelta, timezone

    with llm.Database(tmp_path / "a.db") as db:
        Says().prompt("one", log=db).text()
        now = datetime.now(timezone.utc)
        today = date.today()
        assert len(list(db.turns(since=now - timedelta(hours=1), until=today))) == 1
        assert len(list(db.turns(since="1h"))) == 1
        assert list(db.turns(since=now + timedelta(hours=1))) == []
        assert list(db.turns(until="1h")) == []
