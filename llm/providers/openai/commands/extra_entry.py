"""Adding an entry to `extra-openai-models.yaml`, with the rest of the file left as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import ConfigError, InvalidInput
from ....files.config import update_text
from ..extra_models import ExtraModel, file_path, model_from

Entry = dict[str, Any]


def entry_text(entry: Entry) -> str:
    """An entry as it stands in the file: a list of one mapping."""
    import yaml

    return str(yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000))


def entry_from(text: str) -> Entry:
    """The entry in a text that the user has edited.

    Raises:
        InvalidInput: It is not one entry.
    """
    import yaml

    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"This is not valid YAML: {error}") from error
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
        return model_from(file_path(), entry)
    except ConfigError as error:
        raise InvalidInput(f"This entry cannot be used: {error.problem}") from error


def add_entry(entry: Entry) -> Path:
    """Write an entry to the end of the file; returns its path.

    Raises:
        ConfigError: The file cannot be read or written, or has a form that cannot be extended.
    """
    path = Path(file_path())
    # Headers may hold secrets.
    mode = 0o600 if entry.get("headers") and not path.exists() else None
    update_text(path, lambda text: extended(path, text, entry), mode)
    return path


def extended(path: Path, text: str, entry: Entry) -> str:
    """The text of the file with one more entry, everything else as it was.

    Raises:
        ConfigError: The text is not valid YAML, not a list, or has a form that is not understood.
    """
    import yaml

    try:
        wanted = [*(yaml.safe_load(text) or []), entry]
        for candidate in _candidates(text, entry):
            if _loaded(candidate) == wanted:
                return candidate
    except yaml.YAMLError as error:
        problem = f"not valid YAML ({getattr(error, 'problem', None) or error})"
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise ConfigError(path, problem, "Correct it first: nothing was changed", line) from error
    except TypeError as error:
        raise ConfigError(path, "not a list of models", "Nothing was changed") from error
    remedy = f"Nothing was changed. Add this entry by hand:\n{entry_text(entry)}"
    raise ConfigError(path, "its form is not one that can be extended", remedy)


def _loaded(text: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _candidates(text: str, entry: Entry) -> Iterator[str]:
    """Texts with the entry in the style of the list; the one that reads right is the one."""
    import yaml

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    line_end = "\r\n" if "\r\n" in text else "\n"
    if isinstance(root, yaml.SequenceNode) and root.flow_style:
        end = root.end_mark.index - 1
        inline = json.dumps(entry, ensure_ascii=False)
        for comma in (", ", ""):
            yield f"{text[:end]}{comma}{inline}{text[end:]}"
        return
    indent = " " * (root.start_mark.column if root is not None else 0)
    lines = [f"{indent}{line}{line_end}" for line in entry_text(entry).splitlines()]
    start = text if not text or text.endswith("\n") else text + line_end
    yield start + "".join(lines)
