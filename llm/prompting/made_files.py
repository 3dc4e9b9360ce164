"""The files that a model made, kept in a folder: `--out FOLDER`."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..content import Attachment
from ..errors import LLMError
from ..parts import AttachmentPart
from ..terminal import show_note

if TYPE_CHECKING:
    from .request import AnyResponse

_SUFFIXES = {"image/jpeg": ".jpg", "text/plain": ".txt", "audio/mpeg": ".mp3", "audio/wav": ".wav"}


def write_attachments(responses: Sequence[AnyResponse], folder: str) -> None:
    """Write the files that a model made into a folder, and tell their names on stderr.

    The folder is made where it does not exist. A name that is taken is not used again.
    """
    target = Path(folder)
    number = 0
    for response in responses:
        for attachment in _made(response):
            number += 1
            try:
                target.mkdir(parents=True, exist_ok=True)
                kind = attachment.resolve_type() or ""
                suffix = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"
                path = _unused(target, f"{response.id}-{number}", suffix)
                path.write_bytes(attachment.content_bytes() or b"")
            except OSError as error:
                raise LLMError(f"Cannot write to {folder}: {error.strerror}") from error
            show_note(f"Wrote {path}")


def _made(response: AnyResponse) -> Iterator[Attachment]:
    for message in response.output_messages():
        for part in message.parts:
            if isinstance(part, AttachmentPart) and part.attachment is not None:
                yield part.attachment


def _unused(folder: Path, name: str, suffix: str) -> Path:
    path = folder / f"{name}{suffix}"
    count = 1
    while path.exists():
        count += 1
        path = folder / f"{name}-{count}{suffix}"
    return path
