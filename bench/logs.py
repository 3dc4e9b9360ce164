"""Processor time of `llm logs` and `llm -c` on a log of a million turns, net of process start.

Also how long the indexes take that are made once, and what a turn more costs.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from _logs_file import legacy_file, turns_file
from _measure import Figure, child_environment, report, show, user_paths
from _setup import BENCH, Environment, environments

FULL = 1_000_000
LEGACY = 100_000
LIMIT_S = 600
INDEX_LIMIT_S = 90.0


class Case(NamedTuple):
    """A command, with what it took in 0.36 and may take here, in milliseconds on one machine."""

    args: list[str]
    theirs_ms: float
    limit_ms: float


CASES = [
    Case(["logs", "-n", "3"], 4, 3),
    Case(["logs", "-c"], 504, 3),
    Case(["logs", "-q", "rareword"], 96, 30),
    Case(["logs", "-q", "common"], 2916, 1000),
    Case(["logs", "-q", "common", "-l"], 3514, 5),
    Case(["logs", "-m", "no-such-model"], 381, 3),
    Case(["logs", "list", "--json", "-n", "100"], 28, 15),
    Case(["logs", "status"], 23, 10),
]
CONTINUE = Case(["prompt", "-c", "hello", "--no-log", "--no-stream"], 121, 5)
PLAIN = ["prompt", "-m", "nothing", "hello", "--no-log", "--no-stream"]


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


class Bench:
    """Both programs on the same log, each with a copy of its own."""

    def __init__(self, users: list[Path], runs: int, turns: int) -> None:
        self.sides = list(zip(environments(), users, strict=True))
        self._runs = runs
        # On a small log both are fast: what is promised is that ours stays so.
        self._is_full = turns >= FULL
        self.figures: list[Figure] = []

    def medians(self, task: str, count: int, *values: object) -> list[float]:
        """Measure by turns; several values: what the first takes more than the second."""
        found: list[list[float]] = [[], []]
        for _ in range(self._runs):
            for times, (environment, user) in zip(found, self.sides, strict=True):
                spent = [inside(environment, user, task, count, value) for value in values]
                times.append(max(spent[0] - sum(spent[1:]), 1e-6))
        return [statistics.median(times) for times in found]

    def note(self, name: str, times: list[float], theirs_ms: float, limit_ms: float) -> None:
        """Print what was measured, and keep the ratio with its limit."""
        theirs, ours = times
        show(name, theirs, ours)
        limit = limit_ms / theirs_ms if self._is_full else math.inf
        self.figures.append(Figure(name, ours / theirs, limit))


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


def measure_first_start(bench: Bench, users: list[Path]) -> None:
    """Let both bring a file of 0.26 up to date."""
    logs = [user / "legacy" for user in users]
    for folder in logs:
        folder.mkdir()
    found: list[list[float]] = [[], []]
    for _ in range(3):
        for times, environment, folder in zip(found, environments(), logs, strict=True):
            for old in folder.glob("logs.db*"):
                old.unlink()
            shutil.copy(legacy_file(LEGACY), folder / "logs.db")
            warm = inside(environment, users[0], "first", 1, ["logs", "path"])
            times.append(inside(environment, folder, "first", 1, ["logs", "-n", "1"]) - warm)
    name = f"first start, {LEGACY:,} of 0.26"
    bench.note(name, [statistics.median(times) for times in found], 1500, 1500)


def main() -> int:
    """Make the log, measure every command in both environments and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=FULL, help="turns (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default %(default)s)")
    options = parser.parse_args()
    theirs, ours = environments()
    source = turns_file(theirs, options.turns)
    with user_paths(theirs, ours) as users:
        for user in users:
            shutil.copy(source, user / "logs.db")
        bench = Bench(users, options.runs, options.turns)
        bench.figures.append(build_indexes(ours, users[1], options.turns))
        for case in CASES:
            name = " ".join(["llm", *case.args])
            times = bench.medians("command", 3, case.args)
            bench.note(name, times, case.theirs_ms, case.limit_ms)
        times = bench.medians("command", 3, CONTINUE.args, PLAIN)
        bench.note("llm -c, finding and loading", times, CONTINUE.theirs_ms, CONTINUE.limit_ms)
        measure_first_start(bench, users)
        found = [inside(e, u, "logged", 200, u / "logs.db") for e, u in bench.sides]
        bench.note("one more logged turn", found, 4, 1)
    return report(bench.figures)


if __name__ == "__main__":
    sys.exit(main())
