"""`llm fragments`: texts that are stored once and go into many prompts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from ..files.config import logs_db_path
from ..terminal import print_pieces, say
from ._group import group
from ._logs import reading, writing
from ._options import flag, several

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..content import Fragment


@group()
def fragments() -> None:
    """Manage stored fragments of prompts.

    A fragment is a text that is stored once and may go into many prompts:

    \b
      llm fragments set style style-guide.md
      llm -f style -f article.txt 'Edit this article'
    """


@fragments.command("list")
@several(
    "queries",
    "-q",
    "--query",
    help="Only those with this hash or alias, or with this text in source or content.",
)
@flag("--aliases", help="Only those that have an alias.")
@flag("json_", "--json", help="Output as JSON, with the whole content.")
def fragments_list(queries: tuple[str, ...], aliases: bool, json_: bool) -> None:
    """List the stored fragments, the oldest first."""
    from ..logs.read.shared import iter_fragments
    from ..logs.render.fragments import fragments_json, fragments_yaml

    with reading(None) as conn:
        found = iter_fragments(conn, queries, only_aliased=aliases, cut=not json_)
        print_pieces(fragments_json(found) if json_ else fragments_yaml(found))


def _checked_alias(ctx: click.Context, param: click.Parameter, alias: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", alias):
        raise click.BadParameter(
            "Fragment alias must be alphanumeric, with _ and - allowed", ctx, param
        )
    return alias


@fragments.command("set")
@click.argument("alias", callback=_checked_alias)
@click.argument("fragment")
def fragments_set(alias: str, fragment: str) -> None:
    """Store a fragment under an alias.

    FRAGMENT is a path, a URL, the hash or another alias of a stored fragment, - for standard
    input, or what a loader understands.
    """
    from ..content import Fragment
    from ..logs.read.shared import set_fragment_alias

    found = _resolved(fragment)
    text = found[0] if len(found) == 1 else Fragment("\n".join(found), fragment)
    with writing(None, create=True) as db:
        set_fragment_alias(db, alias, text)


def _resolved(name: str) -> list[Fragment]:
    """The texts that a name stands for; a loader may give several."""
    from ..prompting.material import load_fragments
    from ..prompting.request import LogSettings

    return load_fragments(LogSettings(), [name], only_text=True)[0]


@fragments.command("show")
@click.argument("alias_or_hash")
def fragments_show(alias_or_hash: str) -> None:
    """Print the content of a fragment."""
    print_pieces(f"{text}\n" for text in _resolved(alias_or_hash) or ("",))


@fragments.command("remove")
@click.argument("alias")
def fragments_remove(alias: str) -> None:
    """Remove an alias; the fragment stays, as prompts refer to it."""
    from ..logs.read.shared import remove_fragment_alias

    if logs_db_path().exists():
        with writing(None) as db:
            remove_fragment_alias(db, alias)


@fragments.command("loaders")
def fragments_loaders() -> None:
    """Show the loaders of fragments, ours and those of plugins."""
    import llm

    print_loaders(llm.get_fragment_loaders(), apart=True, none="No fragment loaders found")


def print_loaders(loaders: Mapping[str, Callable[..., object]], *, apart: bool, none: str) -> None:
    """Write the prefix of each loader, and what its docstring says."""
    import inspect

    if not loaders:
        say(none)
    for number, (prefix, loader) in enumerate(loaders.items()):
        if apart and number:
            say()
        say(f"{prefix}:")
        for line in (inspect.getdoc(loader) or "Undocumented").split("\n"):
            say(f"  {line}" if line else "")
