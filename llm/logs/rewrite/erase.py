"""Taking turns out of the log for good, with everything that only they needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from ...text import conversation_name
from ..file.first_table import has_copies
from ..file.lookups import json_list
from ..file.migrations import has_table, immediate
from ..records.messages import joined_text
from .redact_messages import rows_with_texts

_GONE_TURNS = (
    "create temp table _llm_gone as select id, thread_id, parent_message_hash as parent,"
    " tip_message_hash as tip from turns where id in (select value from json_each(?))"
)
_GONE_RESPONSES = (
    "create temp table _llm_gone_old as select id, conversation_id from responses"
    " where id in (select value from json_each(?))"
)
_OF_TURNS = "turn_id in (select id from _llm_gone)"
_OF_RESPONSES = "response_id in (select id from _llm_gone_old)"
_OF_PARTS = (
    "part_id in (select id from parts where message_hash in (select hash from _llm_messages))"
)
# The rows that go together, by their table: with turns and responses, with threads, with messages.
_WITH_TURNS = {
    "turn_search": _OF_TURNS,
    "turn_tools": _OF_TURNS,
    "turn_fragments": _OF_TURNS,
    "tool_instantiations": _OF_TURNS,
    "turn_status": _OF_TURNS,
    "unprompted_turns": _OF_TURNS,
    "turns": "id in (select id from _llm_gone)",
    "tool_results_attachments": (
        f"tool_result_id in (select id from tool_results where {_OF_RESPONSES})"
    ),
    "prompt_attachments": _OF_RESPONSES,
    "prompt_fragments": _OF_RESPONSES,
    "system_fragments": _OF_RESPONSES,
    "tool_responses": _OF_RESPONSES,
    "tool_calls": _OF_RESPONSES,
    "tool_results": _OF_RESPONSES,
    "responses": "id in (select id from _llm_gone_old)",
    # Of which some responses are copies.
    "logs": _OF_RESPONSES,
}
_WITH_THREADS = {
    "threads": "id in (select id from _llm_gone_tips)",
    "thread_foreign_tools": "thread_id in (select id from _llm_gone_tips)",
    "thread_foreign_messages": "thread_id in (select id from _llm_gone_tips)",
}
_WITH_MESSAGES = {
    "part_attachments": _OF_PARTS,
    "part_fragments": _OF_PARTS,
    "parts": "message_hash in (select hash from _llm_messages)",
    "messages": "hash in (select hash from _llm_messages)",
}
# What goes where nobody else uses it: the column that refers to it, and the tables that have it.
_SHARED = {
    "fragments": (
        "fragment_id",
        # With an alias it is somebody's.
        (
            *("turn_fragments", "part_fragments", "prompt_fragments", "system_fragments"),
            "fragment_aliases",
        ),
    ),
    "schemas": ("schema_id", ("turns", "responses")),
    "tools": ("tool_id", ("turn_tools", "tool_responses", "tool_calls", "tool_results")),
    "tool_instances": ("instance_id", ("turn_tools", "tool_instantiations", "tool_results")),
    "attachments": (
        "attachment_id",
        ("part_attachments", "prompt_attachments", "tool_results_attachments"),
    ),
}
# The chains of the deleted turns, less what a remaining turn, thread or message still needs.
_CANDIDATES = """
create temp table _llm_messages as
with recursive chain (hash) as (
    select tip from _llm_gone union select parent from _llm_gone
    union select tip from _llm_gone_tips
    union select messages.parent_hash from chain join messages on messages.hash = chain.hash
)
select hash from chain where hash is not null
"""
_STILL_NEEDED = """
with recursive needed (hash) as (
    select hash from _llm_messages as own
    where exists (select 1 from turns where parent_message_hash = own.hash)
        or exists (select 1 from turns where tip_message_hash = own.hash)
        or exists (select 1 from threads where tip_message_hash = own.hash)
        or exists (select 1 from messages where parent_hash = own.hash
            and hash not in (select hash from _llm_messages))
    union
    select messages.parent_hash from needed join messages on messages.hash = needed.hash
)
delete from _llm_messages where hash in (select hash from needed where hash is not null)
"""
_EMPTY_THREADS = """
select id, tip_message_hash as tip from threads
where id in (select thread_id from _llm_gone union select value from json_each(?))
    and not exists (select 1 from turns where thread_id = threads.id)
"""
# A thread that has lost its end goes on from the last of its turns that is left.
_MOVE_TIPS = """
update threads set tip_message_hash = (
    select tip_message_hash from turns where thread_id = threads.id order by id desc limit 1)
where id in (select thread_id from _llm_gone)
    and tip_message_hash in (select tip from _llm_gone)
    and tip_message_hash not in (
        select tip_message_hash from turns
        where thread_id = threads.id and tip_message_hash is not null)
"""
# Threads and conversations that are left, with the first text of what is left in them.
_LEFT_THREADS = """
select threads.id, threads.name, turn_search.prompt from threads
join turns on turns.id = (select min(id) from turns where thread_id = threads.id)
left join turn_search on turn_search.turn_id = turns.id
where threads.id in (select thread_id from _llm_gone)
"""
_LEFT_CONVERSATIONS = """
select conversations.id, conversations.name, coalesce(nullif(prompt, ''), system)
from conversations join responses on responses.id =
    (select min(id) from responses where conversation_id = conversations.id)
