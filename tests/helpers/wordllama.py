"""The small embedding model for tests, fetched once as `llm local install --embeddings` does."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from unittest import mock

import filelock

from llm.providers.local import install, store

from .smollm import CACHE


@functools.cache
def _fetched() -> store.InstalledModel:
    folder = CACHE / "wordllama"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        filelock.FileLock(f"{folder}.lock"),
        mock.patch.dict(os.environ, {"LLM_USER_PATH": str(folder)}),
    ):
        install.install_readers()
        return install.install_embedding_model()


def register_embedding_model() -> store.InstalledModel:
    """Make the model one of the current user directory, where it lies; nothing is copied."""
    return store.register(replace(_fetched(), is_owned=False))
