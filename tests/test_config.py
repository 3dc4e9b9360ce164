"""The user directory and its small files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from llm.errors import ConfigError
from llm.files import config
from llm.files.model_options import OPTIONS


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("is_set", [True, False])
def test_user_path_matches_click(
    monkeypatch: pytest.MonkeyPatch, platform: str, is_set: bool
) -> None:
    """Without LLM_USER_PATH the directory is the one that click names, on every system."""
    monkeypatch.delenv("LLM_USER_PATH")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(click.utils, "WIN", platform == "win32")
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        if is_set:
            monkeypatch.setenv(name, "/somewhere/else")
        else:
            monkeypatch.delenv(name, raising=False)
    assert config.user_path() == click.get_app_dir("io.datasette.llm")


def test_user_dir_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is made with its parents; the variable is taken as it is."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "a" / "b"))
    assert config.user_dir() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_user_dir_not_creatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the directory cannot be made reading says why, and what to do about it."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "file" / "sub"))
    assert config.user_dir() == tmp_path / "file" / "sub"
    with pytest.raises(ConfigError, match="LLM_USER_PATH"):
        config.load_keys()
    with pytest.raises(ConfigError, match="cannot be written"):
        config.set_key("a", "b")
    with pytest.raises(ConfigError, match="cannot be written"):
        config.set_default_model("m")
    with pytest.raises(ConfigError, match="cannot be removed"):
        config.set_default_model(None)
    with pytest.raises(ConfigError, match="cannot be changed"):
        config.set_logging(False)


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b'{\n  "a": 1,\n  b\n}', 3, "not valid JSON"),
        (b"", 1, "not valid JSON"),
        (b"[1]", 1, "not a JSON object"),
        (b'{\n"a": "\xff"}', 2, "not valid UTF-8"),
        (b"[" * 100_000, None, "nested too deeply"),
    ],
)
def test_read_json_object_corrupt(
    user_path: Path, content: bytes, line: int | None, problem: str
) -> None:
    """A corrupt file is an error that names file and line and leaves the file alone."""
    path = user_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        config.read_json_object(path)
    assert caught.value.line == line
    assert str(path) in str(caught.value)
    assert "Correct the file" in str(caught.value)
    with pytest.raises(ConfigError):
        config.update_json(path, lambda content: content.clear(), indent=2, newline=True)
    assert path.read_bytes() == content


def test_read_json_object_with_byte_order_mark(user_path: Path) -> None:
    """The mark that some Windows editors put first does no harm."""
    path = user_path / "some.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert config.read_json_object(path) == {"a": 1}


def test_read_text_of_a_directory(user_path: Path) -> None:
    """What cannot be read is an error of ours that names it."""
    (user_path / "default_model.txt").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        config.get_default_model()


def test_write_keeps_mode_and_link(user_path: Path, tmp_path: Path) -> None:
    """A file that is written again keeps its permissions, and a link stays a link."""
    target = tmp_path / "elsewhere.txt"
    target.write_text("old")
    target.chmod(0o640)
    link = user_path / "default_model.txt"
    link.symlink_to(target)
    config.set_default_model("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert mode_of(target) == 0o640


def test_write_failing_leaves_old_content(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails the old file is there unchanged, and nothing else."""
    config.set_default_model("old")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigError, match="No space left"):
        config.set_default_model("new")
    assert [path.name for path in user_path.iterdir()] == ["default_model.txt"]
    assert config.get_default_model() == "old"


