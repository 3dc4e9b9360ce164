"""`llm chat` with lines from a pipe."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from tests.helpers.models import registered

START = (
    "Chatting with {model}\n"
    "Type 'exit' or 'quit' to exit\n"
    "Type '!multi' to enter multiple lines, then '!end' to finish\n"
    "Type '!edit' to open your default editor and modify the prompt\n"
    "Type '!fragment <my_fragment> [<another_fragment> ...]' to insert one or more fragments\n"
    "Type '!attach <path or URL> [...]' to attach files to the next prompt\n"
)


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    with registered():
        yield


def chat(stdin: str, *args: str, **env: str) -> Result:
    """The result of a chat whose lines are `stdin`."""
    return CliRunner(env=env).invoke(cli, ["chat", *args], input=stdin)


def said(result: Result, model: str = "echo") -> list[str]:
    """What was answered to each prompt, after the start lines."""
    start = START.format(model=model)
    assert result.stdout.startswith(start)
    answers = result.stdout.removeprefix(start).split("> ")
    return [answer.rstrip("\n") for answer in answers[1:]]


def count_turns(user_path: Path) -> tuple[int, int]:
    """The numbers of turns and of threads in the log."""
    with sqlite3.connect(user_path / "logs.db") as db:
        counts = db.execute("select count(*), count(distinct thread_id) from turns")
        turns, threads = counts.fetchone()
    return turns, threads


def test_chat_carries_the_history(user_path: Path) -> None:
    """Each turn is sent with those before it; all of them are logged in one thread."""
    result = chat("one\ntwo\nexit\n", "-m", "echo")
    assert said(result) == ["user: one", "user: one | assistant: user: one | user: two", ""]
    assert (result.exit_code, result.stderr) == (0, "")
    assert count_turns(user_path) == (2, 1)


@pytest.mark.parametrize("ending", ["exit\n", "quit\n", ""])
def test_leaving_is_no_failure(ending: str) -> None:
    """`exit`, `quit` and the end of input all end the chat with exit code 0."""
    result = chat("hi\n" + ending, "-m", "echo")
    assert result.exit_code == 0
    assert result.stderr == ""


def test_system_prompt_goes_with_the_first_message() -> None:
    """`-s` is said once and stays in the history."""
    first, second, _ = said(chat("a\nb\n", "-m", "echo", "-s", "S"))
    assert first == "system: S | user: a"
    assert second == "system: S | user: a | assistant: system: S | user: a | user: b"


def test_system_prompt_survives_a_failed_first_turn() -> None:
    """A first message that got no answer does not use up the system prompt."""
    result = chat("now\nhi\n", "-m", "fails", "-s", "S")
    assert result.exit_code == 0
    assert chat("go\n", "-c", "-m", "echo").stdout.count("system: S") == 1


def test_multi_line_block_keeps_empty_lines() -> None:
    """Lines between `!multi` and `!end` are one prompt."""
    assert said(chat("!multi\na\n\nb\n!end\n", "-m", "echo"))[0] == "user: a\n\nb"


def test_editor_writes_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """`!edit` sends what the editor gives, stripped."""
    monkeypatch.setattr("click.edit", lambda: "\nfrom the editor\n")
    assert said(chat("!edit\n", "-m", "echo"))[0] == "user: from the editor"


def test_editor_left_without_saving_sends_nothing(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor closed without saving is told, and the chat goes on."""
    monkeypatch.setattr("click.edit", lambda: None)
    result = chat("!edit\n", "-m", "echo")
    assert result.exit_code == 0
    assert "without saving" in result.stderr
    assert not (user_path / "logs.db").exists()


