"""Rows as `llm logs --json` shows them, from turns and from the tables of older releases."""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

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
from ..records.condense import expand_reply
from ..records.messages import Chains, PartRow, attachments_in, joined_text
from ..records.outcome import read_outcomes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

#: A turn as the listings of the log have it.
Row = JSONObject

# The order of the columns, here and below, is that of the keys of `--json`.
TURNS = """
select t.id, t.model, t.resolved_model, cast(t.options_json as text) as options_json,
  t.thread_id as conversation_id, t.duration_ms, t.datetime_utc, t.input_tokens, t.output_tokens,
  cast(t.token_details as text) as token_details,
  threads.name as conversation_name, t.model as conversation_model,
  cast(schemas.content as text) as schema_json, null as prompt, null as system, null as response,
  null as reasoning, null as prompt_json, {reply} as response_json,
  t.parent_message_hash as parent, t.tip_message_hash as tip,
  exists (select 1 from turn_fragments x where x.turn_id = t.id) as has_fragments,
  exists (select 1 from turn_tools x where x.turn_id = t.id) as has_tools,
  exists (select 1 from tool_instantiations x where x.turn_id = t.id) as has_instances
from turns t left join threads on threads.id = t.thread_id
  left join schemas on schemas.id = t.schema_id
where {column} in
"""
TOOLS = f"""
select x.turn_id as owner, tools.id, tools.hash, tools.name, tools.description,
  tools.input_schema, tools.plugin,
  case when i.id is not null then {INSTANCE} end as instance
from turn_tools x join tools on tools.id = x.tool_id
  left join tool_instances i on i.id = x.instance_id
where x.turn_id in
"""
INSTANCES = f"""
select x.turn_id, x.tool_call_id, {INSTANCE}
from tool_instantiations x join tool_instances i on i.id = x.instance_id
where x.turn_id in
"""
FRAGMENTS = """
select x.turn_id, x.kind, f.id, f.hash, f.content
from turn_fragments x join fragments f on f.id = x.fragment_id
where x.turn_id in
"""
FRAGMENTS_ORDER = 'order by x.turn_id, x.kind, x."order"'
# Fields of the parts that tell of a call.
CALL = ("name", "arguments", "tool_call_id", "server_executed")
_ID = itemgetter("id")
RESULT = ("name", "output", "tool_call_id", "exception", "server_executed")


def build_rows(
    conn: sqlite3.Connection, ids: Sequence[str], *, expand: bool = False, payloads: bool = True
) -> list[Row]:
    """The rows of `ids`, turns and legacy responses alike, in the order given.

    Ids that are not in the log are left out. The row of a turn that is not complete has a `status`,
    and where there was one an `error`, as its last keys.

    Args:
        conn: A migrated log database.
        ids: Ids of turns or of legacy responses.
        expand: Give the whole content of fragments, not its first 100 characters.
        payloads: Read the providers' raw requests and replies; otherwise they are `None`.
    """
    rows = turn_rows(conn, "t.id", ids, payloads=payloads)
    found = {row["id"]: row for row in rows}
    _Builder(conn, rows, expand=expand).complete(rows)
    missing = [row_id for row_id in ids if row_id not in found]
    if missing:
        from ..older.legacy import legacy_rows

        old = legacy_rows(conn, missing, expand=expand, payloads=payloads)
        found.update((row["id"], row) for row in old)
    for row_id, (status, *texts) in read_outcomes(conn, list(found)).items():
        error = ": ".join(filter(None, texts))
        found[row_id]["status"] = status
        if error:
            found[row_id]["error"] = error
    return [found[row_id] for row_id in ids if row_id in found]


def turn_rows(
    conn: sqlite3.Connection, column: str, values: Iterable[str], *, payloads: bool = True
) -> list[JSONObject]:
    """Rows of `turns`, the keys that are in the table in the order of `--json`, and their ends."""
    reply = "cast(t.response_json as text)" if payloads else "null"
    return named_rows(conn, TURNS.format(reply=reply, column=column), values)


def add_tools(conn: sqlite3.Connection, turns: Sequence[JSONObject]) -> None:
    """Give each turn, by its id, its `tools` as they are stored, with the toolbox of each."""
    add_rows(conn, "tools", TOOLS, "order by x.rowid", turns)
    for turn in turns:
        for tool in turn["tools"]:
            tool["input_schema"] = decoded(tool["input_schema"])
            tool["instance"] = decoded(tool["instance"])


