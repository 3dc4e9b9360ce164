"""The models of `extra-openai-models.yaml`: compatible servers that the user has named."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...errors import ConfigError
from ...files.config import read_text, user_path
from . import extra_cache

FILE_NAME = "extra-openai-models.yaml"

_TEXTS = ("api_base", "api_type", "api_version", "api_engine", "api_key_name")
_SWITCHES = (
    *("vision", "audio", "reasoning", "service_tier", "supports_schema", "supports_tools"),
)


class ExtraModel(NamedTuple):
    """An entry of the file.

    Attributes:
        kind: `chat`, `responses`, `completion` or `embedding`.
        model_id: The id in `llm`.
        aliases: Further names.
        settings: Arguments for the constructor.
        api_key_name: The name of the key that is needed, if one is.
        needs_key: Whether a key is needed at all.
    """

    kind: str
    model_id: str
    aliases: tuple[str, ...]
    settings: dict[str, Any]
    api_key_name: str | None
    needs_key: bool


class ExtraModels(NamedTuple):
    """What the file holds: the models that can be used, and what is wrong with the others."""

    models: tuple[ExtraModel, ...]
    problems: tuple[ConfigError, ...]


_NOTHING = ExtraModels((), ())
_read: dict[str, tuple[tuple[int, int], ExtraModels]] = {}


def file_path() -> str:
    """Where the file is, or would be."""
    return os.path.join(user_path(), FILE_NAME)


def read_extra_models() -> ExtraModels:
    """The models of the file; what cannot be used is left out and described. Never raises.

    A file that has not changed is parsed once, and not again in the next process.
    """
    path = file_path()
    try:
        found = os.stat(path)
    except OSError:
        return _NOTHING
    stamp = (found.st_mtime_ns, found.st_size)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = _read[path] = (stamp, extra_cache.read(stamp) or _parsed(path, stamp))
    return known[1]


def _parsed(path: str, stamp: tuple[int, int]) -> ExtraModels:
    found = _load(path)
    extra_cache.write(stamp, found)
    return found


_REMEDY = "Correct the file: its models are left out until then"


def _load(path: str) -> ExtraModels:
    try:
        text, entries = _entries(path)
    except ConfigError as error:
        return ExtraModels((), (error,))
    from llm.utils import yaml_lines_of

    line_of = yaml_lines_of(text)
    models: list[ExtraModel] = []
    problems: list[ConfigError] = []
    for number, entry in enumerate(entries):

        def line_of_key(key: str, number: int = number) -> int:
            return line_of([number, key])

        try:
            models.append(model_from(path, entry, line_of_key))
        except ConfigError as error:
            problems.append(error)
    return ExtraModels(tuple(models), tuple(problems))


def _entries(path: str) -> tuple[str, list[object]]:
    """The text of the file, and what is in its list."""
    from pathlib import Path

    from llm.utils import InvalidYAML, parse_yaml, yaml_lines_of

    text = read_text(Path(path)) or ""
    try:
        entries = parse_yaml(text)
    except InvalidYAML as error:
        raise error.in_file(path, _REMEDY) from error
    if entries is not None and not isinstance(entries, list):
        problem = "not a list of models: each begins with '- model_id:'"
        raise ConfigError(path, problem, _REMEDY, yaml_lines_of(text)([]))
    return text, entries or []


def model_from(
    path: str, entry: object, line_of: Callable[[str], int | None] = lambda key: None
) -> ExtraModel:
    """The model that an entry stands for.

    Args:
        path: The file, for errors.
        entry: What the file holds there.
        line_of: The line of a key of the entry, where it is known.

    Raises:
        ConfigError: It is no entry, or one of its values has the wrong type.
    """

    def wrong(key: str, problem: str) -> ConfigError:
        return ConfigError(path, problem, "This model is left out", line_of(key))

    if not isinstance(entry, Mapping):
        raise wrong("", "an entry is not a mapping of keys to values")
    model_id = entry.get("model_id")
    if model_id in (None, "") or isinstance(model_id, (dict, list, bool)):
        raise wrong("model_id", "model_id is missing or not a text")
    for key in _TEXTS:
        if isinstance(entry.get(key), (dict, list, bool)):
            raise wrong(key, f"{key} of {model_id} is not a text")
    headers = entry.get("headers")
    if headers is not None and not isinstance(headers, Mapping):
        raise wrong("headers", f"headers of {model_id} is not a mapping of names to values")
    aliases = entry.get("aliases") or []
    if isinstance(aliases, (dict, bool)):
        raise wrong("aliases", f"aliases of {model_id} is not a list")
    if not isinstance(entry.get("dimensions") or 0, int):
        raise wrong("dimensions", f"dimensions of {model_id} is not a number")
    names = aliases if isinstance(aliases, list) else [aliases]
    return _built(entry, str(model_id), tuple(str(alias) for alias in names))


def _built(entry: Mapping[str, Any], model_id: str, aliases: tuple[str, ...]) -> ExtraModel:
    texts = {key: str(entry[key]) for key in _TEXTS if entry.get(key) not in (None, "")}
    api_key_name = texts.pop("api_key_name", None)
    settings: dict[str, Any] = dict(texts)
    settings["model_name"] = str(entry.get("model_name") or model_id)
    if entry.get("headers"):
        settings["headers"] = {str(name): str(value) for name, value in entry["headers"].items()}
    kind = _kind(entry)
    if kind == "embedding":
        settings = _embedding_settings(entry, settings)
    else:
        settings.update({key: True for key in _SWITCHES if entry.get(key) is True})
        if entry.get("can_stream") is False:
            settings["can_stream"] = False
    needs_key = bool(api_key_name) or "api_base" not in texts
    return ExtraModel(kind, model_id, aliases, settings, api_key_name, needs_key)


def _kind(entry: Mapping[str, Any]) -> str:
    for key in ("embedding", "completion", "responses"):
        if entry.get(key) is True:
            return key
    return "chat"


def _embedding_settings(entry: Mapping[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        key: value for key, value in settings.items() if key in ("api_base", "headers")
    }
    kept["openai_model_id"] = settings["model_name"]
    if entry.get("dimensions"):
        kept["dimensions"] = int(entry["dimensions"])
    return kept
