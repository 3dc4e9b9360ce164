"""What was installed beside `llm`, by environment: `installed_plugins.json` of the user directory.

An upgrade may make the environment of `llm` anew, without its plugins. The list outlives that.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..files import config
from ..files.disabled_plugins import normal_name
from ..terminal import show_note
from ..text import JSONObject

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_KEY = "environments"
# A requirement that begins with a name: no address and no path.
_NAME = re.compile(r"[\w.-]*\w(?=$|[\s\[<>=!~;@])")
_is_told = False
_METADATA = (".dist-info", ".egg-info")


def missing() -> dict[str, str]:
    """What was installed in this environment and is no longer there: requirements by name.

    Raises:
        ConfigError: The list cannot be read.
    """
    there: set[str] = set()
    for folder in sys.path:
        with suppress(OSError):
            there.update(
                normal_name(entry.partition("-")[0])
                for entry in os.listdir(folder or ".")
                if entry.endswith(_METADATA)
            )
    listed = _of_here(config.read_json_object(_path())).items()
    return {name: requirement for name, requirement in listed if name not in there}


def offer_sync() -> None:
    """Say in one line, once in a process, what is missing, if anything is."""
    global _is_told
    if _is_told or not _path().exists():
        return
    _is_told = True
    try:
        gone = ", ".join(sorted(missing()))
    except ConfigError as error:
        show_note(str(error))
        return
    if gone:
        show_note(f"Installed here before, and gone: {gone}. To bring back: llm plugins sync")


def note_installed(requirements: Iterable[str]) -> None:
    """Take down what was asked for, and each plugin that is there.

    Raises:
        ConfigError: The list cannot be read or written.
    """
    from .finding import all_plugins

    asked = {
        normal_name(found[0]): requirement
        for requirement in requirements
        if (found := _NAME.match(requirement)) and not os.path.exists(requirement)
    }

    def change(listed: dict[str, str]) -> None:
        for plugin in all_plugins():
            name = normal_name(plugin.distribution)
            listed[name] = _from_elsewhere(plugin.metadata) or listed.get(name, name)
        listed.update(asked)
        listed.pop("llm", None)

    _change(change)


def note_removed(names: Iterable[str]) -> None:
    """Strike those names off that are there no longer.

    Raises:
        ConfigError: The list cannot be read or written.
    """
    if not _path().exists():
        return
    gone = missing().keys() & set(map(normal_name, names))

    def change(listed: dict[str, str]) -> None:
        for name in gone:
            listed.pop(name, None)

    _change(change)


def _from_elsewhere(distribution: Distribution) -> str | None:
    """Where a distribution came from that is from no package index, as pip takes it."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    from urllib.request import url2pathname

    # Source: the specification of direct_url.json, PEP 610.
    found = json.loads(text)
    url = str(found["url"])
    if "dir_info" in found:
        path = url2pathname(urlsplit(url).path)
        return f"-e {path}" if found["dir_info"].get("editable") else path
    return f"{found['vcs_info']['vcs']}+{url}" if "vcs_info" in found else url


def _change(change: Callable[[dict[str, str]], None]) -> None:
    def change_all(content: JSONObject) -> None:
        listed = _of_here(content)
        change(listed)
        others = content.get(_KEY)
        content[_KEY] = {**(others if isinstance(others, dict) else {}), sys.prefix: listed}

    config.user_dir()
    config.update_json(_path(), change_all, indent=2, newline=True)


def _of_here(content: JSONObject) -> dict[str, str]:
    environments = content.get(_KEY)
    listed = environments.get(sys.prefix) if isinstance(environments, dict) else None
    return {str(name): str(one) for name, one in (listed or {}).items()}


def _path() -> Path:
    return Path(config.user_path(), "installed_plugins.json")
