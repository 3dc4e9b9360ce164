"""Work that gets done while an answer is waited for.

A provider says `request_sent()` once its request is on the wire. Whoever has something to do that
must not delay the request left it with `meanwhile`. Both are open to plugins; a provider that
never says anything loses a little time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

_works: list[Callable[[], object]] = []


def meanwhile(work: Callable[[], object]) -> None:
    """Have `work` called when the next request has been sent. It has to return at once: what
    takes time belongs into a thread."""
    _works.append(work)


def forget(work: Callable[[], object]) -> None:
    """Do not call `work` any more."""
    if work in _works:
        _works.remove(work)


def request_sent() -> None:
    """Say that a request is on the wire and the answer is waited for."""
    while _works:
        _works.pop()()
