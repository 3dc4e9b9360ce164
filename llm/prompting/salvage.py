"""Journals that could not be logged: what they say, and another try."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LogError
from .journal import close, is_in_user_directory, lock, open_own
from .journal import leftovers as waiting
from .journal import set_aside as put_aside
from .journal_lines import described
from .recovery import database_of, log_journaled, read_journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .journal_lines import Journaled

# So much of a prompt and of an answer is shown.
SHOWN_CHARACTERS = 200


class Salvaged(NamedTuple):
    """What became of a journal whose process is dead.

    Attributes:
        path: The file.
        started: When the model was asked, in ISO 8601; these four are empty where not known.
        model: The model's id.
        prompt: The beginning of the prompt.
        answer: The beginning of the answer.
        id: Of the turn in the log; `None` where it is not there.
        left_out: How many lines had to be left out.
        problem: Why it is not in the log; empty where nobody tried, or all went well.
    """

    path: str
    started: str = ""
    model: str = ""
    prompt: str = ""
    answer: str = ""
    id: str | None = None
    left_out: int = 0
    problem: str = ""


def salvage(*, database: str | None = None, tries: bool = True) -> Iterator[Salvaged]:
    """What became of each journal that was set aside, or waits, oldest first.

    Args:
        database: The log to put them in; each in the one that it names where missing.
        tries: Try to log them, and delete those where that succeeds; else they are only read.
    """
    for path in [*put_aside(), *waiting()]:
        with suppress(OSError):
            found = Salvaged(path)
            try:
                fd = open_own(path)
            except PermissionError as error:
                problem = f"It may be somebody else's ({error.filename!r}: {error.strerror})"
                yield found._replace(problem=problem)
                continue
            try:
                if _is_free(fd):
                    found = _salvaged(fd, path, database, tries=tries)
                    yield found
            finally:
                close(fd, path if found.id is not None else None)


def count_of(database: str | Path, paths: Iterable[str]) -> int:
    """How many of the journals at `paths` belong to a database.

    One that cannot be read belongs to the user directory that it lies in.
    """
    wanted = os.path.realpath(database)
    return sum(os.path.realpath(_database_at(path)) == wanted for path in paths)


def _database_at(path: str) -> str:
    """The database of the journal at `path`, empty where it cannot be told."""
    with suppress(OSError):
        fd = open_own(path)
        try:
            journaled = read_journal(fd, leniently=True)
            if journaled is not None:
                return database_of(journaled, path)
        except Exception:  # a journal may say anything
            pass
        finally:
            close(fd, None)
    in_place = is_in_user_directory(path)
    return os.path.join(os.path.dirname(os.path.dirname(path)), "logs.db") if in_place else ""


def _is_free(fd: int) -> bool:
    """Whether no process is at an open journal; where nobody can lock, the person knows."""
    try:
        return lock(fd)
    except OSError:
        return True


def _salvaged(fd: int, path: str, database: str | None, *, tries: bool) -> Salvaged:
    found = Salvaged(path)
    try:
        journaled = read_journal(fd, leniently=True)
        if journaled is None:
            return found._replace(problem="It does not hold a whole request")
        if not journaled.is_known:
            form = journaled.request["journal"]
            return found._replace(problem=f"A later release of llm wrote it (format {form})")
        found = _described(found, journaled)
        if tries:
            log_journaled(journaled, database or _own_database(journaled, path))
            found = found._replace(id=str(journaled.request.get("id", "")))
    except Exception as error:  # a journal may say anything
        found = found._replace(problem=described(error))
    return found


def _described(found: Salvaged, journaled: Journaled) -> Salvaged:
    """What can be told of a journal, as far as it can be read."""
    request = journaled.request
    asked = [str(request.get(name) or "") for name in ("started", "model", "title")]
    text = "".join([str(event.chunk) for event in journaled.events if event.type == "text"])
    started, model, prompt = (value[:SHOWN_CHARACTERS] for value in asked)
    answer = text[:SHOWN_CHARACTERS]
    left_out = journaled.passed_over
    return found._replace(
        started=started, model=model, prompt=prompt, answer=answer, left_out=left_out
    )


def _own_database(journaled: Journaled, path: str) -> str:
    database = database_of(journaled, path)
    if not os.path.isdir(os.path.dirname(os.path.abspath(database))):
        raise LogError(f"It belongs to {database}, which is gone. Name another log with -d")
    return database
