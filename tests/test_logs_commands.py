"""`llm logs path`, `status`, `on`, `off` and `backup`."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli
from llm.logs.file.db import open_log
from tests.helpers.logged import LogBuilder, use_log


def invoke(*args: str) -> Result:
    """The result of `llm logs` with these arguments."""
    return CliRunner().invoke(cli, ["logs", *args])


def test_path_absolute(user_path: Path) -> None:
    """`path` prints where the log is, whether or not it is there."""
    assert invoke("path").stdout == f"{user_path / 'logs.db'}\n"


def test_path_light_imports() -> None:
    """`path` answers at once: no database module, no plugins."""
    script = (
        "import sys\nfrom llm.cli import cli\n"
        "try:\n    cli(['logs', 'path'])\nfinally:\n"
        "    heavy = {'sqlite3', 'sqlite_utils', 'pydantic', 'yaml', 'importlib.metadata'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stderr == "[]\n"


def test_status_no_database(user_path: Path) -> None:
    """Without a database `status` says where it would be, and succeeds."""
    result = invoke("status")
    assert result.exit_code == 0
    assert result.stdout == f"No log database found at {user_path / 'logs.db'}\n"


def test_status_counts(user_path: Path) -> None:
    """`status` counts threads and turns; legacy rows are named only where there are some."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01", thread_id="c")
    log.conn.execute("insert into threads (id) values ('c')")
    log.conn.commit()
    log.conn.close()
    lines = invoke("status").stdout.splitlines()
    assert lines[:4] == [
        "Logging is ON for all prompts",
        f"Found log database at {user_path / 'logs.db'}",
        "Number of threads logged:\t1",
        "Number of turns logged:\t\t1",
    ]
    assert lines[4].startswith("Database file size: \t\t")
    assert lines[4].endswith("KB")
    assert len(lines) == 5


def test_status_legacy_rows(user_path: Path) -> None:
    """`status` counts the rows of older releases without changing their file."""
    path = use_log(user_path, "v0.26")
    before = path.read_bytes()
    lines = invoke("status").stdout.splitlines()
    assert "Number of legacy conversations:\t13" in lines
    assert "Number of legacy responses:\t21" in lines
    assert path.read_bytes() == before


def test_off_and_on(user_path: Path) -> None:
    """`off` and `on` put the marker there and take it away, silently, as often as you like."""
    use_log(user_path, "v0.36")
    marker = user_path / "logs-off"
    for command, is_off in (("off", True), ("off", True), ("on", False), ("on", False)):
        result = invoke(command)
        assert (result.exit_code, result.output) == (0, "")
        assert marker.exists() is is_off
        status = "Logging is OFF" if is_off else "Logging is ON for all prompts"
        assert invoke("status").stdout.splitlines()[0] == status


def test_backup_copies(user_path: Path, tmp_path: Path) -> None:
    """`backup` writes a copy that holds the same rows, and names its size."""
    use_log(user_path, "v0.36")
    target = tmp_path / "copy.db"
    result = invoke("backup", str(target))
    assert result.exit_code == 0
    assert result.stdout == f"Backed up {target.stat().st_size / 1024:.2f}KB to {target}\n"
    copy = sqlite3.connect(target)
    assert copy.execute("select count(*) from turns").fetchone() == (41,)
    copy.close()


def test_backup_is_private(user_path: Path, tmp_path: Path) -> None:
    """Nobody else can read the copy, whatever the umask; one that fails leaves nothing."""
    open_log(user_path / "logs.db").close()
    former = os.umask(0)
    try:
        assert invoke("backup", str(tmp_path / "copy.db")).exit_code == 0
    finally:
        os.umask(former)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    (user_path / "logs.db").write_text("no database")
    assert invoke("backup", str(tmp_path / "other.db")).exit_code == 1
    assert not (tmp_path / "other.db").exists()


def test_backup_target_exists(user_path: Path, tmp_path: Path) -> None:
    """`backup` does not overwrite a file."""
    use_log(user_path, "v0.36")
    target = tmp_path / "copy.db"
    target.write_text("precious")
    result = invoke("backup", str(target))
    assert result.exit_code == 1
    assert str(target) in result.stderr
    assert target.read_text() == "precious"


def test_backup_target_impossible(user_path: Path, tmp_path: Path) -> None:
    """A folder that is not there is an error with a message."""
    use_log(user_path, "v0.36")
    result = invoke("backup", str(tmp_path / "none" / "copy.db"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_backup_no_database(tmp_path: Path) -> None:
    """Without a database there is nothing to copy: exit code 1, and no file appears."""
    result = invoke("backup", str(tmp_path / "copy.db"))
    assert result.exit_code == 1
    assert not (tmp_path / "copy.db").exists()


def test_unknown_command_near() -> None:
    """A mistyped sub-command is answered with the nearest name."""
    result = invoke("lst")
    assert result.exit_code == 2
    assert "did you mean 'list'" in result.stderr


def test_list_is_default(user_path: Path) -> None:
    """`llm logs` is `llm logs list`, options included."""
    use_log(user_path, "v0.36")
    assert invoke("-n", "1").stdout == invoke("list", "-n", "1").stdout
    assert "list*" in invoke("--help").stdout


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1, "1.00B"),
        (1023, "1023.00B"),
        (1024, "1.00KB"),
        (270336, "264.00KB"),
        (5 * 1024**2, "5.00MB"),
        (3 * 1024**3, "3.00GB"),
        (1024**4, "1.00TB"),
    ],
)
def testreadable_size_units(size_bytes: int, text: str) -> None:
    """Sizes have two decimals and the largest unit that fits."""
    from llm.commands.logs import readable_size

    assert readable_size(size_bytes) == text
