"""Fragments: from what a person names to text, and to the attachments that come with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._lazy import for_hints
from ..content import Attachment, Fragment
from ..errors import FragmentNotFound, InvalidInput
from ..terminal import STDIN, decode_text, read_stdin_text
from ..text import has_plugin_prefix
from ..text.secrets import said_by

if TYPE_CHECKING:
    from ..hookspecs import FragmentContext, FragmentLoader
    from ..logs.records.shared import AnyDatabase
else:
    for_hints(
        globals(),
        {
            "llm.hookspecs": "FragmentContext FragmentLoader",
            "llm.logs.records.shared": "AnyDatabase",
        },
    )

Content = Fragment | Attachment
FindStored = Callable[[str], Fragment | None]


class Late(NamedTuple):
    """A fragment that depends on the prompt: its place is known, its content not yet.

    Args:
        name: What the user calls it.
        loader: What gives it.
        allow_attachments: Whether the loader may return attachments.
    """

    name: str
    loader: FragmentLoader
    allow_attachments: bool = False

    def load(self, context: FragmentContext | None) -> list[Content]:
        """What the loader gives for a prompt.

        Raises:
            FragmentNotFound: The loader raised an error, or there is no text to go by.
        """
        if context is None or not context.prompt.strip():
            raise FragmentNotFound(
                f"Fragment {self.name} is found by the text of a prompt, and there is none"
            )
        return _loaded(self.name, partial(self.loader, context=context), self.allow_attachments)


Item = Content | Late


def resolve_fragments(
    db: AnyDatabase, fragments: Iterable[str], allow_attachments: bool = False
) -> list[Fragment | Attachment]:
    """The texts, and attachments, that people name.

    Args:
        db: The log database, searched for aliases and hashes.
        fragments: For each: a URL, `-` for standard input, `prefix:rest` for a loader, an alias,
            a hash or a path; tried in this order.
        allow_attachments: Whether a loader may return attachments.

    Returns:
        The content in order; a loader may give several for one name.

    Raises:
        FragmentNotFound: One of them cannot be found or read.
    """
    from ..logs.read.shared import find_fragment

    found = resolve_all(fragments, lambda name: find_fragment(db, name), allow_attachments)
    return contents_of(found)


def resolve_all(
    fragments: Iterable[str], find_stored: FindStored, allow_attachments: bool = False
) -> list[Item]:
    """As `resolve_fragments`, with a function that finds a stored fragment.

    What depends on the prompt is left to be loaded.
    """
    found: list[Item] = []
    for name in fragments:
        found += _resolve(name, find_stored, allow_attachments)
    return found


def contents_of(found: Iterable[Item], context: FragmentContext | None = None) -> list[Content]:
    """Everything in order, with what depends on the prompt loaded for this one.

    Raises:
        FragmentNotFound: There is such a fragment, and no prompt.
    """
    contents: list[Content] = []
    for item in found:
        contents += item.load(context) if isinstance(item, Late) else [item]
    return contents


def _resolve(name: str, find_stored: FindStored, allow_attachments: bool) -> list[Item]:
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


def _load(name: str, allow_attachments: bool) -> list[Item]:
    """What the loader of the prefix gives, or will give."""
    from .registered import fragment_loaders_for

    prefix = name.partition(":")[0]
    loaders = fragment_loaders_for(prefix)
    if prefix not in loaders:
        known = ", ".join(loaders) or "none"
        raise FragmentNotFound(f"Unknown fragment prefix: {prefix} (loaders: {known})")
    loader = loaders[prefix]
    if _takes_context(loader):
        return [Late(name, loader, allow_attachments)]
    return [*_loaded(name, loader, allow_attachments)]


def _takes_context(loader: FragmentLoader) -> bool:
    from inspect import signature

    try:
        parameters = list(signature(loader).parameters)
    except (TypeError, ValueError):
        return False
    return "context" in parameters[1:]


def _loaded(name: str, loader: FragmentLoader, allow_attachments: bool) -> list[Content]:
    prefix, _, rest = name.partition(":")
    try:
        result = loader(rest)
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
