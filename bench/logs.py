"""Processor time of `llm logs` and `llm -c` on a log of a million turns, net of process start.

Beside it what the same costs on a log of 10,000 turns, how long the indexes take that are made
once, and what a turn more costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from _logs_file import legacy_file, turns_file
from _measure import Figure, child_environment, report, user_paths
from _setup import BENCH, Environment, environments

FULL = 1_000_000
SMALL = 10_000
LEGACY = 100_000
LIMIT_S = 600
INDEX_LIMIT_S = 90.0
CALLS = 20


class Case(NamedTuple):
    """A row of the table, with what it took in 0.36 and may take here, in ms on one machine.

    Args:
        name: What is measured; a command is called so.
        theirs_ms: What 0.36 took; `None` where it has no such command.
        limit_ms: What ours may take.
    """

    name: str
    theirs_ms: float | None
    limit_ms: float


COMMANDS = [
    Case("logs -n 3", 4, 3),
    Case("logs -c", 504, 3),
    Case("logs -q rareword", 96, 30),
    Case("logs -q common", 2916, 1000),
    Case("logs -q common -l", 3514, 5),
    Case("logs -m no-such-model", 381, 3),
    Case("logs list --json -n 100", 28, 15),
    Case("logs status", 23, 10),
    Case("conversations list -n 20", None, 10),
    # A text within a writing without spaces; the first search makes an index.
    Case("logs -q 日本語", None, 30),
]
CONTINUE = Case("-c, finding and loading", 121, 5)
CONTINUED = ["prompt", "-c", "hello", "--no-log", "--no-stream"]
PLAIN = ["prompt", "-m", "nothing", "hello", "--no-log", "--no-stream"]
FIRST_START = Case(f"first start, {LEGACY:,} of 0.26", 1500, 1500)
LOGGED = Case("one more logged turn", 4, 1)
RANKED = ("rareword", "common")


def inside(environment: Environment, user: Path, task: str, count: int, value: object) -> Any:
    """Return what the worker measured for a task in this environment."""
    text = json.dumps(value) if isinstance(value, list) else str(value)
    done = subprocess.run(
        [environment.python, str(BENCH / "_logs_worker.py"), task, str(count), text],
        env=child_environment(user),
        cwd=user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    return json.loads(done.stdout)


class Side(NamedTuple):
    """A program with a copy of a log of its own."""

    environment: Environment
    user: Path


class Bench:
    """Both programs on the same log, and ours on a small one beside it."""

    def __init__(self, sides: list[Side]) -> None:
        self._sides = sides
        self._found: dict[Case, list[list[float]]] = {}
        self._rankings: dict[str, list[float]] = {}

    def run(self) -> None:
        """Measure everything once: what slows the machine for a while spoils one run of all."""
        for case in COMMANDS:
            args = case.name.split()
            sides = self._sides if case.theirs_ms is not None else self._sides[1:]
            self._add(case, [self._command(side, args) for side in sides])
        beyond = [
            self._command(side, CONTINUED) - self._command(side, PLAIN) for side in self._sides
        ]
        self._add(CONTINUE, [max(spent, 1e-6) for spent in beyond])
        self._add(FIRST_START, [first_start(*side) for side in self._sides[:2]])
        logged = [inside(e, u, "logged", 200, u / "logs.db") for e, u in self._sides]
        self._add(LOGGED, logged)
        for word in RANKED:
            spent = inside(*self._sides[1], "ranking", CALLS, word)
            self._rankings.setdefault(word, []).append(spent)

    def _command(self, side: Side, args: list[str]) -> float:
        return float(inside(*side, "command", CALLS, args))

    def _add(self, case: Case, times: list[float]) -> None:
        self._found.setdefault(case, []).append(times)

    def show(self) -> list[Figure]:
        """Print the medians, and give ours with their limits."""
        figures = []
        for case, runs in self._found.items():
            times = [statistics.median(some) for some in zip(*runs, strict=True)]
            theirs = times.pop(0) if case.theirs_ms is not None else None
            ours = times.pop(0)
            small = f"   on {SMALL:,} turns {times[0] * 1000:8.2f} ms" if times else ""
            before = " " * 22
            if theirs is not None:
                before = f"{theirs * 1000:9.2f} ms x {ours / theirs:7.4f}"
            print(f"{case.name:<32} 0.36 {before} = ours {ours * 1000:8.2f} ms{small}")
            figures.append(Figure(f"{case.name}, ms", ours * 1000, case.limit_ms))
        for word, spent in self._rankings.items():
            # Nothing that shows the best matches is faster.
            print(f"{f'SQLite alone ranks {word}':<67} {statistics.median(spent) * 1000:8.2f} ms")
        return figures


def copy_log(source: Path, target: Path) -> None:
    """Copy a log; the original is not kept in memory, where the copies have to find room."""
    shutil.copy(source, target)
    if hasattr(os, "posix_fadvise"):
        with open(source, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def build_indexes(environment: Environment, user: Path, turns: int) -> Figure:
    """Open the log of 0.36 for the first time, which makes our indexes."""
    began = time.monotonic()
    command = [environment.llm, "logs", "-n", "1"]
    subprocess.run(
        command, env=child_environment(user), stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=True
    )
    spent = time.monotonic() - began
    per_million = spent * 1_000_000 / max(turns, 100_000)
    print(f"{'our indexes, made once':<28} {spent:.1f} s, {per_million:.1f} s a million turns")
    return Figure("seconds of indexing a million turns", per_million, INDEX_LIMIT_S)


def first_start(environment: Environment, user: Path) -> float:
    """Bring a file of 0.26 up to date."""
    folder = user / "legacy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(legacy_file(LEGACY), folder / "logs.db")
    warm = inside(environment, user, "first", 1, ["logs", "path"])
    return float(inside(environment, folder, "first", 1, ["logs", "-n", "1"]) - warm)


def main() -> int:
    """Make the log, measure every command in both environments and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=FULL, help="turns (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of all (default %(default)s)")
    options = parser.parse_args()
    theirs, ours = environments()
    small = Environment("small", ours.folder)
    with user_paths(theirs, ours, small) as users:
        sides = [Side(*side) for side in zip((theirs, ours, small), users, strict=True)]
        for user, turns in zip(users, (options.turns, options.turns, SMALL), strict=True):
            copy_log(turns_file(theirs, turns), user / "logs.db")
        figures = [build_indexes(ours, users[1], options.turns)]
        build_indexes(ours, users[2], SMALL)
        # Gigabytes were written: until they are on the disk that work goes on beside ours.
        os.sync()
        bench = Bench(sides)
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", flush=True)
            bench.run()
    shown = bench.show()
    # On a small log both are fast: what is promised is that ours stays so.
    return report(figures + (shown if options.turns >= FULL else []))


if __name__ == "__main__":
    sys.exit(main())
