"""Bringing a log database of any release to the current form.

The names are shared with other releases of `llm`: a file records which of them were applied in
`_llm_migrations`, and each program applies those that are missing. The list is append-only.

Then there are indexes of our own, which other releases keep up to date without knowing of them:
SQLite maintains an index whoever writes. Each is made in a transaction of its own and then noted
in `_llm_x_migrations`: what interrupts the work on a large file costs the index that was being
made, not those before it.

What is there counts, not only what is noted: a file that has tables of a log but no record of its
migrations is given what it lacks, and tables that somebody has dropped are made again. A file in
which a table of another program has the name of one of ours is refused before anything is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

from ..._lazy import for_hints
from . import schema
from .first_table import FIRST_TABLE_TAKEN, is_in_last_form, take_over_first_table

if TYPE_CHECKING:
    from sqlite_utils import Database
else:
    for_hints(
        globals(),
        {
            "sqlite_utils": "Database",
        },
    )

Change = Callable[[sqlite3.Connection], None]
# A step of a plugin; what it returns does not matter.
ForeignStep = Callable[[Any], object]
_FOREIGN_STEPS: dict[str, ForeignStep] = {}
# A name, and SQL statements or functions.
Step = tuple[str, tuple[str | Change, ...]]


class NotALog(sqlite3.DatabaseError):
    """A database whose tables, though of the names that a log has, were made by something else."""


def migrate(db: Database | sqlite3.Connection) -> None:
    """Apply every migration that `db` lacks, all in one transaction; safe to repeat.

    Args:
        db: An open log database, or an empty one, which gets its tables.

    Raises:
        NotALog: A table is another program's; nothing was changed.
        sqlite3.OperationalError: The database is locked for longer than its busy timeout, or
            cannot be written.
    """
    conn = connection_of(db)
    if needs_migration(conn):
        with immediate(conn):
            # Another process may have migrated while this one waited for the lock.
            _apply_missing(conn)
    for name, step in steps_of_plugins(conn).items():
        _apply_foreign(conn, name, step)


def migration(step: ForeignStep) -> ForeignStep:
    """Add a step of a plugin to what `migrate` does: it is called once for each database.

    Use it as a decorator, at the import of the plugin. A step that fails is told and tried again
    with the next process; the log goes on without it.

    Args:
        step: Takes the database (`sqlite_utils.Database`). Its name is remembered in the file.
    """
    _FOREIGN_STEPS[step.__name__] = step
    return step


def steps_of_plugins(conn: sqlite3.Connection) -> dict[str, ForeignStep]:
    """The steps of plugins that the database lacks, by name."""
    if not _FOREIGN_STEPS:
        return {}
    applied = applied_names(conn)
    return {name: step for name, step in _FOREIGN_STEPS.items() if name not in applied}


def _apply_foreign(conn: sqlite3.Connection, name: str, step: ForeignStep) -> None:
    from sqlite_utils import Database

    from ...terminal import show_note

    try:
        if not conn.in_transaction:
            conn.execute("begin immediate")
        step(Database(conn))
        _note(conn, "_llm_migrations", [name])
        conn.commit()
    except Exception as error:  # whatever a plugin raises
        conn.rollback()
        # It is told once.
        _FOREIGN_STEPS.pop(name, None)
        show_note(
            f"The migration {name} of a plugin failed, the log goes on without it: "
            f"{type(error).__name__}: {error}"
        )


def connection_of(db: Database | sqlite3.Connection) -> sqlite3.Connection:
    """The connection of `db`, which may be one itself."""
    return cast(sqlite3.Connection, getattr(db, "conn", db))


def needs_migration(conn: sqlite3.Connection) -> bool:
    """Whether the database lacks anything that migrating gives it; nothing is written."""
    if not applied_names(conn).issuperset(NAMES):
        return True
    present = _present(conn)
    if not present.issuperset(schema.OBJECTS):
        return True
    return not present.isdisjoint(_FIRST_TABLES) and FIRST_TABLE_TAKEN not in _noted(conn)


def applied_names(conn: sqlite3.Connection) -> set[str]:
    """The names of the migrations that were applied to the database."""
    return {name for (name,) in rows_if_any(conn, "select name from _llm_migrations")}


def _noted(conn: sqlite3.Connection) -> set[str]:
    """What of our own was done to the database."""
    return {name for (name,) in rows_if_any(conn, "select name from _llm_x_migrations")}


def _present(conn: sqlite3.Connection) -> set[str]:
    """The names of the tables, views and triggers of a file."""
    return {
        name for (name,) in conn.execute("select name from sqlite_master where type <> 'index'")
    }


def refuse_others(conn: sqlite3.Connection) -> None:
    """See to it that a file without a record of its migrations is new, or has tables of a log.

    Raises:
        NotALog: A table with the name of one of ours lacks what it has had in every release.
    """
    if applied_names(conn):
        return
    present = _present(conn)
    for table in _FIRST_TABLES & present:
        _refuse(table, _FIRST_TABLE_NEEDS, conn)
    if present.isdisjoint(schema.OBJECTS):
        return
    with closing(sqlite3.connect(":memory:")) as log:
        _apply(log, STEPS)
        for table in sorted(present & schema.OBJECTS & _present(log)):
            _refuse(table, set(_columns(log, table)) - _ADDED.get(table, set()), conn)


def _refuse(table: str, needed: Iterable[str], conn: sqlite3.Connection) -> None:
    missing = sorted(set(needed) - set(_columns(conn, table)))
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise NotALog(f"its table {table} is another program's, it has no column {named}")


def _apply_missing(conn: sqlite3.Connection) -> None:
    refuse_others(conn)
    applied, present = applied_names(conn), _present(conn)
    is_new = not applied and present.isdisjoint(schema.OBJECTS | _FIRST_TABLES)
    later = STEPS[len(_STEPS_OF_2023) :]
    _apply(conn, later if is_new else [step for step in STEPS if step[0] not in applied])
    if not _present(conn).issuperset(schema.OBJECTS):
        # Somebody has dropped something since: each step only adds what is not there.
        _apply(conn, later)
    _note(conn, "_llm_migrations", NAMES)
    if is_new:
        _make_indexes(conn, INDEXES)
    elif FIRST_TABLE_TAKEN not in _noted(conn):
        _take_over(conn)


def _take_over(conn: sqlite3.Connection) -> None:
    found = sorted(_FIRST_TABLES & _present(conn))
    if len(found) == 1 and _FIRST_TABLE_NEEDS.issubset(_columns(conn, found[0])):
        if not is_in_last_form(conn):
            # It was marked as migrated without being so.
            _finish_old_logs(conn)
        take_over_first_table(conn)
    if found:
        _note(conn, "_llm_x_migrations", [FIRST_TABLE_TAKEN])


def _apply(conn: sqlite3.Connection, steps: Iterable[Step]) -> None:
    for _, changes in steps:
        for change in changes:
            if isinstance(change, str):
                conn.execute(change)
            else:
                change(conn)


def _note(conn: sqlite3.Connection, table: str, names: Iterable[str]) -> None:
    """Remember that some migrations were applied, or some indexes made."""
    from datetime import datetime, timezone

    conn.execute(f"create table if not exists {table} (name text primary key, applied_at text)")
    now = str(datetime.now(timezone.utc))
    sql = f"insert or ignore into {table} (name, applied_at) values (?, ?)"
    conn.executemany(sql, [(name, now) for name in names])


def _columns(conn: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in conn.execute("select name from pragma_table_info(?)", [table])]


# The columns that tables of the first releases lack, by table.
_ADDED: dict[str, set[str]] = {"tool_instantiations": {"instance_id"}}
# Both names of the table of 2023, and what each release has had in it.
_FIRST_TABLES = {"log", "logs"}
_FIRST_TABLE_NEEDS = {"model", "prompt", "response"}


def _adding(table: str, **definitions: str) -> Change:
    _ADDED.setdefault(table, set()).update(definitions)

    def step(conn: sqlite3.Connection) -> None:
        present = _columns(conn, table)
        for column, definition in definitions.items():
            if column not in present:
                conn.execute(f'alter table "{table}" add column {column} {definition}')

    return step


def _rebuild(
    conn: sqlite3.Connection, table: str, columns: str, source: str, values: Mapping[str, str] = {}
) -> None:
    """Replace `source` by `table` with `columns`.

    A column is filled from the SQL expression in `values`, else from the one of the same name.
    """
    conn.execute(f"create table _llm_rebuilt ({columns})")
    names = _columns(conn, "_llm_rebuilt")
    present = {**{name: f'"{name}"' for name in _columns(conn, source)}, **values}
    into = ", ".join(f'"{name}"' for name in names)
    expressions = ", ".join(present.get(name, "null") for name in names)
    conn.execute(f'insert into _llm_rebuilt ({into}) select {expressions} from "{source}"')
    conn.execute(f'drop table "{source}"')
    conn.execute(f'alter table _llm_rebuilt rename to "{table}"')


def _finish_old_logs(conn: sqlite3.Connection) -> None:
    """Give the table of 2023, in whatever form it is, its last form and name."""
    source = next((name for name in ("log", "logs") if has_table(conn, name)), None)
    if source is None:
        return
    present = _columns(conn, source)
    values = {} if "id" in present else {"id": "rowid"}
    for older in ("timestamp", "timestamp_utc", "datetime_utc"):
        if older in present:
            values["datetime_utc"] = older
    _rebuild(conn, "logs", schema.OLD_LOGS_COLUMNS, source, values)


def _drop_old_logs_if_empty(conn: sqlite3.Connection) -> None:
    if has_table(conn, "logs") and not conn.execute("select 1 from logs limit 1").fetchone():
        conn.execute("drop table logs")


def _widen_fragment_keys(conn: sqlite3.Connection) -> None:
    """Let a response use one fragment twice: the position belongs to the primary key."""
    key = "select 1 from pragma_table_info(?) where name = 'order' and pk > 0"
    for table in ("prompt_fragments", "system_fragments"):
        columns = schema.RESPONSE_FRAGMENTS_COLUMNS
        if not has_table(conn, table):
            conn.execute(f"create table {table} ({columns})")
        elif conn.execute(key, [table]).fetchone() is None:
            _rebuild(conn, table, columns, table)


def _refer_to_instances(conn: sqlite3.Connection) -> None:
    """Let `tool_instantiations` point to shared rows instead of spelling each instance out."""
    if "instance_id" in _columns(conn, "tool_instantiations"):
        return
    conn.execute(
        "insert into tool_instances (name, plugin, arguments)"
        " select distinct name, plugin, arguments from tool_instantiations as old"
        " where not exists (select 1 from tool_instances as known where known.name is old.name"
        " and known.plugin is old.plugin and known.arguments is old.arguments)"
    )
    instance = (
        "(select min(known.id) from tool_instances as known"
        " where known.name is tool_instantiations.name"
        " and known.plugin is tool_instantiations.plugin"
        " and known.arguments is tool_instantiations.arguments)"
    )
    table, columns = "tool_instantiations", schema.TOOL_INSTANTIATIONS_COLUMNS
    _rebuild(conn, table, columns, table, {"instance_id": instance})


# The instance behind a tool is one of those that ran in the same thread, known by its prefix.
_FILL_TURN_TOOL_INSTANCES = """
update turn_tools set instance_id = (
    select tool_instances.id
    from turns as own
    join turns as sibling on sibling.thread_id = own.thread_id
    join tool_instantiations on tool_instantiations.turn_id = sibling.id
    join tool_instances on tool_instances.id = tool_instantiations.instance_id
    join tools on tools.id = turn_tools.tool_id
    where own.id = turn_tools.turn_id
        and substr(tools.name, 1, length(tool_instances.name) + 1)
            = tool_instances.name || '_'
    order by tool_instances.id limit 1
)
where instance_id is null
"""


def _step(name: str, *changes: str | Change) -> Step:
    return name, changes


_INDEX_RESPONSES = [sql.format(table="responses") for sql in schema.FULL_TEXT_INDEX]
_INDEX_TURNS = [sql.format(table="turn_search") for sql in schema.FULL_TEXT_INDEX]

# Those without changes made intermediate forms, which m007_finish_logs_table skips.
_STEPS_OF_2023 = (
    _step("m001_initial"),
    _step("m002_id_primary_key"),
    _step("m003_chat_id_foreign_key"),
    _step("m004_column_order"),
    _step("m004_drop_provider"),
    _step("m005_debug"),
    _step("m006_new_logs_table"),
    _step("m007_finish_logs_table", _finish_old_logs),
    _step("m008_reply_to_id_foreign_key"),
    _step("m008_fix_column_order_in_logs", _finish_old_logs),
    _step("m009_delete_logs_table_if_empty", _drop_old_logs_if_empty),
)
STEPS = (
    *_STEPS_OF_2023,
    _step("m010_create_new_log_tables", schema.CONVERSATIONS, schema.RESPONSES),
    _step("m011_fts_for_responses", *_INDEX_RESPONSES),
    _step("m012_attachments_tables", *schema.ATTACHMENTS),
    _step(
        "m013_usage",
        _adding("responses", input_tokens="integer", output_tokens="integer", token_details="text"),
    ),
    _step(
        "m014_schemas",
        schema.SCHEMAS,
        _adding("responses", schema_id="text references schemas(id)"),
        *_INDEX_RESPONSES,
    ),
    _step("m015_fragments_tables", *schema.FRAGMENTS),
    _step("m016_fragments_table_pks", _widen_fragment_keys),
    _step("m017_tools_tables", *schema.TOOLS),
    _step("m017_tools_plugin", _adding("tools", plugin="text")),
    _step(
        "m018_tool_instances",
        schema.TOOL_INSTANCES,
        _adding("tool_results", instance_id="integer references tool_instances(id)"),
    ),
    _step("m019_resolved_model", _adding("responses", resolved_model="text")),
    _step("m020_tool_results_attachments", schema.TOOL_RESULTS_ATTACHMENTS),
    _step("m021_tool_results_exception", _adding("tool_results", exception="text")),
    _step("m022_response_reasoning", _adding("responses", reasoning="text")),
    _step("m023_message_store", *schema.MESSAGE_STORE, *_INDEX_TURNS),
    _step(
        "m024_tool_instance_references",
        _adding("turn_tools", instance_id="integer references tool_instances(id)"),
        _refer_to_instances,
    ),
    _step("m025_turn_tools_instance_backfill", _FILL_TURN_TOOL_INSTANCES),
    _step("m026_message_tree_view", schema.MESSAGE_TREE),
    _step("m027_turns_response_json", _adding("turns", response_json="text")),
)

NAMES = tuple(name for name, _ in STEPS)

# Indexes

# The name of each index and what it is on. The list is append-only. SQLite counts the rows of a
# table over one of the kind that it takes for the narrowest, and among equals over the last made.
INDEXES: dict[str, str] = {
    "idx_x_turns_model": "turns (model, id)",
    "idx_x_turns_resolved_model": "turns (resolved_model, id)",
    "idx_x_turns_datetime": "turns (datetime_utc)",
    "idx_x_turns_parent": "turns (parent_message_hash)",
    "idx_x_turns_tip": "turns (tip_message_hash)",
    "idx_x_turns_schema": "turns (schema_id)",
    # Over this one turns are counted: of all columns with an index it is the only number.
    "idx_x_turns_tokens": "turns (input_tokens)",
    "idx_x_threads_tip": "threads (tip_message_hash)",
    # And threads over this one, which is mostly empty.
    "idx_x_threads_forked_from": "threads (forked_from)",
    "idx_x_parts_results": "parts (tool_name, message_hash) where type = 'tool_result'",
    "idx_x_part_attachments": "part_attachments (attachment_id)",
    "idx_x_responses_conversation": "responses (conversation_id)",
    "idx_x_responses_model": "responses (model, id)",
    "idx_x_responses_resolved_model": "responses (resolved_model, id)",
    "idx_x_responses_datetime": "responses (datetime_utc)",
}

# Fewer rows than this are indexed before anybody could read that it is being done.
LARGE = 100_000


def _make_indexes(conn: sqlite3.Connection, names: Iterable[str]) -> None:
    for name in names:
        conn.execute(f"create index if not exists {name} on {INDEXES[name]}")
    _note(conn, "_llm_x_migrations", names)


def missing_indexes(conn: sqlite3.Connection) -> list[str]:
    """The names of those that the database was never given; nothing is written."""
    noted = _noted(conn)
    return [name for name in INDEXES if name not in noted]


def build_indexes(conn: sqlite3.Connection, report: Callable[[str], None]) -> None:
    """Make those that are missing, one transaction each.

    Args:
        conn: A migrated database, outside of any transaction.
        report: Is given a line for each on a file with many turns, and an empty one at the end.
    """
    missing = missing_indexes(conn)
    if not missing:
        return
    # About how many turns and responses there are, without counting them.
    rows = "select ifnull(max(rowid), 0) from"
    is_large = conn.execute(f"select ({rows} turns) + ({rows} responses)").fetchone()[0] >= LARGE
    for number, name in enumerate(missing, 1):
        if is_large:
            report(f"Indexing the log, once: {number} of {len(missing)}")
        with immediate(conn):
            _make_indexes(conn, [name])
    if is_large:
        report("")


# On a connection: write transactions, and tables that may be missing.


@contextmanager
def immediate(conn: sqlite3.Connection) -> Iterator[None]:
    """A write transaction that is either committed whole or undone.

    It takes the write lock at once: a transaction that begins with a read and is then overtaken
    by another writer fails without waiting. Within a transaction of the caller it is a savepoint,
    and committing is left to the caller.
    """
    nested = conn.in_transaction
    conn.execute("savepoint llm_turn" if nested else "begin immediate")
    try:
        yield
        conn.execute("release llm_turn" if nested else "commit")
    except BaseException:
        # Some errors (a full disk, for one) have ended the transaction already.
        if conn.in_transaction:
            conn.execute("rollback to llm_turn" if nested else "rollback")
            if nested:
                conn.execute("release llm_turn")
        raise


def has_table(conn: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table or view of that name."""
    sql = "select 1 from sqlite_master where name = ?"
    return conn.execute(sql, [name]).fetchone() is not None


def rows_if_any(
    conn: sqlite3.Connection, sql: str, values: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """The rows of a query; none where a table that it reads is not in this file."""
    try:
        return conn.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
