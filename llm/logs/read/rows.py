"""Rows as `llm logs --json` shows them, from turns and from the tables of older releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...text import JSONObject
from ..file.lookups import json_list
from ..records.outcome import read_outcomes
from .rows_turns import turn_rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    Row = JSONObject

__all__ = ["build_rows", "rows_for_turn_ids"]


def build_rows(
    conn: sqlite3.Connection, ids: Sequence[str], *, expand: bool = False, payloads: bool = True
) -> list[Row]:
    """The rows of `ids`, turns and legacy responses alike, in the order given.

    Ids that are not in the log are left out. The row of a turn that is not complete has a `status`,
    and where there was one an `error`, as its last keys.

    Args:
        conn: A migrated log database.
        ids: Ids of turns or of legacy responses.
        expand: Give the whole content of fragments, not its first 100 characters.
        payloads: Read the providers' raw requests and replies; otherwise they are `None`.
    """
    found = {row["id"]: row for row in turn_rows(conn, ids, expand=expand, payloads=payloads)}
    missing = [row_id for row_id in ids if row_id not in found]
    if missing:
        from ..older.rows_legacy import legacy_rows

        old = legacy_rows(conn, json_list(missing), expand=expand, payloads=payloads)
        found.update((row["id"], row) for row in old)
    for row_id, outcome in read_outcomes(conn, list(found)).items():
        found[row_id]["status"] = outcome.status
        if outcome.error_class or outcome.error:
            found[row_id]["error"] = ": ".join(filter(None, [outcome.error_class, outcome.error]))
    return [found[row_id] for row_id in ids if row_id in found]


def rows_for_turn_ids(conn: sqlite3.Connection, ids: Sequence[str]) -> list[Row]:
    """The rows of some turns, in the order given, as `llm prompt --json` prints them."""
    return build_rows(conn, ids)
