"""What follows a response: a reply, and the same question again where the answer does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import Interrupted, InvalidInput
from ..schemas.validation import repair_prompt
from .options import all_options

if TYPE_CHECKING:
    from ..parts import Message
    from ..schemas.growing import GrowingValue
    from ..text import JSONObject
    from ..tools.calling import ToolResult
    from .plan import NextPrompt
    from .prompt import Prompt, ToolDef
    from .response_base import _BaseResponse

B = TypeVar("B", bound="_BaseResponse")


def reply_to(
    response: B,
    prompt: str | None,
    messages: Sequence[Message] | None,
    tool_results: Iterable[ToolResult] | None,
    tools: Iterable[ToolDef] | None,
    options: Mapping[str, object] | None,
    values: JSONObject,
) -> B:
    """The response to a next prompt, sent with everything so far; see `Response.reply`."""
    changed = {name: values.pop(name) for name in ("key", "stream") if name in values}
    shaping = ("fragments", "attachments", "system", "system_fragments", "schema")
    named = {name: values.pop(name) for name in shaping if name in values}
    named["hide_reasoning"] = values.pop("hide_reasoning", response.prompt.hide_reasoning)
    request = response.prompt.of_call(
        prompt,
        response.model,
        tools=response.prompt.tools if tools is None else tools,
        tool_results=tool_results,
        options=all_options(options, values),
        **named,
    )
    request.continue_after(response)
    request.full_messages.extend(messages or ())
    return response.next_response(request, **changed)


def checked_repair(repair: int, prompt: Prompt) -> int:
    """How often an answer that does not fit may be asked for again.

    Raises:
        InvalidInput: It is no such number, or there is no schema that the answer has to fit.
    """
    if not isinstance(repair, int) or repair < 0:
        raise InvalidInput(f"repair={repair!r} is no number of times to ask again")
    if repair and prompt.schema is None:
        raise InvalidInput("repair= asks again where an answer does not fit: it needs schema=")
    return repair


def again(response: B) -> B | None:
    """The response that `parsed()` has to wait for: one more where the last one does not fit."""
    latest = response.repairs[-1] if response.repairs else response
    if not latest.has_ended:
        return latest
    is_last = len(response.repairs) == response.repair
    if is_last or (mismatch := latest.mismatch()) is None:
        return None
    request = latest.prompt.follow_up(repair_prompt(mismatch), [])
    request.continue_after(latest)
    response.repairs = [*response.repairs, latest.next_response(request)]
    return response.repairs[-1]


def next_of_repair(next: NextPrompt | None, repair: int, prompt: Prompt) -> NextPrompt:
    """What makes the next prompt of a chain that asks again where an answer does not fit.

    Raises:
        TypeError: Something else does that already.
    """
    checked_repair(repair, prompt)
    if next is not None:
        raise TypeError("chain() takes next= or repair=: each makes the next prompt")

    def ask(response: _BaseResponse) -> str | None:
        mismatch = response.mismatch()
        return None if mismatch is None else repair_prompt(mismatch)

    return ask


def growing_answer(prompt: Prompt) -> GrowingValue:
    """Reads the JSON of the answer to a prompt while it grows; see `Response.stream_objects`."""
    if (kind := prompt.answer_type) is not None:
        from ..schemas.partial import GrowingAnswer

        return GrowingAnswer(kind)
    from ..schemas.growing import GrowingValue

    return GrowingValue()


def said_again(failure: BaseException, partial: str) -> Exception:
    """What is raised for an answer that failed before; whoever reads it now was not cancelled."""
    if isinstance(failure, Exception):
        return failure
    return Interrupted("The answer was broken off before it was complete", partial)
