"""`llm logs list`: logged prompts and responses as Markdown, YAML, JSON or plain text."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import click

from ._errors import reported
from ._option import option
from ._options import raw_option

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Unpack

    from ..logs.read.query import LogFilters
    from ..logs.read.rows import Row

DEFAULT_COUNT = 3


@click.command(name="list")
@option(
    "-n",
    "--count",
    type=int,
    help="Number of entries to show, 0 for all. Default: 3, or all of one conversation.",
)
@option("-p", "--path", type=click.Path(readable=True, exists=True, dir_okay=False), hidden=True)
@option(
    "-d",
    "--database",
    type=click.Path(readable=True, exists=True, dir_okay=False),
    help="Path to the log database.",
)
@option("-m", "--model", help="Only this model: its id, an alias, or the id it resolved to.")
@option(
    "-q", "--query", help="Search prompts and responses (SQLite FTS5 syntax), best match first."
)
@option("-l", "--latest", is_flag=True, help="With --query: the newest first.")
@option(
    "-f",
    "--fragment",
    "fragments",
    multiple=True,
    help="Only prompts with this fragment: an alias, hash, path or URL; several: with each.",
)
@option(
    "--schema",
    "schema_input",
    help="Only prompts with this schema: fields, JSON, a file, an id, or t:TEMPLATE.",
)
@option("--schema-multi", help="Only prompts with this schema of the items of a list.")
@option(
    "-T",
    "--tool",
    "tools",
    multiple=True,
    help="Only prompts that were given a result of this tool; several: of each.",
)
@option(
    "--tools", "any_tools", is_flag=True, help="Only prompts that were given a result of a tool."
)
@option("--data", is_flag=True, help="Print the JSON objects of the responses, one a line.")
@option("--data-array", is_flag=True, help="Print the JSON objects of the responses as a list.")
@option("--data-key", help="Print the objects of the list that responses hold under this key.")
@option("--data-ids", is_flag=True, help="Add the ids of response and conversation to objects.")
@option("-t", "--truncate", is_flag=True, help="Cut prompts and responses to 100 characters.")
@option("-s", "--short", is_flag=True, help="Print short YAML.")
@option("-u", "--usage", is_flag=True, help="Include token usage.")
@option("-r", "--response", is_flag=True, help="Print only the last response of the conversation.")
@option("-x", "--extract", is_flag=True, help="Print the first fenced code block.")
@option(
    "--xl", "--extract-last", "extract_last", is_flag=True, help="Print the last fenced code block."
)
@option(
    "-c", "--current", "current_conversation", is_flag=True, help="Only the conversation used last."
)
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
@option(
    "--utc", is_flag=True, help="Show times in UTC, and take those given without a zone as UTC."
)
@option(
    "--failed", is_flag=True, help="Only answers that broke off, by an interruption or an error."
)
@option("--json", "json_output", is_flag=True, help="Print JSON.")
@option("-e", "--expand", is_flag=True, help="Show the whole content of fragments.")
@raw_option
@reported
def logs_list(**given: Unpack[_Options]) -> None:
    """Show logged prompts and their responses.

    The newest entries, the oldest of them first. Filters combine: an entry has to pass all.
    """
    for flag, name in (("--json", "json_output"), ("--response", "response")):
        if given["short"] and given.get(name):
            raise click.ClickException(f"Cannot use --short and {flag} together")
    from ..files.config import logs_db_path
    from ..logs.read.query import matching_ids
    from ..run.recovery import reading

    with closing(reading(given["path"] or given["database"] or logs_db_path())) as conn:
        filters = _filters(conn, given)
        ids = matching_ids(conn, filters)
        _print(_pieces(conn, ids, given, filters), given["raw"])


class _Options(TypedDict):
    """The options of the command."""

    count: int | None
    path: str | None
    database: str | None
    model: str | None
    query: str | None
    latest: bool
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

    conversation_id = given["conversation_id"]
    if given["current_conversation"] or (given["response"] and not conversation_id):
        conversation_id = _current_conversation(conn)
    elif conversation_id:
        conversation_id = _named_conversation(conn, conversation_id)
    return LogFilters(
        limit=_limit(given["count"], conversation_id),
        model=given["model"],
        query=given["query"],
        latest=given["latest"],
        conversation_id=conversation_id,
        tools=given["tools"],
        any_tools=given["any_tools"],
        id_gt=given["id_gt"],
        id_gte=given["id_gte"],
        since=_time(given["since"], utc=given["utc"]),
        until=_time(given["until"], utc=given["utc"], end_of_day=True),
        failed=given["failed"],
        **_content(given),
    )


def _pieces(
    conn: sqlite3.Connection, ids: list[str], given: _Options, filters: LogFilters
) -> Iterable[str]:
    """What the options say is to be printed of the entries."""
    key = given["data_key"]
    if given["data"] or given["data_array"] or key is not None or given["data_ids"]:
        # A bare --data has always begun with the newest.
        newest_first = given["data"] and not filters.query
        wanted = ids[::-1] if newest_first else ids
        as_array = given["data_array"]
        return _data(conn, wanted, key=key, with_ids=given["data_ids"], as_array=as_array)
    view = _View.of(given, one_conversation=filters.conversation_id is not None)
    if given["json_output"]:
        return view.pieces(conn, ids)
    if given["extract"] or given["extract_last"]:
        block = _code_block(conn, ids, last=given["extract_last"])
        return block or view.pieces(conn, ids)
    if given["response"]:
        return (f"{row['response']}\n" for row in view.rows(conn, ids[-1:]))
    return view.pieces(conn, ids)


class _Content(TypedDict):
    """What the filters by content are."""

    fragments: tuple[str, ...]
    schema_id: str | None


def _content(given: _Options) -> _Content:
    """The hashes of the fragments, and the id of the schema, that were named."""
    schema_input, schema_multi = given["schema_input"], given["schema_multi"]
    if not (given["fragments"] or schema_input or schema_multi):
        return {"fragments": (), "schema_id": None}
    from ..run.material import load_fragments, prepare
    from ..run.request import PromptRequest
    from ..schemas.notation import make_schema_id

    database = given["path"] or given["database"]
    request = PromptRequest(database=database, schema_input=schema_input, schema_multi=schema_multi)
    texts, _ = load_fragments(request, given["fragments"], only_text=True)
    schema = prepare(request).schema
    return {
        "fragments": tuple(text.id() for text in texts),
        "schema_id": None if schema is None else make_schema_id(schema)[0],
    }


class _View(NamedTuple):
    """How rows are shown."""

    json: bool
    short: bool
    truncate: bool
    usage: bool
    expand: bool
    utc: bool
    one_conversation: bool

    @classmethod
    def of(cls, given: _Options, *, one_conversation: bool) -> _View:
        """The view that the options ask for."""
        return cls(
            json=given["json_output"],
            short=given["short"],
            truncate=given["truncate"],
            usage=given["usage"],
            expand=given["expand"],
            utc=given["utc"],
            one_conversation=one_conversation,
        )

    def rows(self, conn: sqlite3.Connection, ids: Sequence[str]) -> Iterable[Row]:
        """The rows, cut if they are to be cut."""
        from ..logs.read.query import iter_rows
        from ..logs.render.as_json import truncated_row

        rows = iter_rows(conn, ids, expand=self.expand, payloads=self.json)
        return map(truncated_row, rows) if self.truncate else rows

    def pieces(self, conn: sqlite3.Connection, ids: Sequence[str]) -> Iterator[str]:
        """The text of the listing, piece by piece."""
        rows = self.rows(conn, ids)
        if self.json:
            from ..logs.render.as_json import json_array

            return json_array(rows)
        if self.short:
            from ..logs.render.short import short_yaml

            return short_yaml(rows, usage=self.usage)
        from ..logs.render.markdown import markdown

        return markdown(
            rows,
            one_conversation=self.one_conversation,
            usage=self.usage,
            expand=self.expand,
            time=_time_writer(utc=self.utc),
        )


def _time(text: str | None, *, utc: bool, end_of_day: bool = False) -> str | None:
    if text is None:
        return None
    from ..text.times import parse_time

    return parse_time(text, utc=utc, end_of_day=end_of_day)


def _time_writer(*, utc: bool) -> Callable[[str | None], str]:
    """On a terminal times are those of its user; programs always read UTC."""
    from ..terminal.output import is_terminal
    from ..text.times import shown_time, stored_time

    return shown_time(utc=utc) if is_terminal(sys.stdout) else stored_time


def _limit(count: int | None, conversation_id: str | None) -> int | None:
    if count is None:
        return DEFAULT_COUNT if conversation_id is None else None
    return count if count > 0 else None


def _current_conversation(conn: sqlite3.Connection) -> str:
    from ..errors import NotFound
    from ..logs.records.threads import latest_conversation_id

    conversation_id = latest_conversation_id(conn)
    if conversation_id is None:
        raise NotFound("No conversations found: nothing has been logged yet")
    return conversation_id


def _named_conversation(conn: sqlite3.Connection, name: str) -> str:
    """The id that a name stands for; the name itself where it stands for nothing."""
    from ..logs.records.threads import find_conversation_id

    return find_conversation_id(conn, name) or name


def _data(
    conn: sqlite3.Connection, ids: Sequence[str], *, key: str | None, with_ids: bool, as_array: bool
) -> Iterator[str]:
    from ..logs.read.query import iter_rows
    from ..logs.render.as_json import data_array, data_items, data_lines

    items = data_items(iter_rows(conn, ids, payloads=False), key=key, ids=with_ids)
    return data_array(items) if as_array else data_lines(items)


def _code_block(conn: sqlite3.Connection, ids: Sequence[str], *, last: bool) -> list[str]:
    """The code block of the first row that has one."""
    from ..logs.read.query import iter_rows
    from ..text.shaping import extract_fenced_code_block

    for row in iter_rows(conn, ids, payloads=False):
        block = extract_fenced_code_block(row["response"] or "", last=last)
        if block is not None:
            return [f"{block}\n"]
    return []


def _print(pieces: Iterable[str], raw: bool) -> None:
    """Write to stdout; what a terminal would execute is made visible there."""
    from ..terminal.output import is_terminal, tolerate_unencodable
    from ..text.shaping import visible

    tolerate_unencodable(sys.stdout)
    if is_terminal(sys.stdout) and not raw:
        pieces = map(visible, pieces)
    for piece in pieces:
        sys.stdout.write(piece)
