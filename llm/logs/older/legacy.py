"""What releases before 0.32 logged, one row of `responses` for each prompt, read in one way.

It is shown as rows of `llm logs --json`, and goes on as turns of a conversation. These tables are
never written here. A legacy response carries only its own input; the history before it is the
responses before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING

from ...content import Fragment
from ...text import JSONObject
from ..file.lookups import (
    INSTANCE,
    add_rows,
    decoded,
    decoded_object,
    fragments_of,
    named_rows,
    rows_by_ids,
)

if TYPE_CHECKING:
    import sqlite3

    from ...serialization import InstanceDict
    from ..file.lookups import SQLRow

# The order of the columns, here and below, is that of the keys of `--json`.
_RESPONSES = """
select r.id, r.model, r.resolved_model, r.prompt, r.system, {prompt} as prompt_json,
  cast(r.options_json as text) as options_json, r.response, r.reasoning, {reply} as response_json,
  r.conversation_id, r.duration_ms, r.datetime_utc, r.input_tokens, r.output_tokens,
  cast(r.token_details as text) as token_details,
  c.name as conversation_name, c.model as conversation_model, cast(s.content as text) as schema_json
from responses r left join conversations c on c.id = r.conversation_id
  left join schemas s on s.id = r.schema_id
where {column} in
"""
_NO_TURNS = "and r.id not in (select id from turns) order by r.id"
_FRAGMENTS = """
select x.response_id, x.kind, f.id, f.hash, f.content, f.source from (
  select response_id, 'prompt' as kind, fragment_id, "order" from prompt_fragments
  union all
  select response_id, 'system', fragment_id, "order" from system_fragments) x
