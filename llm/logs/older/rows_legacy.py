"""Rows of `llm logs --json` from the tables that releases before 0.32 wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...text import JSONObject
from ..file.lookups import attachment_rows, decoded, fragments_of, json_list, rows_by_ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

RESPONSES = """
select r.id, r.model, r.resolved_model, r.prompt, r.system,
  case when :payloads then r.prompt_json end as prompt_json, r.options_json, r.response,
  r.reasoning, case when :payloads then r.response_json end as response_json, r.conversation_id,
  r.duration_ms, r.datetime_utc, r.input_tokens, r.output_tokens, r.token_details,
  c.name as conversation_name, c.model as conversation_model, s.content as schema_json
from responses r left join conversations c on c.id = r.conversation_id
  left join schemas s on s.id = r.schema_id
where r.id in (select value from json_each(:ids))
"""
FRAGMENTS = """
select x.response_id, x.kind, f.id, f.hash, f.content from (
  select response_id, 'prompt' as kind, fragment_id, "order" from prompt_fragments
  union all
  select response_id, 'system', fragment_id, "order" from system_fragments) x
join fragments f on f.id = x.fragment_id
where x.response_id in (select value from json_each(?)) order by x.response_id, x.kind, x."order"
"""
TOOLS = """
select x.response_id, t.id, t.hash, t.name, t.description, t.input_schema
from tool_responses x join tools t on t.id = x.tool_id
where x.response_id in (select value from json_each(?)) order by x.response_id, t.id
"""
CALLS = """
select response_id, id, tool_id, name, arguments, tool_call_id from tool_calls
where response_id in (select value from json_each(?)) order by id
"""
RESULTS = """
select x.response_id, x.id, x.tool_id, x.name, x.output, x.tool_call_id, x.exception,
  i.id, i.name, i.plugin, i.arguments
