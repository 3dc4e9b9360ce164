"""`llm logs delete`, `expire`, `redact`, `vacuum`, `verify` and `adopt`: taking things out of the
log for good, keeping it small, finding out whether it is whole, and saying whose it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from ..errors import LogError, NotFound
from ..terminal import say, show_note
from ._group import command
from ._logs import counting, database_option, database_path, period, writing, yes_option
from ._options import flag, option

if TYPE_CHECKING:
    import sqlite3

    from ..logs.read.query import LogFilters
    from ..logs.rewrite.redact import Redacted

SHOWN = 10
older_than_option = partial(
    option, "--older-than", metavar="AGE", help="What is older than this: 90d, 12h, 4w."
)
# A file of this size takes seconds to be written.
LARGE_BYTES = 100 << 20


@command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@option("--cid", "--conversation", "conversation_id", help="The whole conversation with this id.")
@option("-m", "--model", help="What this model answered.")
@option("-q", "--query", help="What matches this search: words, or SQLite FTS5 syntax.")
@option(
    "--since", metavar="TIME", help="What began at this time or later: a date, or an age (3d, 2h)."
)
@option(
    "--until", metavar="TIME", help="What began before this time, or on this day: a date or an age."
)
@older_than_option()
@flag("--utc", help="Take times given without a zone as UTC.")
@yes_option
@database_option
def delete(
    ids: tuple[str, ...],
    conversation_id: str | None,
    model: str | None,
    query: str | None,
    since: str | None,
    until: str | None,
    older_than: str | None,
    utc: bool,
    yes: bool,
    database: str | None,
) -> None:
    """Delete prompts and their responses from the log.

    Give the ids of some, or options; what passes all of them is shown and, once you agree,
    deleted. Messages that a remaining prompt contains in its history stay.
    """
    if until is not None and older_than is not None:
        raise click.UsageError("Give --until or --older-than, not both")
    from ..logs.read.query import LogFilters
    from ..logs.records.threads import require_conversation_id
    from ..text.times import parse_age

    since, until = period(since, until, utc=utc)
    if older_than is not None:
        until = parse_age(older_than)
    filters = LogFilters(model=model, query=query, since=since, until=until)
    is_filtered = filters != LogFilters()
    if not ids and conversation_id is None and not is_filtered:
        raise click.UsageError("Say what to delete: ids, or an option such as --cid or --model")
    with writing(database) as db:
        conversations = []
        if conversation_id is not None:
            whole = require_conversation_id(db.conn, conversation_id)
            conversations = [] if ids or is_filtered else [whole]
            filters = filters._replace(conversation_id=whole)
        found = _matching(db.conn, ids, filters)
        delete_shown(database, db.conn, found, conversations, yes=yes)


@command()
@older_than_option(required=True)
@yes_option
@database_option
def expire(older_than: str, yes: bool, database: str | None) -> None:
    """Delete everything that is older than some age."""
    from ..logs.read.query import LogFilters, matching_ids
    from ..text.times import parse_age

    until = parse_age(older_than)
    with writing(database) as db:
        found = matching_ids(db.conn, LogFilters(until=until))
        delete_shown(database, db.conn, found, [], yes=yes, until=until)


def _matching(conn: sqlite3.Connection, ids: Sequence[str], filters: LogFilters) -> list[str]:
    """The ids that are meant, newest last; `NotFound` where one is not in the log."""
    from ..logs.read.query import existing_ids, matching_ids

    if not ids:
        return matching_ids(conn, filters)
    known = existing_ids(conn, ids)
    for wanted in ids:
        if wanted not in known:
            raise NotFound(f"No entry found with id={wanted}: llm logs shows the ids")
    if filters != type(filters)():
        known.intersection_update(matching_ids(conn, filters))
    return sorted(known)


def delete_shown(
    database: str | None,
    conn: sqlite3.Connection,
    ids: Sequence[str],
    conversations: Sequence[str],
    *,
    yes: bool,
    until: str | None = None,
) -> None:
    """Show what was found, ask, delete it, with `until` what the table of 2023 holds from before
    that time, and clean the file."""
    from ..logs.rewrite.erase import delete_old_logs, delete_turns

    _show(conn, ids)
    if not yes and (ids or conversations):
        click.confirm(f"Delete {_counted(len(ids), 'entry')} for good?", abort=True, err=True)
    count = delete_turns(conn, ids, conversations)
    if until is not None:
        count += delete_old_logs(conn, until)
    if count or conversations:
        compact_file(conn, database)
    say(f"Deleted {_counted(count, 'entry')}")


def _show(conn: sqlite3.Connection, ids: Sequence[str]) -> None:
    from ..logs.read.query import iter_rows
    from ..text import truncate_string
    from ..text.times import stored_time

    for row in iter_rows(conn, ids[-SHOWN:], payloads=False):
        prompt = truncate_string(row["prompt"] or "", 60, normalize_whitespace=True)
        say(f"{row['id']}  {stored_time(row['datetime_utc'])}  {row['model']}  {prompt}")
    if len(ids) > SHOWN:
        say(f"... and {len(ids) - SHOWN:,} older ones")


@command()
@click.argument("pattern")
@flag("-F", "--fixed-string", help="Take PATTERN literally, not as a regular expression.")
@option(
    "--with",
    "replacement",
    default="[redacted]",
    show_default=True,
    metavar="TEXT",
    help="What to put in its place.",
)
@yes_option
@database_option
def redact(
    pattern: str, fixed_string: bool, replacement: str, yes: bool, database: str | None
) -> None:
    """Replace what matches PATTERN everywhere in the log.

    PATTERN is a regular expression of Python. It is looked for in messages, names of
    conversations, options, arguments and results of tools, fragments, schemas and raw replies, in
    tables of older releases too. Names of models and tools, and ids, stay. An attachment is
    removed when PATTERN matches its whole id.
    """
    from ..logs.rewrite import redact as log_redact
    from ..logs.rewrite.scrub import Scrubber
    from ..prompting.journal import leftovers, set_aside
    from ..prompting.salvage import count_of

    path = database_path(database)
    scrubber = Scrubber(_compiled(pattern, is_literal=fixed_string), replacement)
    with writing(database) as db:
        found = log_redact.find(db.conn, scrubber)
        if running := count_of(path, leftovers()):
            show_note(
                f"{_counted(running, 'prompt')} on the way to the log cannot be rewritten:"
                " redact again when they have ended"
            )
        if aside := count_of(path, set_aside()):
            show_note(f"{_counted(aside, 'answer')} that could not be logged: llm logs recover")
        if not found.total:
            say("Nothing in the log matches")
            return
        say(f"Found in {_places(found)}")
        if not yes:
            click.confirm("Replace it for good?", abort=True, err=True)
        done = log_redact.redact(db.conn, scrubber)
        compact_file(db.conn, database)
        say(f"Redacted {_places(done)}")


def _compiled(pattern: str, *, is_literal: bool) -> re.Pattern[str]:
    try:
        compiled = re.compile(re.escape(pattern) if is_literal else pattern)
    except re.error as error:
        raise click.UsageError(
            f"Invalid regular expression: {pattern!r}: {error}. Give --fixed-string to look for"
            " the text itself"
        ) from error
    if compiled.fullmatch(""):
        raise click.UsageError(f"The pattern {pattern!r} matches the empty text: it is everywhere")
    return compiled


def _places(found: Redacted) -> str:
    nouns = ("message", "fragment", "attachment", "other value")
    return ", ".join(_counted(*pair) for pair in zip(found, nouns, strict=True) if pair[0])


def _counted(count: int, noun: str) -> str:
    plural = "entries" if noun == "entry" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


@command()
@database_option
def vacuum(database: str | None) -> None:
    """Write the log database anew, without the space that deleted rows have left."""
    with writing(database) as db:
        compact_file(db.conn, database)


def compact_file(conn: sqlite3.Connection, database: str | None) -> None:
    """Rebuild the file and say what that has gained; what was embedded of it goes with the rest."""
    from ..files.config import embeddings_db_path
    from ..logs.rewrite.upkeep import compact, size_bytes
    from .logs import readable_size

    path = database_path(database)
    size = size_bytes(path)
    if size >= LARGE_BYTES:
        show_note(f"Writing the log anew ({readable_size(size)}): this takes a while")
    sizes = compact(conn, path)
    before, after = readable_size(sizes.before), readable_size(sizes.after)
    say(f"Rebuilt {path}: {before} before, {after} now")
    if (vectors := embeddings_db_path()).exists():
        from ..embeddings.log_turns import forget_changed

        forget_changed(conn, path, str(vectors))


@command()
@database_option
def verify(database: str | None) -> None:
    """Check that the log is whole, and that every message is the one that was stored.

    Prints a line for each damage, and ends with exit code 1 if there is any.
    """
    from ..logs.file.db import log_errors
    from ..logs.rewrite.upkeep import find_damage, message_count

    path = database_path(database)
    with writing(database) as db, log_errors(path, "read"):
        count, damage = message_count(db.conn), 0
        for line in find_damage(db.conn, counting(count, "messages")):
            damage += 1
            say(line)
    if damage:
        raise LogError(
            f"The log {path} is damaged: {damage:,} finding{'' if damage == 1 else 's'} above."
            " A copy from before may help: llm logs backup makes one"
        )
    say(f"Verified {count:,} messages: the log is whole")


@command()
@database_option
def adopt(database: str | None) -> None:
    """Take a log database that was not made here for your own.

    Its conversations then go on as yours do: their files are sent, and their tool calls run, by
    your rules alone. Adopt only what nobody else has written: a copy or a backup of your log, or
    one that an older release has made. What was imported into it is still asked about.
    """
    from ..logs.file.db import log_errors
    from ..logs.file.ownership import claim

    path = database_path(database)
    with writing(database) as db, log_errors(path, "write to"):
        claim(db.conn, path)
    say(f"Adopted {path}")
