"""Measuring: processor time of child processes, alternating runs, and the line with the ratio."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from _setup import BENCH, Environment

LIMIT_S = 180


@dataclass(frozen=True)
class Figure:
    """A ratio with the limit that it has to keep."""

    name: str
    ratio: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the ratio is within the limit."""
        return self.ratio <= self.limit


def report(figures: list[Figure]) -> int:
    """Print a line for each figure, the one nearest to its limit last; return the exit code."""
    for figure in figures:
        note = "" if figure.kept else "  OVER THE LIMIT"
        print(f"{figure.name}: ratio {figure.ratio:.3f} (limit {figure.limit:g}){note}")
    worst = max(figures, key=lambda figure: figure.ratio / figure.limit)
    print(f"ratio {worst.ratio:.2f} (limit {worst.limit:g})")
    return 0 if all(figure.kept for figure in figures) else 1


def arguments(doc: str | None, runs: int) -> argparse.Namespace:
    """Return the parsed command line of a benchmark script: `--runs`."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=runs, help="runs of each (default %(default)s)")
    return parser.parse_args()


def child_environment(user_path: Path, **more: str) -> dict[str, str]:
    """Return the environment variables of a measured process: a user directory, and little else."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return {**kept, "LLM_USER_PATH": str(user_path), **more}


def start(
    command: list[str], user_path: Path, stdout: int | IO[bytes] | None = None, **variables: str
) -> subprocess.Popen[bytes]:
    """Start a process to be measured, without standard input."""
    return subprocess.Popen(
        command,
        env=child_environment(user_path, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process and return its processor time in seconds, its children's included."""
    deadline = time.monotonic() + LIMIT_S
    error = b""
    if process.stderr is not None:
        error = _read_until(process.stderr, process, deadline)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(
            f"{process.args!r} ended with {process.returncode}: {error.decode(errors='replace')}"
        )
    return usage.ru_utime + usage.ru_stime


def _read_until(stream: IO[bytes], process: subprocess.Popen[bytes], deadline: float) -> bytes:
    import select

    pieces: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            process.kill()
            process.wait()
            sys.exit(f"{process.args!r} took longer than {LIMIT_S} s")
        if select.select([stream], [], [], left)[0]:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                stream.close()
                return b"".join(pieces)
            pieces.append(piece)


def cpu(command: list[str], user_path: Path) -> float:
    """Run a command and return its processor time in seconds."""
    return finish(start(command, user_path))


def alternate(
    theirs: Callable[[], float], ours: Callable[[], float], runs: int, *, warm: bool = True
) -> tuple[float, float]:
    """Run both by turns, `runs` times each after one uncounted run, and return the medians."""
    if warm:
        theirs()
        ours()
    pairs = [(theirs(), ours()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


@contextmanager
def user_paths(*environments: Environment) -> Iterator[list[Path]]:
    """Give an empty user directory for each environment, removed at the end."""
    work = BENCH / ".work"
    work.mkdir(exist_ok=True)
    base = Path(tempfile.mkdtemp(prefix="users-", dir=work))
    paths = [base / environment.name for environment in environments]
    for path in paths:
        path.mkdir()
    try:
        yield paths
    finally:
        shutil.rmtree(base, ignore_errors=True)


def show(name: str, theirs: float, ours: float, unit: str = "ms", factor: float = 1000) -> None:
    """Print what was measured of both."""
    print(f"{name:<28} 0.36 {theirs * factor:9.2f} {unit}   ours {ours * factor:9.2f} {unit}")
