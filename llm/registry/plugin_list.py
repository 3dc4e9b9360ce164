"""Which plugins take part, and what is wrong with them."""

from __future__ import annotations

from .. import plugins
from ..plugins import DEFAULTS_PREFIX, faults, manager, origins


def get_plugins(all: bool = False) -> list[dict[str, object]]:
    """The loaded plugins in the order of registration, then those that could not be loaded.

    Args:
        all: Include the default plugins.

    Returns:
        A dict for each with `name` (of the distribution where it has one), `hooks` (sorted names),
        `version` where it is known, and `fault` (a text) where it has failed.
    """
    return list(plugins_by_name(all).values())


def plugins_by_name(all: bool = False) -> dict[str, dict[str, object]]:
    """As `get_plugins`, by the names under which they are registered."""
    plugins.load_plugins()
    registered = {name: plugin for name, plugin in manager().list_name_plugin() if plugin}
    failed = {fault.plugin: fault.problem for fault in faults()}
    rows = {
        name: _describe(name, registered.get(name), failed.get(name))
        for name in {**registered, **failed}
    }
    return {
        name: row
        for name, row in rows.items()
        if all or not str(row["name"]).startswith(DEFAULTS_PREFIX)
    }


def _describe(plugin_name: str, plugin: object | None, problem: str | None) -> dict[str, object]:
    callers = manager().get_hookcallers(plugin) if plugin else None
    name = getattr(plugin, "__name__", plugin_name)
    row: dict[str, object] = {"name": name, "hooks": sorted(found.name for found in callers or ())}
    if plugin_name in origins():
        row["name"], row["version"] = origins()[plugin_name]
    if problem is not None:
        row["fault"] = problem
    return row
