"""Local embedding models: a table with a vector for each token, or a GGUF file on the engine."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llm
from llm.errors import ModelError

from .engine import Engine, EngineSettings, open_engine
from .model import MAX_LOADED, default_threads

if TYPE_CHECKING:
    from .store import InstalledModel

# The tokens that a text may have for a GGUF model.
CONTEXT = 2048
# Those GGUF files that do not say how the vectors of tokens become that of a text.
_without_pooling: set[str] = set()


class _LocalEmbedding:
    """What both kinds have."""

    # Lets the registry fall back on it where no key can be found.
    answers_without_key = True
    batch_size: int | None = 16

    def __init__(self, installed: InstalledModel) -> None:
        self.installed = installed
        self.model_id = installed.model_id
        if installed.is_table:
            self.batch_size = 256
            self.count_tokens = self._token_count

    def __str__(self) -> str:
        return f"Local: {self.model_id}"

    def _vectors(self, items: Iterable[str | bytes]) -> list[list[float]]:
        self.installed.require_files()
        # Neither takes a lone surrogate, which Python makes of bytes that are not UTF-8.
        texts = [str(item).encode("utf-8", "replace").decode("utf-8") for item in items]
        if self.installed.is_table:
            return self.load_table().vectors(texts)
        settings = EngineSettings(str(self.installed.path), CONTEXT, default_threads(), embeds=True)
        if settings.path not in _without_pooling:
            try:
                return self.load(settings).embed(texts)
            except ModelError as error:
                if "Pooling type" not in str(error):
                    raise
                _without_pooling.add(settings.path)
        return self.load(replace(settings, averages=True)).embed(texts)

    @llm.load_once(most=MAX_LOADED)
    def load(self, settings: EngineSettings) -> Engine:
        """The engine with the model in it, for both kinds of model."""
        return open_engine(settings)

    @llm.load_once
    def load_table(self) -> Table:
        """The table of vectors, for both kinds of model."""
        try:
            return Table(self.installed.path, self.installed.tokenizer)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"{self.model_id} needs {error.name}, which is not installed in this environment. "
                "Run: llm local install --embeddings"
            ) from error

    def _token_count(self, text: str) -> int:
        return len(self.load_table().tokens([text])[0])


class LocalEmbeddingModel(_LocalEmbedding, llm.EmbeddingModel):
    """An embedding model in this process."""

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """The vectors of texts, each of length 1, in order."""
        yield from self._vectors(items)


class AsyncLocalEmbeddingModel(_LocalEmbedding, llm.AsyncEmbeddingModel):
    """An embedding model in this process, for an event loop."""

    async def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> AsyncGenerator[list[float], None]:
        """The vectors of texts, computed on another thread."""
        import asyncio

        for vector in await asyncio.to_thread(self._vectors, list(items)):
            yield vector


class Table:
    """A vector for each token; that of a text is the mean of those of its tokens.

    Args:
        path: A file of safetensors with one matrix of 16-bit floats, which is mapped, not read.
        tokenizer: What splits texts, in the form of the library `tokenizers`.

    Raises:
        ModelError: A file is damaged.
    """

    def __init__(self, path: Path, tokenizer: Path) -> None:
        import numpy as np
        from tokenizers import Tokenizer

        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                (entry,) = json.loads(file.read(size)).values()
            start = 8 + size + entry["data_offsets"][0]
            self._matrix = np.memmap(path, "<f2", "r", start, tuple(entry["shape"]))
            # The library raises nothing but bare exceptions.
            self._encode = partial(
                Tokenizer.from_file(str(tokenizer)).encode_batch, add_special_tokens=False
            )
        except Exception as error:
            raise ModelError(
                f"{path} or {tokenizer.name} is damaged ({error}). Run: llm local install "
                "--embeddings"
            ) from error

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [encoding.ids for encoding in self._encode(texts)]

    def vectors(self, texts: list[str]) -> list[list[float]]:
        """The vector of each text, of length 1; of zeros where it has no token."""
        return list(map(self._vector, self.tokens(texts)))

    def _vector(self, tokens: list[int]) -> list[float]:
        import numpy as np

        vector: Any = self._matrix[tokens].sum(axis=0, dtype=np.float32)
        found: list[float] = (vector / (np.sqrt(vector @ vector) or 1)).tolist()
        return found
