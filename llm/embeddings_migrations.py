"""Import path that plugins use for the migrations of embedding databases."""

from typing import TYPE_CHECKING

from ._lazy import attach

if TYPE_CHECKING:
    from .embeddings.migrations import embeddings_migrations

__all__ = ["embeddings_migrations"]

__getattr__, __dir__ = attach(__name__, {}, embeddings_migrations="llm.embeddings.migrations")
