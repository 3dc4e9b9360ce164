"""Control sequences at a real terminal, wherever they come from (Unix only)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.terminal import at_terminal

TITLE = "\x1b]0;title\x07"


def seen(*args: str, streams: tuple[str, ...] = ("stdout", "stderr"), **env: str) -> str:
    """Everything that the terminal gets."""
    with at_terminal(*args, streams=streams, **env) as (_, terminal):
        return terminal.rest()


@pytest.mark.parametrize("flags", [[], ["--no-stream"]])
def test_raw_answer_reaches_the_terminal(flags: list[str]) -> None:
    """`--raw` passes the sequences on, without it they are signs."""
    assert TITLE in seen("-m", "rude", "hi", "-n", "--raw", *flags)
    assert TITLE not in seen("-m", "rude", "hi", "-n", *flags)


def test_reasoning_and_errors_are_harmless() -> None:
    """Reasoning, the text of an error and the note of a stand-in execute nothing."""
    shown = seen("-m", "evil", "hi", "-n")
    assert "\u241b]0;title\u2407 thoughts" in shown
    assert "Error: \u241b]0;title\u2407 trouble" in shown
    shown += seen("-m", "evil", "now", "-n", "--fallback", "echo")
    assert "evil failed: \u241b]0;title\u2407 trouble" in shown
    assert TITLE not in shown


@pytest.mark.parametrize("args", [["logs", f"{TITLE}x"], ["-a", f"{TITLE}x"], ["-m", f"{TITLE}x"]])
def test_words_of_the_command_line_are_harmless(args: list[str]) -> None:
    """A word that was pasted is shown in the error about it, and executes nothing."""
    shown = seen(*args)
    assert "\u241b]0;title\u2407x" in shown
    assert TITLE not in shown


def test_error_in_a_chat_is_harmless() -> None:
    """The chat shows errors as the prompt does."""
    with at_terminal("chat", "-m", "evil") as (_, terminal):
        terminal.wait_for("\x1b[?2004h")
        terminal.type("now\r")
        before = terminal.wait_for("trouble")
        assert TITLE not in before
        assert "\u241b]0;title\u2407 " in before


def test_names_of_models_and_plugins_are_harmless(
    user_path: Path, install_plugin: Callable[..., Path]
) -> None:
    """Lists and complaints show the names of others as they are, not as they would like."""
    install_plugin("llm-broken", "raise ValueError('\\x1b]0;title\\x07 plugin')")
    (user_path / "aliases.json").write_text(json.dumps({f"{TITLE}alias": "echo"}))
    (user_path / "keys.json").write_text(json.dumps({f"{TITLE}key": "x"}))
    shown = "".join(seen(*command) for command in (["models"], ["aliases"], ["keys"], ["plugins"]))
    assert "\u241b]0;title\u2407alias" in shown
    assert "\u241b]0;title\u2407key" in shown
    assert "\u241b]0;title\u2407 plugin" in shown
    assert TITLE not in shown


def test_log_is_harmless_unless_raw_is_asked_for() -> None:
    """What was said once is no more dangerous when it is shown again."""
    seen("-m", "rude", "hi")
    shown = seen("logs") + seen("logs", "-r") + seen("logs", "--short") + seen("logs", "--json")
    assert TITLE not in shown
    assert "a\u241b]0;title\u2407b" in shown
    assert TITLE in seen("logs", "-r", "--raw")


def test_tool_output_is_harmless() -> None:
    """What a tool returned is shown with `--td`, and executes nothing."""
    code = "def shout():\n    return '\\x1b]0;title\\x07 tool'"
    shown = seen("-m", "scripted", '[[["shout", {}]], "done"]', "-n", "--functions", code, "--td")
    assert "\u241b]0;title\u2407 tool" in shown
    assert TITLE not in shown
