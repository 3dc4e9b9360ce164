"""Log databases for tests: copies of files of earlier releases, and turns made row by row."""

from __future__ import annotations

import importlib
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from llm.logs.read.query import LogFilters, iter_rows, select_ids
from llm.text import JSONObject

DATA = Path(__file__).parent.parent / "data"
EARLIER = ["v0.13", "v0.19", "v0.26", "v0.26-continued-by-0.36", "v0.36", "v0.36-unusual"]


def use_log(user_path: Path, version: str) -> Path:
    """Copy the database that a release wrote into the user directory."""
    path = user_path / "logs.db"
    shutil.copyfile(DATA / f"logs-{version}.db", path)
    return path


def expected(version: str, kind: str) -> str:
    """What release 0.36 printed for that database; `kind` is the rest of the file's name."""
    return (DATA / f"logs-{version}.{kind}").read_text(encoding="utf-8")


def select_rows(conn: sqlite3.Connection, filters: LogFilters) -> list[JSONObject]:
    """The matching rows as `llm logs --json` shows them, in the order in which it shows them."""
    return list(iter_rows(conn, select_ids(conn, filters)))


def fake_plugin() -> ModuleType:
    """The offline plugin whose models wrote the databases."""
    sys.path.insert(0, str(DATA))
    try:
        return importlib.import_module("llm_fakeplug")
    finally:
        sys.path.remove(str(DATA))


class LogBuilder:
    """Fills a log database with the rows that a test needs."""

    def __init__(self, path: Path) -> None:
        from llm.logs.file.db import open_log

        self.path = path
        self.conn: sqlite3.Connection = open_log(path).conn

    def message(
        self, key: str, role: str, *parts: tuple[Any, ...], parent: str | None = None
    ) -> str:
        """Add a message; each part is a type, then its text or the dictionary of its payload."""
        with self.conn:
            self.conn.execute("insert into messages values (?, ?, ?, null)", [key, parent, role])
            for position, (kind, value) in enumerate(parts):
                text = value if isinstance(value, str) else None
                payload = None if isinstance(value, str) else json.dumps(value)
                name = value.get("name") if isinstance(value, dict) else None
                self.conn.execute(
                    "insert into parts (message_hash, position, type, tool_name, text, payload)"
                    " values (?, ?, ?, ?, ?, ?)",
                    [key, position, kind, name, text, payload],
                )
        return key

    def turn(
        self,
        turn_id: str,
        prompt: str = "",
        response: str = "",
        *,
        parent: str | None = None,
        tip: str | None = None,
        **columns: Any,
    ) -> str:
        """Add a turn; without `parent` and `tip` of two messages with these texts."""
        if parent is None and tip is None:
            parent = self.message(f"{turn_id}-in", "user", ("text", prompt))
            tip = self.message(f"{turn_id}-out", "assistant", ("text", response), parent=parent)
        values = {
            "id": turn_id,
            "thread_id": f"thread-{turn_id}",
            "model": "m",
            "datetime_utc": "2026-01-02T03:04:05.678901+00:00",
            "parent_message_hash": parent,
            "tip_message_hash": tip,
            **columns,
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self.conn:
            self.conn.execute(
                f"insert into turns ({names}) values ({marks})", list(values.values())
            )
            self.conn.execute(
                "insert into turn_search (turn_id, prompt, response) values (?, ?, ?)",
                [turn_id, prompt, response],
            )
        return turn_id

    def response(self, response_id: str, prompt: str, response: str, **columns: Any) -> str:
        """Add a row of the table that releases before 0.32 wrote."""
        values = {
            "id": response_id,
            "model": "old",
            "prompt": prompt,
            "response": response,
            "conversation_id": f"conversation-{response_id}",
            "datetime_utc": "2024-01-02T03:04:05.678901+00:00",
            **columns,
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self.conn:
            sql = f"insert into responses ({names}) values ({marks})"
            self.conn.execute(sql, list(values.values()))
        return response_id
