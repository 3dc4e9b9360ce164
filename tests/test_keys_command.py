"""`llm keys`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llm.cli import cli


def invoke(*arguments: str, **keywords: Any) -> Result:
    return CliRunner().invoke(cli, ["keys", *arguments], **keywords)


def test_keys_none() -> None:
    """Without a file there are no keys, which is no failure."""
    result = invoke()
    assert (result.exit_code, result.output) == (0, "No keys found\n")
    assert invoke("list", "--json").output == "[]\n"


def test_keys_listed(user_path: Path) -> None:
    """The names are listed in order, without the note and without the keys."""
    (user_path / "keys.json").write_text('{"// Note": "n", "b": "2", "a": "1"}')
    assert invoke("list").output == "a\nb\n"
    assert json.loads(invoke("--json").output) == ["a", "b"]


def test_keys_path(user_path: Path) -> None:
    """The path is that of the file."""
    assert invoke("path").output == f"{user_path / 'keys.json'}\n"


def test_key_got(user_path: Path) -> None:
    """A key is printed; a name that is nearly right is an error that names the right one."""
    (user_path / "keys.json").write_text('{"openai": "sk-1"}')
    assert invoke("get", "openai").output == "sk-1\n"
    result = invoke("get", "opnai")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: No key found with name 'opnai' - did you mean 'openai'?\n"
    assert invoke("get", "zzz").stderr == "Error: No key found with name 'zzz'\n"


def test_key_set_by_option(user_path: Path) -> None:
    """A key given as an option is stored, in silence."""
    result = invoke("set", "a", "--value", "x")
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads((user_path / "keys.json").read_text())["a"] == "x"


def test_key_set_from_standard_input(user_path: Path) -> None:
    """A key that is piped in is stored without the end of its line."""
    assert invoke("set", "a", input=" sk-2 \nmore\n").exit_code == 0
    assert json.loads((user_path / "keys.json").read_text())["a"] == "sk-2"


def test_key_set_from_nothing(user_path: Path) -> None:
    """An empty pipe stores nothing."""
    result = invoke("set", "a", input="")
    assert result.exit_code == 1
    assert "No key given" in result.stderr
    assert not (user_path / "keys.json").exists()


def test_key_asked_for_on_a_terminal(user_path: Path) -> None:
    """On a terminal the key is asked for, and not shown while it is typed."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llm", "keys", "set", "a"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    while b"Enter key: " not in shown:
        shown += os.read(controller, 1000)
    os.write(controller, b"sk-3\n")
    assert process.wait(timeout=120) == 0
    os.close(controller)
    assert json.loads((user_path / "keys.json").read_text())["a"] == "sk-3"


@pytest.mark.parametrize("arguments", [["list"], ["get", "a"], ["set", "a", "--value", "b"]])
def test_corrupt_file(user_path: Path, arguments: list[str]) -> None:
    """A corrupt file is named with its line, and is left as it is."""
    path = user_path / "keys.json"
    path.write_text('{"a": "1"\n"b"}')
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path}, line 2: not valid JSON")
    assert path.read_text() == '{"a": "1"\n"b"}'
    assert CliRunner().invoke(cli, ["aliases", "path"]).exit_code == 0
