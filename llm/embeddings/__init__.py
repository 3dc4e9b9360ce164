"""Collections of vectors: storing them, and finding what is nearest."""

from .._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.embeddings.async_collection": ("AsyncCollection",),
        "llm.embeddings.collection": ("Collection", "Entry"),
        "llm.models.embedding": (
            "AsyncEmbeddingModel",
            "EmbeddingModel",
            "cosine_similarity",
            "decode",
            "encode",
        ),
    },
    embeddings_migrations="llm.embeddings.migrations",
)