where conversations.id in (select conversation_id from _llm_gone_old)
"""
_GONE_INPUTS = (
    "select hash from messages where hash in (select hash from _llm_messages)"
    " and role in ('user', 'system')"
)
# Its title was made of the prompt, with the fragments before it, or of the system prompt.
_GONE_LEGACY = """
select prompt, system, (
    select group_concat(content, char(10)) from (
        select content from prompt_fragments join fragments on fragments.id = fragment_id
        where response_id = responses.id order by "order"))
from responses where id in (select id from _llm_gone_old)
    and exists (select 1 from responses as other
        where other.conversation_id = responses.conversation_id
        and other.id not in (select id from _llm_gone_old))
"""
_TEMPORARY = ("_llm_gone", "_llm_gone_old", "_llm_gone_tips", "_llm_messages", "_llm_used")


def delete_turns(
    conn: sqlite3.Connection, ids: Iterable[str], conversations: Iterable[str] = ()
) -> int:
    """Delete turns and legacy responses, and what nothing else needs; give how many they were.

    Messages that a remaining turn or thread contains stay, and so do fragments with an alias.
    The space is not given back and may still hold the texts: see `upkeep.compact`.

    Args:
        conn: A migrated log database that can be written.
        ids: Ids of turns and of rows of `responses`; others are ignored.
        conversations: Ids of conversations that go even if they have no turn.
    """
    wanted, named = json_list(ids), json_list(conversations)
    with immediate(conn):
        conn.execute(_GONE_TURNS, [wanted])
        conn.execute(_GONE_RESPONSES, [wanted])
        conn.execute("create temp table _llm_used (what text, id)")
        both = "select id from _llm_gone union select id from _llm_gone_old"
        count: int = conn.execute(f"select count(*) from ({both})").fetchone()[0]
        legacy_texts = _legacy_inputs(conn)
        _delete(conn, _WITH_TURNS)
        _delete_conversations(conn, named)
        _name_anew(conn, "conversations", _LEFT_CONVERSATIONS, legacy_texts)
        _delete_messages(conn)
        _delete_unused(conn)
        for table in _TEMPORARY:
            conn.execute(f"drop table temp.{table}")
    return count


def delete_old_logs(conn: sqlite3.Connection, until: str) -> int:
    """Delete what the table of 2023 holds, and was never shown, from before a time in UTC."""
    if not has_table(conn, "logs"):
        return 0
    with immediate(conn):
        return conn.execute("delete from logs where datetime_utc < ?", [until]).rowcount


def _delete(conn: sqlite3.Connection, rows: Mapping[str, str]) -> None:
    """Delete rows that go together, and remember what they refer to."""
    for kind, (column, users) in _SHARED.items():
        for table in rows.keys() & users:
            used = f"select distinct '{kind}', {column} from {table} where {rows[table]}"
            conn.execute(f"insert into _llm_used {used}")
    for table, which in rows.items():
        if has_table(conn, table) and (table != "logs" or has_copies(conn)):
            conn.execute(f"delete from {table} where {which}")


def _delete_conversations(conn: sqlite3.Connection, named: str) -> None:
    """Delete threads and conversations that have nothing left, and bring the others up to date."""
    conn.execute(f"create temp table _llm_gone_tips as {_EMPTY_THREADS}", [named])
    _delete(conn, _WITH_THREADS)
    conn.execute(
        "update threads set forked_from = null where forked_from in (select id from _llm_gone_tips)"
    )
    conn.execute(_MOVE_TIPS)
    conn.execute(
        "delete from conversations where id in (select conversation_id from _llm_gone_old"
        " union select value from json_each(?)) and not exists"
        " (select 1 from responses where conversation_id = conversations.id)",
        [named],
    )


def _delete_messages(conn: sqlite3.Connection) -> None:
    conn.execute(_CANDIDATES)
    conn.execute("create unique index temp._llm_messages_hash on _llm_messages (hash)")
    conn.execute(_STILL_NEEDED)
    _name_anew(conn, "threads", _LEFT_THREADS, _message_inputs(conn))
    _delete(conn, _WITH_MESSAGES)


def _delete_unused(conn: sqlite3.Connection) -> None:
    for table, (column, users) in _SHARED.items():
        unused = " and ".join(
            f"not exists (select 1 from {user} where {column} = {table}.id)" for user in users
        )
        used = f"select id from _llm_used where what = '{table}'"
        conn.execute(f"delete from {table} where id in ({used}) and {unused}")


def _name_anew(conn: sqlite3.Connection, table: str, left: str, gone: Iterable[str]) -> None:
    """Name what is left, and called after a text that is gone, after its first text from now on.

    `left` is SQL that gives id, name and first text of what has lost something.
    """
    rows = conn.execute(left).fetchall()
    names = {conversation_name(text) for text in gone} if rows else set()
    for key, name, text in rows:
        if name in names:
            new = conversation_name(text or "")
            conn.execute(f"update {table} set name = ? where id = ?", [new, key])


def _message_inputs(conn: sqlite3.Connection) -> Iterator[str]:
    """The texts of the messages to be deleted that a conversation may be named after."""
    hashes = [key for (key,) in conn.execute(_GONE_INPUTS)]
    return (joined_text(row.parts) for row in rows_with_texts(conn, hashes))


def _legacy_inputs(conn: sqlite3.Connection) -> list[str]:
    """The texts that what is left of a legacy conversation may be named after."""
    texts: list[str] = []
    for prompt, system, fragments in conn.execute(_GONE_LEGACY):
        whole = "\n".join(filter(None, (fragments, prompt)))
        texts += filter(None, (prompt, system, whole))
    return texts
