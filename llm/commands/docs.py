"""`llm docs`: documents that answers go by, and what answers quote of them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import LLMError, NotFound
from ..terminal import is_terminal, print_json, say, show_note
from . import _options as shared
from ._embeddings import (
    collection_to_fill,
    database_option,
    database_path,
    existing_collection,
    model_option,
)
from ._group import group, json_flag
from ._options import flag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..content import Fragment
    from ..documents.sources import Given
    from ..documents.store import Changes, Documents


@group()
def docs() -> None:
    """Manage documents that answers go by.

    \b
      llm docs add manual ~/manual
      llm --docs manual 'How do I reset it?'
      llm --docs manual --quotes --strict 'How do I reset it?'

    Files are taken in by chunks, which are found by their words and by their meaning.
    """


@docs.command("add")
@click.argument("name")
@click.argument("paths", nargs=-1, metavar="[FOLDER|FILE]...", type=click.Path(exists=True))
@model_option
@shared.key_option
@database_option
def docs_add(
    name: str, paths: tuple[str, ...], model_id: str | None, key: str | None, database: str | None
) -> None:
    """Take in folders and files, or look again at those that were added.

    \b
      llm docs add manual ~/manual README.md
      llm docs add manual

    Only what is new or has changed is embedded; what has left a folder leaves the documents. What
    .gitignore names and files that are no text are passed over.
    """
    from ..documents.store import Documents
    from ..embeddings.collection import Collection
    from ..embeddings.store import is_address

    if is_address(database):
        raise LLMError("Documents are kept in a file of SQLite, not on a server: name one with -d")
    if not paths and not Collection.exists(database_path(database), name):
        raise NotFound(f"There are no documents {name!r} yet: name a folder or file to take in")
    with collection_to_fill(name, database, model_id) as collection:
        documents = Documents(collection, create=True)
        changes = documents.add(paths, key=key, progress=_taking_in)
        count = collection.count()
    for root in changes.missing_roots:
        show_note(f"{root} is not there: its files stay as they were taken in")
    say(f"{name}: {_amounts(changes)}; {count} chunk{'' if count == 1 else 's'}")


def _taking_in(path: str) -> None:
    """On a terminal each file is told, as a model may take its time."""
    if is_terminal(sys.stderr):
        show_note(path)


def _amounts(changes: Changes) -> str:
    amounts = {
        "new": len(changes.new),
        "changed": len(changes.changed),
        "gone": len(changes.gone),
        "unchanged": changes.unchanged,
    }
    return ", ".join(f"{count} {what}" for what, count in amounts.items())


@docs.command("list")
@database_option
@json_flag
def docs_list(database: str | None, json_: bool) -> None:
    """List the sets of documents, with model, files and chunks."""
    from ..documents.store import list_sets
    from ..embeddings.opening import reading

    with reading(database_path(database)) as conn:
        rows = [] if conn is None else list_sets(conn)
    if json_:
        keys = ("name", "model", "files", "chunks")
        print_json([dict(zip(keys, row, strict=True)) for row in rows], indent=4)
        return
    for name, model, files, chunks in rows:
        say(f"{name}: {model}\n  {files} file{'' if files == 1 else 's'}, {chunks} chunks")


@docs.command("show")
@click.argument("name")
@database_option
@json_flag
def docs_show(name: str, database: str | None, json_: bool) -> None:
    """List the files of a set, with the number of chunks and the SHA-256 of each."""
    with _documents(name, database) as documents:
        files = documents.files()
    if json_:
        print_json([file._asdict() for file in files], indent=4)
        return
    for file in files:
        say(f"{file.path}: {file.chunks} chunk{'' if file.chunks == 1 else 's'}, {file.digest}")


@docs.command("status")
@click.argument("name")
@database_option
@json_flag
def docs_status(name: str, database: str | None, json_: bool) -> None:
    """Show which files differ from what was taken in."""
    with _documents(name, database) as documents:
        changes = documents.status()
    if json_:
        print_json(vars(changes), indent=4)
        return
    for what in ("new", "changed", "gone"):
        for path in getattr(changes, what):
            say(f"{what:<7}  {path}")
    for path in changes.missing_roots:
        say(f"missing  {path}")
    say(f"{name}: {_amounts(changes)}")


@docs.command("remove")
@click.argument("name")
@click.argument("paths", nargs=-1, metavar="[FOLDER|FILE]...")
@database_option
def docs_remove(name: str, paths: tuple[str, ...], database: str | None) -> None:
    """Remove a set of documents, or folders and files that were added to it.

    The files themselves stay.
    """
    with _documents(name, database) as documents:
        documents.remove(paths)


@contextmanager
def _documents(name: str, database: str | None) -> Iterator[Documents]:
    from ..documents.store import Documents

    with existing_collection(name, database) as collection:
        yield Documents(collection)


@docs.command("verify")
@click.argument("id", required=False)
@shared.database_option
@flag("--strict", help="End with exit code 5 where a sentence has no quote that is found.")
@json_flag
def docs_verify(id: str | None, database: str | None, strict: bool, json_: bool) -> None:
    """Check the quotes of a logged answer again, and say which sources have changed since.

    ID is that of a response, as 'llm logs' shows it; without one it is the newest.
    """
    from ..documents import asking
    from ..documents.sources import given_sources

    turn_id, answer, fragments = _logged(id, database)
    given = list(given_sources(fragments))
    if not given:
        raise LLMError(f"{turn_id} has no sources to check: it was not asked with --docs")
    states = [source.state() for source, _ in given]
    verdicts = asking.verdicts_on(answer, given)
    if json_:
        print_json(
            {
                "id": turn_id,
                "sources": [_source(*pair) for pair in zip(given, states, strict=True)],
                "quotes": [
                    {
                        "verdict": verdict.label,
                        "sentence": verdict.sentence,
                        **(verdict.quote._asdict() if verdict.quote else {}),
                    }
                    for verdict in verdicts
                ],
            },
            indent=4,
        )
    else:
        say("\n".join((*asking.source_lines(given, states), *asking.verdict_lines(verdicts))))
    if strict:
        asking.require_found(verdicts)


def _source(given: Given, state: str) -> dict[str, Any]:
    source = given.source
    return {
        "number": source.number,
        "file": source.path,
        "lines": [source.first, source.last],
        "bytes": [source.start, source.end],
        "sha256": source.digest,
        "state": state,
    }


def _logged(id: str | None, database: str | None) -> tuple[str, str, list[Fragment]]:
    """The id and the text of a response, and the fragments of its prompt."""
    from ..logs.read.query import LogFilters, select_ids
    from ..logs.read.rows import build_rows
    from ..logs.read.shared import find_fragment
    from ._logs import reading

    with reading(database) as conn:
        ids = [id] if id else select_ids(conn, LogFilters(limit=1))
        for row in build_rows(conn, ids, payloads=False):
            found = (find_fragment(conn, item["hash"]) for item in row["prompt_fragments"])
            return row["id"], row["response"] or "", [item for item in found if item is not None]
    raise NotFound(f"No response {id!r} in the log" if id else "The log is empty")
