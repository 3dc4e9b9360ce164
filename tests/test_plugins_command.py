"""`llm plugins`, `llm install` and `llm uninstall`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm import plugins
from llm.cli import cli
from llm.plugin_index.installed import note_installed, note_removed
from llm.registry import installing


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


# What was installed, and is gone


def test_plugins_gone_and_brought_back(
    install_plugin: Callable[..., Path],
    user_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plugin that an upgrade took away is told of once, and brought back as it was installed."""
    folder = install_plugin("llm-one", "import llm")
    editable = install_plugin("llm-two", "import llm") / "llm_two-1.5.dist-info"
    listed = {"url": "file:///srv/llm%20two", "dir_info": {"editable": True}}
    (editable / "direct_url.json").write_text(json.dumps(listed))
    note_installed(["socksio>=1", "llm", "git+https://example.com/x.git", "./llm-three"])
    note_installed(["llm-one==1.5"])
    path = user_path / "installed_plugins.json"
    assert json.loads(path.read_text())["environments"][sys.prefix] == {
        "llm-one": "llm-one==1.5",
        "llm-two": "-e /srv/llm two",
        "socksio": "socksio>=1",
    }
    assert "Nothing is missing" in invoke("plugins", "sync").stderr
    assert in_subprocess("models", "--json").stderr == ""
    shutil.rmtree(folder)
    told = "Installed here before, and gone: llm-one, llm-two. To bring back: llm plugins sync\n"
    assert in_subprocess("models", "--json").stderr == told
    assert in_subprocess("plugins").stderr == told
    # Nothing has changed since.
    assert in_subprocess("models", "--json").stderr == ""
    with monkeypatch.context() as patched:
        called: list[tuple[str, ...]] = []
        patched.setattr(installing, "run_installer", lambda *words: called.append(words))
        assert invoke("plugins", "sync").exit_code == 0
    assert called == [("install", "llm-one==1.5", "-e", "/srv/llm two")]
    note_removed(["llm_one", "llm-two", "nobody", "socksio"])
    assert in_subprocess("plugins").stderr == ""
    assert list(json.loads(path.read_text())["environments"][sys.prefix]) == ["socksio"]


def test_plugins_list_of_installed_is_broken(
    install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """A list that cannot be read costs a line, or is an error, and is never replaced."""
    (user_path / "installed_plugins.json").write_text("{")
    assert (
        "installed_plugins.json, line 1: not valid JSON" in in_subprocess("models", "--json").stderr
    )
    assert invoke("plugins", "sync").exit_code == 1
    with pytest.raises(llm.ConfigError):
        note_installed(["llm-one"])
    assert (user_path / "installed_plugins.json").read_text() == "{"


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


@pytest.mark.parametrize(
    ("made_by", "way"),
    [
        ("pyvenv.cfg", "python -m venv DIRECTORY, then DIRECTORY/bin/pip install llm PACKAGE"),
        ("uv-receipt.toml", "uv tool install --with PACKAGE llm"),
        ("pipx_metadata.json", "pipx inject llm PACKAGE"),
    ],
)
def test_install_into_what_cannot_be_written(
    pip: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_by: str,
    way: str,
) -> None:
    """pip is not even asked; the error says why, and how to get an environment of one's own."""
    (tmp_path / made_by).write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "gone"))
    result = invoke("install", "llm-one")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: Cannot install anything: the environment of llm, {tmp_path}, cannot be written. "
        f"Another one that is yours: {way}\n"
    )
    assert pip == []


