"""Completions, the older text-only API: our messages to its JSON, its JSON to our events.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ....parts import Message
from ....text.shaping import remove_dict_none_values
from .chat_answers import ChatFold
from .shapes import Event, Json


def completion_text(messages: Iterable[Message]) -> str:
    """The `prompt` of a request: what user and assistant said, joined by newlines."""
    texts = (message.text() for message in messages if message.role in ("user", "assistant"))
    return "\n".join(text for text in texts if text)


class CompletionFold(ChatFold):
    """Folds the chunks of a streamed completion, or one whole completion, into text.

    Args:
        is_streamed: The answer was asked for in chunks, which look like whole completions.
    """

    def __init__(self, is_streamed: bool = True) -> None:
        super().__init__()
        self._is_streamed = is_streamed
        self._logprobs: list[Any] = []

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        if not self._is_streamed:
            self._whole = chunk
        reason = choice.get("finish_reason")
        if reason:
            self._finish_reason = str(reason)
            self.is_complete = True
        logprobs = choice.get("logprobs")
        if logprobs and logprobs.get("top_logprobs"):
            pair = {"text": choice.get("text"), "top_logprobs": logprobs["top_logprobs"]}
            self._logprobs.append(pair)
        text = choice.get("text")
        return self._text(text) if isinstance(text, str) else ()

    def response_json(self) -> Json:
        """The whole body, or what the chunks amount to; without nulls."""
        combined = super().response_json()
        if self._logprobs and self._is_streamed:
            combined["logprobs"] = remove_dict_none_values(self._logprobs)
        return combined
