"""Processor time of a tool call in a chain of 100, and how many asynchronous tools run at once.

The chain is run without the log and with it, and once more with 1,000 calls: a call must not cost
more there. Chains of one call are given the function itself, whose schema is computed once. 32
asynchronous tools that wait 50 ms each are called by one answer.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

from _inside import inside
from _measure import Figure, alternate, arguments, report, show, user_paths
from _setup import Environment, environments

CALLS = 100
LONG = 1_000
LIMIT_UNLOGGED = 0.3
LIMIT_SHORT = 0.3
LIMIT_LOGGED = 0.25
# A call of the long chain against one of the short chain.
LIMIT_GROWTH = 1.25
CONCURRENT = 32
LIMIT_CONCURRENT_S = 0.12


def main() -> int:
    """Measure both environments and print the ratios."""
    runs = arguments(__doc__, runs=7).runs
    theirs, ours = environments()
    number = itertools.count()
    with user_paths(theirs, ours) as (their_user, our_user):

        def chain(environment: Environment, user: Path, calls: int = CALLS) -> Any:
            return inside(environment, user, "chain", calls)

        def logged(environment: Environment, user: Path, calls: int = CALLS) -> Any:
            return inside(environment, user, "chain_logged", calls, user / f"{next(number)}.db")

        a, b = alternate(partial(chain, theirs, their_user), partial(chain, ours, our_user), runs)
        c, d = alternate(partial(logged, theirs, their_user), partial(logged, ours, our_user), runs)
        e, f = alternate(
            partial(inside, theirs, their_user, "short_chains", CALLS),
            partial(inside, ours, our_user, "short_chains", CALLS),
            runs,
        )
        long = statistics.median(chain(ours, our_user, LONG) for _ in range(3))
        long_logged = statistics.median(logged(ours, our_user, LONG) for _ in range(3))
        waited = statistics.median(
            inside(ours, our_user, "concurrent", CONCURRENT) for _ in range(5)
        )
    show("a tool call, not logged", a, b, "us", 1e6)
    show("a tool call, logged", c, d, "us", 1e6)
    show("a chain of one tool call", e, f, "us", 1e6)
    print(
        f"in a chain of {LONG}: not logged {long * 1e6:.0f} us, logged {long_logged * 1e6:.0f} us"
    )
    print(f"{CONCURRENT} asynchronous tools of 50 ms: {waited * 1000:.0f} ms")
    return report(
        [
            Figure("not logged", b / a, LIMIT_UNLOGGED),
            Figure("logged", d / c, LIMIT_LOGGED),
            Figure("in a chain of one", f / e, LIMIT_SHORT),
            Figure("growth, not logged", long / b, LIMIT_GROWTH),
            Figure("growth, logged", long_logged / d, LIMIT_GROWTH),
            Figure("at once", waited / LIMIT_CONCURRENT_S, 1.0),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
