"""What the OpenAI provider registers: models and embedding models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm

from . import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm.hookspecs import RegisterEmbeddingModel, RegisterModel

    from .embedding import OpenAIEmbeddingModel
    from .extra_models import ExtraModel
    from .shared import _Shared

# Problems of the user's file that have been told; hooks run at each look-up.
_told: set[str] = set()


@llm.hookimpl
def register_models(register: RegisterModel) -> None:
    """Register the models of the catalog, then those of `extra-openai-models.yaml`."""
    for model, async_model, aliases in catalog.models():
        register(model, async_model, aliases)
    llm.watch_file(catalog.extra_models_path())
    for extra in _extra_models():
        if extra.kind != "embedding":
            sync, twin = catalog.classes()[extra.kind]
            model = sync(extra.model_id, **extra.settings)
            async_model = twin(extra.model_id, **extra.settings) if twin else None
            _set_key_rules(extra, model, async_model)
            register(model, async_model, extra.aliases)


@llm.hookimpl
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register the embedding models of the catalog, then those of the user's file."""

    from .embedding import OpenAIEmbeddingModel

    for entry in catalog.EMBEDDINGS:
        model = OpenAIEmbeddingModel(entry.model_id, entry.openai_model_id, entry.dimensions)
        register(model, aliases=entry.aliases)
    for extra in _extra_models():
        if extra.kind == "embedding":
            model = OpenAIEmbeddingModel(extra.model_id, **extra.settings)
            _set_key_rules(extra, model)
            register(model, aliases=extra.aliases)


def _set_key_rules(extra: ExtraModel, *models: _Shared | OpenAIEmbeddingModel | None) -> None:
    """Let models of the user's file ask for the key that their entry names, or for none."""
    for model in models:
        if model is None:
            continue
        if not extra.needs_key:
            model.needs_key = None
        elif extra.api_key_name:
            model.needs_key = extra.api_key_name
            # Its server is another one: OPENAI_API_KEY is none of its business.
            model.key_env_var = None


def _extra_models() -> Iterable[ExtraModel]:
    if not catalog.extra_models_path().exists():
        return ()
    from .extra_models import read_extra_models

    found = read_extra_models()
    for problem in map(str, found.problems):
        if problem not in _told:
            _told.add(problem)
            llm.notice(f"Warning: {problem}")
    return found.models
