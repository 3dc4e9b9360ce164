"""The user directory and its small files: keys, aliases, default models, the log switch.

Reading never creates a file. Writing is atomic (a temporary file takes the place of the old one)
and locked, so that two commands at once lose nothing. A file that is not valid, or cannot be read
or written, is a `ConfigError` that names the line; it is never replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

from ..errors import ConfigError
from ..text import JSONObject
from ..text.secrets import remember
from . import tell_if_open, tighten

DEFAULT_MODEL = "gpt-5.6-luna"

_LOCK_NAME = ".config.lock"
_LOCK_TIMEOUT_S = 30.0

# The user directory


def user_path() -> str:
    """The path of the user directory: `LLM_USER_PATH`, else where `click.get_app_dir` has it."""
    if named := os.environ.get("LLM_USER_PATH"):
        return named
    if sys.platform.startswith("win"):
        folder = os.environ.get("APPDATA", os.path.expanduser("~"))
    elif sys.platform == "darwin":
        folder = os.path.expanduser("~/Library/Application Support")
    else:
        folder = os.environ.get("XDG_CONFIG_HOME", os.path.expanduser("~/.config"))
    return os.path.join(folder, "io.datasette.llm")


def user_dir() -> Path:
    """The user directory, created where that is possible.

    Where it is not, reading finds nothing, and writing says what is wrong.
    """
    path = Path(user_path())
    with contextlib.suppress(OSError):
        path.mkdir(0o700, parents=True, exist_ok=True)
        if not os.environ.get("LLM_USER_PATH"):
            tighten(path, 0o700)
    return path


def tell_if_shared(database: str | None = None) -> None:
    """Say once that others can read a directory, or a log database, that the user named."""
    folder = user_dir()
    if os.environ.get("LLM_USER_PATH"):
        tell_if_open(folder, folder / "told.json")
    if database:
        tell_if_open(database, folder / "told.json")


# Reading and writing


def read_text(path: Path) -> str | None:
    """The text of a UTF-8 file, or None where there is no such file.

    Raises:
        ConfigError: The file cannot be read or is not UTF-8.
    """
    text = _exact_text(path)
    return text and text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _exact_text(path: Path) -> str | None:
    """As `read_text`, with the file's own line ends and byte order mark."""
    with _accessing(path, "read"):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        return content.decode()
    except UnicodeDecodeError as ex:
        line = content.count(b"\n", 0, ex.start) + 1
        raise ConfigError(path, "not valid UTF-8 text", how_to_repair(path), line) from ex


def read_json_object(path: Path) -> JSONObject:
    """The JSON object in a file; empty where there is no such file.

    Raises:
        ConfigError: The file cannot be read or does not hold a JSON object.
    """
    text = read_text(path)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as ex:
        problem = (
            f"not valid JSON ({'nested too deeply' if isinstance(ex, RecursionError) else ex})"
        )
        line = getattr(ex, "lineno", None)
        raise ConfigError(path, problem, how_to_repair(path), line) from ex
    if not isinstance(found, dict):
        raise ConfigError(path, "not a JSON object", how_to_repair(path), 1)
    return found


def write_text_atomic(path: Path, text: str, mode: int | None = None) -> None:
    """Put `text` into a file so that a reader sees the old or the new content, nothing between.

    Args:
        path: The file; where it is a symbolic link, the file that the link points to.
        text: The new content, written as UTF-8.
        mode: The permissions; without them a file that exists keeps its own.

    Raises:
        ConfigError: The file cannot be written.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _accessing(path, "written"):
        os.makedirs(folder, exist_ok=True)
        if mode is None:
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(target).st_mode & 0o7777
        try:
            with open(os.open(temporary, flags, 0o666 if mode is None else mode), "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(temporary, mode)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def update_json(
    path: Path,
    change: Callable[[JSONObject], object],
    *,
    indent: int,
    newline: bool,
    mode: int | None = None,
) -> None:
    """Change the JSON object in a file, so that changes of two processes at once both stay.

    Args:
        path: The file, created where it is missing.
        change: Called with the object to change in place; where it raises, nothing is written.
        indent: The indentation of the JSON text.
        newline: Whether the text ends with a newline.
        mode: The permissions of the file, see `write_text_atomic`.

    Raises:
        ConfigError: The file cannot be read or written, or does not hold a JSON object.
    """
    with _locked(path):
        content = read_json_object(path)
        change(content)
        text = json.dumps(content, indent=indent) + ("\n" if newline else "")
        write_text_atomic(path, text, mode)


def update_text(path: Path, change: Callable[[str], str], mode: int | None = None) -> None:
    """Change the text of a file, so that changes of two processes at once both stay.

    Args:
        path: The file, created where it is missing.
        change: Gives the new text for the old, which has its own line ends; where it raises,
            nothing is written.
        mode: The permissions of the file, see `write_text_atomic`.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    with _locked(path):
        write_text_atomic(path, change(_exact_text(path) or ""), mode)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    from . import locked

    with contextlib.ExitStack() as held:
        with _accessing(path, "written"):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(path.parent / _LOCK_NAME, timeout_s=_LOCK_TIMEOUT_S))
            except TimeoutError as ex:
                problem = f"another process has kept it locked for {_LOCK_TIMEOUT_S:g} seconds"
                raise ConfigError(path, problem, "Try again when that process has ended") from ex
        yield


