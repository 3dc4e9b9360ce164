"""The installed plugins as a person wants to see them: what each adds, and what it costs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import llm

from .. import plugins
from ..text import dicts_to_table_string

_HEADINGS = ("name", "version", "adds", "load time", "fault")
_WORDS = {
    "register_models": "models",
    "register_embedding_models": "embedding models",
    "register_tools": "tools",
    "register_commands": "commands",
    "register_template_loaders": "template loaders",
    "register_fragment_loaders": "fragment loaders",
}


def load_times_ms() -> dict[str, float]:
    """Load all plugins, and say how long the import of each took, by their names.

    Empty where they are loaded already.
    """
    times: dict[str, float] = {}
    if plugins.guests_possible() and not plugins.manager().list_name_plugin():
        begun, name = 0.0, ""
        for found in plugins.loading():
            times[name] = (time.perf_counter() - begun) * 1000
            begun, name = time.perf_counter(), found.name
        times[name] = (time.perf_counter() - begun) * 1000
    return times


def plugin_table(rows: Mapping[str, dict[str, object]], times: Mapping[str, float]) -> list[str]:
    """The lines of a table of plugins.

    Args:
        rows: What `get_plugins` says of them, by the names under which they are registered.
        times: How long the import of each took, where that is known, in milliseconds.
    """
    counted = _counted()
    shown = [_cells(name, row, counted, times.get(name)) for name, row in rows.items()]
    headings = [one for one in _HEADINGS if any(row.get(one) for row in shown)]
    return [line.rstrip() for line in dicts_to_table_string(headings, shown)]


def _cells(
    name: str,
    row: Mapping[str, object],
    counted: Mapping[str, Counter[str]],
    time_ms: float | None,
) -> dict[str, object]:
    adds = (_adds(hook, counted[hook][name] if hook in counted else None) for hook in _hooks(row))
    return {
        **row,
        "adds": ", ".join(adds),
        "load time": "" if time_ms is None else f"{time_ms:.0f} ms",
        "fault": row.get("fault") or ("disabled" if row.get("disabled") else ""),
    }


def _counted() -> dict[str, Counter[str]]:
    """How many models and tools each plugin has; loaders and commands do not say whose they are."""
    tools = (str(tool.plugin) for tool in llm.get_tools().values())
    embedding_models = (one.plugin for one in llm.get_embedding_models_with_aliases())
    return {
        "register_models": Counter(one.plugin for one in llm.get_models_with_aliases()),
        "register_embedding_models": Counter(embedding_models),
        "register_tools": Counter(tools),
    }


def _adds(hook: str, number: int | None) -> str:
    words = _WORDS.get(hook, hook)
    if number is None:
        return words
    return f"{number} {words.removesuffix('s') if number == 1 else words}"


def _hooks(row: Mapping[str, object]) -> list[str]:
    hooks = row["hooks"]
    return hooks if isinstance(hooks, list) else []
