"""MIME types by content."""

from __future__ import annotations

from pathlib import Path

# puremagic and the providers name the same formats differently. Text has no magic number: what
# puremagic 2 guesses about a file of text is nothing that puremagic 1 or bytes in memory show.
_PROVIDER_NAMES = {"audio/wave": "audio/wav", "text/plain": ""}


def type_of_bytes(content: bytes) -> str | None:
    """The MIME type that the first bytes of `content` show, or `None` for text and unknown."""
    import puremagic

    try:
        found = puremagic.from_string(content, mime=True)
    except (puremagic.PureError, ValueError):
        return None
    return _PROVIDER_NAMES.get(found, found) or None


def type_of_path(path: str | Path) -> str | None:
    """The MIME type that the file at `path` shows by its content, or `None`.

    Raises:
        OSError: The file cannot be read.
    """
    import puremagic

    try:
        found = puremagic.from_file(str(path), mime=True)
    except (puremagic.PureError, ValueError):
        return None
    return _PROVIDER_NAMES.get(found, found) or None
