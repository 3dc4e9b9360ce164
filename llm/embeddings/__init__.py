"""Collections of vectors: storing them, and finding what is nearest."""

from .._lazy import attach, homes_of

__getattr__, __dir__ = attach(
    __name__,
    homes_of(
        {
            "llm.embeddings.collection": ("Collection", "Entry"),
            "llm.embeddings.migrations": ("embeddings_migrations",),
            "llm.models.embedding": ("EmbeddingModel", "cosine_similarity", "decode", "encode"),
        }
    ),
)
