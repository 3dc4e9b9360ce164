"""Embedding models of the API.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import llm

from .shared import AtServer
from .wire.shapes import malformed

if TYPE_CHECKING:
    from .transport.fast import Call
    from .wire.shapes import Json
else:
    llm.for_hints(
        globals(),
        {"llm.providers.openai.transport.fast": "Call", "llm.providers.openai.wire.shapes": "Json"},
    )


class _Embedding(AtServer):
    """What both kinds of embedding model have: the request."""

    batch_size: int | None = 100

    def __init__(
        self,
        model_id: str,
        openai_model_id: str,
        dimensions: int | None = None,
        api_base: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.model_id = model_id
        self.openai_model_id: str = openai_model_id
        self.model_name: str = openai_model_id
        self.dimensions = dimensions
        self.api_base = api_base
        if api_base:
            llm.remember_request(api_base, {})
        self.headers = headers

    def _request(self, texts: list[str], key: str | None, policy: llm.CallPolicy) -> Call:
        """One request for all of them."""
        # Compatible servers know plain numbers only; OpenAI sends half the bytes as base64.
        encoding = "float" if self.api_base else "base64"
        request: Json = {"input": texts, "model": self.openai_model_id, "encoding_format": encoding}
        if self.dimensions:
            request["dimensions"] = self.dimensions
        return self._call("embeddings", request, key, policy)


class OpenAIEmbeddingModel(_Embedding, llm.EmbeddingModel):
    """An embedding model at OpenAI or any compatible server.

    Args:
        model_id: The id in `llm`.
        openai_model_id: The model's name at the server.
        dimensions: Length of the vectors to ask for; the model's own where missing.
        api_base: The base URL; that of OpenAI where missing.
        headers: HTTP headers to add.
    """

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of `items`, in order; one request for all of them.

        Raises:
            ModelError: The server refused, or sent another number of vectors.
        """
        from .transport.fast import exchange

        if texts := _texts(items):
            call = self._request(texts, key, self.policy)
            yield from _vectors(next(exchange(call)), len(texts))


class AsyncOpenAIEmbeddingModel(_Embedding, llm.AsyncEmbeddingModel):
    """The same for an event loop."""

    async def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> AsyncGenerator[list[float], None]:
        """As `OpenAIEmbeddingModel.embed_batch`."""
        from .transport.fast import exchange_async

        if texts := _texts(items):
            async with aclosing(exchange_async(self._request(texts, key, self.policy))) as answers:
                answer = await anext(answers)
            for vector in _vectors(answer, len(texts)):
                yield vector


def _texts(items: Iterable[str | bytes]) -> list[str]:
    return [item if isinstance(item, str) else item.decode("utf-8") for item in items]


def _vectors(answer: Json, count: int) -> list[list[float]]:
    """The vectors of an answer, in the order of the texts."""
    try:
        # A list on its own, and one of its kind, come without `data`.
        items = answer["data"] if "data" in answer else answer.get("value") or [answer]
        if all(isinstance(item.get("index"), int) for item in items):
            items = sorted(items, key=lambda item: int(item["index"]))
        vectors = [_vector(item["embedding"]) for item in items]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise malformed(error, answer) from error
    if len(vectors) != count:
        raise llm.ModelError(f"The server sent {len(vectors)} vectors for {count} texts")
    return vectors


def _vector(value: str | list[float]) -> list[float]:
    if isinstance(value, str):
        import base64

        raw = base64.b64decode(value, validate=True)
        if len(raw) % 4:
            raise ValueError(f"{len(raw)} bytes are no vector")
        return list(llm.decode(raw))
    return list(map(float, value))
