"""`llm prompt` and `llm chat` with tools: which there are, what is run, shown and kept."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm._version import VERSION
from llm.cli import cli
from tests.helpers.models import registered
from tests.helpers.openai_server import OpenAIServer, error_reply, text_stream, tool_call_stream
from tests.helpers.terminal import RUN_LLM

CODE = """
import llm
from pathlib import Path
from typing import Optional

count = 0

def shout(text: str, mark: Optional[str] = None) -> str:
    "Say it loud"
    return text.upper() + (mark or "!")

def table(rows: int) -> dict:
    return {"rows": rows}

async def later() -> str:
    return "later"

def boom():
    raise ValueError("bad thing")

def picture():
    return llm.ToolOutput("seen", [llm.Attachment(type="image/png", content=b"x")])

twice = lambda text: text * 2

def _private(): ...

class Helper: ...
"""


class Memory(llm.Toolbox):
    """Keeps things"""

    def __init__(self, start: str, size: int = 3) -> None:
        self.start = start
        self.size = size

    def recall(self) -> str:
        """What is kept"""
        return f"{self.start} {self.size}"


class Search(llm.ServerSideTool):
    """Searches the web"""

    name = "search"


@pytest.fixture(autouse=True)
def _models(plugin: Callable[..., ModuleType]) -> Iterator[None]:
    def register_tools(register: Callable[..., None]) -> None:
        register(Memory)
        register(Memory, name="Store")

    plugin("memory-plugin", register_tools=llm.hookimpl(register_tools))
    with registered():
        yield


def run(*args: str, stdin: str = "", **env: str) -> Result:
    """The result of a command line with the scripted model."""
    return CliRunner(env=env).invoke(cli, ["-m", "scripted", *args], input=stdin)


def script(*turns: object) -> str:
    """The prompt that makes the scripted model take these turns; a turn of calls is a list."""
    return json.dumps(turns)


def call(name: str, **arguments: object) -> list[object]:
    """One tool call of a script."""
    return [name, arguments]


def rows(user_path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the log database."""
    with sqlite3.connect(user_path / "logs.db") as db:
        return db.execute(sql).fetchall()


# Which tools


def test_functions_given_as_code_are_tools() -> None:
    """Every function of the code can be called, an asynchronous one and a named lambda too."""
    calls = [
        call("shout", text="hi"),
        call("table", rows=2),
        call("later"),
        call("twice", text="a"),
    ]
    result = run(script(calls), "--functions", CODE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == 'calling HI!; {"rows": 2}; later; aa\n'


def test_functions_are_given_as_file(tmp_path: Path) -> None:
    """A line that ends in .py is the path of a file."""
    path = tmp_path / "tools.py"
    path.write_text(CODE)
    assert run(script([call("twice", text="b")]), "--functions", str(path)).stdout == "calling bb\n"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("def f(:", "Error in --functions definition: invalid syntax (<functions>, line 1)"),
        ("raise ValueError('x')", "The code of --functions failed: ValueError: x"),
        ("import sys\nsys.exit(3)", "The code of --functions failed: SystemExit: 3"),
        ("missing.py", "File not found: missing.py"),
        ("def f(x: 5): ...", "f of --functions cannot be a tool"),
    ],
)
def test_functions_that_cannot_be_used_are_refused(code: str, problem: str) -> None:
    """Bad code is an error before anything is sent, without a traceback."""
    result = run("hi", "--functions", code)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {problem}")
    assert len(result.stderr.splitlines()) == 1


def test_functions_are_ordinary_python() -> None:
    """The code sees types where it writes types, as in a file of its own."""
    code = "def show(n: int) -> str: return str(show.__annotations__['n'])"
    assert run(script([call("show", n=1)]), "--functions", code).stdout == "calling <class 'int'>\n"


def test_imported_names_do_not_keep_code_from_being_used() -> None:
    """What the code imports is offered where it can be, as in 0.36, and left out elsewhere."""
    code = "from typing import *\ndef half(n: int) -> float: return n / 2"
    result = run(script([call("half", n=3), call("cast")]), "--functions", code)
    assert result.exit_code == 0
    assert result.stdout.startswith("calling 1.5; Error: cast() missing")


def test_negative_chain_limit_is_a_usage_error() -> None:
    """0 means no limit; less than that means nothing."""
    assert run("hi", "--cl", "-1").exit_code == 2


