"""Bringing an embedding database of any release to the current form.

The names are shared with other releases of `llm`: the table `_sqlite_migrations`, which
sqlite-utils keeps, records which of them were applied, and each program applies those that are
missing. The list is append-only. The first step makes the tables as they are now, so that the
later ones only have something to do in a file that an old release began.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from functools import cache
from typing import TYPE_CHECKING

from ..logs.file.migrations import immediate, rows_if_any

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    embeddings_migrations: Migrations

SET_NAME = "llm.embeddings"

_TABLES = (
    """create table if not exists "collections" (
        "id" integer primary key,
        "name" text,
        "model" text
    )""",
    'create unique index if not exists "idx_collections_name" on "collections" ("name")',
    """create table if not exists "embeddings" (
        "collection_id" integer references "collections"("id"),
        "id" text,
        "embedding" blob,
        "content" text,
        "content_blob" blob,
        "content_hash" blob,
        "metadata" text,
        "updated" integer,
        primary key ("collection_id", "id")
    )""",
)


def migrate(conn: sqlite3.Connection) -> None:
    """Apply every migration that a file lacks, all in one transaction; else write nothing.

    Args:
        conn: An open embedding database, or an empty one, which gets its tables.

    Raises:
        sqlite3.OperationalError: The database is locked for longer than its busy timeout, or
            cannot be written.
    """
    if is_current(conn):
        return
    from sqlite_utils import Database

    with immediate(conn):
        # Another process may have migrated while this one waited for the lock.
        _migrations().apply(Database(conn))


def is_current(conn: sqlite3.Connection) -> bool:
    """Whether a file has had every migration; told without `sqlite_utils`, which costs time."""
    sql = "select name from _sqlite_migrations where migration_set = ?"
    done = {row[0] for row in rows_if_any(conn, sql, [SET_NAME])}
    return done.issuperset(step.__name__ for step in _STEPS)


def content_hash(value: str | bytes) -> bytes:
    """The MD5 digest of bytes, or of the UTF-8 form of text."""
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return hashlib.md5(data, usedforsecurity=False).digest()


def m001_create_tables(db: Database) -> None:
    """The tables of collections and embeddings."""
    for statement in _TABLES:
        db.execute(statement)


def m002_foreign_key(db: Database) -> None:
    """An embedding refers to its collection."""
    table = db.table("embeddings")
    if not table.foreign_keys:
        table.add_foreign_key("collection_id", "collections", "id")


def m003_add_updated(db: Database) -> None:
    """When each embedding was made; for those of before that is now."""
    if _add_column(db, "updated", "integer"):
        db.execute("update embeddings set updated = ?", [int(time.time())])


def m004_store_content_hash(db: Database) -> None:
    """The digest of what was embedded; a random one where the content was not kept."""
    if _add_column(db, "content_hash", "blob"):
        for rowid, content in db.execute("select rowid, content from embeddings").fetchall():
            digest = os.urandom(16) if content is None else content_hash(content)
            db.execute("update embeddings set content_hash = ? where rowid = ?", [digest, rowid])
    index = "idx_embeddings_content_hash"
    db.execute(f'create index if not exists "{index}" on "embeddings" ("content_hash")')


def m005_add_content_blob(db: Database) -> None:
    """A place for content that is not text."""
    _add_column(db, "content_blob", "blob")


def _add_column(db: Database, name: str, kind: str) -> bool:
    if name in db.table("embeddings").columns_dict:
        return False
    db.execute(f'alter table "embeddings" add column "{name}" {kind}')
    return True


_STEPS = (
    *(m001_create_tables, m002_foreign_key, m003_add_updated),
    *(m004_store_content_hash, m005_add_content_blob),
)


@cache
def _migrations() -> Migrations:
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(SET_NAME)
    for step in _STEPS:
        migrations()(step)
    return migrations


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "embeddings_migrations":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _migrations()
