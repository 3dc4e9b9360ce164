"""The plugin that `llm plugins new` writes, installed with all that it names, and its tests."""

from __future__ import annotations

from pathlib import Path

from ..helpers.plugin_environment import new_environment


def test_new_plugin_is_installed_and_passes_its_tests(tmp_path: Path, user_path: Path) -> None:
    """It is ready for `llm install -e`, it is listed, and its tests pass as they are."""
    environment = new_environment(tmp_path / "environment")
    written = environment.llm("plugins", "new", "grey-parrot", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    folder = tmp_path / "llm-grey-parrot"
    installed = environment.llm("install", "-e", ".[test]", cwd=folder)
    assert installed.returncode == 0, installed.stderr + installed.stdout
    listed = environment.llm("models", "-q", "grey-parrot")
    assert listed.stdout == "GreyParrot: grey-parrot\n", listed.stderr
    tested = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout


def test_plugin_that_an_upgrade_took_away_comes_back(tmp_path: Path, user_path: Path) -> None:
    """What `llm install` installed is told of when it is gone, and `llm plugins sync` brings it."""
    environment = new_environment(tmp_path / "environment")
    (tmp_path / "environment" / "uv-receipt.toml").write_text("[tool]\n")
    assert environment.llm("install", "llm-markov").returncode == 0
    assert environment.run("-m", "pip", "uninstall", "-y", "llm-markov").returncode == 0
    assert "and gone: llm-markov. To bring back" in environment.llm("models").stderr
    back = environment.llm("plugins", "sync")
    assert back.returncode == 0, back.stderr
    assert "Markov: markov" in environment.llm("models").stdout
    assert environment.llm("uninstall", "-y", "llm-markov").returncode == 0
    assert "gone" not in environment.llm("models").stderr
