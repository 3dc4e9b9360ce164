"""Which of many stored vectors are nearest to one, by the cosine of the angle between them.

Vectors come as they are stored, little-endian 32-bit floats, a few hundred at a time, so that a
collection may be larger than memory. With numpy a chunk is one product of matrices; without it
plain Python gives the same scores.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from math import sqrt
from operator import itemgetter, mul
from typing import Any

from ..errors import LLMError

# Few enough for the numbers to stay in the processor's cache: 4096 take twice the time.
_CHUNK_SIZE = 256
_FLOAT_SIZE = 4

Scorer = Callable[[Sequence[bytes]], Iterable[float]]


def nearest(
    rows: Iterable[tuple[str, bytes]], vector: Sequence[float], number: int
) -> list[tuple[str, float]]:
    """The ids and scores of the stored vectors that are nearest to `vector`, best first.

    Args:
        rows: Ids and stored vectors; of two with the same score the earlier goes first.
        vector: What they are compared with.
        number: How many at most; all of them if negative.

    Raises:
        LLMError: A stored vector has another number of dimensions.
    """
    scored = _scored(iter(rows), vector)
    if number < 0:
        return sorted(scored, key=itemgetter(1), reverse=True)
    return heapq.nlargest(number, scored, key=itemgetter(1))


def _scored(
    rows: Iterator[tuple[str, bytes]], vector: Sequence[float]
) -> Iterator[tuple[str, float]]:
    score = _scorer(vector)
    size = len(vector) * _FLOAT_SIZE
    while chunk := list(islice(rows, _CHUNK_SIZE)):
        for entry_id, stored in chunk:
            if len(stored) != size:
                raise LLMError(
                    f"Cannot compare a vector of {len(vector)} dimensions with {entry_id!r}, which"
                    f" has {len(stored) // _FLOAT_SIZE}: the two come from different models. "
                    "Embed the collection again, or use the model that made it"
                )
        scores = score([stored for _, stored in chunk])
        yield from zip([entry_id for entry_id, _ in chunk], scores, strict=True)


def _scorer(vector: Sequence[float]) -> Scorer:
    """What scores stored vectors against `vector`."""
    try:
        numpy: Any = import_module("numpy")
    except ImportError:
        return _plain_scorer(vector)
    query = numpy.asarray(vector, dtype="float64")
    length = sqrt(float(query @ query))

    def score(stored: Sequence[bytes]) -> list[float]:
        matrix = numpy.frombuffer(b"".join(stored), dtype="<f4").reshape(len(stored), -1)
        matrix = matrix.astype("float64")
        lengths = numpy.sqrt(numpy.einsum("ij,ij->i", matrix, matrix)) * length
        # A vector without length is as far from everything as it can be without being opposite.
        lengths[lengths == 0] = numpy.inf
        scores: list[float] = (matrix @ query / lengths).tolist()
        return scores

    return score


def _plain_scorer(vector: Sequence[float]) -> Scorer:
    query = list(vector)
    length = sqrt(sum(map(mul, query, query)))
    unpack = struct.Struct(f"<{len(query)}f").unpack

    def score(stored: Sequence[bytes]) -> Iterator[float]:
        for values in map(unpack, stored):
            lengths = sqrt(sum(map(mul, values, values))) * length
            yield sum(map(mul, values, query)) / lengths if lengths else 0.0

    return score
