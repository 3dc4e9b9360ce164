"""What was logged before August 2023, in one table, as conversations with responses.

The rows are copied, so that they are shown, searched and gone on with like those of every later
release; the table stays. In a column of ours each of its rows knows its response, to be deleted
with it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import datetime, timezone

from ...text import conversation_name, encode_ulid

#: The name under which it is noted that the rows were copied.
FIRST_TABLE_TAKEN = "x_first_table_taken"

# A row belongs to the chat of the row that it names, in whichever way its release wrote that.
_ROWS = """
with recursive root (id, at) as (
    select id, coalesce(nullif(chat_id, id), nullif(reply_to_id, id)) from logs
    union
    select root.id, coalesce(nullif(logs.chat_id, logs.id), nullif(logs.reply_to_id, logs.id))
    from root join logs on logs.id = root.at
),
chats (id, chat) as (
    select id, min(ifnull(at, id)) from root group by id
)
select logs.id, chat, model, prompt, system, prompt_json, options_json, response, response_json,
    duration_ms, datetime_utc
from logs join chats on chats.id = logs.id order by logs.id
"""
_ADD_CONVERSATION = "insert or ignore into conversations (id, name, model) values (?, ?, ?)"
_ADD_RESPONSE = """
insert or ignore into responses (id, conversation_id, model, prompt, system, prompt_json,
    options_json, response, response_json, duration_ms, datetime_utc)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COLUMNS = "select name from pragma_table_info('logs')"
_NEEDED = {
    *("id", "model", "prompt", "system", "prompt_json", "options_json", "response"),
    *("response_json", "reply_to_id", "chat_id", "duration_ms", "datetime_utc"),
}


def is_in_last_form(conn: sqlite3.Connection) -> bool:
    """Whether the table has its last name, and all that it had at the end."""
    return {name for (name,) in conn.execute(_COLUMNS)} >= _NEEDED


def take_over_first_table(conn: sqlite3.Connection) -> None:
    """Copy the rows of `logs` to `conversations` and `responses`; within the caller's transaction.

    A table of that name that is not the one of 2023 is left alone.
    """
    columns = {name for (name,) in conn.execute(_COLUMNS)}
    if not columns >= _NEEDED:
        return
    if "response_id" not in columns:
        conn.execute("alter table logs add column response_id text")
    chats: dict[int, str] = {}
    for row_id, chat, model, prompt, *texts, moment in conn.execute(_ROWS).fetchall():
        response_id = _ulid(row_id, "response", moment, prompt)
        if chat not in chats:
            chats[chat] = _ulid(chat, "conversation", moment, prompt)
            name = conversation_name(str(prompt or texts[0] or ""))
            conn.execute(_ADD_CONVERSATION, [chats[chat], name, model])
        time = str(moment or "").replace(" ", "T", 1) or None
        values = [response_id, chats[chat], model, prompt, *texts, time]
        conn.execute(_ADD_RESPONSE, values)
        conn.execute("update logs set response_id = ? where id = ?", [response_id, row_id])


def has_copies(conn: sqlite3.Connection) -> bool:
    """Whether the rows of `logs` were copied."""
    return ("response_id",) in conn.execute(_COLUMNS).fetchall()


def _ulid(row_id: int, *content: object) -> str:
    """The same id for the same row each time: its time, its number, a digest of what it holds."""
    digest = hashlib.blake2b(repr((row_id, content)).encode("utf-8", "replace"), digest_size=6)
    number = (row_id & 0xFFFFFFFF) << 48 | int.from_bytes(digest.digest(), "big")
    return encode_ulid(_milliseconds(content[1]) << 80 | number)


def _milliseconds(moment: object) -> int:
    try:
        when = datetime.fromisoformat(str(moment))
    except ValueError:
        return 0
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(int(when.timestamp() * 1000), 0)
