"""What people name on a command line: keys and attachments."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..content import Attachment
from ..errors import AttachmentError, ConfigError, InvalidInput, LLMError
from ..files.config import load_keys
from ..terminal import STDIN, read_stdin_bytes, read_stdin_line, stdin_is_terminal
from ..text.media import canonical_type
from ..text.secrets import STAND_INS, remember, remember_request


def key_argument(value: str | None) -> str | None:
    """The key, or the name of a key, that `--key VALUE` stands for.

    Args:
        value: The text itself, `@FILE` for the content of a file, or `-` for the first line of
            standard input, which a person types without seeing it.

    Raises:
        InvalidInput: There is no such file, or nothing in it; or the text is almost the name of a
            stored key, which would be sent to the server.
    """
    if value is None:
        return None
    if value != STDIN and not value.startswith("@"):
        # Whoever needs a file that is not valid will tell.
        with suppress(ConfigError):
            names = load_keys()
            if value in names:
                return value
            _check_for_slip(value, names)
        # Now: an error that comes before the model is called may quote it.
        remember(value)
        return value
    source = "the first line of standard input" if value == STDIN else value[1:]
    if value == STDIN and stdin_is_terminal():
        from getpass import getpass

        found = getpass("Key: ", stream=sys.stderr)
    else:
        found = read_stdin_line() if value == STDIN else _file_text(source)
    if not found.strip():
        raise InvalidInput(f"No key in {source}")
    remember(found)
    return found.strip()


_LONGEST_SLIP = 20


def _check_for_slip(value: str, names: Iterable[str]) -> None:
    """Refuse what somebody has mistyped who meant one of these names."""
    if len(value) > _LONGEST_SLIP or value.casefold() in STAND_INS:
        return
    for name in names:
        if _is_one_edit_away(value.casefold(), name.casefold()):
            raise InvalidInput(
                f"{value!r} is no stored key, but almost the name of one: {name}. "
                f"A key that looks like this is sent with --key @FILE"
            )


def _is_one_edit_away(one: str, other: str) -> bool:
    """Whether a character more, less, changed, or changed with the next makes the same of two."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    return (
        one[1:] in (other, other[1:])
        or one == other[1:]
        or (one[2:] == other[2:] and sorted(one[:2]) == sorted(other[:2]))
    )


def _file_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"Could not read a key from {path}: {error}") from error


def attachment_from(value: str) -> Attachment:
    """The attachment that `-a VALUE` names: a path, a URL, or `-` for standard input.

    Its type comes from the content, else from the server of a URL, else from the extension.

    Raises:
        AttachmentError: It cannot be read, or its type cannot be found out.
    """
    name = "stdin" if value == STDIN else value
    attachment = _attachment(value)
    try:
        attachment.type = attachment.resolve_type()
    except (OSError, ValueError, LLMError) as error:
        if value == STDIN:
            raise AttachmentError("Nothing to attach: stdin is empty") from error
        raise AttachmentError(f"Could not read {name}: {error}") from error
    if not attachment.type:
        raise AttachmentError(
            f"Could not determine mimetype of {name}. Give it with --at {value} MIMETYPE"
        )
    return attachment


def typed_attachment(value: str, mime_type: str) -> Attachment:
    """The attachment that `--at VALUE MIMETYPE` names; nothing is guessed and nothing fetched.

    Other names of a type, such as image/jpg, stand for the usual one.
    """
    if not mime_type.strip():
        raise AttachmentError(f"No type is given for {value}. Name one, such as image/png")
    attachment = _attachment(value)
    attachment.type = canonical_type(mime_type)
    return attachment


def _attachment(value: str) -> Attachment:
    if value == STDIN:
        return Attachment(content=read_stdin_bytes())
    if "://" in value:
        # Now: with a type, or for a model that fetches it by itself, nobody here asks for it.
        remember_request(value, {})
        return Attachment(url=value)
    path = Path(value)
    if not path.exists():
        raise AttachmentError(f"File {value} does not exist")
    if path.is_dir():
        raise AttachmentError(f"{value} is a directory, not a file")
    if not os.access(path, os.R_OK):
        raise AttachmentError(f"File {value} cannot be read: permission denied")
    return Attachment(path=str(path.resolve()))
