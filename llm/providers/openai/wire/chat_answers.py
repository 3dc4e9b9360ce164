"""Answers of Chat Completions: the server's JSON to our events.

Source: https://platform.openai.com/docs/api-reference/chat/streaming, and what compatible servers
send in its name: calls without index or id, arguments in one piece, reasoning beside the content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from llm.errors import ModelError
from llm.parts import StreamEvent
from llm.utils import monotonic_ulid, remove_dict_none_values

from .shapes import (
    CUT_OFF,
    DONE,
    FILTERED,
    Accumulator,
    Call,
    Event,
    Json,
    TextMender,
    arguments_text,
)

_HEAD = ("id", "object", "model", "created")


def _new_call_id() -> str:
    return f"call_{str(monotonic_ulid()).lower()}"


class ChatAccumulator(Accumulator):
    """Turns the chunks of a streamed completion, or one whole completion, into our events.

    Args:
        new_id: Makes an id for a tool call that comes without one.
    """

    _details = "completion_tokens_details"

    def __init__(self, new_id: Callable[[], str] = _new_call_id) -> None:
        super().__init__()
        self._new_id = new_id
        self._whole: Json | None = None
        self._role: str | None = None
        self._finish_reason: str | None = None
        # The answer so far, in UTF-8: strings of a few characters cost ten times as much.
        self._text_utf8 = bytearray()
        self._reasoning_mender = TextMender()
        self._by_index: dict[object, Call] = {}
        self._last_index: object = None
        self._answered = False

    def _take(self, chunk: Json) -> Sequence[Event]:
        """What one chunk, or a whole completion, adds to the answer."""
        if chunk is DONE:
            self.is_complete = True
            return ()
        if len(self._head) < len(_HEAD):
            for name in _HEAD:
                if chunk.get(name):
                    self._head.setdefault(name, chunk[name])
        if usage := chunk.get("usage"):
            self.usage = dict(usage)
        choices = chunk.get("choices")
        if choices is None:
            return ()
        self._answered = True
        if not choices:
            return ()
        return self._take_choice(chunk, choices[0])

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        self._note_end(choice)
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

    def _note_end(self, choice: Json) -> None:
        if reason := choice.get("finish_reason"):
            self._finish_reason = str(reason)
            self.is_complete = True

    def _take_delta(self, delta: Json) -> list[Event]:
        """A chunk or message that has more than text."""
        events: list[Event] = []
        if role := delta.get("role"):
            self._role = role
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            events.extend(self._reasoning(reasoning))
        content = self._content(delta.get("content"))
        calls = self._call_events(delta.get("tool_calls") or ())
        # Of a whole message the calls come first.
        events += [*content, *calls] if self._whole is None else [*calls, *content]
        if refusal := delta.get("refusal"):
            self._refusal.append(str(refusal))
        return events

    def _text(self, text: str) -> Sequence[str]:
        text = self._mender.mend(text)
        if not text:
            return ()
        self._text_utf8 += text.encode()
        return (text,)

    def _content(self, content: str | list[Json] | None) -> Iterator[Event]:
        """Text, or the list of typed pieces that some servers send in its place."""
        if isinstance(content, str):
            yield from self._text(content)
            return
        for piece in content or ():
            if piece.get("type") == "text":
                yield from self._text(piece["text"])
            elif piece.get("type") == "thinking":
                for thought in piece.get("thinking") or ():
                    yield from self._reasoning(thought.get("text") or "")

    def _reasoning(self, text: str) -> Iterator[StreamEvent]:
        if text := self._reasoning_mender.mend(text):
            self._has_reasoning = True
            yield StreamEvent("reasoning", text)

    def _call_events(self, deltas: Iterable[Json]) -> Iterator[StreamEvent]:
        for delta in deltas:
            function = delta.get("function") or {}
            name = function.get("name") or ""
            call = self._call_for(delta, name)
            # Some servers repeat the name with each piece.
            if name and not call.pieces and name != call.name:
                call.name += name
                yield StreamEvent("tool_call_name", name, tool_call_id=call.id)
            if arguments := arguments_text(function.get("arguments")):
                call.pieces.append(arguments)
                yield StreamEvent("tool_call_args", arguments, tool_call_id=call.id)

    def _call_for(self, delta: Json, name: str) -> Call:
        """The call that a piece belongs to."""
        index = self._index_of(delta, name)
        call_id = delta.get("id")
        call = self._by_index.get(index)
        # Some servers give index 0 to every call: another id with a name is another call.
        if call is None or (call_id and name and call_id != call.id and call.name):
            call = Call(str(call_id) if call_id else self._new_id())
            self._calls.append(call)
            self._by_index[index] = call
            self._last_index = index
        return call

    def _index_of(self, delta: Json, name: str) -> object:
        """What tells calls apart: the index; without one the id; else a name begins a new call."""
        index, call_id = delta.get("index"), delta.get("id")
        if index is not None:
            return index
        if call_id:
            return ("id", call_id)
        return ("nth", len(self._calls)) if name or not self._calls else self._last_index

    def finish(self) -> list[Event]:
        """What is left to say.

        Raises:
            ModelError: The reply holds no answer.
        """
        if self.is_complete and not self._answered:
            raise ModelError(f"The server's reply holds no answer: {json.dumps(self._head)}")
        return super().finish()

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

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""
        reason = {"length": CUT_OFF, "content_filter": FILTERED}.get(self._finish_reason or "")
        return [*super().notices(), *([reason] if reason else [])]


class CompletionAccumulator(ChatAccumulator):
    """Turns the chunks of the older Completions API, or one whole completion, into text.

    Args:
        is_streamed: The answer was asked for in chunks, which look like whole completions.
    """

    def __init__(self, is_streamed: bool = True) -> None:
        super().__init__()
        self._is_streamed = is_streamed
        self._logprobs: list[Json] = []

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        if not self._is_streamed:
            self._whole = chunk
        self._note_end(choice)
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


def plain(value: object) -> Json:
    """A dict from an object of the `openai` library; a dict as it is."""
    if isinstance(value, dict):
        return value
    for method in ("to_dict", "model_dump", "dict"):
        if hasattr(value, method):
            shape: Json = getattr(value, method)()
            return shape
    return dict(vars(value))
