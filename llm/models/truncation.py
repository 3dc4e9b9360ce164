"""Making a conversation fit: which turns are left out of what is sent.

`truncate` is a pure function over messages. The rest says when it is called: after the service has
said that the prompt is too long, and from then on before each further prompt of the conversation.
The conversation itself, and the log, stay whole.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InvalidInput
from ..parts import AttachmentPart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from ..errors import ContextTooLong
    from ..parts import Message, Part
    from .response_base import _BaseResponse

__all__ = ["Cut", "check_choice", "estimate_tokens", "truncate"]

CHOICES = ("oldest", "middle", "none")
CHARACTERS_PER_TOKEN = 4
# Roughly what an image costs; nobody knows before it was sent.
TOKENS_PER_ATTACHMENT = 1000

#: Says how many tokens messages are.
TokenCounter = Callable[[Sequence["Message"]], int]


class Cut(NamedTuple):
    """What is left of messages.

    Attributes:
        messages: The messages to send, in their order.
        dropped_turns: How many turns were left out.
        turns: How many turns there were.
    """

    messages: list[Message]
    dropped_turns: int
    turns: int


def estimate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens messages are: a quarter of their characters."""
    characters = attachments = 0
    for message in messages:
        for part in message.parts:
            characters += _characters(part)
            attachments += isinstance(part, AttachmentPart)
    return -(-characters // CHARACTERS_PER_TOKEN) + attachments * TOKENS_PER_ATTACHMENT


def _characters(part: Part) -> int:
    if isinstance(part, (TextPart, ReasoningPart)):
        return len(part.text)
    if isinstance(part, ToolCallPart):
        return len(part.name) + len(json.dumps(part.arguments, default=str))
    return len(part.output) if isinstance(part, ToolResultPart) else 0


def check_choice(choice: str) -> None:
    """Make sure that there is such a choice.

    Raises:
        InvalidInput: It is none of `oldest`, `middle` and `none`.
    """
    if choice not in CHOICES:
        raise InvalidInput(f"truncate: {choice!r} is none of {', '.join(CHOICES)}")


def truncate(
    messages: Sequence[Message], choice: str, limit: int, count: TokenCounter = estimate_tokens
) -> Cut:
    """The messages without as many whole turns as it takes to get down to `limit` tokens.

    A turn begins with a message of the user and holds everything up to the next one, so tool
    calls stay with their results. System messages and the last turn are always kept, even where
    they alone are more than `limit`.

    Args:
        messages: A conversation, oldest message first.
        choice: `oldest` leaves out from the beginning; `middle` the same, but the first turn goes
            last; `none` leaves out nothing.
        limit: The most tokens.
        count: Says how many tokens messages are.
    """
    turn_of = _turn_numbers(messages)
    turns = max(turn_of, default=-1) + 1
    order = list(range(turns - 1))
    if choice == "middle" and order:
        order.append(order.pop(0))
    if choice == "none":
        order = []

    def without(dropped: int) -> list[Message]:
        gone = set(order[:dropped])
        return [m for m, turn in zip(messages, turn_of, strict=True) if turn not in gone]

    # The fewest turns that have to go; counting may be dear, so not one by one.
    dropped = bisect_left(
        range(len(order)), True, key=lambda number: count(without(number)) <= limit
    )
    return Cut(without(dropped), dropped, turns)


def _turn_numbers(messages: Sequence[Message]) -> list[int]:
    """The number of each message's turn, from 0; -1 for system messages, which have none."""
    numbers: list[int] = []
    turn, last_role = 0, ""
    for message in messages:
        if message.role == "system":
            numbers.append(-1)
            continue
        # What a user says right after tool results belongs to them: files that tools returned.
        if message.role == "user" and last_role not in ("", "tool"):
            turn += 1
        numbers.append(turn)
        last_role = message.role
    return numbers


def shorten(response: _BaseResponse, error: ContextTooLong) -> bool:
    """Leave turns out of what a response sends, which was too long; whether that made it shorter.

    How much fits is remembered for the next prompts of the conversation.
    """
    conversation, prompt = response.conversation, response.prompt
    if conversation is None or conversation.truncate in (None, "none"):
        return False
    if any(event.chunk for event in response.event_log):
        return False
    if not (prompt.history_read or response.model.continues_as_text):
        return False
    # Room is left for the answer.
    budget = _counter(response)(prompt.sent_messages) * 3 // 4
    if error.limit is not None:
        budget = min(error.limit - error.limit // 8, budget)
    conversation.token_budget = budget
    before = len(prompt.sent_messages)
    cut_to_budget(response)
    return len(prompt.sent_messages) < before


def cut_to_budget(response: _BaseResponse) -> None:
    """Leave turns out of what a response sends where it is known how much fits."""
    conversation, prompt = response.conversation, response.prompt
    if conversation is None or conversation.token_budget is None:
        return
    choice, budget = conversation.truncate or "none", conversation.token_budget
    cut = truncate(prompt.full_messages, choice, budget, _counter(response))
    if cut.dropped_turns:
        # Asked again, the response comes here again.
        is_news = len(cut.messages) < len(prompt.sent_messages)
        prompt.send_only(cut.messages)
        if is_news and response.policy.tell is not None:
            response.policy.tell(
                f"Left out {cut.dropped_turns} of {cut.turns} turns of the conversation"
                f" to fit the context of {response.model.model_id}"
            )


def _counter(response: _BaseResponse) -> TokenCounter:
    count: TokenCounter = getattr(response.model, "count_tokens", None) or estimate_tokens
    return count
