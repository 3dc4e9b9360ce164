"""`llm plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import contextlib

from ..terminal import print_json, show_note
from ._group import command
from ._options import flag, several


@command("plugins")
@flag("--all", help="Include the plugins that come with llm.")
@several("hooks", "--hook", metavar="HOOK", help="Only plugins that implement this hook.")
@flag("json_", "--json", help="Output as JSON, which it always is.")
@flag("--reindex", help="First note anew what each plugin registers.")
def plugins(all: bool, hooks: tuple[str, ...], json_: bool, reindex: bool) -> None:
    """List the installed plugins, with the hooks that each implements.

    A plugin that fails has the reason as its "fault".
    """
    from ..registry.plugin_list import get_plugins

    if reindex:
        _reindex()
    if get_plugins():
        _call_hooks()
    rows = get_plugins(all=all)
    if hooks:
        rows = [row for row in rows if _implemented(row) & set(hooks)]
    print_json(rows)


def _reindex() -> None:
    from ..plugin_index import any_plugin_installed
    from ..plugin_index.records import renew_index

    if any_plugin_installed() and not renew_index():
        text = "The plugins cannot be indexed here: all of them are loaded by every command"
        show_note(text)


def _implemented(row: dict[str, object]) -> set[str]:
    found = row["hooks"]
    return set(found) if isinstance(found, list) else set()


def _call_hooks() -> None:
    """Let each plugin register what it has, and show its models: only that shows most faults."""
    import llm

    from ..errors import ConfigError
    from .models import as_json, as_text

    def show_models() -> None:
        entries = llm.get_models_with_aliases()
        list(as_text(entries, options=False))
        as_json(entries, options=False)

    for look_up in (
        show_models,
        llm.get_embedding_models_with_aliases,
        llm.get_tools,
        llm.get_template_loaders,
        llm.get_fragment_loaders,
    ):
        with contextlib.suppress(ConfigError):
            look_up()
