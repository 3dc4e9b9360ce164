"""Plugins with commands, and models that answer offline, unchanged from the package index."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import sqlite_utils

import llm
from llm._version import VERSION

from ...helpers.openai_server import OpenAIServer, text_stream
from ...helpers.plugin_environment import PluginEnvironment

MATCHED = "llm-matched-responses"


class Run:
    """Runs `llm` with some of the plugins.

    Args:
        environment: Where they are installed.
        folder: The current folder; programs in its `bin` are found first.
    """

    def __init__(self, environment: PluginEnvironment, folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def __call__(self, plugins: str, *args: str, stdin: str = "", **env: str) -> str:
        """What is printed with these plugins, the distributions separated by spaces."""
        done = self.done(plugins, *args, stdin=stdin, **env)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        return done.stdout

    def done(
        self, plugins: str, *args: str, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """All that came of it."""
        path = f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        environment = self.environment.only(*plugins.split())
        return environment.llm(*args, stdin=stdin, env={"PATH": path, **env}, cwd=self.folder)

    def program(self, name: str) -> Path:
        """Put a program there that keeps its arguments and its input in the file returned."""
        kept = self.folder / f"{name}.json"
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"args, text = sys.argv[1:], sys.stdin.read()\n"
            f"json.dump([args, text], open({str(kept)!r}, 'w'))\nprint('done by {name}')\n"
        )
        path.chmod(0o755)
        return kept


@pytest.fixture
def run(everything: PluginEnvironment, tmp_path: Path) -> Run:
    """The environment, in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Run(everything, folder)


# Models that answer by themselves


