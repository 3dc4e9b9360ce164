"""`llm keys`: the stored API keys."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from ..terminal import print_json, say
from ._errors import reported
from ._group import LazyGroup, json_flag

_NOTE = "// Note"


@click.group(cls=LazyGroup, default="list")
def keys() -> None:
    """Manage stored API keys."""


@keys.command(name="list")
@json_flag
@reported
def keys_list(json_: bool) -> None:
    """List the names of the stored keys."""
    from ..files.config import keys_path, load_keys

    names = sorted(name for name in load_keys() if name != _NOTE)
    if json_:
        print_json(names)
    elif not names and not keys_path().exists():
        say("No keys found")
    else:
        for name in names:
            say(name)


@keys.command(name="path")
@reported
def keys_path_command() -> None:
    """Show the path of the file that holds the keys."""
    from ..files.config import keys_path

    say(keys_path())


@keys.command(name="get")
@click.argument("name")
@reported
def keys_get(name: str) -> None:
    """Print a stored key.

    \b
        export OPENAI_API_KEY="$(llm keys get openai)"
    """
    from ..files.config import load_keys

    stored = load_keys()
    _check_name(name, stored)
    say(stored[name])


def _check_name(name: str, stored: Mapping[str, str]) -> None:
    from ..errors import NotFound
    from ..text import suggestion

    known = [entry for entry in stored if entry != _NOTE]
    if name not in known:
        raise NotFound(f"No key found with name '{name}'{suggestion(name, known, repr)}")


@keys.command(name="set")
@click.argument("name")
@click.option("--value", help="The key. Without it you are asked, or standard input is read.")
@reported
def keys_set(name: str, value: str | None) -> None:
    """Store a key under a name.

    \b
        llm keys set openai
        Enter key: ...
    """
    from ..files.config import set_key

    set_key(name, _ask() if value is None else value)


@keys.command(name="remove")
@click.argument("name")
@reported
def keys_remove(name: str) -> None:
    """Remove a stored key."""
    from ..files.config import load_keys, remove_key

    _check_name(name, load_keys())
    remove_key(name)


def _ask() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Enter key", hide_input=True))
    value = sys.stdin.readline().strip()
    if not value:
        raise click.ClickException("No key given: standard input is empty")
    return value
