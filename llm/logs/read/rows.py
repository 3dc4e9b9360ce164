"""Rows as `llm logs --json` shows them, from turns and from the tables of older releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...text import JSONObject
from ..file.lookups import decoded, decoded_object, fragments_of, rows_by_ids
from ..records.condense import expand_reply
from ..records.messages import Chains, PartRow, TurnMessages, attachments_in, joined_text
from ..records.outcome import read_outcomes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    Row = JSONObject

TURNS = """
select t.id, t.model, t.resolved_model, t.options_json, t.thread_id, t.duration_ms, t.datetime_utc,
  t.input_tokens, t.output_tokens, t.token_details, threads.name, schemas.content,
  {payload}, t.parent_message_hash, t.tip_message_hash,
  exists (select 1 from turn_fragments x where x.turn_id = t.id),
  exists (select 1 from turn_tools x where x.turn_id = t.id),
  exists (select 1 from tool_instantiations x where x.turn_id = t.id)
from turns t left join threads on threads.id = t.thread_id
  left join schemas on schemas.id = t.schema_id
where t.id in
"""
TOOLS = """
select x.turn_id, tools.id, tools.hash, tools.name, tools.description, tools.input_schema,
  i.id, i.name, i.arguments
from turn_tools x join tools on tools.id = x.tool_id
  left join tool_instances i on i.id = x.instance_id
