"""`llm prompt` as a process: pipes, terminals, encodings and signals (Unix only)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.openai_server import OpenAIServer, error_reply, text_stream, tool_call_stream
from tests.helpers.terminal import LIMIT_SECONDS, RUN_LLM, at_terminal

from .helpers.terminal import pipe


def run(*args: str, stdin: bytes = b"", **env: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, on pipes."""
    return subprocess.run(
        [*RUN_LLM, *args],
        input=stdin,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        env={**os.environ, **env},
    )


def start(*args: str) -> subprocess.Popen[bytes]:
    """The command running on pipes."""
    return subprocess.Popen(
        [*RUN_LLM, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def logged_responses(user_path: Path) -> list[str]:
    """The texts of the answers in the log, oldest first."""
    with sqlite3.connect(user_path / "logs.db") as db:
        rows = db.execute("select response from turn_search order by turn_id")
        return [text for (text,) in rows]


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_text_is_shown_as_it_comes_and_kept_on_interrupt(user_path: Path, flags: list[str]) -> None:
    """A piece of text is out at once; Ctrl-C ends the command, what was shown is in the log."""
    with start("-m", "slow", "hi", *flags) as process:
        assert pipe(process.stdout).read(7) == b"started"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, out, err.strip()) == (130, b"", b"Aborted!")
    assert logged_responses(user_path) == ["started"]


def test_closed_pipe_ends_quietly(user_path: Path) -> None:
    """`| head -1` stops the model without a word; what was read is in the log."""
    with start("-m", "endless", "hi") as process:
        assert pipe(process.stdout).readline() == b"line after line\n"
        pipe(process.stdout).close()
        assert pipe(process.stderr).read() == b""
        assert process.wait(timeout=LIMIT_SECONDS) == 141
    assert logged_responses(user_path)[0].startswith("line after line\n")


def test_closed_pipe_ends_whole_answer_quietly(user_path: Path) -> None:
    """A reader that leaves before a whole answer is printed costs no traceback; it is logged."""
    with start("-m", "patient", "hi", "--no-stream") as process:
        pipe(process.stdout).close()
        assert pipe(process.stderr).read() == b""
        assert process.wait(timeout=LIMIT_SECONDS) == 141
    assert logged_responses(user_path) == ["loaded before False, while waiting True"]


def test_characters_the_output_lacks_are_replaced() -> None:
    """An ASCII locale and half surrogate pairs do not stop an answer."""
    ascii_only: dict[str, Any] = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = run("-m", "odd", "hi", "-n", **ascii_only)
    assert (result.returncode, result.stdout) == (0, b"snow ? half ? end\n")
    result = run("-m", "odd", "hi", "-n", "--no-stream", PYTHONIOENCODING="utf-8")
    assert (result.returncode, result.stdout) == (0, "snow \u2603 half ? end\n".encode())


def test_undecodable_input_is_sent_as_text(user_path: Path) -> None:
    """Bytes that are no text, in a pipe or an argument, become replacement characters."""
    result = run("-m", "echo", os.fsdecode(b"b\xff"), stdin=b"a\xff")
    assert result.stdout.decode() == "user: a\ufffd b\ufffd\n"
    assert logged_responses(user_path) == ["user: a\ufffd b\ufffd"]


def test_closed_stdin_is_an_empty_one() -> None:
    """A command started without standard input works."""
    result = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *RUN_LLM, "-m", "echo", "hi", "-n"],
        capture_output=True,
        timeout=LIMIT_SECONDS,
    )
    assert (result.returncode, result.stdout) == (0, b"user: hi\n")


def test_logging_is_imported_while_the_model_waits() -> None:
    """What logging needs is imported after the request is out, not before."""
    result = run("-m", "patient", "hi")
    assert result.stdout == b"loaded before False, while waiting True\n"


def test_bytes_in_a_pipe_are_the_models_own() -> None:
    """Control sequences pass through a pipe unchanged."""
    assert run("-m", "rude", "hi", "-n").stdout == b"a\x1b]0;title\x07b\r\nc\td\n"


@pytest.mark.parametrize("flags", [[], ["--no-stream"]])
def test_control_sequences_are_visible_on_a_terminal(flags: list[str]) -> None:
    """On a terminal control sequences are shown as signs, not executed."""
    with at_terminal("-m", "rude", "hi", "-n", *flags, streams=("stdout",)) as (_, terminal):
        shown = terminal.rest()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.startswith("a\u241b]0;title\u2407b\nc")


def test_reasoning_is_dimmed_on_a_terminal_only() -> None:
    """Reasoning has colour codes where a person reads it, and none in a pipe."""
    with at_terminal("-m", "reasoner", "hi", "-n", streams=("stderr",)) as (process, terminal):
        shown = terminal.rest()
        assert pipe(process.stdout).read() == b"AB\n"
    assert shown.startswith("\x1b[2mLet me \x1b[0m\x1b[2mthink\x1b[0m\n")
    assert run("-m", "reasoner", "hi", "-n").stderr == b"Let me think\nHm\nDone\n"


def test_prompt_is_read_from_a_terminal_where_none_is_given() -> None:
    """`llm` at a terminal waits for a text that Ctrl-D ends."""
    with at_terminal("-m", "echo", "-n") as (process, terminal):
        terminal.type("typed text\n\x04")
        assert "user: typed text" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_terminal_is_not_read_where_a_prompt_is_given() -> None:
    """With a prompt nothing is awaited from the terminal."""
    with at_terminal("-m", "echo", "given", "-n") as (process, terminal):
        assert "user: given" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_error_after_text_has_its_own_line_on_a_terminal() -> None:
    """The line that an answer broke off in is ended before the error."""
    with at_terminal("-m", "fails", "hi", "-n") as (process, terminal):
        assert terminal.rest() == "partial answer\nError: boom\n"
        assert process.wait(timeout=LIMIT_SECONDS) == 3


def test_json_record_is_pure_json_on_stdout() -> None:
    """`--json` leaves stdout to the record alone, whatever the model shows."""
    result = run("-m", "reasoner", "hi", "--json", "-n")
    assert json.loads(result.stdout)[0]["reasoning"] == "Let me thinkHmDone"
    assert result.stderr == b""


def test_results_are_sent_without_waiting_for_a_prompt(user_path: Path) -> None:
    """`-c` alone sends the results of tools that were not answered: nobody has to type."""
    with OpenAIServer() as server:
        entry = {"model_id": "served", "api_base": server.url, "supports_tools": True}
        (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
        server.add(tool_call_stream(("llm_version", {})), error_reply(400, "too much"))
        assert run("-m", "served", "-T", "llm_version", "go").returncode == 1
        server.add(text_stream("at last"))
        with at_terminal("-c") as (process, terminal):
            assert terminal.rest() == "at last\n"
            assert process.wait(timeout=LIMIT_SECONDS) == 0
