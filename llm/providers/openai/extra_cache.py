"""What `extra-openai-models.yaml` said when it was last parsed.

Importing a YAML parser costs a fifth of a start. So a file that parsed without a problem is kept
as JSON in the user directory's `cache` folder, beside the time and size of the file it came from;
it may be deleted at any time. Headers can hold secrets, so a file with headers is not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from ..._version import VERSION
from ...errors import LLMError
from ...files.config import user_path, write_text_atomic

if TYPE_CHECKING:
    from .extra_models import ExtraModels

Stamp = tuple[int, int]


def _path() -> str:
    return os.path.join(user_path(), "cache", "extra-openai-models.json")


def read(stamp: Stamp) -> ExtraModels | None:
    """The models of the file with this time and size; `None` where they are not known."""
    from .extra_models import ExtraModel, ExtraModels

    try:
        with open(_path(), encoding="utf-8") as file:
            kept = json.load(file)
        if kept["of"] != [VERSION, *stamp]:
            return None
        models = [
            ExtraModel(kind, model_id, tuple(aliases), settings, api_key_name, needs_key)
            for kind, model_id, aliases, settings, api_key_name, needs_key in kept["models"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ExtraModels(tuple(models), ())


def write(stamp: Stamp, found: ExtraModels) -> None:
    """Keep what was parsed, if it may be kept."""
    from pathlib import Path

    if found.problems or any("headers" in model.settings for model in found.models):
        return
    text = json.dumps({"of": [VERSION, *stamp], "models": found.models})
    # A user directory that cannot be written costs the next start some time, nothing else.
    with contextlib.suppress(LLMError):
        write_text_atomic(Path(_path()), text, mode=0o600)
