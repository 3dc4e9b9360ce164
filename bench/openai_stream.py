"""Processor time and memory of a streamed chunk in both protocols, and of a long request.

50,000 chunks as fast as they are taken, read in one process with `for chunk in response`; what a
conversation of 1,000 turns costs to be turned into a request is taken in the same way.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from _measure import LIMIT_S, Figure, arguments, child_environment, report, user_paths
from _server import server
from _setup import BENCH, Environment, environments

CHUNKS = 50_000
TURNS = 1_000
LIMIT_CHUNK_US = 40.0
LIMIT_REQUEST_MS = 5.0
# Beside its text, kept for the reader and for the record, a chunk has a place in the answer.
LIMIT_PLACE_BYTES = 10.0


def inside(environment: Environment, user: Path, *values: object) -> Any:
    """Return what the worker measured in this environment."""
    import json

    command = [environment.python, str(BENCH / "_openai_worker.py"), *map(str, values)]
    done = subprocess.run(
        command,
        env=child_environment(user),
        cwd=user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    return json.loads(done.stdout)


def streamed(environment: Environment, user: Path, runs: int) -> tuple[float, float, float]:
    """Return microseconds, bytes and characters of a chunk."""
    found = [inside(environment, user, "stream", "many") for _ in range(runs)]
    micros = statistics.median(run["seconds"] for run in found) / CHUNKS * 1e6
    bytes_ = statistics.median(run["bytes"] for run in found) / CHUNKS
    return micros, bytes_, found[0]["characters"] / CHUNKS


def main() -> int:
    """Measure both environments; the limits are absolute and for ours."""
    runs = arguments(__doc__, runs=3).runs
    theirs, ours = environments()
    figures = []
    with server() as remote, user_paths(theirs, ours) as (their_user, our_user):
        for api, is_responses in (("chat", False), ("responses", True)):
            for user in (their_user, our_user):
                remote.register(user, responses=is_responses, many=f"chunks-{CHUNKS}")
            a, a_bytes, _ = streamed(theirs, their_user, runs)
            b, b_bytes, characters = streamed(ours, our_user, runs)
            turn_ms = inside(ours, our_user, "request", "many", TURNS) * 1000
            print(f"{api}: a chunk 0.36 {a:.1f} us {a_bytes:.0f} bytes, ", end="")
            print(f"ours {b:.1f} us {b_bytes:.0f} bytes; request {TURNS}: {turn_ms:.2f} ms")
            figures += [
                Figure(f"{api}: CPU of a chunk, part of 40 us", b / LIMIT_CHUNK_US, 1),
                Figure(
                    f"{api}: memory of a chunk", b_bytes / (2 * characters + LIMIT_PLACE_BYTES), 1
                ),
                Figure(f"{api}: request {TURNS}, part of 5 ms", turn_ms / LIMIT_REQUEST_MS, 1),
            ]
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
