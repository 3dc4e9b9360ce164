"""`llm collections`: which collections of embeddings there are."""

from __future__ import annotations

import click

from ..errors import NotFound
from ..terminal import print_json, say
from ._embeddings import database_option, database_path, existing_collection
from ._group import group, json_flag

_LIST = """
    select name, model, (select count(*) from embeddings where collection_id = collections.id)
    from collections order by name
"""


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
    from ..embeddings.opening import reading
    from ..logs.file.migrations import has_table

    path = database_path(database)
    with reading(path) as conn:
        if conn is None or not has_table(conn, "collections"):
            raise NotFound(f"No collections table found in {path}")
        rows = conn.execute(_LIST).fetchall()
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
