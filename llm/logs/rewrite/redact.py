"""Rewriting a text wherever the log holds it, so that the log stays whole.

Names of models and tools, and ids, are no texts: they stay. An attachment goes when the pattern
matches its whole id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from ...tools.tool import Tool
from ..file.lookups import decoded, decoded_object, json_list
from ..file.migrations import has_table, immediate
from ..records.condense import condensed_json, load_reply, replacements_of_turn
from ..records.messages import load_chain, payload_of
from ..records.shared import ensure_schema
from .redact_messages import MessageRedaction
from .scrub import Scrubber

_COLUMNS = {
    "turn_search": ("prompt", "response"),
    "turns": ("options_json", "token_details"),
    "turn_status": ("error",),
    "threads": ("name",),
    "conversations": ("name",),
    "responses": (
        *("prompt", "system", "prompt_json", "options_json", "response", "response_json"),
        *("token_details", "reasoning"),
    ),
    "tool_calls": ("arguments",),
    "tool_results": ("output", "exception"),
    "tool_instances": ("arguments",),
    "fragments": ("source",),
    "fragment_aliases": ("alias",),
    "logs": ("prompt", "system", "prompt_json", "options_json", "response", "response_json"),
}
_OF_JSON = ("options_json", "prompt_json", "response_json", "token_details", "arguments")
_SCHEMAS = "select id, scrub_json(content) from schemas where scrub_json(content) is not content"
_TOOLS = """
select id, name, plugin, scrub_text(ifnull(description, '')),
    scrub_json(ifnull(nullif(input_schema, ''), 'null'))
from tools where scrub_text(description) is not description
    or scrub_json(input_schema) is not input_schema
"""
_LEGACY_PROMPTS = (
    "select prompt, scrub_text(prompt) from responses"
    " where prompt is not null and scrub_text(prompt) is not prompt"
)
_CONCERNED = """
with recursive later (hash) as (
    select value from json_each(:changed)
    union
    select messages.hash from later join messages on messages.parent_hash = later.hash
),
defined_anew (id) as (
    select id from turns where schema_id in (select value from json_each(:schemas))
    union
    select turn_id from turn_tools where tool_id in (select value from json_each(:tools))
)
select id, parent_message_hash, tip_message_hash, response_json,
    id in (select id from defined_anew)
from turns where typeof(response_json) = 'text' and (
    tip_message_hash in (select hash from later)
    or scrub_json(response_json) is not response_json
    or id in (select id from defined_anew))
