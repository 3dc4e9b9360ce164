"""Collections of vectors: storing them, and finding what is nearest."""

from .._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.embeddings.collection": ("Collection", "Entry"),
        "llm.models.embedding": ("EmbeddingModel", "cosine_similarity", "decode", "encode"),
    },
    embeddings_migrations="llm.embeddings.migrations",
)
