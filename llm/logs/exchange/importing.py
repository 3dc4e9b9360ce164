"""Conversations given as plain JSON values, put into the log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...content import Attachment, Fragment
from ...errors import InvalidInput
from ...models.portable import parents_of, turns_of
from ...models.shape_checks import checked
from ...parts import Part
from ...text import JSONObject
from ...text.ids import new_ulid
from ...text.secrets import masked
from ..file.migrations import immediate
from ..records.chains import HashedMessage, store_chain
from ..records.condense import condensed_json, replacements_for
from ..records.foreign import mark_foreign
from ..records.hashing import _inserted, address, cleaned, reference, storable
from ..records.outcome import IMPORTED, mark_unprompted, write_outcome
from ..records.shared import ensure_fragment, ensure_schema, ensure_tool, ensure_tool_instance
from ..write.turns import (
    _ADD_FRAGMENT,
    _ADD_INSTANTIATION,
    _ADD_SEARCH,
    _ADD_TOOL,
    _ADD_TURN,
    _USER_TEXTS,
    _texts,
    now_text,
    typed,
)

if TYPE_CHECKING:
    from ...serialization import ConversationDict, InstanceDict

_ADD_THREAD = (
    "insert into threads (id, name, tip_message_hash, forked_from, datetime_utc)"
    " values (?, ?, ?, ?, ?)"
)
_ADD_TOOL_DEFINITION = (
    "insert or ignore into tools (hash, name, description, input_schema, plugin)"
    " values (?, ?, ?, ?, ?)"
)


def import_conversation(conn: sqlite3.Connection, shape: Any) -> str:
    """Put a conversation into the log, in one transaction, and give its id.

    Ids that are taken already, of the conversation or of turns, are replaced by new ones: what is
    in the log stays as it is. Messages that are stored already are shared.

    Args:
        conn: A migrated log database.
        shape: The conversation, as `export_conversation` or `Conversation.to_dict` give it.

    Raises:
        InvalidInput: It is no conversation.
    """
    conversation = checked(shape)
    nodes = hashed_nodes(conversation)
    with immediate(conn):
        return _Import(conn, conversation, nodes).write()


def hashed_nodes(shape: ConversationDict) -> list[HashedMessage]:
    """The messages of a conversation with their content addresses, in the order of their entries.

    Raises:
        InvalidInput: A message has no predecessor.
    """
    hashed: list[HashedMessage] = []
    for entry, parent in zip(shape["messages"], parents_of(shape), strict=True):
        parent_hash = None if parent is None else hashed[parent].hash
        attachments: list[Attachment] = []
        message: JSONObject = {
            "role": entry["role"],
            "parts": [_stored_part(part, attachments) for part in entry.get("parts", ())],
        }
        if entry.get("provider_metadata"):
            message["provider_metadata"] = entry["provider_metadata"]
        message = cleaned(message)
        hashed.append(
            HashedMessage(address(message, parent_hash), parent_hash, message, attachments)
        )
    return hashed


def _stored_part(shape: Any, attachments: list[Attachment]) -> JSONObject:
    """A part in the form in which it is stored; its attachments go to the end of the list."""
    bare = {key: value for key, value in shape.items() if key not in ("attachment", "attachments")}
    part: Any = Part.from_dict(bare).to_dict()  # type: ignore[arg-type]
    if shape.get("attachment") is not None:
        return _inserted(part, "attachment", _reference(shape["attachment"], attachments))
    if shape.get("attachments"):
        references = [_reference(item, attachments) for item in shape["attachments"]]
        return _inserted(part, "attachments", references)
    return dict(part)


def _reference(shape: Any, attachments: list[Attachment]) -> JSONObject:
    try:
        attachment = Attachment.from_dict(shape)
    except ValueError as error:
        raise InvalidInput(f"The content of an attachment is not valid base64: {error}") from error
    attachments.append(attachment)
    if "id" in shape:
        return {"id": shape["id"], "type": shape.get("type")}
    return dict(reference(attachment))


class _Turn(NamedTuple):
    """A turn on its way into the log."""

    id: str
    shape: Mapping[str, Any]
    inputs: HashedMessage | None
    outputs: list[HashedMessage]

    @property
    def parent(self) -> str | None:
        return self.inputs.hash if self.inputs is not None else None

    @property
    def tip(self) -> str | None:
        return self.outputs[-1].hash if self.outputs else self.parent


class _Import:
    """One conversation on its way into the log."""

    def __init__(
        self, conn: sqlite3.Connection, shape: ConversationDict, nodes: list[HashedMessage]
    ) -> None:
        self._conn = conn
        self._shape = shape
        self._nodes = nodes
        self._parents = parents_of(shape)
        self._tools: Sequence[Mapping[str, Any]] = shape.get("tools", ())

    def write(self) -> str:
        """Write all of it, and give the id of the conversation."""
        thread_id = self._free_id("threads", self._shape["id"])
        fragments = self._write_messages()
        for entry in self._shape["turns"] or self._missing_turns():
            self._write_turn(thread_id, entry, fragments)
        tip = self._shape.get("tip")
        name = self._shape["name"]
        row = (
            thread_id,
            storable(name) if name else name,
            None if tip is None else self._nodes[tip].hash,
            self._shape.get("forked_from"),
            self._shape.get("datetime_utc") or now_text(),
        )
        self._conn.execute(_ADD_THREAD, row)
        # Whoever wrote the file chose them, and the arguments of calls without results.
        mark_foreign(self._conn, thread_id, self._tool_names())
        return thread_id

    def _tool_names(self) -> set[str]:
        """The names of all tools and of their toolboxes."""
        return {tool["name"] for tool in self._tools} | {
            tool["instance"]["name"] for tool in self._tools if tool.get("instance")
        }

    def _missing_turns(self) -> Sequence[Mapping[str, Any]]:
        """Turns for the messages of a fork without any, where its origin is not in this log."""
        origin = self._shape.get("forked_from")
        if self._shape["model"] is None or (origin and self._is_taken("threads", origin)):
            return []
        return turns_of(self._shape, self._shape["model"])

    def _is_taken(self, table: str, wanted: str) -> bool:
        older = "conversations" if table == "threads" else "responses"
        return any(
            self._conn.execute(f"select 1 from {name} where id = ?", [wanted]).fetchone()
            for name in (table, older)
        )

    def _free_id(self, table: str, wanted: str) -> str:
        return new_ulid() if self._is_taken(table, wanted) else wanted

    def _write_messages(self) -> list[tuple[int, str]]:
        """Store what is new of the messages; give number and text of each fragment."""
        fragments = []
        for fragment in self._shape.get("fragments", ()):
            content = storable(fragment["content"])
            source = fragment.get("source")
            text = content if source is None else Fragment(content, source)
            fragments.append((ensure_fragment(self._conn, text), content))
        for entry, hashed in zip(self._shape["messages"], self._nodes, strict=True):
            used = [fragments[number] for number in entry.get("fragments", ())]
            store_chain(self._conn, [hashed], used)
        return fragments

    def _write_turn(
        self, thread_id: str, shape: Mapping[str, Any], fragments: Sequence[tuple[int, str]]
    ) -> None:
        given = shape["input"]
        turn = _Turn(
            self._free_id("turns", shape["id"]),
            shape,
            None if given is None else self._nodes[given],
            self._between(given, shape["output"]),
        )
        mark_unprompted(self._conn, turn.id, IMPORTED)
        self._conn.execute(_ADD_TURN, self._turn_row(thread_id, turn))
        for kind, key in (("prompt", "fragments"), ("system", "system_fragments")):
            for order, number in enumerate(shape.get(key, ())):
                self._conn.execute(_ADD_FRAGMENT, (turn.id, fragments[number][0], order, kind))
        for number in shape.get("tools", ()):
            tool = self._tools[number]
            row = (turn.id, self._tool_id(tool), self._instance_id(tool.get("instance")))
            self._conn.execute(_ADD_TOOL, row)
        for call_id, instance in shape.get("tool_instances", {}).items():
            self._conn.execute(_ADD_INSTANTIATION, (turn.id, call_id, self._instance_id(instance)))
        if "outcome" in shape:
            write_outcome(self._conn, turn.id, tuple(shape["outcome"]))
        self._write_search(turn)

    def _between(self, start: int | None, end: int | None) -> list[HashedMessage]:
        outputs: list[HashedMessage] = []
        while end is not None and end != start:
            outputs.append(self._nodes[end])
            end = self._parents[end]
        return outputs[::-1]

    def _turn_row(self, thread_id: str, turn: _Turn) -> tuple[Any, ...]:
        shape = turn.shape
        usage = shape.get("usage", {})
        schema = shape.get("schema")
        options, details = shape.get("options"), usage.get("details")
        return (
            turn.id,
            thread_id,
            turn.parent,
            turn.tip,
            shape["model"],
            shape.get("resolved_model"),
            json.dumps(options) if options else None,
            ensure_schema(self._conn, schema) if schema else None,
            usage.get("input"),
            usage.get("output"),
            json.dumps(details) if details else None,
            shape.get("duration_ms", 0),
            shape.get("datetime_utc", ""),
            shape.get("condensed_json") or self._condensed_reply(turn),
        )

    def _condensed_reply(self, turn: _Turn) -> str | None:
        shape = turn.shape
        if shape.get("response_json") is None:
            return None
        tools = [self._tools[number] for number in shape.get("tools", ())]
        replacements = replacements_for(
            [hashed.shape for hashed in turn.outputs],
            [(tool["name"], tool.get("description")) for tool in tools],
            shape.get("schema"),
        )
        return masked(condensed_json(shape["response_json"], replacements))

    def _tool_id(self, shape: Mapping[str, Any]) -> int:
        from ...tools.tool import Tool

        name, description = shape["name"], shape.get("description")
        schema, plugin = shape.get("input_schema", {}), shape.get("plugin")
        if "hash" not in shape:
            return ensure_tool(self._conn, Tool(name, description, schema, None, plugin))
        row = (shape["hash"], name, description, json.dumps(schema), plugin)
        self._conn.execute(_ADD_TOOL_DEFINITION, row)
        found = self._conn.execute("select id from tools where hash = ?", [shape["hash"]])
        return int(found.fetchone()[0])

    def _instance_id(self, shape: InstanceDict | None) -> int | None:
        if shape is None:
            return None
        return ensure_tool_instance(
            self._conn, shape["name"], shape.get("plugin"), shape["arguments"]
        )

    def _write_search(self, turn: _Turn) -> None:
        rows = self._conn.execute(_USER_TEXTS, (turn.parent,)) if turn.parent else ()
        asked = "".join([typed(*row) for row in rows])
        answered = "".join(_texts(turn.outputs))
        if asked or answered:
            self._conn.execute(_ADD_SEARCH, (turn.id, asked, answered))