def test_update_json_locked(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is never given up ends in an error, not in waiting for ever."""
    from filelock import FileLock

    monkeypatch.setattr(config, "_LOCK_TIMEOUT_S", 0.01)
    with FileLock(user_path / ".config.lock"), pytest.raises(ConfigError, match="kept it locked"):
        config.set_key("a", "b")


def test_update_json_from_many_processes(user_path: Path) -> None:
    """Processes that write at the same time lose nothing of each other's."""
    code = (
        "import sys; from llm.files.config import set_key\n"
        "for n in range(5): set_key(f'{sys.argv[1]}-{n}', 'x')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    expected = {f"{number}-{n}" for number in range(4) for n in range(5)}
    assert set(config.load_keys()) - {"// Note"} == expected


# Keys


def test_set_key_is_private(user_path: Path) -> None:
    """The file can be read by its owner only, from the start and after each change."""
    config.set_key("a", "1")
    path = user_path / "keys.json"
    assert mode_of(path) == 0o600
    path.chmod(0o644)
    config.set_key("b", "2")
    assert mode_of(path) == 0o600
    note = "This file stores secret API credentials. Do not share!"
    assert path.read_text() == json.dumps({"// Note": note, "a": "1", "b": "2"}, indent=2) + "\n"


def test_set_key_in_a_file_without_note(user_path: Path) -> None:
    """A file that the user made gets no note."""
    (user_path / "keys.json").write_text("{}")
    config.set_key("a", "1")
    assert config.load_keys() == {"a": "1"}


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        ((), {}, None),
        (("",), {}, None),
        (("stored",), {}, "from-file"),
        (("sk-1",), {}, "sk-1"),
        (("sk-1", "stored", "SOME_KEY"), {}, "sk-1"),
        (("", "stored", "SOME_KEY"), {}, "from-file"),
        ((None, "other", "SOME_KEY"), {}, "from-environment"),
        ((None, "other", "EMPTY_KEY"), {}, None),
        ((None, None, "SOME_KEY"), {}, "from-environment"),
        ((), {"alias": "stored"}, "from-file"),
        ((), {"env": "SOME_KEY"}, "from-environment"),
        ((), {"input": "stored"}, "from-file"),
        (("sk-1", "x", "y"), {"input": "sk-2", "alias": "stored", "env": "SOME_KEY"}, "sk-2"),
        (("", "x", "y"), {"alias": "stored"}, "from-file"),
    ],
)
def test_get_key_order(
    user_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str | None, ...],
    keywords: dict[str, str],
    expected: str | None,
) -> None:
    """A given key wins, then the stored one, then the environment."""
    (user_path / "keys.json").write_text('{"stored": "from-file"}')
    monkeypatch.setenv("SOME_KEY", "from-environment")
    monkeypatch.setenv("EMPTY_KEY", "")
    assert config.get_key(*arguments, **keywords) == expected


# Defaults


def test_default_model_stored_and_removed(user_path: Path) -> None:
    """The id is stored without a newline, and None removes it, once or twice."""
    assert config.get_default_model() == config.DEFAULT_MODEL
    config.set_default_model("m")
    assert (user_path / "default_model.txt").read_bytes() == b"m"
    assert config.get_default_model() == "m"
    config.set_default_model(None)
    config.set_default_model(None)
    assert config.get_default_model(default=None) is None


def test_default_model_empty_file(user_path: Path) -> None:
    """An empty file, or one of white space, counts as unset."""
    (user_path / "default_model.txt").write_text(" \n")
    assert config.get_default_model() == config.DEFAULT_MODEL


def test_default_model_other_file(user_path: Path) -> None:
    """Plugins keep defaults of their own the same way."""
    config.set_default_model("x", "other.txt")
    assert config.get_default_model("other.txt") == "x"
    assert config.get_default_model(filename="none.txt", default="d") == "d"


def test_default_embedding_model(user_path: Path) -> None:
    """There is no default embedding model until one is set."""
    assert config.get_default_embedding_model() is None
    config.set_default_embedding_model("e")
    assert config.get_default_embedding_model() == "e"
    assert (user_path / "default_embedding_model.txt").read_text() == "e"


# Model options


def test_model_options_stored_and_cleared(user_path: Path) -> None:
    """Options are stored as typed, and a model without any leaves no trace."""
    path = user_path / "model_options.json"
    OPTIONS.set("m", "a", "1")
    OPTIONS.set("m", "b", "2")
    OPTIONS.set("n", "a", "3")
    expected = {"m": {"a": "1", "b": "2"}, "n": {"a": "3"}}
    assert path.read_text() == json.dumps(expected, indent=2)
    OPTIONS.clear("m", "a")
    assert OPTIONS.get("m") == {"b": "2"}
    OPTIONS.clear("m", "b")
    OPTIONS.clear("m", "b")
    OPTIONS.clear("n")
    assert path.read_text() == "{}"
    assert OPTIONS.get("m") == {}


def test_model_options_that_are_no_object(user_path: Path) -> None:
    """A model whose options are no object is an error that names it; nothing is lost."""
    path = user_path / "model_options.json"
    path.write_text('{"m": 1}')
    with pytest.raises(ConfigError, match="options of 'm'"):
        OPTIONS.set("n", "a", "1")
    assert path.read_text() == '{"m": 1}'


def test_logging_switched(user_path: Path) -> None:
    """Logging is on unless the marker file is there."""
    assert config.logs_on()
    config.set_logging(False)
    config.set_logging(False)
    assert not config.logs_on()
    assert (user_path / "logs-off").read_bytes() == b""
    config.set_logging(True)
    config.set_logging(True)
    assert config.logs_on()
    assert config.logs_db_path() == user_path / "logs.db"
