"""Where the entries of a collection come from: tables of text, JSON, queries and files.

Each source gives rows as they are read; what can be told to be wrong beforehand (a file that is not
there, a query that is not valid) is an error when the source is made.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import InvalidInput, LLMError
from .opening import reading

FORMATS = ("json", "csv", "tsv", "nl")
ENCODINGS = ("utf-8", "latin-1")
_DELIMITERS = ",\t;|"
_LONGEST_FIELD = 1 << 30


class Row(NamedTuple):
    """One entry of a source, or what is wrong with it.

    Attributes:
        place: Where it stands, for messages.
        id: Its id; empty where there is a problem.
        value: The text or the bytes.
        problem: Why it cannot be embedded.
        is_passed_over: Whether that is noted, and no error.
    """

    place: str
    id: str
    value: str | bytes
    problem: str = ""
    is_passed_over: bool = False


class Source:
    """Rows, and how far one is in them.

    Attributes:
        rows: The rows, read as they are asked for.
        size: How much there is, in rows or in bytes; `None` where that is not known.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        size: int | None = None,
        read: Callable[[], int] | None = None,
    ) -> None:
        self.rows = rows
        self.size = size
        self._read = read

    def position(self, done: int) -> int:
        """How much of `size` was read by the time that so many rows are done."""
        return done if self._read is None else self._read()


def row_of(place: str, cells: Sequence[object]) -> Row:
    """The entry of a table's row: the first cell is the id, the others are joined to its text."""
    try:
        if not cells or cells[0] is None or cells[0] == "":
            raise ValueError("it has no id, which is what stands first")
        return Row(place, _text(cells[0]), " ".join(map(_text, cells[1:])))
    except ValueError as error:
        return Row(place, "", "", str(error))


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise ValueError(f"a value of {len(cell)} bytes is no text") from None
    return json.dumps(cell, ensure_ascii=False)


# Tables in text


