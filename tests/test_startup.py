"""Start-up: the commands that have to answer at once import next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = (
    *("asyncio", "click_default_group", "filelock", "httpx", "httpx2", "importlib.metadata"),
    *("numpy", "openai", "pluggy", "prompt_toolkit", "pydantic", "rich", "sqlite3"),
    *("sqlite_utils", "ulid", "yaml"),
)
SHOW_MODULES = """
import json, sys
sys.argv = ["llm", *sys.argv[1:]]
from llm.cli import cli
try:
    cli()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(*arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the modules that its process has imported by then."""
    result = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, set(json.loads(result.stderr))


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["keys", "path"], ["logs", "path"], ["aliases", "path"]],
    ids=" ".join,
)
def test_light_command_imports(arguments: list[str]) -> None:
    """These commands import neither a dependency but click nor what loads plugins."""
    printed, modules = modules_after(*arguments)
    assert printed
    assert modules.isdisjoint(HEAVY)
    assert not {name for name in modules if name.startswith(("llm.models", "llm.providers"))}
    commands = {name for name in modules if name.startswith("llm.commands.")}
    commands -= {"llm.commands._errors", "llm.commands._group", "llm.commands._options"}
    expected = arguments[0] if not arguments[0].startswith("-") else ""
    assert all(name.startswith(f"llm.commands.{expected}") for name in commands)


def test_light_commands_load_no_plugin(install_plugin: Callable[..., Path]) -> None:
    """With a plugin installed they do not even look for it."""
    install_plugin("llm-loud", "import sys; print('loaded', file=sys.stderr)")
    for arguments in (["--version"], ["keys", "path"], ["logs", "path"], ["aliases", "path"]):
        _, modules = modules_after(*arguments)
        assert modules.isdisjoint({"llm_loud", "llm.plugins", "importlib.metadata"})


def test_models_list_needs_no_pydantic() -> None:
    """Listing the models builds no options."""
    printed, modules = modules_after("models")
    assert "Default: " in printed
    assert modules.isdisjoint({"pydantic", "openai", "asyncio", "importlib.metadata"})


def test_import_llm_is_light() -> None:
    """Importing the package imports nothing but its table of names."""
    code = "import sys; before = set(sys.modules); import llm; print(set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "llm._lazy" in result.stdout
    assert not any(f"'{name}'" in result.stdout for name in (*HEAVY, "click", "llm.models"))


def test_version_of_the_module() -> None:
    """`python -m llm` is the command."""
    result = subprocess.run(
        [sys.executable, "-m", "llm", "--version"], capture_output=True, text=True
    )
    assert result.stdout == "llm, version 0.50.0\n"


SHOW_FROZEN = """
import atexit, gc, sys
# What is registered first is called last.
atexit.register(lambda: print(gc.get_freeze_count() > 0, file=sys.stderr))
sys.argv = ["llm", *sys.argv[1:]]
from llm.cli import cli
cli()
"""
KEEPER = """
import sys

class Keeper:
    "Holds a file that is closed when Python looks for garbage."

    def __init__(self):
        self.itself = self
        self.file = open("kept.txt", "w")
        self.file.write("all of it")

sys.keeper = Keeper()
"""


def test_end_skips_the_search_for_garbage() -> None:
    """Where no foreign code ran nothing is left open, so Python need not look for it."""
    command = [sys.executable, "-c", SHOW_FROZEN, "logs", "path"]
    assert subprocess.run(command, capture_output=True, text=True).stderr == "True\n"


def test_end_closes_what_a_plugin_left_open(
    install_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """A file that a plugin has written to and never closed has all of its text."""
    install_plugin("llm-keeper", KEEPER)
    command = [sys.executable, "-c", SHOW_FROZEN, "models"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.stderr == "False\n"
    assert (tmp_path / "kept.txt").read_text() == "all of it"
