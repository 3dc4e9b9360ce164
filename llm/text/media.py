"""MIME types: by content, by the extension of a name, and the other names that they go by."""

from __future__ import annotations

from pathlib import PurePath

# puremagic and the providers name the same formats differently.
_PROVIDER_NAMES = {"audio/wave": "audio/wav"}
# So many bytes show what a file is.
HEAD_BYTES = 65_536
# Names that people and servers use for others.
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-gif": "image/gif",
    "image/x-webp": "image/webp",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/x-tiff": "image/tiff",
    "image/svg": "image/svg+xml",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "application/ogg": "audio/ogg",
    "audio/x-ogg": "audio/ogg",
    "audio/opus": "audio/ogg",
    "video/x-m4v": "video/mp4",
    "video/mov": "video/quicktime",
    "application/x-pdf": "application/pdf",
    "application/csv": "text/csv",
    "text/x-csv": "text/csv",
    "text/comma-separated-values": "text/csv",
    "text/x-markdown": "text/markdown",
    "application/x-json": "application/json",
    "text/json": "application/json",
    "text/xml": "application/xml",
    "application/x-yaml": "application/yaml",
    "text/yaml": "application/yaml",
}
# What a server says that does not know.
_UNKNOWN = frozenset(
    (
        *("application/octet-stream", "binary/octet-stream", "application/x-binary"),
        *("application/force-download", "application/x-download", "application/download"),
        *("application/unknown", "application/x-unknown", "unknown/unknown"),
    )
)
# Extensions that Python's own table lacks, names otherwise, or knows on some systems only.
_EXTENSIONS = {
    ".aac": "audio/aac",
    ".aiff": "audio/aiff",
    ".csv": "text/csv",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".jsonl": "application/json",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".m4v": "video/mp4",
    ".md": "text/plain",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".toml": "application/toml",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".yaml": "application/x-yaml",
    ".yml": "application/x-yaml",
}
# The containers in which sound alone may lie: what the name says then tells more.
_CONTAINERS = {
    "video/mp4": "audio/mp4",
    "video/webm": "audio/webm",
    "audio/ogg": "video/ogg",
}
# The brand that is the first in the file, for what is told apart by it.
_BRANDS = {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"avif": "image/avif", b"avis": "image/avif"}
_MEDIA = ("image/", "audio/", "video/")


def canonical_type(name: str) -> str:
    """The usual name of a MIME type, without parameters; a type of one name only as it is."""
    bare = name.partition(";")[0].strip()
    return _OTHER_NAMES.get(bare.lower(), bare)


def served_type(header: str) -> str | None:
    """What a server says of the type; `None` where it says that it does not know."""
    found = canonical_type(header)
    return None if found.lower() in _UNKNOWN else found or None


def is_media(kind: str | None) -> bool:
    """Whether a type is that of pictures, sound, films or documents, and no text."""
    return kind is not None and (kind.startswith(_MEDIA) or kind == "application/pdf")


def is_binary(content: bytes) -> bool:
    """Whether some bytes are no text: a document, or neither UTF-8 nor without zeros."""
    if content.startswith(b"%PDF-"):
        return True
    if b"\0" not in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def type_of_bytes(content: bytes) -> str | None:
    """The MIME type that the first bytes of `content` show, or `None` for text and unknown."""
    own = _by_start(content)
    if own is not None:
        return own
    import puremagic

    try:
        found = puremagic.from_string(content, mime=True)
    except (puremagic.PureError, ValueError):
        return None
    # Text has no magic number; puremagic 2 guesses all the same, where puremagic 1 finds nothing.
    return None if found == "text/plain" else _checked(found, content)


def type_of_path(path: str | PurePath) -> str | None:
    """The MIME type that the file at `path` shows, or `None`; an OSError if it cannot be read.

    What has no magic number has it from the extension of its name, such as `.txt` or `.csv`.
    """
    with open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
    return type_of(start, name=str(path), path=str(path))


def type_of(
    start: bytes, *, name: str, served: str | None = None, path: str | None = None
) -> str | None:
    """The MIME type by the first bytes, else by a server's word, else by the extension of a name.

    Args:
        start: At most `HEAD_BYTES` of the content.
        name: A path, or the path of an address.
        served: What a server says, if it knows.
        path: Where all of the content is, if that is known.
    """
    by_name = _by_extension(name, start)
    found = type_of_bytes(start) or (_by_file(path, start) if path else None)
    if found is None:
        return served or by_name
    refined = _CONTAINERS.get(found)
    return refined if refined and refined in (served, by_name) else found


def _by_file(path: str, start: bytes) -> str | None:
    """What puremagic makes of the whole file, and of its extension."""
    import puremagic

    try:
        found = puremagic.from_file(path, mime=True)
    except (puremagic.PureError, ValueError):
        return None
    return None if found == "text/plain" else _checked(found, start)


def _by_start(start: bytes) -> str | None:
    """The types that puremagic does not know, or takes for others."""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12])
    if start.startswith(b"ID3") and start[3:4] in (b"\x02", b"\x03", b"\x04"):
        return "audio/mpeg"
    if start.startswith(b"OggS"):
        return "video/ogg" if b"theora" in start[:200] else "audio/ogg"
    return None


def _checked(found: str, start: bytes) -> str | None:
    """A type, unless two letters at the beginning of a text look like it."""
    if found.startswith(_MEDIA) and found != "image/svg+xml" and _is_text(start):
        return None
    return _PROVIDER_NAMES.get(found, found) or None


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        # The last character may be cut.
        start[: HEAD_BYTES - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 4 and error.start > 0
    return True


def _by_extension(name: str, start: bytes) -> str | None:
    """The type that an extension stands for, unless the content is clearly something else."""
    from mimetypes import MimeTypes

    suffix = PurePath(name).suffix.lower()
    if not suffix:
        return None
    # Not the table of the system, which is another one everywhere.
    found = _EXTENSIONS.get(suffix) or MimeTypes(filenames=()).guess_type(f"x{suffix}")[0]
    return None if is_media(found) and _is_text(start) else found