def test_echo_answers(run: Run, tmp_path: Path) -> None:
    """Options, attachments, reasoning, history, asynchronous twin, a key."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    args = ("-m", "echo", "-s", "S", "-o", "example_bool", "1", "-a", str(picture), "hi")
    said = json.loads(run("llm-echo", *args))
    assert (said["prompt"], said["system"], said["options"]) == ("hi", "S", {"example_bool": True})
    assert [found["type"] for found in said["attachments"]] == ["image/png"]
    again = run.done("llm-echo", "-c", "--async", "-o", "thinking", "1", "more")
    assert json.loads(again.stdout)["previous"] == [{"prompt": "hi"}]
    assert "First I consider the prompt, then I decide what to say." in again.stderr
    keyed = run("llm-echo", "-m", "echo-needs-key", "--key", "given", "x")
    assert json.loads(keyed)["key"] == "given"


def test_echo_calls_a_tool(run: Run) -> None:
    """The call of a model without names for its calls is run, and its result handed in."""
    prompt = json.dumps({"prompt": "x", "tool_calls": [{"name": "llm_version"}]})
    said = run("llm-echo", "-m", "echo", "-T", "llm_version", prompt)
    assert f'"output": "{VERSION}"' in said


def test_markov_answers(run: Run) -> None:
    """It streams words of the prompt; what it has against an option is told."""
    args = ("-m", "markov", "-o", "length", "5", "-o", "delay", "0")
    words = run("llm-markov", *args, "the cat the dog").split()
    assert len(words) == 5
    assert set(words) <= {"the", "cat", "dog"}
    refused = run.done("llm-markov", "-m", "markov", "-o", "length", "1", "x")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "length must be >= 2" in refused.stderr


def test_eliza_answers(run: Run) -> None:
    """As in 1966."""
    assert " ".join(run("llm-eliza", "-m", "eliza", "Hello").split()) in {
        "How do you do. Please state your problem.",
        "Hi. What seems to be your problem?",
    }


def test_matched_responses_call_a_tool(run: Run, tmp_path: Path) -> None:
    """Its answers come from a file; one of them calls a tool."""
    call = {"tool_calls": [{"name": "llm_version", "arguments": {}}]}
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"version": json.dumps(call), "hello": "Hi"}))
    env = {"LLM_MATCHED_RESPONSES_FILE": str(answers)}
    assert run(MATCHED, "-m", "matched-responses", "hello", **env) == "Hi\n"
    done = run.done(
        MATCHED, "-m", "matched-responses", "-T", "llm_version", "--td", "version?", **env
    )
    assert VERSION in done.stderr
    assert "Echo: (empty message)" in done.stdout


# Commands


def test_cmd_runs_what_the_model_says(run: Run) -> None:
    """The command is shown, confirmed and run."""
    env = {"LLM_MATCHED_RESPONSE": "printf 'a %s' pelican"}
    shown = run(f"llm-cmd {MATCHED}", "cmd", "-m", "matched-responses", "bird", stdin="\n", **env)
    assert shown.endswith("a pelican\n")


def test_jq_runs_the_program_of_the_model(run: Run) -> None:
    """The example is sent, the whole input goes to `jq`."""
    kept = run.program("jq")
    env = {"LLM_MATCHED_RESPONSE": ".[0].name"}
    plugins = f"llm-jq {MATCHED}"
    args = ("jq", "-m", "matched-responses", "-s", "names")
    assert run(plugins, *args, stdin='[{"name": "p"}]', **env) == "done by jq\n"
    assert json.loads(kept.read_text()) == [[".[0].name"], '[{"name": "p"}]']


class Points(llm.EmbeddingModel):
    """Two groups of texts that lie far apart."""

    model_id = "points"

    def embed_batch(self, items: object) -> Iterator[list[float]]:  # type: ignore[override]
        assert isinstance(items, list)
        return ([100.0 * ("bird" in item), float(len(item))] for item in items)


def test_cluster_finds_groups(run: Run, user_path: Path) -> None:
    """It reads the database of embeddings by itself, and has the groups summed up."""
    texts = [("1", "a bird"), ("2", "birds"), ("3", "a stone"), ("4", "stones")]
    db = sqlite_utils.Database(user_path / "embeddings.db")
    llm.Collection("things", db, model=Points()).embed_multi(texts, store=True)
    args = ("cluster", "things", "2", "--summary", "-m", "matched-responses")
    env = {"LLM_MATCHED_RESPONSE": "Title"}
    groups = json.loads(run(f"llm-cluster {MATCHED}", *args, **env))
    assert sorted(sorted(item["id"] for item in group["items"]) for group in groups) == [
        ["1", "2"],
        ["3", "4"],
    ]
    assert [group["summary"] for group in groups] == ["Title"] * 2


def test_python_is_that_of_the_environment(run: Run) -> None:
    """Its arguments are passed on, options too."""
    assert run("llm-python", "python", "-c", "import llm_python; print(6 * 7)") == "42\n"


def test_sort_asks_about_pairs(run: Run, tmp_path: Path) -> None:
    """Twice for each pair; what the model likes best comes first."""
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"Line A:\npelican": "Line A", "Line B:\npelican": "Line B"}))
    env = {"LLM_MATCHED_RESPONSES_FILE": str(answers)}
    args = ("sort", "-q", "a bird", "-m", "matched-responses", "--top-k", "1")
    assert run(f"llm-sort {MATCHED}", *args, stdin="stone\npelican\ntree\n", **env) == "pelican\n"


def test_commit_has_its_message_written(run: Run, user_path: Path) -> None:
    """The changes are sent, with options as keywords of `prompt`, and committed."""
    git = ("git", "-c", "init.defaultBranch=main")
    subprocess.run([*git, "init", "-q", str(run.folder)], check=True)
    (run.folder / "fly.py").write_text("wings = 2\n")
    subprocess.run([*git, "-C", str(run.folder), "add", "fly.py"], check=True)
    person = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
    }
    with OpenAIServer() as server:
        entry = {"model_id": "served", "model_name": "m", "api_base": server.url}
        (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
        server.add(text_stream("Add wings"))
        run("llm-commit", "commit", "-y", "--model", "served", **person)
        assert (server.last.body["max_tokens"], server.last.body["temperature"]) == (100, 0.3)
        assert "+wings = 2" in json.dumps(server.last.body)
    told = subprocess.run(
        [*git, "-C", str(run.folder), "log", "--format=%s"], capture_output=True, text=True
    )
    assert told.stdout == "Add wings\n"


def test_uv_tool_installs_in_its_way(run: Run, user_path: Path) -> None:
    """It takes the place of `llm install`; our version, and all plugins, are asked for again."""
    kept = run.program("uv")
    run("llm-uv-tool llm-echo", "install", "llm-new")
    (args, _) = json.loads(kept.read_text())
    assert args[:5] == ["tool", "install", "--force", f"llm=={VERSION}", "--with"]
    assert set(args[5::2]) == {"llm-uv-tool", "llm-echo", "llm-new"}
    run("llm-uv-tool llm-echo", "uninstall", "-y", "llm-new")
    (args, _) = json.loads(kept.read_text())
    assert set(args[5::2]) == {"llm-uv-tool", "llm-echo"}


def test_alias_options_are_those_of_the_alias(run: Run) -> None:
    """It replaces the look-up of models and three commands; without it its aliases do no harm."""
    plugins = "llm-alias-options llm-echo"
    run(plugins, "aliases", "set", "e", "echo", "-o", "example_bool", "true")
    assert json.loads(run(plugins, "-m", "e", "hi"))["options"] == {"example_bool": True}
    assert "example_bool: true" in run(plugins, "aliases", "list", "--options")
    assert "Echo: echo (aliases: e)" in run(plugins, "models")
    for args in (["models"], ["aliases", "list"], ["-m", "echo", "hi"]):
        assert run("llm-echo", *args)


def test_prompt_json_prints_the_logged_response(run: Run) -> None:
    """Where the command has the option already, as ours, the plugin stands back."""
    (row,) = json.loads(run("llm-prompt-json llm-eliza", "-m", "eliza", "hello", "--json"))
    assert (row["prompt"], row["model"]) == ("hello", "eliza")
    assert row["response"]
    assert row["conversation_id"]


# A server


@pytest.fixture
def served(run: Run) -> Iterator[str]:
    """The address where a plugin serves the models."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = run.environment.only("llm-chat-completions-server", "llm-echo")
    process = subprocess.Popen(
        [str(environment.python), "-m", "llm", "chat-completions-server", "-p", str(port)],
        env=environment.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def answer(address: str, body: object = None) -> str:
    """What a server that may still be starting answers."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(address, data, {"Content-Type": "application/json"})
    for _ in range(600):
        try:
            with urlopen(request, timeout=60) as response:
                return str(response.read().decode())
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise AssertionError("it does not start")


def test_chat_completions_server_serves_the_models(served: str, run: Run) -> None:
    """Asynchronous models answer there, whole and streamed; the answers are logged."""
    listed = json.loads(answer(f"{served}/models"))
    assert "echo" in {model["id"] for model in listed["data"]}
    asked = {
        "model": "echo",
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "two"},
        ],
    }
    whole = json.loads(answer(f"{served}/chat/completions", asked))
    said = json.loads(whole["choices"][0]["message"]["content"])
    assert (said["prompt"], said["system"]) == ("two", "S")
    assert whole["usage"]["total_tokens"] > 0
    streamed = answer(f"{served}/chat/completions", {**asked, "stream": True})
    assert streamed.endswith("data: [DONE]\n\n")
    assert "two" in streamed
    rows = json.loads(run("llm-echo", "logs", "--json"))
    assert [row["prompt"] for row in rows] == ["two", "two"]
