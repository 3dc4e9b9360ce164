"""`llm keys`: the stored API keys."""

from __future__ import annotations

import sys

import click

from ..errors import NotFound
from ..files import config
from ..terminal import print_json, say
from ..text import suggestion
from ._group import group, json_flag

_NOTE = "// Note"


@group()
def keys() -> None:
    """Manage stored API keys."""


@keys.command("list")
@json_flag
def keys_list(json_: bool) -> None:
    """List the names of the stored keys."""
    names = sorted(_stored())
    if json_:
        print_json(names)
    elif not names and not config.keys_path().exists():
        say("No keys found")
    else:
        for name in names:
            say(name)


@keys.command("path")
def keys_path() -> None:
    """Show the path of the file that holds the keys."""
    say(config.keys_path())


@keys.command("get")
@click.argument("name")
def keys_get(name: str) -> None:
    """Print a stored key.

    \b
        export OPENAI_API_KEY="$(llm keys get openai)"
    """
    say(_key(name))


def _stored() -> dict[str, str]:
    return {name: key for name, key in config.load_keys().items() if name != _NOTE}


def _key(name: str) -> str:
    stored = _stored()
    if name not in stored:
        raise NotFound(f"No key found with name '{name}'{suggestion(name, stored, repr)}")
    return stored[name]


@keys.command("set")
@click.argument("name")
@click.option("--value", help="The key. Without it you are asked, or standard input is read.")
def keys_set(name: str, value: str | None) -> None:
    """Store a key under a name.

    \b
        llm keys set openai
        Enter key: ...
    """
    config.set_key(name, _ask() if value is None else value)


@keys.command("remove")
@click.argument("name")
def keys_remove(name: str) -> None:
    """Remove a stored key."""
    _key(name)
    config.remove_key(name)


def _ask() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Enter key", hide_input=True))
    value = sys.stdin.readline().strip()
    if not value:
        raise click.ClickException("No key given: standard input is empty")
    return value
