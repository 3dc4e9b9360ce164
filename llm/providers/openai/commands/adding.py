"""What `llm openai add` does: ask a server, make an entry, write it to the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import llm
from llm.errors import ConfigError, InvalidInput, ModelError, NotFound
from llm.utils import InvalidYAML, parse_yaml, yaml_with_item

from ..catalog import extra_models_path
from ..extra_models import ExtraModel, model_from, read_extra_models
from ..wire.shapes import Json, not_nulls
from .endpoint import Server
from .probe import find_server, probe

Choose = Callable[[Sequence[str]], str]
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Addition:
    """What was asked for on the command line; where `tools`, `schema` or `vision` is `None`, it has
    to be found out."""

    name: str
    base_url: str
    model_name: str | None
    key: str | None
    headers: Sequence[tuple[str, str]]
    aliases: Sequence[str]
    responses: bool
    embedding: bool
    tools: bool | None
    schema: bool | None
    vision: bool | None
    audio: bool
    reasoning: bool

    @property
    def server(self) -> Server:
        """The server to ask."""
        return Server(self.base_url.rstrip("/"), self.key, self.headers, self.responses)


def is_there(wanted: Addition) -> bool:
    """Whether the file has a model of that name, at that address and with these headers."""
    base = wanted.server.url
    return any(
        model.model_id == wanted.name
        and model.settings.get("api_base") in (base, f"{base}/v1")
        and wanted.model_name in (None, model.settings.get("model_name"))
        and model.settings.get("headers", {}) == dict(wanted.headers)
        and {*wanted.aliases} <= {*model.aliases}
        for model in read_extra_models().models
    )


def check(wanted: Addition) -> None:
    """Refuse what cannot be added whatever the server says.

    Raises:
        InvalidInput: The name is empty or taken, or a stored key would be replaced.
    """
    if not wanted.name.strip():
        raise InvalidInput("The name is empty")
    taken = llm.get_embedding_model_aliases() if wanted.embedding else _chat_names()
    for name in (wanted.name, *wanted.aliases):
        if name in taken:
            raise InvalidInput(
                f"There is a model named {name} already. Choose another name, or take its entry"
                " out of extra-openai-models.yaml first"
            )
    keys = llm.load_keys()
    if wanted.key and wanted.key not in keys and wanted.name in keys:
        raise InvalidInput(
            f"A key named {wanted.name} is stored already. To use it: --key {wanted.name}"
        )


def _chat_names() -> set[str]:
    entries = llm.get_models_with_aliases()
    return {name for entry in entries for name in (entry.shown.model_id, *entry.aliases)}


def make_entry(wanted: Addition, choose: Choose, tell: Tell) -> Json:
    """The entry for a model, after asking its server; `tell` is called with each finding.

    Raises:
        InvalidInput: The address is none.
        ModelError: The server refused or cannot be reached.
        NotFound: The server has no such model.
    """
    server, model_name = _model_at(wanted, choose)
    tell(f"{model_name} at {server.url}")
    found = probe(
        server,
        model_name,
        only_embeddings=wanted.embedding,
        known=not_nulls((name, getattr(wanted, name)) for name in ("tools", "schema", "vision")),
        tell=lambda ability, is_there: tell(f"  {ability}: {'yes' if is_there else 'no'}"),
    )
    return _entry(replace(wanted, model_name=model_name, base_url=server.url), found)


def _model_at(wanted: Addition, choose: Choose) -> tuple[Server, str]:
    """The server under its working address, and the name of the model there."""
    try:
        server, names = find_server(wanted.server)
    except ModelError as error:
        # Not every server lists its models.
        if wanted.model_name and type(error) is ModelError:
            return wanted.server, wanted.model_name
        raise
    if wanted.model_name:
        if names and wanted.model_name not in names:
            raise NotFound(
                f"The server has no model {wanted.model_name}. It has: {', '.join(names)}"
            )
        return server, wanted.model_name
    if not names:
        raise NotFound(f"{server.url} lists no models. Name one with --model")
    if wanted.name in names:
        return server, wanted.name
    return server, names[0] if len(names) == 1 else choose(names)


def _entry(wanted: Addition, found: Mapping[str, bool]) -> Json:
    entry: Json = {
        "model_id": wanted.name,
        "model_name": wanted.model_name,
        "api_base": wanted.base_url,
    }
    if wanted.key:
        entry["api_key_name"] = wanted.key if wanted.key in llm.load_keys() else wanted.name
    if wanted.aliases:
        entry["aliases"] = list(wanted.aliases)
    if wanted.headers:
        entry["headers"] = dict(wanted.headers)
    if not found.get("chat"):
        return {**entry, "embedding": True}
    switches = {
        "responses": wanted.responses,
        "supports_tools": found.get("tools"),
        "supports_schema": found.get("schema"),
        "vision": found.get("vision"),
        "audio": wanted.audio,
        "reasoning": wanted.reasoning,
    }
    return {**entry, **{key: True for key, is_on in switches.items() if is_on}}


def write(wanted: Addition, entry: Json) -> Path:
    """Write the entry, and store its key where it is new; returns the path of the file."""
    model = checked(entry)
    path = add_entry(entry)
    key_name = model.key_rules.get("needs_key")
    if wanted.key and wanted.key not in llm.load_keys() and key_name:
        llm.set_key(key_name, wanted.key)
    return path


def entry_text(entry: Json) -> str:
    """An entry as it stands in the file: a list of one mapping."""
    import yaml

    return str(yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000))


def entry_from(text: str) -> Json:
    """The entry in a text that the user has edited.

    Raises:
        InvalidInput: It is no YAML, or not one entry.
    """
    entries = parse_yaml(text)
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise InvalidInput("This is not one entry: it has to begin with '- model_id:'")
    return dict(entries[0])


def checked(entry: Json) -> ExtraModel:
    """The model that an entry stands for."""
    try:
        return model_from(extra_models_path(), entry)
    except ConfigError as error:
        raise InvalidInput(f"This entry cannot be used: {error.problem}") from error


def add_entry(entry: Json) -> Path:
    """Write an entry to the end of the file; returns its path.

    Raises:
        ConfigError: The file cannot be read or written, or has a form that cannot be extended.
    """
    path = extra_models_path()
    # Headers may hold secrets.
    mode = 0o600 if entry.get("headers") and not path.exists() else None
    llm.update_text(path, lambda text: extended(path, text, entry), mode)
    return path


def extended(path: Path, text: str, entry: Json) -> str:
    """The text of the file with one more entry, everything else as it was."""
    try:
        found = yaml_with_item(text, (), entry, may_rewrite=False)
    except InvalidYAML as error:
        raise error.in_file(path, "Correct it first: nothing was changed") from error
    if found is None:
        remedy = f"Nothing was changed. Add this entry by hand:\n{entry_text(entry)}"
        raise ConfigError(path, "its form is not one that can be extended", remedy)
    return found
