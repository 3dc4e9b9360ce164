"""Running one turn: send it, show the answer, keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionLost, ModelError, SchemaMismatch, mark_partial
from ..terminal import stdin
from ..terminal.output import (
    Display,
    NoDisplay,
    OutputClosed,
    StreamDisplay,
    WholeDisplay,
    show_note,
    write_out,
)
from . import answers, material
from .fallback import answer
from .recorder import Recorder
from .session import open_session
from .signals import dying_tidily, run_async

if TYPE_CHECKING:
    from ..parts import StreamEvent
    from .calls import ToolWatch
    from .request import AnyChain, AnyResponse, PromptRequest
    from .session import Session


def run_prompt(request: PromptRequest) -> None:
    """Answer one prompt: on stdout the answer, in the log database the turn.

    Raises:
        LLMError: The request cannot be met.
        Exception: Whatever the model raised.
    """
    request = material.prepare(request)
    session = open_session(request)
    turn = material.first_input(request, may_wait=not session.goes_on)
    with dying_tidily(), Recorder(request) as recorder:
        responses = ask(session, recorder, turn.text, turn.values)
        if responses[0].history_ignored:
            note_ignored_history(responses[0])
        for prompt in request.then:
            responses += ask(session, recorder, follow_up(prompt, responses))
        mismatch = ask_again(session, responses, recorder)
        if request.json_output:
            _print_records(recorder)
        elif request.repair:
            _whole_display(request).finish(responses[-1].text_or_raise())
        if request.out:
            answers.write_attachments(responses, request.out)
        if mismatch is not None:
            raise mismatch


def ask_again(
    session: Session, responses: list[AnyResponse], recorder: Recorder
) -> SchemaMismatch | None:
    """Check the last answer; as often as the request allows, ask for one that fits its schema.

    Args:
        responses: The responses so far; further ones are added.

    Returns:
        What is wrong with the last answer, if something is.
    """
    mismatch = answers.mismatch_of(responses[-1])
    for attempt in range(session.request.repair):
        if mismatch is None:
            break
        show_note(f"{mismatch}. Asking again ({attempt + 1} of {session.request.repair})")
        responses += ask(session, recorder, answers.repair_prompt(mismatch))
        mismatch = answers.mismatch_of(responses[-1])
    return mismatch


def ask(
    session: Session,
    recorder: Recorder,
    text: str,
    values: Mapping[str, Any] | None = None,
    *,
    drops_pending: bool = False,
    turns: list[AnyResponse | AnyChain] | None = None,
) -> list[AnyResponse]:
    """Have one prompt answered, tool calls and all; by another model where one cannot.

    Args:
        values: Further arguments of `Conversation.prompt`.
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
        turn = session.respond(text, values, watch)
        made.append(turn)
        if turns is not None:
            turns.append(turn)
        answered.extend(run_turn(session, turn, recorder, watch))

    answer(session, respond)
    return answered


def follow_up(prompt: str, responses: list[AnyResponse]) -> str:
    """The text of a further prompt, with the last answer in place of `$input`."""
    return stdin.clean_argument(prompt).replace("$input", responses[-1].text_or_raise())


def is_answered(turn: AnyResponse | AnyChain) -> bool:
    """Whether the first response of a turn is complete."""
    responses = getattr(turn, "_responses", [turn])
    return bool(responses) and responses[0].has_ended and not responses[0].said_nothing()


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
        Exception: Whatever the model raised, after the part of its answer was kept; with an exit
            code of its own where some of it was shown.
    """
    progress = Progress(make_display(session), recorder)
    if watch is not None:
        watch.display = progress.display
    try:
        _drive(turn, progress)
        progress.display.finish(progress.text())
        _check_end(progress.responses[-1])
    except BaseException as error:
        cause = _told(error)
        progress.break_off(cause)
        raise cause from (None if cause is error else error)
    try:
        if session.request.usage:
            _show_usage(session, progress.responses)
    finally:
        progress.keep()
    return progress.responses


def _show_usage(session: Session, responses: list[AnyResponse]) -> None:
    for response in responses:
        show_note(f"Token usage: {response.token_usage()}")
    if session.request.is_logged:
        show_note(f"Conversation: {session.conversation.id}")


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
        if response.calls_so_far:
            self.keep()

    def text(self) -> str:
        """The text of all responses as it is shown."""
        shown = ""
        for response in self.responses:
            text = response.text_so_far
            shown += f" {text}" if _needs_space(shown, text) else text
        return shown

    def keep(self) -> None:
        """Keep the last response, unless that was done."""
        if not self._is_kept:
            self._is_kept = True
            self._recorder.end(self.responses[-1])

    def break_off(self, error: BaseException) -> None:
        """Leave the output tidy, and keep what there is of the last response."""
        with suppress(OSError):
            self.display.break_off()
        if not self._is_kept:
            self._is_kept = True
            self._recorder.break_off(self.responses[-1], error)
            if self.display.has_shown:
                mark_partial(error)


def _needs_space(before: str, after: str) -> bool:
    return bool(before and after) and not (before[-1].isspace() or after[0].isspace())


def _check_end(response: AnyResponse) -> None:
    """Refuse to take an answer for complete that the provider has cut off.

    Raises:
        ModelError: It did.
    """
    if response.cut_off:
        raise ModelError(response.cut_off)


def _told(error: BaseException) -> BaseException:
    """What is told about an error: a model's own broken pipe is no closed output, and it is not for
    a model or a tool to end the program."""
    if isinstance(error, BrokenPipeError) and not isinstance(error, OutputClosed):
        return ConnectionLost(f"The connection to the model broke off: {error}")
    if isinstance(error, SystemExit):
        return ModelError(f"The model tried to end the program with exit code {error.code}")
    if not isinstance(error, (Exception, KeyboardInterrupt)):
        return ModelError(f"{type(error).__name__}: {error}")
    return error


def note_ignored_history(response: AnyResponse) -> None:
    """Tell the user that a model answered without looking at the conversation so far."""
    show_note(f"{response.model.model_id} did not look at the earlier turns of this conversation")


def make_display(session: Session) -> Display:
    """The display that a request asks for."""
    request = session.request
    if request.json_output or request.repair:
        return NoDisplay()
    if session.stream:
        return StreamDisplay(show_reasoning=not request.hide_reasoning, raw=request.raw)
    return _whole_display(request)


def _whole_display(request: PromptRequest) -> WholeDisplay:
    return WholeDisplay(extract=request.extract, extract_last=request.extract_last, raw=request.raw)


def _print_records(recorder: Recorder) -> None:
    from ..logs.render.as_json import json_array

    write_out("".join(json_array(recorder.rows())))


def _drive(turn: Any, progress: Progress) -> None:
    """Run a response or chain to its end."""
    if hasattr(turn, "astream_events"):
        run_async(_drive_async(turn, progress))
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
        async with aclosing(response.astream_events()) as events:
            async for event in events:
                progress.show(event)
        progress.end(response)


async def _only(response: Any) -> AsyncIterator[Any]:
    yield response
