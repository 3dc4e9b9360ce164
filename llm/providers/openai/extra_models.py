"""The models of `extra-openai-models.yaml`: compatible servers that the user has named."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

import llm
from llm.errors import ConfigError, LLMError
from llm.utils import InvalidYAML, parse_yaml, yaml_lines_of

from .catalog import classes, extra_models_path

if TYPE_CHECKING:
    from .catalog import EmbeddingEntry, SyncModel, TwinModel
    from .wire.shapes import Json

LineOf = Callable[[Sequence[Union[str, int]]], int]

_TEXTS = ("api_base", "api_type", "api_version", "api_engine", "api_key_name")
_SWITCHES = ("vision", "audio", "reasoning", "service_tier", "supports_schema", "supports_tools")
_KINDS = ("embedding", "completion", "responses")
_NO_TEXT = (dict, list, bool)
_KEYS = frozenset(
    {
        *("model_id", "model_name", "aliases", "headers", "dimensions", "can_stream"),
        *(*_TEXTS, *_SWITCHES, *_KINDS),
    }
)
# What other programs call the address.
_ADDRESSES = frozenset({"base_url", "base", "url", "endpoint"})


class ExtraModel(NamedTuple):
    """An entry of the file.

    Attributes:
        kind: `chat`, `responses`, `completion` or `embedding`.
        model_id: The id in `llm`.
        aliases: Further names.
        settings: Arguments for the constructor.
        key_rules: Attributes that let the model ask for the key of the entry, or for none.
    """

    kind: str
    model_id: str
    aliases: Sequence[str]
    settings: Json
    key_rules: dict[str, str | None]


class ExtraModels(NamedTuple):
    """What the file holds: the models that can be used, and what is wrong with the others."""

    models: tuple[ExtraModel, ...]
    problems: tuple[ConfigError, ...]


_REMEDY = "Correct the file: its models are left out until then"
# Problems of the file that have been told; hooks run at each look-up.
_told: set[str] = set()
_Stamp = tuple[int, int]
_read: dict[Path, tuple[_Stamp, ExtraModels]] = {}


def chat_models() -> list[tuple[SyncModel, TwinModel | None, Sequence[str]]]:
    """The chat models of the file, with their asynchronous twins and aliases."""
    found: list[tuple[SyncModel, TwinModel | None, Sequence[str]]] = []
    for extra in _usable_models():
        if extra.kind != "embedding":
            sync, twin = classes()[extra.kind]
            model = sync(extra.model_id, **extra.settings)
            async_model = twin(extra.model_id, **extra.settings) if twin else None
            _set_key_rules(extra, model, async_model)
            found.append((model, async_model, extra.aliases))
    return found


def embedding_models() -> list[EmbeddingEntry]:
    """The embedding models of the file, with their aliases and twins."""
    from .embedding import AsyncOpenAIEmbeddingModel, OpenAIEmbeddingModel

    found: list[EmbeddingEntry] = []
    for extra in _usable_models():
        if extra.kind == "embedding":
            model = OpenAIEmbeddingModel(extra.model_id, **extra.settings)
            twin = AsyncOpenAIEmbeddingModel(extra.model_id, **extra.settings)
            _set_key_rules(extra, model, twin)
            found.append((model, extra.aliases, twin))
    return found


def _set_key_rules(extra: ExtraModel, *models: object) -> None:
    for model in filter(None, models):
        vars(model).update(extra.key_rules)


def _usable_models() -> tuple[ExtraModel, ...]:
    found = read_extra_models()
    for problem in map(str, found.problems):
        if problem not in _told:
            _told.add(problem)
            llm.notice(f"Warning: {problem}")
    return found.models


def read_extra_models() -> ExtraModels:
    """The models of the file; what cannot be used is left out and described. Never raises.

    A file that has not changed is parsed once, and not again in the next process.
    """
    path = extra_models_path()
    try:
        found = path.stat()
    except OSError:
        return ExtraModels((), ())
    stamp = (found.st_mtime_ns, found.st_size)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = _read[path] = (stamp, _cached(stamp) or _parsed(path, stamp))
    return known[1]


# Importing a YAML parser costs a fifth of a start. So a file that parsed without a problem is kept
# as JSON in the user directory's `cache` folder, beside the time and size of the file it came from;
# it may be deleted at any time. Headers and addresses can hold secrets, so a file with headers, or
# with an address that has more in it than a host and a path, is not kept.

_CACHE_FORM = 2


def _cache_path() -> Path:
    return llm.user_dir() / "cache" / "extra-openai-models.json"


def _cached(stamp: _Stamp) -> ExtraModels | None:
    """The models of the file with this time and size; `None` where they are not known."""
    try:
        kept = json.loads(_cache_path().read_text(encoding="utf-8"))
        if kept["of"] != [llm.__version__, _CACHE_FORM, *stamp]:
            return None
        models = [ExtraModel(*fields) for fields in kept["models"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ExtraModels(tuple(models), ())


def _parsed(path: Path, stamp: _Stamp) -> ExtraModels:
    found = _load(path)
    if any(map(_may_be_secret, found.models)):
        # An earlier release, or an earlier form of the file, may have left it there.
        with contextlib.suppress(OSError):
            _cache_path().unlink()
    elif not found.problems:
        of = [llm.__version__, _CACHE_FORM, *stamp]
        text = json.dumps({"of": of, "models": found.models})
        # A user directory that cannot be written costs the next start some time, nothing else.
        with contextlib.suppress(LLMError):
            llm.update_text(_cache_path(), lambda _: text, 0o600)
    return found


def _may_be_secret(model: ExtraModel) -> bool:
    base = model.settings.get("api_base") or ""
    return "headers" in model.settings or "?" in base or "@" in base


def _load(path: Path) -> ExtraModels:
    text = ""
    try:
        text = llm.read_text(path) or ""
        entries = parse_yaml(text)
        if entries is not None and not isinstance(entries, list):
            problem = "not a list of models: each begins with '- model_id:'"
            raise InvalidYAML(problem, yaml_lines_of(text)([]))
    except InvalidYAML as error:
        return ExtraModels((), (error.in_file(path, _REMEDY),))
    except ConfigError as error:
        return ExtraModels((), (error,))
    line_of = yaml_lines_of(text)
    models: list[ExtraModel] = []
    problems: list[ConfigError] = []
    for number, entry in enumerate(entries or ()):
        try:
            models.append(model_from(path, entry, line_of, number))
        except ConfigError as error:
            problems.append(error)
            continue
        problems += [
            ConfigError(path, problem, "It is ignored", line_of([number, key]))
            for key, problem in _remarks(entry)
        ]
    return ExtraModels(tuple(models), tuple(problems))


def model_from(
    path: Path, entry: object, line_of: LineOf | None = None, number: int = 0
) -> ExtraModel:
    """The model that an entry stands for; `line_of` and its `number` lead to its lines in the file.

    Raises:
        ConfigError: It is no entry, or one of its values has the wrong type.
    """
    for key, problem in _problems(entry):
        line = line_of([number, key]) if line_of else None
        raise ConfigError(path, problem, "This model is left out", line)
    assert isinstance(entry, dict)
    texts = {key: str(entry[key]) for key in _TEXTS if entry.get(key) not in (None, "")}
    key_rules = _key_rules(texts.pop("api_key_name", None), has_base="api_base" in texts)
    kind = next((key for key in _KINDS if entry.get(key) is True), "chat")
    settings = _settings(entry, texts, is_embedding=kind == "embedding")
    aliases = entry.get("aliases") or []
    aliases = list(map(str, aliases if isinstance(aliases, list) else [aliases]))
    return ExtraModel(kind, str(entry["model_id"]), aliases, settings, key_rules)


def _key_rules(key_name: str | None, *, has_base: bool) -> dict[str, str | None]:
    if key_name:
        # Its server is another one: OPENAI_API_KEY is none of its business.
        return {"needs_key": key_name, "key_env_var": None}
    return {"needs_key": None} if has_base else {}


def _problems(entry: object) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry: keys, with what to say about them."""
    if not isinstance(entry, dict):
        yield "", "an entry is not a mapping of keys to values"
        return
    model_id = entry.get("model_id")
    if model_id in (None, "") or isinstance(model_id, _NO_TEXT):
        yield "model_id", "model_id is missing or not a text"
    checks = [(key, not isinstance(entry.get(key), _NO_TEXT), "a text") for key in _TEXTS]
    headers, aliases = entry.get("headers"), entry.get("aliases") or []
    checks += [
        ("headers", isinstance(headers, (dict, type(None))), "a mapping of names to values"),
        ("aliases", not isinstance(aliases, (dict, bool)), "a list"),
        ("dimensions", isinstance(entry.get("dimensions") or 0, int), "a number"),
    ]
    for key, is_right, kind in checks:
        if not is_right:
            yield key, f"{key} of {model_id} is not {kind}"
    yield from _slips(entry)


