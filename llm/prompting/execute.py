"""Running one turn: send it, show the answer, keep it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ConnectionLost, InvalidInput, ModelError, SchemaMismatch, mark_partial
from ..terminal import (
    Display,
    OutputClosed,
    StreamDisplay,
    WholeDisplay,
    clean_argument,
    show_note,
    write_out,
)
from ..text import needs_space
from ..text.secrets import said_by
from .material import TurnInput, first_input
from .recorder import Recorder
from .request import resolve, standing_in
from .signals import dying_tidily, run_async

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from ..models.async_response import AsyncResponse
    from ..models.chain import AsyncChainResponse
    from ..parts import StreamEvent
    from .material import Material
    from .request import AnyChain, AnyModel, AnyResponse, Request, Resolved


def run_prompt(
    request: Request, material: Material | None = None, model: AnyModel | None = None
) -> None:
    """Answer one prompt: on stdout the answer, in the log database the turn.

    Args:
        material: What the prompt is made of, where it was gathered before.
        model: The model that answers, where it is not one that the request names.

    Raises:
        LLMError: The request cannot be met.
        Exception: Whatever the model raised.
    """
    resolved = resolve(request, material, model)
    output = request.output
    turn = first_input(request, resolved.material, may_wait=not resolved.goes_on)
    _check_for_something(resolved, turn)
    with dying_tidily(), Recorder(request.log, wants_rows=output.json) as recorder:
        responses = ask(resolved, recorder, turn)
        answers = list(responses)
        note_ignored_history(responses[0])
        mismatch = follow_up(resolved, recorder, responses)
        if output.json:
            from ..logs.render.as_json import json_array

            write_out("".join(json_array(recorder.rows())))
        elif request.repair:
            _whole_display(resolved).finish(responses[-1].text_or_raise())
        if output.out:
            from .made_files import write_attachments

            write_attachments(responses, output.out)
        cite(request, answers)
        if mismatch is not None:
            raise mismatch


def cite(request: Request, responses: list[AnyResponse]) -> None:
    """Tell the sources of an answer that goes by documents, and whether they have what it quotes.

    Raises:
        QuoteNotFound: They have not, and the request is strict.
    """
    if request.docs is not None:
        from ..documents.asking import report

        answer = "\n\n".join(response.text_or_raise() for response in responses)
        fragments = responses[0].prompt.fragments
        report(fragments, answer, quotes=request.quotes, strict=request.strict)


def _check_for_something(resolved: Resolved, turn: TurnInput) -> None:
    """Refuse to send nothing to a service; a model that runs here may make something of it."""
    request, material, model = resolved.request, resolved.material, resolved.model
    given = (turn.attachments, turn.fragments, turn.system_fragments, request.system)
    around = (request.continues, material.templates, material.schema)
    is_service = model.needs_key or getattr(model, "api_base", None)
    if is_service and not (turn.text.strip() or any(given) or any(around)):
        raise InvalidInput(
            f"The prompt is empty: there is nothing that {model.model_id} could answer."
            " Write it behind the command, as in llm 'Hello'"
        )


def follow_up(
    resolved: Resolved, recorder: Recorder, responses: list[AnyResponse]
) -> SchemaMismatch | None:
    """Send the further prompts; as often as the request allows, ask for an answer that fits.

    Further responses are added to those so far. What is wrong with the last one is returned.
    """
    request = resolved.request
    for prompt in request.then:
        text = clean_argument(prompt).replace("$input", responses[-1].text_or_raise())
        responses += ask(resolved, recorder, TurnInput(text))
    if responses[-1].prompt.schema is None:
        return None
    attempt = 0
    while (mismatch := responses[-1].mismatch()) is not None and attempt < request.repair:
        attempt += 1
        show_note(f"{mismatch}. Asking again ({attempt} of {request.repair})")
        from ..schemas.validation import repair_prompt

        responses += ask(resolved, recorder, TurnInput(repair_prompt(mismatch)))
    return mismatch


def ask(resolved: Resolved, recorder: Recorder, turn: TurnInput) -> list[AnyResponse]:
    """The responses to one prompt, one for each call of the model that answered.

    Another model is asked where one fails before its first token. What the last one raises passes.
    """
    if turn.fragments or turn.system_fragments:
        turn = turn.completed(resolved.conversation)
    progress = Progress(_make_display(resolved), recorder)
    try:
        _run_turn(resolved, progress, turn)
        return progress.responses
    except OutputClosed:
        raise
    except Exception as error:  # whatever a model plugin raises
        if not resolved.fallbacks or any(map(_has_come, progress.responses)):
            raise
        show_note(f"{resolved.model.model_id} failed: {said_by(error)}")
        show_note(f"Trying {resolved.fallbacks[0].model_id}")
    with standing_in(resolved) as stand_in:
        return ask(stand_in, recorder, turn)


def _has_come(response: AnyResponse) -> bool:
    """Whether anything of a response has come."""
    is_complete = response.has_ended and not response.broke_off
    return is_complete or any(event.chunk for event in response.event_log)


def _run_turn(resolved: Resolved, progress: Progress, turn: TurnInput) -> None:
    """Run one prompt to its end, showing the answer as it comes.

    Whatever was shown is kept, before an exception of the model passes; that has an exit code of
    its own then.
    """
    started = _start(resolved, progress, turn)
    try:
        _drive(started, progress)
        progress.display.finish(progress.text())
        if problem := progress.responses[-1].cut_off:
            # What the provider has cut off is no complete answer.
            raise ModelError(problem)
    except BaseException as error:
        cause = _explain(error)
        progress.break_off(cause)
        raise cause from (None if cause is error else error)
    try:
        if resolved.request.output.usage:
            for response in progress.responses:
                show_note(f"Token usage: {response.token_usage()}")
            if resolved.request.log.is_on:
                show_note(f"Conversation: {resolved.conversation.id}")
    finally:
        progress.keep()


def _start(resolved: Resolved, progress: Progress, turn: TurnInput) -> AnyResponse | AnyChain:
    """What answers one prompt, a chain where tools may be called; nothing has been sent yet."""
    request, conversation = resolved.request, resolved.conversation
    given = turn.values | {
        "key": request.key or None,
        "stream": resolved.stream,
        "schema": resolved.material.schema,
        "options": resolved.options or None,
        "hide_reasoning": request.output.hide_reasoning,
    }
    if resolved.toolset is None and not conversation.pending_calls():
        return conversation.prompt(turn.text, **given)
    from .approval import ToolWatch

    return ToolWatch(resolved, progress).chain(turn, given)


class Progress:
    """One prompt under way: its responses, shown as they come and kept one by one."""

    def __init__(self, display: Display, recorder: Recorder) -> None:
        self.display = display
        self.recorder = recorder
        #: Takes each event of the last response.
        self.show: Callable[[StreamEvent], None] = display.event
        #: The responses so far, one for each call of the model.
        self.responses: list[AnyResponse] = []
        self._before = ""
        self._is_kept = True

    def begin(self, response: AnyResponse) -> None:
        """Take up a response that is about to be sent."""
        if self.responses:
            self._before = self.text()
            self.show = self._show_after_others
        self.responses.append(response)
        self._is_kept = False
        self.recorder.begin(response)

    def _show_after_others(self, event: StreamEvent) -> None:
        """Show an event; before the first text a space, where two responses would meet."""
        if event.type == "text" and event.chunk:
            self.show = self.display.event
            if needs_space(self._before, event.chunk):
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
            shown += f" {text}" if needs_space(shown, text) else text
        return shown

    def keep(self) -> None:
        """Keep the last response, unless that was done."""
        if not self._is_kept:
            self._is_kept = True
            self.recorder.end(self.responses[-1])

    def break_off(self, error: BaseException) -> None:
        """Leave the output tidy, and keep what there is of the last response."""
        with suppress(OSError):
            self.display.break_off(self.text())
        if not self._is_kept:
            self._is_kept = True
            self.recorder.break_off(self.responses[-1], error)
            if self.display.has_shown:
                mark_partial(error)


def _explain(error: BaseException) -> BaseException:
    """What is told about an error: a model's own broken pipe is no closed output, and it is not for
    a model or a tool to end the program."""
    if isinstance(error, BrokenPipeError) and not isinstance(error, OutputClosed):
        return ConnectionLost(f"The connection to the model broke off: {error}")
    if isinstance(error, SystemExit):
        return ModelError(f"The model tried to end the program with exit code {error.code}")
    if not isinstance(error, (Exception, KeyboardInterrupt)):
        return ModelError(f"{type(error).__name__}: {said_by(error)}")
    return error


def note_ignored_history(response: AnyResponse) -> bool:
    """Tell the user if a model answered without looking at the conversation so far; whether.

    It is told once for each model: models that do so always do.
    """
    if response.history_ignored:
        from ..files import tell_once
        from ..files.config import user_path

        name = response.model.model_id
        text = f"{name} did not look at the earlier turns of this conversation"
        told = os.path.join(user_path(), "told.json")
        tell_once(f"history: {name}", text, told, or_always=True, say=show_note)
    return response.history_ignored


def _make_display(resolved: Resolved) -> Display:
    request = resolved.request
    output = request.output
    if output.json or request.repair:
        return Display()
    if resolved.stream:
        return StreamDisplay(show_reasoning=not output.hide_reasoning, raw=output.raw)
    return _whole_display(resolved)


def _whole_display(resolved: Resolved) -> WholeDisplay:
    material = resolved.material
    return WholeDisplay(
        extract=material.extract,
        extract_last=material.extract_last,
        raw=resolved.request.output.raw,
    )


def _drive(turn: AnyResponse | AnyChain, progress: Progress) -> None:
    """Run a response or chain to its end."""
    if _is_async(turn):
        run_async(_drive_async(turn, progress))
        return
    from ..models.response import Response

    for response in (turn,) if isinstance(turn, Response) else turn.responses():
        progress.begin(response)
        for event in response.stream_events():
            progress.show(event)
        progress.end(response)


def _is_async(turn: AnyResponse | AnyChain) -> TypeIs[AsyncResponse | AsyncChainResponse]:
    return hasattr(turn, "astream_events")


async def _drive_async(turn: AsyncResponse | AsyncChainResponse, progress: Progress) -> None:
    from ..models.async_response import AsyncResponse

    async for response in _only(turn) if isinstance(turn, AsyncResponse) else turn.responses():
        progress.begin(response)
        async with aclosing(response.astream_events()) as events:
            async for event in events:
                progress.show(event)
        progress.end(response)


async def _only(response: AsyncResponse) -> AsyncIterator[AsyncResponse]:
    yield response
