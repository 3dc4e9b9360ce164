"""The real small model and the real engine for tests; fetched when they are not there.

`python tests/helpers/smollm.py` makes both available beforehand. The model file is kept in
`LLM_TEST_CACHE`, or else in `~/.cache/llm-tests`, so that it is downloaded once.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from llm.providers.local import install, store


def gguf_path() -> Path:
    """The SmolLM2-135M-Instruct file, fetched as `llm local install` does; its hash is checked."""
    folder = os.environ.get("LLM_TEST_CACHE") or Path.home() / ".cache" / "llm-tests"
    path = Path(folder) / "smollm2-135m.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two test processes may come here at once.
    import filelock

    with filelock.FileLock(f"{path}.lock"):
        install.fetch_default_model(path)
    return path


def ensure_engine() -> None:
    """Install the engine into this environment, unless it is there."""
    install.install_engine()


def install_into_user_dir() -> store.InstalledModel:
    """Make the default model a model of the current user directory, without a download."""
    target = store.owned_path(store.DEFAULT_NAME)
    target.parent.mkdir(parents=True, exist_ok=True)
    source = gguf_path()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return install.install_default_model()


if __name__ == "__main__":
    ensure_engine()
    print(gguf_path())
