"""Signals that end a command: what was received is kept before the process dies of them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

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
    numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
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


def _raise(signal_number: int, frame: FrameType | None) -> None:
    raise Stopped(signal_number)


def _restore(numbers: list[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
