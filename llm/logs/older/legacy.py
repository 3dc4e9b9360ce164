"""Reading what releases before 0.32 logged: one row of `responses` for each prompt.

These tables are never written here. A legacy response carries only its own input; the history
before it is the responses before it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...content import Attachment, Fragment
from ...models.turn_record import INSTANCE
from ...models.turn_record import remembered_exception as remembered_exception
from ...text import JSONObject
from ...tools.calling import ToolResult
from ...tools.tool import Tool
from ..file.lookups import rows_by_ids

if TYPE_CHECKING:
    import sqlite3

    from ...serialization import InstanceDict

_COLUMNS = (
    "id",
    "model",
    "prompt",
    "system",
    "prompt_json",
    "options_json",
    "response",
    "response_json",
    "conversation_id",
    "duration_ms",
    "datetime_utc",
    "input_tokens",
    "output_tokens",
    "token_details",
    "schema_id",
    "resolved_model",
    "reasoning",
)
_RESPONSES = (
    f"select {', '.join(_COLUMNS)} from responses"
    " where conversation_id = ? and id not in (select id from turns) order by id"
)
_ATTACHMENTS = (
    "select response_id, id, type, path, url, content from prompt_attachments"
    " join attachments on attachments.id = attachment_id where response_id in"
)
_FRAGMENTS = (
    "select response_id, content, source from {table}"
    " join fragments on fragments.id = fragment_id where response_id in"
)
_TOOLS = (
    "select response_id, name, description, input_schema, plugin from tool_responses"
    " join tools on tools.id = tool_id where response_id in"
)
_CALLS = "select response_id, name, arguments, tool_call_id from tool_calls where response_id in"
_RESULTS = (
    "select response_id, tool_results.id, tool_results.name, output, tool_call_id, exception,"
    " tool_instances.name, tool_instances.plugin, tool_instances.arguments from tool_results"
    " left join tool_instances on tool_instances.id = instance_id where response_id in"
)
_RESULT_ATTACHMENTS = (
    "select tool_result_id, attachments.id, type, path, url, content from tool_results_attachments"
    " join attachments on attachments.id = attachment_id where tool_result_id in"
)


class LegacyCall(NamedTuple):
    """A tool call as the old tables keep it."""

    name: str
    arguments: JSONObject
    tool_call_id: str | None


class LegacyTurn(NamedTuple):
    """Everything that the old tables hold of one response."""

    row: Mapping[str, Any]
    fragments: list[Fragment]
    system_fragments: list[Fragment]
    attachments: list[Attachment]
    tools: list[Tool]
    calls: list[LegacyCall]
    results: list[ToolResult]
    schema: JSONObject | None


def load_legacy_turns(conn: sqlite3.Connection, conversation_id: str) -> list[LegacyTurn]:
    """The legacy responses of a conversation, oldest first, without those that are also turns."""
    rows = [
        dict(zip(_COLUMNS, row, strict=True)) for row in conn.execute(_RESPONSES, [conversation_id])
    ]
    return complete_rows(conn, rows)


def complete_rows(conn: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> list[LegacyTurn]:
    """What belongs to each of some rows of `responses`, in a fixed number of queries."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    fragments, system_fragments = (
        _by_response(
            conn,
            _FRAGMENTS.format(table=table),
            ids,
            '"order"',
            lambda r: Fragment(r[0], r[1] or ""),
        )
        for table in ("prompt_fragments", "system_fragments")
    )
    attachments = _by_response(conn, _ATTACHMENTS, ids, '"order"', _attachment)
    tools = _by_response(conn, _TOOLS, ids, "tool_responses.rowid", _tool)
    calls = _by_response(conn, _CALLS, ids, "tool_call_id, id", _call)
    results = _results(conn, ids)
    schema_ids = {row["schema_id"] for row in rows if row["schema_id"]}
    schemas = dict(rows_by_ids(conn, "select id, content from schemas where id in", schema_ids))
    return [
        LegacyTurn(
            row,
            fragments[row["id"]],
            system_fragments[row["id"]],
            attachments[row["id"]],
            tools[row["id"]],
            calls[row["id"]],
            results[row["id"]],
            json.loads(schemas[row["schema_id"]]) if row["schema_id"] in schemas else None,
        )
        for row in rows
    ]


def _by_response(
    conn: sqlite3.Connection, select: str, ids: Sequence[object], order: str, make: Any
) -> defaultdict[Any, list[Any]]:
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in rows_by_ids(conn, select, ids, f"order by {order}"):
        found[row[0]].append(make(row[1:]))
    return found


def _attachment(row: Sequence[Any]) -> Attachment:
    key, kind, path, url, content = row
    return Attachment(type=kind, path=path, url=url, content=content, _id=key)


def _tool(row: Sequence[Any]) -> Tool:
    name, description, schema, plugin = row
    return Tool(name, description, json.loads(schema or "{}"), None, plugin)


def _call(row: Sequence[Any]) -> LegacyCall:
    name, arguments, tool_call_id = row
    return LegacyCall(name, json.loads(arguments or "{}"), tool_call_id)


def _results(conn: sqlite3.Connection, ids: Sequence[object]) -> defaultdict[Any, list[ToolResult]]:
    rows = rows_by_ids(conn, _RESULTS, ids, "order by tool_results.id")
    numbers = [row[1] for row in rows]
    attachments = _by_response(conn, _RESULT_ATTACHMENTS, numbers, '"order"', _attachment)
    found: defaultdict[Any, list[ToolResult]] = defaultdict(list)
    for response_id, number, name, output, tool_call_id, error, *instance in rows:
        result = ToolResult(
            name=name,
            output=output,
            attachments=attachments[number],
            tool_call_id=tool_call_id,
            exception=remembered_exception(error) if error else None,
        )
        if instance[0] is not None:
            vars(result)[INSTANCE] = instance_shape(*instance)
        found[response_id].append(result)
    return found


def instance_shape(name: str, plugin: str | None, arguments: str | None) -> InstanceDict:
    """A stored toolbox or provider tool in JSON values."""
    shape: InstanceDict = {"name": name, "arguments": json.loads(arguments or "{}")}
    if plugin is not None:
        shape["plugin"] = plugin
    return shape


_TOOLS_OF_FIRST = (
    "select tools.name, tools.plugin from tool_responses join tools on tools.id = tool_id"
    " where response_id = (select min(response_id) from tool_responses where response_id in"
    " (select id from responses where conversation_id = ?)) order by tool_responses.rowid"
)
_INSTANCES = (
    "select distinct tool_instances.name, tool_instances.arguments from tool_results"
    " join tool_instances on tool_instances.id = instance_id"
    " where response_id in (select id from responses where conversation_id = ?)"
    " order by tool_instances.id"
)


def legacy_tool_specs(conn: sqlite3.Connection, conversation_id: str) -> list[str]:
    """Specifications of the tools that plugins gave to a legacy conversation.

    A method of a toolbox was logged as `Toolbox_method`; which toolbox that was is known from the
    results of the conversation.
    """
    instances = conn.execute(_INSTANCES, [conversation_id]).fetchall()
    specs: dict[str, None] = {}
    for name, plugin in conn.execute(_TOOLS_OF_FIRST, [conversation_id]):
        if plugin:
            boxes = [f"{box}({given})" for box, given in instances if name.startswith(f"{box}_")]
            specs.update(dict.fromkeys(boxes or [name]))
    return list(specs)
