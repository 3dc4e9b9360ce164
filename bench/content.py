"""Processor time of `llm fragments` with 10,000 and `llm templates` with 500, net of start."""

from __future__ import annotations

import hashlib
import sqlite3
import statistics
import sys
from functools import partial
from pathlib import Path

from _measure import Figure, alternate, arguments, cpu, report, show, user_paths
from _setup import Environment, environments

LIMIT_S = 0.050
FRAGMENTS = 10_000
TEMPLATES = 500
CONTENT = "Fragment number {n}\n\ndef function_{n}(text: str) -> str:\n    return text\n" * 4
TEMPLATE = """\
model: gpt-4o
prompt: |
  Summarise the following text in {n} words:

  $input
system: 'You are a helpful assistant: number {n}'
defaults:
    voice: formal
options:
    temperature: 0.5
"""


def fill(user: Path, environment: Environment) -> None:
    """Store the fragments and the templates in a user directory."""
    cpu([environment.llm, "fragments", "set", "first", __file__], user)
    with sqlite3.connect(user / "logs.db") as db:
        rows = []
        for number in range(FRAGMENTS - 1):
            text = CONTENT.format(n=number)
            digest = hashlib.sha256(text.encode()).hexdigest()
            rows.append((digest, text, "2026-01-02 03:04:05", f"/home/me/notes/{number}.md"))
        db.executemany(
            "insert into fragments (hash, content, datetime_utc, source) values (?, ?, ?, ?)", rows
        )
    folder = user / "templates"
    folder.mkdir(exist_ok=True)
    for number in range(TEMPLATES):
        (folder / f"template-{number:03}.yaml").write_text(TEMPLATE.format(n=number))


def net(environment: Environment, command: list[str], user: Path, runs: int) -> float:
    """Return the time of a command beyond that of one that lists nothing."""
    start = [environment.llm, command[0], "--help"]
    pairs = [(cpu([environment.llm, *command], user), cpu(start, user)) for _ in range(runs)]
    return statistics.median(whole for whole, _ in pairs) - statistics.median(
        alone for _, alone in pairs
    )


def main() -> int:
    """Measure both listings in both environments, and ours against the limit."""
    runs = arguments(__doc__, runs=9).runs
    theirs, ours = environments()
    figures = []
    with user_paths(theirs, ours) as users:
        for environment, user in zip((theirs, ours), users, strict=True):
            fill(user, environment)
        for command in (["fragments"], ["templates"]):
            a, b = alternate(
                partial(cpu, [theirs.llm, *command], users[0]),
                partial(cpu, [ours.llm, *command], users[1]),
                3,
            )
            name = f"llm {command[0]}"
            show(name, a, b)
            beyond = net(ours, command, users[1], runs)
            print(f"{name}, net of start: {beyond * 1000:.1f} ms")
            figures.append(
                Figure(f"{name}, net of start, of {LIMIT_S * 1000:.0f} ms", beyond / LIMIT_S, 1)
            )
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
