"""The turns of a log by their meaning: their vectors, without their texts, in a collection.

The collection belongs to the path of the log. It is brought up to date when somebody looks
something up, never while a prompt runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from collections.abc import Collection as Those
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..logs.file.lookups import batches, rows_by_ids
from ..logs.file.migrations import has_table
from .collection import Collection, Entry
from .migrations import content_hash
from .sidecar import sidecar_path

if TYPE_CHECKING:
    from ..files import AnyPath
    from ..models.embedding import EmbeddingModel

# The characters of a prompt, and of an answer, that are embedded: models take no texts of any
# length, and the beginning says what it is about.
LONGEST = 4000
_BATCH = 200
_IDS = "select id from turns union select id from responses"
_TEXTS = (
    "select turn_id, prompt, response from turn_search where turn_id in",
    "select id, prompt, response from responses"
    " where not exists (select 1 from turns where turns.id = responses.id) and id in",
)
_HASHES = "select id, content_hash from embeddings where collection_id = ?"


def collection_name(log: AnyPath) -> str:
    """What the collection of a log is called."""
    return f"log:{os.path.realpath(log)}"


class LogTurns:
    """The collection of a log, as a model makes it.

    Args:
        conn: The log, open to be read.
        log: Its path.
        database: The path of the database of embeddings.
        model: The model that embeds; vectors of another one are made anew.
    """

    def __init__(
        self, conn: sqlite3.Connection, log: AnyPath, database: str, model: EmbeddingModel
    ) -> None:
        self._conn = conn
        self._name = collection_name(log)
        self._database = database
        self._model = model

    def missing(self) -> list[str]:
        """The ids of the turns that the model has not embedded, oldest first.

        Vectors of turns that are no more in the log are removed.
        """
        found = {row[0] for row in self._conn.execute(_IDS)}
        with _existing(self._database, self._name) as collection:
            if collection is not None and collection.model_id == self._model.model_id:
                known = set(collection.ids())
                _forget(collection, known - found)
                found -= known
        return sorted(found)

    def size_of(self, ids: list[str]) -> int:
        """How many characters of these turns the model would be given."""
        return sum(len(text) for _, text in _texts(self._conn, ids))

    def take_in(self, ids: list[str], progress: Callable[[int], object] | None = None) -> None:
        """Embed these turns.

        Args:
            ids: What `missing` gave.
            progress: Called now and then with how many are done.

        Raises:
            ModelError: The model failed; finished batches are kept.
        """
        from filelock import FileLock

        # Two models at once would mix their vectors.
        with FileLock(f"{self._database}.log.lock"):
            with _existing(self._database, self._name) as collection:
                if collection is not None and collection.model_id != self._model.model_id:
                    collection.delete()
            with Collection(self._name, self._database, model=self._model) as collection:
                collection.embed_multi(_texts(self._conn, ids), progress=progress)

    def nearest(self, text: str, number: int, ids: Those[str] | None = None) -> list[Entry]:
        """The turns nearest to a text, best first; `ids` says which are looked at."""
        with _existing(self._database, self._name) as collection:
            if collection is None:
                return []
            vector = self._model.embed(text)
            return collection.similar_by_vector(vector, number, ids=ids)


def forget_changed(conn: sqlite3.Connection, log: AnyPath, database: str) -> None:
    """Remove the vectors of turns that are no more in a log, or have another text now.

    Nothing of them is left in the file. A log that has no collection costs a look.
    """
    with _existing(database, collection_name(log)) as collection:
        if collection is None:
            return
        hashes: dict[str, bytes] = dict(collection.connection.execute(_HASHES, [collection.id]))
        texts = _texts(conn, sorted(hashes))
        kept = {turn_id for turn_id, text in texts if hashes[turn_id] == content_hash(text)}
        _forget(collection, hashes.keys() - kept)


def _forget(collection: Collection, ids: set[str]) -> None:
    if not ids:
        return
    # What is deleted is written over, in the file and in what lies beside it.
    conn = collection.connection
    conn.execute("pragma secure_delete = on")
    collection.delete(ids)
    conn.execute("pragma wal_checkpoint(truncate)").fetchone()
    path = conn.execute("pragma database_list").fetchone()[2]
    with suppress(OSError):
        os.unlink(sidecar_path(path, collection.id))


@contextmanager
def _existing(database: str, name: str) -> Iterator[Collection | None]:
    if not Collection.exists(database, name):
        yield None
        return
    with Collection(name, database, create=False) as collection:
        yield collection


def _texts(conn: sqlite3.Connection, ids: list[str]) -> Iterator[tuple[str, str]]:
    """The text of each turn that has any."""
    for some in batches(ids, _BATCH):
        for sql in _TEXTS:
            if sql is _TEXTS[0] or has_table(conn, "responses"):
                for turn_id, *pair in rows_by_ids(conn, sql, some):
                    text = "\n\n".join(part.strip()[:LONGEST] for part in pair if part)
                    if text.strip():
                        yield turn_id, text
