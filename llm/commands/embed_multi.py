"""`llm embed-multi`: many texts or files into a collection."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ..errors import LLMError
from ..terminal import say, show_note
from . import _options as shared
from ._embeddings import (
    collection_to_fill,
    database_option,
    database_path,
    embedding_model,
    model_option,
    sqlite_path,
    store_option,
)
from ._group import command
from ._logs import yes_option
from ._options import flag, key_option, number, option, several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..embeddings.collection import Collection
    from ..embeddings.filling import Filled
    from ..embeddings.sources import Row, Source
    from ..models.embedding import EmbeddingModel

SHOWN_FAULTS = 20


@command("embed-multi")
@click.argument("collection")
@click.argument(
    "input_path",
    required=False,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True),
)
@option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "tsv", "nl"]),
    help="Format of the input, where it is not what it looks like; nl is one JSON object a line.",
)
@several(
    "--files",
    type=(str, str),
    metavar="DIRECTORY PATTERN",
    help="Embed the files below a directory that match a pattern such as '**/*.md'.",
)
@several(
    "--encoding",
    "encodings",
    help="Encoding of --files; the first that fits is taken. Default: utf-8, then latin-1.",
)
@flag("--binary", help="Take the content of --files as bytes, not as text.")
@option("--sql", help="Embed the rows of this SQL query.")
@several(
    "--attach",
    type=(str, click.Path(exists=True, dir_okay=False, readable=True)),
    metavar="ALIAS FILE",
    help="Database that --sql reads, and the name it has there.",
)
@number("--batch-size", help="Entries to embed at once. Default: 100, or fewer for some models.")
@option("--prefix", help="Text to put before each id.")
@model_option
@key_option
@option("--prepend", help="Text to put before each content.")
@store_option
@database_option
@option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many requests may be under way at once.",
)
@shared.retries_option
@shared.timeout_option
@option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At a row that cannot be embedded: stop, or leave it out and say so at the end.",
)
@flag(
    "--prune",
    help="At the end remove the entries whose id begins with --prefix and is not in the input.",
)
@flag("--dry-run", help="Say what would be embedded, and change nothing.")
@yes_option
def embed_multi(collection: str, database: str | None, **given: Any) -> None:
    """Embed many texts or files, and store the vectors in a collection.

    \b
      llm embed-multi notes notes.csv
      llm embed-multi posts --attach blog blog.db --sql 'select id, title, body from blog.posts'
      llm embed-multi docs --files docs '**/*.md' --prefix docs/

    INPUT_PATH is a file, or - for standard input, in CSV, TSV, JSON (an array of objects) or one
    JSON object a line. The first column is the id; the others together are the text.

    What the collection has already is not embedded again, so an interrupted command can be
    repeated.
    """
    _check(given)
    with ExitStack() as stack:
        source = stack.enter_context(_opened(given, database))
        rows = _renamed(source, given["prefix"] or "", given["prepend"] or "")
        if given["dry_run"]:
            _dry_run(rows, collection, database, given)
            return
        found = stack.enter_context(collection_to_fill(collection, database, given["model_id"]))
        done = _fill(found, source, rows, given)
        _report(done)
        if given["prune"]:
            _prune(found, given["prefix"], done, given["yes"])
    if done.faults:
        raise LLMError(f"{len(done.faults)} of {done.rows} rows were not embedded")


def _check(given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together."""
    has = {name for name, value in given.items() if value}
    others = has & {"sql", "input_path", "form"}
    refused = {
        "Either --sql or input path or --files is required": not has
        & {"files", "sql", "input_path"},
        "Cannot use --files with --sql, input path or --format": "files" in has and others,
        "Cannot use --sql with an input path": {"sql", "input_path"} <= has,
        "--binary must be used with --files": "binary" in has and "files" not in has,
        "--binary cannot be used with --encoding": {"binary", "encodings"} <= has,
        "--prune needs --prefix, which says what it may remove": "prune" in has
        and "prefix" not in has,
    }
    for problem, is_refused in refused.items():
        if is_refused:
            raise click.UsageError(problem)
    if {"binary", "prepend"} <= has:
        show_note("--prepend is for text: nothing is put before bytes")


