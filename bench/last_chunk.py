"""What is left to do after the last piece of an answer that took a second, numpy installed.

A server on the loopback interface answers in 20 pieces over one second. The server reads the
client's processor time before it sends the last one. Numpy lies in a folder of its own that both
programs are given, because `sqlite_utils` imports it where it can.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from _measure import Figure, arguments, finish, report, show, start, user_paths
from _server import Remote, server
from _setup import BENCH, Environment, environments

LIMIT_S = 0.040
NUMPY = BENCH / ".work" / "numpy"


def with_numpy(python: str) -> str:
    """Return the folder that has numpy, installed there on the first call."""
    if not NUMPY.exists():
        command = [python, "-m", "pip", "install", "-q", "--target", str(NUMPY), "numpy"]
        subprocess.run(command, check=True, timeout=900)
    return str(NUMPY)


def prompt(environment: Environment, user: Path, remote: Remote, path: str) -> tuple[float, float]:
    """Run one prompt; return processor time and time on the clock after the last piece."""
    process = start([environment.llm, "-m", "slow", "hi"], user, PYTHONPATH=path)
    remote.watch(process.pid)
    whole = finish(process)
    ended = time.monotonic()
    cpu, clock = remote.last()
    return whole - cpu, ended - clock


def main() -> int:
    """Measure prompts by turns in both environments and print what was left."""
    runs = arguments(__doc__, runs=9).runs
    theirs, ours = environments()
    path = with_numpy(ours.python)
    with server() as remote, user_paths(theirs, ours) as (their_user, our_user):
        for user in (their_user, our_user):
            remote.register(user, slow="second-20")
        # The first logged prompt creates the database.
        for environment, user in ((theirs, their_user), (ours, our_user)):
            prompt(environment, user, remote, path)
        pairs = [
            (prompt(theirs, their_user, remote, path), prompt(ours, our_user, remote, path))
            for _ in range(runs)
        ]
    figures = []
    for index, name in enumerate(["processor time", "on the clock"]):
        a = statistics.median(their[index] for their, _ in pairs)
        b = statistics.median(our[index] for _, our in pairs)
        show(name, a, b)
        if index == 0:
            figures.append(Figure("after the last piece, of 40 ms", b / LIMIT_S, 1.0))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
