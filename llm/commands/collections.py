"""`llm collections`: which collections of embeddings there are."""

from __future__ import annotations

import click

from ..errors import NotFound
from ..terminal import print_json, say
from ._embeddings import database_option, database_path, existing_collection
from ._group import group, json_flag


@group()
def collections() -> None:
    """Manage collections of embeddings."""


@collections.command("path")
def collections_path() -> None:
    """Print the path of the database of embeddings."""
    say(database_path(None))


@collections.command("list")
@database_option
@json_flag
def collections_list(database: str | None, json_: bool) -> None:
    """List the collections, with the model of each and how many entries it has."""
    from ..embeddings.sqlite import reading_store

    path = database_path(database)
    with reading_store(path) as store:
        rows = None if store is None else store.listing()
    if rows is None:
        raise NotFound(f"No collections table found in {path}")
    if json_:
        keys = ("name", "model", "num_embeddings")
        print_json([dict(zip(keys, row, strict=True)) for row in rows], indent=4)
        return
    for name, model, count in rows:
        say(f"{name}: {model}\n  {count} embedding{'' if count == 1 else 's'}")


@collections.command("delete")
@click.argument("collection")
@database_option
def collections_delete(collection: str, database: str | None) -> None:
    """Delete a collection with everything in it.

    \b
      llm collections delete notes
    """
    with existing_collection(collection, database) as found:
        found.delete()


@collections.command("index")
@click.argument("collection")
@database_option
def collections_index(collection: str, database: str | None) -> None:
    """Make an index of a collection in PostgreSQL (HNSW), for a search that does not read it all.

    \b
      llm collections index notes -d postgresql://localhost/vectors

    The search is approximate from then on: what it finds is compared exactly, what it misses is not
    there. New entries are taken into the index by themselves.
    """
    with existing_collection(collection, database) as found:
        found.index()
