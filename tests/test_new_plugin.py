"""`llm plugins new` writes the plugin that the tutorial explains."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llm.testing import run_cli

from .test_docs import DOCS, blocks


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_plugins_new_is_the_plugin_of_the_tutorial(elsewhere: Path) -> None:
    """Each file is a block of the page, word for word, and there is no other."""
    done = run_cli("plugins", "new", "llm-parrot")
    assert done.stdout == f"{elsewhere / 'llm-parrot'}\n"
    assert done.stderr == "To install it: cd llm-parrot; llm install -e '.[test]'\n"
    shown = dict(
        block.split("\n", 1) for block in blocks(DOCS / "plugins" / "tutorial.md", "toml", "python")
    )
    written = {
        f"# {path.name}": path.read_text(encoding="utf-8")
        for path in (elsewhere / "llm-parrot").iterdir()
    }
    assert written == shown


def test_plugins_new_has_the_name_in_every_form(elsewhere: Path) -> None:
    """As a name of distributions, modules, classes and variables."""
    assert run_cli("plugins", "new", "grey-parrot2").exit_code == 0
    folder = elsewhere / "llm-grey-parrot2"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["llm_grey_parrot2.py", "pyproject.toml", "test_llm_grey_parrot2.py"]
    module = (folder / "llm_grey_parrot2.py").read_text(encoding="utf-8")
    for line in ("class GreyParrot2(", 'needs_key = "grey-parrot2"', '"GREY_PARROT2_KEY"'):
        assert line in module
    assert 'grey-parrot2 = "llm_grey_parrot2"' in (folder / "pyproject.toml").read_text()
    assert "import llm_grey_parrot2\n" in (folder / "test_llm_grey_parrot2.py").read_text()


@pytest.mark.parametrize("name", ["Parrot", "two words", "../up", "3", "a--b", "llm-", "a_b", ""])
def test_plugins_new_refuses_other_names(elsewhere: Path, name: str) -> None:
    """What is no name of a package and a module is refused, and nothing is written."""
    done = run_cli("plugins", "new", name)
    assert done.exit_code == 2
    assert "is no name for a plugin" in done.stderr
    assert list(elsewhere.iterdir()) == []


def test_plugins_new_overwrites_nothing(elsewhere: Path) -> None:
    """A folder that is there stays as it is."""
    (elsewhere / "llm-parrot").mkdir()
    done = run_cli("plugins", "new", "parrot")
    assert done.exit_code == 1
    assert done.stderr.endswith(
        "llm-parrot is there already. Choose another name, or move it away\n"
    )
    assert list((elsewhere / "llm-parrot").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such folder")
def test_plugins_new_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and the reason."""
    monkeypatch.chdir("/proc")
    done = run_cli("plugins", "new", "parrot")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Cannot make /proc/llm-parrot: ")
