"""Processor time of `llm -m wire hi`, until its request is on the wire and as a whole.

A server on the loopback interface answers in 20 chunks; logs.db exists; there is no plugin.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from _measure import Figure, arguments, finish, report, show, start, user_paths
from _server import Remote, server
from _setup import Environment, environments

LIMIT_REQUEST = 0.18
LIMIT_WHOLE = 0.38


def prompt(environment: Environment, user: Path, remote: Remote) -> tuple[float, float]:
    """Run one prompt; return the processor time until its request had arrived, and the whole."""
    process = start([environment.llm, "-m", "wire", "hi"], user)
    remote.watch(process.pid)
    whole = finish(process)
    return remote.seen(), whole


def main() -> int:
    """Measure prompts by turns in both environments and print the ratios."""
    runs = arguments(__doc__, runs=11).runs
    theirs, ours = environments()
    with server() as remote, user_paths(theirs, ours) as (their_user, our_user):
        for user in (their_user, our_user):
            remote.register(user, wire="chunks-20")
        prompt(theirs, their_user, remote)
        prompt(ours, our_user, remote)
        pairs = [
            (prompt(theirs, their_user, remote), prompt(ours, our_user, remote))
            for _ in range(runs)
        ]
    figures = []
    for index, (name, limit) in enumerate(
        [("start to request", LIMIT_REQUEST), ("whole process", LIMIT_WHOLE)]
    ):
        a = statistics.median(their[index] for their, _ in pairs)
        b = statistics.median(our[index] for _, our in pairs)
        show(name, a, b)
        figures.append(Figure(name, b / a, limit))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
