"""`llm similar`: what in a collection is nearest to a text, a file or another entry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import indent
from typing import TYPE_CHECKING

import click

from ..errors import LLMError
from ..terminal import print_pieces
from ._embeddings import (
    binary_option,
    content_option,
    content_to_embed,
    database_option,
    existing_collection,
    input_option,
)
from ._group import command
from ._options import flag, key_option, option

if TYPE_CHECKING:
    from ..embeddings.collection import Entry


@command()
@click.argument("collection")
@click.argument("id", required=False)
@input_option
@content_option
@binary_option
@option(
    "-n",
    "--number",
    type=int,
    default=10,
    show_default=True,
    help="How many entries to show; all with a negative number.",
)
@flag("-p", "--plain", help="Print text instead of JSON.")
@database_option
@option("--prefix", help="Only entries whose id starts so.")
@key_option
def similar(
    collection: str,
    id: str | None,
    input_path: str | None,
    content: str | None,
    binary: bool,
    number: int,
    plain: bool,
    database: str | None,
    prefix: str | None,
    key: str | None,
) -> None:
    """Find the entries of a collection that are nearest to a text.

    \b
      llm similar notes -c 'when do we meet?'
      llm similar notes monday

    The text is that of -c, of the file or of standard input; with ID it is the entry of that id,
    which is left out. A JSON object is printed for each entry, the nearest first.
    """
    with existing_collection(collection, database) as found:
        if id:
            with _one_thread():
                entries = found.similar_by_id(id, number, prefix)
        else:
            vector = found.model().embed(_content(content, input_path, binary), key=key)
            with _one_thread():
                entries = found.similar_by_vector(vector, number, prefix=prefix)
    print_pieces(map(as_text if plain else as_line, entries))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let numpy, where it is imported now, start no threads: they cost more than they save here."""
    name = "OPENBLAS_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def _content(content: str | None, input_path: str | None, binary: bool) -> str | bytes:
    from ..terminal import is_text_piped_in

    found = None
    if content or input_path or is_text_piped_in():
        found = content_to_embed(content, input_path, binary=binary)
    if found is None:
        raise LLMError("Must provide content or an ID for the comparison")
    return found


def as_line(entry: Entry) -> str:
    """An entry as a JSON object on a line."""
    return json.dumps(vars(entry)) + "\n"


def as_text(entry: Entry) -> str:
    """An entry for people to read, and an empty line."""
    lines = [f"{entry.id} ({entry.score})", ""]
    if entry.content:
        lines.append(indent(entry.content, "  "))
    if entry.metadata:
        lines.append(indent(json.dumps(entry.metadata), "  "))
    return "\n".join([*lines, "", ""])
