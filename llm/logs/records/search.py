"""What people search for in the log: words, the syntax of SQLite FTS5, texts without spaces.

The full-text index splits texts at spaces and punctuation. In Chinese, Japanese, Thai and the like
that leaves whole sentences, so words of these are looked for in the texts themselves. A partial
index names the rows that are not all ASCII; it is made at the first search that needs it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ..file.db import pass_interrupt
from ..file.lookups import SQLRow
from ..file.migrations import has_table, immediate

# Scripts that put no spaces between words, and Korean, which puts endings behind them.
_UNSPLIT = (
    "\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\uff66-\uffdc\U00020000-\U0003ffff"
)
_PIECES = re.compile(r'"[^"]*"|\S+')
_IS_PLAIN = re.compile(r"\w+\*?")
_OPERATORS = frozenset(("AND", "OR", "NOT"))
_SYNTAX = re.compile(r"[()*^:+]|\b(?:OR|NOT|NEAR)\b")
# What SQLite says of an expression that it cannot read.
_NOT_READ = (
    *("fts5:", "no such column", "unterminated string", "unknown special query"),
    "malformed MATCH",
)
# There are more bytes than characters. Looking for the characters themselves takes 50 times longer.
_BEYOND_ASCII = (
    "(length(cast({0}prompt as blob)) > length({0}prompt)"
    " or length(cast({0}response as blob)) > length({0}response))"
)
_MAKE_INDEX = "create index if not exists {} on {} (id) where {}"
_BOTH = "ifnull({0}.prompt, '') || char(10) || ifnull({0}.response, '') like ? escape '\\'"


class Search(NamedTuple):
    """What is looked for.

    Args:
        match: An expression of FTS5; `None` where only texts are looked for.
        texts: Texts that have to occur, whatever is before or after them.
        is_unsplit: Whether one of these is in a writing without spaces.
    """

    match: str | None
    texts: tuple[str, ...] = ()
    is_unsplit: bool = False

    def text_tests(self, alias: str) -> list[tuple[str, str]]:
        """A test of the table `alias`, which has a prompt and a response, for each text."""
        return [(_BOTH.format(alias), f"%{like(text)}%") for text in self.texts]


def readings(query: str) -> Iterator[Search]:
    """How a query can be meant, to be tried in turn.

    It may be an expression of FTS5, one whose words hold punctuation, or no more than words.
    """
    is_unsplit = _is_unsplit(query)
    # Some expressions can be read, but are known to find nothing, or not what is meant.
    is_vain = query.lstrip().startswith("*") or not _has_words(query)
    if not is_vain and (_SYNTAX.search(query) or not is_unsplit):
        yield Search(query)
    operators = _OPERATORS.intersection(query.split())
    if operators and not is_unsplit:
        yield Search(" ".join(map(_operand, _PIECES.findall(query))))
    yield words_of(query, operators)


def _is_unsplit(text: str) -> bool:
    return not text.isascii() and re.search(f"[{_UNSPLIT}]", text) is not None


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _operand(piece: str) -> str:
    """A word in quotes where it holds punctuation; an operator or what is quoted as it is."""
    if piece in _OPERATORS or piece.startswith('"') or _IS_PLAIN.fullmatch(piece):
        return piece
    start = "*" if piece.endswith("*") else ""
    return f"{_quoted(piece)}{start}"


def _quoted(word: str) -> str:
    return '"{}"'.format(word.replace('"', " "))


def words_of(query: str, operators: Collection[str] = ()) -> Search:
    """The search for all words of a text, and for what is between double quotes as a whole.

    Args:
        query: The text.
        operators: Words that are none.
    """
    terms = list(filter(None, [piece.strip('"') for piece in _PIECES.findall(query)]))
    unsplit = list(filter(_is_unsplit, terms))
    words = [term for term in terms if term not in unsplit and _has_words(term)]
    # Signs alone, which the index does not have, are looked for where there is nothing else.
    texts = terms if not words and not unsplit else unsplit
    match = " ".join(_quoted(word) for word in words if word not in operators)
    return Search(match or None, tuple(texts), bool(unsplit))


def is_unreadable(error: sqlite3.Error) -> bool:
    """Whether an expression of FTS5 was not understood; otherwise the search itself failed."""
    return str(error).startswith(_NOT_READ)


def like(text: str) -> str:
    """A text as part of a pattern for `like ... escape '\\'`."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def unsplit_rows(conn: sqlite3.Connection, table: str, alias: str) -> tuple[str, str]:
    """How the rows that may hold other writings are found: SQL behind the table, and a test.

    The index for that is made where the file can be written; without it all rows are looked at.

    Args:
        conn: The log database; one that can only read makes the index all the same.
        table: `turn_search` or `responses`.
        alias: What the query calls it.
    """
    name = f"idx_x_{table}_beyond_ascii"
    if not has_table(conn, name) and not conn.in_transaction:
        [is_read_only] = conn.execute("pragma query_only").fetchone()
        conn.execute("pragma query_only = off")
        try:
            with immediate(conn):
                conn.execute(_MAKE_INDEX.format(name, table, _BEYOND_ASCII.format("")))
        except sqlite3.OperationalError as error:
            pass_interrupt(error)
            # The file is in use, or cannot be written.
            return "", "1"
        finally:
            conn.execute(f"pragma query_only = {is_read_only}")
    return f"indexed by {name}", _BEYOND_ASCII.format(f"{alias}.")


def found_rows(
    conn: sqlite3.Connection, search: Search, select: str, table: str, row: str
) -> Iterable[SQLRow]:
    """The rows of a query over a table with texts that are found.

    Args:
        conn: The log database.
        search: What is looked for.
        select: The query, with places for the full-text index, for how it is joined, for the index
            of the table, and for the tests.
        table: `turn_search` or `responses`.
        row: What the query calls its rowid.
    """
    alias, _ = row.split(".")
    tests: list[tuple[str, str]] = search.text_tests(alias)
    places = dict.fromkeys(("index", "on", "indexed"), "")
    where = []
    if search.match is not None:
        places.update(index=f"{table}_fts f cross join", on=f"on {row} = f.rowid")
        tests.insert(0, (f"{table}_fts match ?", search.match))
    elif search.is_unsplit:
        places["indexed"], test = unsplit_rows(conn, table, alias)
        where.append(test)
    where += [sql for sql, _ in tests]
    sql = select.format(where=" and ".join(where), **places)
    return conn.execute(sql, [value for _, value in tests])
