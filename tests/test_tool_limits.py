"""Time limits of tool calls: in the main thread, beside it, and in an event loop."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

import llm
from llm.tools.limits import call_within
from llm.tools.running import run_calls, run_calls_async


def endless() -> str:
    """Never comes back by itself, whatever it is told"""
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # what careless tools do
            continue


async def waits() -> str:
    """Waits for ever"""
    await asyncio.Event().wait()
    return "never"


def quick() -> str:
    """Is done at once"""
    return "done"


async def quick_async() -> str:
    """Is done at once"""
    return "done"


def call(*names: str) -> tuple[list[llm.ToolCall], list[llm.Tool]]:
    """Calls of the functions above, and the tools."""
    functions = (endless, waits, quick, quick_async)
    tools = [llm.Tool.function(function) for function in functions]
    return [llm.ToolCall(name, {}) for name in names], tools


NAMES = ("endless", "quick", "waits", "quick_async")
SLOW = "Error: the call took longer than 0.05 s"


def test_slow_tools_are_ended_in_a_synchronous_chain() -> None:
    """A call that takes too long is an error; the others are not touched."""
    calls, tools = call(*NAMES)
    results = run_calls(calls, tools, timeout_s=0.05)
    assert [result.output for result in results] == [SLOW, "done", SLOW, "done"]
    assert isinstance(results[0].exception, TimeoutError)


def test_slow_tools_are_ended_in_an_event_loop() -> None:
    """The same, asynchronously."""
    calls, tools = call(*NAMES)
    results = asyncio.run(run_calls_async(calls, tools, timeout_s=0.05))
    assert [result.output for result in results] == [SLOW, "done", SLOW, "done"]


def test_slow_tools_are_left_alone_outside_of_the_main_thread() -> None:
    """Where nothing can interrupt a tool nobody waits for it."""
    release = threading.Event()
    found: list[object] = []

    def fail() -> None:
        raise ValueError("bad")

    def run() -> None:
        found.append(call_within(5, lambda: "done"))
        for function in (release.wait, fail):
            try:
                call_within(0.01 if function is not fail else 5, function)
            except Exception as error:
                found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    release.set()
    assert found == ["done", "the call took longer than 0.01 s", "bad"]


def test_time_limit_leaves_no_timer_behind() -> None:
    """Handler and timer are as before, also after an error of the tool."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(ZeroDivisionError):
        call_within(5, lambda: 1 / 0)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
