"""Answers of Chat Completions: the server's JSON to our events.

Source: https://platform.openai.com/docs/api-reference/chat/streaming, and what compatible servers
send in its name: calls without index or id, arguments in one piece, reasoning beside the content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from llm.tools import parse_arguments

from ....errors import ModelError
from ....parts import StreamEvent
from ....text.ids import new_ulid
from ....text.shaping import remove_dict_none_values
from .notices import FILTERED
from .shapes import DONE, Event, Json, TextMender, arguments_text, malformed


class _Call:
    """A tool call that arrives in pieces."""

    __slots__ = ("id", "name", "pieces")

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = ""
        self.pieces: list[str] = []


def _new_call_id() -> str:
    return f"call_{new_ulid()}"


class ChatFold:
    """Folds the chunks of a streamed completion, or one whole completion, into our events.

    Args:
        new_id: Makes an id for a tool call that comes without one.
    """

    def __init__(self, new_id: Callable[[], str] = _new_call_id) -> None:
        self.is_complete = False
        self.usage: Json | None = None
        self._new_id = new_id
        self._whole: Json | None = None
        self._head: Json = {}
        self._role: str | None = None
        self._finish_reason: str | None = None
        self._refusal: list[str] = []
        # The answer so far, in UTF-8: strings of a few characters cost ten times as much.
        self._text_utf8 = bytearray()
        self._mender = TextMender()
        self._reasoning_mender = TextMender()
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._reasoned = False
        self._answered = False

    def feed(self, value: Json) -> Sequence[Event]:
        """What one chunk, or a whole completion, adds to the answer.

        Raises:
            ModelError: It does not have the shape that the API promises.
        """
        if value is DONE:
            self.is_complete = True
            return ()
        try:
            return self._take(value)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise malformed(error, value) from error

    def _take(self, chunk: Json) -> Sequence[Event]:
        if len(self._head) < 4:
            self._note_head(chunk)
        usage = chunk.get("usage")
        if usage:
            self.usage = dict(usage)
        choices = chunk.get("choices")
        if choices is None:
            return ()
        self._answered = True
        if not choices:
            return ()
        return self._take_choice(chunk, choices[0])

    def _take_choice(self, chunk: Json, choice: Json) -> Sequence[Event]:
        reason = choice.get("finish_reason")
        if reason:
            self._finish_reason = str(reason)
            self.is_complete = True
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
        role = delta.get("role")
        if role:
            self._role = role
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            events.extend(self._reasoning(reasoning))
        calls = delta.get("tool_calls") or ()
        content = delta.get("content")
        if self._whole is not None:
            # A whole message: its calls first.
            events.extend(self._call_events(calls))
            events.extend(self._content(content))
        else:
            events.extend(self._content(content))
            events.extend(self._call_events(calls))
        refusal = delta.get("refusal")
        if refusal:
            self._refusal.append(str(refusal))
        return events

    def _note_head(self, chunk: Json) -> None:
        for name in ("id", "object", "model", "created"):
            value = chunk.get(name)
            if value and name not in self._head:
                self._head[name] = value

    def _text(self, text: str) -> Sequence[str]:
        text = self._mender.mend(text)
        if not text:
            return ()
        self._text_utf8 += text.encode()
        return (text,)

    def _content(self, content: Any) -> Iterator[Event]:
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
        text = self._reasoning_mender.mend(text)
        if text:
            self._reasoned = True
            yield StreamEvent("reasoning", text)

    def _call_events(self, deltas: Iterable[Json]) -> Iterator[StreamEvent]:
        for delta in deltas:
            function = delta.get("function") or {}
            name = function.get("name") or ""
            call = self._call_for(delta, name)
            if self._is_news(call, name):
                call.name += name
                yield StreamEvent("tool_call_name", name, tool_call_id=call.id)
            arguments = arguments_text(function.get("arguments"))
            if arguments:
                call.pieces.append(arguments)
                yield StreamEvent("tool_call_args", arguments, tool_call_id=call.id)

    def _call_for(self, delta: Json, name: str) -> _Call:
        """The call that a piece belongs to: by index; without one by id; else by its name."""
        call_id = delta.get("id")
        index = delta.get("index")
        if index is None:
            if call_id:
                index = ("id", call_id)
            elif self._calls and not name:
                return self._calls[-1]
            else:
                index = ("nth", len(self._calls))
        call = self._by_index.get(index)
        # Some servers give index 0 to every call: another id with a name is another call.
        if call is None or (call_id and name and call_id != call.id and call.name):
            call = _Call(str(call_id) if call_id else self._new_id())
            self._calls.append(call)
            self._by_index[index] = call
        return call

    @staticmethod
    def _is_news(call: _Call, name: str) -> bool:
        """Whether `name` is (more of) the call's name; some servers repeat it with each piece."""
        return bool(name) and not call.pieces and name != call.name

    def finish(self) -> list[Event]:
        """What is left to say: half a character, and that there was reasoning nobody saw.

        Raises:
            ModelError: The server said that it was done, and nothing of it was an answer.
        """
        if self.is_complete and not self._answered:
            raise ModelError(f"The server's reply holds no answer: {json.dumps(self._head)}")
        events: list[Event] = []
        rest = self._mender.rest()
        if rest:
            self._text_utf8 += rest.encode()
            events.append(rest)
        details = (self.usage or {}).get("completion_tokens_details")
        tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
        if tokens and not self._reasoned:
            events.append(StreamEvent("reasoning", "", redacted=True))
        return events

    def calls(self) -> list[tuple[str, Json, str]]:
        """The tool calls: name, arguments, id."""
        return [(call.name, parse_arguments("".join(call.pieces)), call.id) for call in self._calls]

    @property
    def resolved_model(self) -> str | None:
        """The exact model that the server says answered."""
        model = self._head.get("model")
        return model if isinstance(model, str) else None

    def response_json(self) -> Json:
        """The whole body, or for a stream what its chunks amount to; without nulls."""
        if self._whole is not None:
            return cast("Json", remove_dict_none_values(self._whole))
        combined = {
            "content": self._text_utf8.decode(),
            "role": self._role,
            "finish_reason": self._finish_reason,
            "usage": self.usage,
            **{name: self._head.get(name) for name in ("id", "object", "model", "created")},
        }
        return cast("Json", remove_dict_none_values(combined))

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""
        told: list[str] = []
        if self._refusal:
            told.append(f"The model refused: {''.join(self._refusal)}")
        if self._finish_reason == "length":
            told.append("The answer is cut off: it reached the limit of tokens (-o max_tokens)")
        elif self._finish_reason == "content_filter":
            told.append(FILTERED)
        return told


def combine_chunks(chunks: Iterable[Any]) -> Json:
    """What the chunks of a stream amount to, as `response_json` holds it, nulls included.

    Args:
        chunks: Chunk objects of the `openai` library, or dicts.
    """
    fold = ChatFold()
    for chunk in chunks:
        fold.feed(plain(chunk))
    combined = fold.response_json()
    names = ("content", "role", "finish_reason", "usage", "id", "object", "model", "created")
    return {name: combined.get(name, {} if name == "usage" else None) for name in names}


def plain(value: Any) -> Json:
    """A dict from an object of the `openai` library; a dict as it is."""
    if isinstance(value, dict):
        return value
    for method in ("to_dict", "model_dump", "dict"):
        if hasattr(value, method):
            shape: Json = getattr(value, method)()
            return shape
    return dict(vars(value))
