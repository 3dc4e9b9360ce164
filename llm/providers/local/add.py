"""Adding and removing models of the user's own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from llm.errors import LLMError, ModelError

from . import store
from .download import download, finish, forget, progress_bar
from .install import check_sha256, check_space
from .store import InstalledModel


def add_file(
    name: str, path: Path, sha256: str | None = None, copy: bool = False
) -> InstalledModel:
    """Register a GGUF file under `name`.

    Args:
        name: The part of the model id after `local/`.
        path: The file. It stays where it is, and has to.
        sha256: The hash that it should have.
        copy: Copy the file into the user directory, so that the original may go.

    Raises:
        LLMError: The name is taken, or the file is not usable or cannot be copied.
    """
    store.check_new_name(name)
    path = path.absolute()
    size = store.check_gguf(path)
    if sha256:
        check_sha256(path, sha256, str(path))
    target = _copy(path, store.owned_path(name), size) if copy else path
    return _register(InstalledModel(name, target, copy, size, sha256, str(path)))


def _copy(path: Path, target: Path, size_bytes: int) -> Path:
    part = Path(f"{target}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_space(target.parent, size_bytes)
        shutil.copyfile(path, part)
        finish(part, target)
    except OSError as error:
        raise LLMError(f"Cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def add_url(name: str, url: str, sha256: str | None = None) -> InstalledModel:
    """Download a GGUF file into the user directory and register it under `name`.

    Args:
        name: The part of the model id after `local/`.
        url: An http or https address. A download that broke off is taken up again.
        sha256: The hash that the file should have.

    Raises:
        LLMError: The name is taken, the download fails, or the file is not what it should be.
    """
    store.check_new_name(name)
    target = store.owned_path(name)
    part = Path(f"{target}.part")
    with progress_bar(name) as progress:
        download(url, part, progress)
    try:
        size = store.check_gguf(part)
        if sha256:
            check_sha256(part, sha256, url)
    except ModelError:
        forget(part)
        raise
    finish(part, target)
    return _register(InstalledModel(name, target, True, size, sha256, url))


def _register(model: InstalledModel) -> InstalledModel:
    if model.sha256:
        model = replace(model, sha256=model.sha256.lower())
    store.register(model)
    return model


def remove(model: InstalledModel) -> None:
    """Take a model off the list, and delete its file if it is ours.

    Raises:
        LLMError: The file cannot be deleted.
    """
    store.unregister(model.name)
    if model.is_owned:
        try:
            model.path.unlink(missing_ok=True)
        except OSError as error:
            raise LLMError(f"Cannot delete {model.path}: {error.strerror or error}") from error
