"""A set of documents in the database of embeddings: files, their chunks, words and vectors.

The set is a collection whose entries are the chunks; what else is known of them stands in tables
of ours. They go with the collection, whoever deletes it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ..embeddings.collection import Collection
from ..errors import LLMError, NotFound
from ..files import locked
from ..logs.file.migrations import has_table, immediate
from ..material.loaders import find_files, text_size
from ..text import JSONObject
from .chunks import Chunk, chunks_of
from .sources import Source, readable

_SETS = "_llm_x_docs_sets"
_TABLES = (
    """create table if not exists _llm_x_docs_sets (
        collection_id integer, root text, primary key (collection_id, root))""",
    """create table if not exists _llm_x_docs_files (
        id integer primary key, collection_id integer, path text, name text, sha256 text,
        unique (collection_id, path))""",
    """create table if not exists _llm_x_docs_chunks (
        id integer primary key autoincrement, file_id integer, entry text, first integer,
        last integer, "start" integer, "end" integer, sha256 text)""",
    "create index if not exists _llm_x_docs_entries on _llm_x_docs_chunks (file_id, entry)",
    """create virtual table if not exists _llm_x_docs_words
        using fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2')""",
    """create trigger if not exists _llm_x_docs_gone after delete on collections begin
        delete from _llm_x_docs_words where rowid in (
            select c.id from _llm_x_docs_chunks c join _llm_x_docs_files f on f.id = c.file_id
            where f.collection_id = old.id);
        delete from _llm_x_docs_chunks where file_id in (
            select id from _llm_x_docs_files where collection_id = old.id);
        delete from _llm_x_docs_files where collection_id = old.id;
        delete from _llm_x_docs_sets where collection_id = old.id;
    end""",
)
_LIST = """
    select name, model, (
        select count(*) from _llm_x_docs_files f where f.collection_id = collections.id
    ), (
        select count(*) from _llm_x_docs_chunks c join _llm_x_docs_files f on f.id = c.file_id
        where f.collection_id = collections.id
    ) from collections where id in (select collection_id from _llm_x_docs_sets) order by name
"""
_FILES = """
    select f.path, f.sha256, (select count(*) from _llm_x_docs_chunks c where c.file_id = f.id)
    from _llm_x_docs_files f where f.collection_id = ? order by f.path
"""
_FORGET = (
    """delete from _llm_x_docs_words where rowid in (
        select c.id from _llm_x_docs_chunks c join _llm_x_docs_files f on f.id = c.file_id
        where f.collection_id = ? and f.path = ?)""",
    """delete from _llm_x_docs_chunks where file_id in (
        select id from _llm_x_docs_files where collection_id = ? and path = ?)""",
    "delete from _llm_x_docs_files where collection_id = ? and path = ?",
)
_LEFT_OVER = """
    select id from embeddings where collection_id = ?1 and id not in (
        select c.entry from _llm_x_docs_chunks c join _llm_x_docs_files f on f.id = c.file_id
        where f.collection_id = ?1)
"""
_BY_WORDS = """
    select c.entry from _llm_x_docs_words w
    cross join _llm_x_docs_chunks c on c.id = w.rowid cross join _llm_x_docs_files f
    on f.id = c.file_id where w.text match ? and f.collection_id = ? order by w.rank limit ?
"""
_CHUNK = """
    select f.path, c.id, c.first, c.last, c."start", c."end", c.sha256, f.name
    from _llm_x_docs_files f join _llm_x_docs_chunks c on c.file_id = f.id and c.entry = ?
    where f.collection_id = ? and f.path = ?
"""
# So many chunks are embedded before what they are of is written down.
_GROUP = 100
_CANDIDATES = 50
# As those have it who thought of ranking so: the first places do not count for everything.
_RANK_OFFSET = 60
_MOST_WORDS = 64


class File(NamedTuple):
    """A file of a set, as it was when it was taken in."""

    path: str
    digest: str
    chunks: int


class Found(NamedTuple):
    """A chunk that was found: where it stands, the name of its file in the set, and its text."""

    source: Source
    name: str
    text: str


