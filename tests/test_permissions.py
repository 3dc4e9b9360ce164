"""Who else can read the files of the user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llm import files
from llm.files import config
from llm.prompting.recorder import Recorder
from llm.prompting.recovery import reading
from llm.prompting.request import LogSettings
from tests.helpers.log_models import Says


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get as far as the directories of the test."""
    monkeypatch.setattr(files, "_is_reachable", lambda path: True)


def log_one(log: LogSettings) -> None:
    """Log a prompt as the command does."""
    with Recorder(log) as recorder:
        response = Says("ok").conversation().prompt("hi")
        recorder.begin(response)
        response.text()
        recorder.end(response)


def test_default_directory_is_closed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reachable: None,
) -> None:
    """The default user directory is the owner's alone, also where it was made wider before."""
    monkeypatch.delenv("LLM_USER_PATH")
    monkeypatch.setattr("llm.files.config.user_path", lambda: str(tmp_path / "config" / "llm"))
    folder = config.user_dir()
    assert mode_of(folder) == 0o700
    folder.chmod(0o755)
    config.user_dir()
    config.user_dir()
    assert mode_of(folder) == 0o700
    assert capsys.readouterr().err.count("now only you can") == 1


def test_named_directory_keeps_its_mode(
    user_path: Path, capsys: pytest.CaptureFixture[str], reachable: None
) -> None:
    """A directory that the user named is told about once, in whichever process."""
    user_path.chmod(0o755)
    log_one(LogSettings())
    log_one(LogSettings())
    assert mode_of(user_path) == 0o755
    assert capsys.readouterr().err.count(f"Others can read {user_path}") == 1


def test_named_database_keeps_its_mode(
    user_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], reachable: None
) -> None:
    """A database that the user named is told about once."""
    user_path.chmod(0o700)
    path = tmp_path / "mine.db"
    log_one(LogSettings(database=str(path)))
    path.chmod(0o644)
    for _ in range(2):
        log_one(LogSettings(database=str(path)))
    assert mode_of(path) == 0o644
    assert capsys.readouterr().err.count(f"Others can read {path}") == 1


def test_log_and_keys_are_closed(user_path: Path) -> None:
    """The log with its side files and the keys are the owner's alone, also where they were not."""
    user_path.chmod(0o700)
    log_one(LogSettings())
    (user_path / "logs.db").chmod(0o644)
    (user_path / "keys.json").write_text("{}")
    (user_path / "keys.json").chmod(0o644)
    log_one(LogSettings())
    assert config.load_keys() == {}
    assert mode_of(user_path / "logs.db") == 0o600
    assert mode_of(user_path / "keys.json") == 0o600


def test_log_is_closed_when_it_is_read(
    user_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], reachable: None
) -> None:
    """Reading the log of an older release closes it, and says so in one line; a named one stays."""
    user_path.chmod(0o700)
    log_one(LogSettings())
    (user_path / "logs.db-wal").touch()
    named = tmp_path / "mine.db"
    named.write_bytes((user_path / "logs.db").read_bytes())
    for path in (user_path / "logs.db", user_path / "logs.db-wal", named):
        path.chmod(0o644)
    reading(user_path / "logs.db").close()
    assert mode_of(user_path / "logs.db") == 0o600
    assert capsys.readouterr().err.count("now only you can") == 1
    reading(named).close()
    assert mode_of(named) == 0o644


def test_nothing_is_said_where_nobody_gets(
    user_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below a directory that is closed to others a wide mode is no matter."""
    tmp_path.chmod(0o700)
    user_path.chmod(0o755)
    log_one(LogSettings())
    assert capsys.readouterr().err == ""


def test_directories_up_to_the_root_are_looked_at(tmp_path: Path) -> None:
    """One closed directory on the way is enough."""
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    assert not files._is_reachable(closed / "file")
    assert files._is_reachable("/file")


def test_memory_of_what_was_told_may_be_lost(
    user_path: Path, capsys: pytest.CaptureFixture[str], reachable: None
) -> None:
    """A file that remembers nothing useful costs a repeated line, and nothing else."""
    user_path.chmod(0o755)
    for content in ("no json", '{"a": 1}'):
        (user_path / "told.json").write_text(content)
        config.tell_if_shared()
    assert capsys.readouterr().err.count("Others can read") == 2


def test_nothing_is_said_that_cannot_be_remembered(
    user_path: Path, capsys: pytest.CaptureFixture[str], reachable: None
) -> None:
    """In a directory that cannot be written the same line would come with every command."""
    user_path.chmod(0o755)
    (user_path / "told.json").mkdir()
    config.tell_if_shared()
    assert capsys.readouterr().err == ""


def test_missing_and_foreign_files_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is there and belongs to the user is tightened."""
    files.tighten(tmp_path / "missing", 0o600)
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(0o644)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    files.tighten(path, 0o600)
    assert mode_of(path) == 0o644
