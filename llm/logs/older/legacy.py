"""What releases before 0.32 logged, one row of `responses` for each prompt, read in one way.

It is shown as rows of `llm logs --json`, and goes on as turns of a conversation. These tables are
never written here. A legacy response carries only its own input; the history before it is the
responses before it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ...content import Attachment, Fragment
from ...parts import ToolCallPart
from ...text import JSONObject
from ..file.lookups import decoded, fragments_of, json_list, rows_by_ids

if TYPE_CHECKING:
    import sqlite3

    from ...serialization import InstanceDict
    from ...tools.calling import ToolResult
    from ...tools.tool import Tool

T = TypeVar("T")

# The order of the columns is that of the keys of `--json`.
_RESPONSES = """
select r.id, r.model, r.resolved_model, r.prompt, r.system, {prompt} as prompt_json,
  r.options_json, r.response, r.reasoning, {reply} as response_json, r.conversation_id,
  r.duration_ms, r.datetime_utc, r.input_tokens, r.output_tokens, r.token_details,
  c.name as conversation_name, c.model as conversation_model, s.content as schema_json
from responses r left join conversations c on c.id = r.conversation_id
  left join schemas s on s.id = r.schema_id
where {where}
"""
_OF_CONVERSATION = "r.conversation_id = ? and r.id not in (select id from turns) order by r.id"
_NAMED = "r.id in (select value from json_each(?))"
_FRAGMENTS = """
select x.response_id, x.kind, f.id, f.hash, f.content, f.source from (
  select response_id, 'prompt' as kind, fragment_id, "order" from prompt_fragments
  union all
  select response_id, 'system', fragment_id, "order" from system_fragments) x
