"""Answers of the Responses API: the server's events and items to ours.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NoReturn, cast

from llm.parts import EventType, StreamEvent
from llm.utils import remove_dict_none_values

from .shapes import CUT_OFF, FILTERED, Accumulator, Call, Event, Failure, Json, arguments_text


class Item(dict[str, Any]):
    """An output item that can be read by key or by attribute, as the SDK's objects can."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            if name.startswith("__"):
                raise AttributeError(name) from None
            return None
        return _as_item(value)

    def model_dump(self, **_: object) -> Json:
        """The item as a plain dict."""
        return dict(self)

    to_dict = model_dump


def _as_item(value: object) -> object:
    if isinstance(value, dict):
        return Item(value)
    return [_as_item(item) for item in value] if isinstance(value, list) else value


ToolEvents = Callable[[Item, int], list[StreamEvent]]
RefreshToolEvents = Callable[[list[Item], dict[str, list[StreamEvent]]], None]
# What a message is made of: by type, where its text stands.
_TEXTS = {"output_text": "text", "text": "text", "refusal": "refusal"}


class _Part:
    """An output item, while it comes.

    Attributes:
        index: Its place in the output, where the server says it.
        key: Its id, or that of its call.
        message_index: The message that it belongs to.
        seen: Places in it of which the text has come.
        call: What is to be called, if it is a call.
        event: The event that holds its metadata, if it is reasoning.
        is_done: All of it has come.
    """

    def __init__(self, kind: str, index: object, key: object, message_index: int) -> None:
        self.kind = kind
        self.index = index
        self.key = key
        self.message_index = message_index
        self.seen: set[object] = set()
        self.call: Call | None = None
        self.event: StreamEvent | None = None
        self.is_done = False

    def is_another(self, item: Json, *, begins: bool) -> bool:
        """Whether an item that the server begins or finishes at the same place is another one."""
        key = _key_of(item)
        if self.call and item.get("call_id"):
            key = item["call_id"]
            return (self.is_done and begins) or key != self.call.given_id
        return self.is_done and (begins or key != self.key)


def _key_of(item: Json) -> object:
    return item.get("id") or item.get("call_id")


def _texts(item: Json) -> Iterator[tuple[str | None, str]]:
    """The texts of a message, each with where it stands; an empty one for what is none."""
    content = item.get("content") or ()
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content}]
    for piece in content:
        name = _TEXTS.get(piece.get("type"))
        yield name, str(piece.get(name) or "") if name else ""


def _final_key(item: Json) -> object:
    return item.get("call_id") or item.get("id") if _is_call(item) else _key_of(item)


def _is_call(item: Json) -> bool:
    return bool(item.get("type") == "function_call")


def _next(left: dict[object, list[_Part]], key: object) -> _Part | None:
    parts = left.get(key)
    return parts.pop() if parts else None


