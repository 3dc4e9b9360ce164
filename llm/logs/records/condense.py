"""Keeping a provider's raw reply without storing again what the log holds anyway.

Texts, arguments, metadata, tool descriptions and schemas that a reply repeats are replaced by
references to the stored originals, and put back when the reply is read (`condense-json`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ...text import JSONObject
from ..file.lookups import decoded_object

if TYPE_CHECKING:
    import sqlite3

# Shorter texts cost less than a reference to them.
MINIMUM_LENGTH = 64
_MARKERS = ('"$"', '"$r"', '"$raw"')

# A private character, and how it stands in JSON text.
_STAND_IN, _STAND_IN_ESCAPED = "\ue000", "\\ue000"
# Beside objects and short texts only longer ones have stand-ins: those change what is shorter, and
# what overlaps.
_LONG_AMONG_OTHERS = 2_000

_TURN = (
    "select parent_message_hash, tip_message_hash, model, schemas.content"
    " from turns left join schemas on schemas.id = schema_id where turns.id = ?"
)
_TOOLS = (
    "select tools.name, tools.description from turn_tools"
    " join tools on tools.id = turn_tools.tool_id where turn_tools.turn_id = ?"
    " order by turn_tools.rowid"
)


def condensed_json(payload: object, replacements: JSONObject) -> str:
    """The JSON text to store for `payload`, with references where `replacements` has the value.

    What JSON cannot express is stored as its `str()`.
    """
    text = json.dumps(payload, default=str)
    if not replacements and not is_condensed(text):
        return text
    from condense_json import condense_json

    # From the text, so that values of other types are compared in the form they are stored in.
    value = json.loads(text)
    stand_ins = _stand_ins(text, replacements)
    if stand_ins:
        value = _with_stand_ins(value, stand_ins)
        replacements = {k: _with_stand_ins(v, stand_ins) for k, v in replacements.items()}
    return json.dumps(condense_json(value, replacements))


def _stand_ins(json_text: str, replacements: JSONObject) -> dict[str, str]:
    """Short texts that stand for the long ones while these are looked for, by long text.

    The library compiles what it looks for into a pattern, which takes 150 bytes and a microsecond
    a character.
    """
    if _STAND_IN_ESCAPED in json_text:
        return {}
    values = list(replacements.values())
    are_texts = all(isinstance(value, str) and len(value) >= MINIMUM_LENGTH for value in values)
    least = MINIMUM_LENGTH if are_texts else _LONG_AMONG_OTHERS
    texts = sorted({t for t in values if isinstance(t, str) and len(t) >= least}, key=len)
    return {text: f"{_STAND_IN}{n}{_STAND_IN}" for n, text in enumerate(reversed(texts))}


def _with_stand_ins(value: object, stand_ins: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {name: _with_stand_ins(item, stand_ins) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_stand_ins(item, stand_ins) for item in value]
    if isinstance(value, str):
        for text, stand_in in stand_ins.items():
            value = value.replace(text, stand_in)
    return value


def expanded_json(text: str, replacements: JSONObject) -> object:
    """The payload that `condensed_json` stored as `text`.

    Raises:
        condense_json.UncondenseError: It refers to something that `replacements` does not have.
    """
    if not is_condensed(text):
        return json.loads(text)
    from condense_json import uncondense_json

    return uncondense_json(json.loads(text), replacements)


def load_reply(conn: sqlite3.Connection, turn_id: str) -> object:
    """The raw reply of a turn with references resolved; `None` where there is none.

    Raises:
        condense_json.UncondenseError: Something that it refers to is gone.
    """
    sql = "select response_json from turns where id = ?"
    text = (conn.execute(sql, [turn_id]).fetchone() or (None,))[0]
    if text is None:
        return None
    with_model = refers_to_model(text)
    return expanded_json(text, replacements_of_turn(conn, turn_id, with_model=with_model))


def replacements_of_turn(
    conn: sqlite3.Connection, turn_id: str, *, with_model: bool = True
) -> JSONObject:
    """What the reply of a stored turn may refer to, with or without what its model has."""
    from .messages import load_chain, load_shapes

    parent, tip, model_id, schema = conn.execute(_TURN, [turn_id]).fetchone()
    return replacements_for(
        load_shapes(conn, load_chain(conn, tip, after=parent)),
        conn.execute(_TOOLS, [turn_id]).fetchall(),
        decoded_object(schema) or None,
        model_replacements(model_id) if with_model else None,
    )


def expand_reply(
    text: str,
    outputs: Iterable[JSONObject],
    tools: Iterable[tuple[str, str | None]],
    schema: JSONObject | None,
    model_id: str | None,
) -> object:
    """The raw reply stored as `text`.

    Args:
        text: The stored JSON.
        outputs: The output messages of the turn in their dictionary form.
        tools: Name and description of each tool of the turn.
        schema: The schema of the turn.
        model_id: The model of the turn; looked up only where its own replacements are used.

    Raises:
        condense_json.UncondenseError: It refers to something that is gone.
    """
    if not is_condensed(text):
        return json.loads(text)
    own = model_replacements(model_id) if refers_to_model(text) else None
    return expanded_json(text, replacements_for(outputs, tools, schema, own))


def is_condensed(text: str) -> bool:
    """Whether a stored reply may hold references."""
    return any(marker in text for marker in _MARKERS)


def refers_to_model(text: str) -> bool:
    """Whether a stored reply may refer to the replacements of its model."""
    return '"m.' in text


def model_replacements(model_id: str | None) -> JSONObject | None:
    """What replies of a model may refer to beside their turn; `None` where it is not installed."""
    import llm

    if model_id is None:
        return None
    aliases = llm.get_model_aliases()
    model = aliases.get(model_id) or llm.get_async_model_aliases().get(model_id)
    return getattr(model, "json_replacements", None)


def replacements_for(
    messages: Iterable[JSONObject],
    tools: Iterable[tuple[str, str | None]] = (),
    schema: JSONObject | None = None,
    model_replacements: Mapping[str, object] | None = None,
) -> JSONObject:
    """What the reply of one turn may refer to, by reference key.

    Args:
        messages: The output messages of the turn in their dictionary form.
        tools: Name and description of each tool the turn had.
        schema: The schema the turn asked for.
        model_replacements: The model's own `json_replacements`.
    """
    found: JSONObject = {}
    for index, message in enumerate(messages):
        for position, part in enumerate(message["parts"]):
            found.update(_of_part(f"{index}.{position}", part))
        found.update(_of_metadata(f"{index}.pm", message.get("provider_metadata")))
    found.update(_of_tools(tools))
    if schema and _is_long(schema):
        found["schema"] = schema
    found.update((f"m.{key}", value) for key, value in (model_replacements or {}).items())
    return found


def _of_part(prefix: str, part: JSONObject) -> Iterator[tuple[str, object]]:
    for key in ("text", "output"):
        text = part.get(key)
        if isinstance(text, str) and len(text) >= MINIMUM_LENGTH:
            yield f"{prefix}.{key}", text
    yield from _of_metadata(f"{prefix}.pm", part.get("provider_metadata"))
    if part.get("arguments"):
        yield from _of_arguments(prefix, part["arguments"])


def _of_arguments(prefix: str, arguments: object) -> Iterator[tuple[str, object]]:
    compact = _compact(arguments)
    spaced = json.dumps(arguments, default=str)
    if len(compact) >= MINIMUM_LENGTH:
        yield f"{prefix}.args", compact
    if spaced != compact and len(spaced) >= MINIMUM_LENGTH:
        yield f"{prefix}.args2", spaced
    if len(compact) >= MINIMUM_LENGTH:
        yield f"{prefix}.argsv", arguments


def _of_metadata(key: str, value: object) -> Iterator[tuple[str, object]]:
    """The long values within a provider's metadata, each by its path, containers first."""
    if isinstance(value, str):
        if len(value) >= MINIMUM_LENGTH:
            yield key, value
        return
    if not isinstance(value, (dict, list)) or not _is_long(value):
        return
    yield key, value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from _of_metadata(f"{key}.{name}", item)


def _of_tools(tools: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    """Long descriptions by tool name; a name with two different descriptions has none."""
    descriptions: dict[str, str | None] = {}
    for name, description in tools:
        is_new = descriptions.setdefault(name, description) == description
        descriptions[name] = description if is_new else None
    for name, description in descriptions.items():
        if description and len(description) >= MINIMUM_LENGTH:
            yield f"tool.{name}.description", description


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _is_long(value: object) -> bool:
    return len(_compact(value)) >= MINIMUM_LENGTH
