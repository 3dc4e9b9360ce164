"""Adding an entry to `extra-openai-models.yaml`, with the rest of the file left as it is."""

from __future__ import annotations

from pathlib import Path

import llm
from llm.errors import ConfigError, InvalidInput
from llm.utils import InvalidYAML, parse_yaml, yaml_with_item

from ..catalog import extra_models_path
from ..extra_models import ExtraModel, model_from
from ..wire.shapes import Json

Entry = Json


def entry_text(entry: Entry) -> str:
    """An entry as it stands in the file: a list of one mapping."""
    import yaml

    return str(yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000))


def entry_from(text: str) -> Entry:
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


def checked(entry: Entry) -> ExtraModel:
    """The model that an entry stands for.

    Raises:
        InvalidInput: It would be left out when the file is read.
    """
    try:
        return model_from(extra_models_path(), entry)
    except ConfigError as error:
        raise InvalidInput(f"This entry cannot be used: {error.problem}") from error


def add_entry(entry: Entry) -> Path:
    """Write an entry to the end of the file; returns its path.

    Raises:
        ConfigError: The file cannot be read or written, or has a form that cannot be extended.
    """
    path = extra_models_path()
    # Headers may hold secrets.
    mode = 0o600 if entry.get("headers") and not path.exists() else None
    llm.update_text(path, lambda text: extended(path, text, entry), mode)
    return path


def extended(path: Path, text: str, entry: Entry) -> str:
    """The text of the file with one more entry, everything else as it was.

    Raises:
        ConfigError: The text is not valid YAML, not a list, or has a form that is not understood.
    """
    try:
        found = yaml_with_item(text, (), entry, may_rewrite=False)
    except InvalidYAML as error:
        raise error.in_file(path, "Correct it first: nothing was changed") from error
    if found is None:
        remedy = f"Nothing was changed. Add this entry by hand:\n{entry_text(entry)}"
        raise ConfigError(path, "its form is not one that can be extended", remedy)
    return found
