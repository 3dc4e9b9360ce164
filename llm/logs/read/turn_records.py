"""What the log holds of turns, as records, and as the responses that these make."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, cast

from ...models.message_chain import last_system_text
from ...models.prompt import prompt_text, result_part, system_text
from ...models.turn_record import (
    Tables,
    instances_of,
    moment_of,
    restore_response,
    tool_dict,
)
from ...parts import AttachmentPart, Message, Part, ReasoningPart, TextPart
from ...text import JSONObject
from ...tools.tool import Tool
from ..file.lookups import rows_by_ids
from ..older.legacy import fill_in_payloads, instance_shape
from ..records.chains import referenced
from ..records.condense import expand_reply
from ..records.messages import load_messages

if TYPE_CHECKING:
    from ...models.base import _BaseModel
    from ...models.response_base import _BaseResponse
    from ...serialization import ToolDict, TurnDict
    from ..older.legacy import LegacyTurn
    from ..records.messages import StoredMessage


class TurnRow(NamedTuple):
    """One row of `turns`, with the text of its schema."""

    id: str
    parent: str | None
    tip: str | None
    model: str
    resolved_model: str | None
    options_json: str | None
    input_tokens: int | None
    output_tokens: int | None
    token_details: str | None
    duration_ms: int | None
    datetime_utc: str | None
    response_json: str | None
    schema_json: str | None


_TURNS = (
    "select turns.id, parent_message_hash, tip_message_hash, model, resolved_model, options_json,"
    " input_tokens, output_tokens, token_details, duration_ms, datetime_utc, response_json,"
    " schemas.content from turns left join schemas on schemas.id = schema_id"
    " where thread_id = ? order by turns.id"
)
_TOOLS = (
    "select turn_id, tools.hash, tools.name, description, input_schema, tools.plugin,"
    " tool_instances.name, tool_instances.plugin, tool_instances.arguments"
    " from turn_tools join tools on tools.id = tool_id"
    " left join tool_instances on tool_instances.id = instance_id where turn_id in"
)


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


def load_turn_rows(conn: sqlite3.Connection, thread_id: str) -> list[TurnRow]:
    """The turns of a thread, oldest first."""
    return [TurnRow(*row) for row in conn.execute(_TURNS, [thread_id])]


def record_rows(
    rows: Sequence[TurnRow], legacy: Sequence[LegacyTurn], tables: StoredTables
) -> list[TurnDict]:
    """The records of some turns of one conversation, oldest first.

    Args:
        rows: Turns of the thread.
        legacy: What an older release logged, oldest first; each goes on from the one before.
        tables: Take up what the records refer to.
    """
    tools = _tools_of(tables.conn, [row.id for row in rows])
    payloads = {turn.row["id"]: _payloads_of(turn) for turn in legacy}
    fill_in_payloads(tables.conn, list(payloads.values()))
    history: list[Message] = []
    records = []
    for _, turn in sorted([(row.id, row) for row in rows] + [(t.row["id"], t) for t in legacy]):
        if isinstance(turn, TurnRow):
            records.append(_record_row(turn, tools.get(turn.id, ()), tables))
        else:
            records.append(_record_legacy(turn, payloads[turn.row["id"]], history, tables))
            history = history_after([turn], history)
    return records


def _record_row(row: TurnRow, tools: Iterable[ToolDict], tables: StoredTables) -> TurnDict:
    given, answered = tables.number_of(row.parent), tables.number_of(row.tip)
    schema = json.loads(row.schema_json) if row.schema_json else None
    optional = {
        "system": last_system_text(tables.upto(given)),
        "schema": schema,
        "tools": [tables.add_tool(tool) for tool in tools],
        **_answer(row._asdict()),
        "response_json": None,
        "options": json.loads(row.options_json or "null"),
    }
    if row.tip is not None:
        tables.tips[row.id] = row.tip
    if row.response_json:
        numbers = tables.between(given, answered)
        outputs = [referenced(tables.messages[number])[0] for number in numbers]
        described = [(tool["name"], tool["description"]) for tool in tools]
        try:
            optional["response_json"] = expand_reply(
                row.response_json, outputs, described, schema, row.model
            )
        except ValueError:
            # What it refers to is gone, such as a model that is not installed any more.
            optional["condensed_json"] = row.response_json
    return _record(row.id, row.model, given, answered, optional)


def _record_legacy(
    turn: LegacyTurn, payloads: JSONObject, history: Sequence[Message], tables: Tables
) -> TurnDict:
    row = turn.row
    first = len(tables.messages)
    given = tables.add_messages([*history, *_asked(turn, history)])
    fragments = [*turn.fragments, *turn.system_fragments]
    numbers = tables.add_fragments(
        [text if text.source else str(text) for text in fragments], first
    )
    optional = {
        "system": row["system"],
        "schema": turn.schema,
        "tools": [tables.add_tool(tool_dict(tool)) for tool in turn.tools],
        "fragments": numbers[: len(turn.fragments)],
        "system_fragments": numbers[len(turn.fragments) :],
        "tool_instances": instances_of(turn.results),
        **_answer(row),
        **payloads,
        "options": json.loads(row["options_json"] or "null"),
    }
    answered = tables.add_messages(_answered(turn), given)
    return _record(row["id"], row["model"], given, answered, optional)


def _record(
    id: str, model: str, given: int | None, answered: int | None, optional: JSONObject
) -> TurnDict:
    turn = {"id": id, "model": model, "input": given, "output": answered}
    turn.update(
        (name, value)
        for name, value in optional.items()
        if value or (name.endswith("_json") and value is not None)
    )
    return cast("TurnDict", turn)


def _answer(row: JSONObject) -> JSONObject:
    """What the columns that both generations have say of an answer."""
    details = json.loads(row["token_details"]) if row["token_details"] else None
    usage = {"input": row["input_tokens"], "output": row["output_tokens"], "details": details}
    moment = moment_of(row["datetime_utc"])
    return {
        "usage": {name: value for name, value in usage.items() if value is not None},
        "resolved_model": row["resolved_model"],
        "datetime_utc": moment and moment.isoformat(),
        "duration_ms": row["duration_ms"],
    }


def _tools_of(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, list[ToolDict]]:
    found: dict[str, list[ToolDict]] = {}
    rows = rows_by_ids(conn, _TOOLS, ids, "order by turn_tools.rowid")
    for turn_id, digest, name, description, schema, plugin, *instance in rows:
        tool: ToolDict = {
            "name": name,
            "description": description,
            "input_schema": json.loads(schema or "{}"),
            "hash": digest,
        }
        if plugin:
            tool["plugin"] = plugin
        if instance[0] is not None:
            tool["instance"] = instance_shape(*instance)
        found.setdefault(turn_id, []).append(tool)
    return found


# Turns that an older release logged.


def _payloads_of(turn: LegacyTurn) -> JSONObject:
    return {name: json.loads(turn.row[name] or "null") for name in ("prompt_json", "response_json")}


def _asked(turn: LegacyTurn, history: Sequence[Message]) -> list[Message]:
    """What a legacy turn sent after the history."""
    asked: list[Message] = []
    if turn.results:
        asked.append(Message("tool", [result_part(result) for result in turn.results]))
    system = system_text(turn.system_fragments, turn.row["system"])
    if system and system != last_system_text(history):
        asked.append(Message("system", [TextPart(system)]))
    text = prompt_text(turn.fragments, turn.row["prompt"])
    parts: list[Part] = [TextPart(text)] if text else []
    parts += [AttachmentPart(attachment) for attachment in turn.attachments]
    return [*asked, Message("user", parts)] if parts else asked


def _answered(turn: LegacyTurn) -> list[Message]:
    message = Message("assistant", [])
    reasoning = turn.row.get("reasoning")
    if reasoning:
        message.parts.append(ReasoningPart(reasoning))
    if turn.row["response"]:
        message.parts.append(TextPart(turn.row["response"]))
    message.parts += turn.calls
    return [message] if message.parts else []


def history_after(turns: Sequence[LegacyTurn], history: Sequence[Message]) -> list[Message]:
    """What is sent on after legacy turns: all but the reasoning, as earlier releases did.

    Args:
        turns: The turns, oldest first.
        history: The messages before the first of them.
    """
    messages = list(history)
    for turn in turns:
        messages += _asked(turn, messages)
        said = [p for message in _answered(turn) for p in message.parts if p.type != "reasoning"]
        if said:
            messages.append(Message("assistant", said))
    return messages


# Responses.


def restore_responses(
    turns: Iterable[TurnDict], tables: StoredTables, model: _BaseModel, conversation: object
) -> list[_BaseResponse]:
    """The finished responses of some records.

    Args:
        turns: The records.
        tables: What they refer to.
        model: The model of the conversation.
        conversation: The conversation that they belong to.
    """
    from ...models.async_response import AsyncResponse
    from ...models.response import Response

    tools = [
        Tool(tool["name"], tool["description"], tool["input_schema"], None, tool.get("plugin"))
        for tool in tables.tools
    ]
    restored: list[_BaseResponse] = []
    for turn in turns:
        response: _BaseResponse = restore_response(
            turn,
            tables,
            model,
            AsyncResponse if model.is_async else Response,
            conversation=conversation,
            tools=tools,
        )
        if turn["id"] in tables.tips:
            count = len(response.prompt.full_messages) + len(response.output_messages())
            response.stored_tip = (count, tables.tips[turn["id"]])
        restored.append(response)
    return restored
