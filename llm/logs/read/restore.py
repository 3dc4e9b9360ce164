"""Finished responses made again from what the log holds of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...models.revival import prompt_of, restored_options
from ...parts import Message, ReasoningPart, TextPart, ToolCallPart
from ...text import JSONObject
from ...tools.tool import Tool
from ..records.condense import expand_reply
from ..records.hashing import referenced
from ..records.messages import load_messages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ...models.base import _BaseModel
    from ...models.prompt import Prompt
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
    "select name, description, input_schema, plugin from turn_tools"
    " join tools on tools.id = tool_id where turn_id = ? order by turn_tools.rowid"
)


def load_turn_rows(conn: sqlite3.Connection, thread_id: str) -> list[TurnRow]:
    """The turns of a thread, oldest first."""
    return [TurnRow(*row) for row in conn.execute(_TURNS, [thread_id])]


def restore_turns(
    conn: sqlite3.Connection,
    turns: Iterable[TurnRow],
    chain: Sequence[StoredMessage],
    model: _BaseModel,
    conversation: Any,
) -> list[Any]:
    """The responses of some turns of one thread.

    Args:
        conn: The database.
        turns: The turns.
        chain: The messages of the thread, in which most turns find their own.
        model: The model of the conversation.
        conversation: The conversation that they belong to.
    """
    ends = {item.hash: index + 1 for index, item in enumerate(chain)}
    messages = [item.message for item in chain]
    restored = []
    for turn in turns:
        inputs = _part_of(conn, messages, ends, None, turn.parent)
        outputs = _part_of(conn, messages, ends, turn.parent, turn.tip)
        restored.append(_restore_turn(conn, turn, inputs, outputs, model, conversation))
    return restored


def _part_of(
    conn: sqlite3.Connection,
    messages: list[Message],
    ends: Mapping[str, int],
    start: str | None,
    end: str | None,
) -> list[Message]:
    """The messages behind `start` up to `end`, from the chain in memory where it has them."""
    first = 0 if start is None else ends.get(start)
    last = 0 if end is None else ends.get(end)
    if first is not None and last is not None:
        return messages[first:last]
    return [item.message for item in load_messages(conn, end, after=start)]


def _restore_turn(
    conn: sqlite3.Connection,
    turn: TurnRow,
    inputs: list[Message],
    outputs: list[Message],
    model: _BaseModel,
    conversation: Any,
) -> Any:
    schema = json.loads(turn.schema_json) if turn.schema_json else None
    tools = [
        Tool(name, description, json.loads(shape or "{}"), None, plugin)
        for name, description, shape, plugin in conn.execute(_TOOLS, [turn.id])
    ]
    options = restored_options(model, _decoded(turn.options_json))
    prompt = prompt_of(inputs, model, options=options, schema=schema, tools=tools)
    prompt.own_system = last_system(inputs)
    response = _response(
        conversation,
        prompt,
        model,
        turn.id,
        outputs,
        datetime_utc=turn.datetime_utc,
        duration_ms=turn.duration_ms,
    )
    _set_counts(response, turn.input_tokens, turn.output_tokens, turn.token_details)
    response.resolved_model = turn.resolved_model
    if turn.tip is not None:
        response.stored_tip = (len(inputs) + len(outputs), turn.tip)
    if turn.response_json:
        described = [(tool.name, tool.description) for tool in tools]
        response.response_json = _reply(turn.response_json, outputs, described, schema, turn.model)
    return response


def last_system(messages: Sequence[Message]) -> str | None:
    """The text of the last system message; `None` where there is none."""
    return next((m.text() for m in reversed(messages) if m.role == "system"), None)


def _reply(
    text: str,
    outputs: list[Message],
    tools: list[tuple[str, str | None]],
    schema: JSONObject | None,
    model_id: str,
) -> Any:
    try:
        shapes = [referenced(message)[0] for message in outputs]
        return expand_reply(text, shapes, tools, schema, model_id)
    except ValueError:
        # What it refers to is gone, such as a model that is not installed any more.
        return None


def restore_legacy(
    turns: Iterable[LegacyTurn], model: _BaseModel, conversation: Any, before: list[Message]
) -> list[Any]:
    """The responses of legacy turns, each with the whole history before it.

    Args:
        turns: The turns, oldest first.
        model: The model of the conversation.
        conversation: The conversation that they belong to.
        before: The messages before the first of them.
    """
    restored: list[Any] = []
    history = before
    for turn in turns:
        response = _restore_legacy_turn(turn, model, conversation, history)
        history = history_after(response)
        restored.append(response)
    return restored


def history_after(response: Any) -> list[Message]:
    """What is sent on after a legacy response: all but the reasoning, as earlier releases did."""
    outputs: list[Message] = response.output_messages()
    said = [part for message in outputs for part in message.parts if part.type != "reasoning"]
    history: list[Message] = response.prompt.full_messages
    return [*history, Message("assistant", said)] if said else history


def _restore_legacy_turn(
    turn: LegacyTurn, model: _BaseModel, conversation: Any, history: list[Message]
) -> Any:
    from ...models.prompt import Prompt

    row = turn.row
    prompt = Prompt(
        row["prompt"],
        model,
        fragments=turn.fragments,
        attachments=turn.attachments,
        system=row["system"],
        system_fragments=turn.system_fragments,
        options=restored_options(model, _decoded(row["options_json"])),
        schema=turn.schema,
        tools=turn.tools,
        tool_results=turn.results,
    )
    prompt.continue_from(history)
    response = _response(
        conversation,
        prompt,
        model,
        row["id"],
        _legacy_output(turn),
        datetime_utc=row["datetime_utc"],
        duration_ms=row["duration_ms"],
    )
    details = row["token_details"]
    _set_counts(response, row["input_tokens"], row["output_tokens"], details)
    response.resolved_model = row["resolved_model"]
    response.response_json = json.loads(row["response_json"] or "null")
    response._prompt_json = json.loads(row["prompt_json"] or "null")
    return response


def _legacy_output(turn: LegacyTurn) -> list[Message]:
    message = Message("assistant", [])
    reasoning = dict(turn.row).get("reasoning")
    if reasoning:
        message.parts.append(ReasoningPart(reasoning))
    if turn.row["response"]:
        message.parts.append(TextPart(turn.row["response"]))
    message.parts += [
        ToolCallPart(call.name, call.arguments, call.tool_call_id) for call in turn.calls
    ]
    return [message] if message.parts else []


def _response(
    conversation: Any,
    prompt: Prompt,
    model: _BaseModel,
    response_id: str,
    outputs: list[Message],
    *,
    datetime_utc: str | None,
    duration_ms: int | None,
) -> Any:
    from ...models.async_response import AsyncResponse
    from ...models.response import Response

    make: Any = AsyncResponse if model.is_async else Response
    response = make.restored(
        prompt,
        model,
        id=response_id,
        conversation=conversation,
        messages=outputs,
        started=_moment(datetime_utc),
        duration_ms=duration_ms or 0,
    )
    # Plugins of the time before messages look for earlier attachments here.
    response.attachments = list(prompt.attachments)
    return response


def _decoded(text: str | None) -> Any:
    return json.loads(text) if text else None


def _moment(text: str | None) -> datetime | None:
    from datetime import datetime, timezone

    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _set_counts(
    response: Any, input_tokens: int | None, output_tokens: int | None, details: str | None
) -> None:
    response.set_usage(
        input=input_tokens,
        output=output_tokens,
        details=json.loads(details) if details else None,
    )
