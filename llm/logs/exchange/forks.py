"""Conversations that branch off others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import NotFound
from ..file.migrations import immediate
from ..read.rehydrate import StoredConversation, merged_messages, read_conversation
from ..read.turn_records import history_after
from ..records.outcome import inherit_foreign
from ..records.threads import FORK_SUFFIX, ConversationInfo, after_all, conversation_info
from ..write.store import LogStore

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ...parts import Message

_THERE = (
    "select 1 from threads where id = ?1"
    " union all select 1 from conversations where id = ?1 limit 1"
)

# The turns of the conversations that one was forked from, as far as it has their messages.
_INHERITED = """
with recursive family(id) as (
  select forked_from from threads where id = :fork
  union select threads.forked_from from family join threads on threads.id = family.id),
chain(hash, parent_hash) as (
  select hash, parent_hash from messages where hash = :tip
  union all
  select m.hash, m.parent_hash from chain join messages m on m.hash = chain.parent_hash)
select t.tip_message_hash from family join turns t on t.thread_id = family.id
where t.tip_message_hash in (select hash from chain) and t.id >= :start and t.id < :end limit 2
"""


def fork_conversation(
    db: Database, conversation_id: str, *, at: str | None = None, name: str | None = None
) -> str:
    """Make a conversation that goes on from another one, and give its id; nothing is copied.

    Args:
        db: The log database.
        conversation_id: The conversation to leave.
        at: The last turn that both share, by its id or the beginning of that; or by its number,
            which does not count turns from before a fork (1 is the first); the latest one where
            missing.
        name: The title; that of the other one with ` (fork)` behind it where missing.

    Raises:
        NotFound: There is no such conversation or turn, or it could be any of several.
    """
    store = LogStore(db)
    stored = read_conversation(db.conn, conversation_id)
    if stored is None:
        raise NotFound(f"No conversation found with id={conversation_id}")
    messages, is_as_stored = merged_messages(db.conn, stored)
    tip = stored.tip if is_as_stored else None
    if at is not None:
        tip, messages = _history_at(db.conn, stored, tip, at)
    title = name if name is not None else f"{stored.name or ''}{FORK_SUFFIX}".strip()
    with immediate(db.conn):
        end = tip or store.ensure_chain(messages)
        fork = store.create_thread(title, end, forked_from=conversation_id)
        inherit_foreign(db.conn, fork, conversation_id)
    return fork


def _history_at(
    conn: sqlite3.Connection, stored: StoredConversation, tip: str | None, at: str
) -> tuple[str | None, list[Message]]:
    """The address of the last message of a turn; the messages up to there where it has none."""
    # The turns of older releases end nowhere.
    tips: dict[str, str | None] = {row["id"]: None for row in stored.legacy}
    tips.update(stored.turns)
    start = at.lower()
    found = (
        [turn for turn in tips.items() if turn[0].startswith(start)]
        or _inherited(conn, stored.id, tip, start)
        or _numbered(sorted(tips.items()), at)
    )
    if len(found) != 1:
        raise NotFound(
            f"In conversation {stored.id} {'several turns begin' if found else 'no turn begins'}"
            f" with {at!r}. 'llm logs --cid {stored.id}' shows their ids"
        )
    [(turn_id, end)] = found
    # What an older release would have sent after the turn.
    return end, history_after([old for old in stored.legacy if old["id"] <= turn_id], [])


def _inherited(
    conn: sqlite3.Connection, conversation_id: str, tip: str | None, start: str
) -> list[tuple[str, str | None]]:
    """The ends of turns from before a fork: of the one, or two, whose id begins so."""
    if tip is None or not start:
        return []
    values = {"fork": conversation_id, "tip": tip, "start": start, "end": after_all(start)}
    return [("", end) for (end,) in conn.execute(_INHERITED, values)]


def _numbered(turns: list[tuple[str, str | None]], at: str) -> list[tuple[str, str | None]]:
    # Ids begin with 0 for some thousand years.
    return turns[int(at) - 1 : int(at)] if at.isdecimal() and int(at) else []


def family_trees(conn: sqlite3.Connection, conversation_id: str | None = None) -> Iterator[str]:
    """The lines of a drawing of all conversations that were forked, and of their forks.

    Args:
        conn: A migrated log database.
        conversation_id: Only the family of this one.
    """
    forks = "select id, forked_from from threads where forked_from is not null order by id"
    parents = dict(conn.execute(forks).fetchall())
    children: dict[str, list[str]] = {}
    for fork, origin in parents.items():
        children.setdefault(origin, []).append(fork)

    def drawn(one: str, first: str, rest: str, above: frozenset[str]) -> Iterator[str]:
        """The lines of a conversation and all below it; `first` and `rest` go in front."""
        yield first + _label(conn, one)
        above |= {one}
        below = [child for child in children.get(one, ()) if child not in above]
        for child in below:
            is_last = child == below[-1]
            corner, bar = ("└── ", "    ") if is_last else ("├── ", "│   ")
            yield from drawn(child, rest + corner, rest + bar, above)

    members = parents if conversation_id is None else [conversation_id]
    for root in sorted({_root(parents, member) for member in members}, reverse=True):
        yield from drawn(root, "", "", frozenset())


def _root(parents: dict[str, str], conversation_id: str) -> str:
    seen: set[str] = set()
    while conversation_id not in seen:
        seen.add(conversation_id)
        conversation_id = parents.get(conversation_id, conversation_id)
    return conversation_id


def _label(conn: sqlite3.Connection, conversation_id: str) -> str:
    if conn.execute(_THERE, [conversation_id]).fetchone() is None:
        return f"{conversation_id}  (not in the log)"
    info = conversation_info(conn, conversation_id)
    return "  ".join(filter(None, [info.id, info.name, f"({turns_text(info)})"]))


def turns_text(info: ConversationInfo) -> str:
    """How many turns a conversation has, for a person."""
    return "1 turn" if info.turns == 1 else f"{info.turns} turns"
