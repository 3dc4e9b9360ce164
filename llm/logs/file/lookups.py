"""Small pieces that rows of both generations are made of: JSON columns, fragments, attachments."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ...text import JSONObject, truncate_string

FRAGMENT_ALIASES = "select fragment_id, alias from fragment_aliases where fragment_id in"
# A toolbox or provider tool, a row `i` of `tool_instances`, with its arguments as JSON text.
INSTANCE = "json_object('name', i.name, 'plugin', i.plugin, 'arguments', cast(i.arguments as text))"

T = TypeVar("T")
SQLRow = tuple[Any, ...]


def json_list(values: Iterable[str | int]) -> str:
    """`values` as the bound parameter of `in (select value from json_each(?))`."""
    return json.dumps(list(values))


# So many are bound at once; every SQLite takes more.
AT_ONCE = 500


def rows_by_ids(
    conn: sqlite3.Connection, select: str, ids: Iterable[object], tail: str = ""
) -> list[SQLRow]:
    """The rows of `select ... in` for any number of ids; `tail` goes behind each list of ids."""
    wanted = list(ids)
    rows: list[SQLRow] = []
    # A listing calls this for each of its parts: no generator stands between.
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        rows += conn.execute(f"{select} ({', '.join('?' * len(some))}) {tail}", some)
    return rows


def named_rows(
    conn: sqlite3.Connection, select: str, ids: Iterable[object], tail: str = ""
) -> list[JSONObject]:
    """As `rows_by_ids`, the rows as dictionaries with keys in the order of the columns."""
    rows: list[JSONObject] = []
    for some in batches(list(ids)):
        cursor = conn.execute(f"{select} ({', '.join('?' * len(some))}) {tail}", some)
        names = [column[0] for column in cursor.description]
        rows += [dict(zip(names, row, strict=True)) for row in cursor]
    return rows


def batches(items: Sequence[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """`items`, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def add_rows(
    conn: sqlite3.Connection, name: str, select: str, tail: str, owners: Iterable[JSONObject]
) -> None:
    """Give each owner, under `name`, its rows: those with its `id` in the column `owner`."""
    by_id = {owner["id"]: owner for owner in owners}
    for owner in by_id.values():
        owner[name] = []
    for row in named_rows(conn, select, by_id, tail) if by_id else ():
        by_id[row.pop("owner")][name].append(row)


def decoded(text: object) -> Any:
    """The value of a JSON column: `None` for no text, the text itself where it is no JSON.

    Whatever somebody has written there, even bytes or a number, comes out as a JSON value.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def decoded_object(text: object) -> JSONObject:
    """The object in a JSON column, empty where it holds anything else."""
    value = decoded(text)
    return value if isinstance(value, dict) else {}


def fragments_of(
    conn: sqlite3.Connection, rows: Sequence[SQLRow], *, expand: bool
) -> dict[tuple[str, str], list[JSONObject]]:
    """Fragments in order, by id of the turn and kind (`prompt` or `system`).

    Args:
        conn: The database, which knows their aliases.
        rows: Turn id, kind, fragment id, hash and content of each.
        expand: Keep the content whole.
    """
    if not rows:
        return {}
    aliases: dict[int, list[str]] = {}
    numbers = {row[2] for row in rows}
    for number, alias in rows_by_ids(conn, FRAGMENT_ALIASES, numbers, "order by rowid"):
        aliases.setdefault(number, []).append(alias)
    found: dict[tuple[str, str], list[JSONObject]] = {}
    for turn_id, kind, fragment_id, fragment_hash, content in rows:
        text = content if expand else truncate_string(content)
        shown = list(aliases.get(fragment_id, ()))
        fragment = {"hash": fragment_hash, "content": text, "aliases": shown}
        found.setdefault((turn_id, kind), []).append(fragment)
    return found
