"""Which entries of a collection are nearest to a vector, by the cosine of the angle between them.

First come scores that are quick and nearly right: of the mapped file beside the database where the
collection is large and numpy is installed, else of the stored vectors, read in order. Those that
may be among the best, whatever the rounding, are then compared exactly, so every way gives the same
entries with the same scores; of two with one score that with the smaller id goes first.
"""

from __future__ import annotations

import heapq
import math
import sqlite3
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

from . import sidecar
from .generations import Generation, generation_of, start_counting

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

# So many numbers are compared in the time that it takes to import numpy.
FEW_NUMBERS = 1 << 20
# Few enough for the numbers to stay in the processor's cache: 4096 take twice the time.
_CHUNK_SIZE = 256
# So many values may be bound in one statement by any SQLite.
_MOST_BOUND = 900
_LOCK_TIMEOUT_S = 60.0
# The most that a sum of 32-bit products may be wrong, for each of them.
_ROUNDING = 2.0**-24
_ROUNDING_64 = 1e-12


def rounding(dimensions: int) -> float:
    """The most that a score of 32-bit numbers may be wrong."""
    return _ROUNDING * (4 * dimensions + 16)


Scorer = Callable[[Sequence[bytes]], Iterable[float]]


class Condition(NamedTuple):
    """Which entries are looked at: an expression of SQL over `embeddings`, and its values."""

    sql: str
    values: tuple[object, ...]


def all_of(conditions: Sequence[Condition]) -> Condition | None:
    """A condition that holds where all of these do; `None` for none."""
    if not conditions:
        return None
    sql = " and ".join(f"({condition.sql})" for condition in conditions)
    return Condition(sql, tuple(value for _, values in conditions for value in values))


class Found(NamedTuple):
    """One of the nearest entries."""

    id: str
    score: float
    content: str | None
    metadata: str | None


class Search(NamedTuple):
    """What is looked for.

    Attributes:
        collection_id: The number of the collection.
        vector: What the entries are compared with.
        number: How many are wanted; all if negative.
        condition: Which are looked at; all where missing.
        min_score: The lowest score that is wanted.
        skip_id: An entry to leave out.
    """

    collection_id: int
    vector: Sequence[float]
    number: int
    condition: Condition | None = None
    min_score: float | None = None
    skip_id: str | None = None

    @property
    def _count(self) -> int:
        """How many of the best have to be found: one more where one is left out."""
        return self.number + 1 if self.number > 0 and self.skip_id is not None else self.number

    def run(self, conn: sqlite3.Connection, path: str) -> list[Found]:
        """The nearest entries, best first.

        Args:
            conn: An open database of embeddings.
            path: Its file; empty where it is in memory.

        Raises:
            LLMError: A stored vector has another number of dimensions.
        """
        if self.number == 0:
            return []
        with _snapshot(conn, path, self.collection_id, len(self.vector)) as (vectors, numpy):
            if vectors is None:
                rowids, scores = self._streamed(conn, numpy)
                margin = _ROUNDING_64
            else:
                rowids, scores = self._by_file(conn, vectors, numpy)
                margin = rounding(len(self.vector))
            candidates = self._candidates(rowids, scores, margin, numpy)
            return self._best(conn, candidates, numpy)

    # Scores that are nearly right

    def _where(self) -> tuple[str, list[object]]:
        if self.condition is None:
            return "collection_id = ?", [self.collection_id]
        sql, values = self.condition
        return f"collection_id = ? and ({sql})", [self.collection_id, *values]

    def _by_file(
        self, conn: sqlite3.Connection, vectors: sidecar.Vectors, numpy: ModuleType
    ) -> tuple[Any, Any]:
        rowids, matrix = vectors
        query = numpy.empty((1, len(self.vector)), numpy.float32)
        sidecar.normalise(numpy.asarray([self.vector], numpy.float32), query)
        if self.condition is None:
            return rowids, _products(matrix, query[0])
        where, values = self._where()
        sql = f"select rowid from embeddings where {where} order by rowid"
        wanted = numpy.fromiter((row[0] for row in conn.execute(sql, values)), numpy.int64)
        at = numpy.searchsorted(rowids, wanted)
        if len(wanted) * 4 > len(rowids):
            return wanted, _products(matrix, query[0])[at]
        pieces = [matrix[at[n : n + 8192]] @ query[0] for n in range(0, len(at), 8192)]
        return wanted, numpy.concatenate(pieces) if pieces else numpy.empty(0, numpy.float32)

    def _streamed(self, conn: sqlite3.Connection, numpy: ModuleType | None) -> tuple[Any, Any]:
        where, values = self._where()
        rows = conn.execute(f"select rowid, embedding from embeddings where {where}", values)
        score = _numpy_scorer(numpy, self.vector) if numpy else _plain_scorer(self.vector)
        rowids, scores = array("q"), array("d")
        while chunk := rows.fetchmany(_CHUNK_SIZE):
            sidecar.check_dimensions(conn, chunk, len(self.vector))
            rowids.extend([rowid for rowid, _ in chunk])
            scores.extend(score([vector for _, vector in chunk]))
        if numpy:
            return numpy.frombuffer(rowids, numpy.int64), numpy.frombuffer(scores, numpy.float64)
        return rowids, scores

    def _candidates(
        self, rowids: Any, scores: Any, margin: float, numpy: ModuleType | None
    ) -> list[int]:
        """The rows of all entries that may be among the best."""
        least = -math.inf if self.min_score is None else self.min_score
        count = len(rowids)
        if 0 <= self._count < count:
            if numpy:
                place = count - self._count
                kth = float(numpy.partition(scores, place)[place])
            else:
                kth = heapq.nlargest(self._count, scores)[-1]
            least = max(least, kth - margin)
        if numpy:
            found: list[int] = rowids[scores >= least - margin].tolist()
            return found
        return [
            rowid for rowid, score in zip(rowids, scores, strict=True) if score >= least - margin
        ]

    # Scores that are right

    def _best(
        self, conn: sqlite3.Connection, rowids: list[int], numpy: ModuleType | None
    ) -> list[Found]:
        if numpy and 0 <= self._count < len(rowids) - _MOST_BOUND:
            # Very many are as near as that: most of them can be told apart without Python's sums.
            score = _numpy_scorer(numpy, self.vector)
            chunks = _chunks(conn, "rowid, embedding", rowids)
            scores = numpy.concatenate([score([row[1] for row in chunk]) for chunk in chunks])
            rowids = self._candidates(numpy.asarray(rowids), scores, _ROUNDING_64, numpy)
        scored = sorted(self._scored(conn, rowids))
        if self.number >= 0:
            del scored[self.number :]
        contents: dict[int, tuple[str, str]] = {}
        for chunk in _chunks(conn, "rowid, content, metadata", [row for _, _, row in scored]):
            contents.update((row[0], row[1:]) for row in chunk)
        return [Found(entry_id, -score, *contents[row]) for score, entry_id, row in scored]

    def _scored(
        self, conn: sqlite3.Connection, rowids: list[int]
    ) -> Iterator[tuple[float, str, int]]:
        """The negative score, the id and the row of those that are wanted."""
        exact = exact_scorer(self.vector)
        for chunk in _chunks(conn, "rowid, id, embedding", rowids):
            for rowid, entry_id, vector in chunk:
                score = exact(vector)
                is_wanted = self.min_score is None or score >= self.min_score
                if is_wanted and entry_id != self.skip_id:
                    yield -score, entry_id, rowid


