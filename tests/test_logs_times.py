"""Times that people write and read: --since, --until, --utc and the headings on a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.errors import InvalidInput
from llm.text.times import parse_age, parse_time, shown_time
from tests.helpers.logged import LogBuilder

NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=timezone.utc)


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time zone is that of New York, five or four hours behind UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    if hasattr(time, "tzset"):
        time.tzset()
    yield
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("3d", "2026-03-07T12:00:00"),
        ("2h", "2026-03-10T10:00:00"),
        ("30M", "2026-03-10T11:30:00"),
        ("1 w", "2026-03-03T12:00:00"),
        ("5s", "2026-03-10T11:59:55"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
        ("2026-01-02 03:04:05+02:00", "2026-01-02T01:04:05"),
        ("2026-01-02", "2026-01-02T05:00:00"),
        ("2026-07-02T10:30", "2026-07-02T14:30:00"),
    ],
)
def test_time_is_read_in_the_zone_of_the_machine(in_new_york: None, text: str, moment: str) -> None:
    """Ages count back from now; what has no zone is local time, summer time included."""
    assert parse_time(text, now=NOW) == moment


def test_time_without_zone_is_utc_on_request(in_new_york: None) -> None:
    """With --utc nothing depends on the machine."""
    assert parse_time("2026-01-02", utc=True) == "2026-01-02T00:00:00"
    assert parse_time("2026-01-02", utc=True, end_of_day=True) == "2026-01-03T00:00:00"
    assert parse_time("2026-01-02T10:00", utc=True, end_of_day=True) == "2026-01-02T10:00:00"


@pytest.mark.parametrize("text", ["", "soon", "3 parsecs", "2026-13-01", "9999-12-31"])
def test_time_that_is_none_is_an_error(text: str) -> None:
    """The message shows what can be written."""
    with pytest.raises(InvalidInput, match="write a date"):
        parse_time(text, utc=True, end_of_day=True)


def test_age_is_an_age_and_nothing_else() -> None:
    """Where things are deleted by age, a date is refused; no age is too great."""
    assert parse_age("90d", now=NOW) == "2025-12-10T12:00:00"
    assert parse_age("999999999d", now=NOW).startswith("0001-01-01")
    with pytest.raises(InvalidInput, match="90d"):
        parse_age("2026-01-01")


def test_shown_time_has_its_zone(in_new_york: None) -> None:
    """A person sees local time and which zone that is; what is no time is shown as it is."""
    assert shown_time(utc=False)("2026-07-02T14:30:00.5+00:00") == "2026-07-02T10:30:00 EDT"
    assert shown_time(utc=True)("2026-07-02T14:30:00.5+00:00") == "2026-07-02T14:30:00 UTC"
    assert shown_time(utc=True)("long ago") == "long ago"
    assert shown_time(utc=True)(None) == ""


def listed(*args: str) -> list[str]:
    """The ids that `llm logs list --json` gives."""
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    return [row["id"] for row in json.loads(result.stdout)]


def invoke(*args: str) -> Result:
    """The result of `llm logs list` with these arguments."""
    return CliRunner().invoke(cli, ["logs", "list", "-n", "0", *args])


def test_since_and_until_select_turns_and_older_rows(user_path: Path, in_new_york: None) -> None:
    """Both generations are filtered; a day given to --until belongs to what is shown."""
    log = LogBuilder(user_path / "logs.db")
    for day in (1, 2, 3):
        log.turn(f"01b{day}", datetime_utc=f"2026-01-0{day}T12:00:00.5+00:00")
    log.response("01a1", "q", "a", datetime_utc="2025-12-31T12:00:00+00:00")
    log.conn.close()
    assert listed("--since", "2026-01-02") == ["01b2", "01b3"]
    assert listed("--until", "2026-01-01") == ["01a1", "01b1"]
    assert listed("--since", "2026-01-01", "--until", "2026-01-01") == ["01b1"]
    assert listed("--since", "2026-01-02T12:00:01", "--utc") == ["01b3"]
    assert listed("--since", "1h") == []


def test_since_and_until_with_a_query(user_path: Path) -> None:
    """Searching and the time go together, best or newest first."""
    log = LogBuilder(user_path / "logs.db")
    for day in (1, 2):
        log.turn(f"01b{day}", "word", datetime_utc=f"2026-01-0{day}T12:00:00+00:00")
    log.conn.close()
    assert listed("-q", "word", "--since", "2026-01-02", "--utc") == ["01b2"]
    assert listed("-q", "word", "-l", "--until", "2026-01-01", "--utc") == ["01b1"]


def test_since_that_is_no_time_is_a_usage_error(user_path: Path) -> None:
    """It ends with exit code 2 and names what was given."""
    LogBuilder(user_path / "logs.db").conn.close()
    result = invoke("--since", "soon")
    assert result.exit_code == 2
    assert "'soon'" in result.stderr


def test_many_rows_in_the_time_are_read_newest_first(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where most rows match, their times are not sorted: the newest ids are looked through."""
    from llm.logs.read import query

    log = LogBuilder(user_path / "logs.db")
    for number in range(5):
        log.turn(f"01b{number}", datetime_utc="2026-01-02T12:00:00+00:00")
    monkeypatch.setattr(query, "FEW", 2)
    filters = query.LogFilters(limit=2, since="2026-01-01")
    assert query.select_ids(log.conn, filters) == ["01b3", "01b4"]
    log.conn.close()


def test_times_in_a_pipe_are_utc(user_path: Path, in_new_york: None) -> None:
    """What a program reads does not depend on the zone of the machine."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01b1", datetime_utc="2026-01-02T12:00:00.5+00:00")
    log.conn.close()
    assert invoke().stdout.startswith("# 2026-01-02T12:00:00    conversation: ")
    assert "datetime: '2026-01-02T12:00:00'" in invoke("-s").stdout


def test_times_on_a_terminal_are_local(
    user_path: Path, in_new_york: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person reads their own time with its zone; --utc shows the zone of the log."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01b1", datetime_utc="2026-01-02T12:00:00.5+00:00")
    log.conn.close()
    monkeypatch.setattr("llm.terminal.is_terminal", lambda stream: True)
    assert invoke().stdout.startswith("# 2026-01-02T07:00:00 EST    conversation: ")
    assert invoke("--utc").stdout.startswith("# 2026-01-02T12:00:00 UTC    conversation: ")
