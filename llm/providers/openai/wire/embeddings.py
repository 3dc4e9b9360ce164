"""Embeddings: texts to the request's JSON, the answer's JSON to vectors.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

from ....errors import ModelError
from .shapes import Json, malformed


def embeddings_request(
    model: str, texts: Sequence[str], dimensions: int | None, encoding: str
) -> Json:
    """The body of a request; `encoding` is `float` or `base64`."""
    request: Json = {"input": list(texts), "model": model, "encoding_format": encoding}
    if dimensions:
        request["dimensions"] = dimensions
    return request


def vectors_from(answer: Json, count: int) -> list[list[float]]:
    """The vectors of an answer, in the order of the texts.

    Raises:
        ModelError: There are not `count` of them, or they cannot be read.
    """
    try:
        items = sorted(answer["data"], key=lambda item: int(item.get("index", 0)))
        vectors = [_vector(item["embedding"]) for item in items]
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise malformed(error, answer) from error
    if len(vectors) != count:
        raise ModelError(f"The server sent {len(vectors)} vectors for {count} texts")
    return vectors


def _vector(value: Any) -> list[float]:
    if isinstance(value, str):
        raw = base64.b64decode(value, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    return [float(number) for number in value]