def _chunks(conn: sqlite3.Connection, columns: str, rowids: list[int]) -> Iterator[list[Any]]:
    for start in range(0, len(rowids), _MOST_BOUND):
        part = rowids[start : start + _MOST_BOUND]
        marks = ",".join("?" * len(part))
        sql = f"select {columns} from embeddings where rowid in ({marks}) order by rowid"
        yield conn.execute(sql, part).fetchall()


def _products(matrix: sidecar.Floats, query: sidecar.Floats) -> Any:
    """The product of each row with the query, by simsimd where it is installed: it is faster."""
    try:
        simsimd: Any = import_module("simsimd")
    except ImportError:
        return matrix @ query
    numpy: Any = import_module("numpy")
    return numpy.asarray(simsimd.dot(query, matrix)).reshape(-1)


def exact_scorer(vector: Sequence[float]) -> Callable[[bytes], float]:
    """What gives the cosine between `vector` and a stored one in 64-bit floats, as 0.36 does."""
    query = list(vector)
    length = sum(map(mul, query, query)) ** 0.5
    unpack = struct.Struct(f"<{len(query)}f").unpack
    known: dict[bytes, float] = {}

    def score(stored: bytes) -> float:
        found = known.get(stored)
        if found is None:
            values = unpack(stored)
            lengths = length * sum(map(mul, values, values)) ** 0.5
            found = sum(map(mul, query, values)) / lengths if lengths else 0.0
            # Numbers that are not finite have no direction.
            found = known[stored] = found if math.isfinite(found) else 0.0
        return found

    return score


def _plain_scorer(vector: Sequence[float]) -> Scorer:
    def score(stored: Sequence[bytes]) -> Iterable[float]:
        # One for each chunk: it remembers what it has seen.
        return map(exact_scorer(vector), stored)

    return score


