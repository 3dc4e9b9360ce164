"""`llm conversations`: what was talked about, as things that have a title and can be moved."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import click

from ..terminal import print_json, print_pieces, say, show_note
from . import _options as shared
from ._group import group
from ._like import embedding_model_option, like_option
from ._logs import (
    database_option,
    json_option,
    reading,
    time_writer,
    utc_option,
    writing,
    yes_option,
)
from ._options import flag, number, option

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from ..logs.records.threads import ConversationInfo
    from ..serialization import ConversationDict
    from ..text import JSONObject
    from ._like import Nearest

DEFAULT_COUNT = 20
# How many of the nearest turns are looked at for each conversation, at first.
_TURNS_PER_CONVERSATION = 8
FORMATS = ("json", "openai", "markdown")

conversation_argument = click.argument("conversation")
format_option = partial(option, "-f", "--format", "form", type=click.Choice(FORMATS))


@group()
def conversations() -> None:
    """Manage logged conversations.

    CONVERSATION is an id or a title, or an unambiguous beginning of either. Without a command
    this is 'llm conversations list'.
    """


@conversations.command("list")
@number(
    "-n",
    "--count",
    default=DEFAULT_COUNT,
    show_default=True,
    help="Number of conversations to show, 0 for all.",
)
@option("-q", "--query", help="Only those with this text in their title or in a turn.")
@like_option
@embedding_model_option
@database_option
@utc_option
@json_option
def conversations_list(
    count: int,
    query: str | None,
    like: str | None,
    embedding_model: str | None,
    database: str | None,
    utc: bool,
    json_output: bool,
) -> None:
    """List the conversations, the one used last first."""
    from ..logs.records.threads import list_conversations

    scores: dict[str, float] = {}
    infos: Iterable[ConversationInfo]
    with reading(database) as conn:
        if like:
            from ..logs.records.threads import conversation_info
            from ._like import nearest_turns

            nearest = nearest_turns(conn, database, like, embedding_model)
            scores = _nearest(conn, nearest, count, query)
            infos = map(partial(conversation_info, conn), scores)
        else:
            infos = list_conversations(conn, limit=count or None, query=query)
        if json_output:
            from ..logs.render.as_json import json_array

            print_pieces(json_array(_as_json(info, scores) for info in infos))
        else:
            print_pieces(_table(list(infos), utc=utc))


def _as_json(info: ConversationInfo, scores: Mapping[str, float]) -> JSONObject:
    return {**info._asdict(), **({"score": scores[info.id]} if scores else {})}


def _nearest(
    conn: sqlite3.Connection, nearest: Nearest, count: int, query: str | None
) -> dict[str, float]:
    """The conversations with the nearest turns, with the score of the nearest of each."""
    from ..logs.records.threads import list_conversations

    among = None
    if query:
        among = {info.id for info in list_conversations(conn, query=query)}
    number = count * _TURNS_PER_CONVERSATION or -1
    while True:
        turns = nearest(number, None)
        found = _by_conversation(conn, turns, among)
        if number < 0 or len(found) >= count or len(turns) < number:
            return dict(islice(found.items(), count or None))
        number *= _TURNS_PER_CONVERSATION


def _by_conversation(
    conn: sqlite3.Connection, turns: Mapping[str, float], among: set[str] | None
) -> dict[str, float]:
    from ..logs.records.threads import conversations_of

    found: dict[str, float] = {}
    for turn_id, conversation_id in conversations_of(conn, turns):
        if among is None or conversation_id in among:
            found.setdefault(conversation_id, turns[turn_id])
    return found


def _table(infos: list[ConversationInfo], *, utc: bool) -> Iterable[str]:
    """A line for each conversation: id, last use, turns, model, title."""
    time = time_writer(utc=utc)
    rows = [
        (info.id, time(info.last_used_utc), str(info.turns), info.model or "") for info in infos
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for (conversation_id, used, turns, model), info in zip(rows, infos, strict=True):
        cells = f"{conversation_id:<{widths[0]}}  {used:<{widths[1]}}  {turns:>{widths[2]}}"
        title = " ".join((info.name or "").split())
        yield f"{cells}  {model:<{widths[3]}}  {title}".rstrip() + "\n"


@conversations.command()
@conversation_argument
@database_option
@utc_option
@json_option
def show(conversation: str, database: str | None, utc: bool, json_output: bool) -> None:
    """Show one conversation with all its messages."""
    from ..logs.exchange.as_json import export_conversation
    from ..logs.exchange.as_markdown import message_blocks
    from ..logs.exchange.forks import turns_text
    from ..logs.records.threads import conversation_info, require_conversation_id

    with reading(database) as conn:
        found = require_conversation_id(conn, conversation)
        info = conversation_info(conn, found)
        shape = export_conversation(conn, found)
    if json_output:
        print_json(shape, ensure_ascii=False)
        return
    when = time_writer(utc=utc)(info.last_used_utc)
    facts = [info.id, info.model or "", turns_text(info), when]
    if info.forked_from:
        facts.append(f"forked from {info.forked_from}")
    head = [f"# {info.name or info.id}", ", ".join(fact for fact in facts if fact)]
    print_pieces(["\n\n".join([*head, *message_blocks(shape)[0]]), "\n"])


@conversations.command()
@conversation_argument
@click.argument("title")
@database_option
def rename(conversation: str, title: str, database: str | None) -> None:
    """Give a conversation another TITLE."""
    from ..logs.records.threads import rename_conversation, require_conversation_id

    with writing(database) as db:
        rename_conversation(db.conn, require_conversation_id(db.conn, conversation), title)


@conversations.command()
@conversation_argument
@option(
    "--at",
    metavar="TURN",
    help="Last turn to keep: its id, the beginning of that, or its number (1 is the first).",
)
@option("--name", metavar="TITLE", help="Title of the new conversation.")
@database_option
def fork(conversation: str, at: str | None, name: str | None, database: str | None) -> None:
    """Start a conversation that goes on from another one.

    Its id is printed; 'llm --cid ID' continues it. The other one stays as it is.
    """
    from ..logs.exchange.forks import fork_conversation
    from ..logs.records.threads import require_conversation_id

    with writing(database) as db:
        found = require_conversation_id(db.conn, conversation)
        say(fork_conversation(db, found, at=at, name=name))


@conversations.command()
@click.argument("names", metavar="CONVERSATION...", nargs=-1, required=True)
@yes_option
@database_option
def delete(names: tuple[str, ...], yes: bool, database: str | None) -> None:
    """Delete conversations with all their turns, once you agree.

    Messages that a remaining conversation contains, such as a fork, stay.
    """
    from ..logs.read.query import LogFilters, matching_ids
    from ..logs.records.threads import require_conversation_id
    from .logs_upkeep import delete_shown

    with writing(database) as db:
        found = list(dict.fromkeys(require_conversation_id(db.conn, name) for name in names))
        turns: list[str] = []
        for conversation_id in found:
            turns += matching_ids(db.conn, LogFilters(conversation_id=conversation_id))
        delete_shown(database, db.conn, sorted(turns), found, yes=yes)


@conversations.command()
@click.argument("conversation", required=False)
@database_option
def tree(conversation: str | None, database: str | None) -> None:
    """Draw which conversations were forked from which.

    Only the family of CONVERSATION, if one is named.
    """
    from ..logs.exchange.forks import family_trees
    from ..logs.records.threads import require_conversation_id

    with reading(database) as conn:
        only = None if conversation is None else require_conversation_id(conn, conversation)
        lines = [f"{line}\n" for line in family_trees(conn, only)]
    print_pieces(lines)
    if not lines:
        show_note("No conversation was forked yet: 'llm conversations fork CONVERSATION' does that")


@conversations.command()
@click.argument("names", metavar="[CONVERSATION]...", nargs=-1)
@flag("--all", "all_", help="All conversations, the oldest first.")
@format_option(help="Format of the file. Default: markdown for a FILE named *.md, else json.")
@option("-o", "--output", type=click.Path(dir_okay=False), help="File to write, instead of stdout.")
@database_option
def export(
    names: tuple[str, ...], all_: bool, form: str | None, output: str | None, database: str | None
) -> None:
    """Write conversations as JSON, JSONL or Markdown.

    \b
    json      Everything that the log holds of them, one object a line.
    openai    Messages as OpenAI's chat API takes them, one request a line.
    markdown  One conversation, to be read, edited and imported again.

    Without CONVERSATION the one used last is written.
    """
    from ..logs.exchange.as_json import export_conversation
    from ..logs.exchange.formats import written

    with reading(database) as conn:
        ids = _chosen(conn, names, all_)
        is_markdown = (output or "").lower().endswith((".md", ".markdown"))
        form = form or ("markdown" if is_markdown else "json")
        if form == "markdown" and len(ids) > 1:
            raise click.UsageError("A Markdown file holds one conversation: name only one")
        pieces = written((export_conversation(conn, one) for one in ids), form)
        if output is None:
            print_pieces(pieces)
        else:
            with open(output, "w", encoding="utf-8", errors="replace", newline="") as file:
                file.writelines(pieces)


def _chosen(conn: sqlite3.Connection, names: tuple[str, ...], all_: bool) -> list[str]:
    from ..logs.records.threads import (
        newest_conversations,
        require_conversation_id,
        require_latest_conversation_id,
    )

    if all_ and names:
        raise click.UsageError("--all leaves no conversation to be named")
    if all_:
        return [pair[0] for pair in newest_conversations(conn)][::-1]
    found = [require_conversation_id(conn, name) for name in names]
    return found or [require_latest_conversation_id(conn)]


@conversations.command("import")
@click.argument("file", type=click.File("rb"), default="-")
@format_option(help="Format of the file. Default: what it looks like.")
@option(
    "-m", "--model", "model_id", help="Model that is said to have answered where none is named."
)
@shared.name_option
@shared.database_option
def import_(
    file: BinaryIO, form: str | None, model_id: str | None, name: str | None, database: str | None
) -> None:
    """Put conversations from FILE, or from standard input, into the log.

    The id of each is printed; 'llm --cid ID' continues it. What is in the log stays as it is: a
    conversation whose id is there already gets a new one. Edited Markdown becomes a fork of the
    conversation that it was made from.
    """
    from ..logs.exchange.as_json import import_conversation
    from ..logs.exchange.formats import format_of, read
    from ..logs.file.migrations import immediate
    from ..registry import resolve_default_model
    from ..registry.aliases import resolve_model_id
    from ..terminal import decode_text

    text = decode_text(file.read())
    form = form or format_of(text)
    shapes = read(text, form, resolve_model_id(model_id) if model_id else None)
    if form != "json" and any(shape["model"] is None for shape in shapes):
        shapes = read(text, form, resolve_default_model())
    imported = []
    # All of them or none.
    with writing(database, create=True) as db, immediate(db.conn):
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
