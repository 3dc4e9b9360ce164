"""Signals that end a command: what was received is kept before the process dies of them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_NAMES = ("SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """Somebody wants the process to end.

    Args:
        signal_number: The signal that it got.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


@contextmanager
def dying_tidily() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception within the block, and die of them after it.

    A signal that somebody ignores or handles (`nohup` does) is left alone.
    """
    numbers = _numbers()
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _raise)
    try:
        yield
    except Stopped as stop:
        _restore(taken)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        signal.raise_signal(stop.signal_number)
        raise
    finally:
        _restore(taken)


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; a signal ends it where it stands, and what it has opened is
    closed.

    An exception in the middle of the event loop would leave generators half closed, which Python
    complains about at length.
    """
    import asyncio

    stop = _StopTask()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop.task = asyncio.current_task()
        try:
            await work
        except BaseException:
            # What a generator raises while it is closed after this is moot.
            loop.set_exception_handler(lambda loop, context: None)
            raise

    try:
        with stop.handling_signals():
            asyncio.run(main())
    except asyncio.CancelledError:
        if stop.error is None:
            raise
        raise stop.error from None


class _StopTask:
    """Ends a task when a signal comes.

    Attributes:
        task: The task, once it runs.
        error: What it was ended for.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.error: KeyboardInterrupt | None = None

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle within the block the signals that would raise an exception."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        usual: dict[int, Any] = {number: _raise for number in _numbers()}
        usual[signal.SIGINT] = signal.default_int_handler
        taken = [number for number in usual if signal.getsignal(number) == usual[number]]
        for number in taken:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, usual[number])

    def _stop(self, signal_number: int, frame: FrameType | None) -> None:
        import asyncio

        is_ctrl_c = signal_number == signal.SIGINT
        error = KeyboardInterrupt() if is_ctrl_c else Stopped(signal_number)
        task = self.task
        if task is None or self.error or asyncio.current_task(task.get_loop()) is task:
            # It is at work, so it can clean up; or it does not want to end.
            raise error
        self.error = error
        task.cancel()
        # Wakes the loop up, which may be waiting.
        task.get_loop().call_soon_threadsafe(lambda: None)


def _numbers() -> list[int]:
    """The signals that end a process, as far as this system has them."""
    return [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]


def _raise(signal_number: int, frame: FrameType | None) -> None:
    raise Stopped(signal_number)


def _restore(numbers: list[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
