"""Plugins with tools, unchanged from the package index: a model calls what they offer."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ...helpers.openai_server import (
    OpenAIServer,
    completion,
    json_reply,
    text_stream,
    tool_call_reply,
    tool_call_stream,
)
from ...helpers.plugin_environment import PluginEnvironment

PLUGINS = (
    "llm-tools-simpleeval",
    "llm-tools-sqlite",
    "llm-tools-quickjs",
    "llm-tools-datasette",
    "llm-tools-todo",
)
TOOLBOXES = {
    "Datasette": {"query", "schema"},
    "QuickJS": {"execute_javascript", "reset_context"},
    "SQLite": {"query", "schema"},
    "Todo": {"add", "begin", "complete", "end", "list", "write"},
}

Call = tuple[str, dict[str, Any]]


@pytest.fixture
def installed(everything: PluginEnvironment) -> PluginEnvironment:
    """The environment with these plugins."""
    return everything.only(*PLUGINS)


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A service whose model `served` asks for the tool calls that the test has written."""
    with OpenAIServer() as server:
        entry = {"model_id": "served", "model_name": "m", "api_base": server.url}
        (user_path / "extra-openai-models.yaml").write_text(
            json.dumps([entry | {"supports_tools": True}])
        )
        yield server


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """A database with one table."""
    path = tmp_path / "animals.db"
    with sqlite3.connect(path) as db:
        db.execute("create table animals (name text)")
        db.execute("insert into animals values ('pelican')")
    db.close()
    return path


def outputs(
    environment: PluginEnvironment, server: OpenAIServer, tools: list[str], *calls: Call
) -> list[str]:
    """What the model is told that its calls gave, when it asks for all of them at once."""
    server.add(tool_call_stream(*calls), text_stream("done"))
    options = [part for tool in tools for part in ("-T", tool)]
    result = environment.llm("-m", "served", *options, "go")
    assert (result.stdout, result.stderr, result.returncode) == ("done\n", "", 0)
    return told(server)