where x.turn_id in
"""
TOOLS_ORDER = "order by x.turn_id, tools.id"
INSTANCES = """
select x.turn_id, x.tool_call_id, i.name, i.plugin, i.arguments
from tool_instantiations x join tool_instances i on i.id = x.instance_id
where x.turn_id in
"""
FRAGMENTS = """
select x.turn_id, x.kind, f.id, f.hash, f.content
from turn_fragments x join fragments f on f.id = x.fragment_id
where x.turn_id in
"""
FRAGMENTS_ORDER = 'order by x.turn_id, x.kind, x."order"'


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
    found = {row["id"]: row for row in _turn_rows(conn, ids, expand=expand, payloads=payloads)}
    missing = [row_id for row_id in ids if row_id not in found]
    if missing:
        from ..older.legacy import legacy_rows

        old = legacy_rows(conn, missing, expand=expand, payloads=payloads)
        found.update((row["id"], row) for row in old)
    for row_id, (status, *error) in read_outcomes(conn, list(found)).items():
        found[row_id]["status"] = status
        if any(error):
            found[row_id]["error"] = ": ".join(filter(None, error))
    return [found[row_id] for row_id in ids if row_id in found]


def _turn_rows(
    conn: sqlite3.Connection, ids: Sequence[str], *, expand: bool, payloads: bool
) -> list[JSONObject]:
    """The rows of some turns, in no order.

    Args:
        conn: A migrated log database.
        ids: The turn ids.
        expand: Give the whole content of fragments.
        payloads: Read the provider's reply.
    """
    select = TURNS.format(payload="t.response_json" if payloads else "null")
    turns = [_Turn._make(record) for record in rows_by_ids(conn, select, ids)]
    if not turns:
        return []
    builder = _Builder(conn, turns, expand=expand)
    return [builder.row(turn) for turn in turns]


class _Turn(NamedTuple):
    """What `TURNS` selects."""

    id: str
    model: str | None
    resolved_model: str | None
    options_json: str | None
    thread_id: str | None
    duration_ms: int | None
    datetime_utc: str | None
    input_tokens: int | None
    output_tokens: int | None
    token_details: str | None
    conversation_name: str | None
    schema_json: str | None
    response_json: str | None
    parent: str | None
    tip: str | None
    has_fragments: int
    has_tools: int
    has_instances: int


class _Builder:
    """What the rows of some turns are made of, read with a few queries for all of them."""

    def __init__(self, conn: sqlite3.Connection, turns: Sequence[_Turn], *, expand: bool) -> None:
        self._chains = Chains(conn, [(turn.parent, turn.tip) for turn in turns])
        # Most turns have none of these.
        ids = [turn.id for turn in turns if turn.has_fragments]
        fragments = rows_by_ids(conn, FRAGMENTS, ids, FRAGMENTS_ORDER)
        self._fragments = fragments_of(conn, fragments, expand=expand)
        ids = [turn.id for turn in turns if turn.has_tools]
        self._tools: dict[str, list[JSONObject]] = {}
        for turn_id, *values in rows_by_ids(conn, TOOLS, ids, TOOLS_ORDER):
            self._tools.setdefault(turn_id, []).append(_tool(*values))
        ids = [turn.id for turn in turns if turn.has_instances]
        self._instances = {
            (turn_id, call_id): {"name": name, "plugin": plugin, "arguments": arguments}
            for turn_id, call_id, name, plugin, arguments in rows_by_ids(conn, INSTANCES, ids)
        }

    def row(self, turn: _Turn) -> JSONObject:
        """One row; the order of its keys is part of the format."""
        messages = self._chains.turn(turn.parent, turn.tip)
        own = list(self._chains.parts(messages.own))
        outputs = list(self._chains.parts(messages.outputs))
        tools = self._tools.get(turn.id, [])
        numbers = {tool["name"]: tool["id"] for tool in tools}
        schema = decoded(turn.schema_json)
        return {
            "id": turn.id,
            "model": turn.model,
            "resolved_model": turn.resolved_model,
            "options_json": decoded_object(turn.options_json),
            "conversation_id": turn.thread_id,
            "duration_ms": turn.duration_ms,
            "datetime_utc": turn.datetime_utc,
            "input_tokens": turn.input_tokens,
            "output_tokens": turn.output_tokens,
            "token_details": turn.token_details,
            "conversation_name": turn.conversation_name,
            "conversation_model": turn.model,
            "schema_json": schema,
            "prompt": joined_text(own),
            "system": self._chains.system(messages.first),
            "response": joined_text(outputs),
            "reasoning": joined_text(outputs, "reasoning") or None,
            "prompt_json": None,
            "response_json": self._payload(turn, messages, tools, schema),
            "prompt_fragments": self._fragments.get((turn.id, "prompt"), []),
            "system_fragments": self._fragments.get((turn.id, "system"), []),
            "tools": tools,
            "tool_calls": [_call(part, numbers) for part in outputs if part.type == "tool_call"],
            "tool_results": self._results(turn.id, own, outputs, numbers),
            "attachments": [
                self._chains.attachment(reference)
                for part in own
                if part.type == "attachment"
                for reference in attachments_in(part.payload)
            ],
        }

    def _results(
        self,
        turn_id: str,
        own: list[PartRow],
        outputs: list[PartRow],
        numbers: Mapping[str, int],
    ) -> list[JSONObject]:
        given = [(part, False) for part in own] + [(part, True) for part in outputs]
        return [
            self._result(turn_id, part, numbers, by_server)
            for part, by_server in given
            if part.type == "tool_result"
        ]

    def _result(
        self, turn_id: str, part: PartRow, numbers: Mapping[str, int], by_server: bool
    ) -> JSONObject:
        payload = part.payload
        name, call_id = payload.get("name"), payload.get("tool_call_id")
        return {
            "id": part.id,
            "tool_id": numbers.get(str(name)),
            "name": name,
            "output": payload.get("output"),
            "tool_call_id": call_id,
            "exception": payload.get("exception"),
            "server_executed": by_server or bool(payload.get("server_executed")),
            "instance": self._instances.get((turn_id, str(call_id))),
            "attachments": [self._chains.attachment(ref) for ref in attachments_in(payload)],
        }

    def _payload(
        self, turn: _Turn, messages: TurnMessages, tools: list[JSONObject], schema: object
    ) -> object:
        """The provider's reply; `None` where what it refers to cannot be found any more."""
        text = turn.response_json
        if text is None or '"$' not in text:
            return decoded(text)
        outputs = self._chains.as_dicts(messages.outputs, metadata=".pm" in text)
        described = [(tool["name"], tool["description"]) for tool in tools]
        known_schema = schema if isinstance(schema, dict) else None
        try:
            return expand_reply(text, outputs, described, known_schema, turn.model)
        except ValueError:
            return None


def _tool(
    tool_id: int,
    tool_hash: str,
    name: str,
    description: str | None,
    input_schema: str | None,
    instance_id: int | None,
    instance_name: str | None,
    arguments: str | None,
) -> JSONObject:
    instance = None
    if instance_id is not None:
        instance = {"name": instance_name, "arguments": arguments}
    return {
        "id": tool_id,
        "hash": tool_hash,
        "name": name,
        "description": description,
        "input_schema": decoded(input_schema),
        "instance": instance,
    }


def _call(part: PartRow, numbers: Mapping[str, int]) -> JSONObject:
    payload = part.payload
    name = payload.get("name")
    return {
        "id": part.id,
        "tool_id": numbers.get(str(name)),
        "name": name,
        "arguments": payload.get("arguments"),
        "tool_call_id": payload.get("tool_call_id"),
        "server_executed": bool(payload.get("server_executed")),
    }