def test_functions_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A folder instead of a file is named."""
    folder = tmp_path / "folder.py"
    folder.mkdir()
    result = run("hi", "--functions", str(folder))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: File {folder} cannot be read")


def test_named_tools_and_toolboxes_are_offered() -> None:
    """A registered function, and toolboxes in every way to write their arguments."""
    for spec in (
        'Memory("a")',
        'Memory({"start": "a"})',
        'Memory(start="a", size=3)',
        'Store("a")',
    ):
        result = run(
            script([call("Memory_recall"), call("llm_version")]), "-T", spec, "-T", "llm_version"
        )
        assert result.stdout == f"calling a 3; {VERSION}\n", spec


def test_tools_are_offered_functions_first(user_path: Path) -> None:
    """Functions come before the named tools, which keep their order."""
    run("hi", "-T", "llm_time", "-T", "llm_version", "--functions", "def f(): ...")
    sql = "select name from turn_tools join tools on tools.id = tool_id order by turn_tools.rowid"
    assert rows(user_path, sql) == [("f",), ("llm_time",), ("llm_version",)]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("llm_tim", "Tool(s) llm_tim not found. Available tools: "),
        ("Nothing(1)", "Tool(s) Nothing(1) not found. Available tools: "),
        ("memory", "Tool(s) memory not found. Available tools: "),
        ("Memory", "Tool Memory cannot be used: "),
        ("Memory(1", "Tool Memory(1 cannot be used: Invalid spec string: 'Memory(1'"),
        ("Memory(x y)", "Tool Memory(x y) cannot be used: Positional argument must be valid JSON"),
    ],
)
def test_bad_tool_is_refused(spec: str, problem: str) -> None:
    """An unknown tool, a bad specification and missing arguments are clear errors."""
    result = run("hi", "-T", spec)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {problem}")
    assert "Traceback" not in result.stderr


def test_bad_tool_comes_with_advice() -> None:
    """What to write instead is part of the message."""
    assert "did you mean llm_time" in run("hi", "-T", "llm_tim").stderr
    assert "It is written Memory(start: str, size: int = 3)" in run("hi", "-T", "Memory").stderr


def test_tools_need_a_model_that_takes_them() -> None:
    """A model without tools refuses them."""
    result = CliRunner().invoke(cli, ["-m", "echo", "hi", "-T", "llm_time"])
    assert result.exit_code == 1
    assert "does not support tools" in result.stderr


# The loop


@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"], ["--async", "--no-stream"]])
def test_every_round_is_logged_as_a_turn(user_path: Path, flags: list[str]) -> None:
    """Rounds are turns of one thread, each with what it was sent and what it said."""
    result = run(
        script([call("shout", text="a")], [call("shout", text="b")]), "--functions", CODE, *flags
    )
    assert result.stdout == "calling calling A!; B!\n"
    assert len(rows(user_path, "select distinct thread_id from turns")) == 1
    texts = [
        text for (text,) in rows(user_path, "select response from turn_search order by turn_id")
    ]
    assert texts == ["calling", "calling", "A!; B!"]


def test_chain_limit_counts_answers(user_path: Path) -> None:
    """`--cl 1` allows one answer; where one more is needed the command fails, and all is kept."""
    assert run("[]", "--functions", CODE, "--cl", "1").exit_code == 0
    result = run(script([call("shout", text="a")]), "--functions", CODE, "--cl", "1")
    assert (result.exit_code, result.stdout) == (1, "calling")
    assert result.stderr == "Error: Chain limit of 1 exceeded.\n"
    assert len(rows(user_path, "select id from turns")) == 2


def test_chain_limit_is_five_and_zero_means_none() -> None:
    """Five answers without the option, any number with 0."""
    many = script(*[[call("later")]] * 5)
    assert run(many, "--functions", CODE).exit_code == 1
    assert run(many, "--functions", CODE, "--cl", "0").exit_code == 0


def test_usage_is_told_for_each_answer() -> None:
    """`-u` gives one line for each call of the model."""
    result = run(script([call("later")]), "--functions", CODE, "-u")
    assert result.stderr.count("Token usage:") == 2


def test_json_has_a_record_for_each_answer() -> None:
    """`--json` prints the records of all rounds, oldest first."""
    result = run(script([call("shout", text="a")]), "--functions", CODE, "--json", "-n")
    first, second = json.loads(result.stdout)
    assert first["tool_calls"][0]["arguments"] == {"text": "a"}
    assert second["tool_results"][0]["output"] == "A!"


# What is shown


def test_debug_shows_calls_and_results() -> None:
    """`--td` shows call, result, attachments and exception on stderr."""
    calls = [
        call("table", rows=2),
        call("shout", text="a\nb"),
        call("picture"),
        call("boom"),
        call("none"),
    ]
    result = run(script(calls), "--functions", CODE, "--td")
    assert (
        result.stdout
        == 'calling {"rows": 2}; A\nB!; seen; Error: bad thing; Error: tool "none" does not exist\n'
    )
    assert result.stderr == (
        "\nTool call: table({'rows': 2})\n  {\n    \"rows\": 2\n  }\n\n"
        "\nTool call: shout({'text': 'a\\nb'})\n  A\n  B!\n\n"
        "\nTool call: picture({})\n  seen\n  Attachments:\n    image/png: 1 bytes\n\n"
        "\nTool call: boom({})\n  Error: bad thing\n  Exception: bad thing\n\n"
        "The model asked for a tool that does not exist: none\n"
    )


def test_debug_is_switched_on_by_environment() -> None:
    """LLM_TOOLS_DEBUG is the default of `--td`."""
    result = run(script([call("later")]), "--functions", CODE, LLM_TOOLS_DEBUG="1")
    assert "Tool call: later({})" in result.stderr


def test_failures_are_told_without_debug() -> None:
    """A tool's error and a call that cannot be run are one line each, and the model goes on."""
    calls = [call("boom"), call("shout"), call("shout", _raw="{bad"), call("none")]
    result = run(script(calls), "--functions", CODE)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Tool boom failed: bad thing",
        "Tool shout failed: shout() missing 1 required positional argument: 'text'",
        "Tool shout failed: the arguments are not a JSON object: {bad",
        "The model asked for a tool that does not exist: none",
    ]
    assert "Error: the arguments are not a JSON object: {bad" in result.stdout


