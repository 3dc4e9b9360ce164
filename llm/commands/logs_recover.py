"""`llm logs recover`: answers that could not be logged, shown and tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LogError
from ..terminal import print_json, say
from ._group import command
from ._logs import database_option, json_option
from ._options import flag

if TYPE_CHECKING:
    from ..prompting.salvage import Salvaged


@command()
@flag("-l", "--list", "only_list", help="Only show them.")
@database_option
@json_option
def recover(only_list: bool, database: str | None, json_output: bool) -> None:
    """Show answers that could not be logged, and try again.

    Each is kept in a file beside the log, a journal. What is logged now goes into the log that it
    was meant for, or that of --database, and its file is deleted. Lines that cannot be read are
    left out.
    """
    from ..prompting.salvage import salvage

    kept, found = 0, []
    for journal in salvage(database=database, tries=not only_list):
        kept += journal.id is None
        found.append(journal._asdict())
        if not json_output:
            _show(journal)
    if json_output:
        print_json(found)
    elif not found:
        say("No answer is waiting to be logged")
    if kept and not only_list:
        raise LogError(
            f"{kept:,} of {len(found):,} could not be logged: what is in the files above is text,"
            " one line of JSON for each event. Delete those that you do not need"
        )


def _show(journal: Salvaged) -> None:
    from ..text import truncate_string

    say(journal.path)
    head = f"{journal.started[:19]} {journal.model}".strip()
    for text in (head, journal.prompt, journal.answer):
        if text:
            say(f"  {truncate_string(text, 76, normalize_whitespace=True)}")
    if journal.problem:
        say(f"  Cannot be logged: {journal.problem}")
    elif journal.id is not None:
        lines = "line" if journal.left_out == 1 else "lines"
        left_out = f", without {journal.left_out:,} {lines} that cannot be read"
        name = f" as {journal.id}" if journal.id else ""
        say(f"  Logged{name}{left_out if journal.left_out else ''}")
