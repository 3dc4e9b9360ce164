"""What is said to the engine and what it says, as pure functions on plain values.

The engine speaks the Chat Completions dialect of llama.cpp's own server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import llm
from llm.errors import ContextTooLong, ModelError
from llm.parts import AttachmentPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from llm import AsyncResponse, Response
    from llm.parts import EventType, Message, Part

Chunk = dict[str, Any]

# Many chat templates bring a system prompt of their own; that of SmolLM2 spoils its answers.
DEFAULT_SYSTEM = "You are a helpful assistant."
# Where a message has what events of these types tell.
_FIELDS: dict[EventType, str] = {"reasoning": "reasoning_content", "text": "content"}
SAMPLING_OPTIONS = ("temperature", "max_tokens", "top_p", "seed")


def build_request(
    messages: Iterable[Message], options: llm.JSONObject, schema: llm.JSONObject | None = None
) -> llm.JSONObject:
    """The request for one answer, always streamed, since only a stream can be interrupted.

    Options that are not about sampling are passed over. The engine makes a grammar of the schema.
    """
    request: llm.JSONObject = {
        "messages": build_messages(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        # Without progress reports nothing comes, and so nothing can be stopped, before the whole
        # prompt has been read.
        "return_progress": True,
    }
    request.update((name, options[name]) for name in SAMPLING_OPTIONS if name in options)
    if schema is not None:
        shape = {"name": "output", "schema": schema}
        request["response_format"] = {"type": "json_schema", "json_schema": shape}
    return request


def build_messages(messages: Iterable[Message]) -> list[dict[str, str]]:
    """The conversation in the one form that every chat template takes.

    One system message in front (the last one given, else ours), then user and assistant in turn:
    templates refuse anything else. What a text model cannot take is told in words.
    """
    system = DEFAULT_SYSTEM
    turns: list[dict[str, str]] = []
    for message in messages:
        text = _message_text(message)
        if message.role == "system":
            system = text or system
        elif text:
            role = "assistant" if message.role == "assistant" else "user"
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += "\n\n" + text
            else:
                turns.append({"role": role, "content": text})
    return [{"role": "system", "content": system}, *turns]


def _message_text(message: Message) -> str:
    text = "\n".join(filter(None, map(_part_text, message.parts)))
    # The engine refuses a lone surrogate, which Python makes of bytes that are not UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _part_text(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ToolCallPart):
        return f"[called {part.name} with {json.dumps(part.arguments, default=repr)}]"
    if isinstance(part, ToolResultPart):
        return f"[result of {part.name}: {part.output}]"
    if isinstance(part, AttachmentPart):
        kind = part.attachment.type if part.attachment else None
        return f"[attachment: {kind or 'file'}]"
    return ""


class Reply:
    """One answer of a model, put together from the chunks that the engine sends."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id
        self._last: Chunk = {}
        # The pieces that have come, by the type of their events.
        self._pieces: dict[EventType, list[str]] = {kind: [] for kind in _FIELDS}
        self._finish_reason: str | None = None
        self._usage: llm.JSONObject | None = None

    def take(self, chunk: Chunk) -> Iterator[StreamEvent]:
        """The events in one chunk.

        Raises:
            ContextTooLong: The conversation does not fit into the context.
            ModelError: The engine reports another failure.
        """
        if "error" in chunk:
            raise self._error(chunk["error"])
        self._last = chunk
        self._usage = chunk.get("usage", self._usage)
        for choice in chunk.get("choices", ()):
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta = choice.get("delta", {})
            for kind, name in _FIELDS.items():
                if piece := delta.get(name):
                    self._pieces[kind].append(piece)
                    yield StreamEvent(kind, piece)

    def whole(self) -> Iterator[StreamEvent]:
        """The answer in one piece, for those who do not want it streamed."""
        for kind, pieces in self._pieces.items():
            if pieces:
                yield StreamEvent(kind, "".join(pieces))

    def record(self, response: Response | AsyncResponse) -> None:
        """Put usage and payload, in the shape without streaming, on the `response`."""
        payload = {
            "content": "".join(self._pieces["text"]),
            "reasoning_content": "".join(self._pieces["reasoning"]) or None,
            "role": "assistant",
            "finish_reason": self._finish_reason,
            "usage": self._usage,
            "object": "chat.completion",
            "model": self._model_id,
            **{name: self._last.get(name) for name in ("timings", "id", "created")},
        }
        response.response_json = {
            name: value for name, value in payload.items() if value is not None
        }
        response.finish_reason = self._finish_reason
        if self._usage:
            cached = self._usage.get("prompt_tokens_details", {}).get("cached_tokens")
            response.set_usage(
                input=self._usage.get("prompt_tokens"),
                output=self._usage.get("completion_tokens"),
                details={"prompt_tokens_details": {"cached_tokens": cached}} if cached else None,
            )

    def _error(self, error: llm.JSONObject) -> ModelError:
        if error.get("type") == "exceed_context_size_error":
            tokens, limit = error.get("n_prompt_tokens"), error.get("n_ctx")
            return ContextTooLong(
                f"The conversation has {tokens} tokens, but {self._model_id} is loaded with a "
                f"context of {limit}. Shorten it, or give a larger one: -o context N",
                limit=limit,
            )
        return ModelError(f"{self._model_id}: {error.get('message', error)}")
