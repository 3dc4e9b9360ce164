"""`llm chat` at a terminal (Unix only)."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.terminal import LIMIT_SECONDS, RUN_LLM, at_terminal

from .helpers.terminal import pipe

# The line editor announces itself to the terminal (bracketed paste) each time it reads a line.
READY = "\x1b[?2004h"


def test_chat_answers_and_leaves_with_ctrl_d() -> None:
    """Lines are edited by a line editor; Ctrl-D on an empty line leaves with exit code 0."""
    with at_terminal("chat", "-m", "echo") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("helo\x1b[Dl\r")
        terminal.wait_for("user: hello")
        terminal.wait_for(READY)
        terminal.type("\x04")
        assert "Aborted" not in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_arrow_key_brings_back_the_last_line() -> None:
    """The lines of this chat can be called up again."""
    with at_terminal("chat", "-m", "forgetful") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("first\r")
        terminal.wait_for("Only first")
        terminal.wait_for(READY)
        terminal.type("\x1b[A again\r")
        terminal.wait_for("Only first again")
        terminal.wait_for(READY)
        terminal.type("quit\r")
        terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_ctrl_c_empties_the_line_and_then_leaves() -> None:
    """Ctrl-C takes back what was typed; on an empty line it leaves with exit code 0."""
    with at_terminal("chat", "-m", "forgetful") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("mistake")
        terminal.wait_for("mistake")
        terminal.type("\x03right\r")
        terminal.wait_for("Only right")
        terminal.wait_for(READY)
        terminal.type("\x03")
        assert "Aborted" not in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_ctrl_c_stops_the_answer_only(user_path: Path) -> None:
    """Ctrl-C during an answer ends that answer; it is kept and the chat goes on."""
    with at_terminal("chat", "-m", "slow") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("long\r")
        terminal.wait_for("started")
        terminal.type("\x03")
        terminal.wait_for(READY)
        terminal.type("quick\r")
        terminal.wait_for("user: long | assistant: started | user: quick")
        terminal.wait_for(READY)
        terminal.type("exit\r")
        terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    with sqlite3.connect(user_path / "logs.db") as db:
        assert db.execute("select count(*) from turns").fetchone() == (2,)


EDITORS = {
    # One that takes Ctrl-C for itself, as vim does, and one that it ends, as it does ed.
    "goes on": "trap 'echo kept > \"$1\"; exit 0' INT; echo editing; while :; do sleep 1; done\n",
    "ends": "echo editing\nexec sleep 60\n",
}


@pytest.mark.parametrize("kind", EDITORS)
def test_ctrl_c_in_the_editor_comes_back_to_the_chat(kind: str, tmp_path: Path) -> None:
    """The editor decides what Ctrl-C means; the chat waits for it, and goes on."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{EDITORS[kind]}")
    editor.chmod(0o755)
    with at_terminal("chat", "-m", "forgetful", VISUAL=str(editor)) as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("!edit\r")
        terminal.wait_for("editing")
        terminal.type("\x03")
        terminal.wait_for("Only kept" if kind == "goes on" else "Editing failed")
        terminal.wait_for(READY)
        terminal.type("more\r")
        terminal.wait_for("Only more")
        terminal.wait_for(READY)
        terminal.type("exit\r")
        assert "Traceback" not in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


@pytest.mark.parametrize("lines", [b"", b"!multi\nhalf\n"])
def test_interrupt_while_reading_a_pipe_leaves(lines: bytes) -> None:
    """An interrupt while plain lines are awaited leaves with exit code 0."""
    process = subprocess.Popen(
        [*RUN_LLM, "chat", "-m", "echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        shown = b""
        while not shown.endswith(b"\n> "):
            shown += pipe(process.stdout).read(1)
        pipe(process.stdin).write(lines)
        pipe(process.stdin).flush()
        process.send_signal(signal.SIGINT)
        pipe(process.stdin).close()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
        assert pipe(process.stderr).read() == b""


def test_closed_output_ends_the_chat_quietly() -> None:
    """Where nobody reads the answers any more the chat ends without a traceback."""
    process = subprocess.Popen(
        [*RUN_LLM, "chat", "-m", "echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        pipe(process.stdout).readline()
        pipe(process.stdout).close()
        pipe(process.stdin).write(b"hi\nhi\n")
        pipe(process.stdin).close()
        assert process.wait(timeout=LIMIT_SECONDS) == 141
        assert pipe(process.stderr).read() == b""


def test_pasted_block_is_one_message(user_path: Path) -> None:
    """What the terminal marks as pasted is sent as one message, line ends and all."""
    with at_terminal("chat", "-m", "echo") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("\x1b[200~first line\nexit\n\nlast line\x1b[201~\r")
        terminal.wait_for("user: first line")
        terminal.wait_for(READY)
        terminal.type("\x04")
        terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    with sqlite3.connect(user_path / "logs.db") as db:
        asked = db.execute("select prompt from turn_search").fetchall()
    assert asked == [("first line\nexit\n\nlast line",)]


def test_lines_of_earlier_chats_can_be_called_up(user_path: Path) -> None:
    """The history is kept in a file that only its owner can read."""
    old = os.umask(0)
    try:
        chat_of_lines("remember this")
    finally:
        os.umask(old)
    path = user_path / "chat-history"
    assert path.stat().st_mode & 0o777 == 0o600
    with at_terminal("chat", "-m", "forgetful") as (process, terminal):
        terminal.wait_for(READY)
        terminal.type("\x1b[A and that\r")
        terminal.wait_for("Only remember this and that")
        terminal.wait_for(READY)
        terminal.type("\x04")
        terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def chat_of_lines(*lines: str, model: str = "forgetful", **env: Any) -> str:
    """What the terminal shows of a chat in which these lines are typed."""
    shown = ""
    with at_terminal("chat", "-m", model, **env) as (process, terminal):
        for line in lines:
            shown += terminal.wait_for(READY)
            terminal.type(f"{line}\r")
        shown += terminal.wait_for(READY)
        terminal.type("\x04")
        shown += terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    return shown


def test_no_history_where_logging_is_off(user_path: Path) -> None:
    """Who keeps no log keeps no list of what they asked."""
    (user_path / "logs-off").touch()
    assert "Only private" in chat_of_lines("private")
    assert not (user_path / "chat-history").exists()


def test_history_has_no_keys(user_path: Path) -> None:
    """A key in use that was typed into a prompt is masked there too, in the first line already."""
    chat_of_lines("my key is sk-in-use", model="keyed", VAULT_KEY="sk-in-use")
    text = (user_path / "chat-history").read_text()
    assert "my key is [...]" in text
    assert "sk-in-use" not in text


def test_history_that_cannot_be_kept_is_no_obstacle(user_path: Path) -> None:
    """A directory in place of the file costs the history, not the chat."""
    (user_path / "chat-history").mkdir()
    assert "Only hello" in chat_of_lines("hello")


def test_error_of_the_provider_does_not_end_the_chat() -> None:
    """The error is shown, the next prompt is asked for."""
    shown = chat_of_lines("now", "silently now", model="fails")
    assert "Error: boom" in shown
