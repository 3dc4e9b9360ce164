"""What of a stored conversation comes from elsewhere: from a database that is not ours, from a file
that was imported, from a process that had died."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...parts import AttachmentPart, ToolCallPart, ToolResultPart
from ..file.ownership import is_ours
from ..records.outcome import IMPORTED, RECOVERED, read_foreign

if TYPE_CHECKING:
    from pathlib import Path

    from ...content import Attachment
    from ...models.conversation import _BaseConversation
    from ...parts import Message
    from .rehydrate import StoredConversation

_WHENCE = {IMPORTED: "it was imported", RECOVERED: "it was left by a process that died"}
_OTHER = "its database was not made here (llm logs adopt makes it yours)"
# Fewer messages are looked at sooner than the database is known.
_MANY = 200


def has_calls(message: Message) -> bool:
    """Whether a message has calls of tools that this side runs."""
    return any(
        isinstance(part, ToolCallPart) and not part.server_executed for part in message.parts
    )


def asks_for_something(message: Message) -> bool:
    """Whether a message has calls that this side runs, or attachments that are elsewhere."""
    return has_calls(message) or bool(attachments_of(message))


def _only_says_something(message: Message) -> bool:
    return all(part.type in ("text", "reasoning") for part in message.parts)


def attachments_of(message: Message) -> list[Attachment]:
    """The attachments of a message, also those of tool results, whose bytes are elsewhere."""
    found: list[Attachment] = []
    for part in message.parts:
        if isinstance(part, AttachmentPart) and part.attachment is not None:
            found.append(part.attachment)
        elif isinstance(part, ToolResultPart):
            found += part.attachments
    return [attachment for attachment in found if attachment.path or attachment.url]


def mark_strangers(
    conversation: _BaseConversation[Any, Any],
    conn: sqlite3.Connection,
    path: str | Path,
    stored: StoredConversation,
    first: StoredConversation,
) -> None:
    """Note at a conversation what of it no prompt of this person has brought.

    Args:
        path: The file of the database.
        stored: What it holds of the conversation.
        first: The conversation whose first turn has its tools.
    """
    messages = conversation.loaded_messages or ()
    specs = conversation.loaded_tools or ()
    if len(messages) < _MANY and not specs and all(map(_only_says_something, messages)):
        return
    if not is_ours(conn, path):
        asking = filter(asks_for_something, messages)
        conversation.foreign_messages = [(message, _OTHER) for message in asking]
        conversation.has_foreign_tools = bool(specs)
        conversation.untrusted_tools |= {spec.partition("(")[0] for spec in specs}
        return
    origins = read_foreign(conn, stored.id)
    if origins:
        conversation.foreign_messages = _marked(stored, origins)
        conversation.has_foreign_tools = next(iter(first.turns.values()), None) in origins


def _marked(
    stored: StoredConversation, origins: Mapping[str, str]
) -> Sequence[tuple[Message, str]]:
    """The messages of a conversation that have an origin and ask for something."""
    return [
        (item.message, _WHENCE.get(origins[item.hash], origins[item.hash]))
        for item in stored.chain
        if item.hash in origins and asks_for_something(item.message)
    ]
