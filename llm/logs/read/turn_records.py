"""What the log holds of turns, as records, and as the responses that these make."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from ...content import Attachment
from ...models.message_chain import last_system_text
from ...models.prompt import prompt_text, result_part, system_text
from ...models.turn_record import Tables, moment_of, remembered_exception, restore_response
from ...parts import AttachmentPart, Message, Part, ReasoningPart, TextPart, ToolCallPart
from ...text import JSONObject
from ...tools.calling import ToolResult, parse_arguments
from ...tools.tool import Tool
from ..file.lookups import decoded, decoded_object
from ..older.legacy import PAYLOADS, fill_in_payloads, instance_shape
from ..records.chains import referenced
from ..records.condense import expand_reply
from ..records.messages import load_messages
from .rows import add_tools

if TYPE_CHECKING:
    from ...models.base import _BaseModel
    from ...models.response_base import _BaseResponse
    from ...parts import ToolResultPart
    from ...serialization import InstanceDict, ToolDict, TurnDict
    from ..records.messages import StoredMessage


class StoredTables(Tables):
    """The tables of records that are read from the log.

    Args:
        conn: The database.
        chain: Messages that were read already, in which most turns find their own.
    """

    def __init__(self, conn: sqlite3.Connection, chain: Sequence[StoredMessage] = ()) -> None:
        super().__init__()
        self.conn = conn
        #: The address of the last message of a turn, by the turn's id.
        self.tips: dict[str, str] = {}
        self._chain = chain
        self._ends = {item.hash: index + 1 for index, item in enumerate(chain)}
        self._by_hash: dict[str | None, int | None] = {None: None}

    def number_of(self, tip: str | None) -> int | None:
        """The number of a stored message, which is put in with those before it.

        Raises:
            KeyError: It is not stored.
        """
        if tip not in self._by_hash:
            before = self._chain[: self._ends.get(str(tip), 0)] or load_messages(self.conn, tip)
            is_new = takewhile(lambda stored: stored.hash not in self._by_hash, reversed(before))
            for stored in reversed(list(is_new)):
                parent = self._by_hash[stored.parent_hash]
                self._by_hash[stored.hash] = self.add_messages([stored.message], parent)
        return self._by_hash[tip]


def record_rows(
    turns: Sequence[JSONObject], legacy: Iterable[JSONObject], tables: StoredTables
) -> list[TurnDict]:
    """The records of some turns of one conversation, oldest first.

    Args:
        turns: Turns of the thread, from `turn_rows`.
        legacy: What an older release logged, oldest first; each goes on from the one before.
        tables: Take up what the records refer to.
    """
    add_tools(tables.conn, turns)
    old = [{**row, **{name: decoded(row[name] or None) for name in PAYLOADS}} for row in legacy]
    fill_in_payloads(tables.conn, old)
    history: list[Message] = []
    records = []
    for row in sorted([*turns, *old], key=itemgetter("id")):
        if "tip" in row:
            records.append(_record_turn(row, tables))
        else:
            records.append(_record_legacy(row, history, tables))
            history = history_after([row], history)
    return records


def _record_turn(row: JSONObject, tables: StoredTables) -> TurnDict:
    given, answered = tables.number_of(row["parent"]), tables.number_of(row["tip"])
    tools = [_tool_dict(tool, tool["hash"]) for tool in row["tools"]]
    if row["tip"] is not None:
        tables.tips[row["id"]] = row["tip"]
    system, text = last_system_text(tables.upto(given)), row["response_json"]
    known = {**row, "system": system, "tools": tools, "response_json": None}
    if text:
        numbers = tables.between(given, answered)
        outputs = [referenced(tables.messages[number])[0] for number in numbers]
        described = [(tool["name"], tool["description"]) for tool in tools]
        schema = decoded_object(row["schema_json"]) or None
        try:
            known["response_json"] = expand_reply(text, outputs, described, schema, row["model"])
        except (ValueError, TypeError, RecursionError):
            # What it refers to is gone, such as a model that is not installed any more.
            known["condensed_json"] = text
    return _record(known, given, answered, tables)


def _record_legacy(row: JSONObject, history: Sequence[Message], tables: Tables) -> TurnDict:
    first = len(tables.messages)
    given = tables.add_messages([*history, *_asked(row, history)])
    fragments = [*row["prompt_fragments"], *row["system_fragments"]]
    numbers = tables.add_fragments(
        [text if text.source else str(text) for text in fragments], first
    )
    count = len(row["prompt_fragments"])
    instances: dict[str, InstanceDict] = {}
    for result in row["tool_results"]:
        if result["instance"] and result["tool_call_id"] is not None:
            instances.setdefault(result["tool_call_id"], instance_shape(**result["instance"]))
    known = {
        **row,
        "tools": [_tool_dict(tool) for tool in row["tools"]],
        "fragments": numbers[:count],
        "system_fragments": numbers[count:],
        "tool_instances": instances,
    }
    return _record(known, given, tables.add_messages(_answered(row), given), tables)


def _record(row: JSONObject, given: int | None, answered: int | None, tables: Tables) -> TurnDict:
    """The record of a row of either generation that was completed."""
    moment = moment_of(row["datetime_utc"])
    optional = {
        "system": row["system"],
        "schema": decoded_object(row["schema_json"]) or None,
        "tools": [tables.add_tool(tool) for tool in row["tools"]],
        **{name: row.get(name) for name in ("fragments", "system_fragments", "tool_instances")},
        "usage": _usage(row),
        "resolved_model": row["resolved_model"],
        "datetime_utc": moment and moment.isoformat(),
        "duration_ms": row["duration_ms"],
        "prompt_json": row["prompt_json"],
        "response_json": row["response_json"],
        "options": decoded_object(row["options_json"]) or None,
        "condensed_json": row.get("condensed_json"),
    }
    tables.ends.add(answered)
    turn = {"id": row["id"], "model": row["model"], "input": given, "output": answered}
    turn.update(
        (name, value)
        for name, value in optional.items()
        if value or (name.endswith("_json") and value is not None)
    )
    return cast("TurnDict", turn)


def _usage(row: JSONObject) -> JSONObject:
    details = decoded_object(row["token_details"]) or None
    usage = {"input": row["input_tokens"], "output": row["output_tokens"], "details": details}
    return {name: value for name, value in usage.items() if value is not None}


def _tool_dict(row: JSONObject, digest: str | None = None) -> ToolDict:
    tool = {name: row[name] for name in ("name", "description")}
    schema = row["input_schema"]
    tool["input_schema"] = schema if isinstance(schema, dict) else {}
    instance = row.get("instance") and instance_shape(**row["instance"])
    known = {"hash": digest, "plugin": row["plugin"], "instance": instance}
    tool.update((name, value) for name, value in known.items() if value)
    return cast("ToolDict", tool)


# What an older release sent and got.


def _asked(row: JSONObject, history: Sequence[Message]) -> list[Message]:
    """What a legacy turn sent after the history."""
    asked: list[Message] = []
    if row["tool_results"]:
        asked.append(Message("tool", [_result(result) for result in row["tool_results"]]))
    system = system_text(row["system_fragments"], row["system"])
    if system and system != last_system_text(history):
        asked.append(Message("system", [TextPart(system)]))
    text = prompt_text(row["prompt_fragments"], row["prompt"])
    parts: list[Part] = [TextPart(text)] if text else []
    parts += map(AttachmentPart, map(Attachment.from_row, row["attachments"]))
    return [*asked, Message("user", parts)] if parts else asked


def _result(row: JSONObject) -> ToolResultPart:
    exception = row["exception"]
    return result_part(
        ToolResult(
            row["name"],
            row["output"],
            list(map(Attachment.from_row, row["attachments"])),
            row["tool_call_id"],
            exception=remembered_exception(exception) if exception else None,
        )
    )


def _answered(row: JSONObject) -> list[Message]:
    reasoning, response = row.get("reasoning"), row["response"]
    parts: list[Part] = [ReasoningPart(reasoning)] if reasoning else []
    parts += [TextPart(response)] if response else []
    calls = sorted(row["tool_calls"], key=lambda call: (call["tool_call_id"] or "", call["id"]))
    parts += [
        ToolCallPart(call["name"], parse_arguments(call["arguments"]), call["tool_call_id"])
        for call in calls
    ]
    return [Message("assistant", parts)] if parts else []


def history_after(turns: Iterable[JSONObject], history: Sequence[Message]) -> list[Message]:
    """What is sent on after legacy turns: all but the reasoning, as earlier releases did."""
    messages = list(history)
    for row in turns:
        messages += [*_asked(row, messages), *_answered({**row, "reasoning": None})]
    return messages


# Responses.


def restore_responses(
    turns: Iterable[TurnDict], tables: StoredTables, model: _BaseModel, conversation: object
) -> list[_BaseResponse]:
    """The finished responses of some records, in a conversation with that model."""
    from ...models.async_response import AsyncResponse
    from ...models.response import Response

    tools = [
        Tool(tool["name"], tool["description"], tool["input_schema"], None, tool.get("plugin"))
        for tool in tables.tools
    ]
    make: type[_BaseResponse] = AsyncResponse if model.is_async else Response
    restored: list[_BaseResponse] = []
    for turn in turns:
        response = restore_response(
            turn, tables, model, make, conversation=conversation, tools=tools
        )
        if turn["id"] in tables.tips:
            count = len(response.prompt.full_messages) + len(response.output_messages())
            response.stored_tip = (count, tables.tips[turn["id"]])
        restored.append(response)
    return restored
