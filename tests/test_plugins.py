"""Finding, loading and calling plugins, and surviving their faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

import llm
from llm import hookspecs, plugins

SPEAKS = """
import llm
print("loading NAME")

@llm.hookimpl
def register_tools(register):
    register(lambda: "x", name="NAME")
"""
BREAKS = "raise ImportError('no such\\n thing')"


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def run_llm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "llm", *arguments], capture_output=True, text=True)


def test_manager_is_pluggys() -> None:
    """The manager is a real one of pluggy's, and everywhere the same."""
    assert isinstance(llm.pm, pluggy.PluginManager)
    assert llm.pm is plugins.pm is plugins.manager()
    assert llm.pm.project_name == "llm"
    with pytest.raises(AttributeError, match="nothing"):
        _ = plugins.nothing


def test_default_plugins_table_is_true() -> None:
    """What the table says of a default plugin is what its module implements."""
    for name, hooks in plugins.DEFAULT_PLUGINS.items():
        module = import_module(name)
        found = [hook for hook in dir(module) if hasattr(getattr(module, hook), "llm_impl")]
        assert found == sorted(hooks), name


def test_loading_without_plugins_imports_none(user_path: Path) -> None:
    """Without installed plugins nothing is searched, and no default plugin is imported."""
    code = (
        "import sys, llm; llm.load_plugins()\n"
        "print([n for n in sys.modules if n.startswith('llm.default_plugins.')\n"
        "       or n in ('importlib.metadata', 'pydantic')])\n"
        "print([name for name, _ in llm.pm.list_name_plugin()])"
    )
    result = run(code)
    assert result.stderr == ""
    assert result.stdout.splitlines() == ["[]", str(list(plugins.DEFAULT_PLUGINS))]


def test_entry_points_loaded_in_order_of_names(
    fresh_plugins: None, install_plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Plugins are registered by the name of their distribution, the default ones last."""
    install_plugin("llm-zebra", SPEAKS.replace("NAME", "zebra"))
    install_plugin("llm-Ant", SPEAKS.replace("NAME", "ant"), entry_points="a = llm_Ant")
    install_plugin("other", "")
    plugins.load_plugins()
    plugins.load_plugins()
    names = [name for name, _ in plugins.manager().list_name_plugin()]
    assert names == ["a", "zebra", "other", *plugins.DEFAULT_PLUGINS]
    assert list(llm.get_tools()) == ["llm_version", "llm_time", "zebra", "ant"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sorted(captured.err.splitlines()) == ["loading ant", "loading zebra"]


def test_get_plugins_describes(fresh_plugins: None, install_plugin: Callable[..., Path]) -> None:
    """A plugin has the name and the version of its distribution, and the hooks it implements."""
    install_plugin("llm-one", SPEAKS, version="2.0")
    assert llm.get_plugins() == [{"name": "llm-one", "hooks": ["register_tools"], "version": "2.0"}]
    assert [row["name"] for row in llm.get_plugins(all=True)] == [
        "llm-one",
        *plugins.DEFAULT_PLUGINS,
    ]
    assert llm.get_plugins(all=True)[-1] == {
        "name": "llm.default_plugins.default_tools",
        "hooks": ["register_tools"],
    }


def test_get_plugins_of_an_object(plugin: Callable[..., ModuleType]) -> None:
    """A plugin that is no module is listed under its registered name."""

    class Registered:
        @llm.hookimpl
        def register_tools(self, register: Callable[..., None]) -> None:
            pass

    llm.pm.register(Registered(), name="an-object")
    try:
        assert {"name": "an-object", "hooks": ["register_tools"]} in llm.get_plugins()
    finally:
        llm.pm.unregister(name="an-object")


def test_load_plugins_variable_names_distributions(
    fresh_plugins: None,
    install_plugin: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LLM_LOAD_PLUGINS chooses distributions; an unknown one is named and skipped."""
    install_plugin("llm-one", SPEAKS)
    install_plugin("llm-two", BREAKS)
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "llm-none, llm-one,")
    assert [row["name"] for row in llm.get_plugins()] == ["llm-one"]
    assert capsys.readouterr().err.splitlines()[0] == "Plugin llm-none could not be found"


def test_load_plugins_variable_empty(
    fresh_plugins: None, install_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable empty only the default plugins are loaded."""
    install_plugin("llm-one", SPEAKS)
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
    assert not plugins.guests_possible()
    assert llm.get_plugins() == []
    assert len(llm.get_plugins(all=True)) == len(plugins.DEFAULT_PLUGINS)


def test_plugins_not_loaded_in_their_tests(
    fresh_plugins: None, install_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `sys._called_from_test` is set, only what LLM_LOAD_PLUGINS names is loaded."""
    install_plugin("llm-one", SPEAKS)
    monkeypatch.setattr(sys, "_called_from_test", True, raising=False)
    assert llm.get_plugins() == []
    monkeypatch.setattr(plugins, "_loaded", False)
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "llm-one")
    assert [row["name"] for row in llm.get_plugins()] == ["llm-one"]


