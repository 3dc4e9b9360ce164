"""Conversations of the log as plain JSON values, with everything that the log holds of them."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ...errors import NotFound, UnknownModelError
from ...models.base import Model
from ...models.portable import MessageTree, Table, conversation_dict
from ...parts import AttachmentPart, ToolResultPart
from ...text import JSONObject
from ..file.lookups import rows_by_ids
from ..older.legacy import instance_shape
from ..read.rehydrate import load_conversation
from ..records.outcome import read_outcomes
from ..records.threads import conversation_info
from .importing import hashed_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...content import Attachment
    from ...parts import Message
    from ...serialization import ConversationDict

_THREAD = "select forked_from, datetime_utc from threads where id = ?"
_TURNS = "select id, model, options_json, response_json from turns where id in"
_RESPONSES = "select id, model, options_json, null from responses where id in"
_TOOLS = (
    "select turn_id, tools.hash, tools.name, description, input_schema, tools.plugin,"
    " tool_instances.name, tool_instances.plugin, tool_instances.arguments"
    " from turn_tools join tools on tools.id = tool_id"
    " left join tool_instances on tool_instances.id = instance_id where turn_id in"
)
_INSTANTIATIONS = (
    "select turn_id, tool_call_id, name, plugin, arguments from tool_instantiations"
    " join tool_instances on tool_instances.id = instance_id where turn_id in"
)
_LEGACY_INSTANCES = (
    "select distinct tool_instances.name, tool_instances.plugin, tool_instances.arguments"
    " from tool_results join tool_instances on tool_instances.id = instance_id"
    " where response_id in (select id from responses where conversation_id = ?)"
)
_FRAGMENTS = (
    "select turn_id, kind, content, source from turn_fragments"
    " join fragments on fragments.id = fragment_id where turn_id in"
)
_FRAGMENTS_OF_MESSAGES = (
    "select message_hash, content, source from part_fragments"
    " join parts on parts.id = part_id join fragments on fragments.id = fragment_id"
    " where message_hash in"
)


class Absent(Model):
    """Stands for the model of a conversation, which need not be installed to be read."""

    def __init__(self, model_id: str | None) -> None:
        self.model_id = model_id or ""

    def execute(self, *args: object, **values: object) -> NoReturn:
        """Refuse to answer."""
        raise UnknownModelError(f"Unknown model: {self.model_id}")


def export_conversation(conn: sqlite3.Connection, conversation_id: str) -> ConversationDict:
    """A conversation of the log, complete, in the shape of `Conversation.to_dict()`.

    It has beside that what only the log knows: content addresses, ids of attachments, fragments
    within messages, where it was forked. Files that are attached by path are put in where they
    are still what they were. No model and no plugin has to be installed.

    Args:
        conn: A migrated log database.
        conversation_id: The id of the conversation.

    Raises:
        NotFound: There is none.
    """
    info = conversation_info(conn, conversation_id)
    conversation = load_conversation(conn, conversation_id, model=Absent(info.model))
    if conversation is None:
        raise NotFound(f"No conversation found with id={conversation_id}")
    tree = MessageTree()
    shape: Any = conversation_dict(conversation, tree)
    shape["model"] = info.model
    for entry, message in zip(tree.nodes, tree.messages, strict=True):
        _complete_attachments(entry, message)
    for entry, hashed in zip(tree.nodes, hashed_nodes(shape), strict=True):
        entry["hash"] = hashed.hash
    thread = conn.execute(_THREAD, [conversation_id]).fetchone() or (None, None)
    named = zip(("forked_from", "datetime_utc"), thread, strict=True)
    shape.update((name, value) for name, value in named if value)
    _Details(conn, shape).add()
    complete: ConversationDict = shape
    return complete


def _complete_attachments(entry: Any, message: Message) -> None:
    """Put id and bytes of the attachments into the dictionary of a message."""
    for part, shape in zip(message.parts, entry["parts"], strict=True):
        if isinstance(part, AttachmentPart) and part.attachment is not None:
            shape["attachment"] = _attachment_dict(part.attachment)
        elif isinstance(part, ToolResultPart) and part.attachments:
            shape["attachments"] = [_attachment_dict(item) for item in part.attachments]


def _attachment_dict(attachment: Attachment) -> JSONObject:
    shape: JSONObject = {**attachment.to_dict()}
    if attachment._id is not None:
        shape["id"] = attachment._id
    if attachment.path and not attachment.content:
        content = _bytes_of(attachment.path)
        # Another file may lie there by now.
        if content and hashlib.sha256(content).hexdigest() == attachment._id:
            shape["content"] = base64.b64encode(content).decode("ascii")
    return shape


def _bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


class _Details:
    """Adds to the turns of a conversation what only the tables know.

    Args:
        conn: The database.
        shape: The conversation, which is changed.
    """

    def __init__(self, conn: sqlite3.Connection, shape: Any) -> None:
        self._conn = conn
        self._shape = shape
        self._turns: JSONObject = {turn["id"]: turn for turn in shape["turns"]}
        self._fragments = Table(shape.get("fragments", ()))
        self._known_tools = shape.pop("tools", [])
        self._tools = Table()

    def add(self) -> None:
        """Add everything."""
        self._add_columns()
        self._add_tools()
        self._add_fragments()
        for name, table in (("tools", self._tools), ("fragments", self._fragments)):
            if table.entries:
                self._shape[name] = table.entries

    def _rows(self, sql: str, ids: Iterable[str], order: str) -> Iterator[Any]:
        return iter(rows_by_ids(self._conn, sql, ids, f"order by {order}"))

    def _add_columns(self) -> None:
        for sql in (_RESPONSES, _TURNS):
            for turn_id, model, options, reply in self._rows(sql, self._turns, "id"):
                turn = self._turns[turn_id]
                turn["model"] = model
                values = json.loads(options) if options else None
                if values:
                    turn["options"] = values
                if reply and "response_json" not in turn and reply not in ("null", "{}", "[]"):
                    # It refers to something that only a model that is not installed knows.
                    turn["condensed_json"] = reply
        for turn_id, outcome in read_outcomes(self._conn, list(self._turns)).items():
            self._turns[turn_id]["outcome"] = list(outcome)

    def _add_tools(self) -> None:
        found: dict[str, list[Any]] = {}
        for row in self._rows(_TOOLS, self._turns, "turn_tools.rowid"):
            turn_id, digest, name, description, schema, plugin, *instance = row
            tool: JSONObject = {
                "name": name,
                "description": description,
                "input_schema": json.loads(schema or "{}"),
                "hash": digest,
            }
            if plugin:
                tool["plugin"] = plugin
            if instance[0] is not None:
                tool["instance"] = instance_shape(*instance)
            found.setdefault(turn_id, []).append(tool)
        older = self._legacy_tools()
        for turn_id, turn in self._turns.items():
            tools = found.get(turn_id) or [older[number] for number in turn.get("tools", ())]
            if tools:
                turn["tools"] = [self._tools.add(tool) for tool in tools]
        for turn_id, call_id, *instance in self._rows(
            _INSTANTIATIONS, self._turns, "tool_instantiations.rowid"
        ):
            self._turns[turn_id].setdefault("tool_instances", {})[call_id] = instance_shape(
                *instance
            )

    def _legacy_tools(self) -> list[Any]:
        """The tools of legacy turns, with the toolbox that each is known to have come from."""
        boxes = self._conn.execute(_LEGACY_INSTANCES, [self._shape["id"]]).fetchall()
        for tool in self._known_tools:
            for name, plugin, arguments in boxes:
                if tool["name"].startswith(f"{name}_"):
                    tool["instance"] = instance_shape(name, plugin, arguments)
        return list(self._known_tools)

    def _add_fragments(self) -> None:
        for turn_id, kind, *fragment in self._rows(
            _FRAGMENTS, self._turns, 'turn_id, kind, "order"'
        ):
            key = "system_fragments" if kind == "system" else "fragments"
            self._turns[turn_id].setdefault(key, []).append(self._fragment(*fragment))
        entries = {entry["hash"]: entry for entry in self._shape["messages"]}
        rows = self._rows(_FRAGMENTS_OF_MESSAGES, entries, 'position, part_fragments."order"')
        for key, *fragment in rows:
            used = entries[key].setdefault("fragments", [])
            number = self._fragment(*fragment)
            if number not in used:
                used.append(number)

    def _fragment(self, content: str, source: str | None) -> int:
        entry = {"content": content} if source is None else {"content": content, "source": source}
        return self._fragments.add(entry)
