"""`llm conversations export` and `import`: files in which conversations travel."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

import click

from ..terminal import print_pieces, say
from ._errors import reported
from ._logs import database_option, reading, writing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from ..serialization import ConversationDict

FORMATS = ("json", "openai", "markdown")


@click.command()
@click.argument("conversations", metavar="[CONVERSATION]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All conversations, the oldest first.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Format of the file. Default: markdown for a FILE named *.md, else json.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="File to write, instead of stdout."
)
@database_option
@reported
def export(
    conversations: tuple[str, ...],
    all_: bool,
    form: str | None,
    output: str | None,
    database: str | None,
) -> None:
    """Write conversations as JSON, JSONL or Markdown.

    \b
    json      Everything that the log holds of them, one object a line.
    openai    Messages as OpenAI's chat API takes them, one request a line.
    markdown  One conversation, to be read, edited and imported again.

    Without CONVERSATION the one used last is written.
    """
    from ..logs.exchange.exporting import export_conversation
    from ..logs.exchange.formats import written

    with closing(reading(database)) as conn:
        ids = _chosen(conn, conversations, all_)
        form = form or _format_named(output)
        if form == "markdown" and len(ids) > 1:
            raise click.UsageError("A Markdown file holds one conversation: name only one")
        pieces = written((export_conversation(conn, one) for one in ids), form)
        if output is None:
            print_pieces(pieces)
        else:
            _write_file(output, pieces)


def _format_named(output: str | None) -> str:
    """The format that the name of a file asks for."""
    is_markdown = output is not None and output.lower().endswith((".md", ".markdown"))
    return "markdown" if is_markdown else "json"


def _write_file(path: str, pieces: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", errors="replace", newline="") as file:
        file.writelines(pieces)


def _chosen(conn: sqlite3.Connection, names: tuple[str, ...], all_: bool) -> list[str]:
    from ..logs.records.threads import (
        newest_conversations,
        require_conversation_id,
        require_latest_conversation_id,
    )

    if all_ and names:
        raise click.UsageError("--all leaves no conversation to be named")
    if names:
        return [require_conversation_id(conn, name) for name in names]
    if all_:
        return [pair[0] for pair in newest_conversations(conn)][::-1]
    return [require_latest_conversation_id(conn)]


@click.command(name="import")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Format of the file. Default: what it looks like.",
)
@click.option(
    "-m", "--model", "model_id", help="Model that is said to have answered where none is named."
)
@click.option("--name", metavar="TITLE", help="Title of the conversation.")
@click.option("-d", "--database", type=click.Path(dir_okay=False), help="Path to the log database.")
@reported
def import_(
    file: BinaryIO, form: str | None, model_id: str | None, name: str | None, database: str | None
) -> None:
    """Put conversations from FILE, or from standard input, into the log.

    The id of each is printed; 'llm --cid ID' continues it. What is in the log stays as it is: a
    conversation whose id is there already gets a new one. Edited Markdown becomes a fork of the
    conversation that it was made from.
    """
    from ..logs.exchange.formats import format_of, read
    from ..logs.exchange.importing import import_conversation
    from ..logs.file.transactions import immediate
    from ..registry import resolve_default_model, resolve_model_id
    from ..terminal import decode_text

    text = decode_text(file.read())
    form = form or format_of(text)
    shapes = read(text, form, resolve_model_id(model_id) if model_id else None)
    if form != "json" and any(shape["model"] is None for shape in shapes):
        shapes = read(text, form, resolve_default_model())
    imported = []
    # All of them or none.
    with closing(writing(database, create=True)) as db, immediate(db.conn):
        for shape in shapes:
            if name is not None:
                shape["name"] = name
            if form == "markdown":
                _settle_origin(db.conn, shape)
            imported.append(import_conversation(db.conn, shape))
    for conversation_id in imported:
        say(conversation_id)


def _settle_origin(conn: sqlite3.Connection, shape: ConversationDict) -> None:
    """Let an edited conversation be a fork of what is in this log, under a title of its own."""
    from ..logs.records.threads import conversation_info, find_conversation_id

    origin = shape.get("forked_from")
    if origin is None:
        return
    if find_conversation_id(conn, origin) != origin:
        del shape["forked_from"]
    elif shape["name"] == conversation_info(conn, origin).name:
        shape["name"] = f"{shape['name'] or ''} (edited)".strip()
