"""How the processor time of a logged turn grows with the length of its conversation.

1,000 turns in one process: the median of the last ten against that of the ten around the tenth.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from _inside import inside
from _measure import Figure, arguments, report, user_paths
from _setup import Environment, environments

TURNS = 1_000
LIMIT = 1.5


def growth(environment: Environment, user: Path, run: int) -> float:
    """Return the cost of the last turn as a multiple of the tenth's."""
    times: list[float] = inside(environment, user, "turns", TURNS, user / f"turns-{run}.db")
    tenth, last = statistics.median(times[5:15]), statistics.median(times[-10:])
    print(
        f"{environment.name:<6} tenth turn {tenth * 1e6:8.0f} us   "
        f"last turn {last * 1e6:8.0f} us   ratio {last / tenth:.2f}"
    )
    return last / tenth


def main() -> int:
    """Run the conversation in both environments; the limit is for ours."""
    runs = arguments(__doc__, runs=3).runs
    theirs, ours = environments()
    with user_paths(theirs, ours) as (their_user, our_user):
        growth(theirs, their_user, 0)
        ratios = [growth(ours, our_user, run) for run in range(runs)]
    return report([Figure("last turn / tenth turn", statistics.median(ratios), LIMIT)])


if __name__ == "__main__":
    sys.exit(main())
