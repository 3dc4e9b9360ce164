"""Processor time per streamed chunk, and the lag from the arrival of a chunk to standard output.

50,000 chunks as fast as they are taken, logged; the time of the same process with one chunk is
subtracted. The lag is taken at a pace of 500 chunks a second, from the moment of sending.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from _measure import Figure, alternate, arguments, cpu, finish, report, show, start, user_paths
from _server import server
from _setup import Environment, environments

CHUNKS = 50_000
PACED = 1_000
LIMIT_CPU = 0.25
LIMIT_LAG_MS = 5.0


def per_chunk(environment: Environment, user: Path) -> float:
    """Return the processor time of one chunk, in seconds."""
    many = cpu([environment.llm, "-m", "many", "hi"], user)
    return (many - cpu([environment.llm, "-m", "one", "hi"], user)) / CHUNKS


def lag_ms(environment: Environment, user: Path) -> float:
    """Return the median time from the sending of a chunk to its arrival on standard output."""
    process = start([environment.llm, "-m", "paced", "hi"], user, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lags: list[float] = []
    rest = b""
    while piece := os.read(process.stdout.fileno(), 65536):
        now = time.monotonic_ns()
        *stamps, rest = (rest + piece).split(b" ")
        lags += [(now - int(stamp)) / 1e6 for stamp in stamps]
    process.stdout.close()
    finish(process)
    if len(lags) != PACED:
        sys.exit(f"{environment.name} wrote {len(lags)} of {PACED} chunks")
    return statistics.median(lags)


def main() -> int:
    """Measure both environments and print the ratios."""
    runs = arguments(__doc__, runs=3).runs
    theirs, ours = environments()
    with server() as remote, user_paths(theirs, ours) as (their_user, our_user):
        for environment, user in ((theirs, their_user), (ours, our_user)):
            remote.register(user, one="chunks-1", many=f"chunks-{CHUNKS}", paced=f"paced-{PACED}")
            cpu([environment.llm, "-m", "one", "hi"], user)
        a, b = alternate(
            partial(per_chunk, theirs, their_user),
            partial(per_chunk, ours, our_user),
            runs,
            warm=False,
        )
        show("a chunk", a, b, "us", 1e6)
        their_lag, our_lag = lag_ms(theirs, their_user), lag_ms(ours, our_user)
    show("lag of a chunk, median", their_lag, our_lag, "ms", 1)
    lag = Figure("lag in ms, as a part of the limit", our_lag / LIMIT_LAG_MS, 1)
    return report([lag, Figure("CPU per chunk", b / a, LIMIT_CPU)])


if __name__ == "__main__":
    sys.exit(main())
