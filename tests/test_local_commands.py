"""The commands `llm local add`, `list`, `remove` and `path`."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.providers import local
from llm.providers.local import add, store

from .test_local_download import CONTENT, serving
from .test_local_install import Terminal
from .test_local_store import write_gguf


def run(*arguments: str, input: str | None = None) -> Result:
    """The outcome of `llm local ARGUMENTS`."""
    return CliRunner().invoke(cli, ["local", *arguments], input=input)


def succeed(*arguments: str, input: str | None = None) -> Result:
    """The outcome of a command that has to work."""
    result = run(*arguments, input=input)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file of the user's that looks like a model."""
    return write_gguf(tmp_path / "mine" / "q.gguf")


def test_path_is_in_the_user_directory(user_path: Path) -> None:
    """The folder is shown whether or not it exists."""
    assert succeed("path").stdout == f"{user_path / 'local'}\n"


def test_list_without_models_says_how_to_get_one(user_path: Path) -> None:
    """An empty list is empty on stdout; the hint is on stderr."""
    result = succeed("list")
    assert result.stdout == ""
    assert "llm local install" in result.stderr
    assert json.loads(succeed("list", "--json").stdout) == []


def test_add_registers_a_file_where_it_lies(user_path: Path, gguf: Path) -> None:
    """A file of the user's is neither moved nor copied."""
    result = succeed("add", "q", str(gguf))
    assert result.stdout == f"Added local/q: {gguf}\n"
    assert not store.owned_path("q").exists()
    assert succeed("list").stdout == f"local/q: 0.0 MB, {gguf}\n"


