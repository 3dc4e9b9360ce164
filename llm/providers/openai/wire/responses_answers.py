"""Answers of the Responses API: the server's events and items to ours.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NoReturn, cast

from llm.errors import ModelError
from llm.parts import StreamEvent
from llm.utils import remove_dict_none_values

from .shapes import CUT_OFF, FILTERED, Accumulator, Call, Event, Json, arguments_text


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


class ResponsesAccumulator(Accumulator):
    """Turns the events of a streamed response, or one whole response, into our events.

    Args:
        tool_events: Gives the events of an item of one of the provider's own tools, in a message;
            nothing for other items.
        refresh_tool_events: Puts the final values of items into the events that were given.
        failure: Makes the error for a failure that the server reports.
    """

    _details = "output_tokens_details"

    def __init__(
        self,
        tool_events: ToolEvents,
        refresh_tool_events: RefreshToolEvents,
        failure: Callable[[Json], ModelError],
    ) -> None:
        super().__init__()
        self._tool_events = tool_events
        self._refresh_tool_events = refresh_tool_events
        self._failure = failure
        self._messages = 0
        # Items by id: those of which some text, or some argument, was streamed.
        self._streamed: set[object] = set()
        # Ids of items of which the call's name has been told, with the call's id.
        self._call_ids: dict[object, Any] = {}
        self._reasoning: dict[object, StreamEvent] = {}
        self._server_events: dict[str, list[StreamEvent]] = {}

    def _take(self, value: Json) -> Sequence[Event]:
        """What one event, or a whole response, adds to the answer."""
        kind = value.get("type")
        if kind == "response.output_text.delta":
            self._streamed.add(value.get("item_id"))
            text = value.get("delta")
            return self._text(text) if isinstance(text, str) else ()
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is not None:
            return list(handler(self, value))
        return (
            list(self._whole(value)) if kind is None and value.get("object") == "response" else ()
        )

    def _text(self, text: str) -> Sequence[Event]:
        text = self._mender.mend(text)
        if not text:
            return ()
        if self._message_index:
            return (StreamEvent("text", text, message_index=self._message_index),)
        return (text,)

    def _event(self, kind: str, chunk: str, **fields: Any) -> StreamEvent:
        return StreamEvent(kind, chunk, message_index=self._message_index, **fields)

    # Events of a stream.

    def _added(self, value: Json) -> Iterator[Event]:
        item = value["item"]
        if item["type"] == "message":
            self._begin_message(item)
        elif item["type"] == "function_call":
            yield from self._name_call(item)

    def _begin_message(self, item: Json) -> None:
        known = ("message", item.get("id"))
        if known in self._streamed:
            return
        self._streamed.add(known)
        self._message_index = self._messages
        self._messages += 1

    def _name_call(self, item: Json) -> Iterator[Event]:
        key = item.get("id") or item.get("call_id")
        if key in self._call_ids:
            return
        call_id = item.get("call_id") or item.get("id")
        self._call_ids[key] = call_id
        yield self._event("tool_call_name", str(item.get("name") or ""), tool_call_id=call_id)

    def _arguments(self, value: Json) -> Iterator[Event]:
        key = value.get("item_id")
        delta = arguments_text(value.get("delta"))
        if delta and key in self._call_ids:
            self._streamed.add(key)
            yield self._event("tool_call_args", delta, tool_call_id=self._call_ids[key])

    def _reasoning_piece(self, value: Json) -> Iterator[Event]:
        """A delta, or the whole text of a piece, for servers that send no deltas of it."""
        text, item_id = value.get("delta"), value.get("item_id")
        if text is None and item_id not in self._streamed:
            text = value.get("text")
        if isinstance(text, str) and text:
            self._streamed.add(item_id)
            self._has_reasoning = True
            yield self._event("reasoning", text)

    def _refusal_delta(self, value: Json) -> Iterable[Event]:
        self._streamed.add(value.get("item_id"))
        self._refusal.append(str(value.get("delta") or ""))
        return ()

    def _done(self, value: Json) -> Iterator[Event]:
        """What a finished item adds to that which was streamed of it."""
        item = value["item"]
        kind = item["type"]
        if kind == "message":
            yield from self._message_done(item)
        elif kind == "reasoning":
            yield from self._reasoning_done(item)
        elif kind == "function_call":
            yield from self._call_done(item)
        else:
            yield from self._tool_done(item)

    def _message_done(self, item: Json) -> Iterator[Event]:
        self._begin_message(item)
        yield from self._tool_done(item)
        if item.get("id") in self._streamed:
            return
        for piece in item.get("content") or ():
            if piece.get("type") == "output_text":
                yield from self._text(str(piece.get("text") or ""))
            elif piece.get("type") == "refusal":
                self._refusal.append(str(piece.get("refusal") or ""))

    def _reasoning_done(self, item: Json) -> Iterator[Event]:
        self._has_reasoning = True
        text = reasoning_text(item)
        was_streamed = item.get("id") in self._streamed
        event = self._event(
            "reasoning",
            "" if was_streamed else text,
            redacted=not (text or was_streamed),
            provider_metadata=reasoning_metadata(item),
        )
        self._reasoning[item.get("id")] = event
        yield event

    def _call_done(self, item: Json) -> Iterator[Event]:
        yield from self._name_call(item)
        key = item.get("id") or item.get("call_id")
        call_id = self._call_ids[key]
        arguments = arguments_text(item.get("arguments"))
        if arguments and key not in self._streamed:
            yield self._event("tool_call_args", arguments, tool_call_id=call_id)
        self._calls.append(Call(str(call_id), str(item.get("name") or ""), arguments))

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
        yield from self._refreshed_reasoning(output)

    def _refreshed_reasoning(self, output: list[Json]) -> Iterator[Event]:
        """Events without text where the final metadata of an item is another than before."""
        for item in output:
            given = self._reasoning.get(item.get("id"))
            if item.get("type") != "reasoning" or given is None:
                continue
            metadata = reasoning_metadata(item)
            if metadata != given.provider_metadata:
                yield StreamEvent(
                    "reasoning",
                    "",
                    part_index=given.part_index,
                    provider_metadata=metadata,
                    message_index=given.message_index,
                )

    def _note_final(self, final: Json) -> None:
        self.is_complete = True
        self._head = dict(final)
        if usage := final.get("usage"):
            self.usage = dict(usage)

    def _failed(self, value: Json) -> NoReturn:
        response = value.get("response")
        error = response.get("error") if isinstance(response, dict) else value
        raise self._failure({"error": error or {"message": "the response failed"}})

    def _whole(self, value: Json) -> Iterator[Event]:
        """A response that was not streamed."""
        if value.get("status") == "failed":
            self._failed({"response": value})
        for item in value.get("output") or ():
            yield from self._done({"item": item})
        self._note_final(value)

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