def how_to_repair(path: Path) -> str:
    """What the user can do about a file that is broken."""
    return f"Correct the file, or move it away to start anew: it was left as it is ({path.name})"


@contextlib.contextmanager
def _accessing(path: Path, access: str) -> Iterator[None]:
    """Let it be an error about the file that it cannot be read, written, ..."""
    try:
        yield
    except OSError as ex:
        remedy = (
            f"Check the permissions of {path.parent}, or set LLM_USER_PATH to another directory"
        )
        raise ConfigError(path, f"cannot be {access} ({ex.strerror})", remedy) from ex


# Keys


def keys_path() -> Path:
    """The path of `keys.json`."""
    return user_dir() / "keys.json"


def load_keys() -> dict[str, str]:
    """The stored keys by name, with the entry `// Note` that warns readers of the file.

    Raises:
        ConfigError: `keys.json` is not valid.
    """
    path = keys_path()
    tighten(path, 0o600)
    return read_json_object(path)


def get_key(
    explicit_key: str | None = None,
    key_alias: str | None = None,
    env_var: str | None = None,
    *,
    alias: str | None = None,
    env: str | None = None,
    input: str | None = None,
) -> str | None:
    """The key to use, or None where none is found.

    Args:
        explicit_key: A key, or the name of a stored one; it wins over everything else.
        key_alias: The name of a stored key.
        env_var: An environment variable that may hold the key.
        alias, env, input: Newer names of these three; they win over them.

    Raises:
        ConfigError: `keys.json` is not valid.
    """
    explicit, name = input or explicit_key, alias or key_alias
    stored = load_keys() if explicit or name else {}
    if explicit:
        found: str | None = stored.get(explicit, explicit)
    elif name in stored:
        found = stored[name]
    else:
        found = os.environ.get(env or env_var or "") or None
    remember(found)
    return found


def set_key(name: str, value: str) -> None:
    """Store a key under a name in `keys.json`, which only its owner can read.

    Raises:
        ConfigError: `keys.json` is not valid or cannot be written.
    """
    path = keys_path()

    def change(keys: JSONObject) -> None:
        if not keys and not path.exists():
            keys["// Note"] = "This file stores secret API credentials. Do not share!"
        keys[name] = value

    remember(value)
    update_json(path, change, indent=2, newline=True, mode=0o600)


def remove_key(name: str) -> None:
    """Remove a stored key, as `set_key` stores it; one that is not there is no error."""
    if name in load_keys():
        update_json(
            keys_path(), lambda keys: keys.pop(name, None), indent=2, newline=True, mode=0o600
        )


# Defaults


@overload
def get_default_model(filename: str = ..., default: str = ...) -> str: ...


@overload
def get_default_model(filename: str = ..., default: str | None = ...) -> str | None: ...


def get_default_model(
    filename: str = "default_model.txt", default: str | None = DEFAULT_MODEL
) -> str | None:
    """The model id in a file of the user directory; `default` where it is missing or empty."""
    return (read_text(user_dir() / filename) or "").strip() or default


def set_default_model(model: str | None, filename: str = "default_model.txt") -> None:
    """Store the id of the default model in a file of the user directory; None removes it."""
    path = user_dir() / filename
    if model is not None:
        write_text_atomic(path, model)
        return
    with _accessing(path, "removed"):
        path.unlink(missing_ok=True)


def get_default_embedding_model() -> str | None:
    """The id of the default embedding model, or None where none is set."""
    return get_default_model("default_embedding_model.txt", None)


def set_default_embedding_model(model: str | None) -> None:
    """Store the id of the default embedding model; None removes the setting."""
    set_default_model(model, "default_embedding_model.txt")


# Aliases


def aliases_path() -> Path:
    """The path of `aliases.json`."""
    return user_dir() / "aliases.json"


def load_aliases() -> JSONObject:
    """The content of `aliases.json`: alias -> model id, beside values that plugins keep there."""
    return read_json_object(aliases_path())


# Logging


def logs_db_path() -> Path:
    """The path of the log database."""
    return user_dir() / "logs.db"


def embeddings_db_path() -> Path:
    """The path of the database of embeddings."""
    return user_dir() / "embeddings.db"


def embeddings_db() -> str:
    """What `LLM_EMBEDDINGS_DB` names for the database of embeddings, else its path."""
    return os.environ.get("LLM_EMBEDDINGS_DB") or str(embeddings_db_path())


def logs_on() -> bool:
    """Whether prompts are logged unless a command says otherwise."""
    return not (user_dir() / "logs-off").exists()


def set_logging(on: bool) -> None:
    """Switch the logging of prompts on or off, for all commands to come."""
    path = user_dir() / "logs-off"
    with _accessing(path, "changed"):
        if on:
            path.unlink(missing_ok=True)
        else:
            path.touch()
