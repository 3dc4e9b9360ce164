"""`llm embed`: one text or file to a vector, which is printed or stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ..errors import LLMError
from ..terminal import say
from ._embeddings import (
    binary_option,
    collection_to_fill,
    content_option,
    content_to_embed,
    database_option,
    embedding_model,
    input_option,
    model_option,
    store_option,
    write_bytes,
)
from ._group import command
from ._options import key_option, option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..text import JSONObject

FORMATS = ("json", "blob", "base64", "hex")


def _json_object(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> JSONObject | None:
    if value is None:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"metadata must be valid JSON ({error})", ctx, param) from error
    if not isinstance(found, dict):
        raise click.BadParameter("metadata must be a JSON object", ctx, param)
    return found


@command()
@click.argument("collection", required=False)
@click.argument("id", required=False)
@input_option
@model_option
@key_option
@store_option
@database_option
@content_option
@binary_option
@option("--metadata", callback=_json_object, help="JSON object to store with the entry.")
@option(
    "-f",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to print the vector: as JSON (the default), or its little-endian 32-bit floats as "
    "they are, in base64 or in hexadecimal digits.",
)
def embed(
    collection: str | None,
    id: str | None,
    input_path: str | None,
    model_id: str | None,
    key: str | None,
    store: bool,
    database: str | None,
    content: str | None,
    binary: bool,
    metadata: JSONObject | None,
    form: str | None,
) -> None:
    """Embed a text or a file, and print its vector or store it.

    \b
      llm embed -m 3-small -c 'Hello'
      llm embed notes monday -m 3-small -i monday.txt --store

    With COLLECTION and ID the vector is stored, and printed only with --format. The text is that
    of -c, of the file or of standard input.
    """
    if collection and not id:
        raise LLMError("Must provide both collection and id")
    if store and not collection:
        raise LLMError("Must provide collection when using --store")
    if collection is None or id is None:
        model = embedding_model(model_id)
        value = _content(content, input_path, binary)
        print_vector(model.embed(value, key=key), form or "json")
        return
    with collection_to_fill(collection, database, model_id) as found:
        found.embed(id, _content(content, input_path, binary), metadata, store, key=key)
        if form and (entry := found.get(id)):
            print_vector(entry.vector, form)


def _content(content: str | None, input_path: str | None, binary: bool) -> str | bytes:
    found = content_to_embed(content, input_path, binary=binary)
    if found is None:
        raise LLMError("No content provided: give it with -c, -i or on standard input")
    return found


def print_vector(vector: Sequence[float], form: str) -> None:
    """Write a vector to standard output in one of `FORMATS`."""
    from base64 import b64encode

    from ..models.embedding import encode

    if form == "json":
        say(json.dumps(list(vector)))
    elif form == "blob":
        write_bytes(encode(vector) + b"\n")
    else:
        raw = encode(vector)
        say(raw.hex() if form == "hex" else b64encode(raw).decode())