class ResponsesAccumulator(Accumulator):
    """Turns the events of a streamed response, or one whole response, into our events.

    What belongs together is known by its place in the output: some servers give an item another id
    in each event. Where they tell no place it is known by its id.

    Args:
        tool_events: Gives the events of an item of one of the provider's own tools, in a message;
            nothing for other items.
        refresh_tool_events: Puts the final values of items into the events that were given.
        failure: Makes the error for a failure that the server reports.
        unwraps: As for every accumulator.
    """

    _details = "output_tokens_details"
    _is_told_by_marker = False

    def __init__(
        self,
        tool_events: ToolEvents,
        refresh_tool_events: RefreshToolEvents,
        failure: Failure,
        *,
        unwraps: bool = False,
    ) -> None:
        super().__init__(failure=failure, unwraps=unwraps)
        self._tool_events = tool_events
        self._refresh_tool_events = refresh_tool_events
        self._messages = 0
        self._parts: list[_Part] = []
        # The last one of each kind at a place, or of an id.
        self._open: dict[object, _Part] = {}
        # Where the text of the last delta belongs.
        self._place: object = None
        self._server_events: dict[str, list[StreamEvent]] = {}

    def _take(self, value: Json) -> Sequence[Event]:
        """What one event, or a whole response, adds to the answer."""
        kind = value.get("type")
        if kind == "response.output_text.delta":
            index = value.get("output_index")
            place = (value.get("item_id") if index is None else index, value.get("content_index"))
            if place != self._place:
                self._see("message", value)
                self._place = place
            text = value.get("delta")
            return self._text(text) if isinstance(text, str) else ()
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is not None:
            return list(handler(self, value))
        if kind is None and value.get("object") == "response":
            return list(self._whole(value))
        self._unknown = self._unknown or value
        return ()

    def _text(self, text: str) -> Sequence[Event]:
        text = self._mender.mend(text)
        if not text:
            return ()
        self._answered = True
        if self._unwrapper is not None:
            return self._told_apart(self._unwrapper, text)
        return (self._said(text),) if self._message_index else (text,)

    def _said(self, text: str) -> Event:
        if self._message_index:
            return StreamEvent("text", text, message_index=self._message_index)
        return text

    def _event(self, kind: EventType, chunk: str, **fields: Any) -> StreamEvent:
        return StreamEvent(kind, chunk, message_index=self._message_index, **fields)

    # Items, and the pieces that belong to them.

    def _known(self, kind: str, value: Json, key: object) -> _Part | None:
        """The item that an event is about, if it has begun."""
        index = value.get("output_index")
        if index is not None and (part := self._open.get((kind, "at", index))):
            return part
        part = self._open.get((kind, "id", key))
        if part is None and index is None:
            part = self._open.get((kind, "announced"))
            return part if part and not part.is_done else None
        return part if part and (index is None or part.index is None) else None

    def _begin(self, kind: str, value: Json, key: object) -> _Part:
        if kind == "message":
            self._message_index = self._messages
            self._messages += 1
        index = value.get("output_index")
        part = _Part(kind, index, key, self._message_index)
        self._parts.append(part)
        self._open[kind, "id", key] = part
        if index is not None:
            self._open[kind, "at", index] = part
        self._place = None
        return part

    def _item(self, value: Json, *, begins: bool = False) -> tuple[_Part, Json]:
        """The item that the server begins or finishes."""
        item: Json = value["item"]
        kind, key = str(item["type"]), _key_of(item)
        part = self._known(kind, value, key)
        if part is None or part.is_another(item, begins=begins):
            part = self._begin(kind, value, key)
        return part, item

    def _see(self, kind: str, value: Json, *names: str) -> bool:
        """Note that some text has come; whether it is the first of its place in the item."""
        key = value.get("item_id")
        part = self._known(kind, value, key) or self._begin(kind, value, key)
        if kind == "message":
            self._message_index = part.message_index
        place = tuple(value.get(name) for name in ("content_index", *names))
        nowhere = (None,) * len(place)
        has_come = not part.seen.isdisjoint((place, nowhere)) or (
            place == nowhere and bool(part.seen)
        )
        part.seen.add(place)
        return not has_come

    # Events of a stream.

    def _added(self, value: Json) -> Iterator[Event]:
        part, item = self._item(value, begins=True)
        self._open[part.kind, "announced"] = part
        if part.kind == "function_call":
            yield from self._name_call(part, item)

    def _name_call(self, part: _Part, item: Json) -> Iterator[Event]:
        if part.call is None:
            given = item.get("call_id") or item.get("id")
            part.call = Call(self._ids.take(given), given)
        name = str(item.get("name") or "")
        if name and not part.call.name:
            part.call.name = name
            yield self._event("tool_call_name", name, tool_call_id=part.call.id)

    def _arguments(self, value: Json) -> Iterator[Event]:
        """A delta, or the whole arguments, for servers that send no deltas of them."""
        part = self._known("function_call", value, value.get("item_id"))
        if part and part.call:
            pieces = value.get("delta") if "delta" in value else value.get("arguments")
            yield from self._argue(part.call, pieces, is_whole="delta" not in value)

    def _argue(self, call: Call, given: object, *, is_whole: bool) -> Iterator[Event]:
        arguments = arguments_text(given)
        if arguments and not (is_whole and call.pieces):
            call.pieces.append(arguments)
            yield self._event("tool_call_args", arguments, tool_call_id=call.id)

    def _reasoning_piece(self, value: Json) -> Iterator[Event]:
        """A delta, or the whole text of a piece, for servers that send no deltas of it."""
        is_delta = isinstance(value.get("delta"), str)
        text = value["delta"] if is_delta else value.get("text")
        if not (isinstance(text, str) and text):
            return
        if self._see("reasoning", value, "summary_index") or is_delta:
            self._has_reasoning = True
            yield self._event("reasoning", text)

    def _text_done(self, value: Json) -> Sequence[Event]:
        """The whole text of a piece, for servers that send no deltas of it."""
        text = value.get("text")
        is_new = isinstance(text, str) and text and self._see("message", value)
        return self._text(str(text)) if is_new else ()

    def _refusal_delta(self, value: Json) -> Iterable[Event]:
        self._see("message", value)
        self._refusal.append(str(value.get("delta") or ""))
        return ()

    def _done(self, value: Json) -> Iterator[Event]:
        yield from self._finish_item(*self._item(value))

    def _finish_item(self, part: _Part, item: Json) -> Iterator[Event]:
        """What a finished item adds to that which has come of it."""
        is_first, part.is_done = not part.is_done, True
        if part.kind == "reasoning":
            yield from self._reasoning_done(part, item)
        elif part.kind == "function_call":
            yield from self._call_done(part, item, is_first=is_first)
        elif part.kind == "message":
            yield from self._message_done(part, item, is_first=is_first)
        elif is_first:
            yield from self._tool_done(item)

    def _message_done(self, part: _Part, item: Json, *, is_first: bool) -> Iterator[Event]:
        self._message_index = part.message_index
        if is_first:
            yield from self._tool_done(item)
        if (None,) in part.seen:
            return
        for index, (name, text) in enumerate(_texts(item)):
            if text and (index,) not in part.seen:
                part.seen.add((index,))
                if name == "refusal":
                    self._refusal.append(text)
                else:
                    yield from self._text(text)

    def _reasoning_done(self, part: _Part, item: Json) -> Iterator[Event]:
        """The metadata of reasoning, and its text if none has come; later what has changed."""
        self._has_reasoning = True
        metadata = reasoning_metadata(item)
        given = part.event
        if given is None:
            text = "" if part.seen else reasoning_text(item)
            redacted = not (text or part.seen)
            part.event = self._event(
                "reasoning", text, redacted=redacted, provider_metadata=metadata
            )
            yield part.event
        elif metadata != given.provider_metadata:
            yield StreamEvent(
                "reasoning",
                "",
                part_index=given.part_index,
                provider_metadata=metadata,
                message_index=given.message_index,
            )

    def _call_done(self, part: _Part, item: Json, *, is_first: bool) -> Iterator[Event]:
        yield from self._name_call(part, item)
        call = cast("Call", part.call)
        yield from self._argue(call, item.get("arguments"), is_whole=True)
        if is_first:
            self._calls.append(call)

    def _tool_done(self, item: Json) -> Iterator[Event]:
        if events := self._tool_events(Item(item), self._message_index):
            self._server_events[str(item.get("id"))] = events
            yield from events

    # The end.

    def _completed(self, value: Json) -> Iterator[Event]:
        final = value["response"]
        self._note_final(final)
        output = final.get("output") or []
        self._refresh_tool_events([Item(item) for item in output], self._server_events)
        for part, item in self._matched(output):
            yield from self._finish_item(part, item)
        if final.get("status") in (None, "completed"):
            # Calls of which no event said that they are finished.
            left = [part for part in self._parts if part.call and not part.is_done]
            self._calls += [part.call for part in left if part.call]

    def _matched(self, output: list[Json]) -> list[tuple[_Part, Json]]:
        """The items of the whole output, each with what has come of it: by id, else in order."""
        left: dict[object, list[_Part]] = {}
        for part in reversed(self._parts):
            key = part.call.given_id if part.call else part.key
            left.setdefault((part.kind, key), []).append(part)
        pairs = [(_next(left, (item["type"], _final_key(item))), item) for item in output]
        taken = {id(part) for part, _ in pairs}
        in_order: dict[object, list[_Part]] = {}
        for part in reversed(self._parts):
            if id(part) not in taken:
                in_order.setdefault(part.kind, []).append(part)
        return [
            (
                part
                or _next(in_order, item["type"])
                or self._begin(str(item["type"]), {}, _key_of(item)),
                item,
            )
            for part, item in pairs
        ]

    def _note_final(self, final: Json) -> None:
        self.is_complete = self._answered = True
        self._head = dict(final)
        if usage := final.get("usage"):
            self._note_usage(usage)

    def _is_whole(self) -> bool:
        left = [part.call for part in self._parts if part.call and not part.is_done]
        if not all(call.is_whole for call in left):
            return False
        self._calls += left
        self._answered = self._answered or bool(self._calls)
        return self._answered

    def _failed(self, value: Json) -> NoReturn:
        response = value.get("response")
        error = response.get("error") if isinstance(response, dict) else value
        raise self._failure({"error": error or {"message": "the response failed"}})

    def _whole(self, value: Json) -> Iterator[Event]:
        """A response that was not streamed."""
        if value.get("status") == "failed":
            self._failed({"response": value})
        for index, item in enumerate(value.get("output") or ()):
            yield from self._done({"item": item, "output_index": index})
        self._note_final(value)

    @property
    def finish_reason(self) -> str | None:
        """The status of the answer, or what has made it incomplete."""
        details = self._head.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return reason or self._head.get("status")

    def response_json(self) -> Json:
        """The final response, without nulls."""
        return cast("Json", remove_dict_none_values(self._head))

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""
        told = super().notices()
        status = self._head.get("status")
        if status == "incomplete":
            told.append(_incomplete_notice(self._head.get("incomplete_details")))
        elif status not in (None, "completed"):
            told.append(f"The answer is incomplete: its status is {status}")
        return told

    _handlers: ClassVar[dict[str, Callable[..., Iterable[Event]]]] = {
        "response.output_item.added": _added,
        "response.output_item.done": _done,
        "response.function_call_arguments.delta": _arguments,
        "response.function_call_arguments.done": _arguments,
        "response.output_text.done": _text_done,
        "response.reasoning_summary_text.delta": _reasoning_piece,
        "response.reasoning_text.delta": _reasoning_piece,
        "response.reasoning_summary_text.done": _reasoning_piece,
        "response.reasoning_text.done": _reasoning_piece,
        "response.refusal.delta": _refusal_delta,
        "response.completed": _completed,
        "response.incomplete": _completed,
        "response.failed": _failed,
        "error": _failed,
    }


def _incomplete_notice(details: object) -> str:
    reason = details.get("reason") if isinstance(details, dict) else None
    if reason == "max_output_tokens":
        return CUT_OFF
    if reason == "content_filter":
        return FILTERED
    return f"The answer is incomplete: {reason or 'the provider gives no reason'}"


def reasoning_text(item: Json) -> str:
    """The text of a reasoning item: its summary, else its content."""
    for name in ("summary", "content"):
        text = "".join(str(piece.get("text") or "") for piece in item.get(name) or ())
        if text:
            return text
    return ""


def reasoning_metadata(item: Json) -> Json:
    """What has to go back to the API with the next turn, under the provider's name."""
    names = ("id", "encrypted_content", "summary")
    return {"openai": {name: item[name] for name in names if item.get(name)}}
