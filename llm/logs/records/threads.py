"""Conversations as things: which there are, how they are called, and where they branch off.

A conversation is a thread, a conversation that a release before 0.32 logged, or both under one id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from ...errors import NotFound
from ...text.secrets import storable
from ..file.lookups import rows_by_ids
from ..file.migrations import has_table, immediate
from .outcome import IS_PROMPTED, UNPROMPTED

# How many conversations an ambiguous name is told to stand for.
SHOWN_CANDIDATES = 5
# Behind the title of a fork that was given none of its own.
FORK_SUFFIX = " (fork)"

# One that never got an answer has nothing to go on with.
_LAST_TURN = """
select thread_id, id from turns
where thread_id <> '' and {prompted} and (
    not exists (select 1 from threads where id = thread_id and tip_message_hash is null)
    or exists (select 1 from conversations where id = thread_id))
order by rowid desc limit 1
"""
_LAST_RESPONSE = (
    "select conversation_id, id from responses where conversation_id <> '' order by id desc limit 1"
)
_LAST_THREAD = (
    "select id, id from threads where tip_message_hash is not null"
    " or not exists (select 1 from turns where thread_id = threads.id) order by id desc limit 1"
)

# The row that was written last, be it of a conversation or of none.
_LAST_ROWS = (
    "select thread_id, id from turns where {prompted} order by rowid desc limit 1",
    "select conversation_id, id from responses order by id desc limit 1",
)

_NEWEST_TURNS = "select id, thread_id from turns order by id desc"
_NEWEST_RESPONSES = (
    "select id, conversation_id from responses where conversation_id is not null order by id desc"
)
_NEWEST_THREADS = "select id, id from threads order by id desc"
_NEWEST_LEGACY = "select id, id from conversations order by id desc"
_THREAD = "select name, forked_from, datetime_utc from threads where id = ?"
_LEGACY = "select name from conversations where id = ?"
_COUNTS = (
    "select count(*) from turns where thread_id = ?",
    "select count(*) from responses where conversation_id = ?"
    " and not exists (select 1 from turns where turns.id = responses.id)",
)
_LAST = (
    "select max(id) from turns where thread_id = ?",
    "select max(id) from responses where conversation_id = ?",
)
_IS_USED = (
    "select exists (select 1 from turns where thread_id = ?1)"
    " or exists (select 1 from responses where conversation_id = ?1)"
)
# For a fork without turns: the model of the thread that it left, or of one that has its messages.
_MODELS_BEFORE = (
    "select model from turns where thread_id ="
    " (select forked_from from threads where id = ?) order by id desc limit 1",
    """
    with recursive chain (hash) as (
        select tip_message_hash from threads where id = ?
        union all
        select messages.parent_hash from chain join messages on messages.hash = chain.hash
    )
    select turns.model from turns join chain on chain.hash = turns.tip_message_hash
    order by turns.id desc limit 1""",
    "select model from responses where conversation_id ="
    " (select forked_from from threads where id = ?) order by id desc limit 1",
    "select model from conversations where id = ?",
)
_MATCHING_TURNS = (
    "select t.thread_id from {index} turn_search s {indexed} {on} join turns t on t.id = s.turn_id"
    " where {where} order by s.id desc"
)
_MATCHING_RESPONSES = (
    "select r.conversation_id from {index} responses r {indexed} {on}"
    " where r.conversation_id <> '' and {where} order by r.rowid desc"
)
_CONVERSATIONS_OF = (
    "select id, conversation_id from responses where id in",
    "select id, thread_id from turns where id in",
)
_TURN = "select model, datetime_utc from turns where id = ?"
_RESPONSE = "select model, datetime_utc from responses where id = ?"
_BY = "select id from threads where {0} union select id from conversations where {0} limit ?"
_BY_ID = _BY.format("id >= ? and id < ?")
_BY_NAME = _BY.format("name like ? escape '\\'")
_BY_TITLE = _BY.format("name = ?")


class ConversationInfo(NamedTuple):
    """What a list of conversations tells about one.

    Args:
        id: Its id.
        name: Its title.
        model: The model that answered last; `None` where nobody did.
        turns: How many turns it has of its own, without those it was forked from.
        last_used_utc: When its last turn began, or when it was made.
        forked_from: The conversation that it branches off.
    """

    id: str
    name: str | None
    model: str | None
    turns: int
    last_used_utc: str | None
    forked_from: str | None = None


def latest_conversation_id(conn: sqlite3.Connection) -> str | None:
    """The conversation that was used last; `None` where nothing is logged.

    That is the one of the turn that a prompt wrote last, be it of this program or of another
    release. What was imported, or recovered from a dead process, and a fork without a turn of its
    own are taken only where no prompt has written anything.
    """
    prompted = _prompted(conn)
    for sources in (
        (_LAST_TURN.format(prompted=prompted), _LAST_RESPONSE),
        (_LAST_TURN.format(prompted="1"),),
        (_LAST_THREAD,),
    ):
        last = _last_of(conn, sources)
        if last is not None:
            return str(last[0])
    return None


def last_row_of_none(conn: sqlite3.Connection) -> str | None:
    """The id of the turn that was written last, where it belongs to no conversation."""
    last = _last_of(conn, [sql.format(prompted=_prompted(conn)) for sql in _LAST_ROWS])
    return None if last is None or last[0] else str(last[1])


def _prompted(conn: sqlite3.Connection) -> str:
    return IS_PROMPTED if has_table(conn, UNPROMPTED) else "1"


def _last_of(conn: sqlite3.Connection, sources: Iterable[str]) -> tuple[str | None, str] | None:
    """The last of the first rows of some queries: a conversation and the id that dates it."""
    found = [row for sql in sources if (row := conn.execute(sql).fetchone()) is not None]
    # Rows of two tables are in the order of their ids, which begin with the time.
    return max(found, key=itemgetter(1)) if found else None


def require_latest_conversation_id(conn: sqlite3.Connection) -> str:
    """The conversation that was used last; see `latest_conversation_id`.

    Raises:
        NotFound: Nothing is logged, or nothing that belongs to a conversation.
    """
    found = latest_conversation_id(conn)
    if found is None:
        reason = "nothing has been logged yet"
        if last_row_of_none(conn) is not None:
            reason = "what has been logged belongs to none ('llm logs' shows it)"
        raise NotFound(f"No conversations found: {reason}")
    return found


def newest_conversations(conn: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """All conversations, the one used last first; only as many are read as are taken.

    One without turns, such as a fork, counts from its making.

    Returns:
        Pairs of the id of the conversation, and the id of its last turn or its own.
    """
    seen: set[str] = set()
    used = map(conn.execute, (_NEWEST_TURNS, _NEWEST_RESPONSES))
    unused = (_unused(conn, sql) for sql in (_NEWEST_THREADS, _NEWEST_LEGACY))
    for last_id, conversation_id in merge(*used, *unused, key=itemgetter(0), reverse=True):
        if conversation_id and conversation_id not in seen:
            seen.add(conversation_id)
            yield conversation_id, last_id


def _unused(conn: sqlite3.Connection, sql: str) -> Iterator[tuple[str, str]]:
    """The rows of `sql`, without the conversation where its turns tell when it was used."""
    for own_id, conversation_id in conn.execute(sql):
        is_used = conn.execute(_IS_USED, [conversation_id]).fetchone()[0]
        yield own_id, "" if is_used else conversation_id


def matching_conversations(
    conn: sqlite3.Connection, text: str, limit: int | None
) -> list[tuple[str, str]]:
    """The conversations with `text` in their title or its words in a turn, as pairs of ids.

    The one used last comes first; no `limit` means all.
    """
    from .search import found_rows, like, words_of

    pattern = f"%{like(text)}%"
    found = {row[0] for row in conn.execute(_BY_NAME, [pattern, pattern, -1])}
    search = words_of(text)
    tables = (
        (_MATCHING_TURNS, "turn_search", "s.id"),
        (_MATCHING_RESPONSES, "responses", "r.rowid"),
    )
    for sql, table, row in tables if search.match or search.is_unsplit else ():
        some: set[str] = set()
        for (conversation_id,) in found_rows(conn, search, sql, table, row):
            some.add(conversation_id)
            if len(some) == limit:
                break
        found |= some
    pairs = [(one, _last_id(conn, one)) for one in found]
    return sorted(pairs, key=itemgetter(1), reverse=True)[:limit]


def _last_id(conn: sqlite3.Connection, conversation_id: str) -> str:
    """The id of the last turn of a conversation; its own where it has none."""
    found = [conn.execute(sql, [conversation_id]).fetchone()[0] for sql in _LAST]
    return max([turn_id for turn_id in found if turn_id], default=conversation_id)


def conversation_info(
    conn: sqlite3.Connection, conversation_id: str, last_id: str | None = None
) -> ConversationInfo:
    """What is known of a conversation, whose last turn may be known, without its messages."""
    thread = conn.execute(_THREAD, [conversation_id]).fetchone() or (None, None, None)
    legacy = conn.execute(_LEGACY, [conversation_id]).fetchone() or (None,)
    turns = sum(conn.execute(sql, [conversation_id]).fetchone()[0] for sql in _COUNTS)
    answer = _last_answer(conn, last_id or _last_id(conn, conversation_id))
    if answer is None:
        # Threads write their time with a space, turns with a T.
        made = thread[2] and thread[2].replace(" ", "T", 1)
        answer = (_model_before(conn, conversation_id), made)
    model, when = answer
    return ConversationInfo(conversation_id, legacy[0] or thread[0], model, turns, when, thread[1])


def model_of_conversation(conn: sqlite3.Connection, conversation_id: str) -> str | None:
    """The model that answered last; for a fork without turns the one that did before it."""
    answer = _last_answer(conn, _last_id(conn, conversation_id))
    return answer[0] if answer else _model_before(conn, conversation_id)


def _last_answer(conn: sqlite3.Connection, last_id: str) -> tuple[str | None, str | None] | None:
    """Model and time of a turn or response."""
    rows = (conn.execute(sql, [last_id]).fetchone() for sql in (_TURN, _RESPONSE))
    return next(filter(None, rows), None)


def _model_before(conn: sqlite3.Connection, conversation_id: str) -> str | None:
    for sql in _MODELS_BEFORE:
        row = conn.execute(sql, [conversation_id]).fetchone()
        if row is not None and row[0] is not None:
            return str(row[0])
    return None


def list_conversations(
    conn: sqlite3.Connection, *, limit: int | None = None, query: str | None = None
) -> Iterator[ConversationInfo]:
    """The conversations of the log, the one used last first.

    Args:
        conn: A migrated log database.
        limit: The most that are wanted.
        query: Only those with this text in their title, or its words in a turn.
    """
    pairs = matching_conversations(conn, query, limit) if query else newest_conversations(conn)
    for conversation_id, last_id in islice(pairs, limit):
        yield conversation_info(conn, conversation_id, last_id)


def conversations_of(conn: sqlite3.Connection, ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The id of each turn that belongs to a conversation, and that of the conversation."""
    wanted = list(ids)
    found: dict[str, str] = {}
    for sql in _CONVERSATIONS_OF:
        found.update(rows_by_ids(conn, sql, wanted))
    return ((turn_id, found[turn_id]) for turn_id in wanted if found.get(turn_id))


