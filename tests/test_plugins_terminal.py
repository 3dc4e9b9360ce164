"""`llm plugins` on a terminal: a table."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from llm.testing import run_cli

from .helpers.terminal import at_terminal


def shown(*arguments: str) -> str:
    """What a command shows on a terminal."""
    with at_terminal(*arguments, launcher=(sys.executable, "-m", "llm")) as (_, terminal):
        return terminal.rest()


def test_plugins_as_a_table(install_plugin: Callable[..., Path]) -> None:
    """On a terminal there is a line for each plugin; JSON stays where it is asked for."""
    install_plugin(
        "llm-one",
        """
import llm
from llm.testing import ScriptedModel

def one(): "One."
def two(): "Two."

@llm.hookimpl
def register_models(register):
    register(ScriptedModel(model_id="one"), aliases=["o"])

@llm.hookimpl
def register_tools(register):
    register(one)
    register(two)

@llm.hookimpl
def register_commands(cli):
    cli.command("greet")(lambda: print("hello"))
""",
    )
    install_plugin("llm-two", "1 / 0", version="2.0")
    install_plugin("llm-three", "import llm")
    run_cli("plugins", "disable", "llm-three")
    lines = [line for line in shown("plugins").splitlines() if line]
    assert lines.pop(0) == "Plugin llm-two failed to load: ZeroDivisionError: division by zero"
    cells = [re.sub(r"\d+ ms", "5 ms", re.sub("    +", "|", line)) for line in lines]
    assert cells == [
        "name|version|adds|load time|fault",
        "llm-one|1.5|commands, 1 model, 2 tools|5 ms",
        "llm-two|2.0|5 ms|ZeroDivisionError: division by zero",
        "llm-three|1.5|disabled",
    ]
    assert '"name": "llm-one"' in shown("plugins", "--json", "--hook", "register_tools")


def test_plugins_as_an_empty_table(install_plugin: Callable[..., Path]) -> None:
    """Without plugins a person is told so."""
    assert "No plugin is installed" in shown("plugins")