def _slips(entry: Json) -> Iterator[tuple[str, str]]:
    """Keys that were meant to be others: a prompt may go to another server for it."""
    for key in _unknown(entry):
        if meant := _meant_by(key):
            yield key, f"{entry['model_id']} has the unknown key {key} - did you mean {meant}?"


def _remarks(entry: Json) -> Iterator[tuple[str, str]]:
    """What is passed over in an entry, as 0.36 does too: keys, with what to say about them."""
    model_id = entry["model_id"]
    for key in _unknown(entry):
        yield key, f"{model_id} has the unknown key {key}"
    for key in (*_SWITCHES, *_KINDS, "can_stream"):
        if not isinstance(entry.get(key), (bool, type(None))):
            yield key, f"{key} of {model_id} is neither true nor false"


def _unknown(entry: Json) -> list[str]:
    return [key for key in entry if key not in _KEYS]


def _meant_by(key: object) -> str | None:
    """The key that somebody meant who wrote another one."""
    from difflib import get_close_matches

    if key in _ADDRESSES:
        return "api_base"
    return next(iter(get_close_matches(str(key).casefold(), sorted(_KEYS), 1, 0.7)), None)


def _settings(entry: Json, texts: dict[str, str], *, is_embedding: bool) -> Json:
    name = str(entry.get("model_name") or entry["model_id"])
    headers = {str(name): str(value) for name, value in (entry.get("headers") or {}).items()}
    settings: Json = {"headers": headers} if headers else {}
    if is_embedding:
        length = int(entry.get("dimensions") or 0) or None
        own = {"openai_model_id": name, "api_base": texts.get("api_base"), "dimensions": length}
        return {**settings, **own}
    switches = {key: entry.get(key) is True for key in _SWITCHES}
    can_stream = entry.get("can_stream") is not False
    return {**settings, **texts, "model_name": name, "can_stream": can_stream, **switches}
