"""Answers of Chat Completions: the server's JSON to our events.

Source: https://platform.openai.com/docs/api-reference/chat/streaming, and what compatible servers
send in its name: calls without index or id, arguments in one piece, reasoning beside the content.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from llm.parts import StreamEvent
from llm.utils import remove_dict_none_values

from .shapes import (
    CUT_OFF,
    FILTERED,
    Accumulator,
    Event,
    Failure,
    Json,
    TextMender,
    plain,
    plain_failure,
)

if TYPE_CHECKING:
    from .calls import ChatCalls
    from .kept import Kept

# Fields of a message that are read without more code than most answers need.
_USUAL = frozenset({"role", "content", "refusal"})
_HEAD = ("id", "object", "model", "created")
# Why an answer ended, where that is no good end; the words of compatible servers among them.
_FAILED = frozenset({"error", "network_error", "abort", "insufficient_system_resource"})
_ENDS = {
    **dict.fromkeys(("length", "max_tokens", "model_length"), CUT_OFF),
    **dict.fromkeys(("content_filter", "sensitive", "safety"), FILTERED),
}


class ChatAccumulator(Accumulator):
    """Turns the chunks of a streamed completion, or one whole completion, into our events.

    Args:
        new_id: Makes an id for a tool call that comes without one.
        server: The host that answers, under whose name is kept what it wants back.
        tools: The names of the tools that may be called.
        failure: Makes the error for an object in which the server tells of one.
        unwraps: The text is to be JSON: thinking before it and a fence around it are no part of it.
    """

    _details = "completion_tokens_details"

    def __init__(
        self,
        new_id: Callable[[], str] | None = None,
        server: str = "",
        tools: Collection[str] = (),
        failure: Failure = plain_failure,
        *,
        unwraps: bool = False,
    ) -> None:
        super().__init__(new_id, failure, unwraps=unwraps)
        self._whole: Json | None = None
        self._role: str | None = None
        self._finish_reason: str | None = None
        # The answer so far, in UTF-8: strings of a few characters cost ten times as much.
        self._text_utf8 = bytearray()
        self._reasoning_mender = TextMender()
        self._server = server
        self._tools = tools

    def _take(self, chunk: Json) -> Iterable[Event]:
        """What one chunk, or a whole completion, adds to the answer."""
        if len(self._head) < len(_HEAD):
            for name in _HEAD:
                if chunk.get(name):
                    self._head.setdefault(name, chunk[name])
        if usage := chunk.get("usage"):
            self._note_usage(usage)
        choices = chunk.get("choices")
        if not choices:
            self._unknown = self._unknown or chunk
            return ()
        self._answered = True
        choice = choices[0]
        if choice.get("finish_reason") or "error" in choice or "error" in chunk:
            return self._take_last(chunk, choice)
        return self._take_choice(chunk, choice)

    def _take_last(self, chunk: Json, choice: Json) -> Iterable[Event]:
        """A choice that tells how the answer ended, or of an error."""
        if reason := choice.get("finish_reason"):
            self._finish_reason = str(reason)
        events = self._take_choice(chunk, choice)
        if choice.get("error") or chunk.get("error") or self._finish_reason in _FAILED:
            return self._failing(list(events), chunk)
        self.is_complete |= bool(reason)
        return events

    def _failing(self, events: list[Event], chunk: Json) -> Iterator[Event]:
        yield from events
        raise self._failure(chunk)

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message")
            if delta is None:
                return ()
            self._whole = chunk
        content = delta.get("content")
        if content.__class__ is str:
            # The usual chunk: some text, and perhaps the role once more.
            size = len(delta)
            if size == 1 or (size == 2 and self._role is not None and "role" in delta):
                return self._text(content)
        return self._take_delta(delta)

    def _take_delta(self, delta: Json) -> list[Event]:
        """A chunk or message that has more than text."""
        events: list[Event] = []
        if role := delta.get("role"):
            self._role = role
        for name, value in delta.items():
            if value is not None and name not in _USUAL:
                events += self._take_unusual(delta)
                break
        else:
            events += self._content(delta.get("content"))
        if refusal := delta.get("refusal"):
            self._refusal.append(str(refusal))
        return events

    def _take_unusual(self, delta: Json) -> list[Event]:
        """What there is beside role and content, and the content."""
        is_whole = self._whole is not None
        events: list[Event] = []
        if self._kept.add(delta, is_whole=is_whole):
            self._has_reasoning = True
        if text := self._kept.reasoning(delta):
            events += self._reasoning(text)
        content, pieces = delta.get("content"), _pieces_of_calls(delta)
        # Of a whole message the calls come first.
        if content and not is_whole:
            events += self._content(content)
        if pieces:
            events += self._pieces_of_calls.add(pieces, are_whole=is_whole)
        if content and is_whole:
            events += self._content(content)
        return events

    @cached_property
    def _kept(self) -> Kept:
        from .kept import Kept

        return Kept(self._server)

    @cached_property
    def _pieces_of_calls(self) -> ChatCalls:
        from .calls import ChatCalls

        return ChatCalls(self._ids, self._tools, self._calls)

    def _text(self, text: str) -> Sequence[Event]:
        text = self._mender.mend(text)
        if not text:
            return ()
        if self._unwrapper is not None:
            return self._told_apart(self._unwrapper, text)
        self._text_utf8 += text.encode()
        return (text,)

    def _said(self, text: str) -> str:
        self._text_utf8 += text.encode()
        return text

    def _content(self, content: object) -> Iterator[Event]:
        """Text, or the typed pieces of text and thinking that some servers send in its place."""
        if isinstance(content, str):
            yield from self._text(content)
        else:
            for is_thought, text in _texts(content):
                yield from self._reasoning(text) if is_thought else self._text(text)

    def _reasoning(self, text: str) -> Iterator[StreamEvent]:
        if text := self._reasoning_mender.mend(text):
            self._has_reasoning = True
            yield self._kept.shown(StreamEvent("reasoning", text))

    def _is_whole(self) -> bool:
        has_come = bool(self._text_utf8 or self._calls)
        return has_come and all(call.is_whole for call in self._calls)

    def finish(self) -> list[Event]:
        """What is left to say.

        Raises:
            ModelError: The reply holds no answer.
        """
        events = super().finish()
        return [*events, *self._kept.events(self._calls)] if "_kept" in vars(self) else events

    def response_json(self) -> Json:
        """The whole body, or for a stream what its chunks amount to; without nulls."""
        if self._whole is not None:
            return cast("Json", remove_dict_none_values(self._whole))
        combined = {
            "content": self._text_utf8.decode(),
            "role": self._role,
            "finish_reason": self._finish_reason,
            "usage": self.usage,
            **{name: self._head.get(name) for name in _HEAD},
        }
        return cast("Json", remove_dict_none_values(combined))

    @property
    def finish_reason(self) -> str | None:
        """As the last chunk, or the whole completion, says."""
        return self._finish_reason

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""
        reason = _ENDS.get((self._finish_reason or "").lower())
        return [*super().notices(), *([reason] if reason else [])]


# What servers call a piece of thinking, and where its text stands.
_THOUGHTS = ("thinking", "reasoning")


def _texts(content: object, is_thought: bool = False) -> Iterator[tuple[bool, str]]:
    """The texts of a content, in whatever shape; with each, whether it is thinking."""
    if isinstance(content, str):
        yield is_thought, content
    elif isinstance(content, list):
        for piece in content:
            yield from _texts(piece, is_thought)
    elif isinstance(content, dict):
        is_thought = is_thought or content.get("type") in _THOUGHTS
        names = (*_THOUGHTS, "summary", "text") if is_thought else ("text",)
        found = (content[name] for name in names if content.get(name))
        yield from _texts(next(found, None), is_thought)


def _pieces_of_calls(delta: Json) -> Iterable[Json]:
    """The pieces of tool calls in a message or a piece of one; the older API has one call."""
    if pieces := delta.get("tool_calls"):
        return cast("Iterable[Json]", pieces)
    older = delta.get("function_call")
    return [{"index": "function_call", "function": older}] if older else ()


class CompletionAccumulator(ChatAccumulator):
    """Turns the chunks of the older Completions API, or one whole completion, into text.

    Args:
        is_streamed: The answer was asked for in chunks, which look like whole completions.
        failure: Makes the error for an object in which the server tells of one.
    """

    def __init__(self, is_streamed: bool = True, failure: Failure = plain_failure) -> None:
        super().__init__(failure=failure)
        self._is_streamed = is_streamed
        self._logprobs: list[Json] = []

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        if not self._is_streamed:
            self._whole = chunk
        logprobs = choice.get("logprobs")
        text = choice.get("text")
        if logprobs and logprobs.get("top_logprobs"):
            self._logprobs.append({"text": text, "top_logprobs": logprobs["top_logprobs"]})
        return self._text(text) if isinstance(text, str) else ()

    def response_json(self) -> Json:
        """The whole body, or what the chunks amount to; without nulls."""
        combined = super().response_json()
        if self._logprobs and self._is_streamed:
            combined["logprobs"] = remove_dict_none_values(self._logprobs)
        return combined


def combine_chunks(chunks: Iterable[object]) -> Json:
    """What the chunks of a stream amount to, as `response_json` holds it, nulls included.

    Args:
        chunks: Chunk objects of the `openai` library, or dicts.
    """
    answer = ChatAccumulator()
    for chunk in chunks:
        answer.feed(plain(chunk))
    combined = answer.response_json()
    names = ("content", "role", "finish_reason", "usage", *_HEAD)
    return {name: combined.get(name, {} if name == "usage" else None) for name in names}
