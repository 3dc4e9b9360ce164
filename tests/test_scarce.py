"""A machine that lacks something: threads, locks, a database that keeps what it is given."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm.cli import cli
from llm.logs.file.db import open_log
from llm.logs.read.rows import build_rows
from llm.prompting.journal import Journal, leftovers, set_aside
from llm.prompting.recovery import take_up
from tests.helpers.log_models import AsyncSays, Says, plugin_of

ENDLESS = (
    "select count(*) from (with recursive c(x) as (select 1 union all select x + 1 from c)"
    " select x from c)"
)


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


@pytest.fixture
def says(plugin: Callable[..., object]) -> None:
    """A model that answers, with its twin."""
    plugin("says", **plugin_of((Says("one", "two", "three"), AsyncSays())))


def rows(log: Path) -> list[dict[str, Any]]:
    """What the log has, oldest first."""
    with closing(open_log(log).conn) as conn:
        ids = [turn_id for (turn_id,) in conn.execute("select id from turns order by id")]
        return build_rows(conn, ids)


def invoke(*args: str) -> Any:
    """The result of `llm` with these arguments."""
    return CliRunner().invoke(cli, args)


def refuse_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every lock on a file fail, as on a file system without them."""
    import fcntl

    def flock(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize("flags", [[], ["--async"], ["--json"]])
def test_prompt_without_threads(
    log: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started, the answer comes and is logged all the same."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    result = invoke("-m", "says", "hi", *flags)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(rows(log)) == 1


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_without_locks(
    log: Path, user_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys can be set, turns are logged, and no journal stays behind."""
    refuse_flock(monkeypatch, number)
    assert invoke("keys", "set", "mine", "--value", "s3cret-of-mine").exit_code == 0
    assert "s3cret-of-mine" in (user_path / "keys.json").read_text()
    results = [invoke("-m", "says", "hi"), invoke("-c", "on"), invoke("logs")]
    assert [result.exit_code for result in results] == [0, 0, 0], [r.output for r in results]
    assert [row["response"] for row in rows(log)] == ["one", "two"]
    assert leftovers() == []


def test_journal_without_locks_is_taken_up_by_its_age(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whether its process lives, so one that was just written is left alone."""
    refuse_flock(monkeypatch, errno.ENOLCK)
    response = Says(["one ", "two"]).conversation().prompt("hi")
    response.observer = journal = Journal()
    list(response.stream_events())
    journal.close()
    take_up(log)
    [path] = leftovers()
    os.utime(path, (0, 0))
    take_up(log)
    assert leftovers() == []
    assert [row["response"] for row in rows(log)] == ["one two"]


HOSTILE = {
    "the turn is swallowed": "before insert on turns begin select raise(ignore); end",
    "the turn is deleted": "after insert on turns begin delete from turns; end",
    "the message is swallowed": "before insert on messages begin select raise(ignore); end",
    "the part is swallowed": "before insert on parts begin select raise(ignore); end",
    "the part is changed": "after insert on parts begin update parts set text = 'no'; end",
    "the answer is cut off": "after insert on turns begin"
    " update turns set tip_message_hash = parent_message_hash; end",
    "the conversation is swallowed": "before insert on threads begin select raise(ignore); end",
    "the fragment is swallowed": "before insert on fragments begin select raise(ignore); end",
    "deleted by the search index": "after insert on turn_search begin delete from turns; end",
}


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize("name", HOSTILE)
def test_trigger_that_swallows_the_turn_is_told(log: Path, name: str) -> None:
    """A database that does not keep what it is given is named, and the journal stays."""
    with closing(open_log(log).conn) as conn, conn:
        conn.execute(f"create trigger swallow {HOSTILE[name]}")
    fragment = log.with_name("fragment.txt")
    fragment.write_text("something to read " * 10)
    result = invoke("-m", "says", "hi", "-f", str(fragment))
    assert (result.exit_code, result.stdout) == (0, "one\n")
    assert "did not keep" in result.stderr
    assert "its triggers (swallow)" in result.stderr
    assert invoke("logs").exit_code == 0
    [path] = leftovers()
    assert path in result.stderr
    with closing(sqlite3.connect(log)) as conn, conn:
        conn.execute("drop trigger swallow")
    assert invoke("logs").exit_code == 0
    assert [row["response"] for row in rows(log)] == ["one"]
    assert leftovers() == set_aside() == []


@pytest.mark.usefixtures("says")
def test_harmless_trigger_is_no_problem(log: Path) -> None:
    """A trigger of the person's own that leaves everything alone changes nothing."""
    with closing(open_log(log).conn) as conn, conn:
        conn.execute("create table counted (id text)")
        conn.execute(
            "create trigger count_turns after insert on turns"
            " begin insert into counted values (new.id); end"
        )
    assert invoke("-m", "says", "hi").stderr == ""
    assert invoke("-c", "again").stderr == ""
    assert len(rows(log)) == 2


def interrupted(code: str, user_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that prints `ready` and then takes for ever; send it Ctrl-C until it ends,
    as the first one may come before that."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LLM_USER_PATH": str(user_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(60):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    else:
        process.kill()
    out, err = process.communicate()
    return subprocess.CompletedProcess([], process.returncode, out, err)


OPENED = {
    "written": "open_log({path!r}).conn",
    "read": "open_for_reading({path!r})",
    "only read": "open_readonly({path!r})",
}


@pytest.mark.parametrize("way", OPENED)
def test_ctrl_c_ends_a_long_query(log: Path, user_path: Path, way: str) -> None:
    """A query that takes for ever ends at once, with the exit code of Ctrl-C."""
    open_log(log).close()
    code = f"""
from llm.commands._errors import reported
from llm.logs.file.db import *
import click
conn = {OPENED[way].format(path=str(log))}
@click.command
@reported
def main():
    print("ready", flush=True)
    conn.execute({ENDLESS!r})
main()
"""
    done = interrupted(code, user_path)
    assert (done.returncode, done.stderr) == (130, "\nAborted!\n")


def test_ctrl_c_ends_logging(log: Path, user_path: Path) -> None:
    """Ctrl-C while a turn is being logged ends the command; the journal keeps the turn."""
    with closing(open_log(log).conn) as conn, conn:
        conn.execute(f"create trigger endless after insert on turns begin {ENDLESS}; end")
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from click.testing import CliRunner
from llm.cli import cli
from llm.plugins import manager
from tests.helpers.log_models import Says, plugin_of
import types
module = types.ModuleType("says")
vars(module).update(plugin_of(Says("ready\\n")))
manager().register(module, name="says")
cli(["-m", "says", "hi"])
"""
    done = interrupted(code, user_path)
    assert (done.returncode, done.stderr) == (130, "\nAborted!\n")
    assert len(leftovers()) == 1
