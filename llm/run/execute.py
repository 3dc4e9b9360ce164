"""Running one turn: send it, show the answer, keep it."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
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

    from ..content import Attachment
    from ..parts import StreamEvent
    from .calls import ToolWatch
    from .request import AnyChain, AnyResponse

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
    has_input = request.prompt is not None or bool(request.attachments or session.pending_calls)
    text = inputs.prompt_text(request.prompt, may_wait=not has_input)
    with Recorder(request) as recorder:
        responses = ask(
            session, recorder, text, system=request.system, attachments=request.attachments
        )
        if responses[0].history_ignored:
            note_ignored_history(responses[0])
        for prompt in request.then:
            responses = ask(session, recorder, follow_up(prompt, responses))
        if request.json_output:
            _print_records(recorder)


def ask(
    session: Session,
    recorder: Recorder,
    text: str,
    *,
    system: str | None = None,
    attachments: tuple[Attachment, ...] = (),
    drops_pending: bool = False,
    turns: list[AnyResponse | AnyChain] | None = None,
) -> list[AnyResponse]:
    """Have one prompt answered, tool calls and all; by another model where one cannot.

    Args:
        drops_pending: Do not run the tool calls that the conversation ends in.
        turns: Takes up what was begun, a response or a chain for each model that was asked.

    Returns:
        The responses, one for each call of the model that answered.

    Raises:
        Exception: Whatever the last model raised.
    """
    answered: list[AnyResponse] = []

    def respond(session: Session, made: list[AnyResponse | AnyChain]) -> None:
        watch = watch_for(session, recorder)
        if watch is not None:
            watch.drops_pending = drops_pending
        turn = session.respond(text, system=system, attachments=attachments, watch=watch)
        made.append(turn)
        if turns is not None:
            turns.append(turn)
        answered.extend(run_turn(session, turn, recorder, watch))

    answer(session, respond)
    return answered


def follow_up(prompt: str, responses: list[AnyResponse]) -> str:
    """The text of a further prompt, with the last answer in place of `$input`."""
    return inputs.clean_argument(prompt).replace("$input", responses[-1].text_or_raise())


def is_answered(turn: AnyResponse | AnyChain) -> bool:
    """Whether the first response of a turn is complete."""
    responses = getattr(turn, "_responses", [turn])
    return bool(responses) and responses[0]._done


def watch_for(session: Session, recorder: Recorder) -> ToolWatch | None:
    """Who stands by when tools are called; `None` where none can be."""
    if session.toolset is None and not session.pending_calls:
        return None
    from .calls import ToolWatch

    return ToolWatch(session, recorder)


def run_turn(
    session: Session,
    turn: AnyResponse | AnyChain,
    recorder: Recorder,
    watch: ToolWatch | None = None,
) -> list[AnyResponse]:
    """Run one prompt to its end, showing the answer as it comes; whatever was shown is kept.

    Returns:
        The responses, one for each call of the model.

    Raises:
        Exception: Whatever the model raised, after the part of its answer was kept.
    """
    progress = Progress(make_display(session), recorder)
    if watch is not None:
        watch.display = progress.display
    try:
        _drive(turn, progress)
        progress.display.finish(progress.text())
    except BaseException as error:
        progress.break_off()
        if isinstance(error, BrokenPipeError) and not isinstance(error, OutputClosed):
            raise ConnectionLost(f"The connection to the model broke off: {error}") from error
        raise
    if session.request.usage:
        for response in progress.responses:
            show_note(f"Token usage: {response.token_usage()}")
        if session.request.is_logged:
            show_note(f"Conversation: {session.conversation.id}")
    progress.keep()
    return progress.responses


class Progress:
    """One prompt under way: its responses, shown as they come and kept one by one.

    Attributes:
        responses: The responses so far, one for each call of the model.
        show: Takes each event of the last one.
    """

    def __init__(self, display: Display, recorder: Recorder) -> None:
        self.display = display
        self.responses: list[AnyResponse] = []
        self.show = display.event
        self._recorder = recorder
        self._before = ""
        self._is_kept = True

    def begin(self, response: AnyResponse) -> None:
        """Take up a response that is about to be sent."""
        if self.responses:
            self._before = self.text()
            self.show = self._show_after_others
        self.responses.append(response)
        self._is_kept = False
        self._recorder.begin(response)

    def _show_after_others(self, event: StreamEvent) -> None:
        """Show an event; before the first text a space, where two responses would meet."""
        if event.type == "text" and event.chunk:
            self.show = self.display.event
            if _needs_space(self._before, event.chunk):
                self.display.event(replace(event, chunk=" "))
        self.display.event(event)

    def end(self, response: AnyResponse) -> None:
        """Keep a response that asks for tools before they are run; the last one is shown first."""
        if response._tool_calls:
            self.keep()

    def text(self) -> str:
        """The text of all responses as it is shown."""
        shown = ""
        for response in self.responses:
            text = "".join(response._chunks)
            shown += f" {text}" if _needs_space(shown, text) else text
        return shown

    def keep(self) -> None:
        """Keep the last response, unless that was done."""
        if not self._is_kept:
            self._is_kept = True
            self._recorder.end(self.responses[-1])

    def break_off(self) -> None:
        """Leave the output tidy, and keep what there is of the last response."""
        with suppress(OSError):
            self.display.break_off()
        if not self._is_kept:
            self._is_kept = True
            _keep_partial(self.responses[-1], self._recorder)


def _needs_space(before: str, after: str) -> bool:
    return bool(before and after) and not (before[-1].isspace() or after[0].isspace())


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
        return StreamDisplay(show_reasoning=not request.hide_reasoning, raw=request.raw)
    return WholeDisplay(extract=request.extract, extract_last=request.extract_last, raw=request.raw)


def _print_records(recorder: Recorder) -> None:
    from ..logs.render import json_array

    write_out("".join(json_array(recorder.rows())))


def _drive(turn: Any, progress: Progress) -> None:
    """Run a response or chain to its end."""
    if hasattr(turn, "astream_events"):
        import asyncio

        asyncio.run(_drive_async(turn, progress))
        return
    responses = turn.responses() if hasattr(turn, "responses") else (turn,)
    for response in responses:
        progress.begin(response)
        for event in response.stream_events():
            progress.show(event)
        progress.end(response)


async def _drive_async(turn: Any, progress: Progress) -> None:
    responses = turn.responses() if hasattr(turn, "responses") else _only(turn)
    async for response in responses:
        progress.begin(response)
        async for event in response.astream_events():
            progress.show(event)
        progress.end(response)


async def _only(response: Any) -> AsyncIterator[Any]:
    yield response


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
