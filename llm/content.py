"""Content that goes into a prompt beside the typed text: attachments and fragments."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._lazy import for_hints

if TYPE_CHECKING:
    from .serialization import AttachmentDict
else:
    for_hints(
        globals(),
        {
            "llm.serialization": "AttachmentDict",
        },
    )

__all__ = ["Attachment", "Fragment"]


@dataclass(init=False)
class Attachment:
    """A file or media item for a model: bytes, a path or a URL, with its MIME type if known.

    Args:
        type: MIME type, e.g. `image/png`; found by `resolve_type()` where it is missing.
        path: A file on this machine; kept as text.
        url: A web address; fetched only when the bytes are asked for.
        content: The bytes themselves.
    """

    type: str | None = None
    path: str | None = None
    url: str | None = None
    content: bytes | None = None
    # Not compared: whether the digest was asked for makes no difference to what this is.
    _id: str | None = field(default=None, compare=False)
    # The address that a server was asked about, and the type that it gave.
    _served: tuple[str, str | None] | None = field(default=None, init=False, compare=False)

    def __init__(
        self,
        type: str | None = None,
        path: str | PathLike[str] | None = None,
        url: str | None = None,
        content: bytes | None = None,
        _id: str | None = None,
    ) -> None:
        self.type = type
        self.path = path if path is None else fspath(path)
        self.url = url
        self.content = content
        self._id = _id

    def id(self) -> str:
        """The SHA-256 hex digest of the bytes, or of `{"url": ...}` for a URL; kept once made.

        Raises:
            OSError: The file at `path` cannot be read.
        """
        if self._id is None:
            from hashlib import sha256

            data = self.content
            if not data:
                url = json.dumps({"url": self.url}).encode()
                data = Path(self.path).read_bytes() if self.path else url
            self._id = sha256(data).hexdigest()
        return self._id

    @property
    def known_id(self) -> str | None:
        """The id, if it was given or has been made; nothing is read to find it out."""
        return self._id

    def resolve_type(self) -> str | None:
        """The MIME type: as given, else by the magic number of the bytes, else from the server,
        else by the extension of the path or address.

        Returns:
            The type, or `None` where the bytes have no magic number (plain text, for one), and
            nothing else tells. Only a URL without a type touches the network, and that once.

        Raises:
            ValueError: There is neither a type nor anything to derive it from.
        """
        if self.type:
            return self.type
        from .text.media import type_of_bytes, type_of_path

        if self.path:
            return type_of_path(self.path)
        if self.url:
            if self._served is None or self._served[0] != self.url:
                from .net.http import type_at

                self._served = (self.url, type_at(self.url))
            return self._served[1]
        if self.content:
            return type_of_bytes(self.content)
        raise ValueError("Attachment has no type and no content to derive it from")

    def content_bytes(self) -> bytes | None:
        """The bytes: as given, else read from `path`, else fetched from `url`."""
        if self.content is None:
            if self.path:
                return Path(self.path).read_bytes()
            if self.url:
                from .net.http import fetch

                return fetch(self.url)
        return self.content

    def base64_content(self) -> str:
        """The bytes as base64 text."""
        return base64.b64encode(self.content_bytes() or b"").decode()

    def to_dict(self) -> AttachmentDict:
        """Those of `type`, `url`, `path` and `content` (base64) that are set, in this order."""
        shape: AttachmentDict = {}
        if self.type:
            shape["type"] = self.type
        if self.url:
            shape["url"] = self.url
        if self.path:
            shape["path"] = self.path
        if self.content:
            shape["content"] = base64.b64encode(self.content).decode()
        return shape

    @classmethod
    def from_dict(cls, shape: AttachmentDict) -> Attachment:
        """The attachment that `to_dict()` described."""
        content = shape.get("content")
        data = None if content is None else base64.b64decode(content)
        return cls(shape.get("type"), shape.get("path"), shape.get("url"), data, shape.get("id"))

    @classmethod
    def from_row(cls, row: Any) -> Attachment:
        """The attachment of a row of the `attachments` table (a mapping of its columns)."""
        return cls(row["type"], row["path"], row["url"], row["content"], row["id"])

    def __repr__(self) -> str:
        try:
            info = [f"<Attachment: {self.id()}"]
        except OSError:
            info = ["<Attachment: unreadable"]
        info += [f'{k}="{v}"' for k in ("type", "path", "url") if (v := getattr(self, k))]
        if self.content:
            info.append(f"content={len(self.content)} bytes")
        return " ".join(info) + ">"


class Fragment(str):
    """A piece of text that is stored once and may go into many prompts.

    Args:
        content: The text; the fragment *is* this string.
        source: Where it came from: a path, a URL, a loader's reference.
    """

    source: str

    def __new__(cls, content: str, source: str = "") -> Fragment:
        """The fragment as a string that remembers its source."""
        fragment = super().__new__(cls, content)
        fragment.source = source
        return fragment

    def id(self) -> str:
        """The SHA-256 hex digest of the UTF-8 text."""
        from hashlib import sha256

        return sha256(self.encode(errors="replace")).hexdigest()
