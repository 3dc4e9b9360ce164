"""Names that plugins import from `llm.cli` and the OpenAI provider, and plugins that do.

The plugins are unchanged from the package index.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pydantic
import pytest
import sqlite_utils

import llm
import llm.cli
import llm.migrations
from llm.commands import _plugin_chats
from llm.logs.file import migrations
from llm.logs.file.db import open_log

from ...helpers.openai_server import OpenAIServer, text_stream, tool_call_stream
from ...helpers.plugin_environment import PluginEnvironment

PLUGINS = (
    "llm-greenpt",
    "llm-live-chat",
    "llm-neuralwatt",
    "llm-plan",
    "llm-zai",
)
SHOUT = "def shout(text: str) -> str:\n    'Say it loudly'\n    return text.upper()"


@pytest.fixture
def installed(everything: PluginEnvironment) -> PluginEnvironment:
    """The environment with these plugins."""
    return everything.only(*PLUGINS)


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A service with the model `served`."""
    with OpenAIServer() as server:
        entry = {"model_id": "served", "api_base": server.url, "supports_tools": True}
        more = {"vision": True}
        (user_path / "extra-openai-models.yaml").write_text(json.dumps([{**entry, **more}]))
        yield server


def test_plugins_load(installed: PluginEnvironment) -> None:
    """None of them fails, and those with models have them."""
    listed = installed.llm("plugins")
    plugins = json.loads(listed.stdout)
    assert {plugin["name"] for plugin in plugins} == set(PLUGINS)
    assert [plugin for plugin in plugins if "fault" in plugin] == []
    assert listed.stderr == ""
    models = installed.llm("models").stdout
    for name in ("glm", "greenpt", "neuralwatt"):
        assert name in models.lower()


def test_chat_of_a_plugin_goes_on_with_fragments_and_tools(
    installed: PluginEnvironment, server: OpenAIServer, user_path: Path
) -> None:
    """A fragment of the chat is sent, a tool called, shown, asked about; `-c` knows the tools."""
    installed = installed.only("llm-live-chat")
    (user_path / "note.txt").write_text("the note")
    args = ("live-chat", "-m", "served", "--functions", SHOUT, "-T", "llm_version", "--td")
    server.add(
        tool_call_stream(("shout", {"text": "hey"})), text_stream("Done."), text_stream("Read.")
    )
    chat = installed.llm(*args, stdin="hello\n!fragment note.txt\nquit\n", cwd=user_path)
    assert (chat.returncode, "Traceback" in chat.stderr) == (0, False)
    assert "Done." in chat.stdout
    assert "Read." in chat.stdout
    assert "Tool call: shout({'text': 'hey'})\n  HEY" in chat.stderr
    texts = json.dumps(server.last.body["messages"])
    assert "the note" in texts
    assert "!fragment" not in texts

    # The plugin sends a prompt again whose first answer had no text.
    server.add(text_stream("Once more."), text_stream("Again."))
    again = installed.llm("live-chat", "-m", "served", "-c", stdin="more\nquit\n")
    assert (again.stderr, again.returncode, "Again." in again.stdout) == ("", 0, True)
    assert [tool["function"]["name"] for tool in server.last.body["tools"]] == ["llm_version"]

    missing = installed.llm("live-chat", "-m", "served", "-T", "nope", stdin="quit\n")
    assert missing.returncode == 1
    assert "nope" in missing.stderr


@pytest.mark.parametrize(("answer", "told"), [("y", "HEY"), ("n", "User cancelled tool call")])
def test_chat_of_a_plugin_asks_before_a_call(
    installed: PluginEnvironment, server: OpenAIServer, answer: str, told: str
) -> None:
    """The answer is read from where the prompts come from; a refusal is told to the model."""
    installed = installed.only("llm-live-chat")
    server.add(tool_call_stream(("shout", {"text": "hey"})), text_stream("Done."))
    args = ("live-chat", "-m", "served", "--functions", SHOUT, "--ta")
    chat = installed.llm(*args, stdin=f"hello\n{answer}\nquit\n")
    assert chat.returncode == 0
    results = [m["content"] for m in server.last.body["messages"] if m["role"] == "tool"]
    assert told in results[0]


