"""Filling a collection from a source: batches, several at once, and what becomes of bad rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import (
    AuthError,
    ConnectionLost,
    LLMError,
    NeedsKeyException,
    Overloaded,
    RateLimited,
)
from .storing import Item, embedded

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from .collection import Collection
    from .sources import Row
    from .storing import Batch

# These would befall the next row as well.
_NOT_OF_THE_ROW = (AuthError, ConnectionLost, NeedsKeyException, Overloaded, RateLimited)


class Fault(NamedTuple):
    """A row that was left out, and why."""

    place: str
    problem: str


@dataclass
class Filled:
    """What came of a source.

    Attributes:
        rows: How many rows were read.
        faults: Those that were left out.
        passed_over: Files that are no text.
        ids: The ids of the others, where they were asked for.
    """

    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    @property
    def is_complete(self) -> bool:
        """Whether every row of the source is in the collection."""
        return not self.faults and not self.passed_over


@dataclass
class Filling:
    """Puts the rows of a source into a collection.

    Args:
        collection: Where to.
        store: Keep the contents, too.
        key: A key, or the name of a stored one.
        batch_size: Entries per request; fewer where the model takes fewer.
        concurrency: How many requests may be under way at once.
        skip_faults: Leave out rows that cannot be embedded, instead of ending there.
        keep_ids: Take down the ids of all rows.
        progress: Called after each batch with how many rows are done by then.
    """

    collection: Collection
    store: bool = False
    key: str | None = None
    batch_size: int = 100
    concurrency: int = 1
    skip_faults: bool = False
    keep_ids: bool = False
    progress: Callable[[int], object] | None = None
    done: Filled = field(default_factory=Filled)
    _ended: LLMError | None = field(default=None, init=False)

    def run(self, rows: Iterable[Row]) -> Filled:
        """Read the source to its end; finished batches stay whatever happens then.

        Raises:
            LLMError: A row cannot be embedded and is not to be left out, or the source ended early.
        """
        with ExitStack() as stack:
            pool = None
            if self.concurrency > 1:
                from concurrent.futures import ThreadPoolExecutor

                pool = ThreadPoolExecutor(self.concurrency)
                stack.callback(pool.shutdown, cancel_futures=True)
            under_way: deque[_Part] = deque()
            for part in self._parts(rows, pool):
                under_way.append(part)
                if len(under_way) >= self.concurrency:
                    self._finish(under_way.popleft())
            while under_way:
                self._finish(under_way.popleft())
        if self._ended:
            raise self._ended
        return self.done

    def _parts(self, rows: Iterable[Row], pool: Executor | None) -> Iterator[_Part]:
        size = min(self.batch_size, self.collection.model().batch_size or self.batch_size)
        taken: list[Row] = []
        try:
            for row in rows:
                self.done.rows += 1
                if row.problem:
                    self._note(row)
                    continue
                taken.append(row)
                if self.keep_ids:
                    self.done.ids.add(row.id)
                if len(taken) == size:
                    yield self._part(taken, pool)
                    taken = []
        except LLMError as error:
            # What was read before that is stored first.
            self._ended = error
        if taken:
            yield self._part(taken, pool)

    def _note(self, row: Row) -> None:
        if row.is_passed_over:
            self.done.passed_over.append(row.problem)
            return
        self._fault(Fault(row.place, row.problem))

    def _fault(self, fault: Fault, cause: Exception | None = None) -> None:
        if not self.skip_faults:
            raise LLMError(f"{fault.place}: {fault.problem}") from cause
        self.done.faults.append(fault)

    def _part(self, rows: Sequence[Row], pool: Executor | None) -> _Part:
        collection = self.collection
        items = [Item(row.id, row.value, None) for row in rows]
        batch = collection.batch(items)
        vectors = None
        if pool and batch.new:
            vectors = pool.submit(embedded, collection.model(), batch.new, self.key)
        return _Part(rows, batch, vectors, self.done.rows)

    def _finish(self, part: _Part) -> None:
        collection = self.collection
        try:
            if part.vectors is not None:
                vectors = part.vectors.result()
            else:
                vectors = embedded(collection.model(), part.batch.new, self.key)
        except _NOT_OF_THE_ROW:
            raise
        except Exception as error:
            # A plugin's model may raise anything.
            if not self.skip_faults:
                raise
            self._finish_one_by_one(part, error)
        else:
            part.batch.write(vectors, store=self.store)
        if self.progress is not None:
            self.progress(part.end)

    def _finish_one_by_one(self, part: _Part, error: Exception) -> None:
        if len(part.rows) == 1:
            self._fault(Fault(part.rows[0].place, str(error) or type(error).__name__), error)
            return
        for row in part.rows:
            self._finish(self._part([row], None)._replace(end=part.end))


class _Part(NamedTuple):
    """Rows whose contents are being embedded.

    Attributes:
        rows: The rows.
        batch: What is to be written.
        vectors: What another thread gives for what is new; embedded by ourselves where missing.
        end: How many rows of the source were read by then.
    """

    rows: Sequence[Row]
    batch: Batch
    vectors: Future[list[list[float]]] | None
    end: int
