"""Conversations as plain JSON values, with everything that the log holds of them, and back."""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from ...errors import InvalidInput, NotFound
from ...models.serialize import add_tables, check_conversation, serialize_conversation, turns_of
from ...models.turn_record import Tables
from ...text import new_ulid
from ..file.lookups import rows_by_ids
from ..file.migrations import immediate
from ..older.legacy import instance_shape
from ..read.provenance import asks_for_something
from ..read.rehydrate import (
    merged_messages,
    read_conversation,
    record_turns,
    tool_specs,
    with_turns,
)
from ..records.outcome import (
    IMPORTED,
    mark_foreign,
    mark_unprompted,
    mark_untrusted,
    read_foreign,
    read_outcomes,
)
from ..records.threads import model_of_conversation
from ..write.turns import HashedTables, TurnWriter, add_thread

if TYPE_CHECKING:
    from ...content import Attachment
    from ...serialization import (
        AttachmentDict,
        ConversationDict,
        FragmentDict,
        MessageNodeDict,
        PartDict,
        TurnDict,
    )

_HAS_ATTACHMENT = "select 1 from attachments where id = ?"
_MADE = "select datetime_utc from threads where datetime_utc <> '' and id = ?"
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


def export_conversation(conn: sqlite3.Connection, conversation_id: str) -> ConversationDict:
    """A conversation of the log, complete, in the shape of `Conversation.to_dict()`.

    It has beside that what only the log knows: content addresses, ids of attachments, fragments
    within messages, where it was forked. Files that a prompt has attached by path are put in where
    they are still what they were; what an import names by a path stays a path. No model and no
    plugin has to be installed.

    Args:
        conn: A migrated log database.
        conversation_id: The id of the conversation.

    Raises:
        NotFound: There is none.
    """
    stored = read_conversation(conn, conversation_id)
    if stored is None:
        raise NotFound(f"No conversation found with id={conversation_id}")
    turns, tables = record_turns(conn, stored)
    _add_details(conn, turns, tables)
    if stored.legacy:
        _add_legacy_instances(conn, conversation_id, tables)
    history, _ = merged_messages(conn, stored)
    model = model_of_conversation(conn, conversation_id)
    shape = serialize_conversation(stored.id, stored.name, model, turns, tables, history)
    shape["loaded_tools"] = tool_specs(conn, with_turns(conn, stored))
    hashed = HashedTables(tables, trusts_ids=True).messages
    strange = read_foreign(conn, conversation_id)
    for entry, message in zip(shape["messages"], hashed, strict=True):
        is_own = message.hash not in strange
        _complete_attachments(entry["parts"], message.attachments, reads_files=is_own)
        entry["hash"] = message.hash
    _add_fragments_of_messages(conn, shape["messages"], tables)
    if stored.forked_from:
        shape["forked_from"] = stored.forked_from
    for (made,) in conn.execute(_MADE, [conversation_id]):
        shape["datetime_utc"] = made
    add_tables(shape, tables)
    return shape


def _complete_attachments(
    parts: Iterable[PartDict], attachments: Iterable[Attachment], *, reads_files: bool
) -> None:
    """Put ids and bytes of the attachments of a message, which are in order, into its parts."""
    left = iter(attachments)
    for shape in chain.from_iterable(map(_files_of, parts)):
        _complete(shape, next(left), reads_files=reads_files)


def _complete(shape: AttachmentDict, attachment: Attachment, *, reads_files: bool) -> None:
    if attachment.known_id is not None:
        shape["id"] = attachment.known_id
    if reads_files and attachment.path and not attachment.content:
        with suppress(OSError), open(attachment.path, "rb") as file:
            content = file.read()
            # Another file may lie there by now.
            if content and hashlib.sha256(content).hexdigest() == attachment.known_id:
                shape["content"] = base64.b64encode(content).decode("ascii")


def _add_details(conn: sqlite3.Connection, turns: Sequence[TurnDict], tables: Tables) -> None:
    """Add to records what responses are not made of: outcomes, toolboxes, fragments."""
    by_id = {turn["id"]: turn for turn in turns}
    for turn_id, outcome in read_outcomes(conn, list(by_id)).items():
        by_id[turn_id]["outcome"] = list(outcome)
    rows = rows_by_ids(conn, _INSTANTIATIONS, by_id, "order by tool_instantiations.rowid")
    for turn_id, call_id, *instance in rows:
        by_id[turn_id].setdefault("tool_instances", {})[call_id] = instance_shape(*instance)
    rows = rows_by_ids(conn, _FRAGMENTS, by_id, 'order by turn_id, kind, "order"')
    for turn_id, kind, *fragment in rows:
        number = tables.add_fragment(_fragment_dict(*fragment))
        if kind == "system":
            by_id[turn_id].setdefault("system_fragments", []).append(number)
        else:
            by_id[turn_id].setdefault("fragments", []).append(number)


