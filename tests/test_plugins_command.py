"""`llm plugins`, `llm install` and `llm uninstall`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm import plugins
from llm.cli import cli


def invoke(*arguments: str, **keywords: Any) -> Result:
    return CliRunner().invoke(cli, arguments, **keywords)


@llm.hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Register nothing."""


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Fail."""
    raise RuntimeError("not today")


@pytest.fixture(autouse=True)
def no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed in other tests is forgotten."""
    monkeypatch.setattr(plugins, "_faults", {})


def test_plugins_none(fresh_plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plugins the list is empty."""
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
    assert invoke("plugins").output == "[]\n"


def test_plugins_listed(plugin: Callable[..., ModuleType]) -> None:
    """Each plugin is listed with its hooks; the default ones only on request."""
    plugin("test-tools", register_tools=register_tools)
    assert json.loads(invoke("plugins").output) == [
        {"name": "test-tools", "hooks": ["register_tools"]}
    ]
    names = [row["name"] for row in json.loads(invoke("plugins", "--all", "--json").output)]
    assert set(names) == {"test-tools", *plugins.DEFAULT_PLUGINS}


def test_plugins_by_hook(plugin: Callable[..., ModuleType]) -> None:
    """With --hook only plugins that implement one of the hooks are listed."""
    plugin("test-tools", register_tools=register_tools)
    result = invoke("plugins", "--all", "--hook", "register_tools", "--hook", "register_nothing")
    names = {row["name"] for row in json.loads(result.output)}
    assert names == {"test-tools", "llm.default_plugins.default_tools"}


def test_plugins_show_faults(plugin: Callable[..., ModuleType], user_path: Path) -> None:
    """A hook that fails is found out, even with a corrupt file in the user directory."""
    plugin("test-broken", register_models=register_models)
    result = invoke("plugins")
    assert json.loads(result.stdout) == [
        {
            "name": "test-broken",
            "hooks": ["register_models"],
            "fault": "RuntimeError: not today",
        }
    ]
    assert result.stderr == "Plugin test-broken failed to load: RuntimeError: not today\n"
    (user_path / "aliases.json").write_text("{")
    assert invoke("plugins").exit_code == 0


# install, uninstall


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for pip: the command lines it was called with; its exit code is 3."""
    called: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    return called


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["install", "a", "b==1"], ["install", "a", "b==1"]),
        (["install", "-U", "a"], ["install", "--upgrade", "a"]),
        (["install", "-e", "."], ["install", "--editable", "."]),
        (
            ["install", "--force-reinstall", "--no-cache-dir", "--pre", "a"],
            ["install", "--force-reinstall", "--no-cache-dir", "--pre", "a"],
        ),
        (["uninstall", "a", "b"], ["uninstall", "a", "b"]),
        (["uninstall", "-y", "a"], ["uninstall", "a", "--yes"]),
    ],
)
def test_install_runs_pip(pip: list[list[str]], arguments: list[str], passed: list[str]) -> None:
    """The arguments go to the pip of this environment, whose exit code is the command's."""
    assert invoke(*arguments).exit_code == 3
    assert pip == [[sys.executable, "-m", "pip", *passed]]


def test_uninstall_needs_a_package(pip: list[list[str]]) -> None:
    """Uninstalling nothing is a usage error."""
    assert invoke("uninstall").exit_code == 2
    assert pip == []


def test_install_for_real() -> None:
    """pip itself runs and its failure is the command's."""
    result = subprocess.run(
        [sys.executable, "-m", "llm", "install", "/nonexistent/package"],
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "/nonexistent/package" in result.stderr + result.stdout