# Further prompts


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_then_goes_on_with_the_answer(user_path: Path, flags: list[str]) -> None:
    """`--then` prompts follow in the same thread, `$input` standing for the answer before."""
    result = CliRunner().invoke(
        cli, ["-m", "echo", "one", "--then", "check: $input", "--then", "end", *flags]
    )
    first = "async user: one" if flags else "user: one"
    second = f"check: {first}"
    assert result.stdout.splitlines()[0] == first
    assert result.stdout.splitlines()[1].endswith(f"| user: {second}")
    assert result.stdout.splitlines()[2].endswith("| user: end")
    assert len(rows(user_path, "select distinct thread_id from turns")) == 1
    assert len(rows(user_path, "select id from turns")) == 3
    assert "user: one | assistant:" in CliRunner().invoke(cli, ["-c", "more"]).stdout


def test_then_works_with_tools() -> None:
    """Tools are offered to further prompts, each with a limit of its own."""
    again = script([call("shout", text="b")])
    result = run(
        script([call("shout", text="a")]), "--then", again, "--functions", CODE, "--cl", "2"
    )
    assert result.stdout == "calling A!\ncalling A!; B!\n"


# Going on


def test_continuing_restores_tools(user_path: Path) -> None:
    """`-c` offers the named tools again, toolboxes with their arguments; code is not kept."""
    run(
        "hi",
        "-T",
        "llm_version",
        "-T",
        'Memory("a")',
        "--functions",
        "def f(): ...",
    )
    result = run("-c", script([call("Memory_recall"), call("f")]))
    assert result.stdout == 'calling a 3; Error: tool "f" does not exist\n'
    sql = (
        "select name from turn_tools join tools on tools.id = tool_id"
        " where turn_id = (select max(id) from turns) order by name"
    )
    assert rows(user_path, sql) == [("Memory_recall",), ("llm_version",)]


def test_continuing_with_other_tools_replaces_them() -> None:
    """Any -T replaces the tools that the conversation had."""
    run("hi", "-T", 'Memory("a")')
    result = run("-c", script([call("Memory_recall")]), "-T", "llm_time")
    assert "does not exist: Memory_recall" in result.stderr


def test_continuing_without_a_tool_says_so(plugin: Callable[..., ModuleType]) -> None:
    """A tool that is gone, or a model that takes none, is told; the conversation goes on."""
    run("hi", "-T", 'Memory("a")', "-T", "llm_time")
    result = CliRunner().invoke(cli, ["-c", "more", "-m", "echo"])
    assert (result.exit_code, result.stdout.count("| user: more")) == (0, 1)
    assert "goes on without the tool llm_time" in result.stderr


