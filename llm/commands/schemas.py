"""`llm schemas`: the schemas that answers were asked to fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from ..errors import NotFound
from ..terminal import print_json, print_pieces
from ._group import group, json_flag
from ._logs import database_option, path_option, reading
from ._options import flag, several

if TYPE_CHECKING:
    from ..logs.read.shared import StoredSchema


@group()
def schemas() -> None:
    """Manage stored schemas of answers.

    A schema says what an answer has to look like:

    \b
      llm --schema 'name, age int, bio: one sentence' 'Invent a dog'
      llm schemas
    """


@schemas.command("list")
@path_option
@database_option
@several("queries", "-q", "--query", help="Only those that hold this text.")
@flag("--full", help="Show each schema as a whole.")
@json_flag
@flag("--nl", help="Output as JSON, one object a line.")
def schemas_list(
    path: str | None,
    database: str | None,
    queries: tuple[str, ...],
    full: bool,
    json_: bool,
    nl: bool,
) -> None:
    """List the schemas that prompts have used, the one used last at the end."""
    from ..logs.read.shared import iter_schemas
    from ..text import output_rows_as_json

    with reading(path or database) as conn:
        found = iter_schemas(conn, queries)
        if json_ or nl:
            rows = (schema._asdict() for schema in found)
            print_pieces(f"{line}\n" for line in output_rows_as_json(rows, nl=nl))
        else:
            print_pieces(_yaml(found, full=full))


def _yaml(schemas: Iterable[StoredSchema], *, full: bool) -> Iterator[str]:
    from ..schemas.notation import schema_summary

    for schema in schemas:
        text = json.dumps(schema.content, indent=2) if full else schema_summary(schema.content)
        indented = text.replace("\n", "\n    ")
        plural = "" if schema.times_used == 1 else "s"
        yield (
            f"- id: {schema.id}\n"
            f"  {'schema' if full else 'summary'}: |\n    {indented}\n"
            f"  usage: |\n    {schema.times_used} time{plural}, "
            f"most recently {schema.recently_used}\n"
        )


@schemas.command("show")
@click.argument("schema_id")
@path_option
@database_option
def schemas_show(schema_id: str, path: str | None, database: str | None) -> None:
    """Print a stored schema as JSON."""
    from ..logs.read.shared import find_schema

    with reading(path or database) as conn:
        found = find_schema(conn, schema_id)
    if found is None:
        raise NotFound(f"Invalid schema ID: {schema_id} ('llm schemas' lists what is stored)")
    print_json(found)


@schemas.command("dsl")
@click.argument("text", metavar="TEXT")
@flag("--multi", help="A list of such objects.")
def schemas_dsl(text: str, multi: bool) -> None:
    """Print the JSON schema that a list of fields stands for.

    \b
      llm schemas dsl 'name, age int, bio: one sentence'
    """
    from ..schemas.notation import parse_dsl

    print_json(parse_dsl(text, multi))