def test_guests_possible(
    fresh_plugins: None, install_plugin: Callable[..., Path], plugin: Callable[..., ModuleType]
) -> None:
    """Guests are possible while some are installed and not loaded, or once one is registered."""
    install_plugin("llm-one", SPEAKS)
    assert plugins.guests_possible()
    plugins.load_plugins()
    assert plugins.guests_possible()


def test_guests_possible_without_any(fresh_plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without installed plugins none is possible, before and after loading."""
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
    assert not plugins.guests_possible()
    plugins.load_plugins()
    assert not plugins.guests_possible()


def test_same_entry_point_name_twice(
    fresh_plugins: None, install_plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two plugins with one name the first counts, as the name is taken then."""
    install_plugin("llm-one", "", entry_points="same = llm_one")
    install_plugin("llm-two", "", entry_points="same = llm_two")
    assert [row["name"] for row in llm.get_plugins()] == ["llm-one"]
    assert capsys.readouterr().err == ""


def test_blocked_plugin_stays_out(fresh_plugins: None, install_plugin: Callable[..., Path]) -> None:
    """What is blocked in the manager is not loaded."""
    install_plugin("llm-one", "", entry_points="one = llm_one")
    llm.plugins.manager().set_blocked("one")
    llm.plugins.manager().set_blocked("llm.default_plugins.default_tools")
    assert llm.get_plugins() == []
    assert llm.get_tools() == {}


# Faults


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (BREAKS, "ImportError: no such thing"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError", "ValueError"),
        (
            "import llm\n@llm.hookimpl\ndef register_tools(nonsense): pass",
            "PluginValidationError: ",
        ),
    ],
)
def test_broken_import_costs_one_line(
    fresh_plugins: None,
    install_plugin: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    source: str,
    problem: str,
) -> None:
    """A plugin that cannot be loaded is reported once and skipped; the others work."""
    install_plugin("llm-bad", source)
    install_plugin("llm-good", SPEAKS.replace("NAME", "good"))
    assert "good" in llm.get_tools()
    llm.get_tools()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"Plugin llm-bad failed to load: {problem}")
    (bad,) = [row for row in llm.get_plugins() if row["name"] == "llm-bad"]
    assert bad["version"] == "1.5"
    assert bad["hooks"] == []
    assert str(bad["fault"]).startswith(problem)
    (fault,) = plugins.faults()
    assert (fault.plugin, fault.name, fault.version) == ("bad", "llm-bad", "1.5")


