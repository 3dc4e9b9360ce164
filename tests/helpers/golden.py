"""Golden files: what the program writes and prints, with what differs from run to run left out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import llm
from llm.cli import cli

from . import golden_plugin

DATA = Path(__file__).parent.parent / "data"
FOLDER = DATA / "golden"
_ULID = re.compile(r"(?<![0-9A-Za-z])[0-7][0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{25}(?![0-9A-Za-z])")
_TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?")
_DURATION = re.compile(r'("?)(duration_ms"?: )\d+')


class Place:
    """A user directory, commands that are run in it, and what they say made comparable.

    Args:
        folder: A folder; the user directory is made in it.
        near: Another place, whose ids and folder are known to this one, too.
    """

    def __init__(self, folder: Path, near: Place | None = None) -> None:
        self.folder: Path = near.folder if near else folder
        self.user = folder / "user"
        self.user.mkdir(parents=True, exist_ok=True)
        self.ids: dict[str, str] = near.ids if near else {}

    def write(self, name: str, text: str) -> Path:
        """Write a file of the user directory."""
        path = self.user / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def invoke(self, *args: str, stdin: str = "") -> Any:
        """What a command did, in this process."""
        before = os.environ["LLM_USER_PATH"]
        os.environ["LLM_USER_PATH"] = str(self.user)
        try:
            return CliRunner().invoke(cli, list(args), input=stdin)
        finally:
            os.environ["LLM_USER_PATH"] = before

    def run(self, *args: str, stdin: str = "") -> str:
        """What a command printed that succeeds."""
        result = self.invoke(*args, stdin=stdin)
        assert result.exit_code == 0, f"{args}: {result.output} {result.exception!r}"
        return str(result.stdout)

    def fail(self, *args: str) -> None:
        """Run a command that fails."""
        result = self.invoke(*args)
        assert result.exit_code != 0, f"{args}: {result.output}"

    def shown(self, *args: str, stdin: str = "", kind: str = "") -> str:
        """A command and what it printed, as a section of a Markdown file."""
        result = self.invoke(*args, stdin=stdin)
        lines = [f"## llm {' '.join(args)}\n"]
        if result.exit_code:
            lines.append(f"exit code {result.exit_code}\n")
        for name, text in (("", result.stdout), ("stderr", result.stderr)):
            if text:
                end = "" if text.endswith("\n") else "\n(no line end)\n"
                lines.append(f"{name}\n`````\n{text}{end}`````\n".lstrip("\n"))
        return "\n".join(lines)

    def normal(self, text: str, *, is_fixed: bool = False) -> str:
        """A text without paths, and unless it is `is_fixed` without ids, times and durations."""
        for path in sorted({os.path.realpath(self.folder), str(self.folder)}, key=len)[::-1]:
            text = text.replace(json.dumps(path)[1:-1], "<folder>").replace(path, "<folder>")
        text = text.replace(DATA.as_posix(), "<data>")
        if is_fixed:
            return text
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
        text = _ULID.sub(self._number, text)
        text = _DURATION.sub(r"\1\2\1<ms>\1", text)
        text = re.sub(r"Duration: \d+ms \(\d+s\)", "Duration: <ms>", text)
        return _TIME.sub("<time>", text)

    def _number(self, match: re.Match[str]) -> str:
        return self.ids.setdefault(match[0].lower(), f"<id {len(self.ids) + 1}>")

    def rows(self, database: str = "logs.db") -> str:
        """Every row of our tables, a line each."""
        with contextlib.closing(sqlite3.connect(self.user / database)) as conn:
            lines = [
                json.dumps({table: row}, ensure_ascii=False)
                for table in tables_of(conn)
                for row in rows_of(conn, table)
            ]
        return self.normal("".join(f"{line}\n" for line in lines))

    def journals(self) -> str:
        """The lines of all journals that lie in the user directory."""
        found = sorted((self.user / "inflight").glob("*.jsonl"))
        return "\n".join(f"`````\n{path.read_text(encoding='utf-8')}`````\n" for path in found)


def tables_of(conn: sqlite3.Connection) -> list[str]:
    """The tables with rows of ours; those in which SQLite keeps its indexes are left out."""
    names = conn.execute("select name from sqlite_master where type = 'table' order by name")
    return [
        name
        for (name,) in names
        # The id of a database is random.
        if not re.search(r"^sqlite_|_fts(_\w+)?$|^_llm_x_identity$", name)
    ]


def rows_of(conn: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """The rows of a table in the order in which they were written."""
    sql = conn.execute("select sql from sqlite_master where name = ?", [table]).fetchone()[0]
    order = "" if "without rowid" in sql.lower() else " order by rowid"
    if table == "thread_foreign_tools":
        # They come from a set.
        order = " order by thread_id, tool"
    cursor = conn.execute(f"select * from [{table}]{order}")
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield {
            name: {"bytes": value.hex()} if isinstance(value, bytes) else value
            for name, value in zip(names, row, strict=True)
        }


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """The plugin of the golden files is there while the block runs."""
    llm.load_plugins()
    llm.pm.register(golden_plugin, "golden")
    try:
        yield
    finally:
        llm.pm.unregister(golden_plugin)


@contextlib.contextmanager
def watching(watcher: Callable[[str], None]) -> Iterator[None]:
    """Somebody is told how far things are while the block runs."""
    golden_plugin.watchers.append(watcher)
    try:
        yield
    finally:
        golden_plugin.watchers.remove(watcher)


def pretty(value: Any) -> str:
    """Values as JSON that can be reviewed."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def check(name: str, text: str) -> None:
    """Compare a text with a golden file; with `LLM_GOLDEN=write` write the file.

    The variable is read when this module is imported, as no variable gets through to the tests.
    """
    path = FOLDER / name
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    assert path.exists(), f"{path} is missing: LLM_GOLDEN=write makes it"
    wanted = path.read_text(encoding="utf-8")
    assert text.splitlines() == wanted.splitlines(), f"{name} differs"


def sections(parts: Iterable[str]) -> str:
    """Sections of a Markdown file, put together."""
    return "\n".join(parts)


WRITE = os.environ.get("LLM_GOLDEN") == "write"