@dataclass
class Changes:
    """How a set differs from its files, or what was done about it: paths of files.

    Attributes:
        missing_roots: What was added and is not there any more, all of it; its files are kept.
    """

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    missing_roots: list[str] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether there is no difference."""
        return not (self.new or self.changed or self.gone or self.missing_roots)


class _Taken(NamedTuple):
    path: str
    name: str
    data: bytes
    chunks: list[Chunk]

    def entries(self) -> Iterator[tuple[str, str, JSONObject]]:
        for chunk in self.chunks:
            metadata: JSONObject = {"file": self.path, "lines": [chunk.first, chunk.last]}
            yield _entry(self.path, chunk), self.text(chunk), metadata

    def bytes_of(self, chunk: Chunk) -> bytes:
        return self.data[chunk.start : chunk.end]

    def text(self, chunk: Chunk) -> str:
        return self.bytes_of(chunk).decode("utf-8", "replace")


def _entry(path: str, chunk: Chunk) -> str:
    return f"{path}#{chunk.start}-{chunk.end}"


def list_sets(conn: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """Name, model, and the numbers of files and chunks of each set, by name."""
    return conn.execute(_LIST).fetchall() if has_table(conn, _SETS) else []


class Documents:
    """A set of documents.

    Args:
        collection: The collection that has the vectors.
        create: Make a set of a collection that is new.

    Raises:
        NotFound: The collection is no set of documents.
        LLMError: It is to be made one, and has entries of another kind.
    """

    def __init__(self, collection: Collection, *, create: bool = False) -> None:
        self._collection = collection
        self._id = collection.id
        conn = collection.connection
        if has_table(conn, _SETS) and self.roots():
            return
        if not create:
            raise NotFound(f"The collection {collection.name!r} is no set of documents")
        if collection.count():
            raise LLMError(
                f"{collection.name!r} is a collection of other entries: choose another name"
            )

    @property
    def _conn(self) -> sqlite3.Connection:
        return self._collection.connection

    def _locked(self) -> AbstractContextManager[None]:
        """Nobody else adds or removes meanwhile."""
        path = self._conn.execute("pragma database_list").fetchone()[2]
        return locked(f"{path}.docs.lock") if path else nullcontext()

    def roots(self) -> list[str]:
        """The folders and files that were added."""
        sql = "select root from _llm_x_docs_sets where collection_id = ? order by root"
        return [root for (root,) in self._conn.execute(sql, [self._id])]

    def files(self) -> list[File]:
        """The files of the set, by path."""
        return [File(*row) for row in self._conn.execute(_FILES, [self._id])]

    # Putting in

    def add(
        self,
        paths: Sequence[str] = (),
        *,
        key: str | None = None,
        progress: Callable[[str], object] = lambda path: None,
    ) -> Changes:
        """Take in files and folders, or look again at those that were added.

        Only what is new or has changed is embedded; what has left a folder leaves the set.

        Args:
            paths: Folders and files that are there; all that were added before where empty.
            key: A key, or the name of a stored one, for the model.
            progress: Called with the path of each file that is taken in.
        """
        roots = [_absolute(path) for path in paths]
        with self._locked():
            self._note_roots(roots)
            roots = roots or self.roots()
            changes = self._compare(roots)
            group: list[_Taken] = []
            for taken in _read({*changes.new, *changes.changed}, roots):
                progress(taken.path)
                group.append(taken)
                if sum(len(taken.chunks) for taken in group) >= _GROUP:
                    self._take_in(group, key)
                    group = []
            self._take_in(group, key)
            self._forget(changes.gone)
        return changes

    def _note_roots(self, roots: Iterable[str]) -> None:
        with immediate(self._conn):
            for statement in _TABLES:
                self._conn.execute(statement)
            rows = [(self._id, root) for root in roots]
            self._conn.executemany("insert or ignore into _llm_x_docs_sets values (?, ?)", rows)

    def status(self) -> Changes:
        """How the files differ now from what was taken in; nothing is changed."""
        return self._compare(self.roots())

    def _compare(self, roots: Iterable[str]) -> Changes:
        changes = Changes()
        known = {file.path: file.digest for file in self.files()}
        for root in roots:
            below = {path for path in known if _is_below(path, root)}
            if not os.path.exists(root):
                changes.missing_roots.append(root)
                continue
            there = {str(path) for path in find_files(root)[0] if text_size(path)}
            changes.gone += sorted(below - there)
            for path in sorted(there):
                data = readable(path)
                if data is not None:
                    _note(changes, path, known.get(path), sha256(data).hexdigest())
        return changes

    def _take_in(self, group: list[_Taken], key: str | None) -> None:
        """Embed the chunks of some files, and write down what they are of."""
        entries = [entry for taken in group for entry in taken.entries()]
        self._collection.embed_multi_with_metadata(entries, store=True, key=key)
        with immediate(self._conn):
            for taken in group:
                self._write(taken)

    def _write(self, taken: _Taken) -> None:
        conn = self._conn
        for statement in _FORGET:
            conn.execute(statement, [self._id, taken.path])
        file_id = conn.execute(
            "insert into _llm_x_docs_files (collection_id, path, name, sha256) values (?, ?, ?, ?)",
            [self._id, taken.path, taken.name, sha256(taken.data).hexdigest()],
        ).lastrowid
        for chunk in taken.chunks:
            digest = sha256(taken.bytes_of(chunk)).hexdigest()
            place = (chunk.first, chunk.last, chunk.start, chunk.end)
            number = conn.execute(
                """insert into _llm_x_docs_chunks
                    (file_id, entry, first, last, "start", "end", sha256)
                    values (?, ?, ?, ?, ?, ?, ?)""",
                [file_id, _entry(taken.path, chunk), *place, digest],
            ).lastrowid
            sql = "insert into _llm_x_docs_words (rowid, text) values (?, ?)"
            conn.execute(sql, [number, taken.text(chunk)])

    def _forget(self, paths: Iterable[str]) -> None:
        """Remove files, and every vector that is of no chunk any more."""
        with immediate(self._conn):
            for path in paths:
                for statement in _FORGET:
                    self._conn.execute(statement, [self._id, path])
        left_over = [row[0] for row in self._conn.execute(_LEFT_OVER, [self._id])]
        self._collection.delete(left_over)

    def remove(self, paths: Sequence[str] = ()) -> None:
        """Remove folders and files that were added, or the whole set; the files themselves stay.

        Raises:
            NotFound: One of them was not added.
        """
        wanted = {_absolute(path) for path in paths}
        with self._locked():
            roots = self.roots()
            for root in wanted.difference(roots):
                raise NotFound(
                    f"{root} was not added to {self._collection.name!r}, but {', '.join(roots)}"
                )
            left = [root for root in roots if paths and root not in wanted]
            if not left:
                self._collection.delete()
                return
            sql = "delete from _llm_x_docs_sets where collection_id = ? and root = ?"
            with immediate(self._conn):
                self._conn.executemany(sql, [(self._id, root) for root in wanted])
            self._forget(_outside([file.path for file in self.files()], left))

    # Finding

    def find(self, question: str) -> Iterator[Found]:
        """The chunks that fit a question best by words and by meaning, best first.

        Each place in one of the two lists counts as the sum of 1 / (60 + place).
        """
        by_meaning = [entry.id for entry in self._collection.similar(question, _CANDIDATES)]
        scores: dict[str, float] = {}
        for entries in (by_meaning, self._by_words(question)):
            for place, entry in enumerate(entries):
                scores[entry] = scores.get(entry, 0.0) + 1 / (_RANK_OFFSET + place)
        for entry in sorted(scores, key=lambda entry: (-scores[entry], entry)):
            yield from self._chunk(entry)

    def _by_words(self, question: str) -> list[str]:
        words = list(dict.fromkeys(re.findall(r"\w+", question.lower())))[:_MOST_WORDS]
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self._conn.execute(_BY_WORDS, [match, self._id, _CANDIDATES])
        return [entry for (entry,) in rows]

    def _chunk(self, entry: str) -> Iterator[Found]:
        path = entry.rpartition("#")[0]
        for row in self._conn.execute(_CHUNK, [entry, self._id, path]):
            stored = self._collection.require(entry)
            yield Found(Source(self._collection.name, *row[:-1]), row[-1], str(stored.content))


def _note(changes: Changes, path: str, known: str | None, digest: str) -> None:
    if known is None:
        changes.new.append(path)
    elif known != digest:
        changes.changed.append(path)
    else:
        changes.unchanged += 1


def _read(paths: Iterable[str], roots: Sequence[str]) -> Iterator[_Taken]:
    """The files, cut into chunks; what cannot be read any more is left out."""
    for path in sorted(paths):
        if (data := readable(path)) is not None:
            root = next(root for root in roots if _is_below(path, root))
            yield _Taken(path, _name(path, root), data, list(chunks_of(data)))


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _outside(paths: Iterable[str], roots: Sequence[str]) -> list[str]:
    return [path for path in paths if not any(_is_below(path, root) for root in roots)]


def _is_below(path: str, root: str) -> bool:
    return path == root or Path(path).is_relative_to(root)


def _name(path: str, root: str) -> str:
    """What a file is called in its set."""
    return os.path.basename(path) if path == root else Path(path).relative_to(root).as_posix()
