"""Signals that end a command: what was received is kept before the process dies of them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Handler = Callable[[int, FrameType | None], Any] | int | None

_NAMES = ("SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """Somebody wants the process to end, and sent it a signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


@contextmanager
def _handled(
    usual: Mapping[int, _Handler], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle the signals within the block whose handler is the usual one; on the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in usual if is_main and signal.getsignal(number) == usual[number]]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, usual[number])


@contextmanager
def dying_tidily() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception within the block, and die of them after it.

    A signal that somebody ignores or handles (`nohup` does) is left alone.
    """
    try:
        with _handled(dict.fromkeys(_numbers(), signal.SIG_DFL), _raise):
            yield
    except Stopped as stop:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        signal.raise_signal(stop.signal_number)
        raise


@contextmanager
def sparing_ctrl_c() -> Iterator[None]:
    """Leave Ctrl-C to a program that runs in the block, which the terminal sends it to as well."""
    # Not SIG_IGN, which the program would inherit.
    with _handled({signal.SIGINT: signal.default_int_handler}, lambda number, frame: None):
        yield


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; a signal ends it where it stands, and what it has opened is
    closed.

    An exception in the middle of the event loop would leave generators half closed, which Python
    complains about at length.
    """
    import asyncio

    task: asyncio.Task[None] | None = None
    stopped: KeyboardInterrupt | None = None

    def stop(signal_number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        is_ctrl_c = signal_number == signal.SIGINT
        error = KeyboardInterrupt() if is_ctrl_c else Stopped(signal_number)
        if task is None or stopped or asyncio.current_task(task.get_loop()) is task:
            # It is at work, so it can clean up; or it does not want to end.
            raise error
        stopped = error
        task.cancel()
        # Wakes the loop up, which may be waiting.
        task.get_loop().call_soon_threadsafe(lambda: None)

    async def main() -> None:
        nonlocal task
        task = asyncio.current_task()
        try:
            await work
        except BaseException:
            # What a generator raises while it is closed after this is moot.
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            raise

    # Those that would raise an exception.
    usual: dict[int, _Handler] = dict.fromkeys(_numbers(), _raise)
    usual[signal.SIGINT] = signal.default_int_handler
    try:
        with _handled(usual, stop):
            asyncio.run(main())
    except asyncio.CancelledError:
        if stopped is None:
            raise
        raise stopped from None


def _numbers() -> list[int]:
    """The signals that end a process, as far as this system has them."""
    return [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]


def _raise(signal_number: int, frame: FrameType | None) -> None:
    raise Stopped(signal_number)
