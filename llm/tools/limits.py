"""Time limits of tool calls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

# How soon a tool that swallows the interruption is interrupted again.
REPEAT_SECONDS = 0.1

T = TypeVar("T")


class _Expired(BaseException):
    """Raised inside a tool whose time is over; no `except Exception` of the tool catches it."""


def too_slow(timeout_s: float) -> TimeoutError:
    """What a call that took too long is told to have raised."""
    return TimeoutError(f"the call took longer than {timeout_s:g} s")


def call_within(timeout_s: float, function: Callable[[], T]) -> T:
    """What a function returns, if it does so in time.

    In the main thread of a system with timers the function is interrupted. Elsewhere it goes on in
    a thread that nobody waits for.

    Raises:
        TimeoutError: It took longer.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and hasattr(signal, "setitimer"):
        with _interrupting(timeout_s):
            return function()
    return _call_aside(timeout_s, function)


@contextmanager
def _interrupting(timeout_s: float) -> Iterator[None]:
    def expire(signum: int, frame: object) -> None:
        raise _Expired

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s, REPEAT_SECONDS)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
    except _Expired:
        raise too_slow(timeout_s) from None


def _call_aside(timeout_s: float, function: Callable[[], T]) -> T:
    from concurrent.futures import Future, wait

    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([future], timeout_s).done:
        raise too_slow(timeout_s)
    return future.result()


async def wait_within(timeout_s: float, awaitable: Awaitable[T]) -> T:
    """The value of an awaitable, if it comes in time; it is cancelled otherwise.

    Raises:
        TimeoutError: It took longer.
    """
    import asyncio

    task = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait([task], timeout=timeout_s)
    if done:
        return task.result()
    task.cancel()
    raise too_slow(timeout_s)
