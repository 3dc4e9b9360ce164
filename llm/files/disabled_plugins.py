"""The plugins that the user has switched off, in `disabled_plugins.json`."""

from __future__ import annotations

from pathlib import Path

from ..text import JSONObject
from . import config

_KEY = "disabled"


def disabled_plugins() -> set[str]:
    """The names of the distributions, as `normal_name` has them.

    Raises:
        ConfigError: The file is not valid or cannot be read.
    """
    return _names_in(config.read_json_object(_path()))


def set_disabled(distribution: str, is_disabled: bool) -> None:
    """Switch a plugin off, or on again.

    Raises:
        ConfigError: The file is not valid, or cannot be read or written.
    """

    def change(content: JSONObject) -> None:
        others = _names_in(content) - {normal_name(distribution)}
        added = {normal_name(distribution)} if is_disabled else set()
        content[_KEY] = sorted(others | added)

    config.update_json(_path(), change, indent=2, newline=True)


def normal_name(distribution: str) -> str:
    """The name of a distribution as package indexes compare it."""
    return distribution.lower().replace("_", "-").replace(".", "-")


def _names_in(content: JSONObject) -> set[str]:
    found = content.get(_KEY)
    return {normal_name(str(name)) for name in found} if isinstance(found, list) else set()


def _path() -> Path:
    return config.user_dir() / "disabled_plugins.json"
