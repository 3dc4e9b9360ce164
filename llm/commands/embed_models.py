"""`llm embed-models`: which embedding models there are, and which one is the default."""

from __future__ import annotations

import click

import llm

from ..errors import UnknownModelError
from ..terminal import print_json, say
from ._group import group, json_flag
from ._options import flag, several


@group()
def embed_models() -> None:
    """List the embedding models, and choose the default one."""


@embed_models.command("list")
@several("-q", "--query", help="Only models that match; all -q must match.")
@json_flag
def embed_models_list(query: tuple[str, ...], json_: bool) -> None:
    """List the available embedding models."""
    from ..registry.embedding import listed_embedding_models

    entries = [entry for entry in listed_embedding_models() if all(map(entry.matches, query))]
    if json_:
        print_json(
            [
                {
                    "model_id": entry.model_id,
                    "aliases": entry.aliases,
                    "supports_text": entry.model.supports_text,
                    "supports_binary": entry.model.supports_binary,
                    "batch_size": entry.model.batch_size,
                }
                for entry in entries
            ]
        )
        return
    say(
        "\n".join(
            f"{entry.model} (aliases: {', '.join(entry.aliases)})"
            if entry.aliases
            else str(entry.model)
            for entry in entries
        )
    )


@embed_models.command("default")
@click.argument("model", required=False)
@flag("--remove-default", help="Let there be no default model.")
def embed_models_default(model: str | None, remove_default: bool) -> None:
    """Show the default embedding model, or set it to the one named."""
    if model and remove_default:
        raise click.UsageError("Name a model or give --remove-default, not both")
    if remove_default:
        llm.set_default_embedding_model(None)
    elif model:
        try:
            llm.set_default_embedding_model(llm.get_embedding_model(model).model_id)
        except UnknownModelError as error:
            text = str(error).replace("Unknown model", "Unknown embedding model", 1)
            raise UnknownModelError(text) from error
    elif chosen := llm.get_default_embedding_model():
        say(chosen)
    else:
        say("<No default embedding model set>", err=True)
