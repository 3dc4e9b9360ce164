"""Which tool calls run: rules of options and of tools.yaml, questions, remembered answers."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm._version import VERSION
from llm.cli import cli
from llm.errors import ConfigError
from llm.prompting import approval
from llm.prompting.execute import run_prompt
from llm.prompting.material import gather_material
from llm.prompting.request import LogSettings, Request, ToolSettings
from tests.helpers.models import registered
from tests.helpers.terminal import LIMIT_SECONDS, RUN_LLM, at_terminal

from .helpers.terminal import Terminal, pipe

CODE = """
import llm

def write(path: str) -> str:
    return "wrote " + path

@llm.tool(side_effects=False)
def look(at: str) -> str:
    return "saw " + at

def much(size: int) -> str:
    return "x" * size
"""
WRITE = '[[["write", {"path": "docs/a"}]]]'
LOOK = '[[["look", {"at": "a"}]]]'
NO_ONE = "Cancelled: This call is not allowed: nobody can be asked about it"


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Tests may run at a terminal, which is not theirs to read from.
    monkeypatch.setattr(approval, "stdin_is_terminal", lambda: False)
    with registered():
        yield


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    monkeypatch.setattr(approval, "open_terminal", contextlib.nullcontext)


def run(prompt: str, *args: str) -> Result:
    """The result of a prompt with the functions above, off a terminal."""
    return CliRunner().invoke(cli, ["-m", "scripted", prompt, "--functions", CODE, *args], input="")


def rules(user_path: Path, text: str) -> None:
    """Write tools.yaml."""
    (user_path / "tools.yaml").write_text(text)


# Rules


def test_own_tools_run_without_rules() -> None:
    """A tool that the person named runs without a question."""
    assert run(WRITE).stdout == "calling wrote docs/a\n"


def test_denied_calls_are_refused_and_both_are_told() -> None:
    """`--deny` refuses by tool and argument; the model is told, the person too."""
    result = run(WRITE, "--deny", "write(path=docs/*)")
    reason = "the rule write(path=docs/*) denies it"
    assert (result.exit_code, result.stdout) == (
        0,
        f"calling Cancelled: This call is not allowed: {reason}\n",
    )
    assert result.stderr == f"Refused Tool call: write({{'path': 'docs/a'}}): {reason}\n"
    assert run(WRITE, "--deny", "write(path=src/*)").stdout == "calling wrote docs/a\n"


def test_rules_come_from_the_file(user_path: Path) -> None:
    """tools.yaml allows, denies and asks; options beat it."""
    rules(
        user_path,
        "deny: ['write(path=docs/*)']\nask: always\nallow:\n  - '*(side_effects=false)'\n",
    )
    assert "Cancelled" in run(WRITE).stdout
    assert run(WRITE, "--allow", "write").stdout == "calling wrote docs/a\n"
    assert run(LOOK).stdout == "calling saw a\n"
    assert run('[[["much", {"size": 1}]]]').stdout == f"calling {NO_ONE}\n"
    assert run('[[["much", {"size": 1}]]]', "--ask", "never").stdout == "calling x\n"


def test_rules_of_the_current_folder_hold(
    user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules below `folders` hold in that folder and below it only."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    rules(user_path, f"folders:\n  {tmp_path}/here:\n    deny: [write]\n")
    assert run(WRITE).stdout == "calling wrote docs/a\n"
    monkeypatch.chdir(tmp_path / "here" / "below")
    assert "Cancelled" in run(WRITE).stdout


def test_rules_of_a_folder_hold_behind_a_link(
    user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be written by another path that leads to it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    rules(user_path, f"folders:\n  {tmp_path}/link:\n    deny: [write]\n")
    monkeypatch.chdir(tmp_path / "real")
    assert "Cancelled" in run(WRITE).stdout


class Growing(llm.Toolbox):
    """Gets its tools when it is prepared"""

    def prepare(self) -> None:
        self.add_tool(lambda_tool)


lambda_tool = llm.Tool.function(lambda: "grown", name="grown")


def test_rule_of_a_toolbox_covers_tools_that_were_added(plugin: Callable[..., ModuleType]) -> None:
    """What a toolbox adds to itself belongs to it, whatever its name."""

    def register_tools(register: Callable[..., None]) -> None:
        register(Growing)

    plugin("growing-plugin", register_tools=llm.hookimpl(register_tools))
    asked = '[[["grown", {}]]]'
    assert prompt("-m", "scripted", "-T", "Growing", asked) == "calling grown\n"
    denied = prompt("-m", "scripted", "-T", "Growing", asked, "--deny", "Growing")
    assert denied.startswith("calling Cancelled")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("deny: [", "tools.yaml, line 2: not valid YAML"),
        ("denny: [write]", "tools.yaml: 'denny' in the file is not known"),
        ("deny: ['write(']", "tools.yaml: Not a rule: 'write('"),
    ],
)
def test_rules_that_are_not_understood_stop_everything(
    user_path: Path, text: str, problem: str
) -> None:
    """With a broken file nothing is sent; the message names the place."""
    rules(user_path, text + "\n")
    result = run(WRITE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert problem in result.stderr


def test_rule_of_an_option_that_is_not_understood_is_refused() -> None:
    """A bad rule on the command line is a usage error."""
    result = run(WRITE, "--deny", "write(")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Not a rule: 'write('" in result.stderr


# Tools that somebody else chose


def run_with(*untrusted: str, **request: Any) -> None:
    """Run a prompt whose template brought tools that somebody else chose."""
    asked = Request(**request)
    material = gather_material(asked)
    tools = replace(material.tools, untrusted_names=untrusted)
    run_prompt(asked, replace(material, tools=tools))


def untrusted(capsys: pytest.CaptureFixture[str], **settings: Any) -> Any:
    """What a prompt prints whose tool came from elsewhere."""
    run_with(
        "llm_version",
        prompt='[[["llm_version", {}]]]',
        model_id="scripted",
        tool_settings=ToolSettings(**settings),
        log=LogSettings(no_log=True),
    )
    return capsys.readouterr()


@pytest.fixture
def _empty_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(""))


@pytest.mark.usefixtures("_empty_stdin")
def test_untrusted_tools_are_refused_where_nobody_can_be_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Off a terminal a tool from elsewhere does not run, unless a rule says so."""
    refused = untrusted(capsys)
    assert refused.out == f"calling {NO_ONE}\n"
    assert "To allow it: --allow llm_version" in refused.err
    assert untrusted(capsys, allow=("llm_*",)).out == f"calling {VERSION}\n"
    assert untrusted(capsys, ask="never").out == f"calling {VERSION}\n"