def test_interrupted_calls_are_run_when_the_conversation_goes_on(user_path: Path) -> None:
    """Calls without results are run first, then the new prompt is sent with their results."""
    run(
        script([call("shout", text="a"), call("shout", text="b")]), "--functions", CODE, "--cl", "1"
    )
    result = run("-c", "[]", "--functions", CODE)
    assert result.stdout == "A!; B!\n"
    roles = rows(user_path, "select role from messages order by rowid")
    assert [role for (role,) in roles] == ["user", "assistant", "tool", "user", "assistant"]
    result = run("-c", "[]", "--functions", CODE)
    assert result.stdout == "A!; B!\n"


def test_interrupted_calls_of_lost_tools_are_answered() -> None:
    """Where the tools are gone the model is told so."""
    run(script([call("shout", text="a")]), "--functions", CODE, "--cl", "1")
    assert run("-c").stdout == 'Error: tool "shout" does not exist\n'


# Chat


def test_chat_has_tools() -> None:
    """Each turn of a chat may call tools, and `--then` follows each of them."""
    lines = f"{script([call('shout', text='a')])}\nexit\n"
    result = CliRunner().invoke(
        cli, ["chat", "-m", "scripted", "--functions", CODE, "--then", "[]"], input=lines
    )
    assert result.exit_code == 0
    assert "calling A!\nA!\n" in result.stdout


def test_chat_drops_calls_that_were_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a call: what had finished is told, the rest is not run any more."""
    runs = []

    def first() -> str:
        runs.append("first")
        return "one"

    def stopped() -> str:
        runs.append("stopped")
        raise KeyboardInterrupt

    tools = [llm.Tool.function(first), llm.Tool.function(stopped)]
    monkeypatch.setattr("llm.material.tools.tools_from_code", lambda code: tools)
    monkeypatch.setattr("llm.prompting.toolset.tools_from_code", lambda code: tools)
    lines = f"{script([call('first'), call('stopped'), call('later')])}\n[]\n[]\n"
    result = CliRunner().invoke(cli, ["chat", "-m", "scripted", "--functions", "x"], input=lines)
    assert runs == ["first", "stopped"]
    dropped = "Cancelled: User stopped the tool call"
    assert result.stdout.count(f"one; {dropped}; {dropped}\n") == 2


def test_killed_loop_goes_on_without_running_a_call_again(user_path: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a call: `-c` runs that one and the next, not those before."""
    runs, code = tmp_path / "runs", tmp_path / "tools.py"
    source = f"""
import sys, threading
def step(at: str) -> str:
    with open({str(runs)!r}, "a") as file:
        file.write(at + " ")
    if at == "b" and WAITS:
        print("waiting", flush=True)
        threading.Event().wait()
    return at
"""
    code.write_text(source + "WAITS = True\n")
    prompt = script([call("step", at="0")], [call("step", at=at) for at in "abc"])
    command = [*RUN_LLM, "-m", "scripted", prompt, "--functions", str(code)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"calling callingwaiting\n"
        process.kill()
    code.write_text(source + "WAITS = False\n")
    result = run("-c", "--functions", str(code))
    assert result.stdout == "0; a; b; c\n"
    assert runs.read_text() == "0 a b b c "


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_results_outlast_a_request_that_failed(
    user_path: Path, tmp_path: Path, flags: list[str]
) -> None:
    """Where the results of tools were sent and nothing came back, `-c` sends them again and runs
    no call again, with or without something more to say."""
    runs = tmp_path / "runs"
    code = f"""
def once() -> str:
    with open({str(runs)!r}, "a") as file:
        file.write("x")
    return "result"
"""
    with OpenAIServer() as server:
        entry = {"model_id": "served", "api_base": server.url, "supports_tools": True}
        (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
        # A refusal that does not say what is wrong is met once more, in another form.
        server.add(tool_call_stream(("once", {})), *[error_reply(400, "too much")] * 2)
        common = ["--functions", code, *flags]
        failed = CliRunner().invoke(cli, ["-m", "served", "go", *common])
        server.add(*[error_reply(400, "still too much")] * 2, text_stream("at last"))
        again = CliRunner().invoke(cli, ["-c", "and now?", *common], input="")
        result = CliRunner().invoke(cli, ["-c", *common], input="")
    assert (failed.exit_code, again.exit_code) == (1, 1)
    assert (result.exit_code, result.output) == (0, "at last\n")
    sent = [(message["role"], message.get("content")) for message in server.last.body["messages"]]
    assert sent == [("user", "go"), ("assistant", None), ("tool", "result")]
    assert runs.read_text() == "x"
