"""`llm aliases`: names of the user's own for models."""

from __future__ import annotations

import click

import llm

from ..files import config
from ..terminal import print_json, say
from ._group import group, json_flag


@group()
def aliases() -> None:
    """Manage aliases of models."""


@aliases.command("list")
@json_flag
def aliases_list(json_: bool) -> None:
    """List all aliases, those of plugins included, with the id of their model."""
    from ..registry import listed_models
    from ..registry.embedding import listed_embedding_models

    entries = listed_models()
    rows = [(alias, entry.model_id, "") for entry in entries for alias in entry.aliases]
    for other in listed_embedding_models():
        rows += [(alias, other.model_id, " (embedding)") for alias in other.aliases]
    if json_:
        print_json({alias: model_id for alias, model_id, _ in rows}, indent=4)
        return
    width = max((len(alias) for alias, _, _ in rows), default=0)
    for alias, model_id, kind in rows:
        say(f"{alias:<{width}} : {model_id}{kind}")


@aliases.command("set")
@click.argument("alias")
@click.argument("model_id", required=False)
@click.option(
    "-q", "--query", multiple=True, help="Take the first model that matches; all -q must match."
)
def aliases_set(alias: str, model_id: str | None, query: tuple[str, ...]) -> None:
    """Set an alias for a model.

    \b
        llm aliases set luna gpt-5.6-luna

    In place of the model id, one or more -q choose the first model that matches them all:

    \b
        llm aliases set luna -q gpt -q luna
    """
    if model_id:
        llm.set_alias(alias, model_id)
        return
    if not query:
        raise click.ClickException("You must provide a model_id or at least one -q option")
    from ..registry import entries_matching

    found = entries_matching(query)
    if not found:
        raise click.ClickException(f"No model found matching query: {', '.join(query)}")
    llm.set_alias(alias, found[0].model_id)
    say(f"Alias '{alias}' set to model '{found[0].model_id}'", err=True)


@aliases.command("remove")
@click.argument("alias")
def aliases_remove(alias: str) -> None:
    """Remove an alias that was set with 'llm aliases set'."""
    llm.remove_alias(alias)


@aliases.command("path")
def aliases_path() -> None:
    """Show the path of the file that holds the aliases."""
    say(config.aliases_path())