def test_editor_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken `EDITOR` does not end the chat."""
    result = chat("!edit\nhi\n", "-m", "echo", EDITOR="/no/such/editor", VISUAL="")
    assert result.exit_code == 0
    assert "/no/such/editor" in result.stderr
    assert "user: hi" in result.stdout


def test_error_of_the_model_is_shown_and_the_chat_goes_on(user_path: Path) -> None:
    """What a model raises costs one turn; both are recorded, in one conversation."""
    result = chat("hi\nnow\n", "-m", "fails")
    assert result.exit_code == 0
    assert result.stderr == "Error: boom\nError: boom\n"
    assert "partial answer" in result.stdout
    assert count_turns(user_path) == (2, 1)


def test_error_of_the_model_is_raised_on_demand() -> None:
    """Under `LLM_RAISE_ERRORS` the exception itself comes out."""
    result = chat("hi\n", "-m", "fails", LLM_RAISE_ERRORS="1")
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["-m", "nope"], "Unknown model: nope"),
        (["-m", "single"], "ScriptedModel: single does not support conversations"),
        (["-m", "echo", "-o", "times", "x"], "times\n  Input should be a valid integer"),
        (["-m", "echo", "--cid", "nope"], "No conversation found with id=nope"),
    ],
)
def test_chat_that_cannot_start_fails(args: list[str], reason: str) -> None:
    """What is wrong with the command line is told before anything is asked."""
    result = chat("hi\n", *args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr


def test_chat_continues_a_conversation(user_path: Path) -> None:
    """`-c` and `--cid` take up a conversation with its model and history."""
    chat("one\n", "-m", "echo")
    assert said(chat("two\n", "-c"))[0].endswith("| user: two")
    with sqlite3.connect(user_path / "logs.db") as db:
        (thread,) = db.execute("select id from threads").fetchone()
    assert "user: two" in said(chat("three\n", "--cid", thread))[0]
    assert count_turns(user_path) == (3, 1)


def test_chat_without_history_starts_anew() -> None:
    """`-c` on an empty log starts a new conversation."""
    assert said(chat("hi\n", "-c", "-m", "echo"))[0] == "user: hi"


def test_chat_takes_model_and_options_as_a_prompt_does(user_path: Path) -> None:
    """The environment, stored options and `-o` mean the same as for a prompt."""
    (user_path / "model_options.json").write_text('{"echo": {"times": "2"}}')
    assert said(chat("a\n", LLM_MODEL="e"))[0] == "user: auser: a"
    assert said(chat("a\n", "-o", "shout", "1", LLM_MODEL="e"))[0] == "USER: AUSER: A"
    llm.set_default_model("reasoner")
    assert chat("a\n").stderr == "Let me think\nHm\nDone\n"
    assert chat("a\n", "-R").stderr == ""


def test_chat_can_show_answers_whole() -> None:
    """`--no-stream` asks for the answer at once."""
    assert said(chat("a\n", "-m", "echo", "--no-stream"))[0] == "whole user: a"


def test_chat_passes_the_key() -> None:
    """`--key` is given to a model that takes one."""
    assert said(chat("a\n", "-m", "keyed", "--key", "k"), "keyed")[0] == "key=k"


def test_chat_honours_logging_switched_off(user_path: Path) -> None:
    """With logging off a chat leaves nothing."""
    (user_path / "logs-off").touch()
    assert chat("a\nb\n", "-m", "echo").exit_code == 0
    assert not (user_path / "logs.db").exists()


def test_chat_logs_to_a_named_database(tmp_path: Path, user_path: Path) -> None:
    """`-d` names the log."""
    path = tmp_path / "other.db"
    chat("a\n", "-m", "echo", "-d", str(path))
    assert path.exists()
    assert not (user_path / "logs.db").exists()


def test_forgetful_model_is_told_about_once() -> None:
    """From the second turn on a model without memory costs one line, not one a turn."""
    result = chat("a\nb\nc\n", "-m", "forgetful")
    assert said(result, "forgetful") == ["Only a", "Only b", "Only c", ""]
    assert result.stderr.count("\n") == 1
    assert "forgetful" in result.stderr


def test_log_that_cannot_be_written_does_not_end_the_chat(tmp_path: Path) -> None:
    """A broken log is told after each answer; the answers are there."""
    path = tmp_path / "broken.db"
    path.write_text("this is no database, only a text that is long enough" * 20)
    result = chat("a\nb\n", "-m", "echo", "-d", str(path))
    assert result.exit_code == 0
    assert result.stdout.count("user: b") == 1
    assert result.stderr.count(str(path)) == 2


def test_interrupted_answer_ends_and_the_chat_goes_on(user_path: Path) -> None:
    """Ctrl-C or a lost connection ends an answer; what came of it is in the history."""
    result = chat("stop\ncut\n", "-m", "interrupted")
    assert result.exit_code == 0
    assert result.stdout.count("begun") == 2
    assert (
        result.stderr == "\nError: The connection to the model broke off: [Errno 32] Broken pipe\n"
    )
    answer = said(chat("on\n", "-c", "-m", "echo"))[0]
    assert answer.startswith("user: stop | assistant: begun | user: cut | assistant: begun | ")


def test_chat_at_a_terminal_edits_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines can be edited, and Ctrl-C empties a line before it leaves."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    from llm.prompting import line_editor, repl

    monkeypatch.setattr("llm.prompting.line_editor.stdin_is_terminal", lambda: True)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("frst\x1b[D\x1b[D\x1b[Di\rmistake\x03right\r\x03")
        prompts = list(repl.read_prompts(line_editor.make_reader(), lambda: None))
    assert prompts == ["first", "right"]