def told(server: OpenAIServer) -> list[str]:
    """The results in the latest request."""
    messages = server.last.body["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_plugins_are_listed_with_their_tools(installed: PluginEnvironment) -> None:
    """`llm plugins` names all five, and `llm tools` shows what they register."""
    plugins = json.loads(installed.llm("plugins").stdout)
    listed = json.loads(installed.llm("tools", "list", "--json").stdout)

    assert {plugin["name"] for plugin in plugins} == set(PLUGINS)
    assert {tool["name"] for tool in listed["tools"]} >= {"quickjs", "simple_eval"}
    assert {
        box["name"]: {tool["name"].removeprefix(box["name"] + "_") for tool in box["tools"]}
        for box in listed["toolboxes"]
    } == TOOLBOXES


def test_simpleeval_calculates(installed: PluginEnvironment, server: OpenAIServer) -> None:
    """A function, and the text of its own errors."""
    assert outputs(
        installed,
        server,
        ["simple_eval"],
        ("simple_eval", {"expression": "6 * 7"}),
        ("simple_eval", {"expression": "6 *"}),
    ) == ["42", "Error: invalid syntax (<unknown>, line 1)"]


def test_sqlite_answers_queries(
    installed: PluginEnvironment, server: OpenAIServer, animals: Path
) -> None:
    """A toolbox with an argument, whose tools read a database; `-c` makes the same one again."""
    query = ("SQLite_query", {"sql": "select name from animals"})
    expected = '[{"name": "pelican"}]'

    results = outputs(installed, server, [f'SQLite("{animals}")'], query, ("SQLite_schema", {}))
    server.add(tool_call_stream(query), text_stream("done again"))
    continued = installed.llm("-c", "again")

    assert results[0] == expected
    assert "animals (name text)" in results[1]
    assert (continued.stdout, continued.stderr) == ("done again\n", "")
    assert told(server)[-1] == expected


def test_toolbox_without_its_argument_is_told(
    installed: PluginEnvironment, server: OpenAIServer
) -> None:
    """The error says how it is written; nothing is sent."""
    refused = installed.llm("-m", "served", "-T", "SQLite", "go")
    assert (refused.returncode, refused.stdout, server.requests) == (1, "", [])
    assert "It is written SQLite(" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_quickjs_runs_javascript(installed: PluginEnvironment, server: OpenAIServer) -> None:
    """A function beside a toolbox that keeps its state from call to call."""
    assert outputs(
        installed,
        server,
        ["quickjs", "QuickJS"],
        ("quickjs", {"javascript": "function execute() { return 4 * 5; }"}),
        ("QuickJS_execute_javascript", {"javascript": "var counter = 1; ++counter"}),
        ("QuickJS_execute_javascript", {"javascript": "++counter"}),
        ("QuickJS_reset_context", {}),
        ("QuickJS_execute_javascript", {"javascript": "typeof counter"}),
    ) == ["20", "2", "3", "null", "undefined"]


class _Datasette(BaseHTTPRequestHandler):
    """Answers `/animals.json?sql=...&_shape=array` as Datasette does."""

    database: Path

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        db = sqlite3.connect(self.database)
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute(parse_qs(address.query)["sql"][0])]
        db.close()
        self.send_response(200 if address.path == "/animals.json" else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(rows).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def datasette(animals: Path) -> Iterator[str]:
    """The address of a database that Datasette shows."""
    handler = type("Handler", (_Datasette,), {"database": animals})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/animals"
        http.shutdown()
        thread.join()


def test_datasette_is_asked_over_http(
    installed: PluginEnvironment, server: OpenAIServer, datasette: str
) -> None:
    """A toolbox that speaks HTTP gives the rows as JSON."""
    query, schema = outputs(
        installed,
        server,
        [f'Datasette("{datasette}")'],
        ("Datasette_query", {"sqlite_sql": "select name from animals"}),
        ("Datasette_schema", {}),
    )

    assert json.loads(query) == [{"name": "pelican"}]
    assert "animals (name text)" in schema


def test_todo_keeps_a_list_through_a_chain(
    installed: PluginEnvironment, server: OpenAIServer
) -> None:
    """Calls of several rounds work on the same list, whose name the first one gave."""
    first = outputs(installed, server, ["Todo"], ("Todo_begin", {}))[0]
    session = re.fullmatch(r"Started new todo session: (\w+)", first)
    assert session

    name = {"session_id": session[1]}
    server.add(
        tool_call_stream(("Todo_add", {**name, "content": "feed the pelican"})),
        tool_call_stream(("Todo_list", name)),
        tool_call_stream(("Todo_end", name)),
        text_stream("all done"),
    )
    result = installed.llm("-c", "go on")

    assert (result.stdout, result.stderr, result.returncode) == ("all done\n", "", 0)
    _, added, listed, ended = told(server)
    assert "feed the pelican" in added
    assert "| Pending | Medium | feed the pelican |" in listed
    assert ended == f"Ended todo session: {session[1]}"


@pytest.mark.parametrize("flags", [["--no-stream"], ["--async"], ["--async", "--no-stream"]])
def test_tools_of_plugins_run_in_every_way(
    installed: PluginEnvironment, server: OpenAIServer, animals: Path, flags: list[str]
) -> None:
    """Asynchronously, and with answers that are not streamed, the results are the same."""
    call = ("SQLite_query", {"sql": "select 1 as one"})
    if "--no-stream" in flags:
        server.add(tool_call_reply(call), json_reply(completion({"content": "done"})))
    else:
        server.add(tool_call_stream(call), text_stream("done"))

    result = installed.llm("-m", "served", "-T", f'SQLite("{animals}")', *flags, "go")

    assert (result.stdout, result.stderr) == ("done\n", "")
    assert told(server) == ['[{"one": 1}]']
