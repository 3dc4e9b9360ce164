"""Runs inside one of the two environments: the processor time of commands within one process.

`command COUNT JSON`: the best of COUNT calls of `llm` with the arguments in the JSON list, or of as
many as fit into four seconds, in seconds; `first COUNT JSON`: the first call alone; `ranking COUNT
WORD`: the best of the bare statement that ranks what matches a word, in `logs.db` of the working
directory. `logged COUNT FILE`: the median of a turn that is added to the log in FILE.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from _worker import Nothing

import llm
from llm.cli import cli

ENOUGH_S = 4.0
RANKING = (
    "select rowid from turn_search_fts where turn_search_fts match ?"
    " order by bm25(turn_search_fts, 10.0, 1.0) limit 3"
)


class Reader(Nothing):
    """Looks at the whole conversation before it answers."""

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        yield f"{len(prompt.messages)} messages"


def _register() -> None:
    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Reader())

    plugin = ModuleType("nothing")
    plugin.register_models = register_models  # type: ignore[attr-defined]
    llm.plugins.pm.register(plugin, "nothing")


def _call(args: list[str]) -> float:
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli(args, standalone_mode=False)
    return time.process_time() - began


def command(count: int, arguments: str) -> float:
    """Return the processor time of the fastest call but the first, which imports.

    What else the machine does only ever adds to it.
    """
    args = json.loads(arguments)
    _call(args)
    times = [_call(args)]
    while len(times) < count and sum(times) < ENOUGH_S:
        times.append(_call(args))
    return min(times)


def first(count: int, arguments: str) -> float:
    """Return the processor time of the first call."""
    return _call(json.loads(arguments))


def ranking(count: int, word: str) -> float:
    """Return the processor time in which SQLite alone finds the three best matches of a word."""
    times: list[float] = []
    while len(times) < count and sum(times) < ENOUGH_S:
        with contextlib.closing(sqlite3.connect("logs.db")) as conn:
            conn.execute("select 1 from turns limit 1").fetchall()
            began = time.process_time()
            conn.execute(RANKING, [word]).fetchall()
            times.append(time.process_time() - began)
    return min(times)


def logged(count: int, path: str) -> float:
    """Return the processor time of storing a prompt that was answered.

    The file is opened as a program does that knows nothing of what is best for it.
    """
    import sqlite_utils

    model, database = Nothing(), sqlite_utils.Database(path)
    times = []
    for number in range(count):
        response = model.prompt(f"one more {number}")
        response.text()
        began = time.process_time()
        response.log_to_db(database)
        times.append(time.process_time() - began)
    return statistics.median(times[count // 5 :])


if __name__ == "__main__":
    import llm.plugins

    _register()
    task, number, value = sys.argv[1:]
    tasks: dict[str, Any] = {
        "command": command,
        "first": first,
        "ranking": ranking,
        "logged": logged,
    }
    sys.__stdout__.write(json.dumps(tasks[task](int(number), value)))  # type: ignore[union-attr]
