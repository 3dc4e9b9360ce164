"""Types of `llm/embeddings/__init__.py`, whose names are served lazily."""

from llm.embeddings.async_collection import AsyncCollection as AsyncCollection
from llm.embeddings.collection import Collection as Collection
from llm.embeddings.collection import Entry as Entry
from llm.embeddings.migrations import embeddings_migrations as embeddings_migrations
from llm.models.embedding import AsyncEmbeddingModel as AsyncEmbeddingModel
from llm.models.embedding import EmbeddingModel as EmbeddingModel
from llm.models.embedding import cosine_similarity as cosine_similarity
from llm.models.embedding import decode as decode
from llm.models.embedding import encode as encode
