"""Rows that turns share: schemas, fragments, attachments, tools and their instances.

Each function stores its thing once, by its content, and gives the id to refer to it with. None of
them commits a transaction that the caller has opened.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..._lazy import for_hints
from ...content import Fragment
from ...models.turn_record import tool_dict
from ...text import JSONObject
from ...text.secrets import storable, storable_value
from ...tools.tool import definition_hash
from ..file.db import not_kept
from ..file.migrations import connection_of

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

    from ...content import Attachment
    from ...serialization import ToolDict
    from ...tools.tool import ServerSideTool, Tool

    AnyDatabase: TypeAlias = Database | sqlite3.Connection
else:
    for_hints(
        globals(),
        {
            "llm.content": "Attachment",
            "llm.serialization": "ToolDict",
            "llm.tools.tool": "ServerSideTool Tool",
            "sqlite3": "",
            "sqlite_utils": "Database",
        },
        AnyDatabase="sqlite_utils.Database | sqlite3.Connection",
    )

_FIND_FRAGMENT = "select id from fragments where hash = ?"
_ADD_FRAGMENT = (
    "insert or ignore into fragments (hash, content, datetime_utc, source)"
    " values (?, ?, datetime('now'), ?)"
)
_FIND_TOOL = "select id from tools where hash = ?"
_ADD_TOOL = (
    "insert or ignore into tools (hash, name, description, input_schema, plugin)"
    " values (?, ?, ?, ?, ?)"
)
_FIND_INSTANCE = (
    "select id from tool_instances where name is ? and plugin is ? and arguments is ? limit 1"
)
_ADD_INSTANCE = "insert into tool_instances (name, plugin, arguments) values (?, ?, ?)"
# Bytes that are stored stay; a row without bytes takes them, or the path they were last seen at.
_ADD_ATTACHMENT = """
insert into attachments (id, type, path, url, content) values (?, ?, ?, ?, ?)
on conflict (id) do update set
    type = coalesce(type, excluded.type),
    path = case when content is null then coalesce(excluded.path, path) else path end,
    content = coalesce(content, excluded.content)
"""


def ensure_schema(db: AnyDatabase, schema: JSONObject) -> str:
    """The id under which a JSON schema is stored."""
    from ...schemas.notation import make_schema_id

    schema_id, text = make_schema_id(schema)
    connection_of(db).execute(
        "insert or ignore into schemas (id, content) values (?, ?)", [schema_id, text]
    )
    return schema_id


def ensure_fragment(db: AnyDatabase, content: str) -> int:
    """The id under which a fragment is stored; the source of its first use is kept."""
    text = storable(content)
    source = content.source if isinstance(content, Fragment) else None
    source = source and storable(source)
    digest = Fragment(text).id()
    return _ensure(connection_of(db), _FIND_FRAGMENT, [digest], _ADD_FRAGMENT, [text, source])


def ensure_tool(db: AnyDatabase, tool: Tool | ServerSideTool) -> int:
    """The id under which the definition of a tool is stored."""
    return ensure_definition(connection_of(db), tool_dict(tool))


def ensure_definition(conn: sqlite3.Connection, tool: ToolDict) -> int:
    """The id under which the definition of a tool, in JSON values, is stored."""
    digest = tool.get("hash") or definition_hash(tool)
    schema = json.dumps(storable_value(tool["input_schema"]))
    texts = [tool["name"], tool["description"], schema, tool.get("plugin")]
    values = [text and storable(text) for text in texts]
    return _ensure(conn, _FIND_TOOL, [digest], _ADD_TOOL, values)


def ensure_tool_instance(
    db: AnyDatabase, name: str, plugin: str | None, arguments: JSONObject
) -> int:
    """The id under which a configured toolbox or provider tool is stored.

    Args:
        db: The log database.
        name: The name of its class.
        plugin: The plugin that brought the class, if one did.
        arguments: Its constructor arguments; what JSON cannot express is stored as its `str()`.
    """
    key = [name, plugin, json.dumps(storable_value(arguments))]
    return _ensure(connection_of(db), _FIND_INSTANCE, key, _ADD_INSTANCE)


def _ensure(
    conn: sqlite3.Connection,
    find: str,
    key: Sequence[str | None],
    add: str,
    values: Sequence[str | None] = (),
) -> int:
    """The id of the row that `find` finds by its key; it is added, with more values, if new."""
    found = conn.execute(find, key).fetchone()
    if found is None:
        conn.execute(add, [*key, *values])
        found = conn.execute(find, key).fetchone()
    if found is None:
        raise not_kept(conn, "a part of the turn")
    return int(found[0])


def add_attachment(
    conn: sqlite3.Connection, attachment: Attachment, reference: JSONObject
) -> JSONObject:
    """Store an attachment, and give the reference to keep in the part.

    The reference names the type only where this use gave the same bytes another type than the
    first use did.
    """
    key, kind = reference["id"], reference["type"]
    path, url = (value and storable(value) for value in (attachment.path, attachment.url))
    conn.execute(_ADD_ATTACHMENT, [key, kind, path, url, attachment.content or None])
    stored = conn.execute("select type from attachments where id = ?", [key]).fetchone()
    if stored is None:
        raise not_kept(conn, "an attachment")
    return {"id": key} if stored[0] == kind else {"id": key, "type": kind}
