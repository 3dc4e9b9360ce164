"""`llm logs`: where prompts and responses are kept, and how to see them."""

from __future__ import annotations

import click

from ..files.config import logs_db_path, logs_on, set_logging
from ..terminal import say
from ._group import Lazy, group

_LIST = Lazy("llm.commands.logs_list:logs_list", "Show logged prompts and their responses.")
_UPKEEP = {
    "delete": "Delete prompts and their responses from the log.",
    "expire": "Delete everything that is older than some age.",
    "redact": "Replace what matches PATTERN everywhere in the log.",
    "vacuum": "Write the log database anew, without the space that deleted rows have left.",
    "verify": "Check that the log is whole, and that every message is the one that was stored.",
    "adopt": "Take a log database that was not made here for your own.",
}


@group(
    lazy={
        "list": _LIST,
        "recover": Lazy(
            "llm.commands.logs_recover:recover",
            "Show answers that could not be logged, and try again.",
        ),
        **{name: Lazy(f"llm.commands.logs_upkeep:{name}", text) for name, text in _UPKEEP.items()},
    }
)
def logs() -> None:
    """Explore logged prompts and responses.

    Without a command this is 'llm logs list': the last three prompts.
    """


@logs.command()
def path() -> None:
    """Print the path of the log database."""
    say(logs_db_path())


@logs.command()
def status() -> None:
    """Show whether prompts are logged, and what the log holds."""
    from ..logs.file import db
    from ..prompting.journal import set_aside
    from ..prompting.recovery import take_up
    from ..prompting.salvage import count_of

    file = logs_db_path()
    take_up(file)
    found = db.status(file)
    if found is None:
        say(f"No log database found at {file}")
        return
    say("Logging is ON for all prompts" if logs_on() else "Logging is OFF")
    say(f"Found log database at {file}")
    say(f"Number of threads logged:\t{found.threads}")
    say(f"Number of turns logged:\t\t{found.turns}")
    if found.legacy_conversations or found.legacy_responses:
        say(f"Number of legacy conversations:\t{found.legacy_conversations}")
        say(f"Number of legacy responses:\t{found.legacy_responses}")
    say(f"Database file size: \t\t{readable_size(found.size_bytes)}")
    if aside := count_of(file, set_aside()):
        say(f"Answers that could not be logged:\t{aside} (llm logs recover)")


@logs.command()
def on() -> None:
    """Log all prompts (the default)."""
    set_logging(True)


@logs.command()
def off() -> None:
    """Log no prompts, except those given with --log."""
    set_logging(False)


@logs.command()
@click.argument("path", type=click.Path(dir_okay=True, writable=True))
def backup(path: str) -> None:
    """Write a compact copy of the log database to the file PATH."""
    from ..logs.file import db
    from ..prompting.recovery import take_up

    take_up(logs_db_path())
    size_bytes = db.backup(logs_db_path(), path)
    say(f"Backed up {readable_size(size_bytes)} to {path}")


def readable_size(size_bytes: float) -> str:
    """A size for people: two decimals and a unit."""
    if not size_bytes:
        return "0B"
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1024:
            return f"{size_bytes:.2f}{unit}"
        size_bytes /= 1024
    return f"{size_bytes:.2f}TB"
