"""Attachments of earlier turns that are not what they were: the log knows files by their digest,
and of an address with a key in it all but the key."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

from ...parts import AttachmentPart, TextPart, ToolResultPart
from ...text.secrets import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...content import Attachment
    from ...parts import Message


def replace_gone(messages: Iterable[Message]) -> list[str]:
    """Put a note in place of each attachment whose file is gone, or has changed since, or whose
    address had a key in it.

    Bytes that the log holds are sent as they were. Nothing is fetched: another address stays.

    Returns:
        A line for each such attachment.
    """
    told: dict[str, None] = {}
    for message in messages:
        for place, part in enumerate(message.parts):
            if isinstance(part, AttachmentPart) and part.attachment is not None:
                if problem := _problem(part.attachment):
                    told[problem] = None
                    message.parts[place] = TextPart(_note(part.attachment, problem))
            elif isinstance(part, ToolResultPart) and part.attachments:
                told.update(dict.fromkeys(_without_gone(part)))
    return list(told)


def _without_gone(part: ToolResultPart) -> list[str]:
    problems = [(file, _problem(file)) for file in part.attachments]
    part.attachments = [file for file, problem in problems if not problem]
    notes = [_note(file, problem) for file, problem in problems if problem]
    part.output = "\n".join([part.output, *notes] if notes else [part.output])
    return [problem for _, problem in problems if problem]


def _problem(attachment: Attachment) -> str:
    """What has become of an attachment; empty where it is as it was."""
    if attachment.content is not None:
        return ""
    if not attachment.path:
        is_masked = MASK in (attachment.url or "")
        return f"The key in the address of {attachment.url} is not kept" if is_masked else ""
    digest = sha256()
    try:
        if not os.path.isfile(attachment.path):
            # What is read from a device or a pipe may never end.
            raise FileNotFoundError
        with open(attachment.path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (OSError, ValueError):
        return f"The attachment {attachment.path} is gone"
    known = attachment.known_id
    if known is None or known in (digest.hexdigest(), f"missing:{attachment.path}"):
        return ""
    return f"The attachment {attachment.path} has changed since it was sent"


def _note(attachment: Attachment, problem: str) -> str:
    kind = f" ({attachment.type})" if attachment.type else ""
    return f"[{problem}: what was here{kind} cannot be shown any more]"
