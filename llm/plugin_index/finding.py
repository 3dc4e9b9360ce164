"""The plugins that are installed, from the metadata of their distributions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import NamedTuple

from ..errors import ConfigError
from ..files.disabled_plugins import disabled_plugins, normal_name

GROUP = "llm"


class Found(NamedTuple):
    """An installed plugin.

    Attributes:
        name: The name of its entry point, under which it is registered.
        distribution: The name of its distribution, where it has one.
        version: The version of that.
        entry_point: What imports it.
        metadata: Where it is installed, and what belongs to it.
    """

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint
    metadata: metadata.Distribution


def find_plugins(
    tell: Callable[[str], None], report: Callable[[str, Exception], None]
) -> Iterator[Found]:
    """The plugins to load in a stable order: as LLM_LOAD_PLUGINS has them, else by distribution.

    Those that the user has switched off are left out where the variable does not name them.

    Args:
        tell: Called with a line about a distribution that there is not.
        report: Called with a distribution and what is wrong with its metadata.
    """
    chosen = os.environ.get("LLM_LOAD_PLUGINS")
    distributions: list[metadata.Distribution] = []
    if chosen is None:
        distributions += (one for one in metadata.distributions() if _entry_points_of(one, report))
        distributions.sort(key=lambda found: _field(found, "Name").lower())
    for name in filter(None, map(str.strip, (chosen or "").split(","))):
        try:
            distributions.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            tell(f"Plugin {name} could not be found")
    off = _switched_off(tell) if chosen is None else set()
    for found in _installed_among(distributions, report):
        if normal_name(found.distribution) not in off:
            yield found


def all_plugins() -> list[Found]:
    """Every plugin that is installed, whether it is to be loaded or not."""
    return list(_installed_among(metadata.distributions(), lambda name, error: None))


def _installed_among(
    distributions: Iterable[metadata.Distribution], report: Callable[[str, Exception], None]
) -> Iterator[Found]:
    for found in distributions:
        for entry_point in _entry_points_of(found, report):
            name = _field(found, "Name") or entry_point.name
            yield Found(entry_point.name, name, _field(found, "Version"), entry_point, found)


def _switched_off(tell: Callable[[str], None]) -> set[str]:
    try:
        return disabled_plugins()
    except ConfigError as error:
        tell(str(error))
        return set()


def _entry_points_of(
    distribution: metadata.Distribution, report: Callable[[str, Exception], None]
) -> list[metadata.EntryPoint]:
    try:
        return [found for found in distribution.entry_points if found.group == GROUP]
    except Exception as ex:
        # Metadata that cannot be read concerns us only where it may be that of a plugin.
        if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
            report(_field(distribution, "Name") or "(unnamed)", ex)
        return []


def _field(distribution: metadata.Distribution, name: str) -> str:
    """A field of the metadata, or nothing; Python warns of asking for one that is missing."""
    fields = distribution.metadata
    return fields[name] if name in fields else ""  # noqa: SIM401 (its type has no get)
