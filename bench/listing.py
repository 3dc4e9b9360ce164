"""Processor time of `llm models` and `llm logs -n 3`: whole processes, without any plugin."""

from __future__ import annotations

import sys
from functools import partial

from _measure import Figure, alternate, arguments, cpu, report, show, user_paths
from _server import server
from _setup import environments

LIMIT = 0.2
PROMPTS = 5
COMMANDS = (["models"], ["logs", "-n", "3"])


def main() -> int:
    """Measure both listings in both environments and print the ratios."""
    runs = arguments(__doc__, runs=9).runs
    theirs, ours = environments()
    figures = []
    with server() as remote, user_paths(theirs, ours) as users:
        for environment, user in zip((theirs, ours), users, strict=True):
            remote.register(user, wire="chunks-20")
            for number in range(PROMPTS):
                cpu([environment.llm, "-m", "wire", f"prompt {number}"], user)
            (user / "extra-openai-models.yaml").unlink()
        for command in COMMANDS:
            a, b = alternate(
                partial(cpu, [theirs.llm, *command], users[0]),
                partial(cpu, [ours.llm, *command], users[1]),
                runs,
            )
            name = " ".join(["llm", *command])
            show(name, a, b)
            figures.append(Figure(name, b / a, LIMIT))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