def test_broken_metadata(
    fresh_plugins: None, install_plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Metadata that cannot be read is reported where it may be a plugin's, else ignored."""
    folder = install_plugin("llm-odd", "", entry_points="nonsense")
    install_plugin("unrelated", "")
    (folder / "unrelated-1.5.dist-info" / "entry_points.txt").write_text("[other]\nnonsense\n")
    install_plugin("llm-nameless", "")
    (folder / "llm_nameless-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    rows = {row["name"]: row for row in llm.get_plugins()}
    assert list(rows) == ["nameless", "llm-odd"]
    assert rows["llm-odd"]["hooks"] == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Plugin llm-odd failed to load: ")


def test_broken_hook_costs_one_line(
    fresh_plugins: None, install_plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A plugin whose hooks raise is reported once; what it had registered stays."""
    install_plugin(
        "llm-bad",
        "import llm\n"
        "@llm.hookimpl\n"
        "def register_tools(register):\n"
        "    register(lambda: 1, name='kept')\n"
        "    raise RuntimeError('half way')\n"
        "@llm.hookimpl\n"
        "def register_models(register):\n"
        "    raise SystemExit('later')\n",
    )
    assert list(llm.get_tools()) == ["llm_version", "llm_time", "kept"]
    llm.get_models()
    assert capsys.readouterr().err == "Plugin llm-bad failed to load: RuntimeError: half way\n"
    assert llm.get_plugins() == [
        {
            "name": "llm-bad",
            "hooks": ["register_models", "register_tools"],
            "version": "1.5",
            "fault": "RuntimeError: half way",
        }
    ]


@pytest.mark.parametrize(
    "source", [BREAKS, "import llm\n@llm.hookimpl\ndef register_tools(register): 1 / 0"]
)
def test_faults_raised_on_request(
    fresh_plugins: None,
    install_plugin: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    """Under LLM_RAISE_ERRORS the exception of the plugin gets through."""
    install_plugin("llm-bad", source)
    monkeypatch.setenv("LLM_RAISE_ERRORS", "1")
    with pytest.raises((ImportError, ZeroDivisionError)):
        llm.get_tools()


def test_plugin_that_looks_up_models_while_imported(
    fresh_plugins: None, install_plugin: Callable[..., Path]
) -> None:
    """A plugin may use the package while it is being loaded."""
    install_plugin("llm-early", "import llm\nFOUND = llm.get_plugins(all=True)")
    llm.load_plugins()
    assert import_module("llm_early").FOUND == []


def test_command_survives_broken_plugin(install_plugin: Callable[..., Path]) -> None:
    """With a plugin that breaks every command works, and the fault is shown."""
    install_plugin("llm-bad", BREAKS)
    listed = run_llm("plugins")
    assert listed.returncode == 0
    assert listed.stderr == "Plugin llm-bad failed to load: ImportError: no such thing\n"
    assert json.loads(listed.stdout) == [
        {"name": "llm-bad", "hooks": [], "version": "1.5", "fault": "ImportError: no such thing"}
    ]
    assert run_llm("keys").stdout == "No keys found\n"
    path = run_llm("keys", "path")
    assert (path.returncode, path.stderr) == (0, "")


# Calling hooks

# With options that are not known before the test runs.
hookimpl: Any = llm.hookimpl


def test_hooks_called_last_registered_first(plugin: Callable[..., ModuleType]) -> None:
    """Hooks are called in pluggy's order: the last registered first, unless they say otherwise."""
    called = []

    def hook(name: str, **options: bool) -> Callable[..., None]:
        def register_tools(register: Callable[..., None]) -> None:
            called.append((name, plugins.running_plugins()[-1]))

        implementation: Callable[..., None] = hookimpl(register_tools, **options)
        return implementation

    plugin("test-last", register_tools=hook("last", trylast=True))
    plugin("test-first", register_tools=hook("first", tryfirst=True))
    plugin("test-one", register_tools=hook("one"))
    plugin("test-two", register_tools=hook("two"))
    llm.get_tools()
    assert called == [
        ("first", "test-first"),
        ("two", "test-two"),
        ("one", "test-one"),
        ("last", "test-last"),
    ]
    assert plugins.running_plugins() == []


@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_hook_wrappers_surround(plugin: Callable[..., ModuleType], kind: str) -> None:
    """Wrappers of both kinds run around the other implementations."""
    called = []

    def register_tools(register: Callable[..., None]) -> Generator[None, Any, Any]:
        called.append("before")
        outcome = yield
        called.append("after")
        return outcome

    @llm.hookimpl
    def inner(register: object) -> None:
        called.append("inner")

    plugin("test-wrapper", register_tools=hookimpl(register_tools, **{kind: True}))
    plugin("test-inner", register_tools=inner)
    llm.get_tools()
    assert called == ["before", "inner", "after"]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_hook_wrapper_that_breaks(
    plugin: Callable[..., ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    place: str,
) -> None:
    """A wrapper that raises takes nothing away from the others."""
    monkeypatch.setattr(plugins, "_faults", {})

    def register_tools(register: Callable[..., None]) -> Generator[None, Any, Any]:
        if place == "before":
            raise ValueError("wrapped")
        yield
        raise ValueError("wrapped")

    plugin("test-wrapper", register_tools=hookimpl(register_tools, **{kind: True}))
    assert "llm_version" in llm.get_tools()
    assert capsys.readouterr().err == "Plugin test-wrapper failed to load: ValueError: wrapped\n"


def test_hook_without_parameters(plugin: Callable[..., ModuleType]) -> None:
    """An implementation declares as many of the parameters as it needs, even none."""
    called = []

    @llm.hookimpl
    def register_models() -> None:
        called.append(True)

    plugin("test-none", register_models=register_models)
    llm.get_models()
    assert called == [True]


def test_default_commands_registered_by_hook() -> None:
    """On any other group than the root the default plugins add their commands themselves."""
    import click

    group = click.Group("g")
    plugins.call_each("register_commands", cli=group)
    assert {"local", "openai"} <= set(group.commands)


def test_hook_specifications() -> None:
    """The six hooks have exactly the parameters that plugins rely on."""
    import inspect

    found = {
        name: list(inspect.signature(hook).parameters)
        for name, hook in vars(hookspecs).items()
        if hasattr(hook, "llm_spec")
    }
    assert found == {
        "register_commands": ["cli"],
        "register_models": ["register", "model_aliases"],
        "register_embedding_models": ["register"],
        "register_tools": ["register"],
        "register_template_loaders": ["register"],
        "register_fragment_loaders": ["register"],
    }