from tool_results x left join tool_instances i on i.id = x.instance_id
where x.response_id in (select value from json_each(?)) order by x.id
"""
RESULT_ATTACHMENTS = """
select tool_result_id, attachment_id from tool_results_attachments
where tool_result_id in (select value from json_each(?)) order by tool_result_id, "order"
"""
PROMPT_ATTACHMENTS = """
select response_id, attachment_id from prompt_attachments
where response_id in (select value from json_each(?)) order by response_id, "order"
"""
RESPONSE_TEXTS = "select id, response from responses where id in"
FRAGMENT_TEXTS = "select id, content from fragments where id in"

JSON_COLUMNS = ("prompt_json", "options_json", "response_json", "schema_json")


def legacy_rows(
    conn: sqlite3.Connection, ids: str, *, expand: bool, payloads: bool
) -> list[JSONObject]:
    """The rows of some responses of the older tables, in no order.

    Args:
        conn: A migrated log database.
        ids: The ids, from `json_list`.
        expand: Give the whole content of fragments.
        payloads: Read the provider's request and reply.
    """
    cursor = conn.execute(RESPONSES, {"ids": ids, "payloads": payloads})
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, values, strict=True)) for values in cursor]
    fragments = fragments_of(conn, conn.execute(FRAGMENTS, [ids]).fetchall(), expand=expand)
    tools, calls, results = _tools(conn, ids), _calls(conn, ids), _results(conn, ids)
    attachments = _attachments(conn, PROMPT_ATTACHMENTS, ids)
    for row in rows:
        for name in JSON_COLUMNS:
            row[name] = decoded(row[name])
        row["prompt_fragments"] = fragments.get((row["id"], "prompt"), [])
        row["system_fragments"] = fragments.get((row["id"], "system"), [])
        row["tools"] = tools.get(row["id"], [])
        row["tool_calls"] = calls.get(row["id"], [])
        row["tool_results"] = results.get(row["id"], [])
        row["attachments"] = attachments.get(row["id"], [])
    fill_in_payloads(conn, rows)
    return rows


def _tools(conn: sqlite3.Connection, ids: str) -> dict[str, list[JSONObject]]:
    tools: dict[str, list[JSONObject]] = {}
    for response_id, tool_id, tool_hash, name, description, schema in conn.execute(TOOLS, [ids]):
        tool = {
            "id": tool_id,
            "hash": tool_hash,
            "name": name,
            "description": description,
            "input_schema": decoded(schema),
            "instance": None,
        }
        tools.setdefault(response_id, []).append(tool)
    return tools


def _calls(conn: sqlite3.Connection, ids: str) -> dict[str, list[JSONObject]]:
    calls: dict[str, list[JSONObject]] = {}
    for response_id, call_id, tool_id, name, arguments, tool_call_id in conn.execute(CALLS, [ids]):
        call = {
            "id": call_id,
            "tool_id": tool_id,
            "name": name,
            "arguments": decoded(arguments),
            "tool_call_id": tool_call_id,
        }
        calls.setdefault(response_id, []).append(call)
    return calls


def _results(conn: sqlite3.Connection, ids: str) -> dict[str, list[JSONObject]]:
    rows = conn.execute(RESULTS, [ids]).fetchall()
    attachments: dict[Any, list[JSONObject]] = {}
    if rows:
        attachments = _attachments(conn, RESULT_ATTACHMENTS, json_list(row[1] for row in rows))
    results: dict[str, list[JSONObject]] = {}
    for response_id, result_id, tool_id, name, output, call_id, exception, *instance in rows:
        result = {
            "id": result_id,
            "tool_id": tool_id,
            "name": name,
            "output": output,
            "tool_call_id": call_id,
            "exception": exception,
            "instance": _instance(*instance),
            "attachments": attachments.get(result_id, []),
        }
        results.setdefault(response_id, []).append(result)
    return results


def _instance(
    instance_id: int | None, name: str | None, plugin: str | None, arguments: str | None
) -> JSONObject | None:
    if instance_id is None:
        return None
    return {"name": name, "plugin": plugin, "arguments": arguments}


def _attachments(conn: sqlite3.Connection, sql: str, ids: str) -> dict[Any, list[JSONObject]]:
    used = conn.execute(sql, [ids]).fetchall()
    stored = attachment_rows(conn, {attachment_id for _, attachment_id in used})
    found: dict[Any, list[JSONObject]] = {}
    for owner, attachment_id in used:
        if attachment_id in stored:
            names = ("id", "type", "path", "url", "content_length")
            shown = dict(zip(names, stored[attachment_id], strict=True))
            found.setdefault(owner, []).append(shown)
    return found


def fill_in_payloads(conn: sqlite3.Connection, rows: list[JSONObject]) -> None:
    """Put back what 0.26 replaced in payloads: `r:ID`, that response; `f:ID`, `fID`, a fragment."""
    payloads = [row[name] for row in rows for name in ("prompt_json", "response_json")]
    keys = {key for payload in payloads for key in _references(payload)}
    if not keys:
        return
    texts = _texts(conn, keys)
    for row in rows:
        for name in ("prompt_json", "response_json"):
            row[name] = _filled_in(row[name], texts)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if list(value) == ["$"] and isinstance(value["$"], str):
            yield value["$"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _texts(conn: sqlite3.Connection, keys: set[str]) -> dict[str, str]:
    responses = [key[2:] for key in keys if key.startswith("r:")]
    fragments = {key: int(number) for key in keys if (number := _fragment_number(key)).isdigit()}
    found = {f"r:{key}": text for key, text in rows_by_ids(conn, RESPONSE_TEXTS, responses)}
    contents = dict(rows_by_ids(conn, FRAGMENT_TEXTS, fragments.values()))
    found.update((key, contents[number]) for key, number in fragments.items() if number in contents)
    return found


def _fragment_number(key: str) -> str:
    return key[1:].removeprefix(":") if key.startswith("f") else ""


def _filled_in(value: Any, texts: dict[str, str]) -> Any:
    """`value` with its references resolved; those that lead nowhere stay as they are."""
    if isinstance(value, list):
        return [_filled_in(item, texts) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: _filled_in(item, texts) for key, item in value.items()}
    if list(value) == ["$"] and value["$"] in texts:
        return texts[value["$"]]
    if list(value) == ["$r"] and isinstance(value["$r"], list):
        pieces = items["$r"]
        if all(isinstance(piece, str) for piece in pieces):
            return "".join(pieces)
    return items
