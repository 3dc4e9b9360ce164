"""Embedding models of the API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import llm

from .shared import DEFAULT_BASE
from .wire.shapes import DUMMY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .transport.fast import Call
    from .wire.shapes import Json


class OpenAIEmbeddingModel(llm.EmbeddingModel):
    """An embedding model at OpenAI or any compatible server.

    Args:
        model_id: The id in `llm`.
        openai_model_id: The model's name at the server.
        dimensions: Length of the vectors to ask for; the model's own where missing.
        api_base: The base URL; that of OpenAI where missing.
        headers: HTTP headers to add.
    """

    needs_key: str | None = "openai"
    key_env_var = "OPENAI_API_KEY"
    batch_size = 100

    def __init__(
        self,
        model_id: str,
        openai_model_id: str,
        dimensions: int | None = None,
        api_base: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.model_id = model_id
        self.openai_model_id = openai_model_id
        self.dimensions = dimensions
        self.api_base = api_base
        self.headers = headers

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of `items`, in order; one request for all of them.

        Raises:
            ModelError: The server refused, or sent another number of vectors.
        """
        from .transport.fast import exchange
        from .wire.embeddings import embeddings_request, vectors_from

        texts = [item if isinstance(item, str) else item.decode("utf-8") for item in items]
        if not texts:
            return
        # Compatible servers know plain numbers only; OpenAI sends half the bytes as base64.
        encoding = "float" if self.api_base else "base64"
        request = embeddings_request(self.openai_model_id, texts, self.dimensions, encoding)
        answer = next(exchange(self._call(request, key)))
        yield from vectors_from(answer, len(texts))

    def _call(self, request: Json, key: str | None) -> Call:
        from ..._version import VERSION
        from .transport.fast import Call
        from .transport.faults import Endpoint

        sent_key = ((self.get_key(key) if self.needs_key else None) or DUMMY_KEY).strip()
        base = self.api_base or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE
        url = f"{base.rstrip('/')}/embeddings"
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {sent_key}",
            "user-agent": f"llm/{VERSION}",
        }
        headers.update({name.lower(): str(v) for name, v in (self.headers or {}).items()})
        endpoint = Endpoint(url, self.openai_model_id, self.needs_key, [sent_key])
        return Call(endpoint, headers, request)