@pytest.mark.usefixtures("_empty_stdin")
def test_untrusted_tool_that_the_person_named_too_is_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Naming a tool with -T makes it the person's own."""
    run_with(
        *("llm_version", "llm_time"),
        prompt='[[["llm_version", {}]]]',
        model_id="scripted",
        tools=("llm_version",),
        log=LogSettings(no_log=True),
    )
    assert capsys.readouterr().out == f"calling {VERSION}\n"


@pytest.mark.usefixtures("_empty_stdin")
@pytest.mark.parametrize("is_async", [False, True])
def test_untrusted_tools_stay_untrusted_when_the_conversation_goes_on(
    capsys: pytest.CaptureFixture[str], is_async: bool
) -> None:
    """`-c` does not turn a tool from elsewhere into one that the person named."""
    asked = '[[["llm_version", {}]]]'
    run_with("llm_version", prompt="hi", model_id="scripted", is_async=is_async)
    for request in (
        Request(prompt=asked, continue_latest=True, is_async=is_async),
        Request(prompt=asked, continue_latest=True),
    ):
        capsys.readouterr()
        run_prompt(request)
        assert NO_ONE in capsys.readouterr().out
    run_prompt(Request(prompt=asked, continue_latest=True, tools=("llm_version",)))
    assert capsys.readouterr().out.endswith(f"{VERSION}\n")


