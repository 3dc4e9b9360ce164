"""Work that waits until a request is on the wire."""

from __future__ import annotations

from llm.net import policy


def test_work_runs_once_when_the_request_is_sent() -> None:
    """What was left to be done is done at the first request, not at the next one."""
    done: list[str] = []
    policy.meanwhile(lambda: done.append("work"))
    policy.request_sent()
    policy.request_sent()
    assert done == ["work"]


def test_forgotten_work_does_not_run() -> None:
    """Work that is no longer wanted is not done; forgetting twice is no error."""
    done: list[str] = []

    def work() -> None:
        done.append("work")

    policy.meanwhile(work)
    policy.forget(work)
    policy.forget(work)
    policy.request_sent()
    assert done == []
