"""`llm tools`: which tools there are, with a model and with specifications."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli


def weigh(kilos: float, unit: str = "kg") -> str:
    """Weigh something

    To the gram.
    """
    return f"{kilos} {unit}"


def extra(key: str) -> int:
    """Added by a toolbox"""
    return len(key)


class Drawer(llm.Toolbox):
    """Keeps things"""

    def __init__(self, label: str, size: int = 2) -> None:
        self.label = label

    def open(self, hard: bool) -> str:
        """Open it"""
        return self.label

    def _hidden(self) -> None: ...

    def close(self) -> None: ...


class Growing(llm.Toolbox):
    """Has more tools
    once it is made"""

    def __init__(self, url: str) -> None:
        self.url = url

    def prepare(self) -> None:
        """Add a tool"""
        self.add_tool(extra)

    def base(self) -> None: ...


class Search(llm.ServerSideTool):
    """Searches the web"""

    name = "search"

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


class Provider(llm.Model):
    """Has a tool of its own"""

    model_id = "provider"
    supports_tools = True
    supported_server_side_tools = (Search,)

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        """Say nothing"""
        return iter(())


@pytest.fixture(autouse=True)
def _tools(plugin: Callable[..., ModuleType]) -> None:
    def register_tools(register: Callable[..., None]) -> None:
        register(weigh)
        register(llm.Tool("bare", None, {"type": "object", "properties": {}}))
        register(Growing)
        register(Drawer)

    def register_models(register: Callable[..., None]) -> None:
        register(Provider())

    plugin(
        "shelf",
        register_tools=llm.hookimpl(register_tools),
        register_models=llm.hookimpl(register_models),
    )


def run(*args: str) -> Result:
    """The result of `llm tools`."""
    return CliRunner().invoke(cli, ["tools", *args])


BUILT_IN = """\
llm_time() -> dict (plugin: llm.default_plugins.default_tools)

  Return the current time, as local time and UTC

llm_version() -> str (plugin: llm.default_plugins.default_tools)

  Return the installed version of llm

"""


def test_tools_are_listed_with_signature_and_plugin() -> None:
    """Functions, then toolboxes, each sorted; one that grows shows how it is made."""
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "bare() (plugin: shelf)\n\n"
        + BUILT_IN
        + "weigh(kilos: float, unit: str = 'kg') -> str (plugin: shelf)\n\n"
        "  Weigh something\n\n  To the gram.\n\n"
        "Drawer:\n\n  Drawer_close() -> None\n\n  Drawer_open(hard: bool) -> str\n\n    Open it\n\n"
        "Growing(url: str) (plugin: shelf)\n\n  Has more tools\n  once it is made\n\n"
        "  Growing_base() -> None\n\n"
    )


def test_tools_named_are_listed_alone() -> None:
    """A specification is the heading of a toolbox, which is made and asked for its tools."""
    result = run("list", 'Growing("u")', "weigh", 'Drawer(label="a")')
    assert result.stdout == (
        "weigh(kilos: float, unit: str = 'kg') -> str (plugin: shelf)\n\n"
        "  Weigh something\n\n  To the gram.\n\n"
        'Drawer(label="a"):\n\n  Drawer_close() -> None\n\n'
        "  Drawer_open(hard: bool) -> str\n\n    Open it\n\n"
        'Growing("u"):\n\n  Growing_base() -> None\n\n'
        "  extra(key: str) -> int\n\n    Added by a toolbox\n\n"
    )


def test_tools_of_code_are_listed() -> None:
    """`--functions` adds the functions of code, without a plugin."""
    result = run("--functions", 'def apple(x: int) -> str: "Doc"', "llm_version")
    assert result.stdout.startswith("apple(x: int) -> str\n\n  Doc\n\nllm_version() -> str")


def test_tools_of_a_provider_are_listed() -> None:
    """With a model come the tools that its provider runs."""
    heading = "Server-side tools for provider (executed by the provider):\n\n"
    entry = "Search(depth: int = 1)\n\n  Searches the web\n\n"
    assert run("-m", "provider").stdout.endswith(heading + entry)
    assert run("-m", "provider", "Search").stdout == heading + entry


def test_tools_are_listed_as_json() -> None:
    """`--json` has tools, toolboxes and with a model server-side tools."""
    found = json.loads(run("--json").stdout)
    assert list(found) == ["tools", "toolboxes"]
    assert found["tools"][-1] == {
        "name": "weigh",
        "description": weigh.__doc__,
        "arguments": {
            "properties": {
                "kilos": {"type": "number"},
                "unit": {"default": "kg", "type": "string"},
            },
            "required": ["kilos"],
            "type": "object",
        },
        "plugin": "shelf",
    }
    assert [(box["name"], box["dynamic"]) for box in found["toolboxes"]] == [
        ("Drawer", False),
        ("Growing", True),
    ]
    tools = [tool["name"] for tool in found["toolboxes"][0]["tools"]]
    assert tools == ["Drawer_close", "Drawer_open"]
    assert list(found["toolboxes"][0]["tools"][0]) == ["name", "description", "arguments"]


def test_toolbox_is_listed_under_each_of_its_names(plugin: Callable[..., ModuleType]) -> None:
    """One class that two names were given to is listed under both."""

    def register_tools(register: Callable[..., None]) -> None:
        register(Drawer)
        register(Drawer, name="Chest")

    plugin("furniture", register_tools=llm.hookimpl(register_tools))
    names = [box["name"] for box in json.loads(run("--json").stdout)["toolboxes"]]
    assert names == ["Chest", "Drawer", "Drawer_1", "Growing"]
    assert "\nChest:\n" in run().stdout


def test_tools_of_a_provider_are_listed_as_json() -> None:
    """A server-side tool has its signature; a toolbox that was made all its tools."""
    found = json.loads(run("--json", "-m", "provider", 'Growing("u")', "Search").stdout)
    assert found["server_side_tools"] == [
        {
            "name": "Search",
            "description": "Searches the web",
            "signature": "(depth: int = 1)",
            "server_side": True,
        }
    ]
    assert [tool["name"] for tool in found["toolboxes"][0]["tools"]] == ["Growing_base", "extra"]
    assert found["toolboxes"][0]["name"] == "Growing"


@pytest.mark.parametrize("arguments", [["nope"], ["list", "Nope(1)"], ["Drawer"], ["-m", "nope"]])
def test_tools_that_do_not_exist_are_refused(arguments: list[str]) -> None:
    """An unknown tool or model, or a toolbox that lacks its arguments, is a clear error."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
