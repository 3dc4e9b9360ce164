"""The models that OpenAI offers, as data; instances are made when they are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import llm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .chat import AsyncChat, AsyncResponses, Chat, Responses
    from .embedding import AsyncOpenAIEmbeddingModel, OpenAIEmbeddingModel
    from .shared import _Shared
    from .wire.shapes import Json

    SyncModel = Chat | Responses
    TwinModel = AsyncChat | AsyncResponses
    EmbeddingEntry = tuple[OpenAIEmbeddingModel, Sequence[str], AsyncOpenAIEmbeddingModel]

Family = TypeVar("Family", bound="_Shared")

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


def classes() -> dict[str, tuple[type[SyncModel], type[TwinModel] | None]]:
    """For each kind of model its class, and the asynchronous twin."""
    from .chat import AsyncChat, AsyncResponses, Chat, Completion, Responses

    return {
        "chat": (Chat, AsyncChat),
        "responses": (Responses, AsyncResponses),
        "completion": (Completion, None),
    }


def models() -> list[tuple[SyncModel, TwinModel | None, list[str]]]:
    """The chat models with their asynchronous twins and aliases, in the order of listings."""
    kinds = classes()
    families: list[tuple[SyncModel, TwinModel | None, str]] = []
    for kind, flags, names in _ROWS:
        settings = _settings(kind, flags)
        sync, twin = kinds[kind]
        families.append((sync("", **settings), twin("", **settings) if twin else None, names))
    return [
        (
            _member(family, model_id),
            twins and _member(twins, model_id),
            aliases.split(",") if aliases else [],
        )
        for family, twins, names in families
        for model_id, _, aliases in (name.partition(":") for name in names.split())
    ]


def _settings(kind: str, flags: str) -> Json:
    settings: Json = {name: flag in flags for flag, name in FLAGS.items()}
    settings["can_stream"] = "-" not in flags
    if kind == "completion":
        settings["default_max_tokens"] = _COMPLETION_MAX_TOKENS
    return settings


def extra_models_path() -> Path:
    """Where the file is, or would be, in which the user names models of other servers."""
    return llm.user_dir() / "extra-openai-models.yaml"


def _member(family: Family, model_id: str) -> Family:
    """One of a family of models that differ in their ids alone; made here, as at every start."""
    model = object.__new__(type(family))
    model.__dict__ = {**family.__dict__, "model_id": model_id}
    model.attachment_types = {*family.attachment_types}
    return model


def embedding_models() -> list[EmbeddingEntry]:
    """The embedding models with their aliases and twins, in the order of listings."""
    from .embedding import AsyncOpenAIEmbeddingModel, OpenAIEmbeddingModel

    found: list[EmbeddingEntry] = []
    for names, aliases in _EMBEDDINGS:
        model, twin = OpenAIEmbeddingModel(*names), AsyncOpenAIEmbeddingModel(*names)
        model.usd_per_million_tokens = twin.usd_per_million_tokens = _USD[names[1]]
        found.append((model, aliases, twin))
    return found


_ADA, _SMALL, _LARGE = "text-embedding-ada-002", "text-embedding-3-small", "text-embedding-3-large"
# What a million tokens cost (https://platform.openai.com/docs/pricing).
_USD = {_ADA: 0.10, _SMALL: 0.02, _LARGE: 0.13}
# ((id, name at the server, dimensions or None for the model's own length of vectors), aliases)
_EMBEDDINGS = (
    ((_ADA, _ADA, None), ("ada", "ada-002")),
    ((_SMALL, _SMALL, None), ("3-small",)),
    ((_LARGE, _LARGE, None), ("3-large",)),
    ((f"{_SMALL}-512", _SMALL, 512), ("3-small-512",)),
    ((f"{_LARGE}-256", _LARGE, 256), ("3-large-256",)),
    ((f"{_LARGE}-1024", _LARGE, 1024), ("3-large-1024",)),
)
