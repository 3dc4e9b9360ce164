"""Content addresses: the hash of a message covers its content and, by its parent, all before it.

Two messages have the same address when they and their whole history are equal, whatever model,
options or time they belong to. Attachments enter with the digest of their bytes, never with where
they lie.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from ...parts import AttachmentPart, Message, ToolResultPart
from ...text import JSONObject
from ...text.long_json import json_pieces
from ...text.secrets import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...content import Attachment
    from ...parts import Part
    from ...serialization import PartDict

HASH_PREFIX = "b2:"

__all__ = ["HASH_PREFIX", "canonical_json", "content_hash", "message_hash"]

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
).encode


def canonical_json(obj: object) -> str:
    """The one JSON text of `obj`: keys sorted, no spaces, non-ASCII kept, numbers as Python writes.

    What JSON cannot express enters as its `str()`.
    """
    try:
        return _encode(obj)
    except TypeError:
        # Keys of several types cannot be sorted; as JSON keys they are all text.
        return _encode(json.loads(json.dumps(obj, default=str, skipkeys=True)))


def content_hash(obj: object) -> str:
    """The address of any JSON value: `b2:` and 32 hexadecimal digits (BLAKE2b, 16 bytes)."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in json_pieces(obj, canonical_json, encode_basestring):
        digest.update(storable(piece).encode("utf-8"))
    return HASH_PREFIX + digest.hexdigest()


def message_hash(message: Message, parent_hash: str | None) -> str:
    """The address of `message` as the successor of the message at `parent_hash`.

    Reads the file of an attachment given by path; never uses the network.
    """
    return address(referenced(message)[0], parent_hash)


def address(shape: JSONObject, parent_hash: str | None) -> str:
    """The address of a message in the form that `referenced` gives it."""
    return content_hash({"parent": parent_hash, "message": shape})


def referenced(
    message: Message, *, trusts_ids: bool = False
) -> tuple[JSONObject, list[Attachment]]:
    """The dictionary form of `message` with references in place of attachments.

    Args:
        message: The message.
        trusts_ids: Take the ids that attachments came with, and do not look at what they are.

    Returns:
        The form that is hashed, in which each attachment is `{"id": ..., "type": ...}`, and the
        attachments in the order of their references.
    """
    attachments: list[Attachment] = []

    def reference(attachment: Attachment) -> JSONObject:
        """What stands for an attachment: the digest of its bytes, and its type."""
        attachments.append(attachment)
        if trusts_ids and attachment.known_id is not None:
            return {"id": attachment.known_id, "type": attachment.type}
        return {"id": attachment_digest(attachment), "type": attachment_type(attachment)}

    shape: JSONObject = {
        "role": message.role,
        "parts": [_part_shape(part, reference) for part in message.parts],
    }
    if message.provider_metadata:
        shape["provider_metadata"] = message.provider_metadata
    return shape, attachments


def _part_shape(part: Part, reference: Callable[[Attachment], JSONObject]) -> JSONObject:
    if isinstance(part, AttachmentPart) and part.attachment is not None:
        bare = replace(part, attachment=None).to_dict()
        return _inserted(bare, "attachment", reference(part.attachment))
    if isinstance(part, ToolResultPart) and part.attachments:
        bare = replace(part, attachments=[]).to_dict()
        return _inserted(bare, "attachments", [reference(item) for item in part.attachments])
    return dict(part.to_dict())


def _inserted(shape: PartDict, key: str, value: object) -> JSONObject:
    """`shape` with one more key, which goes before the provider's metadata."""
    whole: JSONObject = {**shape, key: value}
    if "provider_metadata" in shape:
        whole["provider_metadata"] = whole.pop("provider_metadata")
    return whole


def attachment_digest(attachment: Attachment) -> str:
    """The SHA-256 of the attachment's bytes, of its URL, or `missing:PATH` for a vanished file.

    It is made anew each time: a file may have changed since the attachment was made.
    """
    if attachment.content:
        return hashlib.sha256(attachment.content).hexdigest()
    if attachment.path:
        try:
            with open(attachment.path, "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        except OSError:
            return f"missing:{attachment.path}"
    return hashlib.sha256(json.dumps({"url": attachment.url}).encode("utf-8")).hexdigest()


def attachment_type(attachment: Attachment) -> str | None:
    """The MIME type without asking a server: as given, else by content, else `None`."""
    if attachment.type or (attachment.url and not attachment.path):
        return attachment.type
    try:
        return attachment.resolve_type()
    except (OSError, ValueError):
        return None
