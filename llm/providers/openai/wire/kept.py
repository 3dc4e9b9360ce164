"""What a server wants back with the next request: reasoning beside tool calls, and signatures.

Thinking models refuse a history of tool calls without the reasoning that led to them, or without
the signature under it. What came is kept as metadata of the parts of the answer, under the name of
the server's host, and goes to that host alone: others refuse fields that they do not know.

Source: https://api-docs.deepseek.com/guides/thinking_mode,
https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm.parts import Message, Part, ReasoningPart, StreamEvent, ToolCallPart

from .calls import KEPT as KEPT_WITH_CALL
from .shapes import Call, Json, ran_here

#: Names under which servers send the text of their reasoning.
REASONING = ("reasoning_content", "reasoning", "reasoning_text")
#: Fields of a message that go back as they came.
KEPT_WITH_MESSAGE = ("reasoning_details", "thinking_blocks", "reasoning_opaque")
_KEPT_WITH_MESSAGE = frozenset(KEPT_WITH_MESSAGE)
# Stands beside the kept fields of the first call: the server's name for reasoning.
_FIELD = "reasoning_field"
# Texts of an entry that a stream brings in pieces.
_IN_PIECES = ("text", "summary", "thinking")


class _Entry:
    """An entry of `reasoning_details` that may come in pieces."""

    def __init__(self, piece: Json) -> None:
        self._fields = dict(piece)
        self._texts = {name: [piece[name]] for name in _IN_PIECES if _is_text(piece.get(name))}

    def takes(self, piece: Json) -> bool:
        """Whether a piece goes on with this entry, and is put to it."""
        fields = self._fields
        if not (self._texts and self._is_same(piece)):
            return False
        for name, value in piece.items():
            if name in _IN_PIECES and _is_text(value):
                self._texts.setdefault(name, []).append(value)
            elif value is not None and fields.get(name) in (None, ""):
                fields[name] = value
        return True

    def _is_same(self, piece: Json) -> bool:
        fields = self._fields
        is_same = all(piece.get(name) == fields.get(name) for name in ("type", "index"))
        return is_same and piece.get("id") in (None, fields.get("id"))

    def whole(self) -> Json:
        """The entry with its texts joined."""
        return {**self._fields, **{name: "".join(texts) for name, texts in self._texts.items()}}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


class Kept:
    """Collects, of the pieces of an answer, what has to go back.

    Args:
        server: The host that they come from.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._field: str | None = None
        self._has_text = False
        self._entries: dict[str, list[_Entry]] = {}
        self._fields: Json = {}
        # The event that the message's fields are put to.
        self._reasoning: StreamEvent | None = None

    def reasoning(self, delta: Json) -> str:
        """The text of the reasoning in a message or a piece of one."""
        for name in REASONING:
            text = delta.get(name)
            if isinstance(text, str):
                if not self._has_text:
                    self._note_field(name, text)
                if text:
                    return text
        details = delta.get("reasoning_details")
        if not isinstance(details, list):
            return ""
        texts = (piece.get("text") or piece.get("summary") for piece in details if piece)
        return "".join(filter(_is_text, texts))

    def _note_field(self, name: str, text: str) -> None:
        """Remember the name of the first text, or of an empty one if there is no other."""
        if self._field is None or text:
            self._field, self._has_text = name, bool(text)

    def add(self, delta: Json, *, is_whole: bool) -> bool:
        """Keep what has to be kept of a message, or of a piece of one; whether there was any."""
        if _KEPT_WITH_MESSAGE.isdisjoint(delta):
            return False
        names = _KEPT_WITH_MESSAGE.intersection(delta)
        for name in filter(delta.get, names):
            value = delta[name]
            if is_whole or not isinstance(value, list):
                self._fields[name] = value
                continue
            entries = self._entries.setdefault(name, [])
            for piece in value:
                if not (entries and entries[-1].takes(piece)):
                    entries.append(_Entry(piece))
        return any(delta[name] for name in names)

    def shown(self, event: StreamEvent) -> StreamEvent:
        """An event of reasoning, which is remembered if it is the first."""
        self._reasoning = self._reasoning or event
        return event

    def events(self, calls: Sequence[Call]) -> Iterable[StreamEvent]:
        """Events without text that put what is kept to the parts of the answer."""
        fields = {
            **self._fields,
            **{name: [entry.whole() for entry in kept] for name, kept in self._entries.items()},
        }
        if fields:
            metadata = {self._server: fields}
            index = self._reasoning.part_index if self._reasoning else None
            redacted = self._reasoning is None
            yield StreamEvent("reasoning", "", index, None, False, None, redacted, metadata)
        for number, call in enumerate(calls):
            field = {_FIELD: self._field} if self._field and not number else {}
            if given := {**call.kept, **field}:
                metadata = {self._server: given}
                yield StreamEvent("tool_call_args", "", None, call.id, provider_metadata=metadata)


def sent_back(message: Message, server: str | None) -> Json:
    """The fields of an assistant message that this server is to get as it gave them."""
    fields: Json = {}
    for part in message.parts:
        if isinstance(part, ReasoningPart):
            fields |= _of(part, server, KEPT_WITH_MESSAGE)
    for part in ran_here(message, ToolCallPart):
        if name := _of(part, server, (_FIELD,)).get(_FIELD):
            reasoning = (part for part in message.parts if isinstance(part, ReasoningPart))
            fields[name] = "".join(part.text for part in reasoning)
    return fields


def sent_back_with_call(part: ToolCallPart, server: str | None) -> Json:
    """The fields of a tool call that this server is to get as it gave them."""
    return _of(part, server, KEPT_WITH_CALL)


def _of(part: Part, server: str | None, names: tuple[str, ...]) -> Json:
    kept = (part.provider_metadata or {}).get(server or "")
    return {name: kept[name] for name in names if name in kept} if isinstance(kept, dict) else {}
