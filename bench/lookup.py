"""Processor time of looking the same model up, inside the process, 1,000 times."""

from __future__ import annotations

import sys
from functools import partial

from _inside import inside
from _measure import Figure, alternate, arguments, report, show, user_paths
from _setup import environments

TIMES = 1_000
LIMIT = 0.05


def main() -> int:
    """Measure both environments by turns and print the ratio."""
    runs = arguments(__doc__, runs=7).runs
    theirs, ours = environments()
    with user_paths(theirs, ours) as (their_user, our_user):
        a, b = alternate(
            partial(inside, theirs, their_user, "lookup", TIMES),
            partial(inside, ours, our_user, "lookup", TIMES),
            runs,
        )
    show("a look-up", a, b, "us", 1e6)
    return report([Figure("the same model looked up", b / a, LIMIT)])


if __name__ == "__main__":
    sys.exit(main())
