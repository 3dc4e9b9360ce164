"""`llm plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from ..errors import NotFound
from ..files.disabled_plugins import disabled_plugins, normal_name, set_disabled
from ..plugin_index.faults import tell_held_back
from ..terminal import is_terminal, print_json, print_pieces, say, show_note
from ..text import suggestion
from ._group import LazyGroup
from ._options import flag, several


@click.group("plugins", cls=LazyGroup, invoke_without_command=True)
@flag("--all", help="Include the plugins that come with llm.")
@several("hooks", "--hook", metavar="HOOK", help="Only plugins that implement this hook.")
@flag("json_", "--json", help="Output as JSON on a terminal, too.")
@flag("--reindex", help="First note anew what each plugin registers.")
@click.pass_context
def plugins(
    ctx: click.Context, all: bool, hooks: tuple[str, ...], json_: bool, reindex: bool
) -> None:
    """List the installed plugins: on a terminal what each adds, in a pipe JSON with its hooks.

    A plugin that fails has the reason as its "fault"; one that is switched off is "disabled".
    """
    if ctx.invoked_subcommand is not None:
        return
    from ..plugin_index.installed import offer_sync
    from ..registry.plugin_list import plugins_by_name

    if reindex:
        _reindex()
    is_table = is_terminal(sys.stdout) and not json_
    times = _load_times_ms()
    if plugins_by_name():
        _call_hooks()
        tell_held_back()
    rows = {**plugins_by_name(all), **_disabled_rows()}
    if hooks:
        rows = {name: row for name, row in rows.items() if _implemented(row) & set(hooks)}
    offer_sync()
    if is_table:
        _print_table(rows, times)
    else:
        print_json(list(rows.values()))


@plugins.command("sync")
def plugins_sync() -> None:
    """Install again what was installed here with 'llm install' and is gone.

    \b
    An upgrade of llm with pipx or uv may make its environment anew, without plugins.
    """
    from ..plugin_index.installed import missing
    from .install import run

    requirements = missing()
    if not requirements:
        show_note("Nothing is missing: all that was installed here is there")
        return
    # An editable one is an option and its value.
    arguments = (part for one in requirements.values() for part in _as_arguments(one))
    run("install", *arguments)


@plugins.command("new")
@click.argument("name")
def plugins_new(name: str) -> None:
    """Write a plugin to begin with into the folder llm-NAME.

    \b
    It has a model behind an HTTP API, and a test that passes:
        llm plugins new parrot
        cd llm-parrot
        llm install -e '.[test]'
        python -m pytest
    """
    from pathlib import Path

    from ..registry.new_plugin import write_plugin

    folder = write_plugin(name, Path.cwd())
    say(folder)
    show_note(f"To install it: cd {folder.name}; llm install -e '.[test]'")


def _as_arguments(requirement: str) -> list[str]:
    option, _, path = requirement.partition(" ")
    return [option, path] if option == "-e" else [requirement]


@plugins.command("disable")
@click.argument("plugin")
def plugins_disable(plugin: str) -> None:
    """Switch a plugin off: it stays installed, and is not imported.

    \b
        llm plugins disable llm-markov
    """
    set_disabled(_installed(plugin), True)


@plugins.command("enable")
@click.argument("plugin")
def plugins_enable(plugin: str) -> None:
    """Switch a plugin on again."""
    disabled = disabled_plugins()
    name = normal_name(plugin)
    if name not in disabled:
        name = normal_name(_installed(plugin))
    if name not in disabled:
        raise NotFound(f"The plugin {plugin} is not disabled{suggestion(name, sorted(disabled))}")
    set_disabled(name, False)


def _installed(plugin: str) -> str:
    """The distribution of an installed plugin, which may be given by its own name, too."""
    from ..plugin_index.finding import all_plugins

    found = {one.distribution: one.name for one in all_plugins()}
    for distribution, name in found.items():
        if normal_name(plugin) in (normal_name(distribution), normal_name(name)):
            return distribution
    near = suggestion(plugin, list(found))
    raise NotFound(f"No plugin {plugin} is installed{near or '. See: llm plugins'}")


def _disabled_rows() -> dict[str, dict[str, object]]:
    from ..plugin_index.finding import all_plugins

    disabled = set() if "LLM_LOAD_PLUGINS" in os.environ else disabled_plugins()
    return {
        one.name: {
            "name": one.distribution,
            "hooks": [],
            "version": one.version,
            "disabled": True,
        }
        for one in (all_plugins() if disabled else ())
        if normal_name(one.distribution) in disabled
    }


def _load_times_ms() -> dict[str, float]:
    import llm

    from ..registry.plugin_table import load_times_ms

    # Somebody who is tired of a plugin wants to see the others.
    llm.plugins.outlasts_interrupts = True
    return load_times_ms()


def _print_table(rows: dict[str, dict[str, object]], times: dict[str, float]) -> None:
    if not rows:
        show_note("No plugin is installed")
        return
    from ..registry.plugin_table import plugin_table

    print_pieces(f"{line}\n" for line in plugin_table(rows, times))


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