join fragments f on f.id = x.fragment_id where x.response_id in
"""
_FRAGMENTS_ORDER = 'order by x.response_id, x.kind, x."order"'
_BELONGINGS = {
    "tools": """
        select response_id as owner, id, hash, name, description, input_schema, plugin
        from tool_responses x join tools on tools.id = tool_id""",
    "tool_calls": """
        select response_id as owner, id, tool_id, name, cast(arguments as text) as arguments,
          tool_call_id
        from tool_calls x""",
    "tool_results": f"""
        select response_id as owner, x.id, tool_id, x.name, output, tool_call_id, exception,
          case when i.id is not null then {INSTANCE} end as instance
        from tool_results x left join tool_instances i on i.id = instance_id""",
}
# {owner} and {table}: what has attachments; {content}: their bytes, or how many these are.
_ATTACHMENTS = """
select {owner} as owner, attachments.id, type, path, url, {content} from {table}
join attachments on attachments.id = attachment_id where {owner} in
"""
_LENGTH = "nullif(length(content), 0) as content_length"
PAYLOADS = ("prompt_json", "response_json")
_PAYLOADS_AS_TEXT = ("cast(r.prompt_json as text)", "cast(r.response_json as text)")
# What the references in payloads are to, by the letter that these begin with.
_TEXTS = {
    "r": "select response from responses where id = ?",
    "f": "select content from fragments where id = cast(? as integer)",
}


def _responses(
    conn: sqlite3.Connection, column: str, ids: Iterable[str], tail: str, *, payloads: bool = True
) -> list[JSONObject]:
    prompt, reply = _PAYLOADS_AS_TEXT if payloads else ("null", "null")
    select = _RESPONSES.format(prompt=prompt, reply=reply, column=column)
    return named_rows(conn, select, ids, tail)


def _fragments(conn: sqlite3.Connection, rows: Iterable[JSONObject]) -> list[SQLRow]:
    return rows_by_ids(conn, _FRAGMENTS, [row["id"] for row in rows], _FRAGMENTS_ORDER)


def _add_belongings(conn: sqlite3.Connection, rows: list[JSONObject], content: str) -> None:
    """Put into rows of `responses` what belongs to them; `content` is what to read of files."""
    for name, sql in _BELONGINGS.items():
        add_rows(conn, name, f"{sql} where response_id in", "order by x.rowid", rows)
    for tool in (tool for row in rows for tool in row["tools"]):
        tool["input_schema"] = decoded(tool["input_schema"])
    results = [result for row in rows for result in row["tool_results"]]
    for result in results:
        result["instance"] = decoded(result["instance"])
    for owners, owner, table in (
        (results, "tool_result_id", "tool_results_attachments"),
        (rows, "response_id", "prompt_attachments"),
    ):
        sql = _ATTACHMENTS.format(owner=owner, table=table, content=content)
        add_rows(conn, "attachments", sql, 'order by "order"', owners)


# To go on with


def load_legacy_rows(conn: sqlite3.Connection, conversation_id: str) -> list[JSONObject]:
    """The legacy responses of a conversation, oldest first, without those that are also turns.

    Returns:
        Rows of `responses` with the text of their schema, their `prompt_fragments` and
        `system_fragments`, and what else belongs to them as it is stored.
    """
    return _whole(conn, _responses(conn, "r.conversation_id", [conversation_id], _NO_TURNS))


def legacy_row(conn: sqlite3.Connection, row: Mapping[str, object]) -> JSONObject:
    """A row of `responses` with what belongs to it; see `load_legacy_rows`."""
    sql = "select content from schemas where id = ?"
    schema = conn.execute(sql, [row["schema_id"]]).fetchone() or (None,)
    return _whole(conn, [{**row, "schema_json": schema[0]}])[0]


def _whole(conn: sqlite3.Connection, rows: list[JSONObject]) -> list[JSONObject]:
    _add_belongings(conn, rows, "content")
    by_id = {row["id"]: row for row in rows}
    for row in rows:
        row.update(prompt_fragments=[], system_fragments=[])
    for row_id, kind, _, _, content, source in _fragments(conn, rows):
        by_id[row_id][f"{kind}_fragments"].append(Fragment(content, source or ""))
    return rows


def instance_shape(name: str, plugin: str | None, arguments: str | None) -> InstanceDict:
    """A stored toolbox or provider tool in JSON values."""
    shape: InstanceDict = {"name": name, "arguments": decoded_object(arguments)}
    if plugin is not None:
        shape["plugin"] = plugin
    return shape


def legacy_tool_specs(rows: Sequence[JSONObject]) -> list[str]:
    """Specifications of the tools that plugins gave to a legacy conversation, by its rows.

    A method of a toolbox was logged as `Toolbox_method`; which toolbox that was is known from the
    results of the conversation.
    """
    results = [result for row in rows for result in row["tool_results"]]
    boxes = [result["instance"] for result in results if result["instance"] is not None]
    tools = next((row["tools"] for row in rows if row["tools"]), ())
    specs = [spec for tool in tools if tool["plugin"] for spec in _specs(tool["name"], boxes)]
    return list(dict.fromkeys(specs))


def _specs(name: str, boxes: Iterable[JSONObject]) -> list[str]:
    owners = [box for box in boxes if name.startswith(f"{box['name']}_")]
    return [f"{box['name']}({box['arguments']})" for box in owners] or [name]


# To be shown


def legacy_rows(
    conn: sqlite3.Connection, ids: Iterable[str], *, expand: bool, payloads: bool
) -> list[JSONObject]:
    """The rows of those of `ids` that are responses, in no order; see `rows.build_rows`."""
    rows = _responses(conn, "r.id", ids, "", payloads=payloads)
    fragments = fragments_of(conn, [row[:5] for row in _fragments(conn, rows)], expand=expand)
    for row in rows:
        for kind in ("prompt", "system"):
            row[f"{kind}_fragments"] = fragments.get((row["id"], kind), [])
    _add_belongings(conn, rows, _LENGTH)
    for row in rows:
        for name in (*PAYLOADS, "options_json", "schema_json"):
            row[name] = decoded(row[name])
        row["tools"].sort(key=itemgetter("id"))
        for tool in row["tools"]:
            del tool["plugin"]
            tool["instance"] = None
        for call in row["tool_calls"]:
            call["arguments"] = decoded(call["arguments"])
    fill_in_payloads(conn, rows)
    return rows


# Payloads


def fill_in_payloads(conn: sqlite3.Connection, rows: Iterable[JSONObject]) -> None:
    """Put back what 0.26 replaced in payloads: `r:ID`, that response; `f:ID`, `fID`, a fragment."""

    @cache
    def text_of(key: str) -> str | None:
        kind, number = key[:1], key[1:].removeprefix(":")
        if not (number.isdigit() if kind == "f" else key.startswith("r:")):
            return None
        text: str | None = (conn.execute(_TEXTS[kind], [number]).fetchone() or (None,))[0]
        return text

    for row in rows:
        for name in PAYLOADS:
            row[name] = _filled_in(row[name], text_of)


def _filled_in(value: object, text_of: Callable[[str], str | None]) -> object:
    """`value` with its references resolved; those that lead nowhere stay as they are."""
    if isinstance(value, list):
        return [_filled_in(item, text_of) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: _filled_in(item, text_of) for key, item in value.items()}
    match items:
        case {"$": str(key)} if len(value) == 1 and isinstance(value["$"], str):
            text = text_of(key)
            return items if text is None else text
        case {"$r": list(pieces)} if len(value) == 1:
            # A text that is kept in pieces, unless these are something else.
            with suppress(TypeError):
                return "".join(pieces)
    return items
