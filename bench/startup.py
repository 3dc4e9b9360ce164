"""Processor time of the commands that need nothing but the standard library and click.

Whole processes without any plugin: `llm --version`, `--help`, `keys path`, `logs path` and
`aliases path`.
"""

from __future__ import annotations

import sys
from functools import partial

from _measure import Figure, alternate, arguments, cpu, report, show, user_paths
from _setup import environments

LIMIT = 0.12
COMMANDS = (["--version"], ["--help"], ["keys", "path"], ["logs", "path"], ["aliases", "path"])


def main() -> int:
    """Measure each command in both environments and print the ratios."""
    runs = arguments(__doc__, runs=7).runs
    theirs, ours = environments()
    figures = []
    with user_paths(theirs, ours) as (their_user, our_user):
        for command in COMMANDS:
            a, b = alternate(
                partial(cpu, [theirs.llm, *command], their_user),
                partial(cpu, [ours.llm, *command], our_user),
                runs,
            )
            name = " ".join(["llm", *command])
            show(name, a, b)
            figures.append(Figure(name, b / a, LIMIT))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
