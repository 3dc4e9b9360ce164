"""What `llm logs -q` finds: words with any punctuation, expressions of FTS5, and every writing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llm.cli import cli
from llm.errors import LogError
from llm.logs.file.db import open_memory
from llm.logs.read.query import LogFilters, select_ids
from llm.logs.records.search import readings
from tests.helpers.logged import LogBuilder

TEXTS = {
    "01": ("I don't know C++", "It is state-of-the-art, 100% sure"),
    "02": ("dont cross the state art", "see README.md: it costs $5 (five)"),
    "03": ("日本語テキストを書いて", "はい、できます"),
    "04": ("Pythonは何ですか", "プログラミング言語です"),
    "05": ("ภาษาไทย", "สวัสดีครับ"),
    "06": ("서울에서 만나요", "좋아요 🎉"),
    "07": ("foo AND bar", "gpt-4o says a:b"),
    "08": ("rock and roll", "50% of_all"),
}


@pytest.fixture(params=["turns", "responses", "both"])
def log(request: pytest.FixtureRequest, user_path: Path) -> LogBuilder:
    """The texts, logged by this release, by one before 0.32, or by turns of both."""
    built = LogBuilder(user_path / "logs.db")
    for number, (row_id, texts) in enumerate(TEXTS.items()):
        is_turn = request.param == "turns" or (request.param == "both" and number % 2)
        (built.turn if is_turn else built.response)(row_id, *texts)
    return built


def found(*args: str) -> list[str]:
    """The ids that a search gives."""
    result = CliRunner().invoke(cli, ["logs", "--json", "-n", "0", *args])
    assert result.exit_code == 0, result.output
    return [row["id"] for row in json.loads(result.stdout)]


QUERIES: list[tuple[str, Sequence[str]]] = [
    ("don't", ["01"]),
    ("C++", ["01"]),
    ("state-of-the-art", ["01"]),
    ("100%", ["01"]),
    ("I don't know C++!", ["01"]),
    ("README.md:", ["02"]),
    ("$5 (five)", ["02"]),
    ("(five", ["02"]),
    ('"open', []),
    ('costs "', ["02"]),
    ("gpt-4o", ["07"]),
    ("a:b", ["07"]),
    ("nocolumn: x", []),
    ("what is rock?", []),
    ("rock?", ["08"]),
    ("*roll", ["08"]),
    ("don't AND sure", ["01"]),
    ("don't OR roll?", ["01", "08"]),
    ("state NOT don't", ["02"]),
    # The syntax of FTS5 stays what it is.
    ('"foo AND bar"', ["07"]),
    ("foo OR rock", ["07", "08"]),
    ("ro*", ["08"]),
    ("NEAR(rock roll, 3)", ["08"]),
    ("prompt: sure", []),
    ("response: sure", ["01"]),
    ("state NOT cross", ["01"]),
    # What has no words is looked for as it is.
    ("%", ["01", "08"]),
    ("🎉", ["06"]),
    # Writings without spaces.
    ("日本語", ["03"]),
    ("テキスト", ["03"]),
    ('"日本語"', ["03"]),
    ("日本語 できます", ["03"]),
    ("日本語 AND できます", ["03"]),
    ("日本語 言語", []),
    ("言語", ["04"]),
    ("何", ["04"]),
    ("python 言語", []),
    ("pythonは", ["04"]),
    ("ไทย", ["05"]),
    ("สวัสดี", ["05"]),
    ("서울", ["06"]),
    ("서울 좋아요", ["06"]),
    ("中文", []),
    ("日_語", []),
]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_query_finds_words_with_any_punctuation_in_any_writing(
    query: str, expected: Sequence[str]
) -> None:
    """Best first or newest first, the same rows are found."""
    assert sorted(found("-q", query)) == expected
    assert found("-q", query, "-l") == sorted(expected, reverse=True)
    assert found("-q", query, "-m", "no-such-model") == []


def test_words_beside_a_writing_without_spaces_are_looked_for_in_the_index(
    user_path: Path,
) -> None:
    """A word and a text have to be in the same turn, together with all other filters."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01", "translate 日本語テキスト", "text")
    log.turn("02", "translate english", "text")
    log.turn("03", "日本語", "other", model="n")
    assert found("-q", "translate 日本語") == ["01"]
    assert found("-q", "translate 日本語", "-l") == ["01"]
    assert found("-q", "日本語", "-m", "n") == ["03"]
    assert found("-q", "日本語", "-n", "1") == ["03"]
    assert found("-q", "日本語", "--id-gt", "01", "-l") == ["03"]
    assert found("-q", "日本語", "--since", "2030-01-01") == []


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("query", ["日本語", "don't", "100%", "서울", "roll"])
def test_conversations_are_found_by_the_same_words(query: str) -> None:
    """`conversations list -q` finds the conversations of the turns that `logs -q` finds."""
    result = CliRunner().invoke(cli, ["conversations", "list", "-q", query, "--json"])
    assert result.exit_code == 0, result.output
    listed = {item["id"].rsplit("-", 1)[1] for item in json.loads(result.stdout)}
    assert listed == set(found("-q", query)) != set()


def test_index_of_writings_without_spaces_is_made_when_it_is_needed(user_path: Path) -> None:
    """Who never looks for one does not pay for it; afterwards SQLite keeps it up to date."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01", "日本語テキスト", "x")

    def indexes() -> list[str]:
        sql = "select name from sqlite_master where name like 'idx_x_%_beyond_ascii' order by 1"
        return [name for (name,) in log.conn.execute(sql)]

    assert found("-q", "hello") == []
    assert indexes() == []
    assert found("-q", "日本語") == ["01"]
    assert indexes() == ["idx_x_responses_beyond_ascii", "idx_x_turn_search_beyond_ascii"]
    log.turn("02", "新しい日本語", "x")
    assert found("-q", "日本語") == ["02", "01"]


def test_search_in_a_file_that_cannot_be_written_finds_the_same(tmp_path: Path) -> None:
    """Without the index all rows are looked at."""
    path = tmp_path / "logs.db"
    LogBuilder(path).turn("01", "日本語テキスト", "x")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        assert select_ids(conn, LogFilters(query="日本語")) == ["01"]
        assert conn.execute("pragma query_only").fetchone() == (0,)


SIGNS = "ab01'\"-+*()^:{}[]%$.,; \t日本ไ🎉é\x00"
ALPHABET = st.sampled_from([*SIGNS, "AND", "OR", "NEAR("])


@given(query=st.lists(ALPHABET, min_size=1, max_size=12).map("".join))
def test_any_query_gives_rows_or_is_refused_in_one_line(query: str) -> None:
    """No text that somebody can type is an error of SQLite."""
    rest = query.replace("AND", "").replace("OR", "")
    may_be_refused = not any(map(str.isalnum, rest)) or "NEAR" in query or "\x00" in query
    with closing(open_memory().conn) as conn:
        for latest in (False, True):
            with (
                contextlib.suppress(LogError) if may_be_refused else contextlib.nullcontext(),
            ):
                assert select_ids(conn, LogFilters(query=query, latest=latest)) == []


@pytest.mark.parametrize("query", ["hello", "a OR b", '"x y"', "pre*"])
def test_query_that_can_be_read_is_put_as_it_is(query: str) -> None:
    """The first reading is the expression itself."""
    assert next(readings(query)).match == query