def _numpy_scorer(
    numpy: ModuleType, vector: Sequence[float]
) -> Callable[[Sequence[bytes]], Doubles]:
    query = numpy.asarray(vector, dtype="float64")
    length = math.sqrt(float(query @ query))

    def score(stored: Sequence[bytes]) -> Doubles:
        matrix = numpy.frombuffer(b"".join(stored), dtype="<f4").reshape(len(stored), -1)
        matrix = matrix.astype("float64")
        with numpy.errstate(all="ignore"):
            lengths = numpy.sqrt(numpy.einsum("ij,ij->i", matrix, matrix)) * length
            lengths[lengths == 0] = numpy.inf
            scores: Doubles = matrix @ query / lengths
        scores[~numpy.isfinite(scores)] = 0
        return scores

    return score


# The file beside the database


@contextmanager
def _snapshot(
    conn: sqlite3.Connection, path: str, collection_id: int, dimensions: int
) -> Iterator[tuple[sidecar.Vectors | None, Any]]:
    """The mapped vectors of a collection, and numpy, while the database stays as it is.

    `None` stands for vectors where there is no file and none can be, or need be, made, and for
    numpy where it is not installed, or would take longer than it saves.
    """
    is_large = _is_large(conn, collection_id, dimensions)
    # Where it is imported already it costs nothing.
    numpy = _numpy() if is_large or "numpy" in sys.modules else None
    if conn.in_transaction:
        # Of what is not committed nobody can say whether it will be.
        yield None, numpy
        return
    conn.execute("begin")
    try:
        vectors = None
        if is_large and numpy and path:
            vectors = _mapped(conn, path, collection_id, dimensions)
        yield vectors, numpy
    finally:
        if conn.in_transaction:
            conn.execute("rollback")


def _mapped(
    conn: sqlite3.Connection, path: str, collection_id: int, dimensions: int
) -> sidecar.Vectors | None:
    """The vectors in the file, which is brought up to date; a transaction is left open."""
    file = sidecar.sidecar_path(path, collection_id)
    vectors = _fresh(conn, file, collection_id, dimensions)
    if vectors is None:
        conn.execute("rollback")
        with _renewing(conn, path, collection_id) as may_write:
            conn.execute("begin")
            if may_write:
                vectors = _renewed(conn, file, collection_id, dimensions)
    return vectors


def _numpy() -> ModuleType | None:
    with suppress(ImportError):
        return import_module("numpy")
    return None


def _is_large(conn: sqlite3.Connection, collection_id: int, dimensions: int) -> bool:
    few = max(FEW_NUMBERS // max(dimensions, 1), 1)
    sql = "select count(*) from (select 1 from embeddings where collection_id = ? limit ?)"
    return bool(conn.execute(sql, [collection_id, few]).fetchone()[0] == few)


def _fresh(
    conn: sqlite3.Connection, file: str, collection_id: int, dimensions: int
) -> sidecar.Vectors | None:
    header = sidecar.read_header(file)
    if header is None or header.dimensions != dimensions:
        return None
    if header.generation != generation_of(conn, collection_id):
        return None
    with suppress(OSError, ValueError):
        return sidecar.vectors_in(file, header)
    return None


@contextmanager
def _renewing(conn: sqlite3.Connection, path: str, collection_id: int) -> Iterator[bool]:
    """Whether the file may be written; one process may at a time."""
    from ..files import locked

    is_counted = generation_of(conn, collection_id) is not None
    if not is_counted and not start_counting(conn, collection_id):
        yield False
        return
    with ExitStack() as held:
        try:
            held.enter_context(locked(f"{path}.lock", timeout_s=_LOCK_TIMEOUT_S, poll_s=0.01))
        except OSError:
            yield False
            return
        yield True


def _renewed(
    conn: sqlite3.Connection, file: str, collection_id: int, dimensions: int
) -> sidecar.Vectors | None:
    """The vectors of a file that was brought up to date; `None` where that cannot be done."""
    if (vectors := _fresh(conn, file, collection_id, dimensions)) is not None:
        # Another process was first.
        return vectors
    state = generation_of(conn, collection_id)
    if state is None:
        return None
    with suppress(OSError, ValueError):
        start = sidecar.read_header(file)
        if start is None or not _is_beginning(conn, file, start, dimensions, state):
            start = sidecar.Header(dimensions, 0, -1, state)
        header = sidecar.write(conn, file, collection_id, start, state)
        return sidecar.vectors_in(file, header)
    return None


def _is_beginning(
    conn: sqlite3.Connection,
    file: str,
    header: sidecar.Header,
    dimensions: int,
    state: Generation,
) -> bool:
    """Whether a file has what the collection has, but for entries that came later."""
    before = header.generation
    return (
        header.dimensions == dimensions
        and header.count > 0
        and (before.rewritten, before.schema) == (state.rewritten, state.schema)
        and before.generation < state.generation
        and sidecar.is_prefix(conn, file, header)
    )
