"""`llm similar`: what in a collection is nearest to a text, a file or another entry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from ..errors import LLMError
from ..terminal import print_json, print_pieces
from ._embeddings import (
    binary_option,
    content_option,
    content_to_embed,
    database_option,
    existing_collection,
    input_option,
)
from ._group import command
from ._options import flag, key_option, option, several

if TYPE_CHECKING:
    from ..embeddings.collection import Collection, Entry
    from ..text import JSONObject


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
@option(
    "--where",
    metavar="CONDITION",
    help="Only entries whose metadata fits, as 'year > 2020 and lang = \"en\"'.",
)
@option("--min-score", type=float, help="Only entries with this score at least.")
@several("--also", metavar="COLLECTION", help="Look in this collection of the same model, too.")
@flag("json_", "--json", help="Print one JSON array, not an object a line.")
@key_option
def similar(
    collection: str,
    id: str | None,
    input_path: str | None,
    content: str | None,
    binary: bool,
    plain: bool,
    database: str | None,
    also: tuple[str, ...],
    json_: bool,
    key: str | None,
    **wanted: Any,
) -> None:
    """Find the entries of a collection that are nearest to a text.

    \b
      llm similar notes -c 'when do we meet?'
      llm similar notes monday
      llm similar notes -c lunch --where 'year > 2020 and not lang = "en"'

    The text is that of -c, of the file or of standard input; with ID it is the entry of that id,
    which is left out. A JSON object is printed for each entry, the nearest first.
    """
    if plain and json_:
        raise click.UsageError("Give --plain or --json, not both")
    with ExitStack() as stack:
        names = dict.fromkeys((collection, *also))
        found = [stack.enter_context(existing_collection(name, database)) for name in names]
        _check_models(found)
        if id:
            vector: Sequence[float] = found[0].require(id).vector
        else:
            vector = found[0].model().embed(_content(content, input_path, binary), key=key)
        with _one_thread():
            entries = _nearest(found, vector, id or None, wanted)
    named = [(name if also else None, entry) for name, entry in entries]
    _print(named, plain=plain, json_=json_)


def _print(entries: Sequence[tuple[str | None, Entry]], *, plain: bool, json_: bool) -> None:
    if plain:
        print_pieces(as_text(entry, name) for name, entry in entries)
    elif json_:
        print_json([_row(entry, name) for name, entry in entries])
    else:
        print_pieces(json.dumps(_row(entry, name)) + "\n" for name, entry in entries)


def _check_models(found: Sequence[Collection]) -> None:
    first = found[0]
    for other in found[1:]:
        if other.model_id != first.model_id:
            raise LLMError(
                f"Cannot compare {first.name} with {other.name}: their models are "
                f"{first.model_id} and {other.model_id}, whose vectors have nothing in common"
            )


def _nearest(
    found: Sequence[Collection], vector: Sequence[float], skip_id: str | None, wanted: JSONObject
) -> list[tuple[str, Entry]]:
    """The nearest of all collections, each with the name of its own.

    `skip_id` is that of an entry of the first.
    """
    entries: list[tuple[str, Entry]] = []
    for collection in found:
        nearest = collection.similar_by_vector(vector, skip_id=skip_id, **wanted)
        entries += [(collection.name, entry) for entry in nearest]
        skip_id = None
    if len(found) > 1:
        entries.sort(key=lambda pair: (-(pair[1].score or 0), pair[1].id))
    number = wanted["number"]
    return entries if number < 0 else entries[:number]


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


def _row(entry: Entry, collection: str | None) -> JSONObject:
    """An entry as it is printed in JSON, with the name of its collection where that is asked."""
    return {**({"collection": collection} if collection else {}), **vars(entry)}


def as_text(entry: Entry, collection: str | None = None) -> str:
    """An entry for people to read, and an empty line."""
    name = f"{collection}: {entry.id}" if collection else entry.id
    lines = [f"{name} ({entry.score})", ""]
    if entry.content:
        lines.append(indent(entry.content, "  "))
    if entry.metadata:
        lines.append(indent(json.dumps(entry.metadata), "  "))
    return "\n".join([*lines, "", ""])
