"""Local models: GGUF files answered in-process by llama.cpp, with no key and no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm

if TYPE_CHECKING:
    from pathlib import Path


#: The file that lists the local models, in the user directory.
LIST = "local/models.json"


def local_dir() -> Path:
    """The folder of the local models; it exists once something has been added."""
    return llm.user_dir() / "local"


def list_path() -> Path:
    """The file that lists the local models."""
    return llm.user_dir() / LIST
