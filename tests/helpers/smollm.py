"""The real small model and the real engine for tests; fetched when they are not there.

`python tests/helpers/smollm.py` makes both available beforehand. The model file is kept in
`LLM_TEST_CACHE`, or else in `~/.cache/llm-tests`, so that it is downloaded once.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from llm.providers.local import install, store

# Read when this is imported: each test begins with an environment without our variables.
CACHE = Path(os.environ.get("LLM_TEST_CACHE") or Path.home() / ".cache" / "llm-tests")


@functools.cache
def gguf_path() -> Path:
    """The SmolLM2-135M-Instruct file, fetched as `llm local install` does; its hash is checked."""
    path = CACHE / "smollm2-135m.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two test processes may come here at once.
    import filelock

    with filelock.FileLock(f"{path}.lock"):
        install.fetch_default_model(path)
    return path


def ensure_engine() -> None:
    """Install the engine into this environment, unless it is there."""
    install.install_engine()


def register_default_model() -> store.InstalledModel:
    """Make the model one of the current user directory, where it lies; nothing is copied."""
    ensure_engine()
    model = store.InstalledModel(
        name=store.DEFAULT_NAME,
        path=gguf_path(),
        is_owned=False,
        size_bytes=install.MODEL_SIZE_BYTES,
        sha256=install.MODEL_SHA256,
        source=install.MODEL_REQUIREMENT,
        aliases=("smollm2",),
        options=install.MODEL_OPTIONS,
    )
    store.register(model)
    return model


if __name__ == "__main__":
    ensure_engine()
    print(gguf_path())