def test_runner_of_a_plugin_takes_options_and_attachments(
    installed: PluginEnvironment, server: OpenAIServer, user_path: Path
) -> None:
    """The default options of the user are sent, an attachment is read, bad options are told."""
    installed = installed.only("llm-plan")
    stage = {"name": "one", "summary": "s", "model": "served", "prompt": "CLI\nCLI-FILES"}
    plan = user_path / "plan.yaml"
    plan.write_text(json.dumps({"name": "p", "summary": "s", "stages": [stage]}))
    (user_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    installed.llm("models", "options", "set", "served", "temperature", "0.5")
    server.add(text_stream("Done."))
    args = ("plan", "run", str(plan), "hello", "--quiet", "--retries", "0")
    done = installed.llm(*args, "-a", str(user_path / "a.png"))
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert server.last.body["temperature"] == 0.5
    assert server.last.body["messages"][0]["content"][1]["type"] == "image_url"

    missing = installed.llm(*args, "-a", str(user_path / "none.png"))
    assert (missing.returncode, "none.png" in missing.stderr) == (2, True)
    bad = installed.llm(*args, "-o", "temperature", "hot")
    assert (bad.returncode, "should be a valid number" in bad.stderr) == (1, True)


def name_in_cli(name: str) -> Any:
    """What plugins import from `llm.cli`."""
    return getattr(llm.cli, name)


def test_errors_of_options_are_rendered_as_before() -> None:
    """Field and message of each."""

    class Options(llm.Options):
        a: int = 1

    with pytest.raises(pydantic.ValidationError) as raised:
        Options.model_validate({"a": "x", "b": 1})
    assert name_in_cli("render_errors")(raised.value.errors()) == (
        "a\n  Input should be a valid integer, unable to parse string as an integer\n"
        "b\n  Extra inputs are not permitted"
    )


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("_gather_tools", (["nope"], []), "nope"),
        ("_gather_tools", ([], ["def f("]), "never closed"),
        ("process_fragments_in_chat", (None, "!fragment none.txt"), "none.txt"),
    ],
)
def test_errors_are_those_that_plugins_catch(
    name: str, arguments: tuple[Any, ...], told: str
) -> None:
    """Each is a `ClickException` that says what is wrong."""
    db = sqlite_utils.Database(memory=True)
    llm.migrations.migrate(db)
    with pytest.raises(click.ClickException, match=told):
        name_in_cli(name)(*(db if argument is None else argument for argument in arguments))


def test_options_of_a_broken_file_are_an_error_that_plugins_catch(user_path: Path) -> None:
    """The file is named."""
    assert name_in_cli("get_model_options")("served") == {}
    (user_path / "model_options.json").write_text("{")
    with pytest.raises(click.ClickException, match=r"model_options\.json"):
        name_in_cli("get_model_options")("served")


def test_nobody_to_ask_about_a_call_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of standard input is no answer; that the tool is unknown does not matter."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(click.Abort):
        _plugin_chats.approve_tool_call(None, llm.ToolCall("f", {}))


def test_toolboxes_add_to_what_is_no_tool() -> None:
    """`_blocked` is a tuple, as plugins expect that add one to it (llm-mcp-client)."""

    class Box(llm.Toolbox):
        _blocked = (*llm.Toolbox._blocked, "refresh")

        def refresh(self) -> None:
            """Not a tool."""

        def work(self) -> str:
            """A tool."""
            return "worked"

    assert llm.Toolbox._blocked + ("x",)  # noqa: RUF005
    assert [tool.name for tool in Box().tools()] == ["Box_work"]


@pytest.fixture
def own_steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The steps of plugins, none of them left over."""
    steps: dict[str, Any] = {}
    monkeypatch.setattr(migrations, "_FOREIGN_STEPS", steps)
    return steps


def test_migration_of_a_plugin_runs_once_for_a_database(
    own_steps: dict[str, Any], user_path: Path
) -> None:
    """In a file with all of ours as in a new one; in the log as where the plugin migrates."""
    path = user_path / "logs.db"
    llm.migrations.migrate(sqlite_utils.Database(path))

    @llm.migrations.migration
    def m012_state(db: sqlite_utils.Database) -> None:
        db.table("state").insert({"key": len(list(db.table("state").rows))})

    for where in (path, user_path / "other.db"):
        for _ in range(2):
            db = sqlite_utils.Database(where)
            llm.migrations.migrate(db)
            assert [row["key"] for row in db["state"].rows] == [0]
    assert own_steps == {"m012_state": m012_state}


def test_migration_of_a_plugin_that_fails_costs_nothing(
    own_steps: dict[str, Any], user_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told once, undone, and the log is there."""

    @llm.migrations.migration
    def broken(db: sqlite_utils.Database) -> None:
        db.execute("create table half (a)")
        raise RuntimeError("no")

    path = user_path / "logs.db"
    for _ in range(2):
        open_log(path).close()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "broken" in told
    assert "RuntimeError: no" in told
    tables = sqlite_utils.Database(path).table_names()
    assert "turns" in tables
    assert "half" not in tables
    assert own_steps == {}
