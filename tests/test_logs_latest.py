"""The conversation used last: one for `llm -c`, `llm logs -c` and `llm conversations export`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.logs import LogStore
from llm.logs.exchange.as_json import export_conversation, import_conversation
from llm.logs.file.db import open_log, open_memory
from llm.logs.records.outcome import IMPORTED, mark_unprompted
from llm.logs.records.threads import latest_conversation_id
from llm.prompting.journal import Journal
from llm.prompting.recovery import take_up
from llm.text import new_ulid
from tests.helpers.log_models import Says
from tests.helpers.logged import LogBuilder, use_log
from tests.helpers.models import registered
from tests.helpers.release_036 import Release

# Turns with such an id claim to be from the year 4147.
LATER = "1zzzzzzzzzzzzzzzzzzzzzzz{:02}"


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


def done(*args: str, stdin: str = "") -> str:
    """What a command prints that has to succeed."""
    result = CliRunner().invoke(cli, list(args), input=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def latest(log: Path) -> str | None:
    """The conversation used last."""
    with closing(open_log(log)) as db:
        return latest_conversation_id(db.conn)


def ask(text: str) -> str:
    """Begin a conversation and give its id."""
    done("-m", "echo", text)
    return str(json.loads(done("logs", "-n", "1", "-q", text, "--json"))[0]["conversation_id"])


def exported(*texts: str) -> dict[str, Any]:
    """A conversation of another log, all of whose ids are later than any of today."""
    db = open_memory()
    conversation = Says().conversation()
    for text in texts:
        conversation.prompt(text).log_to_db(db)
    shape: Any = export_conversation(db.conn, conversation.id)
    shape["id"] = LATER.format(0)
    for number, turn in enumerate(shape["turns"], 1):
        turn["id"] = LATER.format(number)
    return dict(shape)


def import_file(log: Path, shape: dict[str, Any]) -> str:
    """Put a conversation into the log and give its id."""
    with closing(open_log(log)) as db:
        return import_conversation(db.conn, shape)


def die(conversation: llm.Conversation, text: str) -> None:
    """Prompt a conversation in a process that dies before it has logged the answer."""
    response = conversation.prompt(text)
    response.observer = journal = Journal()
    list(response.stream_events())
    journal.finished(None)
    journal.close()


def test_every_command_means_the_same_conversation(log: Path) -> None:
    """`-c`, `logs -c`, `logs -r` and an export without a name go by the turn written last."""
    birds, bees = ask("birds"), ask("bees")
    for wanted in (birds, bees):
        done("--cid", wanted, "again")
        assert latest(log) == wanted
        assert {row["conversation_id"] for row in json.loads(done("logs", "-c", "--json"))} == {
            wanted
        }
        assert done("logs", "-r") == done("logs", "-r", "--cid", wanted)
        assert json.loads(done("conversations", "export"))["id"] == wanted
        assert llm.Database().conversation().id == wanted


def test_fork_counts_from_its_first_turn(log: Path) -> None:
    """Until something is said in a fork, `llm -c` goes on where it would have gone on."""
    birds = ask("birds")
    ask_order = [birds, done("conversations", "fork", birds, "--name", "Fork").strip()]
    assert latest(log) == birds
    assert json.loads(done("conversations", "export"))["id"] == birds
    assert "user: birds" in done("-c", "more")
    done("--cid", "Fork", "now here")
    assert latest(log) == ask_order[1]


def test_turn_that_ends_last_counts(log: Path) -> None:
    """A prompt that took long is used later than one that began after it and was quicker."""
    slow, quick = Says().conversation(), Says().conversation()
    first, second = slow.prompt("long"), quick.prompt("short")
    with closing(open_log(log)) as db:
        second.log_to_db(db)
        first.log_to_db(db)
    assert first.id < second.id
    assert latest(log) == slow.id


def test_import_does_not_count(log: Path) -> None:
    """Imported turns are not used, however late they claim to be; going on with them is."""
    birds = ask("birds")
    imported = import_file(log, exported("one", "two"))
    assert latest(log) == birds
    assert json.loads(done("logs", "-c", "--json"))[0]["conversation_id"] == birds
    bees = ask("bees")
    assert latest(log) == bees
    done("--cid", imported, "-m", "echo", "three")
    assert latest(log) == imported
    done("--cid", bees, "again")
    assert latest(log) == bees


def test_import_into_an_empty_log_is_all_there_is(log: Path) -> None:
    """Where no prompt has written anything, what was imported last is gone on with."""
    imported = import_file(log, exported("one", "two"))
    assert latest(log) == imported
    assert "user: one" in done("-c", "-m", "echo", "three")


def test_recovery_does_not_count(log: Path) -> None:
    """What a dead process left is put into the log, but nobody has gone on with it."""
    birds = ask("birds")
    lost = Says().conversation()
    die(lost, "lost")
    take_up(log)
    assert latest(log) == birds
    with closing(open_log(log)) as db:
        assert db.execute("select count(*) from turns where thread_id = ?", [lost.id]).fetchone()
    done("--cid", lost.id, "-m", "echo", "go on")
    assert latest(log) == lost.id


def test_recovery_is_gone_on_with_where_there_is_nothing_else(log: Path) -> None:
    """The first prompt of all may be killed, and `llm -c` takes it up."""
    lost = Says().conversation()
    die(lost, "lost")
    assert "user: lost" in done("-c", "-m", "echo", "go on")
    assert latest(log) == lost.id


def test_redaction_does_not_count(log: Path) -> None:
    """New addresses of messages, and a file that is written anew, change no order."""
    swans = ask("swans")
    bees, birds = ask("secret bees"), ask("birds")
    imported = import_file(log, exported("a secret"))
    done("--cid", swans, "again")
    tips = "select tip_message_hash from threads where id = ?"
    with closing(sqlite3.connect(log)) as conn:
        before = conn.execute(tips, [bees]).fetchone()
    done("logs", "redact", "secret", "-y")
    with closing(sqlite3.connect(log)) as conn:
        assert conn.execute(tips, [bees]).fetchone() != before
    assert latest(log) == swans
    done("conversations", "delete", swans, "-y")
    assert latest(log) == birds
    done("conversations", "delete", birds, imported, "-y")
    assert latest(log) == bees


def test_deleted_turns_do_not_count(log: Path) -> None:
    """When the turn is deleted that was written before an import, the one before it counts."""
    birds, bees = ask("birds"), ask("bees")
    import_file(log, exported("one", "two"))
    done("conversations", "delete", bees, "-y")
    assert latest(log) == birds
    done("conversations", "delete", LATER.format(0), "-y")
    swans = ask("swans")
    assert latest(log) == swans
    with closing(sqlite3.connect(log)) as conn:
        assert conn.execute("select * from unprompted_turns").fetchall() == []


def test_prompt_of_another_release_counts(log: Path, other: Release) -> None:
    """0.36 knows nothing of our marks, and its turns count."""
    birds = ask("birds")
    import_file(log, exported("one", "two"))
    other.run("-m", "fake", "from 0.36")
    theirs = latest(log)
    assert theirs not in (birds, LATER.format(0))
    assert "from 0.36" in done("logs", "-c")
    import_file(log, exported("three"))
    assert latest(log) == theirs
    done("--cid", birds, "again")
    assert latest(log) == birds


def test_response_of_an_old_release_counts(user_path: Path, log: Path) -> None:
    """The tables from before 0.32 are compared with turns by the time in the ids."""
    use_log(user_path, "v0.26")
    old = latest(log)
    imported = import_file(log, exported("one"))
    assert latest(log) == old
    done("--cid", imported, "-m", "echo", "two")
    assert latest(log) == imported


def test_prompt_that_was_never_answered_does_not_count(log: Path) -> None:
    """There is nothing to go on with, for `llm logs -c` either."""
    birds = ask("birds")
    assert CliRunner().invoke(cli, ["-m", "fails", "now"]).exit_code == 1
    assert latest(log) == birds


def test_many_imported_turns_are_skipped_at_once(log: Path) -> None:
    """However many turns were imported since the last prompt, none of them is looked at."""
    builder = LogBuilder(log)
    for number in range(3):
        builder.turn(new_ulid(), thread_id=f"t{number}")
    conn = builder.conn
    for number in range(2000):
        turn_id = LATER.format(number)
        mark_unprompted(conn, turn_id, IMPORTED)
        conn.execute("insert into turns (id, thread_id) values (?, 'imported')", [turn_id])
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    conn.set_progress_handler(count, 100)
    assert latest_conversation_id(conn) == "t2"
    conn.set_progress_handler(None, 0)
    assert steps < 10
    store = LogStore(open_memory())
    assert latest_conversation_id(store.db.conn) is None
