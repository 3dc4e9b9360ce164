"""Rewriting a text wherever the log holds it, so that the log stays whole.

Names of models and tools, and ids, are no texts: they stay. An attachment goes when the pattern
matches its whole id.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from ..file.migrations import immediate
from .redact_messages import MessageRedaction, concerned_replies, write_reply

if TYPE_CHECKING:
    import sqlite3

    from .scrub import Scrubber

# Table, column, and how it is written.
_COLUMNS = (
    ("turn_search", "prompt", "text"),
    ("turn_search", "response", "text"),
    ("turns", "options_json", "json"),
    ("turns", "token_details", "json"),
    ("turn_status", "error", "text"),
    ("threads", "name", "text"),
    ("conversations", "name", "text"),
    ("responses", "prompt", "text"),
    ("responses", "system", "text"),
    ("responses", "prompt_json", "json"),
    ("responses", "options_json", "json"),
    ("responses", "response", "text"),
    ("responses", "response_json", "json"),
    ("responses", "token_details", "json"),
    ("responses", "reasoning", "text"),
    ("tool_calls", "arguments", "json"),
    ("tool_results", "output", "text"),
    ("tool_results", "exception", "text"),
    ("tool_instances", "arguments", "json"),
    ("fragments", "source", "text"),
    ("fragment_aliases", "alias", "text"),
    ("logs", "prompt", "text"),
    ("logs", "system", "text"),
    ("logs", "prompt_json", "json"),
    ("logs", "options_json", "json"),
    ("logs", "response", "text"),
    ("logs", "response_json", "json"),
)
_LEGACY_PROMPTS = (
    "select prompt, scrub_text(prompt) from responses"
    " where prompt is not null and scrub_text(prompt) is not prompt"
)


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


def find(conn: sqlite3.Connection, scrubber: Scrubber) -> Redacted:
    """What `redact` would rewrite; nothing is written."""
    scrubber.install(conn)
    work = MessageRedaction(conn, scrubber)
    values = sum(
        conn.execute(f"select count(*) from {table} where {test}").fetchone()[0]
        for table, _, _, test in _columns(conn)
    )
    values += len(_schemas(conn, scrubber)) + len(_tools(conn, scrubber))
    return Redacted(len(work.changed), len(work.fragments), len(work.attachments), values)


def redact(conn: sqlite3.Connection, scrubber: Scrubber) -> Redacted:
    """Replace what a pattern matches everywhere in the log, in one transaction.

    Messages get new content addresses, chains are linked anew, and messages that have become
    equal are merged. The space is not given back and may still hold the texts: see
    `upkeep.compact`.

    Args:
        conn: A migrated log database that can be written.
        scrubber: The pattern and what is put in its place.
    """
    scrubber.install(conn)
    with immediate(conn):
        work = MessageRedaction(conn, scrubber)
        schemas, tools = _schemas(conn, scrubber), _tools(conn, scrubber)
        replies = concerned_replies(conn, scrubber, work.changed, schemas, tools)
        work.note_names(conn.execute(_LEGACY_PROMPTS).fetchall())
        for key, text in schemas.items():
            _replace_schema(conn, key, text)
        for number, texts in tools.items():
            _replace_tool(conn, number, *texts)
        work.apply()
        for reply in replies:
            write_reply(conn, reply, work.moved)
        values = len(schemas) + len(tools) + len(replies) + work.rename_conversations()
        for table, column, kind, test in _columns(conn):
            # An alias may have become one that exists.
            sql = f"update or replace {table} set {column} = scrub_{kind}({column}) where {test}"
            values += conn.execute(sql).rowcount
    return Redacted(len(work.changed), len(work.fragments), len(work.attachments), values)


def _columns(conn: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
    """The columns that are in this file, with the test whether a row has a match there."""
    tables = {name for (name,) in conn.execute("select name from sqlite_master")}
    return [
        (table, column, kind, f"{column} is not null and scrub_{kind}({column}) is not {column}")
        for table, column, kind in _COLUMNS
        if table in tables
    ]


def _schemas(conn: sqlite3.Connection, scrubber: Scrubber) -> dict[str, str]:
    """The schemas with a match: their new text by id."""
    found = {}
    for key, text in conn.execute("select id, content from schemas where content is not null"):
        compact = scrubber.json(text, separators=(",", ":"))
        if compact != text:
            found[key] = compact
    return found


def _tools(conn: sqlite3.Connection, scrubber: Scrubber) -> dict[int, tuple[str, str]]:
    """The tools with a match: their new description and schema by number."""
    found = {}
    for number, *texts in conn.execute("select id, description, input_schema from tools"):
        old = (texts[0] or "", texts[1] or "null")
        new = (scrubber.text(old[0]), scrubber.json(old[1]))
        if new != old:
            found[number] = new
    return found


def _replace_schema(conn: sqlite3.Connection, key: str, text: str) -> None:
    from ...schemas.notation import make_schema_id

    new, _ = make_schema_id(json.loads(text))
    conn.execute("insert or ignore into schemas (id, content) values (?, ?)", [new, text])
    for table in ("turns", "responses"):
        conn.execute(f"update {table} set schema_id = ? where schema_id = ?", [new, key])
    conn.execute("delete from schemas where id = ?", [key])


def _replace_tool(conn: sqlite3.Connection, number: int, description: str, schema: str) -> None:
    """Rewrite a tool and its hash, which stays only where another tool has the new one."""
    from ...tools.tool import Tool

    row = conn.execute("select hash, name, plugin from tools where id = ?", [number]).fetchone()
    new = Tool(row[1], description, json.loads(schema), plugin=row[2]).hash()
    if conn.execute("select 1 from tools where hash = ?", [new]).fetchone():
        new = row[0]
    conn.execute(
        "update tools set description = ?, input_schema = ?, hash = ? where id = ?",
        [description, schema, new, number],
    )
