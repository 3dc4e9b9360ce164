"""What is asked of a store of collections; a file of SQLite is one, PostgreSQL another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from .nearest import Condition, Found, Search

# A text or not, and the digest of its content: equal for what has the same vector.
Kind = tuple[bool, bytes]
_ADDRESS = re.compile(r"postgres(ql)?://")


class EntryRow(NamedTuple):
    """What a store has of an entry: the vector as little-endian 32-bit floats, metadata as JSON."""

    vector: bytes
    text: str | None
    binary: bytes | None
    metadata: str | None


class KnownRow(NamedTuple):
    """What a store tells of an entry whose id is given again."""

    id: str
    digest: bytes
    vector: bytes
    has_no_bytes: bool
    has_no_text: bool
    metadata: str | None


class VectorStore(Protocol):
    """Where collections are kept; each is known by its number.

    It may be used from several threads. What it raises is an `EmbeddingsError`.
    """

    def find(self, name: str) -> tuple[int, str] | None:
        """The number and the model of a collection, `None` where it is not there."""

    def make(self, name: str, model_id: str) -> tuple[int, str]:
        """The same of a collection that is made if it is not there; then its own model counts."""

    def listing(self) -> list[tuple[str, str, int]] | None:
        """Name, model and number of entries of each, by name; `None` where nothing was made yet."""

    def count(self, collection_id: int) -> int:
        """How many entries there are."""

    def ids(self, collection_id: int, prefix: str) -> list[str]:
        """The ids that begin so, sorted."""

    def get(self, collection_id: int, id: str) -> EntryRow | None:
        """One entry."""

    def same_ids(self, collection_id: int, ids: Sequence[str]) -> Iterable[KnownRow]:
        """Those of the entries that are there."""

    def same_content(
        self, collection_id: int, kinds: Sequence[Kind]
    ) -> Iterable[tuple[Kind, bytes]]:
        """The vectors of contents that are there under whatever id."""

    def write(
        self,
        collection_id: int,
        puts: Sequence[tuple[str, EntryRow, bytes]],
        refreshes: Sequence[tuple[str, EntryRow, bytes]],
    ) -> None:
        """Put entries and refresh others, in one transaction: id, row, digest of the content.

        An entry that is refreshed keeps its vector, gets the metadata, and the content if it has
        none; where another content came in its place meanwhile it stays as it is.
        """

    def set_metadata(self, collection_id: int, id: str, metadata: str | None) -> bool:
        """Replace the metadata of an entry; false where it is not there."""

    def remove(self, collection_id: int, ids: Iterable[str]) -> int:
        """Remove entries; gives how many were there."""

    def drop(self, collection_id: int) -> int:
        """Remove a collection; gives how many entries it had."""

    def condition(
        self, prefix: str | None, where: str | None, ids: list[str] | None
    ) -> Condition | None:
        """What limits a search to ids with a prefix, to metadata that fits, and to some ids."""

    def search(self, search: Search) -> list[Found]:
        """The nearest entries, best first; see `Search`."""

    def index(self, collection_id: int) -> None:
        """Make an index for the search, where a store has such."""

    def close(self) -> None:
        """Close what was opened here; a connection that was given stays open."""


def is_address(db: object) -> bool:
    """Whether a database is named by the address of a server."""
    return isinstance(db, str) and bool(_ADDRESS.match(db))


def like(prefix: str) -> str:
    """The pattern of what begins so, for `like` with a backslash as its escape."""
    return re.sub(r"([\\%_])", r"\\\1", prefix) + "%"
