"""Vectors, and a collection of them."""

from collections.abc import Iterable, Iterator

import sqlite_utils

import llm


class Lengths(llm.EmbeddingModel):
    """Embeds a text as its length."""

    model_id = "lengths"
    batch_size = 10

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """One number each."""
        for item in items:
            yield [float(len(item))]


model: llm.EmbeddingModel = Lengths()
vector: list[float] = model.embed("hello")
vectors: list[list[float]] = list(model.embed_multi(["a", "b"], batch_size=2))
packed: bytes = llm.encode(vector)
unpacked: tuple[float, ...] = llm.decode(packed)
print(llm.cosine_similarity(vector, vectors[0]), unpacked)
collection = llm.Collection("words", sqlite_utils.Database(memory=True), model=model)
collection.embed("1", "hello", metadata={"language": "en"}, store=True)
collection.embed_multi([("2", "hallo"), ("3", "bonjour")])
for entry in collection.similar("hi", number=2):
    print(entry.id, entry.score, entry.content, (entry.metadata or {}).get("language"))
