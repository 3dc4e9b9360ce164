"""Keeping a log database file small and clean, and finding out whether it is whole."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import LogError
from ..file.db import log_errors, pass_interrupt
from ..records.chains import address
from ..records.messages import load_rows, load_shapes

_INDEXES = ("turn_search_fts", "responses_fts")
_DANGLING = {
    "message {} follows a message that is missing": """
        select hash from messages where parent_hash is not null
            and not exists (select 1 from messages as m where m.hash = messages.parent_hash)""",
    "turn {} ends in a message that is missing": """
        select id from turns where
            (tip_message_hash is not null
                and not exists (select 1 from messages where hash = tip_message_hash))
            or (parent_message_hash is not null
                and not exists (select 1 from messages where hash = parent_message_hash))""",
    "thread {} ends in a message that is missing": """
        select id from threads where tip_message_hash is not null
            and not exists (select 1 from messages where hash = tip_message_hash)""",
    "turn {} is of a conversation that is missing": """
        select id from turns where thread_id is not null
            and not exists (select 1 from threads where id = thread_id)""",
    "turn {} has a schema that is missing": """
        select id from turns where schema_id is not null
            and not exists (select 1 from schemas where id = schema_id)""",
    "turn {} has a tool that is missing": """
        select distinct turn_id from turn_tools
        where not exists (select 1 from tools where id = tool_id)""",
    "turn {} cannot be searched for": """
        select turns.id from turns join messages on messages.hash = tip_message_hash
        where role = 'assistant' and tip_message_hash is not parent_message_hash
            and not exists (select 1 from turn_search where turn_id = turns.id)
            and exists (select 1 from parts
                where message_hash = messages.hash and type = 'text' and text <> '')""",
    "turn {} is missing, but can be searched for": """
        select turn_id from turn_search
        where not exists (select 1 from turns where id = turn_id)""",
    "message {} has parts but is missing itself": """
        select distinct message_hash from parts
        where not exists (select 1 from messages where hash = message_hash)""",
    "message {} has a part that is no JSON": """
        select distinct message_hash from parts where payload is not null
            and (not json_valid(payload) or json_type(payload) <> 'object')""",
    "message {} has metadata that is no JSON": """
        select hash from messages where provider_metadata is not null
            and not json_valid(provider_metadata)""",
    "fragment {} is used but missing": """
        select distinct fragment_id from part_fragments
        where not exists (select 1 from fragments where id = fragment_id)""",
    "attachment {} is used but missing": """
        select distinct attachment_id from part_attachments
        where not exists (select 1 from attachments where id = attachment_id)""",
}


class Vacuumed(NamedTuple):
    """The size of a database in bytes before and after."""

    before: int
    after: int


def compact(conn: sqlite3.Connection, path: str | Path) -> Vacuumed:
    """Write the database anew, so that nothing is left in its files of what was deleted.

    The full-text indexes drop what they only mark as deleted, the file is rebuilt without its
    free space, and its -wal is emptied.

    Args:
        conn: A connection to it, outside of any transaction.
        path: The file.

    Raises:
        LogError: It cannot be rebuilt, or another program reads it and so holds old pages.
    """
    before = size_bytes(path)
    with log_errors(path, "clean"):
        for index in _INDEXES:
            conn.execute(f"insert into {index} ({index}) values ('optimize')")
        conn.commit()
        conn.execute("vacuum")
        busy = conn.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
    if busy:
        raise LogError(
            f"Deleted texts may still be in {path}-wal: another program is reading the log."
            " End it, and run: llm logs vacuum"
        )
    return Vacuumed(before, size_bytes(path))


def message_count(conn: sqlite3.Connection) -> int:
    """How many messages are stored."""
    return int(conn.execute("select count(*) from messages").fetchone()[0])


def size_bytes(path: str | Path) -> int:
    """The size of the database file, with what is still in its -wal."""
    return sum(os.path.getsize(file) for file in (path, f"{path}-wal") if os.path.exists(file))


def find_damage(
    conn: sqlite3.Connection, report: Callable[[int], None] = lambda count: None
) -> Iterator[str]:
    """A line for everything that is wrong with a log database; none where it is whole.

    Args:
        conn: A migrated database.
        report: Is told now and then how many messages were looked at.
    """
    yield from (line for (line,) in conn.execute("pragma quick_check(20)") if line != "ok")
    for index in _INDEXES:
        try:
            conn.execute(f"insert into {index} ({index}, rank) values ('integrity-check', 1)")
        except sqlite3.DatabaseError as error:
            pass_interrupt(error)
            yield f"the search index {index} does not fit its table: {error}"
        finally:
            conn.rollback()
    for text, sql in _DANGLING.items():
        yield from (text.format(key) for (key,) in conn.execute(sql))
    for key, content in conn.execute("select id, content from attachments where content <> x''"):
        if hashlib.sha256(content).hexdigest() != key:
            yield f"attachment {key} does not have its content any more"
    yield from _changed_messages(conn, report)


def _changed_messages(conn: sqlite3.Connection, report: Callable[[int], None]) -> Iterator[str]:
    keys = [row[0] for row in conn.execute("select hash from messages order by rowid")]
    for start in range(0, len(keys), 500):
        report(start)
        rows = load_rows(conn, keys[start : start + 500])
        for row, shape in zip(rows, load_shapes(conn, rows), strict=True):
            if address(shape, row.parent_hash) != row.hash:
                yield f"message {row.hash} does not have the content it was stored with"