class _Builder:
    """What the rows of some turns are made of, read with a few queries for all of them."""

    def __init__(self, conn: sqlite3.Connection, rows: Sequence[Row], *, expand: bool) -> None:
        self._chains = Chains(conn, [(row["parent"], row["tip"]) for row in rows])
        # Most turns have none of these.
        ids = [row["id"] for row in rows if row.pop("has_fragments")]
        fragments = rows_by_ids(conn, FRAGMENTS, ids, FRAGMENTS_ORDER)
        self._fragments = fragments_of(conn, fragments, expand=expand)
        ids = [row["id"] for row in rows if row.pop("has_instances")]
        self._instances = {
            (turn_id, call_id): decoded(instance)
            for turn_id, call_id, instance in rows_by_ids(conn, INSTANCES, ids)
        }
        add_tools(conn, [row for row in rows if row.pop("has_tools")])

    def complete(self, rows: Iterable[Row]) -> None:
        """Fill in the rows; the order of their keys is part of the format."""
        for row in rows:
            messages = self._chains.turn(row.pop("parent"), row.pop("tip"))
            own = self._chains.parts(messages.own)
            outputs = self._chains.parts(messages.outputs)
            tools = sorted(row.pop("tools", ()), key=_ID)
            for tool in tools:
                # The plugins of these have never been shown.
                del tool["plugin"]
                if tool["instance"]:
                    del tool["instance"]["plugin"]
            row["options_json"] = decoded_object(row["options_json"])
            row["schema_json"] = decoded(row["schema_json"])
            row["prompt"] = joined_text(own)
            system = messages.system
            row["system"] = None if system is None else joined_text(self._chains.parts([system]))
            row["response"] = joined_text(outputs)
            row["reasoning"] = joined_text(outputs, "reasoning") or None
            row["response_json"] = self._reply(row, messages.outputs, tools)
            row["prompt_fragments"] = self._fragments.get((row["id"], "prompt"), [])
            row["system_fragments"] = self._fragments.get((row["id"], "system"), [])
            self._add_uses(row, tools, own, outputs)

    def _add_uses(
        self, row: Row, tools: list[JSONObject], own: list[PartRow], outputs: list[PartRow]
    ) -> None:
        """Add the tools that a turn had, what became of them, and its attachments."""
        row["tools"] = tools
        tool_ids = {tool["name"]: tool["id"] for tool in tools}
        row["tool_calls"] = [
            _of_call(part, tool_ids, CALL) for part in outputs if part.type == "tool_call"
        ]
        row["tool_results"] = self._results(row["id"], own, tool_ids)
        for result in self._results(row["id"], outputs, tool_ids):
            row["tool_results"].append({**result, "server_executed": True})
        files = [self._files(part.payload) for part in own if part.type == "attachment"]
        row["attachments"] = list(chain.from_iterable(files))

    def _results(
        self, turn_id: str, parts: Sequence[PartRow], tool_ids: Mapping[str, int]
    ) -> list[JSONObject]:
        return [
            {
                **_of_call(part, tool_ids, RESULT),
                "instance": self._instances.get((turn_id, str(part.payload.get("tool_call_id")))),
                "attachments": self._files(part.payload),
            }
            for part in parts
            if part.type == "tool_result"
        ]

    def _files(self, payload: JSONObject) -> list[JSONObject]:
        return [self._chains.attachment(reference) for reference in attachments_in(payload)]

    def _reply(self, row: Row, outputs: Sequence[str], tools: Iterable[JSONObject]) -> object:
        """The provider's reply; `None` where what it refers to cannot be found any more."""
        text, schema = row["response_json"], row["schema_json"]
        if text is None or '"$' not in text:
            return decoded(text)
        shapes = self._chains.as_dicts(outputs, metadata=".pm" in text)
        described = [(tool["name"], tool["description"]) for tool in tools]
        known_schema = schema if isinstance(schema, dict) else None
        try:
            return expand_reply(text, shapes, described, known_schema, row["model"])
        except (ValueError, TypeError, RecursionError):
            return None


def _of_call(part: PartRow, tool_ids: Mapping[str, int], names: Iterable[str]) -> JSONObject:
    """What a part tells of a call or of its result, in the order of `names`."""
    payload = part.payload
    tool_id = tool_ids.get(str(payload.get("name")))
    row = {"id": part.id, "tool_id": tool_id}
    for name in names:
        row[name] = payload.get(name)
    row["server_executed"] = bool(row["server_executed"])
    return row
