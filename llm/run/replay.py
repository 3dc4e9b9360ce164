"""What a journal says, put together again as a response and logged."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..content import Attachment, Fragment
from ..parts import Message, Part, StreamEvent
from ..text import JSONObject
from .journal import is_in_user_directory

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

    from ..models.response import Response

# Opening the log must not wait for long: what cannot be logged now can be logged later.
TIMEOUT_S = 1.0
# A journal without a request belongs to a process that is about to write it, or died then.
EMPTY_AGE_S = 3600.0


@dataclass
class Record:
    """What a journal says.

    Args:
        request: Its first line.
        events: What the model said.
        done: What is known of the end; `None` where the process died before it.
        results: The results of tools that have run.
    """

    request: JSONObject
    events: list[StreamEvent] = field(default_factory=list)
    done: JSONObject | None = None
    results: list[Part] = field(default_factory=list)


def log_journal(fd: int, path: str, database: str) -> bool:
    """Log the journal that is open as `fd`, unless it is that of another database.

    Returns:
        Whether the journal has served its purpose.

    Raises:
        LogError: The database cannot be written.
    """
    record = read_record(_content(fd))
    if record is None:
        return os.fstat(fd).st_mtime < time.time() - EMPTY_AGE_S
    if not _belongs_to(record.request, path, database):
        return False
    from ..logs.file.db import open_log

    db = open_log(database, timeout_s=TIMEOUT_S)
    with closing(db):
        if "results_of" in record.request:
            request = record.request
            append_results(
                db, request["thread"], request["results_of"], request["tip"], record.results
            )
        elif not _is_logged(db.conn, record.request["id"]):
            _log(db, record)
    return True


def _content(fd: int) -> bytes:
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


def _belongs_to(request: JSONObject, path: str, database: str) -> bool:
    if request["journal"] != 1:
        # A later release wrote it, and knows what to do with it.
        return False
    named: str | None = request["database"]
    if named is None:
        moves_along = is_in_user_directory(path)
        folder = os.path.dirname(os.path.dirname(path)) if moves_along else request["user"]
        named = os.path.join(folder, "logs.db")
    return bool(os.path.realpath(named) == os.path.realpath(database))


# Reading


def read_record(content: bytes) -> Record | None:
    """What the lines say; `None` where not even the request is complete.

    A line that cannot be read, such as the one in which the process died, is left out.
    """
    lines = _lines(content)
    request = next(lines, None)
    if not isinstance(request, dict) or "journal" not in request:
        return None
    record = Record(request)
    for line in lines:
        _take(record, line)
    return record


def _lines(content: bytes) -> Iterator[Any]:
    for line in content.split(b"\n")[:-1]:
        with suppress(ValueError):
            yield json.loads(line)


def _take(record: Record, line: Any) -> None:
    if isinstance(line, str):
        record.events.append(_following(record.events[-1], line))
    elif isinstance(line, list):
        message, part, text = line
        record.request["messages"][message]["parts"][part]["text"] += text
    elif "type" in line:
        record.events.append(_event(line))
    elif "done" in line:
        record.done = line["done"]
    elif "result" in line:
        record.results.append(Part.from_dict(line["result"]))
    elif "again" in line:
        record.events.clear()
        record.request["started"] = line["again"]


def _event(shape: JSONObject) -> StreamEvent:
    if "attachment" in shape:
        shape["attachment"] = Attachment.from_dict(shape["attachment"])
    return StreamEvent(**shape)


def _following(last: StreamEvent, chunk: str) -> StreamEvent:
    return StreamEvent(
        last.type,
        chunk,
        last.part_index,
        last.tool_call_id,
        message_index=last.message_index,
    )


# Logging


def _is_logged(conn: sqlite3.Connection, turn_id: str) -> bool:
    # The process died after it had logged the turn, and before the journal was deleted.
    found = conn.execute("select 1 from turns where id = ?", [turn_id])
    return found.fetchone() is not None


def _log(db: Database, record: Record) -> None:
    from ..logs.file.db import log_errors
    from ..logs.file.transactions import immediate
    from ..logs.records.outcome import INTERRUPTED, RECOVERED, Outcome, mark_unprompted
    from ..logs.write.store import LogStore

    response = response_of(record, _history(db, record.request["after"]))
    if record.done is None:
        reason = "The process ended before the answer was complete"
        response.outcome = Outcome(INTERRUPTED, "", reason)
    else:
        response.outcome = Outcome(*(record.done["outcome"] or (RECOVERED,)))
    store = LogStore(db)
    with log_errors(store, "write to"), immediate(db.conn):
        mark_unprompted(db.conn, response.id, RECOVERED)
        store.log(response)


def _history(db: Database, after: Sequence[Any] | None) -> list[Message]:
    """The messages before those of the journal, which were in the log when it was written."""
    from ..logs.records.messages import load_messages

    try:
        return [stored.message for stored in load_messages(db.conn, after[1])] if after else []
    except KeyError:
        # The log was replaced since.
        return []


def response_of(record: Record, history: list[Message]) -> Response:
    """The finished response that a journal tells of.

    Args:
        record: What the journal says.
        history: The messages that were sent before those of the journal.
    """
    from ..models.assembly import assemble
    from ..models.response import Response
    from ..tools.calling import ToolCall

    request, done = record.request, record.done or {}
    calls = [ToolCall(*call) for call in done.get("calls", ())]
    model: Any = SimpleNamespace(model_id=request["model"])
    conversation = SimpleNamespace(
        id=request["thread"],
        name=_thread_name(request),
        untrusted_tools=frozenset(request.get("foreign", ())),
    )
    response = Response.restored(
        _prompt(request, history, model),
        model,
        id=request["id"],
        conversation=conversation if request["thread"] else None,
        messages=assemble(record.events, calls),
        started=_moment(done.get("started") or request["started"]),
        duration_ms=done.get("duration_ms", 0),
    )
    read, written, details = done.get("usage", (None, None, None))
    response.set_usage(input=read, output=written, details=details)
    response.resolved_model = done.get("resolved_model")
    response.response_json = done.get("response_json")
    return response


def _thread_name(request: JSONObject) -> str:
    from ..text import conversation_name

    return request.get("name") or conversation_name(request.get("title", ""))


def _prompt(request: JSONObject, history: list[Message], model: Any) -> Any:
    from ..models.prompt import Prompt
    from ..tools.calling import ToolResult

    prompt = Prompt(
        request.get("title"),
        model,
        fragments=[Fragment(*item) for item in request.get("fragments", ())],
        system_fragments=[Fragment(*item) for item in request.get("system_fragments", ())],
        schema=request.get("schema"),
        tools=[_tool(shape) for shape in request.get("tools", ())],
        tool_results=[
            ToolResult("", "", tool_call_id=call_id, instance=_instance(shape))
            for call_id, shape in request.get("instances", ())
        ],
    )
    prompt.options = request.get("options", {})
    prompt.full_messages = history + [Message.from_dict(shape) for shape in request["messages"]]
    return prompt


def _moment(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text) if text else None


def _tool(shape: JSONObject) -> Any:
    """A tool that cannot be called but is stored like the one that the prompt offered."""
    from ..tools.tool import ServerSideTool, Tool

    name, description, plugin = shape["name"], shape["description"], shape["plugin"]
    instance = shape["instance"]
    if not shape["server_side"]:
        runs = _instance(instance).run if instance else None
        return Tool(name, description, shape["input_schema"], runs, plugin)
    values = {
        "name": name,
        "plugin": plugin,
        "input_schema": shape["input_schema"],
        "__doc__": description,
    }
    tool = type(instance[0] if instance else "Tool", (ServerSideTool,), values)()
    tool._config = instance[2] if instance else {}
    return tool


def _instance(shape: Sequence[Any] | None) -> Any:
    """An object with class name, plugin and arguments of a toolbox."""
    if shape is None:
        return None
    name, plugin, arguments = shape
    values = {"plugin": plugin, "_config": arguments, "run": lambda self: None}
    return type(name, (), values)()


def append_results(
    db: Database, thread_id: str, caller: str | None, tip: str | None, results: list[Part]
) -> None:
    """Put the results of tools at the end of a thread, if it still ends in their calls.

    The conversation then goes on without running these tools again.

    Args:
        db: The log.
        thread_id: The thread.
        caller: The turn that asked for the calls, where it is known.
        tip: The message that the thread has to end in where that is not known.
        results: The results.

    Raises:
        LogError: The database cannot be written.
    """
    from ..logs.file.db import log_errors
    from ..logs.write.store import LogStore

    if not results:
        return
    store = LogStore(db)
    with log_errors(store, "write to"):
        tips = "select tip_message_hash from turns where id = ?"
        turn = db.conn.execute(tips, [caller]).fetchone()
        end = turn[0] if turn is not None else tip
        thread = db.conn.execute(
            "select tip_message_hash from threads where id = ?", [thread_id]
        ).fetchone()
        if end is not None and thread is not None and thread[0] == end:
            store.append(thread_id, [Message("tool", results)])
