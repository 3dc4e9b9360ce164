"""Processor time of the commands used most, against another build of this program.

Takes the folder of a virtual environment in which that build is installed as this one is: with
`pip install` from a checkout, not editable, or the paths of imports differ. Both run by turns, in a
user directory of their own with a log of a few turns; the median of the ratios of the pairs counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from functools import partial
from pathlib import Path

from _measure import Figure, cpu, finish, report, start, user_paths
from _server import Remote, server
from _setup import Environment, environments

PAIRS = 20
# What chance makes of two equal programs.
LIMIT = 1.03
TURNS = 5
COMMANDS = {
    "llm --version": ["--version"],
    "llm --help": ["--help"],
    "llm keys path": ["keys", "path"],
    "llm logs path": ["logs", "path"],
    "llm models": ["models"],
    "llm templates": ["templates"],
    "llm fragments": ["fragments"],
    "llm prompt, logged": ["-m", "wire", "hi"],
    "llm prompt, not logged": ["-m", "wire", "hi", "-n"],
    "llm -c": ["-c", "and"],
    "llm logs -n 3": ["logs", "-n", "3"],
    "llm logs -c": ["logs", "-c"],
    "llm logs -q": ["logs", "-q", "word"],
    "llm logs list --json": ["logs", "list", "--json"],
    "llm conversations list": ["conversations", "list"],
}


def request(environment: Environment, user: Path, remote: Remote) -> float:
    """Return the processor time of a prompt until its request has arrived."""
    process = start([environment.llm, "-m", "wire", "hi"], user)
    remote.watch(process.pid)
    finish(process)
    return remote.seen()


def main() -> int:
    """Measure each command in pairs and print the median ratio, ours divided by the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, help="the folder of the other build's environment")
    parser.add_argument("--runs", type=int, default=PAIRS, help="pairs (default %(default)s)")
    parser.add_argument("--only", default="", help="commands whose name contains this")
    given = parser.parse_args()
    _, ours = environments()
    other = Environment("other", given.other.absolute())
    figures = []
    with server() as remote, user_paths(other, ours) as users:
        both = list(zip((other, ours), users, strict=True))
        for environment, user in both:
            remote.register(user, wire="chunks-20")
            for _ in range(TURNS):
                cpu([environment.llm, "-m", "wire", "hi"], user)
        measures = {
            name: [partial(cpu, [e.llm, *words], user) for e, user in both]
            for name, words in COMMANDS.items()
        }
        measures["start to request"] = [partial(request, e, user, remote) for e, user in both]
        for name, (theirs, mine) in measures.items():
            if given.only in name:
                pairs = [(theirs(), mine()) for _ in range(given.runs + 1)][1:]
                a, b = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
                ratio = statistics.median(b / a for a, b in pairs)
                print(f"{name:<28} other {a:8.1f} ms   ours {b:8.1f} ms   {ratio:.3f}")
                figures.append(Figure(name, ratio, LIMIT))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
