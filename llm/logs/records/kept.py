"""Whether the database kept what it was given: triggers of somebody else's may have it vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import LogError

if TYPE_CHECKING:
    import sqlite3

# Those of the search indexes do nothing but write into the index.
_ODD = """
select group_concat(name, ', ') from sqlite_master where type = 'trigger' and (
    name not in ('responses_ai', 'responses_ad', 'responses_au',
        'turn_search_ai', 'turn_search_ad', 'turn_search_au')
    or sql like '%raise%' or sql like '%delete%from%' or sql like '%update%set%')
"""


def odd_triggers(conn: sqlite3.Connection) -> str:
    """The names of triggers in the file that are none of this program; empty if there are none."""
    return conn.execute(_ODD).fetchone()[0] or ""


def not_kept(conn: sqlite3.Connection, what: str) -> LogError:
    """What to raise where something that was written is not there."""
    names = odd_triggers(conn)
    cause = f"its triggers ({names}) changed or dropped it" if names else "it is not there"
    return LogError(
        f"The log database did not keep {what}: {cause}. Remove the triggers, or log to another"
        " file with --database"
    )
