"""Conversations that branch off others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import NotFound
from ..read.rehydrate import StoredConversation, merged_messages, read_conversation
from ..read.turn_records import history_after
from ..records.threads import FORK_SUFFIX, ConversationInfo, after_all, conversation_info
from ..write.store import LogStore

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ...parts import Message

_FORKS = "select id, forked_from from threads where forked_from is not null order by id"
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
    return store.create_thread(
        title, tip or store.ensure_chain(messages), forked_from=conversation_id
    )


def _history_at(
    conn: sqlite3.Connection, stored: StoredConversation, tip: str | None, at: str
) -> tuple[str | None, list[Message]]:
    """The address of the last message of a turn; the messages up to there where it has none."""
    tips = _tips_of(stored)
    found = [turn_id for turn_id in tips if turn_id.startswith(at.lower())]
    inherited = [] if found else _inherited_tips(conn, stored.id, tip, at.lower())
    if not (found or inherited):
        found = _numbered(sorted(tips), at)
    if len(found) + len(inherited) != 1:
        several = "several turns begin" if [*found, *inherited] else "no turn begins"
        raise NotFound(
            f"In conversation {stored.id} {several} with {at!r}. "
            f"'llm logs --cid {stored.id}' shows their ids"
        )
    if inherited:
        return inherited[0], []
    return tips[found[0]], _older_history(stored, found[0])


def _tips_of(stored: StoredConversation) -> dict[str, str | None]:
    """Where the turns of a conversation end, by their ids; those of older releases nowhere."""
    tips: dict[str, str | None] = {turn.row["id"]: None for turn in stored.legacy}
    tips.update((turn.id, turn.tip) for turn in stored.turns)
    return tips


def _older_history(stored: StoredConversation, last_id: str) -> list[Message]:
    """What an older release would have sent after one of its turns."""
    return history_after([turn for turn in stored.legacy if turn.row["id"] <= last_id], [])


def _numbered(ids: list[str], at: str) -> list[str]:
    # Ids begin with 0 for some thousand years.
    return ids[int(at) - 1 : int(at)] if at.isdecimal() and int(at) else []


def _inherited_tips(
    conn: sqlite3.Connection, conversation_id: str, tip: str | None, start: str
) -> list[str]:
    """The last messages of turns from before a fork: of the one, or two, whose id begins so."""
    if tip is None or not start:
        return []
    values = {"fork": conversation_id, "tip": tip, "start": start, "end": after_all(start)}
    return [row[0] for row in conn.execute(_INHERITED, values)]


def family_trees(conn: sqlite3.Connection, conversation_id: str | None = None) -> Iterator[str]:
    """The lines of a drawing of all conversations that were forked, and of their forks.

    Args:
        conn: A migrated log database.
        conversation_id: Only the family of this one.
    """
    parents = dict(conn.execute(_FORKS).fetchall())
    children: dict[str, list[str]] = {}
    for fork, origin in parents.items():
        children.setdefault(origin, []).append(fork)
    forks = parents if conversation_id is None else [conversation_id]
    for root in sorted({_root(parents, fork) for fork in forks}, reverse=True):
        yield from _drawn(conn, children, root, "", "", frozenset())


def _root(parents: dict[str, str], conversation_id: str) -> str:
    seen = {conversation_id}
    while conversation_id in parents and parents[conversation_id] not in seen:
        conversation_id = parents[conversation_id]
        seen.add(conversation_id)
    return conversation_id


def _drawn(
    conn: sqlite3.Connection,
    children: dict[str, list[str]],
    conversation_id: str,
    first: str,
    rest: str,
    above: frozenset[str],
) -> Iterator[str]:
    """The lines of one conversation and all below it; `first` and `rest` go in front."""
    yield first + _label(conn, conversation_id)
    above |= {conversation_id}
    below = [child for child in children.get(conversation_id, ()) if child not in above]
    for child in below:
        is_last = child == below[-1]
        corner, bar = ("└── ", "    ") if is_last else ("├── ", "│   ")
        yield from _drawn(conn, children, child, rest + corner, rest + bar, above)


def _label(conn: sqlite3.Connection, conversation_id: str) -> str:
    if conn.execute(_THERE, [conversation_id]).fetchone() is None:
        return f"{conversation_id}  (not in the log)"
    info = conversation_info(conn, conversation_id)
    return "  ".join(filter(None, [info.id, info.name, f"({turns_text(info)})"]))


def turns_text(info: ConversationInfo) -> str:
    """How many turns a conversation has, for a person."""
    return "1 turn" if info.turns == 1 else f"{info.turns} turns"
