"""The models that OpenAI offers, as data; instances are made when they are registered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# What the letters of `flags` ask the constructor for.
FLAGS = {
    "V": "vision",
    "S": "supports_schema",
    "T": "supports_tools",
    "R": "reasoning",
    "B": "verbosity",
    "D": "image_detail_original",
    "P": "service_tier",
}


class Entry(NamedTuple):
    """A model.

    Attributes:
        kind: `chat`, `responses` or `completion`.
        model_id: Its id, also at the server.
        aliases: Further names.
        settings: Arguments for the constructor.
    """

    kind: str
    model_id: str
    aliases: tuple[str, ...]
    settings: dict[str, bool | int]


class EmbeddingEntry(NamedTuple):
    """An embedding model; `dimensions` is `None` for the model's own length of vectors."""

    model_id: str
    openai_model_id: str
    dimensions: int | None
    aliases: tuple[str, ...]


# (kind, flags, ids with the aliases after a colon)
_ROWS = (
    (
        "chat",
        "VSTP",
        "gpt-4o:4o gpt-4o-mini:4o-mini gpt-4.1:4.1 gpt-4.1-mini:4.1-mini gpt-4.1-nano:4.1-nano",
    ),
    (
        "chat",
        "P",
        "gpt-3.5-turbo:3.5,chatgpt gpt-3.5-turbo-16k:chatgpt-16k,3.5-16k gpt-4:4,gpt4"
        " gpt-4-turbo-2024-04-09 gpt-4-turbo:gpt-4-turbo-preview,4-turbo,4t",
    ),
    # - : cannot stream
    ("responses", "VRSTP-", "o1 o1-2024-12-17"),
    ("responses", "RSTP", "o3-mini"),
    ("responses", "VRSTP", "o3 o4-mini"),
    (
        "responses",
        "VRBSTP",
        "gpt-5 gpt-5-mini gpt-5-nano gpt-5-2025-08-07 gpt-5-mini-2025-08-07"
        " gpt-5-nano-2025-08-07 gpt-5.1 gpt-5.2 gpt-5.2-chat-latest",
    ),
    (
        "responses",
        "VRBDSTP",
        "gpt-5.4 gpt-5.4-2026-03-05 gpt-5.4-mini gpt-5.4-mini-2026-03-17 gpt-5.4-nano"
        " gpt-5.4-nano-2026-03-17 gpt-5.5 gpt-5.5-2026-04-23 gpt-5.6-sol gpt-5.6-terra"
        " gpt-5.6-luna gpt-6-astra gpt-6-sol gpt-6-luna",
    ),
    ("completion", "", "gpt-3.5-turbo-instruct:3.5-instruct,chatgpt-instruct"),
)
# What the completions API itself would cut an answer to is 16 tokens.
_COMPLETION_MAX_TOKENS = 256


def models() -> Iterator[Entry]:
    """The chat models, in the order in which they are listed."""
    for kind, flags, names in _ROWS:
        settings: dict[str, bool | int] = {FLAGS[f]: True for f in flags if f in FLAGS}
        if "-" in flags:
            settings["can_stream"] = False
        if kind == "completion":
            settings["default_max_tokens"] = _COMPLETION_MAX_TOKENS
        for name in names.split():
            model_id, _, aliases = name.partition(":")
            yield Entry(kind, model_id, tuple(aliases.split(",")) if aliases else (), settings)


EMBEDDINGS = (
    EmbeddingEntry("text-embedding-ada-002", "text-embedding-ada-002", None, ("ada", "ada-002")),
    EmbeddingEntry("text-embedding-3-small", "text-embedding-3-small", None, ("3-small",)),
    EmbeddingEntry("text-embedding-3-large", "text-embedding-3-large", None, ("3-large",)),
    EmbeddingEntry("text-embedding-3-small-512", "text-embedding-3-small", 512, ("3-small-512",)),
    EmbeddingEntry("text-embedding-3-large-256", "text-embedding-3-large", 256, ("3-large-256",)),
    EmbeddingEntry(
        "text-embedding-3-large-1024", "text-embedding-3-large", 1024, ("3-large-1024",)
    ),
)