def find_conversation_id(conn: sqlite3.Connection, name: str) -> str | None:
    """The id of the conversation that `name` stands for; `None` where there is none.

    Args:
        conn: A migrated log database.
        name: An id; else a title; else the beginning of one id; else the beginning of one title.

    Raises:
        NotFound: It could be any of several.
    """
    if not name:
        return None
    if any(conn.execute(sql, [name]).fetchone() for sql in (_THREAD, _LEGACY)):
        return name
    from .search import like

    start = name.lower()
    for sql, values in (
        (_BY_TITLE, [name]),
        (_BY_ID, [start, after_all(start)]),
        (_BY_NAME, [f"{like(name)}%"]),
    ):
        rows = conn.execute(sql, [*values, *values, SHOWN_CANDIDATES + 1]).fetchall()
        if len(rows) > 1:
            raise NotFound(_ambiguous(conn, name, [row[0] for row in rows]))
        if rows:
            return str(rows[0][0])
    return None


def require_conversation_id(conn: sqlite3.Connection, name: str) -> str:
    """The id of the conversation that `name` stands for; see `find_conversation_id`.

    Raises:
        NotFound: There is none, or it could be any of several.
    """
    found = find_conversation_id(conn, name)
    if found is None:
        raise NotFound(
            f"No conversation found with id={name}, nor with a title that begins so. "
            "'llm conversations list' shows those there are"
        )
    return found


def after_all(start: str) -> str:
    """What comes after everything that begins with `start`."""
    return f"{start}\U0010ffff"


def _ambiguous(conn: sqlite3.Connection, name: str, ids: list[str]) -> str:
    lines = [f"{name!r} is the beginning of several conversations; give more of it:"]
    for conversation_id in ids[:SHOWN_CANDIDATES]:
        lines.append(f"  {conversation_id}  {conversation_info(conn, conversation_id).name or ''}")
    if len(ids) > SHOWN_CANDIDATES:
        lines.append("  ...")
    return "\n".join(lines)


def rename_conversation(conn: sqlite3.Connection, conversation_id: str, name: str) -> None:
    """Give a conversation another title, wherever it is stored."""
    with immediate(conn):
        for table in ("threads", "conversations"):
            sql = f"update {table} set name = ? where id = ?"
            conn.execute(sql, [storable(name), conversation_id])
