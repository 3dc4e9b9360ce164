"""Running one turn: send it, show the answer, keep it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import waiting
from ..errors import ConnectionLost, LLMError
from . import inputs
from .calling import answer
from .output import (
    Display,
    NoDisplay,
    OutputClosed,
    StreamDisplay,
    WholeDisplay,
    show_note,
    write_out,
)
from .request import PromptRequest, Session, open_session

if TYPE_CHECKING:
    from types import TracebackType

    import sqlite_utils

    from .request import AnyResponse

# How often the preloader looks whether the main thread has come to wait for the network, below
# which share of that time at work it counts as waiting, and how many times in a row that must be.
IDLE_CHECK_SECONDS = 0.004
IDLE_SHARE = 0.25
IDLE_CHECKS = 6


def run_prompt(request: PromptRequest) -> None:
    """Answer one prompt: on stdout the answer, in the log database the turn.

    Raises:
        LLMError: The request cannot be met.
        Exception: Whatever the model raised.
    """
    session = open_session(request)
    has_input = request.prompt is not None or bool(request.attachments)
    text = inputs.prompt_text(request.prompt, may_wait=not has_input)
    with Recorder(request) as recorder:

        def respond(session: Session, made: list[AnyResponse]) -> None:
            response = session.respond(text, system=request.system, attachments=request.attachments)
            made.append(response)
            run_turn(session, response, recorder)
            if response.history_ignored:
                note_ignored_history(response)

        answer(session, respond)
        if request.json_output:
            _print_records(recorder)


def run_turn(session: Session, response: AnyResponse, recorder: Recorder) -> None:
    """Run one response to its end, showing it as it comes; whatever was shown is kept.

    Raises:
        Exception: Whatever the model raised, after the part of its answer was kept.
    """
    display = make_display(session)
    recorder.begin(response)
    try:
        _drive(response, display)
        display.finish(response.text_or_raise())
    except BaseException as error:
        with suppress(OSError):
            display.break_off()
        _keep_partial(response, recorder)
        if isinstance(error, BrokenPipeError) and not isinstance(error, OutputClosed):
            raise ConnectionLost(f"The connection to the model broke off: {error}") from error
        raise
    if session.request.usage:
        show_note(f"Token usage: {response.token_usage()}")
    recorder.end(response)


def _keep_partial(response: AnyResponse, recorder: Recorder) -> None:
    """Close an answer that broke off and keep it, if any of it could have been shown."""
    if not response._done:
        if not any(event.chunk for event in response._stream_events):
            return
        _close(response._source)
        response._finish()
    try:
        recorder.end(response)
    except LLMError as error:
        # The reason why the answer broke off is still to be told; this one comes beside it.
        show_note(str(error))


def _close(source: Any) -> None:
    """Let a model's generator let go of its connection; what it raises on that way is moot."""
    if hasattr(source, "close"):
        with suppress(Exception):
            source.close()


def note_ignored_history(response: AnyResponse) -> None:
    """Tell the user that a model answered without looking at the conversation so far."""
    show_note(f"{response.model.model_id} did not look at the earlier turns of this conversation")


def make_display(session: Session) -> Display:
    """The display that a request asks for."""
    request = session.request
    if request.json_output:
        return NoDisplay()
    if session.stream:
        return StreamDisplay(show_reasoning=not request.hide_reasoning)
    return WholeDisplay(extract=request.extract, extract_last=request.extract_last)


def _print_records(recorder: Recorder) -> None:
    from ..logs.render import json_array

    write_out("".join(json_array(recorder.rows())))


def _drive(response: AnyResponse, display: Display) -> None:
    if hasattr(response, "astream_events"):
        import asyncio

        asyncio.run(_drive_async(response, display))
    else:
        show = display.event
        for event in response.stream_events():
            show(event)


async def _drive_async(response: Any, display: Display) -> None:
    async for event in response.astream_events():
        display.event(event)


class Recorder:
    """Keeps the responses of one command: in the log database, in memory for `--json`, or not.

    Every response passes `begin` before it is sent and `end` once when it is over.
    """

    def __init__(self, request: PromptRequest) -> None:
        self._path = request.database_path if request.is_logged else None
        self._is_wanted = request.is_logged or request.json_output
        self._database: sqlite_utils.Database | None = None
        self._preloader: _Preloader | None = None
        self._turn_ids: list[str] = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self, response: AnyResponse) -> None:
        """Get ready to keep `response`, which is about to be sent."""
        if self._is_wanted and self._preloader is None:
            self._preloader = _Preloader()

    def end(self, response: AnyResponse) -> None:
        """Keep `response`, which is complete.

        Raises:
            LogError: The log database cannot be written.
        """
        if self._is_wanted:
            response.log_to_db(self._open())
            self._turn_ids.append(response.id)

    def rows(self) -> list[dict[str, Any]]:
        """The log records of the responses kept, oldest first, as `llm logs --json` has them."""
        from ..logs.rows import rows_for_turn_ids

        return rows_for_turn_ids(self._open().conn, self._turn_ids)

    def close(self) -> None:
        """Let go of the database."""
        if self._preloader is not None:
            self._preloader.finish()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite_utils.Database:
        if self._database is None:
            if self._preloader is not None:
                self._preloader.finish()
            from ..logs.db import open_log, open_memory

            self._database = open_log(self._path) if self._path else open_memory()
        return self._database


class _Preloader:
    """Imports what logging needs while the calling thread waits for the network.

    It holds back until the request is out, because on one interpreter lock it could only delay
    it.
    """

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._is_sent = False
        self._thread = threading.Thread(target=self._run, args=(_work_clock(),), daemon=True)
        self._thread.start()
        waiting.meanwhile(self._sent)

    def finish(self) -> None:
        """Stop holding back, and return when everything is imported or left to the caller."""
        waiting.forget(self._sent)
        self._wake.set()
        self._thread.join()

    def _sent(self) -> None:
        self._is_sent = True
        self._wake.set()

    def _run(self, clock: Callable[[], float] | None) -> None:
        if self._may_begin(clock):
            from ..logs.db import preload

            preload()

    def _may_begin(self, clock: Callable[[], float] | None) -> bool:
        """Wait until the request is sent; whether that was before the imports are needed.

        A model that does not say when it is sent gives itself away by being idle for a while.
        """
        if clock is None:
            self._wake.wait()
            return self._is_sent
        worked, idle_checks = clock(), 0
        while idle_checks < IDLE_CHECKS and not self._wake.wait(IDLE_CHECK_SECONDS):
            before, worked = worked, clock()
            is_idle = worked - before < IDLE_CHECK_SECONDS * IDLE_SHARE
            idle_checks = idle_checks + 1 if is_idle else 0
        return self._is_sent or idle_checks >= IDLE_CHECKS


def _work_clock() -> Callable[[], float] | None:
    """A clock of the seconds that the calling thread was working, `None` where there is none.

    On Linux the time in which it could not work because the processors were taken counts too: a
    thread on a crowded machine is not idle.
    """
    path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
    try:
        _scheduled_seconds(path)
        return partial(_scheduled_seconds, path)
    except (OSError, ValueError):
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None:
            return None
        return partial(time.clock_gettime, clock_of(threading.get_ident()))


def _scheduled_seconds(path: str) -> float:
    with open(path, "rb") as file:
        on_processor, waiting_for_one, _ = file.read().split()
    return (int(on_processor) + int(waiting_for_one)) / 1e9