def test_add_makes_a_relative_path_absolute(
    user_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is found from every folder."""
    monkeypatch.chdir(gguf.parent)
    succeed("add", "q", "q.gguf")
    assert store.find_model("q").path == gguf


def test_add_with_copy_makes_the_file_ours(user_path: Path, gguf: Path) -> None:
    """After a copy the original may go."""
    succeed("add", "q", str(gguf), "--copy")
    gguf.unlink()
    assert store.find_model("q").path.read_bytes().startswith(b"GGUF")
    assert [path.name for path in local.local_dir().glob("q*")] == ["q.gguf"]


def test_add_with_copy_that_fails_leaves_nothing(
    user_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that cannot be finished is no model."""

    def fail(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"GG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    result = run("add", "q", str(gguf), "--copy")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert list(local.local_dir().iterdir()) == []


def test_add_checks_the_hash(user_path: Path, gguf: Path) -> None:
    """A given hash is compared, in whichever case, and kept."""
    digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
    wrong = run("add", "q", str(gguf), "--sha256", "0" * 64)
    assert wrong.exit_code == 1
    assert digest in wrong.stderr
    assert store.installed_models() == []
    succeed("add", "q", str(gguf), "--sha256", digest.upper())
    assert json.loads(succeed("list", "--json").stdout) == [
        {
            "model_id": "local/q",
            "aliases": [],
            "path": str(gguf),
            "size_bytes": 64,
            "sha256": digest,
            "source": str(gguf),
            "is_owned": False,
            "embeds": False,
            "exists": True,
        }
    ]


@pytest.mark.parametrize("digest", ["00", "", "x" * 64, "0" * 63, f"sha256:{'0' * 64}", "0" * 65])
def test_add_with_what_is_no_hash_fetches_nothing(user_path: Path, gguf: Path, digest: str) -> None:
    """No file can have it: that is told before the server is asked, or the file read."""
    with serving() as server:
        for source in (server.url, str(gguf)):
            result = run("add", "q", source, "--sha256", digest)
            assert result.exit_code == 2
            assert "is no sha256: that has 64 digits" in result.stderr
        assert server.requests == []
    assert store.installed_models() == []


def test_add_of_something_else_is_refused(user_path: Path, tmp_path: Path) -> None:
    """A file that is no model, or not there, is a readable error."""
    (tmp_path / "a.txt").write_text("hello")
    result = run("add", "q", str(tmp_path / "a.txt"))
    assert result.exit_code == 1
    assert "is not a GGUF model file" in result.stderr
    assert run("add", "q", str(tmp_path / "b.txt")).exit_code == 1


def test_add_with_a_name_that_is_taken_is_a_usage_error(user_path: Path, gguf: Path) -> None:
    """No model is replaced by accident."""
    succeed("add", "q", str(gguf))
    result = run("add", "q", str(gguf))
    assert result.exit_code == 2
    assert "llm local remove q" in result.stderr


def test_add_downloads_from_a_url(user_path: Path) -> None:
    """A download becomes a model of ours, with its source."""
    with serving() as server:
        server.content = b"GGUF" + CONTENT
        digest = hashlib.sha256(server.content).hexdigest()
        succeed("add", "web", server.url, "--sha256", digest)
        model = store.find_model("web")
        assert (model.source, model.sha256) == (server.url, digest)
    assert model.path == store.owned_path("web")
    assert sorted(path.name for path in local.local_dir().iterdir()) == [
        ".config.lock",
        "models.json",
        "web.gguf",
    ]


def test_add_resumes_a_download_that_broke_off(user_path: Path) -> None:
    """The same command run again goes on where the first one stopped."""
    with serving() as server:
        server.content = b"GGUF" + CONTENT
        server.break_after = 5000
        broken = run("add", "web", server.url)
        assert broken.exit_code == 1
        assert "Run the same command again" in broken.stderr
        succeed("add", "web", server.url)
        assert server.requests == [None, "bytes=5000-"]
    assert store.find_model("web").path.read_bytes() == b"GGUF" + CONTENT


@pytest.mark.parametrize(
    ("content", "options"), [(b"<html>", []), (b"GGUF", ["--sha256", "0" * 64])]
)
def test_add_of_a_wrong_download_forgets_it(
    user_path: Path, content: bytes, options: list[str]
) -> None:
    """What turned out to be the wrong file is not continued the next time."""
    with serving() as server:
        server.content = content
        assert run("add", "web", server.url, *options).exit_code == 1
    assert [path.name for path in local.local_dir().glob("*.part")] == []
    assert store.installed_models() == []


def test_download_on_a_terminal_shows_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar has the name of the model and the size, and is on stderr."""
    screen = tmp_path / "screen"
    monkeypatch.setenv("TERM", "xterm")
    with Terminal(screen) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with add.progress_bar("qwen") as progress:
            progress(0, 2_000_000)
            progress(2_000_000, 2_000_000)
    assert "qwen" in screen.read_text(encoding="utf-8")
    assert "2.0/2.0 MB" in screen.read_text(encoding="utf-8")


def test_remove_asks_and_keeps_what_is_not_ours(user_path: Path, gguf: Path) -> None:
    """The user's own file stays; without a yes everything stays."""
    succeed("add", "q", str(gguf))
    refused = run("remove", "q", input="n\n")
    assert refused.exit_code == 1
    assert "the file stays" in refused.stderr
    assert store.find_model("q").name == "q"
    assert succeed("remove", "local/q", input="y\n").stdout == "Removed local/q\n"
    assert store.installed_models() == []
    assert gguf.exists()


def test_remove_deletes_what_is_ours(user_path: Path, gguf: Path) -> None:
    """With the model goes the file that was put there for it."""
    succeed("add", "q", str(gguf), "--copy")
    succeed("remove", "q", "--yes")
    assert not store.owned_path("q").exists()
    assert gguf.exists()


@pytest.mark.parametrize("name", ["q", "local/q"])
def test_remove_of_the_default_model_says_what_comes_next(
    user_path: Path, gguf: Path, name: str
) -> None:
    """Prompts fail from then on: the removal says so, and so does each of them."""
    succeed("add", "q", str(gguf))
    succeed("add", "other", str(gguf))
    llm.set_default_model("local/q")
    advice = "'llm models default MODEL' chooses another one"
    assert advice not in succeed("remove", "other", "--yes").stderr
    assert advice in succeed("remove", name, "--yes").stderr
    result = CliRunner().invoke(cli, ["hi"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Unknown model: local/q" in result.stderr
    assert "'llm local list' shows what is installed" in result.stderr
    assert advice in result.stderr


@pytest.mark.parametrize("name", ["smollm2", "local/smollm2-135m", "smollm2-135m"])
def test_small_model_that_is_not_installed(user_path: Path, name: str) -> None:
    """The error says how to get it."""
    result = CliRunner().invoke(cli, ["-m", name, "hi"])
    assert result.exit_code == 1
    assert f"Unknown model: {name}" in result.stderr
    assert "To install it: llm local install" in result.stderr
    assert "default" not in result.stderr


def test_remove_of_a_file_that_cannot_be_deleted_says_so(user_path: Path, gguf: Path) -> None:
    """An error of the disk names the file."""
    succeed("add", "q", str(gguf), "--copy")
    owned = store.owned_path("q")
    owned.unlink()
    owned.mkdir()
    result = run("remove", "q", "--yes")
    assert result.exit_code == 1
    assert f"Cannot delete {owned}" in result.stderr


def test_remove_of_an_unknown_model_lists_the_others(user_path: Path, gguf: Path) -> None:
    """The error tells which models there are."""
    succeed("add", "q", str(gguf))
    result = run("remove", "x", "--yes")
    assert result.exit_code == 1
    assert "Installed: q" in result.stderr


def test_list_shows_aliases_and_missing_files(user_path: Path, gguf: Path) -> None:
    """A model whose file has gone is still listed, and says so."""
    model = add.add_file("q", gguf)
    store.register(
        store.InstalledModel("p", gguf, is_owned=False, size_bytes=1_500_000, aliases=("x", "y"))
    )
    assert f"local/p (aliases: x, y): 1.5 MB, {gguf}" in succeed("list").stdout
    gguf.unlink()
    assert f"local/q: file is missing, {model.path}" in succeed("list").stdout
