"""Processor time of `llm -m wire hi` with a model of the Responses API, until its request is out.

A server on the loopback interface answers in 20 chunks; logs.db exists; there is no plugin.
"""

from __future__ import annotations

import statistics
import sys

from _measure import Figure, arguments, report, show, user_paths
from _server import server
from _setup import environments
from wire import prompt

LIMIT_REQUEST = 0.3


def main() -> int:
    """Measure prompts by turns in both environments and print the ratio."""
    runs = arguments(__doc__, runs=11).runs
    theirs, ours = environments()
    with server() as remote, user_paths(theirs, ours) as (their_user, our_user):
        for user in (their_user, our_user):
            remote.register(user, responses=True, wire="chunks-20")
        prompt(theirs, their_user, remote)
        prompt(ours, our_user, remote)
        pairs = [
            (prompt(theirs, their_user, remote), prompt(ours, our_user, remote))
            for _ in range(runs)
        ]
    a = statistics.median(their[0] for their, _ in pairs)
    b = statistics.median(our[0] for _, our in pairs)
    show("start to request", a, b)
    return report([Figure("start to request, Responses API", b / a, LIMIT_REQUEST)])


if __name__ == "__main__":
    sys.exit(main())
