"""`llm conversations`: what was talked about, as things that have a title and can be moved."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from ..terminal.output import say, show_note
from ._errors import reported
from ._group import Lazy, LazyGroup

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sqlite_utils import Database

    from ..logs.records.threads import ConversationInfo

_FILES = "llm.commands.conversations_files"
DEFAULT_COUNT = 20

database_option = click.option(
    "-d",
    "--database",
    type=click.Path(readable=True, exists=True, dir_okay=False),
    help="Path to the log database.",
)
conversation_argument = click.argument("conversation")


@click.group(
    cls=LazyGroup,
    lazy={
        "export": Lazy(f"{_FILES}:export", "Write conversations as JSON, JSONL or Markdown."),
        "import": Lazy(f"{_FILES}:import_", "Put conversations from a file into the log."),
    },
    default="list",
)
def conversations() -> None:
    """Manage logged conversations.

    CONVERSATION is an id or a title, or an unambiguous beginning of either. Without a command
    this is 'llm conversations list'.
    """


@conversations.command(name="list")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=0),
    default=DEFAULT_COUNT,
    show_default=True,
    help="Number of conversations to show, 0 for all.",
)
@click.option("-q", "--query", help="Only those with this text in their title or in a turn.")
@database_option
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@reported
def conversations_list(
    count: int, query: str | None, database: str | None, utc: bool, json_output: bool
) -> None:
    """List the conversations, the one used last first."""
    from ..logs.records.threads import list_conversations

    with closing(reading(database)) as conn:
        infos = list_conversations(conn, limit=count or None, query=query)
        if json_output:
            from ..logs.render.as_json import json_array

            write(json_array(info._asdict() for info in infos))
        else:
            write(_table(list(infos), utc=utc))


def _table(infos: list[ConversationInfo], *, utc: bool) -> Iterable[str]:
    """A line for each conversation: id, last use, turns, model, title."""
    time = _time_writer(utc=utc)
    rows = [
        (info.id, time(info.last_used_utc), str(info.turns), info.model or "") for info in infos
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, info in zip(rows, infos, strict=True):
        id_, when, turns, model = row
        cells = [
            id_.ljust(widths[0]),
            when.ljust(widths[1]),
            turns.rjust(widths[2]),
            model.ljust(widths[3]),
            " ".join((info.name or "").split()),
        ]
        yield "  ".join(cells).rstrip() + "\n"


@conversations.command()
@conversation_argument
@database_option
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@reported
def show(conversation: str, database: str | None, utc: bool, json_output: bool) -> None:
    """Show one conversation with all its messages."""
    from ..logs.exchange.as_markdown import message_blocks
    from ..logs.exchange.exporting import export_conversation
    from ..logs.exchange.forks import turns_text
    from ..logs.records.threads import conversation_info, require_conversation_id

    with closing(reading(database)) as conn:
        found = require_conversation_id(conn, conversation)
        info = conversation_info(conn, found)
        shape = export_conversation(conn, found)
    if json_output:
        import json

        write([json.dumps(shape, indent=2, ensure_ascii=False), "\n"])
        return
    when = _time_writer(utc=utc)(info.last_used_utc)
    facts = [info.id, info.model or "", turns_text(info), when]
    if info.forked_from:
        facts.append(f"forked from {info.forked_from}")
    head = [f"# {info.name or info.id}", ", ".join(fact for fact in facts if fact)]
    write(["\n\n".join([*head, *message_blocks(shape)[0]]), "\n"])


@conversations.command()
@conversation_argument
@click.argument("title")
@database_option
@reported
def rename(conversation: str, title: str, database: str | None) -> None:
    """Give a conversation another TITLE."""
    from ..logs.records.threads import rename_conversation, require_conversation_id

    with closing(writing(database)) as db:
        rename_conversation(db.conn, require_conversation_id(db.conn, conversation), title)


@conversations.command()
@conversation_argument
@click.option(
    "--at",
    metavar="TURN",
    help="Last turn to keep: its id, the beginning of that, or its number (1 is the first).",
)
@click.option("--name", metavar="TITLE", help="Title of the new conversation.")
@database_option
@reported
def fork(conversation: str, at: str | None, name: str | None, database: str | None) -> None:
    """Start a conversation that goes on from another one.

    Its id is printed; 'llm --cid ID' continues it. The other one stays as it is.
    """
    from ..logs.exchange.forks import fork_conversation
    from ..logs.records.threads import require_conversation_id

    with closing(writing(database)) as db:
        found = require_conversation_id(db.conn, conversation)
        say(fork_conversation(db, found, at=at, name=name))


@conversations.command()
@click.argument("names", metavar="CONVERSATION...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@database_option
@reported
def delete(names: tuple[str, ...], yes: bool, database: str | None) -> None:
    """Delete conversations with all their turns, once you agree.

    Messages that a remaining conversation contains, such as a fork, stay.
    """
    from ..logs.read.query import LogFilters, matching_ids
    from ..logs.records.threads import require_conversation_id
    from .logs_delete import delete_shown
    from .logs_upkeep import opened

    path, conn = opened(database)
    with closing(conn):
        found = list(dict.fromkeys(require_conversation_id(conn, name) for name in names))
        turns = [
            turn_id
            for conversation_id in found
            for turn_id in matching_ids(conn, LogFilters(conversation_id=conversation_id))
        ]
        delete_shown(path, conn, sorted(turns), found, yes=yes)


@conversations.command()
@click.argument("conversation", required=False)
@database_option
@reported
def tree(conversation: str | None, database: str | None) -> None:
    """Draw which conversations were forked from which.

    Only the family of CONVERSATION, if one is named.
    """
    from ..logs.exchange.forks import family_trees
    from ..logs.records.threads import require_conversation_id

    with closing(reading(database)) as conn:
        only = None if conversation is None else require_conversation_id(conn, conversation)
        lines = [f"{line}\n" for line in family_trees(conn, only)]
    write(lines)
    if not lines:
        show_note("No conversation was forked yet: 'llm conversations fork CONVERSATION' does that")


# What the commands of this group share.


def _time_writer(*, utc: bool) -> Callable[[str | None], str]:
    """On a terminal times are those of its user; programs always read UTC."""
    from ..terminal.output import is_terminal
    from ..text.times import shown_time, stored_time

    return shown_time(utc=utc) if is_terminal(sys.stdout) else stored_time


def database_path(database: str | None) -> str | Path:
    """The log database to use."""
    from ..files.config import logs_db_path

    return database or logs_db_path()


def reading(database: str | None) -> sqlite3.Connection:
    """A connection to the log that can only read; what dead processes have left is in it."""
    from ..run import recovery

    return recovery.reading(database_path(database))


def writing(database: str | None, *, create: bool = False) -> Database:
    """The log, open for changes; what dead processes have left is in it."""
    from ..logs.file.db import open_log
    from ..run.recovery import take_up

    path = database_path(database)
    take_up(path)
    return open_log(path, create=create)


def write(pieces: Iterable[str]) -> None:
    """Write to stdout; what a terminal would execute is made visible there."""
    from ..terminal.output import is_terminal, tolerate_unencodable
    from ..text.shaping import visible

    tolerate_unencodable(sys.stdout)
    if is_terminal(sys.stdout):
        pieces = map(visible, pieces)
    for piece in pieces:
        sys.stdout.write(piece)