"""


# A value of a column.
Stored: TypeAlias = "str | bytes | int | float | None"


class Redacted(NamedTuple):
    """What was rewritten: numbers of messages, fragments, attachments and other values."""

    messages: int
    fragments: int
    attachments: int
    values: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class _Reply(NamedTuple):
    """The raw reply of a turn, rewritten: in full, or as text if it refers to what is gone."""

    turn_id: str
    payload: object
    text: str | None = None


class _Redaction:
    """What has to change in a log, found before anything does."""

    def __init__(self, conn: sqlite3.Connection, scrubber: Scrubber) -> None:
        scrubber.install(conn)
        conn.create_function("scrub_odd", 1, lambda text: _scrubbed_odd(text, scrubber))
        self.messages = MessageRedaction(conn, scrubber)
        self.schemas: dict[str, str] = dict(conn.execute(_SCHEMAS).fetchall())
        self.tools = conn.execute(_TOOLS).fetchall()
        self.replies = list(self._replies(conn, scrubber))
        counts = (f"select count(*) from {table} where {test}" for table, _, test in _columns(conn))
        self.values: int = sum(conn.execute(sql).fetchone()[0] for sql in counts)

    def counted(self) -> Redacted:
        """How much that is."""
        values = self.values + len(self.schemas) + len(self.tools) + len(self.replies)
        work = self.messages
        return Redacted(len(work.changed), len(work.fragments), len(work.attachments), values)

    def _replies(self, conn: sqlite3.Connection, scrubber: Scrubber) -> Iterator[_Reply]:
        changed = self.messages.changed
        values = {
            "changed": json_list(changed),
            "schemas": json_list(self.schemas),
            "tools": json_list(number for number, *_ in self.tools),
        }
        rows = conn.execute(_CONCERNED, values).fetchall()
        for turn_id, parent, tip, text, is_defined_anew in rows:
            try:
                outputs = [row.hash for row in load_chain(conn, tip, after=parent)]
                is_answered_anew = not changed.isdisjoint(outputs)
                # Else only the history before it has changed.
                if is_defined_anew or is_answered_anew or scrubber.json(text) != text:
                    yield _Reply(turn_id, scrubber.value(load_reply(conn, turn_id)))
            except (ValueError, KeyError, RecursionError):
                yield _Reply(turn_id, None, scrubber.json(text))


def find(conn: sqlite3.Connection, scrubber: Scrubber) -> Redacted:
    """What `redact` would rewrite; nothing is written."""
    return _Redaction(conn, scrubber).counted()


def redact(conn: sqlite3.Connection, scrubber: Scrubber) -> Redacted:
    """Replace what a pattern matches everywhere in the log, in one transaction.

    Messages get new content addresses, chains are linked anew, and messages that have become
    equal are merged. The space is not given back and may still hold the texts: see
    `upkeep.compact`.

    Args:
        conn: A migrated log database that can be written.
        scrubber: The pattern and what is put in its place.

    Returns:
        What `find` says of the same log: titles that follow from a prompt count with it.
    """
    with immediate(conn):
        found = _Redaction(conn, scrubber)
        found.messages.note_names(conn.execute(_LEGACY_PROMPTS).fetchall())
        for key, text in found.schemas.items():
            _replace_schema(conn, key, text)
        for number, name, plugin, *texts in found.tools:
            _replace_tool(conn, number, name, plugin, texts)
        found.messages.apply()
        for reply in found.replies:
            _write_reply(conn, reply)
        found.messages.rename_conversations()
        for table, setting, test in _columns(conn):
            # An alias may have become one that exists.
            sql = f"update or replace {table} set {setting} where {test}"
            conn.execute(sql)
    return found.counted()


def _columns(conn: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """The columns that are in this file: table, what sets it, the test for a match in a row."""
    for table, columns in _COLUMNS.items():
        for column in columns if has_table(conn, table) else ():
            scrubbed = f"scrub_{'json' if column in _OF_JSON else 'text'}({column})"
            test = f"{column} is not null and {scrubbed} is not {column}"
            yield table, f"{column} = {scrubbed}", test
    odd = "payload is not null and scrub_odd(payload) is not payload"
    yield "parts", "payload = scrub_odd(payload)", odd


def _scrubbed_odd(payload: Stored, scrubber: Scrubber) -> Stored:
    """The payload of a part, rewritten where it is none, and so no part of what is sent on."""
    if not isinstance(payload, str) or payload_of(payload) == decoded(payload):
        return payload
    return scrubber.json(payload)


def _replace_schema(conn: sqlite3.Connection, key: str, text: str) -> None:
    schema = decoded(text)
    if not isinstance(schema, dict):
        conn.execute("update schemas set content = ? where id = ?", [text, key])
        return
    new = ensure_schema(conn, schema)
    for table in ("turns", "responses"):
        conn.execute(f"update {table} set schema_id = ? where schema_id = ?", [new, key])
    conn.execute("delete from schemas where id = ?", [key])


def _replace_tool(
    conn: sqlite3.Connection, number: int, name: str, plugin: str | None, texts: Sequence[str]
) -> None:
    """Rewrite a tool and its hash, which stays only where another tool has the new one."""
    description, schema = texts
    digest = Tool(name, description, decoded_object(schema), plugin=plugin).hash()
    sql = "update tools set description = ?, input_schema = ? where id = ?"
    conn.execute(sql, [description, schema, number])
    conn.execute("update or ignore tools set hash = ? where id = ?", [digest, number])


def _write_reply(conn: sqlite3.Connection, reply: _Reply) -> None:
    """Store a rewritten reply, with references to the texts as they are now."""
    turn_id, payload, text = reply
    if text is None:
        text = condensed_json(payload, replacements_of_turn(conn, turn_id))
    conn.execute("update turns set response_json = ? where id = ?", [text, turn_id])
