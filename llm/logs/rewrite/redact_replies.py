"""Rewriting providers' raw replies, which refer to the texts of their turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...text import JSONObject
from ..file.lookups import json_list
from ..records.condense import (
    condensed_json,
    expanded_json,
    refers_to_model,
    replacements_of_turn,
)
from ..records.messages import load_rows

if TYPE_CHECKING:
    import sqlite3

    from .scrub import Scrubber

_CONCERNED = """
with recursive later (hash) as (
    select value from json_each(:changed)
    union
    select messages.hash from later join messages on messages.parent_hash = later.hash
)
select id, parent_message_hash, tip_message_hash, model, response_json,
    schema_id in (select value from json_each(:schemas))
    or id in (select turn_id from turn_tools
        where tool_id in (select value from json_each(:tools)))
from turns where response_json is not null and (
    tip_message_hash in (select hash from later)
    or scrub_json(response_json) is not response_json
    or schema_id in (select value from json_each(:schemas))
    or id in (select turn_id from turn_tools
        where tool_id in (select value from json_each(:tools))))
"""


class Reply(NamedTuple):
    """The raw reply of a turn, rewritten, and the addresses its output messages had.

    What refers to something that is gone is kept as its text.
    """

    turn_id: str
    model_id: str
    outputs: list[str]
    payload: Any
    text: str | None


def concerned_replies(
    conn: sqlite3.Connection,
    scrubber: Scrubber,
    changed: set[str],
    schemas: Iterable[str],
    tools: Iterable[int],
) -> list[Reply]:
    """The raw replies that have to be written anew, in full, before anything has changed.

    Args:
        conn: A migrated database with the functions of the scrubber.
        scrubber: The pattern and what is put in its place.
        changed: The addresses of messages that will change.
        schemas: Ids of schemas that will change.
        tools: Ids of tools that will change.
    """
    values = {
        "changed": json_list(changed),
        "schemas": json_list(schemas),
        "tools": json_list(tools),
    }
    return list(_replies(conn, scrubber, changed, conn.execute(_CONCERNED, values).fetchall()))


def _replies(
    conn: sqlite3.Connection, scrubber: Scrubber, changed: set[str], rows: Iterable[Any]
) -> Iterator[Reply]:
    for turn_id, parent, tip, model_id, text, is_defined_anew in rows:
        outputs = _outputs(conn, parent, tip)
        is_answered_anew = not changed.isdisjoint(outputs)
        if not (is_defined_anew or is_answered_anew or scrubber.json(text) != text):
            # Only the history before it has changed.
            continue
        try:
            needed = model_id if refers_to_model(text) else None
            payload = expanded_json(text, _replacements(conn, turn_id, outputs, needed))
        except (ValueError, KeyError):
            # It refers to something that is gone.
            yield Reply(turn_id, model_id, outputs, None, scrubber.json(text))
            continue
        yield Reply(turn_id, model_id, outputs, scrubber.value(payload), None)


def write_reply(conn: sqlite3.Connection, reply: Reply, moved: Mapping[str, str]) -> None:
    """Store a rewritten reply, with references to the texts as they are now.

    Args:
        conn: The database.
        reply: From `concerned_replies`.
        moved: The new addresses of messages by the old ones.
    """
    text = reply.text
    if text is None:
        outputs = [moved.get(key, key) for key in reply.outputs]
        replacements = _replacements(conn, reply.turn_id, outputs, reply.model_id)
        text = condensed_json(reply.payload, replacements)
    conn.execute("update turns set response_json = ? where id = ?", [text, reply.turn_id])


def _outputs(conn: sqlite3.Connection, parent: str | None, tip: str | None) -> list[str]:
    """The addresses of the output messages of a turn, in order."""
    found: list[str] = []
    while tip is not None and tip != parent:
        found.append(tip)
        row = conn.execute("select parent_hash from messages where hash = ?", [tip]).fetchone()
        tip = None if row is None else row[0]
    return found[::-1]


def _replacements(
    conn: sqlite3.Connection, turn_id: str, outputs: list[str], model_id: str | None
) -> JSONObject:
    rows = {row.hash: row for row in load_rows(conn, outputs)}
    found = [rows[key] for key in outputs if key in rows]
    return replacements_of_turn(conn, turn_id, found, model_id)
