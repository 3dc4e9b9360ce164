"""The vectors of a collection in a file of their own beside the database, mapped into memory.

The database stays the truth; the file is a copy that is made anew whenever it is stale, and may be
deleted at any time. It begins with a header; then comes a record for each vector: the row that it
is in, as a 64-bit integer, and the vector at length 1, in 32-bit floats. A new file takes the place
of the old one in one step. Where only entries were added, their records are written at the end, and
the header after them, so that whoever reads meanwhile sees what the header said before.
"""

from __future__ import annotations

import json
import mmap
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LLMError
from .generations import Generation

if TYPE_CHECKING:
    from io import FileIO

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

_HEADER_BYTES = 4096
_ROWID_BYTES = 8
FLOAT_BYTES = 4
_CHUNK_ROWS = 1024
# SQLite takes no more.
_MOST_MAPPED = 0x7FFF0000
# In the order of the rows in the file, not by way of an index.
_ROWS = """
    select rowid, embedding from embeddings not indexed
    where collection_id = ? and rowid > ? order by rowid
"""


@dataclass(frozen=True)
class Header:
    """What the file holds.

    Attributes:
        dimensions: The length of a vector.
        count: How many there are.
        last_rowid: The row of the last one.
        generation: The state of the collection that they are of.
    """

    dimensions: int
    count: int
    last_rowid: int
    generation: Generation

    @property
    def record_bytes(self) -> int:
        """The size of a record."""
        return _ROWID_BYTES + self.dimensions * FLOAT_BYTES

    @property
    def end(self) -> int:
        """The size of the file."""
        return _HEADER_BYTES + self.count * self.record_bytes

    def packed(self) -> bytes:
        """The header as it stands in the file."""
        values = (self.dimensions, self.count, self.last_rowid, self.generation)
        text = json.dumps(values).encode()
        return f"{zlib.crc32(text):08x} ".encode() + text.ljust(_HEADER_BYTES - 9)


class Vectors(NamedTuple):
    """The vectors of a collection at length 1, and the row of each, in ascending order."""

    rowids: Integers
    matrix: Floats


def sidecar_path(database: str, collection_id: int) -> str:
    """The path of the file for a collection of a database."""
    return f"{database}-vectors-{collection_id}"


def read_header(path: str) -> Header | None:
    """The header of the file; `None` where there is none, or not a whole one."""
    try:
        with open(path, "rb") as file:
            start = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
        checksum, _, text = start.partition(b" ")
        text = text.rstrip()
        if len(start) != _HEADER_BYTES or int(checksum, 16) != zlib.crc32(text):
            return None
        dimensions, count, last_rowid, generation = json.loads(text)
        header = Header(dimensions, count, last_rowid, Generation(*generation))
        return header if header.end <= size else None
    except (OSError, ValueError, TypeError):
        return None


def vectors_in(path: str, header: Header) -> Vectors:
    """What the file holds, mapped: nothing is read before it is used."""
    import numpy as np

    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), header.end, access=mmap.ACCESS_READ)
    size = header.count * header.record_bytes
    records = np.frombuffer(mapped, np.uint8, size, _HEADER_BYTES)
    return _split(records.reshape(header.count, header.record_bytes))


def _split(records: Bytes) -> Vectors:
    return Vectors(
        records[:, :_ROWID_BYTES].view("<i8")[:, 0], records[:, _ROWID_BYTES:].view("<f4")
    )


def is_prefix(conn: sqlite3.Connection, path: str, header: Header) -> bool:
    """Whether the last vector of the file is what the database has in that row."""
    sql = "select embedding from embeddings where rowid = ?"
    row = conn.execute(sql, [header.last_rowid]).fetchone()
    if row is None or len(row[0]) != header.dimensions * FLOAT_BYTES:
        return False
    records = _records([(header.last_rowid, row[0])], header.dimensions)
    with open(path, "rb") as file:
        file.seek(header.end - header.record_bytes)
        return file.read(header.record_bytes) == bytes(records)