TEMPLATE = """
tools: [llm_version]
functions: |
  def shout(text: str) -> str:
      return text.upper()
"""
ASKED = '[[["llm_version", {}], ["shout", {"text": "a"}]]]'
RUN = f"calling {VERSION}; A\n"
REFUSED = f"calling {NO_ONE}; {NO_ONE}\n"


@pytest.fixture
def template_url() -> Iterator[str]:
    """The address of a template with a tool and a function."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEMPLATE.encode())

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/t.yaml"
        server.shutdown()
        thread.join()


def prompt(*args: str) -> str:
    """What the command prints off a terminal."""
    result = CliRunner().invoke(cli, list(args), input="")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tools_of_a_template_by_url_are_untrusted(template_url: str) -> None:
    """Tools and functions of a fetched template run off a terminal once it was trusted from then
    on; those of one's own file run."""
    arguments = ["-m", "scripted", "-t", template_url, ASKED]
    refused = CliRunner().invoke(cli, arguments, input="")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert prompt(*arguments, "--trust") == RUN
    assert prompt(*arguments) == RUN
    assert prompt(*arguments, "--deny", "shout").endswith("the rule shout denies it\n")
    # Whoever says when to ask is asked.
    assert prompt(*arguments, "--ask", "foreign") == REFUSED
    rules(llm.user_dir(), "ask: foreign")
    assert prompt(*arguments) == REFUSED
    assert prompt(*arguments, "--allow", "llm_version", "--allow", "shout") == RUN
    (llm.user_dir() / "tools.yaml").unlink()

    templates = llm.user_dir() / "templates"
    templates.mkdir()
    (templates / "own.yaml").write_text(TEMPLATE)
    assert prompt("-m", "scripted", "-t", "own", ASKED) == RUN


def test_tools_of_a_loader_are_untrusted_in_a_chat(plugin: Callable[..., ModuleType]) -> None:
    """What a plugin's template brings runs in a chat off a terminal once it was trusted."""
    from llm.templates import Template

    def register_template_loaders(register: Callable[..., None]) -> None:
        register("far", lambda name: Template(name=name, tools=["llm_version"]))

    plugin("far-plugin", register_template_loaders=llm.hookimpl(register_template_loaders))
    chat = ["chat", "-m", "scripted", "-t", "far:x"]
    lines = '[[["llm_version", {}]]]\nexit\n'
    before = CliRunner().invoke(cli, chat, input=lines)
    trusted = CliRunner().invoke(cli, [*chat, "--trust"], input=lines)
    later = CliRunner().invoke(cli, chat, input=lines)
    asked = CliRunner().invoke(cli, [*chat, "--ask", "foreign"], input=lines)
    assert before.exit_code == 1
    assert f"calling {VERSION}\n" in trusted.stdout
    assert f"calling {VERSION}\n" in later.stdout
    assert f"calling {NO_ONE}\n" in asked.stdout