@contextmanager
def _opened(given: Mapping[str, Any], database: str | None) -> Iterator[Source]:
    from ..embeddings import sources

    if given["files"]:
        encodings = given["encodings"] or sources.ENCODINGS
        yield sources.files(given["files"], encodings=encodings, binary=given["binary"])
    elif given["sql"]:
        counts = sys.stdout.isatty()
        path = sqlite_path(database)
        yield sources.query(path, given["sql"], given["attach"], counts=counts)
    else:
        with _input(given["input_path"]) as (stream, name):
            yield sources.table(stream, given["form"], name)


@contextmanager
def _input(path: str) -> Iterator[tuple[BinaryIO, str]]:
    from ..terminal import STDIN

    if path == STDIN:
        yield sys.stdin.buffer, "Standard input"
        return
    with open(path, "rb") as stream:
        yield stream, path


def _renamed(source: Source, prefix: str, prepend: str) -> Iterator[Row]:
    for row in source.rows:
        value = prepend + row.value if isinstance(row.value, str) else row.value
        yield row._replace(id=prefix + row.id, value=value)


def _fill(
    collection: Collection, source: Source, rows: Iterator[Row], given: Mapping[str, Any]
) -> Filled:
    from ..embeddings.collection import BATCH_SIZE
    from ..embeddings.filling import Filling
    from ..net.policy import CallPolicy

    limits = {name: given[name] for name in ("retries", "timeout_s") if given[name] is not None}
    collection.model().policy = CallPolicy(**limits, tell=show_note)
    with _progress(source) as progress:
        return Filling(
            collection,
            store=given["store"],
            key=given["key"],
            batch_size=given["batch_size"] or BATCH_SIZE,
            concurrency=given["concurrency"],
            skip_faults=given["on_error"] == "skip",
            keep_ids=given["prune"],
            progress=progress,
        ).run(rows)


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[int], object] | None]:
    """How far it is, with the rate and the time left on a terminal; else only that it began."""
    from ..terminal import is_terminal

    if not is_terminal(sys.stdout):
        say("Embedding")
        yield None
        return
    from rich import progress as bars

    columns = (
        *(bars.TextColumn("Embedding"), bars.BarColumn(), bars.TaskProgressColumn()),
        bars.TextColumn("{task.fields[done]:,} rows, {task.fields[rate]:,.0f}/s,"),
        *(bars.TimeRemainingColumn(), bars.TextColumn("left")),
    )
    with bars.Progress(*columns) as shown:
        task = shown.add_task("", total=source.size, done=0, rate=0.0)

        def advance(done: int) -> None:
            elapsed = shown.tasks[0].elapsed or 0
            rate = done / elapsed if elapsed else 0.0
            at = source.position(done)
            shown.update(task, completed=at, total=source.size, done=done, rate=rate)

        yield advance


def _report(done: Filled) -> None:
    for note in done.passed_over:
        say(note, err=True)
    for fault in done.faults[:SHOWN_FAULTS]:
        say(f"{fault.place}: {fault.problem}", err=True)
    if len(done.faults) > SHOWN_FAULTS:
        say(f"... and {len(done.faults) - SHOWN_FAULTS} more", err=True)


def _prune(collection: Collection, prefix: str, done: Filled, yes: bool) -> None:
    """Remove the ids under the prefix that the source does not have any more, after a yes."""
    if not done.is_complete:
        say("Nothing was pruned: the input was not read without a fault", err=True)
        return
    gone = [entry_id for entry_id in collection.ids(prefix) if entry_id not in done.ids]
    if gone and (yes or _agreed(f"Remove {_counted(gone)} from {collection.name}?")):
        collection.delete(gone)
        say(f"Removed {_counted(gone)} that the input does not have", err=True)


def _counted(ids: list[str]) -> str:
    return f"{len(ids)} {'entry' if len(ids) == 1 else 'entries'}"


def _agreed(question: str) -> bool:
    from ..terminal.asking import confirm

    answer = confirm(question)
    if answer is None:
        raise LLMError(f"{question} Nobody can be asked: give --yes to agree beforehand")
    return answer


def _dry_run(
    rows: Iterator[Row], name: str, database: str | None, given: Mapping[str, Any]
) -> None:
    from ..embeddings.dry_run import look_through
    from ..embeddings.sqlite import reading_store

    def model() -> EmbeddingModel:
        return embedding_model(given["model_id"])

    prefix = given["prefix"] if given["prune"] else None
    with reading_store(database_path(database)) as store:
        found = look_through(rows, store, name, model, prefix)
    for note in [*found.passed_over, *(f"{f.place}: {f.problem}" for f in found.faults)]:
        say(note, err=True)
    say(found.summary())
