"""Which files a model accepts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..content import Attachment
    from ..parts import ToolResultPart
    from ..tools.calling import ToolResult
    from .base import _BaseModel


def accepted_files(
    model: _BaseModel, results: Iterable[ToolResult | ToolResultPart]
) -> list[Attachment]:
    """The files that tools returned, as far as a model accepts their type: all of them where it
    does not say which types it accepts."""
    files = [file for result in results for file in result.attachments]
    if not model.declares_attachment_types:
        return files
    accepted = set(model.attachment_types)
    return [file for file in files if _is_accepted(file, accepted)]


def check_attachments(attachments: Sequence[Attachment], model: _BaseModel) -> None:
    """Refuse attachments that the model does not take.

    Raises:
        ValueError: It takes none, or none of that type.
    """
    accepted = set(model.attachment_types)
    if not accepted:
        raise ValueError("This model does not support attachments")
    for attachment in attachments:
        if not _is_accepted(attachment, accepted):
            raise ValueError(
                f"This model does not support attachments of type '{attachment.resolve_type()}', "
                f"only {', '.join(sorted(accepted))}"
            )


def _is_accepted(attachment: Attachment, accepted: Collection[str]) -> bool:
    """Whether a type is among those that a model accepts, if need be under its name of the type,
    which the attachment then gets."""
    found = attachment.resolve_type()
    if found is None or found in accepted:
        return found is not None
    from ..text.media import canonical_type

    usual = canonical_type(found)
    other = next((name for name in sorted(accepted) if canonical_type(name) == usual), None)
    attachment.type = other or attachment.type
    return other is not None
