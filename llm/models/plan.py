"""The course of a chain, as a plan that somebody else carries out.

A generator without I/O: it yields what has to be done next and is sent what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import count, repeat, takewhile
from typing import Any, Union

from ..errors import ChainLimitExceeded
from ..parts import Message, ToolCallPart, ToolResultPart
from ..tools.calling import ToolCall
from .prompt import Prompt
from .response_base import _BaseResponse

#: Makes the next prompt: text in which `$input` stands for the last answer, a prompt, or nothing.
NextPrompt = Callable[..., object]


@dataclass(slots=True)
class CallTools:
    """Run the calls with the tools of the prompt; wanted back: the results in order."""

    prompt: Prompt
    calls: list[ToolCall]


@dataclass(slots=True)
class AskNext:
    """Ask the caller's function for the next prompt; wanted back: what it returns."""

    response: _BaseResponse


#: A prompt is to be sent; wanted back: the finished response.
Action = Union[Prompt, CallTools, AskNext]
# What is sent to it is what came of the action before.
Plan = Generator[Action, Any, None]
Follow = Callable[..., Prompt]


def chain_plan(
    prompt: Prompt, follow: Follow, limit: int | None = None, next_limit: int | None = 0
) -> Plan:
    """The course of a chain: calls that its history ends in without results are run first.

    Args:
        follow: Makes a prompt of the same kind that goes on after what has been said: of tool
            results (`tool_results=`), or of what the caller's function returned (`given=`).
        limit: The most responses; `None` and 0 mean no limit.
        next_limit: How often the caller's function is asked; `None` means always, 0 never.

    Raises:
        ChainLimitExceeded: One more response would be needed.
    """
    if pending := _pending_calls(prompt):
        results = yield CallTools(prompt, pending)
        prompt = follow(prompt, tool_results=results)
    asks = repeat(True) if next_limit is None else repeat(True, next_limit)
    for number in count(1):
        response = yield prompt
        prompt, calls, given = response.prompt, response.calls_so_far, None
        if not calls:
            if next(asks, False):
                given = yield AskNext(response)
            if given is None:
                return
        if number == limit:
            raise ChainLimitExceeded(f"Chain limit of {limit} exceeded.")
        if calls:
            results = yield CallTools(prompt, list(calls))
            prompt = follow(prompt, tool_results=results)
        else:
            prompt = follow(prompt, given=given, answer=response.text_so_far)


def _pending_calls(prompt: Prompt) -> list[ToolCall]:
    """What has to be run before a prompt is sent."""
    if prompt.calls_before or not prompt.tools:
        return list(prompt.calls_before)
    return pending_tool_calls(prompt.full_messages)


def pending_tool_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """The tool calls at the end of a history that have no results yet.

    They are those of the last assistant message, if nothing but tool messages follows it. A
    result belongs to the call of its id; one without an id to the first open call of its name.
    """
    last = next((message for message in reversed(messages) if message.role != "tool"), None)
    if last is None or last.role != "assistant":
        return []
    return _without_results(last, unanswered_results(messages))


def _without_results(message: Message, results: list[ToolResultPart]) -> list[ToolCall]:
    done = {result.tool_call_id for result in results if result.tool_call_id is not None}
    done_by_name = [result.name for result in results if result.tool_call_id is None]
    pending = []
    for part in message.parts:
        if not isinstance(part, ToolCallPart) or part.server_executed or part.tool_call_id in done:
            continue
        if part.name in done_by_name:
            done_by_name.remove(part.name)
        else:
            pending.append(ToolCall(part.name, part.arguments, part.tool_call_id))
    return pending


def unanswered_results(history: Sequence[Message]) -> list[ToolResultPart]:
    """The results at the end of a history, whose files have not been sent yet."""
    tail = [*takewhile(lambda message: message.role == "tool", reversed(history))]
    parts = [part for message in reversed(tail) for part in message.parts]
    return [part for part in parts if isinstance(part, ToolResultPart)]
