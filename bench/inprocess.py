"""Processor time of a prompt on a model that answers at once, inside the process.

Once without the log, once with it; a bare transaction of the same rows is shown beside it.
"""

from __future__ import annotations

import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any

from _inside import inside
from _measure import Figure, alternate, arguments, report, show, user_paths
from _setup import Environment, environments

UNLOGGED = 20_000
LOGGED = 500
LIMIT_UNLOGGED = 0.9
LIMIT_LOGGED = 0.4


def main() -> int:
    """Measure both environments and print the ratios."""
    runs = arguments(__doc__, runs=5).runs
    theirs, ours = environments()
    number = itertools.count()
    with user_paths(theirs, ours) as (their_user, our_user):

        def logged(environment: Environment, user: Path) -> Any:
            return inside(environment, user, "logged", LOGGED, user / f"{next(number)}.db")

        a, b = alternate(
            partial(inside, theirs, their_user, "unlogged", UNLOGGED),
            partial(inside, ours, our_user, "unlogged", UNLOGGED),
            runs,
        )
        c, d = alternate(partial(logged, theirs, their_user), partial(logged, ours, our_user), runs)
        database = our_user / "bare.db"
        inside(ours, our_user, "logged", 10, database)
        bare = inside(ours, our_user, "bare", LOGGED, database)
    show("a prompt, not logged", a, b, "us", 1e6)
    show("a prompt, logged", c, d, "us", 1e6)
    print(f"a bare WAL transaction of the same rows: {bare * 1e6:.0f} us")
    return report(
        [Figure("not logged", b / a, LIMIT_UNLOGGED), Figure("logged", d / c, LIMIT_LOGGED)]
    )


if __name__ == "__main__":
    sys.exit(main())
