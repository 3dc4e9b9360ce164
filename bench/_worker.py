"""Runs inside one of the two environments and prints what it measured as JSON.

`unlogged N`: seconds of processor time of a prompt; `logged N FILE`: of a prompt stored in FILE;
`bare N FILE`: of a transaction with the rows of one such prompt, by sqlite3 alone;
`turns N FILE`: of each of N logged turns of one conversation;
`chain N`: of a tool call in a chain of N; `chain_logged N FILE`: of one that is stored in FILE;
`lookup N`: of looking the same model up, once a call of `llm.get_model`;
`short_chains N`: of a chain with one call of a function, given as it is, N times over;
`concurrent N`: seconds on the clock of an answer with N asynchronous tool calls of 50 ms.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import llm


class Nothing(llm.Model):
    """Answers at once with a constant."""

    model_id = "nothing"

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        yield "ok"


class Caller(llm.Model):
    """Asks for a tool call so many times, then answers."""

    model_id = "caller"
    supports_tools = True

    def __init__(self, count: int) -> None:
        self.left = count

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        if self.left:
            self.left -= 1
            response.add_tool_call(llm.ToolCall("add", {"a": self.left, "b": 1}, f"c{self.left}"))
            yield ""
        else:
            yield "ok"


class AsyncCaller(llm.AsyncModel):
    """Asks for many tool calls at once, then answers."""

    model_id = "async-caller"
    supports_tools = True
    calls = 0

    async def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
        calls, self.calls = self.calls, 0
        for number in range(calls):
            response.add_tool_call(llm.ToolCall("wait", {}, f"c{number}"))
        yield "ok"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def wait() -> str:
    """Wait 50 ms."""
    import asyncio

    await asyncio.sleep(0.05)
    return "waited"


def _run_chain(count: int) -> Any:
    tool = llm.Tool.function(add)
    # `model.chain()` of 0.36 takes no limit.
    chain = Caller(count).conversation().chain("go", tools=[tool], chain_limit=0)
    chain.text()
    return chain


def chain(count: int) -> float:
    """Return the processor time of a tool call in a chain that is not stored."""
    _run_chain(3)
    # The garbage of the start is not the chain's; when it is collected is a matter of chance.
    gc.collect()
    began = time.process_time()
    _run_chain(count)
    return (time.process_time() - began) / count


def chain_logged(count: int, path: str) -> float:
    """Return the processor time of a tool call in a chain that is stored."""
    database = open_database(path)
    _run_chain(3).log_to_db(database)
    gc.collect()
    began = time.process_time()
    _run_chain(count).log_to_db(database)
    return (time.process_time() - began) / count


def short_chains(count: int) -> float:
    """Return the processor time of a chain with one call of a function, given as it is."""

    def run() -> None:
        Caller(1).conversation().chain("go", tools=[add], chain_limit=0).text()

    run()
    gc.collect()
    began = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - began) / count


def concurrent(count: int) -> float:
    """Return the seconds that an answer with so many asynchronous tool calls takes."""
    import asyncio

    async def program() -> float:
        tool = llm.Tool.function(wait)
        model = AsyncCaller()
        await model.chain("warm", tools=[tool]).text()
        model.calls = count
        began = time.perf_counter()
        await model.chain("go", tools=[tool]).text()
        return time.perf_counter() - began

    return asyncio.run(program())


def open_database(path: str) -> Any:
    """Open a database in WAL mode the way a plugin does."""
    import sqlite_utils

    database = sqlite_utils.Database(path)
    database.enable_wal()
    return database


def unlogged(count: int) -> float:
    """Return the processor time of a prompt that is not stored."""
    model = Nothing()
    model.prompt("warm").text()
    began = time.process_time()
    for number in range(count):
        model.prompt(f"prompt {number}").text()
    return (time.process_time() - began) / count


def lookup(count: int) -> float:
    """Return the processor time of looking up a model by its id, which is always the same."""
    llm.get_model("gpt-4o-mini")
    began = time.process_time()
    for _ in range(count):
        llm.get_model("gpt-4o-mini")
    return (time.process_time() - began) / count


def logged(count: int, path: str) -> float:
    """Return the processor time of a prompt that is stored."""
    model, database = Nothing(), open_database(path)
    for number in range(5):
        _stored(model.prompt(f"warm {number}"), database)
    began = time.process_time()
    for number in range(count):
        _stored(model.prompt(f"prompt {number}"), database)
    return (time.process_time() - began) / count


def _stored(response: Any, database: Any) -> None:
    response.text()
    response.log_to_db(database)


def turns(count: int, path: str) -> list[float]:
    """Return the processor time of each turn of a stored conversation."""
    conversation, database = Nothing().conversation(), open_database(path)
    times = []
    for number in range(count):
        began = time.process_time()
        _stored(conversation.prompt(f"turn {number}"), database)
        times.append(time.process_time() - began)
    return times


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute(
        "select name from sqlite_master where type = 'table' and sql not like '%virtual%'"
        " and name not like '%_fts%' and name not like 'sqlite_%'"
    ).fetchall()
    return {
        name: connection.execute(f"select coalesce(max(rowid), 0) from [{name}]").fetchone()[0]
        for (name,) in tables
    }


def _rows_of_one_prompt(path: str) -> list[tuple[str, list[int], tuple[Any, ...]]]:
    """Store one more prompt; return the rows it added: table, positions of text keys, values."""
    database = open_database(path)
    with closing(sqlite3.connect(path)) as connection:
        before = _counts(connection)
        _stored(Nothing().prompt("what is stored"), database)
        rows = []
        for table in before:
            columns = connection.execute(f"pragma table_info([{table}])").fetchall()
            keys = [column[0] for column in columns if column[5] or column[1] in ("id", "hash")]
            added = connection.execute(
                f"select * from [{table}] where rowid > ?", [before[table]]
            ).fetchall()
            rows += [(table, keys, row) for row in added]
    database.close()
    return rows


def bare(count: int, path: str) -> float:
    """Return the processor time of a transaction with the rows of a prompt, by sqlite3 alone."""
    rows = _rows_of_one_prompt(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma synchronous = normal")
    began = time.process_time()
    for number in range(count):
        connection.execute("begin immediate")
        for table, keys, row in rows:
            values = [
                (f"{value}-{number}" if isinstance(value, str) else None)
                if place in keys
                else value
                for place, value in enumerate(row)
            ]
            marks = ", ".join("?" * len(values))
            connection.execute(f"insert or ignore into [{table}] values ({marks})", values)
        connection.execute("commit")
    spent = time.process_time() - began
    connection.close()
    return spent / count


if __name__ == "__main__":
    task, number, *path = sys.argv[1:]
    tasks: dict[str, Any] = {
        "unlogged": unlogged,
        "logged": logged,
        "bare": bare,
        "turns": turns,
        "chain": chain,
        "chain_logged": chain_logged,
        "concurrent": concurrent,
        "lookup": lookup,
        "short_chains": short_chains,
    }
    print(json.dumps(tasks[task](int(number), *path)))