def _add_legacy_instances(conn: sqlite3.Connection, conversation_id: str, tables: Tables) -> None:
    """Add to the tools of legacy turns the toolbox that each is known to have come from."""
    for box in conn.execute(_LEGACY_INSTANCES, [conversation_id]).fetchall():
        for tool in tables.tools:
            if "hash" not in tool and tool["name"].startswith(f"{box[0]}_"):
                tool["instance"] = instance_shape(*box)


def _add_fragments_of_messages(
    conn: sqlite3.Connection, entries: Sequence[MessageNodeDict], tables: Tables
) -> None:
    by_hash = {entry["hash"]: entry for entry in entries}
    rows = rows_by_ids(
        conn, _FRAGMENTS_OF_MESSAGES, by_hash, 'order by position, part_fragments."order"'
    )
    for key, *fragment in rows:
        used = by_hash[key].setdefault("fragments", [])
        number = tables.add_fragment(_fragment_dict(*fragment))
        if number not in used:
            used.append(number)


def _fragment_dict(content: str, source: str | None) -> FragmentDict:
    return {"content": content} if source is None else {"content": content, "source": source}


def import_conversation(conn: sqlite3.Connection, shape: object) -> str:
    """Put a conversation into the log, in one transaction, and give its id.

    Ids that are taken already, of the conversation or of turns, are replaced by new ones: what is
    in the log stays as it is. Messages that are stored already are shared.

    Args:
        conn: A migrated log database.
        shape: The conversation, as `export_conversation` or `Conversation.to_dict` give it.

    Raises:
        InvalidInput: It is no conversation.
    """
    conversation = check_conversation(shape)
    _settle_files(conn, conversation["messages"])
    try:
        tables = Tables.from_dict(conversation)
    except ValueError as error:
        raise InvalidInput(f"The content of an attachment is not valid base64: {error}") from error
    hashed = HashedTables(tables, trusts_ids=True)
    with immediate(conn):
        thread_id = _free_id(conn, "threads", conversation["id"])
        fragment_ids = hashed.store(conn)
        for turn in conversation["turns"] or _missing_turns(conn, conversation):
            turn = turn.copy()
            turn["id"] = _free_id(conn, "turns", turn["id"])
            mark_unprompted(conn, turn["id"], IMPORTED)
            TurnWriter(turn, hashed).write(conn, thread_id, fragment_ids)
        add_thread(
            conn,
            thread_id,
            conversation["name"],
            hashed.address(conversation["tip"]),
            conversation.get("forked_from"),
            conversation.get("datetime_utc"),
        )
        # Whoever wrote the file chose them, and the arguments of calls without results.
        boxes = {tool["instance"]["name"] for tool in tables.tools if tool.get("instance")}
        mark_untrusted(conn, thread_id, {tool["name"] for tool in tables.tools} | boxes)
        mark_foreign(conn, thread_id, _asking(conversation, hashed), IMPORTED)
    return thread_id


def _asking(shape: ConversationDict, hashed: HashedTables) -> list[str]:
    """The messages that have calls or files, and those in which turns with toolboxes end."""
    messages = zip(hashed.tables.messages, hashed.messages, strict=True)
    found = [entry.hash for message, entry in messages if asks_for_something(message)]
    tools = hashed.tables.tools
    for turn in shape["turns"]:
        if any(tools[number].get("instance") for number in turn.get("tools", ())):
            found += [entry.hash for entry in hashed.between(turn["input"], turn["output"])[-1:]]
    return found


def _settle_files(conn: sqlite3.Connection, entries: Iterable[MessageNodeDict]) -> None:
    """Let the paths in a file neither take the place of what the log has of an attachment, nor be
    read where they are no files."""
    for file in chain.from_iterable(_files_of(part) for e in entries for part in e["parts"]):
        path = file.get("path")
        if path and conn.execute(_HAS_ATTACHMENT, [file.get("id")]).fetchone():
            del file["path"]
        elif path and not file.get("content") and not os.path.isfile(path):
            file.setdefault("id", f"missing:{path}")


def _files_of(part: PartDict) -> list[AttachmentDict]:
    if part["type"] == "attachment":
        return [part["attachment"]] if part.get("attachment") else []
    return part.get("attachments", []) if part["type"] == "tool_result" else []


def _missing_turns(conn: sqlite3.Connection, shape: ConversationDict) -> Sequence[TurnDict]:
    """Turns for the messages of a fork without any, where its origin is not in this log."""
    origin = shape.get("forked_from")
    if shape["model"] is None or (origin and _is_taken(conn, "threads", origin)):
        return []
    return turns_of(shape, shape["model"])


def _is_taken(conn: sqlite3.Connection, table: str, wanted: str) -> bool:
    older = "conversations" if table == "threads" else "responses"
    sql = f"select 1 from {table} where id = ?1 union all select 1 from {older} where id = ?1"
    return conn.execute(sql, [wanted]).fetchone() is not None


def _free_id(conn: sqlite3.Connection, table: str, wanted: str) -> str:
    return new_ulid() if _is_taken(conn, table, wanted) else wanted
