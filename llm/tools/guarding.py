"""Which calls of a chain may run, for programs, and how much of a result the model is told."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Union

from ..errors import InvalidInput
from .calling import CancelToolCall, ToolCall, ToolResult
from .policy import Candidate, Rule, Rules
from .running import AfterCallAsync, BeforeCallAsync, box_behind
from .tool import Tool

#: Says whether a call may run; where the model is asynchronous it may be asynchronous, too.
Approve = Callable[[Tool, ToolCall], Union[bool, Awaitable[bool]]]


def check_seconds(seconds: float | None) -> None:
    """Refuse what is no time limit.

    Raises:
        InvalidInput: It is zero, negative, or without end.
    """
    if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
        raise InvalidInput(f"tool_timeout: {seconds!r} is no number of seconds above 0")


def guarded(
    before_call: BeforeCallAsync | None, allow: Iterable[str] | None, approve: Approve | None
) -> BeforeCallAsync | None:
    """The hook of a chain with a guard in front of it; see `Model.chain`.

    Raises:
        InvalidInput: A rule has no valid form.
    """
    if allow is None and approve is None:
        return before_call
    if isinstance(allow, str):
        raise InvalidInput(f"allow: give a list of rules, such as [{allow!r}]")
    try:
        rules = Rules.parse(allow or ()).allow
    except ValueError as error:
        raise InvalidInput(f"allow: {error}") from error

    def check(tool: Tool | None, call: ToolCall) -> None | Awaitable[None]:
        if tool is not None and not _is_allowed(tool, call, rules):
            answer = approve is not None and approve(tool, call)
            if isinstance(answer, Awaitable):
                return later(answer, tool, call)
            _refuse_unless(answer)
        return None if before_call is None else before_call(tool, call)

    async def later(answer: Awaitable[bool], tool: Tool, call: ToolCall) -> None:
        _refuse_unless(await answer)
        value = None if before_call is None else before_call(tool, call)
        if isinstance(value, Awaitable):
            await value

    return check


def _is_allowed(tool: Tool, call: ToolCall, rules: Iterable[Rule]) -> bool:
    box = box_behind(tool)
    name = None if box is None else type(box).__name__
    candidate = Candidate(call.name, call.arguments, name, side_effects=tool.side_effects)
    return any(rule.allows(candidate) for rule in rules)


def _refuse_unless(answer: bool) -> None:
    if not answer:
        raise CancelToolCall("This call is not allowed")


def limited(after_call: AfterCallAsync | None, limit: int | None) -> AfterCallAsync | None:
    """The hook of a chain, before which results are cut to a number of characters.

    Raises:
        InvalidInput: The number is negative.
    """
    if limit is not None and limit < 0:
        raise InvalidInput(f"tool_output_limit: {limit!r} is less than 0")
    if not limit:
        return after_call

    def cut_output(tool: Tool, call: ToolCall, result: ToolResult) -> None | Awaitable[None]:
        result.output = cut(result.output, limit)
        return None if after_call is None else after_call(tool, call, result)

    return cut_output


def cut(output: str, limit: int) -> str:
    """The text of a result, cut to a number of characters; the cut is marked. 0 means no limit."""
    if not limit or len(output) <= limit:
        return output
    return f"{output[:limit]}\n[cut here: {len(output) - limit:,} more characters]"