def test_install_into_the_python_of_the_system(
    pip: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the system, which says so with a file."""
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    result = invoke("uninstall", "llm-one")
    assert result.exit_code == 1
    assert "belongs to the operating system. Another one that is yours: python" in result.stderr
    assert pip == []


def test_install_without_pip(
    pip: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of uv may have no pip: uv does it; without uv the error says what to do."""
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke("install", "llm-one")
    assert (result.exit_code, pip) == (1, [])
    assert f"Run: {sys.executable} -m ensurepip" in result.stderr
    uv = tmp_path / ("uv.exe" if os.name == "nt" else "uv")
    uv.write_text("")
    uv.chmod(0o700)
    assert invoke("uninstall", "-y", "llm-one").exit_code == 3
    assert pip == [[str(uv), "pip", "uninstall", "--python", sys.executable, "llm-one"]]


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


def test_plugins_disable(
    fresh_plugins: None, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """A plugin that is disabled is not imported, and listed as that, until it is enabled."""
    folder = install_plugin("llm-Some_One", "1 / 0", entry_points="someone = llm_Some_One")
    listed = {"name": "llm-Some_One", "hooks": [], "version": "1.5"}
    for name in ("llm-some-one", "llm.some.one", "someone"):
        assert invoke("plugins", "disable", name).output == ""
        assert in_process("plugins") == [{**listed, "disabled": True}]
        assert in_process("plugins", "--hook", "register_models") == []
        assert invoke("plugins", "enable", name).output == ""
    assert in_process("plugins", error="Plugin llm-Some_One failed to load: Zero") == [
        {**listed, "fault": "ZeroDivisionError: division by zero"}
    ]
    assert json.loads((user_path / "disabled_plugins.json").read_text()) == {"disabled": []}
    assert (folder / "llm_Some_One.py").exists()


def in_subprocess(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own does."""
    command = [sys.executable, "-m", "llm", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def in_process(*arguments: str, error: str = "", **variables: str) -> Any:
    """The JSON that a process of its own prints."""
    command = [sys.executable, "-m", "llm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    assert done.stderr.startswith(error)
    assert bool(done.stderr) == bool(error)
    return json.loads(done.stdout)


def test_plugins_disabled_but_named(install_plugin: Callable[..., Path], user_path: Path) -> None:
    """LLM_LOAD_PLUGINS names what is wanted, disabled or not."""
    install_plugin("llm-one", "import llm")
    invoke("plugins", "disable", "llm-one")
    assert in_process("plugins", LLM_LOAD_PLUGINS="llm-one") == [
        {"name": "llm-one", "hooks": [], "version": "1.5"}
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("disable", "llm-on"), "No plugin llm-on is installed - did you mean llm-one?"),
        (("disable", "xyzzy"), "No plugin xyzzy is installed. See: llm plugins"),
        (("enable", "xyzzy"), "No plugin xyzzy is installed. See: llm plugins"),
        (("enable", "llm-one"), "The plugin llm-one is not disabled"),
        (("enable",), "Missing argument 'PLUGIN'"),
        (("disabel",), "No such command 'disabel'"),
    ],
)
def test_plugins_disable_refuses(
    install_plugin: Callable[..., Path], arguments: tuple[str, ...], problem: str
) -> None:
    """What is not installed cannot be disabled, what is not disabled not enabled."""
    install_plugin("llm-one", "import llm")
    result = invoke("plugins", *arguments)
    assert result.exit_code in (1, 2)
    assert problem in result.stderr


def test_plugins_disabled_is_gone_meanwhile(
    install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """The name of a plugin that was uninstalled can still be enabled."""
    (user_path / "disabled_plugins.json").write_text('{"disabled": ["llm-gone"]}')
    assert in_process("plugins") == []
    assert invoke("plugins", "enable", "llm_gone").exit_code == 0
    assert json.loads((user_path / "disabled_plugins.json").read_text()) == {"disabled": []}


def test_plugins_disabled_file_is_broken(
    install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """A file that cannot be read costs a line, and disables nothing; it is never replaced."""
    install_plugin("llm-one", "import llm")
    (user_path / "disabled_plugins.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "llm", "--help"], capture_output=True, text=True, check=True
    )
    assert "disabled_plugins.json" in done.stderr
    assert "Traceback" not in done.stderr
    for arguments in (("disable", "llm-one"), ("enable", "llm-one"), ()):
        result = invoke("plugins", *arguments)
        assert result.exit_code == 1
        assert "not valid JSON" in result.stderr
    assert (user_path / "disabled_plugins.json").read_text() == "{"
