"""What one prompt sends: the history, then its own input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Union, cast

from ..parts import Message

#: A message as people pass it: itself, or a dictionary of ours or of OpenAI's chat API.
GivenMessage = Union[Message, Mapping[str, object]]


class MessageChain:
    """The messages of one prompt, which share a list with those of the prompts after it.

    A tool loop of a thousand calls sends a thousand histories, each longer by two messages than
    the one before: lists of their own would hold a million. So the next chain is put behind this
    one in the same list, and this one remembers where it ends. Whoever goes on from here a second
    time gets a copy.

    Args:
        messages: All of them, oldest first; the list is used, not copied.
        history_count: How many of them are from before the prompt.
        system: The text of the last system message; looked for where missing.
    """

    __slots__ = ("_end", "_list", "_system", "history_count")

    def __init__(
        self, messages: list[Message], history_count: int = 0, system: str | None = None
    ) -> None:
        self._list = messages
        # Where this chain ends, once a later one goes on in its list.
        self._end: int | None = None
        self._system = system
        self.history_count: int = history_count

    @property
    def messages(self) -> list[Message]:
        """All messages, in the list itself as long as it holds no others."""
        if self._end is None or self._end == len(self._list):
            return self._list
        return self._list[: self._end]

    @property
    def system(self) -> str:
        """The text of the last system message; empty without one."""
        if self._system is None:
            self._system = last_system_text(self.messages)
        return self._system

    def has_history(self) -> bool:
        """Whether anything was said before the prompt."""
        return any(self._list[index].role != "system" for index in range(self.history_count))

    def extended(
        self, output: Sequence[Message], input: Sequence[Message], system: str
    ) -> MessageChain:
        """The chain that goes on with what was answered and with the input of the next prompt."""
        messages = self.messages
        if messages is self._list:
            self._end = len(messages)
        messages += output
        count = len(messages)
        messages += input
        return MessageChain(messages, count, system)


def last_system_text(messages: Sequence[Message]) -> str:
    """The text of the last system message; empty without one."""
    return next((m.text() for m in reversed(messages) if m.role == "system"), "")


def as_messages(given: Iterable[GivenMessage]) -> list[Message]:
    """Messages from what people pass.

    Raises:
        InvalidInput: Something is no message.
    """
    messages = list(given)
    if all(isinstance(message, Message) for message in messages):
        return cast("list[Message]", messages)
    from .openai_messages import messages_from

    return messages_from(messages)
