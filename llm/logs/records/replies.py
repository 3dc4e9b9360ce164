"""Reading a provider's raw reply back from the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .chains import load_messages
from .condense import expanded_json, replacements_for
from .hashing import referenced

if TYPE_CHECKING:
    import sqlite3

    from ...parts import Message

_TURN = (
    "select turns.parent_message_hash, turns.tip_message_hash, turns.model, turns.response_json,"
    " schemas.content from turns left join schemas on schemas.id = turns.schema_id"
    " where turns.id = ?"
)
_TOOLS = (
    "select tools.name, tools.description from turn_tools"
    " join tools on tools.id = turn_tools.tool_id where turn_tools.turn_id = ?"
    " order by turn_tools.rowid"
)


def load_reply(conn: sqlite3.Connection, turn_id: str) -> Any:
    """The raw reply of a turn with references resolved; `None` where there is none.

    Raises:
        condense_json.UncondenseError: Something that it refers to is gone.
    """
    row = conn.execute(_TURN, [turn_id]).fetchone()
    if row is None or row[3] is None:
        return None
    parent, tip, model_id, text, schema_json = row
    return expand_reply(
        text,
        [stored.message for stored in load_messages(conn, tip, after=parent)],
        tools_of_turn(conn, turn_id),
        json.loads(schema_json) if schema_json else None,
        model_id,
    )


def expand_reply(
    text: str,
    outputs: Iterable[Message],
    tools: Iterable[tuple[str, str | None]],
    schema: Mapping[str, Any] | None,
    model_id: str,
) -> Any:
    """The raw reply stored as `text`.

    Args:
        text: The stored JSON.
        outputs: The output messages of the turn.
        tools: Name and description of each tool of the turn.
        schema: The schema of the turn.
        model_id: The model of the turn; looked up only where its own replacements are used.

    Raises:
        condense_json.UncondenseError: It refers to something that is gone.
    """
    replacements = replacements_for(
        [referenced(message)[0] for message in outputs],
        tools,
        schema,
        model_replacements(model_id) if '"m.' in text else None,
    )
    return expanded_json(text, replacements)


def tools_of_turn(conn: sqlite3.Connection, turn_id: str) -> list[tuple[str, str | None]]:
    """Name and description of each tool of a turn."""
    return conn.execute(_TOOLS, [turn_id]).fetchall()


def model_replacements(model_id: str) -> Mapping[str, Any] | None:
    """What replies of a model may refer to beside their turn; `None` where it is not installed."""
    import llm

    aliases = llm.get_model_aliases()
    model = aliases.get(model_id) or llm.get_async_model_aliases().get(model_id)
    return getattr(model, "json_replacements", None)
