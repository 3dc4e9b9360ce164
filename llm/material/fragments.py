"""Fragments: from what a person names to text, and to the attachments that come with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ..content import Attachment, Fragment
from ..errors import FragmentNotFound, InvalidInput
from ..terminal import STDIN, decode_text, read_stdin_text
from ..text import has_plugin_prefix
from ..text.secrets import said_by

Content = Fragment | Attachment
FindStored = Callable[[str], Fragment | None]


def resolve_all(
    fragments: Iterable[str], find_stored: FindStored, allow_attachments: bool = False
) -> list[Content]:
    """As `resolve_fragments`, with a function that finds a stored fragment."""
    found: list[Content] = []
    for name in fragments:
        found += _resolve(name, find_stored, allow_attachments)
    return found


def _resolve(name: str, find_stored: FindStored, allow_attachments: bool) -> list[Content]:
    if name.startswith(("http://", "https://")):
        return [Fragment(_fetched(name), name)]
    if name == STDIN:
        return [Fragment(read_stdin_text(), STDIN)]
    is_file = os.path.exists(name)
    if has_plugin_prefix(name) and not is_file:
        return _load(name, allow_attachments)
    stored = find_stored(name)
    if stored is not None:
        return [stored]
    if is_file:
        return [_read(Path(name))]
    raise FragmentNotFound(
        f"Fragment '{name}' not found: there is no such alias, hash or file "
        "('llm fragments' lists what is stored)"
    )


def _fetched(url: str) -> str:
    from ..net.http import fetch_text

    try:
        return fetch_text(url)
    except InvalidInput as error:
        raise FragmentNotFound(f"Fragment {error}") from error


def _read(path: Path) -> Fragment:
    if path.is_dir():
        from shlex import quote

        loader = quote(f"dir:{path}")
        raise FragmentNotFound(f"Fragment '{path}' is a folder: -f {loader} reads its text files")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FragmentNotFound(f"Fragment '{path}' cannot be read: {error.strerror}") from error
    from ..text.media import is_binary

    if is_binary(content):
        raise FragmentNotFound(
            f"Fragment '{path}' is not text. Attach it with -a, or with --at to name its type"
        )
    return Fragment(decode_text(content), str(path.resolve()))


def _load(name: str, allow_attachments: bool) -> list[Content]:
    """What the loader of the prefix gives."""
    from .registered import fragment_loaders_for

    prefix, _, rest = name.partition(":")
    loaders = fragment_loaders_for(prefix)
    if prefix not in loaders:
        known = ", ".join(loaders) or "none"
        raise FragmentNotFound(f"Unknown fragment prefix: {prefix} (loaders: {known})")
    try:
        result = loaders[prefix](rest)
        items = [result] if isinstance(result, (str, Attachment)) else list(result)
        found = [_content(item, name) for item in items]
        if not allow_attachments and any(isinstance(item, Attachment) for item in found):
            raise ValueError(f"Fragment loader {prefix} returned a disallowed attachment")
    except Exception as error:  # whatever the loader of a plugin raises
        text = said_by(error) or type(error).__name__
        raise FragmentNotFound(f"Could not load fragment {name}: {text}") from error
    return found


def _content(item: object, name: str) -> Content:
    if isinstance(item, (Fragment, Attachment)):
        return item
    if isinstance(item, str):
        return Fragment(item, name)
    raise TypeError(f"the loader returned {type(item).__name__}, neither text nor an attachment")
