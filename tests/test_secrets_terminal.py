"""Keys that are typed at a terminal (Unix only)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.terminal import LIMIT_SECONDS, at_terminal


def test_typed_key_is_stored_and_not_shown(user_path: Path) -> None:
    """`llm keys set` reads without echo."""
    with at_terminal("keys", "set", "vault") as (process, terminal):
        terminal.wait_for("Enter key: ")
        terminal.type("sk-typed-unseen\r")
        assert "unseen" not in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    assert json.loads((user_path / "keys.json").read_text())["vault"] == "sk-typed-unseen"


def test_key_option_asks_at_a_terminal() -> None:
    """`--key -` at a terminal asks for the key without showing it."""
    with at_terminal("-m", "keyed", "hi", "-n", "--key", "-") as (process, terminal):
        terminal.wait_for("Key: ")
        terminal.type("sk-typed\r")
        assert "key=sk-typed" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