join fragments f on f.id = x.fragment_id where x.response_id in
"""
_TOOLS = (
    "select response_id, id, hash, name, description, input_schema, plugin from tool_responses"
    " join tools on tools.id = tool_id where response_id in"
)
_CALLS = (
    "select response_id, id, tool_id, name, arguments, tool_call_id from tool_calls"
    " where response_id in"
)
_RESULTS = (
    "select response_id, x.id, tool_id, x.name, output, tool_call_id, exception,"
    " i.id, i.name, i.plugin, i.arguments from tool_results x"
    " left join tool_instances i on i.id = instance_id where response_id in"
)
# {owner} and {table}: what has attachments; {content}: their bytes, or how many these are.
_ATTACHMENTS = (
    "select {owner}, attachments.id, type, path, url, {content} from {table}"
    " join attachments on attachments.id = attachment_id where {owner} in"
)
_PAYLOADS = ("prompt_json", "response_json")
_JSON_COLUMNS = (*_PAYLOADS, "options_json", "schema_json")
_RESPONSE_TEXTS = "select id, response from responses where id in"
_FRAGMENT_TEXTS = "select id, content from fragments where id in"


class ToolRow(NamedTuple):
    """A tool as the old tables keep it."""

    id: int
    hash: str
    name: str
    description: str | None
    input_schema: str | None
    plugin: str | None


class CallRow(NamedTuple):
    """A tool call as the old tables keep it."""

    id: int
    tool_id: int | None
    name: str
    arguments: str | None
    tool_call_id: str | None


class ResultRow(NamedTuple):
    """A result of a tool, and the toolbox that gave it."""

    id: int
    tool_id: int | None
    name: str
    output: str
    tool_call_id: str | None
    exception: str | None
    instance_id: int | None
    instance_name: str
    plugin: str | None
    arguments: str | None


class AttachmentRow(NamedTuple):
    """An attachment, with its bytes or how many these are."""

    id: str
    type: str | None
    path: str | None
    url: str | None
    content: Any


class LegacyTurn(NamedTuple):
    """Everything that the old tables hold of one response."""

    row: JSONObject
    fragments: list[Fragment]
    system_fragments: list[Fragment]
    attachments: list[Attachment]
    tools: list[Tool]
    calls: list[ToolCallPart]
    results: list[ToolResult]
    schema: JSONObject | None


class _Belongings:
    """What belongs to some responses, by their ids, in a fixed number of queries."""

    def __init__(self, conn: sqlite3.Connection, ids: Sequence[str], *, content: bool) -> None:
        order = 'order by x.response_id, x.kind, x."order"'
        self.fragments = rows_by_ids(conn, _FRAGMENTS, ids, order)
        self.tools = _by_owner(conn, _TOOLS, ids, "order by tool_responses.rowid", ToolRow)
        self.calls = _by_owner(conn, _CALLS, ids, "order by id", CallRow)
        self.results = _by_owner(conn, _RESULTS, ids, "order by x.id", ResultRow)
        numbers = [result.id for results in self.results.values() for result in results]
        size = "content" if content else "nullif(length(content), 0)"
        self.attachments, self.result_attachments = (
            _by_owner(
                conn,
                _ATTACHMENTS.format(owner=owner, content=size, table=table),
                owners,
                'order by "order"',
                AttachmentRow,
            )
            for owner, table, owners in (
                ("response_id", "prompt_attachments", ids),
                ("tool_result_id", "tool_results_attachments", numbers),
            )
        )


def _by_owner(
    conn: sqlite3.Connection,
    select: str,
    ids: Iterable[str | int],
    order: str,
    make: Callable[..., T],
) -> defaultdict[str | int, list[T]]:
    found: defaultdict[str | int, list[T]] = defaultdict(list)
    for owner, *values in rows_by_ids(conn, select, ids, order):
        found[owner].append(make(*values))
    return found


def _responses(
    conn: sqlite3.Connection, where: str, value: str, *, payloads: bool = True
) -> list[JSONObject]:
    prompt, reply = ("r.prompt_json", "r.response_json") if payloads else ("null", "null")
    cursor = conn.execute(_RESPONSES.format(prompt=prompt, reply=reply, where=where), [value])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


# As turns


def load_legacy_turns(conn: sqlite3.Connection, conversation_id: str) -> list[LegacyTurn]:
    """The legacy responses of a conversation, oldest first, without those that are also turns."""
    return _complete_rows(conn, _responses(conn, _OF_CONVERSATION, conversation_id))


def legacy_turn(conn: sqlite3.Connection, row: Mapping[str, object]) -> LegacyTurn:
    """Everything that belongs to a row of `responses`."""
    sql = "select content from schemas where id = ?"
    schema = conn.execute(sql, [row["schema_id"]]).fetchone() or (None,)
    return _complete_rows(conn, [{**row, "schema_json": schema[0]}])[0]


def _complete_rows(conn: sqlite3.Connection, rows: Sequence[JSONObject]) -> list[LegacyTurn]:
    if not rows:
        return []
    found = _Belongings(conn, [row["id"] for row in rows], content=True)
    fragments: defaultdict[tuple[str, str], list[Fragment]] = defaultdict(list)
    for response_id, kind, _, _, content, source in found.fragments:
        fragments[response_id, kind].append(Fragment(content, source or ""))
    return [
        LegacyTurn(
            row,
            fragments[row["id"], "prompt"],
            fragments[row["id"], "system"],
            _attachments(found.attachments[row["id"]]),
            [_tool(tool) for tool in found.tools[row["id"]]],
            list(map(_call, sorted(found.calls[row["id"]], key=_by_call_id))),
            [
                _tool_result(result, found.result_attachments[result.id])
                for result in found.results[row["id"]]
            ],
            json.loads(row["schema_json"]) if row["schema_json"] else None,
        )
        for row in rows
    ]


def _attachments(rows: Iterable[AttachmentRow]) -> list[Attachment]:
    return [
        Attachment(type=row.type, path=row.path, url=row.url, content=row.content, _id=row.id)
        for row in rows
    ]


def _tool(row: ToolRow) -> Tool:
    from ...tools.tool import Tool

    schema = json.loads(row.input_schema or "{}")
    return Tool(row.name, row.description, schema, None, row.plugin)


def _call(row: CallRow) -> ToolCallPart:
    return ToolCallPart(row.name, json.loads(row.arguments or "{}"), row.tool_call_id)


def _by_call_id(row: CallRow) -> tuple[str, int]:
    return row.tool_call_id or "", row.id


def _tool_result(row: ResultRow, attachments: Iterable[AttachmentRow]) -> ToolResult:
    from ...models.turn_record import INSTANCE, remembered_exception
    from ...tools.calling import ToolResult

    result = ToolResult(
        name=row.name,
        output=row.output,
        attachments=_attachments(attachments),
        tool_call_id=row.tool_call_id,
        exception=remembered_exception(row.exception) if row.exception else None,
    )
    if row.instance_id is not None:
        vars(result)[INSTANCE] = instance_shape(row.instance_name, row.plugin, row.arguments)
    return result


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


# As rows


def legacy_rows(
    conn: sqlite3.Connection, ids: Iterable[str], *, expand: bool, payloads: bool
) -> list[JSONObject]:
    """The rows of some responses as `llm logs --json` shows them, in no order.

    Args:
        conn: A migrated log database.
        ids: Their ids; others are ignored.
        expand: Give the whole content of fragments.
        payloads: Read the provider's request and reply.
    """
    rows = _responses(conn, _NAMED, json_list(ids), payloads=payloads)
    found = _Belongings(conn, [row["id"] for row in rows], content=False)
    fragments = fragments_of(conn, [row[:5] for row in found.fragments], expand=expand)
    for row in rows:
        row_id = row["id"]
        for name in _JSON_COLUMNS:
            row[name] = decoded(row[name])
        row["prompt_fragments"] = fragments.get((row_id, "prompt"), [])
        row["system_fragments"] = fragments.get((row_id, "system"), [])
        row["tools"] = [
            {
                **dict(zip(ToolRow._fields[:4], tool, strict=False)),
                "input_schema": decoded(tool.input_schema),
                "instance": None,
            }
            for tool in sorted(found.tools[row_id])
        ]
        row["tool_calls"] = [
            {**call._asdict(), "arguments": decoded(call.arguments)} for call in found.calls[row_id]
        ]
        row["tool_results"] = [
            _result_row(result, found.result_attachments[result.id])
            for result in found.results[row_id]
        ]
        row["attachments"] = [_attachment_row(item) for item in found.attachments[row_id]]
    fill_in_payloads(conn, rows)
    return rows


def _result_row(result: ResultRow, attachments: Iterable[AttachmentRow]) -> JSONObject:
    row: JSONObject = dict(zip(ResultRow._fields[:6], result, strict=False))
    row["instance"] = None
    if result.instance_id is not None:
        row["instance"] = {
            "name": result.instance_name,
            "plugin": result.plugin,
            "arguments": result.arguments,
        }
    row["attachments"] = [_attachment_row(attachment) for attachment in attachments]
    return row


def _attachment_row(attachment: AttachmentRow) -> JSONObject:
    names = ("id", "type", "path", "url", "content_length")
    return dict(zip(names, attachment, strict=True))


# Payloads


def fill_in_payloads(conn: sqlite3.Connection, rows: list[JSONObject]) -> None:
    """Put back what 0.26 replaced in payloads: `r:ID`, that response; `f:ID`, `fID`, a fragment."""
    payloads = [row[name] for row in rows for name in _PAYLOADS]
    keys = {key for payload in payloads for key in _references(payload)}
    if not keys:
        return
    texts = _texts(conn, keys)
    for row in rows:
        for name in _PAYLOADS:
            row[name] = _filled_in(row[name], texts)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if list(value) == ["$"] and isinstance(value["$"], str):
            yield value["$"]
        value = list(value.values())
    if isinstance(value, list):
        yield from chain.from_iterable(map(_references, value))


def _texts(conn: sqlite3.Connection, keys: set[str]) -> dict[str, str]:
    responses = [key[2:] for key in keys if key.startswith("r:")]
    numbers = {key: key[1:].removeprefix(":") for key in keys if key.startswith("f")}
    fragments = {key: int(number) for key, number in numbers.items() if number.isdigit()}
    found = {f"r:{key}": text for key, text in rows_by_ids(conn, _RESPONSE_TEXTS, responses)}
    contents: dict[int, str] = dict(rows_by_ids(conn, _FRAGMENT_TEXTS, fragments.values()))
    found.update((key, contents[number]) for key, number in fragments.items() if number in contents)
    return found


def _filled_in(value: object, texts: Mapping[str, str]) -> object:
    """`value` with its references resolved; those that lead nowhere stay as they are."""
    if isinstance(value, list):
        return [_filled_in(item, texts) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: _filled_in(item, texts) for key, item in value.items()}
    match items:
        case {"$": str(key)} if len(value) == 1 and isinstance(value["$"], str):
            return texts.get(key, items)
        case {"$r": list(pieces)} if len(value) == 1:
            # A text that is kept in pieces, unless these are something else.
            with suppress(TypeError):
                return "".join(pieces)
    return items