@pytest.mark.parametrize("kept", ["nothing", "started"])
def test_untrusted_tools_stay_untrusted_after_a_kill(
    template_url: str, user_path: Path, kept: str
) -> None:
    """A first turn that is killed, before or after the model says something, leaves the mark."""
    prompt("-m", "scripted", "-t", template_url, "[]", "--trust", "-n")
    command = [*RUN_LLM, "-m", "slow", "-t", template_url, "hi"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert pipe(process.stdout).read(7) == b"started"
        process.kill()
    (journal,) = (user_path / "inflight").iterdir()
    thread = json.loads(journal.read_text().splitlines()[0])["thread"]
    if kept == "nothing":
        journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    asked = '[[["llm_version", {}]]]'
    assert prompt("--cid", thread, "-m", "scripted", asked) == f"calling {NO_ONE}\n"
    assert list((user_path / "inflight").iterdir()) == []
    assert prompt("-c", asked) == f"calling {NO_ONE}; {NO_ONE}\n"


def test_untrusted_tool_is_the_persons_own_once_it_is_named(template_url: str) -> None:
    """`-T` makes a function the person's own from then on; so does having named it before."""
    asked = '[[["llm_version", {}]]]'
    prompt("-m", "scripted", "-t", template_url, "[]", "--trust")
    prompt("-m", "scripted", "-t", template_url, "[]")
    assert prompt("-c", asked).endswith(f"{NO_ONE}\n")
    assert prompt("-c", asked, "-T", "llm_version").endswith(f"{VERSION}\n")
    assert prompt("-c", asked).endswith(f"{VERSION}\n")

    prompt("-m", "scripted", "-T", "llm_version", "[]")
    assert prompt("-c", "-t", template_url, asked).endswith(f"calling {VERSION}\n")
    assert prompt("-c", asked).endswith(f"{VERSION}\n")


class Safe(llm.Toolbox):
    """Opens a drawer"""

    def __init__(self, drawer: str) -> None:
        self.drawer = drawer

    def open(self) -> str:
        return f"opened {self.drawer}"


@pytest.fixture
def _safe(plugin: Callable[..., ModuleType]) -> None:
    def register_tools(register: Callable[..., None]) -> None:
        register(Safe)

    plugin("safe-plugin", register_tools=llm.hookimpl(register_tools))


@pytest.mark.usefixtures("_empty_stdin", "_safe")
def test_toolbox_with_other_arguments_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Naming a toolbox does not make the one that somebody else configured the person's own."""

    def said(*untrusted: str, **request: Any) -> str:
        run_with(*untrusted, model_id="scripted", **request)
        return capsys.readouterr().out

    asked = '[[["Safe_open", {}]]]'
    mine, theirs = 'Safe("mine")', 'Safe("theirs")'
    assert said(theirs, prompt=asked, tools=(mine,)) == "calling opened mine\n"
    assert said(prompt=asked, continue_latest=True).endswith("opened mine\n")

    said(theirs, prompt="[]")
    named = said(prompt=asked, continue_latest=True, tools=(mine,))
    assert named == "calling opened mine\n"
    assert said(prompt=asked, continue_latest=True).endswith(f"{NO_ONE}\n")


@pytest.mark.usefixtures("_empty_stdin")
def test_own_function_is_not_replaced_by_an_untrusted_tool(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where the person has a function of the same name, theirs is the one that runs."""
    run_with(
        "llm_version",
        prompt='[[["llm_version", {}]]]',
        model_id="scripted",
        functions=("def llm_version(): return 'mine'",),
        log=LogSettings(no_log=True),
    )
    assert capsys.readouterr().out == "calling mine\n"


def test_untrusted_tools_stay_untrusted_in_forks(template_url: str) -> None:
    """A fork offers the tools of the conversation that it left, and knows whose they are."""
    asked = '[[["llm_version", {}]]]'
    prompt("-m", "scripted", "-t", template_url, "[]", "--trust")
    (own,) = llm.Database().conversations()
    prompt("conversations", "fork", own.id)
    assert prompt("-c", asked) == f"calling {VERSION}\n"
    prompt("-m", "scripted", "-t", template_url, "[]")
    prompt("conversations", "fork", next(llm.Database().conversations()).id)
    assert prompt("-c", asked) == f"calling {NO_ONE}\n"
    assert prompt("-c", asked).endswith(f"{NO_ONE}\n")


def test_calls_of_an_imported_conversation_are_asked_about(tmp_path: Path, user_path: Path) -> None:
    """Whoever wrote the file chose the tools and the calls that have no results."""
    calls = CliRunner().invoke(
        cli, ["-m", "scripted", "-T", "llm_version", '[[["llm_version", {}]]]', "--cl", "1"]
    )
    assert calls.exit_code == 1
    exported = tmp_path / "conversation.json"
    exported.write_text(prompt("conversations", "export"))
    imported = ("-c", "--cid", prompt("conversations", "import", str(exported)).strip())
    assert prompt(*imported) == f"{NO_ONE}\n"
    assert prompt(*imported, '[[["llm_version", {}]]]').endswith(f"calling {NO_ONE}; {NO_ONE}\n")
    (original,) = {row.id for row in llm.Database().conversations()} - {imported[2]}
    assert prompt("--cid", original) == f"{VERSION}\n"


# Questions


def test_approve_ends_where_nobody_answers() -> None:
    """`--ta` without a terminal reads standard input, whose end is the end of the command."""
    result = run(WRITE, "--ta")
    assert (result.exit_code, result.stdout) == (1, "calling")
    assert "Approve tool call? [y/N]: " in result.stderr
    assert "Aborted!" in result.stderr


@pytest.mark.parametrize(
    ("keys", "result"),
    [
        ("y\n", "wrote docs/a"),
        ("YES\n", "wrote docs/a"),
        ("n\n", "Cancelled: User cancelled tool call"),
        ("\n", "Cancelled: User cancelled tool call"),
        ("what?\ny\n", "wrote docs/a"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_approve_asks_on_the_terminal(keys: str, result: str, flags: list[str]) -> None:
    """`--ta` shows the call and asks; only a yes runs it."""
    arguments = ["-m", "scripted", WRITE, "--functions", CODE, "--ta", "-n", *flags]
    with at_terminal(*arguments) as (process, terminal):
        shown = terminal.wait_for("Approve tool call? [y/N]: ")
        assert shown.startswith("calling\nTool call: write({'path': 'docs/a'})\n")
        terminal.type(keys)
        assert result in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_approve_asks_on_the_terminal_where_stdin_is_a_pipe() -> None:
    """The prompt comes from a pipe, the question goes to the terminal of the command."""
    command = [*RUN_LLM, "-m", "scripted", "--functions", CODE, "--ta", "-n"]
    script = 'printf "%s" "$PROMPT" | "$@" 2>/dev/null | cat'
    with at_terminal_shell(script, command, PROMPT=WRITE) as (process, terminal):
        terminal.wait_for("Approve tool call? [y/N]: ")
        terminal.type("y\n")
        assert "wrote docs/a" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def at_terminal_shell(
    script: str, command: list[str], **env: Any
) -> AbstractContextManager[tuple[subprocess.Popen[bytes], Terminal]]:
    """A shell script at a terminal of its own."""
    return at_terminal(*command, launcher=["sh", "-c", script, "sh"], **env)


def test_control_sequences_of_arguments_are_visible_in_questions() -> None:
    """What is asked about cannot be hidden by control sequences."""
    prompt = '[[["write", {"path": "\\u009b2Kx"}]]]'
    with at_terminal("-m", "scripted", prompt, "--functions", CODE, "--ta", "-n") as (_, terminal):
        shown = terminal.wait_for("Approve tool call? [y/N]: ")
        assert "\x9b" not in shown
        terminal.type("n\n")
        terminal.rest()


@pytest.mark.parametrize(("prompt", "asks"), [("[]", True), ("", False)])
def test_interrupted_calls_are_asked_about_where_something_else_is_said(
    prompt: str, asks: bool
) -> None:
    """A call that was interrupted runs with `-c` alone; with a new prompt a person is asked."""
    assert run(WRITE, "--cl", "1").exit_code == 1
    with at_terminal("-c", prompt, "--functions", CODE) as (process, terminal):
        if asks:
            assert "was interrupted" in terminal.wait_for("Approve tool call? [y/N]: ")
            terminal.type("n\n")
        shown = terminal.rest()
        assert ("User cancelled" in shown, "wrote docs/a" in shown) == (asks, not asks)
        assert process.wait(timeout=LIMIT_SECONDS) == 0


@pytest.mark.parametrize(("key", "in_folder"), [("a", False), ("f", True)])
def test_answers_are_remembered(user_path: Path, key: str, in_folder: bool) -> None:
    """An answer for ever, or for this folder, goes to tools.yaml and holds from then on."""
    rules(user_path, "# mine\nask: always\n")
    twice = '[[["write", {"path": "a"}]], [["write", {"path": "b"}]]]'
    arguments = ["-m", "scripted", twice, "--functions", CODE, "-n"]
    with at_terminal(*arguments) as (process, terminal):
        terminal.wait_for("Approve tool call? [y/N]: ")
        terminal.type(f"{key}\n")
        assert "wrote a; wrote b" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    stored = (user_path / "tools.yaml").read_text()
    place = (
        f"folders:\n  '{os.getcwd()}':\n    allow:\n    - 'write'"
        if in_folder
        else "allow:\n- 'write'"
    )
    assert stored == f"# mine\nask: always\n{place}\n"
    assert run(WRITE).stdout == "calling wrote docs/a\n"


def test_answer_that_cannot_be_written_holds_for_now(
    user_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A read-only file is told; the calls of this run go on."""

    def fail(*args: object) -> None:
        raise ConfigError("tools.yaml", "cannot be written")

    monkeypatch.setattr(approval, "remember", fail)
    gate = approval.Gate(ToolSettings(ask="always"), None)
    gate._remember("write", None)
    gate.check(llm.Tool("write"), llm.ToolCall("write", {}))
    assert "The answer is not remembered" in capsys.readouterr().err


# Writing the file


def test_rules_of_a_broken_file_are_not_touched(user_path: Path) -> None:
    """Nothing is added to a file that is not understood."""
    rules(user_path, "allow: [")
    with pytest.raises(ConfigError):
        approval.remember("x")
    assert (user_path / "tools.yaml").read_text() == "allow: ["


# Limits


def test_results_are_cut_and_the_cut_is_marked() -> None:
    """100,000 characters of a result are sent, or as many as the option says; 0 sends all."""
    prompt = '[[["much", {"size": 100005}]]]'
    assert run(prompt).stdout.endswith("x\n[cut here: 5 more characters]\n")
    assert run(prompt, "--tool-output-limit", "3").stdout == (
        "calling xxx\n[cut here: 100,002 more characters]\n"
    )
    assert len(run(prompt, "--tool-output-limit", "0").stdout) == len("calling \n") + 100005


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_slow_calls_are_ended(flags: list[str]) -> None:
    """`--tool-timeout` ends a call that takes longer; the model is told."""
    code = "import threading\ndef wait(): threading.Event().wait()"
    done = subprocess.run(
        [
            *(*RUN_LLM, "-m", "scripted", '[[["wait", {}]]]', "--functions", code, "-n"),
            *("--tool-timeout", "0.05", *flags),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_SECONDS,
    )
    assert done.stdout == "calling Error: the call took longer than 0.05 s\n"
    assert re.search("Tool wait failed: the call took longer than 0.05 s", done.stderr)


def test_tool_declares_that_it_only_looks() -> None:
    """`llm.tool(side_effects=False)` is seen on functions and methods, and changes nothing else."""

    @llm.tool(side_effects=False)
    def look() -> str:
        """Look"""
        return "seen"

    class Box(llm.Toolbox):
        @llm.tool(side_effects=False)
        def peek(self) -> str:
            return "peeked"

        def poke(self) -> str:
            return "poked"

    assert (look(), llm.Tool.function(look).side_effects) == ("seen", False)
    declared = {tool.name: tool.side_effects for tool in Box().tools()}
    assert declared == {"Box_peek": False, "Box_poke": True}
