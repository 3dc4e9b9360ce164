"""Running a turn: what is shown, when logging is prepared, and on which clock."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from llm import terminal
from llm.net import policy
from llm.parts import StreamEvent
from llm.prompting import recorder
from llm.prompting.request import LogSettings
from tests.helpers.models import Echo

Clock: TypeAlias = Callable[[], float] | None


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def seen(monkeypatch: pytest.MonkeyPatch, show: Callable[[], object]) -> tuple[str, str]:
    """What `show` puts on a terminal's stdout and stderr."""
    out, err = FakeTerminal(), FakeTerminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    show()
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (StreamEvent("text", "part"), ("part\n", "")),
        (StreamEvent("reasoning", "hm"), ("", "\x1b[2mhm\x1b[0m\n")),
        (StreamEvent("tool_call_name", "add", tool_call_id="1"), ("", "")),
    ],
)
def test_broken_off_answer_ends_its_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, event: StreamEvent, shown: tuple[str, ...]
) -> None:
    """What follows a part of an answer gets a line of its own; tool events show nothing."""

    def show() -> None:
        display = terminal.StreamDisplay(show_reasoning=True)
        display.event(event)
        display.break_off("part")

    assert seen(monkeypatch, show) == shown


def test_notes_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note to the user is yellow where colours can be shown."""
    shown = seen(monkeypatch, lambda: terminal.show_note("careful"))
    assert shown == ("", "\x1b[33mcareful\x1b[0m\n")


def test_output_that_nobody_reads_has_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stdout can be told from a model that lost its connection."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(terminal.OutputClosed):
        terminal.write_out("text")


def preloaded(monkeypatch: pytest.MonkeyPatch, clock: Clock, is_sent: bool = False) -> list[str]:
    """What a preloader under the given clock did until it was told to finish."""
    done: list[str] = []
    idle = threading.Event()

    def preload() -> None:
        done.append("imported")
        idle.set()

    monkeypatch.setattr("llm.logs.write.store.preload", preload)
    monkeypatch.setattr(recorder, "_work_clock", lambda: clock)
    preloader = recorder._Preloader()
    if is_sent:
        policy.request_sent()
    if is_sent or clock not in (busy_clock, None):
        assert idle.wait(20)
    preloader.finish()
    return done


def busy_clock(now: list[float] = [0.0]) -> float:  # noqa: B006
    """The clock of a thread that works all the time."""
    now[0] += recorder.IDLE_CHECK_SECONDS
    return now[0]


def test_preloader_imports_once_the_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle main thread is the sign to import what logging needs."""
    assert preloaded(monkeypatch, lambda: 0.0) == ["imported"]


@pytest.mark.parametrize("clock", [None, busy_clock])
def test_preloader_imports_once_the_request_is_sent(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """A provider that says when its request is out is believed, whatever the clock shows."""
    assert preloaded(monkeypatch, clock, is_sent=True) == ["imported"]


def test_preloader_waits_for_the_request_without_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing tells what the main thread does, it is not disturbed."""
    assert preloaded(monkeypatch, None) == []


def test_preloader_leaves_a_busy_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main thread that works until the end imports for itself."""
    assert preloaded(monkeypatch, busy_clock) == []


def test_work_clock_tells_work_from_waiting() -> None:
    """Work moves the clock, waiting does not."""
    clock = recorder._work_clock()
    assert clock is not None
    before = clock()
    while clock() - before < 0.02:
        sum(range(10_000))
    assert clock() > before


def test_work_clock_has_substitutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scheduler's account the processor time counts; without that there is no clock."""

    def missing(path: str) -> float:
        raise FileNotFoundError(path)

    monkeypatch.setattr(recorder, "_scheduled_seconds", missing)
    monkeypatch.setattr(time, "pthread_getcpuclockid", lambda ident: 3, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: float(clock), raising=False)
    clock = recorder._work_clock()
    assert clock is not None
    assert clock() == 3.0
    monkeypatch.delattr(time, "pthread_getcpuclockid")
    assert recorder._work_clock() is None


def test_recorder_of_unlogged_prompt_does_nothing(user_path: Path) -> None:
    """Where nothing is to be kept nothing is prepared either."""
    threads = threading.active_count()
    with recorder.Recorder(LogSettings(no_log=True)) as keeper:
        response = Echo().prompt("hi")
        keeper.begin(response)
        assert threading.active_count() == threads
        keeper.end(response)
    assert list(user_path.iterdir()) == []
