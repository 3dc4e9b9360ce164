"""`llm keys`: the stored API keys."""

from __future__ import annotations

import sys
from collections.abc import Mapping

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
    names = sorted(_names(config.load_keys()))
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
    stored = config.load_keys()
    _check_name(name, stored)
    say(stored[name])


def _names(stored: Mapping[str, str]) -> list[str]:
    return [name for name in stored if name != _NOTE]


def _check_name(name: str, stored: Mapping[str, str]) -> None:
    known = _names(stored)
    if name not in known:
        raise NotFound(f"No key found with name '{name}'{suggestion(name, known, repr)}")


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
    _check_name(name, config.load_keys())
    config.remove_key(name)


def _ask() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Enter key", hide_input=True))
    value = sys.stdin.readline().strip()
    if not value:
        raise click.ClickException("No key given: standard input is empty")
    return value