def write(
    conn: sqlite3.Connection, path: str, collection_id: int, start: Header, state: Generation
) -> Header:
    """Bring the file to the present state of its collection.

    Args:
        conn: An open database of embeddings.
        path: The file.
        collection_id: The number of the collection.
        start: What the file holds of it already; with no vectors it is made anew.
        state: The present state.

    Raises:
        LLMError: A stored vector has another number of dimensions.
        OSError: The file cannot be written.
    """
    if start.count:
        with open(path, "r+b", buffering=0) as file:
            return _append(conn, file, collection_id, start, state)
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
        written = _append(conn, file, collection_id, start, state)
    os.replace(new, path)
    return written


def _append(
    conn: sqlite3.Connection, file: FileIO, collection_id: int, header: Header, state: Generation
) -> Header:
    file.seek(header.end)
    count, last = header.count, header.last_rowid
    with _read_by_map(conn):
        cursor = conn.execute(_ROWS, [collection_id, header.last_rowid])
        while rows := cursor.fetchmany(_CHUNK_ROWS):
            check_dimensions(conn, rows, header.dimensions)
            view = memoryview(_records(rows, header.dimensions)).cast("B")
            while view:
                view = view[file.write(view) :]
            count, last = count + len(rows), rows[-1][0]
    # The records have to be there before anything says so.
    os.fsync(file.fileno())
    written = Header(header.dimensions, count, last, state)
    file.seek(0)
    file.write(written.packed())
    return written


@contextmanager
def _read_by_map(conn: sqlite3.Connection) -> Iterator[None]:
    """Let SQLite read the file by a map of it: to read it page by page takes twice the time."""
    before = conn.execute("pragma mmap_size").fetchone()
    conn.execute(f"pragma mmap_size = {_MOST_MAPPED}").fetchone()
    try:
        yield
    finally:
        conn.execute(f"pragma mmap_size = {before[0] if before else 0}").fetchone()


def check_dimensions(
    conn: sqlite3.Connection, rows: list[tuple[int, bytes]], dimensions: int
) -> None:
    """Refuse vectors of another length than the one that is looked for.

    Raises:
        LLMError: There is one; it is named.
    """
    size = dimensions * FLOAT_BYTES
    if {len(vector) for _, vector in rows} == {size}:
        return
    for rowid, vector in rows:
        if len(vector) != size:
            sql = "select id from embeddings where rowid = ?"
            entry_id = conn.execute(sql, [rowid]).fetchone()[0]
            raise LLMError(
                f"Cannot compare a vector of {dimensions} dimensions with {entry_id!r}, which"
                f" has {len(vector) // FLOAT_BYTES}: the two come from different models. "
                "Embed the collection again, or use the model that made it"
            )


def _records(rows: list[tuple[int, bytes]], dimensions: int) -> Any:
    import numpy as np

    vectors = np.frombuffer(b"".join([vector for _, vector in rows]), "<f4")
    vectors = vectors.reshape(len(rows), dimensions)
    records = np.empty((len(rows), _ROWID_BYTES + dimensions * FLOAT_BYTES), np.uint8)
    rowids, matrix = _split(records)
    rowids[:] = [rowid for rowid, _ in rows]
    normalise(vectors, matrix)
    return records


def normalise(vectors: Floats, out: Floats) -> None:
    """Vectors at length 1; those without length, or not of finite numbers, become zero."""
    import numpy as np

    with np.errstate(all="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        # Beyond these a square is not what 32 bits can hold.
        is_odd = ~((squares > 1e-25) & (squares < 1e30))
        np.divide(vectors, np.sqrt(squares)[:, None], out=out)
        if is_odd.any():
            exact = vectors[is_odd].astype(np.float64)
            lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
            has_none = ~(np.isfinite(lengths) & (lengths > 0))
            lengths[has_none] = 1
            exact[has_none] = 0
            out[is_odd] = exact / lengths[:, None]
