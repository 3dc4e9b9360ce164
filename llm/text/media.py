"""MIME types by content."""

from __future__ import annotations

from pathlib import Path

# puremagic and the providers name the same formats differently.
_PROVIDER_NAMES = {"audio/wave": "audio/wav"}


def type_of_bytes(content: bytes) -> str | None:
    """The MIME type that the first bytes of `content` show, or `None` for text and unknown."""
    import puremagic

    try:
        found = puremagic.from_string(content, mime=True)
    except (puremagic.PureError, ValueError):
        return None
    # Text has no magic number; puremagic 2 guesses all the same, where puremagic 1 finds nothing.
    return None if found == "text/plain" else _PROVIDER_NAMES.get(found, found) or None


def type_of_path(path: str | Path) -> str | None:
    """The MIME type that the file at `path` shows, or `None`; an OSError if it cannot be read.

    A text file has it from the extension of its name, such as `.txt` or `.md`.
    """
    import puremagic

    try:
        found = puremagic.from_file(str(path), mime=True)
    except (puremagic.PureError, ValueError):
        return None
    if found == "text/plain" and not Path(path).suffix:
        return None
    return _PROVIDER_NAMES.get(found, found) or None
