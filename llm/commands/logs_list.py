"""`llm logs list`: logged prompts and responses as Markdown, YAML, JSON or plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from ..terminal import print_pieces
from ._group import command
from ._like import embedding_model_option, like_option
from ._logs import database_option, json_option, path_option, period, reading, time_writer
from ._options import flag, option, raw_option, several

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from typing_extensions import Unpack

    from ..logs.read.query import LogFilters
    from ..logs.read.rows import Row

DEFAULT_COUNT = 3


@command("list")
@option(
    "-n",
    "--count",
    type=int,
    help="Number of entries to show, 0 for all. Default: 3, or all of one conversation.",
)
@path_option
@database_option
@option("-m", "--model", help="Only this model: its id, an alias, or the id it resolved to.")
@option(
    "-q",
    "--query",
    help="Search prompts and responses (words, or SQLite FTS5 syntax), best match first.",
)
@flag("-l", "--latest", help="With --query: the newest first.")
@like_option
@embedding_model_option
@several(
    "-f",
    "--fragment",
    "fragments",
    help="Only prompts with this fragment: an alias, hash, path or URL; several: with each.",
)
@option(
    "--schema",
    "schema_input",
    help="Only prompts with this schema: fields, JSON, a file, an id, or t:TEMPLATE.",
)
@option("--schema-multi", help="Only prompts with this schema of the items of a list.")
@several(
    "-T",
    "--tool",
    "tools",
    help="Only prompts that were given a result of this tool; several: of each.",
)
@flag("--tools", "any_tools", help="Only prompts that were given a result of a tool.")
@flag("--data", help="Print the JSON objects of the responses, one a line.")
@flag("--data-array", help="Print the JSON objects of the responses as a list.")
@option("--data-key", help="Print the objects of the list that responses hold under this key.")
@flag("--data-ids", help="Add the ids of response and conversation to objects.")
@flag("-t", "--truncate", help="Cut prompts and responses to 100 characters.")
@flag("-s", "--short", help="Print short YAML.")
@flag("-u", "--usage", help="Include token usage.")
@flag("-r", "--response", help="Print only the last response of the conversation.")
@flag("-x", "--extract", help="Print the first fenced code block.")
@flag("--xl", "--extract-last", "extract_last", help="Print the last fenced code block.")
@flag("-c", "--current", "current_conversation", help="Only the conversation used last.")
@option(
    "--cid",
    "--conversation",
    "conversation_id",
    help="Only this conversation: its id or title, or the beginning of either.",
)
@option("--id-gt", help="Only entries with an id after this one.")
@option("--id-gte", help="Only this id and those after it.")
@option(
    "--since",
    metavar="TIME",
    help="Only what began at this time or later: a date, a date and time, or an age (3d, 2h).",
)
@option("--until", metavar="TIME", help="Only what began before this time, or on this day.")
@flag("--utc", help="Show times in UTC, and take those given without a zone as UTC.")
@flag("--failed", help="Only answers that broke off, by an interruption or an error.")
@json_option
@flag("-e", "--expand", help="Show the whole content of fragments.")
@raw_option
def logs_list(**given: Unpack[_Options]) -> None:
    """Show logged prompts and their responses.

    The newest entries, the oldest of them first. Filters combine: an entry has to pass all.
    """
    for other, is_given in (("--json", given["json_output"]), ("--response", given["response"])):
        if given["short"] and is_given:
            raise click.ClickException(f"Cannot use --short and {other} together")
    from ..logs.read.query import matching_ids

    with reading(given["path"] or given["database"]) as conn:
        filters = _filters(conn, given)
        if given["like"]:
            scores = _nearest(conn, filters, given)
            ids = list(scores)
        else:
            ids, scores = matching_ids(conn, filters), {}
        print_pieces(_pieces(conn, ids, given, filters, scores), raw=given["raw"])


class _Options(TypedDict):
    """The options of the command."""

    count: int | None
    path: str | None
    database: str | None
    model: str | None
    query: str | None
    latest: bool
    like: str | None
    embedding_model: str | None
    fragments: tuple[str, ...]
    schema_input: str | None
    schema_multi: str | None
    tools: tuple[str, ...]
    any_tools: bool
    data: bool
    data_array: bool
    data_key: str | None
    data_ids: bool
    truncate: bool
    short: bool
    usage: bool
    response: bool
    extract: bool
    extract_last: bool
    current_conversation: bool
    conversation_id: str | None
    id_gt: str | None
    id_gte: str | None
    since: str | None
    until: str | None
    utc: bool
    failed: bool
    json_output: bool
    expand: bool
    raw: bool


def _filters(conn: sqlite3.Connection, given: _Options) -> LogFilters:
    """What the options look for."""
    from ..logs.read.query import LogFilters

    conversation_id, row_id = _conversation_id(conn, given)
    default = DEFAULT_COUNT if conversation_id is None and row_id is None else 0
    limit = default if given["count"] is None else given["count"]
    since, until = period(given["since"], given["until"], utc=given["utc"])
    filters = LogFilters(
        limit=limit if limit > 0 else None,
        model=given["model"],
        query=given["query"],
        latest=given["latest"],
        conversation_id=conversation_id,
        tools=given["tools"],
        any_tools=given["any_tools"],
        id_gt=given["id_gt"],
        id_gte=max(filter(None, (given["id_gte"], row_id)), default=None),
        since=since,
        until=until,
        failed=given["failed"],
    )
    return _with_content(filters, given)


def _conversation_id(conn: sqlite3.Connection, given: _Options) -> tuple[str | None, str | None]:
    """The conversation that the options name; as it was named where there is none of that name.

    Where the turn that was written last belongs to none, it is all of the one used last: then
    there is its id instead.
    """
    name = given["conversation_id"]
    is_latest = given["current_conversation"] or (given["response"] and not name)
    if not (name or is_latest):
        return None, None
    from ..logs.records import threads

    if is_latest:
        row_id = threads.last_row_of_none(conn)
        return (None, row_id) if row_id else (threads.require_latest_conversation_id(conn), None)
    return name and (threads.find_conversation_id(conn, name) or name), None


def _with_content(filters: LogFilters, given: _Options) -> LogFilters:
    """Filters that ask for the fragments and the schema that were named, too."""
    schema_input, schema_multi = given["schema_input"], given["schema_multi"]
    if not (given["fragments"] or schema_input or schema_multi):
        return filters
    from ..prompting.material import find_schema, load_fragments
    from ..prompting.request import LogSettings
    from ..schemas.notation import make_schema_id

    log = LogSettings(given["path"] or given["database"])
    texts, _ = load_fragments(log, given["fragments"], only_text=True)
    schema = find_schema(log, schema_input, schema_multi)
    return filters._replace(
        fragments=tuple(text.id() for text in texts),
        schema_id=None if schema is None else make_schema_id(schema)[0],
    )


def _nearest(conn: sqlite3.Connection, filters: LogFilters, given: _Options) -> dict[str, float]:
    """The ids of the turns nearest to a text among those that pass the filters, with scores."""
    from ..logs.read.query import LogFilters, matching_ids
    from ._like import nearest_turns

    nearest = nearest_turns(
        conn, given["path"] or given["database"], given["like"] or "", given["embedding_model"]
    )
    limit, filters = filters.limit, filters._replace(limit=None)
    among = None if filters == LogFilters() else matching_ids(conn, filters)
    return nearest(-1 if limit is None else limit, among)


def _pieces(
    conn: sqlite3.Connection,
    ids: list[str],
    given: _Options,
    filters: LogFilters,
    scores: Mapping[str, float],
) -> Iterable[str]:
    """What the options say is to be printed of the entries."""
    is_key = given["data_key"] is not None
    if any((is_key, given["data"], given["data_array"], given["data_ids"])):
        return _data(conn, ids, given)
    if not given["json_output"]:
        if given["extract"] or given["extract_last"]:
            if block := _code_block(conn, ids, last=given["extract_last"]):
                return block
        elif given["response"]:
            best = ids[0 if given["like"] else -1 :][:1]
            return (f"{row['response']}\n" for row in _rows(conn, best, given))
    rows = _with_scores(_rows(conn, ids, given), scores)
    return _listing(rows, given, filters.conversation_id is not None)


def _with_scores(rows: Iterable[Row], scores: Mapping[str, float]) -> Iterable[Row]:
    return (row | {"score": scores[row["id"]]} for row in rows) if scores else rows


def _data(conn: sqlite3.Connection, ids: Sequence[str], given: _Options) -> Iterator[str]:
    from ..logs.read.query import iter_rows
    from ..logs.render.as_json import data_array, data_items, data_lines

    # A bare --data has always begun with the newest.
    if given["data"] and not (given["query"] or given["like"]):
        ids = ids[::-1]
    rows = iter_rows(conn, ids, payloads=False)
    items = data_items(rows, key=given["data_key"], ids=given["data_ids"])
    return data_array(items) if given["data_array"] else data_lines(items)


def _code_block(conn: sqlite3.Connection, ids: Sequence[str], *, last: bool) -> list[str] | None:
    """The code block of the first row that has one."""
    from ..logs.read.query import iter_rows
    from ..text import extract_fenced_code_block

    for row in iter_rows(conn, ids, payloads=False):
        block = extract_fenced_code_block(row["response"] or "", last=last)
        if block is not None:
            return [block, "\n"]
    return None


def _rows(conn: sqlite3.Connection, ids: Sequence[str], given: _Options) -> Iterable[Row]:
    """The rows, cut if they are to be cut."""
    from ..logs.read.query import iter_rows

    rows = iter_rows(conn, ids, expand=given["expand"], payloads=given["json_output"])
    if not given["truncate"]:
        return rows
    from ..logs.render.as_json import truncated_row

    return map(truncated_row, rows)


def _listing(rows: Iterable[Row], given: _Options, one_conversation: bool) -> Iterator[str]:
    """The text of the listing, piece by piece."""
    if given["json_output"]:
        from ..logs.render.as_json import json_array

        return json_array(rows)
    if given["short"]:
        from ..logs.render.as_text import short_yaml

        return short_yaml(rows, usage=given["usage"])
    from ..logs.render.as_text import markdown

    return markdown(
        rows,
        one_conversation=one_conversation,
        usage=given["usage"],
        expand=given["expand"],
        time=time_writer(utc=given["utc"]),
    )
