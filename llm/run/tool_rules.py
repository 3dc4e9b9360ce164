"""`tools.yaml` of the user directory: the person's rules about tools, read and added to."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError
from ..files import config
from ..files.yaml_files import InvalidYAML, parse_yaml, yaml_with_item
from ..tools.policy import Rules

_REMEDY = "Correct the file: no tool runs before its rules are understood"


def rules_path() -> Path:
    """The file of rules; it may not exist."""
    return config.user_dir() / "tools.yaml"


def load_rules() -> Rules:
    """The rules of `tools.yaml`, as they hold in the current folder; none without the file.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    path = Path(config.user_path()) / "tools.yaml"
    text = config.read_text(path)
    if text is None:
        return Rules()
    try:
        return Rules.from_data(parse_yaml(text), os.getcwd(), os.path.realpath)
    except InvalidYAML as error:
        raise error.in_file(path, _REMEDY) from error
    except ValueError as error:
        raise ConfigError(path, str(error), _REMEDY) from error


def remember(rule: str, folder: str | None = None) -> None:
    """Add to `tools.yaml` that calls which a rule covers need no question any more.

    Comments and the order of the file stay.

    Args:
        rule: The rule.
        folder: The absolute path of the folder that it holds in; everywhere where missing.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = rules_path()
    keys = ["allow"] if folder is None else ["folders", folder, "allow"]

    def change(text: str) -> str:
        try:
            return yaml_with_item(text, keys, rule, may_rewrite=True) or text
        except InvalidYAML as error:
            raise error.in_file(path, _REMEDY) from error

    config.update_text(path, change)