def table(stream: BinaryIO, form: str | None, name: str) -> Source:
    """The rows of a file in CSV, TSV, JSON or JSON lines.

    Args:
        stream: The file, read as the rows are asked for; but for JSON, which is read whole.
        form: One of `FORMATS`; found out from the first line where missing.
        name: What names the file in messages.

    Raises:
        LLMError: It is not UTF-8, or not of that form.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    with _told(name, form):
        lines = itertools.dropwhile(str.isspace, text)
        first = next(lines, "")
        form = form or _form(first)
        everything = itertools.chain([first] if first else [], lines)
        if form == "json":
            items = _json_items("".join(everything))
            # The stream belongs to the caller.
            text.detach()
            return Source(
                map(_object_row, (f"item {n + 1}" for n in range(len(items))), items), len(items)
            )
    delimiter = "\t" if form == "tsv" else _delimiter(first) if form == "csv" else None
    size, read = _extent(stream)
    return Source(_table_rows(text, everything, delimiter, name), size, read)


def _table_rows(
    text: io.TextIOWrapper, lines: Iterable[str], delimiter: str | None, name: str
) -> Iterator[Row]:
    """The rows of CSV with that delimiter, or of JSON lines without one."""
    try:
        with _told(name, "csv" if delimiter else "nl"):
            yield from _csv_rows(lines, delimiter) if delimiter else _line_rows(lines)
    finally:
        # Where the rows are not read to their end the caller has closed the stream by now.
        with suppress(ValueError):
            text.detach()


@contextmanager
def _told(name: str, form: str | None) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise LLMError(f"{name} is not UTF-8 text ({error}): convert it first") from error
    except (ValueError, csv.Error, RecursionError) as error:
        problem = f"{name} is not valid {(form or 'json').upper()}: {error}"
        raise LLMError(f"{problem}. Say with --format what it is") from error


def _extent(stream: BinaryIO) -> tuple[int | None, Callable[[], int] | None]:
    """The size of a file in bytes, and what tells how many of them were read."""
    try:
        size = os.fstat(stream.fileno()).st_size
        return (size, stream.tell) if stream.seekable() else (None, None)
    except (OSError, ValueError):
        return None, None


def _form(first: str) -> str:
    start = first.lstrip()[:1]
    if start != "{":
        return "json" if start == "[" else "csv"
    try:
        # One object in a line may be followed by others.
        return "nl" if isinstance(json.loads(first), dict) else "json"
    except ValueError:
        return "json"


def _delimiter(header: str) -> str:
    """The character between the cells: the one that stands most often in the header."""
    line = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=lambda mark: (line.count(mark), mark == ","))


def _csv_rows(lines: Iterable[str], delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(lines, delimiter=delimiter)
    header = next(rows, [])
    for cells in rows:
        place = f"line {rows.line_num}"
        if len(cells) > len(header):
            problem = f"it has {len(cells)} cells, the header has {len(header)}"
            yield Row(place, "", "", problem)
        elif cells:
            yield row_of(place, [*cells, *[""] * (len(header) - len(cells))])


def _line_rows(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(f"line {number}", "", "", f"it is not valid JSON: {error}")
        else:
            yield _object_row(f"line {number}", found)


def _json_items(text: str) -> list[object]:
    found = json.loads(text)
    return found if isinstance(found, list) else [found]


def _object_row(place: str, found: object) -> Row:
    if not isinstance(found, dict):
        return Row(place, "", "", "it is no JSON object")
    return row_of(place, list(found.values()))


# Queries


def query(
    database: Path, sql: str, attached: Iterable[tuple[str, str]], *, counts: bool = False
) -> Source:
    """The rows of a query, which may read the database of embeddings and those attached.

    Args:
        database: The database of embeddings.
        sql: The query; the first column is the id.
        attached: Aliases and paths of further databases.
        counts: Run the query once before, to know how many rows there are.

    Raises:
        LLMError: A database cannot be read, or the query is not valid.
    """
    size = None
    if counts:
        counted = f"select 'n', count(*) from ({sql.strip().rstrip(';')})"
        size = next((int(row.value) for row in _queried(database, counted, attached)), None)
    rows = _queried(database, sql, attached)
    # The query is begun here, so that one that is not valid changes nothing.
    first = next(rows, None)
    return Source(itertools.chain([first] if first else [], rows), size)


def _queried(database: Path, sql: str, attached: Iterable[tuple[str, str]]) -> Iterator[Row]:
    with reading(database) as found:
        conn = found or sqlite3.connect(":memory:")
        # Whatever the query is: it reads.
        conn.execute("pragma query_only=on")
        with closing(conn):
            try:
                for alias, path in attached:
                    quoted = alias.replace('"', '""')
                    conn.execute(f'attach database ? as "{quoted}"', [path])
                cursor = conn.execute(sql)
                for number, cells in enumerate(cursor, 1):
                    yield row_of(f"row {number} of the query", cells)
            except sqlite3.Error as error:
                raise LLMError(f"The query cannot be run: {error} ({sql})") from error


# Files


def files(
    patterns: Iterable[tuple[str, str]],
    *,
    encodings: Sequence[str] = ENCODINGS,
    binary: bool = False,
) -> Source:
    """The files that patterns match, in the order of their paths.

    Args:
        patterns: Directories and patterns below them, such as `**/*.md`. The id of a file is its
            path below the directory.
        encodings: The first that a file can be read with is its encoding.
        binary: Give the bytes instead.

    Raises:
        InvalidInput: There is no such directory, or no such encoding.
    """
    for encoding in encodings:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise InvalidInput(f"Unknown encoding: {encoding}") from error
    readers: list[Callable[[], Row]] = []
    for folder, pattern in patterns:
        if not os.path.isdir(folder):
            raise InvalidInput(f"Invalid directory: {folder}")
        try:
            paths = sorted(path for path in Path(folder).glob(pattern) if path.is_file())
        except (ValueError, NotImplementedError, IndexError) as error:
            raise InvalidInput(f"Invalid pattern {pattern!r}: {error}") from error
        readers += [partial(_file_row, path, folder, encodings, binary) for path in paths]
    return Source((read() for read in readers), len(readers))


def _file_row(path: Path, folder: str, encodings: Sequence[str], binary: bool) -> Row:
    file_id = path.relative_to(folder).as_posix()
    # As for the fragments of `dir:`, whoever made the folder may have put links in it.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        return Row(str(path), "", "", f"{path} is a link that leads out of {folder}", True)
    try:
        content = path.read_bytes()
    except OSError as error:
        return Row(str(path), "", "", f"it cannot be read: {error.strerror}")
    if binary:
        return Row(str(path), file_id, content)
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return Row(str(path), file_id, content.decode(encoding))
    return Row(str(path), "", "", f"Could not decode text in file {path}", True)
