"""The lines of a journal: the record of a turn that is not at its end yet, and what came of it.

The first one is the request (an object with the key `journal`). Then come slices of its long texts
(lists: message, part, text); events (objects, or a text that goes on with the event before);
`{"again": time}` where the model is asked anew; `{"results": ...}`; `{"done": ...}` at the end.
Where a key in use was taken out again, lines may be empty texts, and spaces may follow them.

The value of `journal` is the number of the form, `FORMAT`. A release that adds a key, a field of an
event, or a kind of line that others may leave out, keeps the number: readers pass over what they do
not know. One whose lines would be misread by others counts on; a journal with a higher number than
its own a release leaves where it lies, for one that knows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, cast

from ..errors import InvalidInput, LLMError
from ..text import JSONObject
from ..text.secrets import WatchedText, masked, said_by, storable_value, unfinished

if TYPE_CHECKING:
    from ..models.response_base import _BaseResponse
    from ..models.turn_record import Tables
    from ..parts import Part, StreamEvent
    from ..serialization import InstanceDict, ToolDict, TurnDict

#: The form that is written here, and the latest one that can be read.
FORMAT = 1
# Texts of a request that are longer are written in slices of this length.
SLICE = 1 << 20
_TOOL_KEYS = ("name", "description", "input_schema")


def json_line(value: object) -> str:
    """A value as one line; what cannot be written as it is, as it can be stored."""
    try:
        return json.dumps(value, default=str) + "\n"
    except Exception:  # what it holds may be nested too deeply, or of anybody's class
        return json.dumps(storable_value(value)) + "\n"


def request_lines(
    response: _BaseResponse, database: str | None, user_directory: str
) -> Iterator[str]:
    """The request, without that part of its history which is in the log already."""
    from ..models.turn_record import Tables, record_request

    stored = response.stored_part()
    tables = Tables()
    turn = record_request(response, tables, stored[0] if stored else 0)
    messages = [message.to_dict() for message in tables.messages]
    slices = list(_cut_long_texts(messages))
    optional = {
        "options": turn.get("options"),
        "schema": turn.get("schema"),
        "tools": [_tool_line(tables.tools[number]) for number in turn.get("tools", ())],
        "instances": [
            [call_id, _instance_line(instance)]
            for call_id, instance in turn.get("tool_instances", {}).items()
        ],
        "fragments": _fragment_lines(tables, turn.get("fragments", ())),
        "system_fragments": _fragment_lines(tables, turn.get("system_fragments", ())),
        # The beginning is enough: a new thread is named after it.
        "title": (response.prompt.prompt or response.prompt.system)[:1000],
    }
    yield json_line(
        {
            "journal": FORMAT,
            "id": turn["id"],
            "started": response.started_utc(),
            "thread": response.thread_id(),
            "name": getattr(response.conversation, "name", None),
            "foreign": sorted(getattr(response.conversation, "untrusted_tools", ())),
            "database": database,
            "user": user_directory,
            "model": turn["model"],
            "after": stored,
            "messages": messages,
            **{name: value for name, value in optional.items() if value},
        }
    )
    for message, part, text in slices:
        for start in range(0, len(text), SLICE):
            yield json_line([message, part, text[start : start + SLICE]])


def done_line(response: _BaseResponse, outcome: tuple[str, str, str] | None) -> str:
    """The end of an answer, whose text is in the events; see `Journal.finished`."""
    usage = response.usage_so_far()
    done = {
        "outcome": outcome,
        "started": response.started_utc(),
        "duration_ms": response.elapsed_ms(),
        "usage": [usage.input, usage.output, usage.details],
        "resolved_model": response.resolved_model or None,
        "response_json": response.response_json,
        "calls": [[call.name, call.arguments, call.tool_call_id] for call in response.calls_so_far],
    }
    return json_line({"done": done})


def _cut_long_texts(messages: Iterable[Any]) -> Iterator[tuple[int, int, str]]:
    """Take the long texts out of messages: index of the message, index of the part, text."""
    for index, message in enumerate(messages):
        for number, part in enumerate(message["parts"]):
            text = part.get("text")
            if text is not None and len(text) > SLICE:
                part["text"] = ""
                # Now: a slice might end within a key.
                yield index, number, masked(text)


def _fragment_lines(tables: Tables, numbers: Iterable[int]) -> list[list[str]]:
    return [[fragment, fragment.source] for fragment in tables.fragments_of(numbers)]


def _tool_line(tool: ToolDict) -> JSONObject:
    instance = tool.get("instance")
    line: JSONObject = {key: tool.get(key) for key in (*_TOOL_KEYS, "plugin")}
    line["server_side"] = tool.get("server_side", False)
    line["instance"] = instance and _instance_line(instance)
    return line


def _instance_line(shape: InstanceDict) -> list[object]:
    return [shape["name"], shape.get("plugin"), shape["arguments"]]


class _Line:
    """A line of the journal, and the event that it stands for."""

    __slots__ = ("data", "event", "goes_on", "text")

    def __init__(self, event: StreamEvent, text: str, goes_on: bool) -> None:
        self.event, self.goes_on = event, goes_on
        self.put(text)

    def put(self, text: str) -> None:
        """Let the line have this text in place of that of the event."""
        self.text = text
        self.data = _data(self.event, text, self.goes_on)


class EventLines:
    """Turns the events of an answer into lines without keys.

    A key may be split between events. Everything is written as it comes all the same, because the
    process may be killed at any time; once an event completes a key, the lines in which the key
    began are written over.
    """

    def __init__(self) -> None:
        self._last: StreamEvent | None = None
        self._pieces = WatchedText()
        # The lines at the end that may hold the beginning of a key.
        self._open: list[_Line] = []

    def add(self, event: StreamEvent) -> tuple[int, bytes]:
        """How many bytes at the end of the journal to write over with the next event, and what to
        write there."""
        last, self._last = self._last, event
        is_same_text = (
            last is not None
            and event.part_index == last.part_index
            and event.type == last.type
            and event.message_index == last.message_index
            and event.tool_call_id == last.tool_call_id
        )
        goes_on = is_same_text and _is_plain(event)
        if goes_on and not self._open and not unfinished(event.chunk):
            # As almost always: this one is quick.
            return 0, _data(event, event.chunk, True)
        if not is_same_text:
            self._pieces, self._open = WatchedText(), []
        return self._watched(event, goes_on)

    def _watched(self, event: StreamEvent, goes_on: bool) -> tuple[int, bytes]:
        texts = self._pieces.add(event.chunk)
        lines, back = [*self._open, _Line(event, texts[-1], goes_on)], 0
        if texts[:-1] != [former.text for former in self._open]:
            back = _rewrite(lines, texts)
        data = b"".join(line.data for line in (lines if back else lines[-1:]))
        count = self._pieces.open_count
        self._open = lines[-count:] if count else []
        return back, data


def _is_plain(event: StreamEvent) -> bool:
    return (
        event.provider_metadata is None
        and event.attachment is None
        and not (event.redacted or event.server_executed or event.tool_name)
    )


def _rewrite(lines: list[_Line], texts: list[str]) -> int:
    """Give lines other texts, and together at least the length that all but the last one had;
    return that length."""
    former = sum(len(line.data) for line in lines[:-1])
    for line, text in zip(lines, texts, strict=True):
        line.put(text)
    missing = former - sum(len(line.data) for line in lines)
    lines[-1].data = lines[-1].data[:-1] + b" " * missing + b"\n"
    return former


def _data(event: StreamEvent, text: str, goes_on: bool) -> bytes:
    """The line of an event with a text in place of its own; one that goes on has nothing else."""
    line = f"{encode_basestring_ascii(text)}\n" if goes_on else json_line(_shape(event, text))
    return masked(line).encode()


def _shape(event: StreamEvent, text: str) -> JSONObject:
    """What differs from the defaults of an event."""
    fields = event.__dataclass_fields__.items()
    values = {name: (getattr(event, name), field.default) for name, field in fields}
    shape: JSONObject = {name: value for name, (value, usual) in values.items() if value != usual}
    shape["chunk"] = text
    if event.attachment is not None:
        shape["attachment"] = event.attachment.to_dict()
    return shape


# Reading them again.


class Journaled:
    """What the lines of a journal say.

    Attributes:
        request: The first one.
        passed_over: How many lines were left out.
        events: What the model said.
        done: What is known of the end; `None` where the process died before it.
        results: The results of tools that have run.
    """

    def __init__(self, request: JSONObject) -> None:
        self.request = request
        self.passed_over = 0
        self.events: list[StreamEvent] = []
        self.done: JSONObject | None = None
        self.results: list[Part] = []

    @property
    def is_known(self) -> bool:
        """Whether this release knows the form; else a later one wrote it, and only it can tell
        what the lines say."""
        return bool(self.request["journal"] <= FORMAT)

    def take(self, line: object) -> None:
        """Take up what one line says."""
        from ..models.recording import continuation
        from ..parts import Part

        if isinstance(line, str):
            self.events.append(continuation(self.events[-1], line))
        elif isinstance(line, list):
            message, part, text = line
            self.request["messages"][message]["parts"][part]["text"] += text
        elif not isinstance(line, dict):
            raise InvalidInput(f"A journal has no line such as {line!r}")
        elif "type" in line:
            self.events.append(_read_event(line))
        elif "done" in line:
            self.done = line["done"]
        elif "result" in line:
            self.results.append(Part.from_dict(line["result"]))
        elif "again" in line:
            self.events.clear()
            self.request["started"] = line["again"]

    def turn(self, tables: Tables) -> TurnDict:
        """The record of the turn; the tables take up what it refers to."""
        from ..models.recording import assemble
        from ..parts import Message
        from ..tools.calling import ToolCall

        request, done = self.request, self.done or {}
        given = tables.add_messages(Message.from_dict(shape) for shape in request["messages"])
        calls = [ToolCall(*call) for call in done.get("calls", ())]
        usage = zip(("input", "output", "details"), done.get("usage", ()), strict=False)
        optional = {
            **_read_request(request, tables),
            "usage": {name: value for name, value in usage if value is not None},
            "datetime_utc": done.get("started") or request["started"],
            **{name: done.get(name) for name in ("resolved_model", "duration_ms", "response_json")},
        }
        turn = {
            "id": request["id"],
            "model": request["model"],
            "input": given,
            "output": tables.add_messages(assemble(self.events, calls), given),
            **{name: value for name, value in optional.items() if value is not None},
        }
        return cast("TurnDict", turn)


def read_lines(content: bytes, *, leniently: bool = False) -> Journaled | None:
    """What a journal says; `None` where not even the request is complete.

    A line that is no JSON, such as the one in which the process died, is left out.

    Args:
        content: The file.
        leniently: Leave out any line but the first that cannot be understood.

    Raises:
        Exception: A line says something that no journal does.
    """
    lines = content.split(b"\n")[:-1]
    if not lines:
        return None
    journaled = Journaled(_read_request_line(lines[0]))
    if not journaled.is_known:
        return journaled
    for number, line in enumerate(lines[1:], 2):
        try:
            journaled.take(json.loads(line))
        except (json.JSONDecodeError, UnicodeDecodeError):
            journaled.passed_over += 1
        except Exception as error:  # anything may be in it
            if not leniently:
                raise InvalidInput(f"Line {number} cannot be read: {described(error)}") from error
            journaled.passed_over += 1
    return journaled


def _read_request_line(line: bytes) -> JSONObject:
    try:
        request = json.loads(line)
        form = request["journal"]
    except Exception as error:  # anything may be in it
        raise InvalidInput(f"Line 1 is no request: {described(error)}") from error
    if not isinstance(form, int) or form < 1:
        raise InvalidInput(f"Line 1 is no request: its form is {form!r}")
    return cast("JSONObject", request)


def described(error: BaseException) -> str:
    """An exception as a person reads it, with its class unless it was made to be read."""
    text = said_by(error)
    if isinstance(error, LLMError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _read_event(shape: JSONObject) -> StreamEvent:
    from ..content import Attachment
    from ..parts import StreamEvent

    if "attachment" in shape:
        shape["attachment"] = Attachment.from_dict(shape["attachment"])
    known = StreamEvent.__dataclass_fields__
    return StreamEvent(**{name: value for name, value in shape.items() if name in known})


def _read_request(request: JSONObject, tables: Tables) -> JSONObject:
    """The part of the record that was known before the answer, but for the messages."""
    from ..content import Fragment

    fragments = [Fragment(*item) for item in request.get("fragments", ())]
    system = [Fragment(*item) for item in request.get("system_fragments", ())]
    numbers = tables.add_fragments([*fragments, *system], 0)
    return {
        "options": request.get("options"),
        "schema": request.get("schema"),
        "tools": [tables.add_tool(_read_tool(line)) for line in request.get("tools", ())],
        "fragments": numbers[: len(fragments)],
        "system_fragments": numbers[len(fragments) :],
        "tool_instances": {
            call_id: _read_instance(*line) for call_id, line in request.get("instances", ())
        },
    }


def _read_tool(line: JSONObject) -> ToolDict:
    extras = [key for key in ("plugin", "server_side") if line[key]]
    tool = {key: line[key] for key in (*_TOOL_KEYS, *extras)}
    if line["instance"] is not None:
        tool["instance"] = _read_instance(*line["instance"])
    return cast("ToolDict", tool)


def _read_instance(name: str, plugin: str | None, arguments: JSONObject) -> InstanceDict:
    shape: InstanceDict = {"name": name, "arguments": arguments}
    if plugin is not None:
        shape["plugin"] = plugin
    return shape
