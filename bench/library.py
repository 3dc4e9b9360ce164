"""What applications do with the library: long conversations, many streams, answers that grow.

Everything happens in the process, with models that answer at once; the two programs run by turns.
"""

from __future__ import annotations

import sys
from functools import partial

from _inside import inside
from _measure import Figure, alternate, arguments, report, show, user_paths
from _setup import environments

WORKER = "_library_worker.py"
TURNS = 1_000
STREAMS = 50
PROMPTS = 20_000
LIMIT = 1.0
LIMIT_GROWING_S = 2.0
# Whatever the allocator keeps; a leak of one small object a prompt would be over it.
LIMIT_MEMORY = 500_000


def main() -> int:
    """Measure both environments and print the ratios."""
    runs = arguments(__doc__, runs=5).runs
    theirs, ours = environments()
    figures = []
    with user_paths(theirs, ours) as (their_user, our_user):
        for name, task, count in (
            (f"turn {TURNS:,}", "turn", TURNS),
            (f"{STREAMS} async streams", "streams", STREAMS),
        ):
            a, b = alternate(
                partial(inside, theirs, their_user, task, count, worker=WORKER),
                partial(inside, ours, our_user, task, count, worker=WORKER),
                runs,
            )
            show(name, a, b)
            figures.append(Figure(name, b / a, LIMIT))
        for kind in ("plain", "typed"):
            seconds = inside(ours, our_user, "growing", kind, worker=WORKER)
            print(f"stream_objects of 130 kB in 33,000 pieces, {kind}: {seconds:.2f} s")
            figures.append(Figure(f"stream_objects, {kind}", seconds, LIMIT_GROWING_S))
        grown = inside(ours, our_user, "memory", PROMPTS, worker=WORKER)
        print(f"memory after {PROMPTS:,} prompts: {grown:+,} bytes")
        figures.append(Figure("memory", grown / LIMIT_MEMORY, 1))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
