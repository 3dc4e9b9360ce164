"""Conditions on metadata: what they mean, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.cli import cli
from llm.embeddings.where import where

from .helpers.databases import plugin_of_the_data
from .test_collection import Fake

ENTRIES: dict[str, Any] = {
    "old": {"year": 1999, "lang": "en", "author": {"name": "Ann"}, "tags": ["a", "b"], "ok": True},
    "new": {"year": 2024.5, "lang": "de", "ok": False, "my key": 1, "and": 1},
    "text": {"year": "2030", "lang": None, "quote": 'it\'s "so"'},
    "none": None,
}


def fitting(condition: str) -> set[str]:
    """The ids of the entries that fit."""
    found = where(condition)
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("create table e (id, metadata)")
        rows = [(name, data and json.dumps(data)) for name, data in ENTRIES.items()]
        conn.executemany("insert into e values (?, ?)", rows)
        conn.execute("insert into e values ('broken', 'no json')")
        return {row[0] for row in conn.execute(f"select id from e where {found.sql}", found.values)}


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("year > 2020", {"new"}),
        ("year >= 1999", {"old", "new"}),
        ("year < 2000", {"old"}),
        ("year <= 1998.5", set()),
        ("year = 2024.5", {"new"}),
        ("year == 1999.0", {"old"}),
        ('year = "2030"', {"text"}),
        ("year != 1999", {"new", "text", "none"}),
        ("year <> 1999", {"new", "text", "none"}),
        ("not year > 2020", {"old", "text", "none"}),
        ('lang = "en"', {"old"}),
        ("lang = 'de' or lang = 'en'", {"old", "new"}),
        ('lang > "dd" and lang < "e"', {"new"}),
        ("lang = null", {"text", "none"}),
        ("lang != null", {"old", "new"}),
        ("ok = true", {"old"}),
        ("ok = false", {"new"}),
        ("ok != true", {"new", "text", "none"}),
        ("ok = 1", set()),
        ('author.name = "Ann"', {"old"}),
        ('$.author.name = "Ann"', {"old"}),
        ('tags[1] = "b"', {"old"}),
        ("tags[2] = null", {"old", "new", "text", "none"}),
        ('"my key" = 1', {"new"}),
        ("'and' = 1", {"new"}),
        ('quote = "it\'s \\"so\\""', {"text"}),
        ("YEAR > 2020", set()),
        ("year > 2020 AND NOT lang = 'en'", {"new"}),
        ("lang = 'en' or lang = 'de' and year > 3000", {"old"}),
        ("(lang = 'en' or lang = 'de') and year > 3000", set()),
        ("not (lang = 'en' or lang = 'de')", {"text", "none"}),
        ("not not lang = 'en'", {"old"}),
        ("year>2020 and(lang='de')", {"new"}),
        ("year > -1e3 and year < 123456789012345678901234567890", {"old", "new"}),
    ],
)
def test_condition_means(condition: str, ids: set[str]) -> None:
    """Comparisons are true or false; metadata that is no JSON fits nothing."""
    assert fitting(condition) == ids


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("", "a key is expected at character 1"),
        ("year", "a comparison such as = or > is expected at character 5"),
        ("year >", "a number, a text in quotes, true, false or null is expected at character 7"),
        ("year > en", "is expected at character 8"),
        ("year > 2020 lang = 1", "'and' or 'or' is expected at character 13"),
        ("(year > 1", "')' is expected at character 10"),
        ("year > 1)", "'and' or 'or' is expected at character 9"),
        ("and = 1", "a key is expected, not 'and'"),
        ("1 = 1", "a key is expected at character 1"),
        ("year > 1; drop table embeddings", "';' is not understood at character 9"),
        ("year = 'open", '"\'" is not understood at character 8'),
        ("year > true", "true is neither more nor less than anything"),
        ("'a\"b' = 1", "a key cannot have quotes in it"),
        ("year = 12x", "is not understood at character 8"),
        ("(" * 60 + "a = 1" + ")" * 60, "nested too deeply"),
        ("not " * 60 + "a = 1", "nested too deeply"),
        (" or ".join(["a = 1"] * 201), "too many comparisons"),
    ],
)
def test_condition_that_is_none(condition: str, problem: str) -> None:
    """What cannot be read is refused with the place."""
    with pytest.raises(llm.InvalidInput) as caught:
        where(condition)
    assert problem in str(caught.value)


def test_longest_condition_runs() -> None:
    """What is allowed is not too deep for SQLite."""
    for word in ("and", "or"):
        assert fitting(f" {word} ".join(["year > 2020"] * 200)) == {"new"}
    assert fitting("(" * 40 + "not " * 8 + "year > 2020" + ")" * 40) == {"new"}


LEAVES = st.tuples(
    st.sampled_from(["year", "lang", "ok", "nothing"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.sampled_from([1999, 2024.5, 2030, "en", "de", "2030"]),
)


def compared(data: Any, leaf: tuple[str, str, Any]) -> bool:
    """The meaning of one comparison, in Python."""
    key, operator, value = leaf
    found = (data or {}).get(key)
    same = isinstance(found, str) == isinstance(value, str) and isinstance(found, (str, int, float))
    same = same and not isinstance(found, bool)
    checks: dict[str, Callable[[], bool]] = {
        "=": lambda: same and found == value,
        "!=": lambda: not (same and found == value),
        "<": lambda: same and found < value,
        "<=": lambda: same and found <= value,
        ">": lambda: same and found > value,
        ">=": lambda: same and found >= value,
    }
    return bool(checks[operator]())


@given(
    st.recursive(
        LEAVES.map(lambda leaf: ("leaf", leaf)),
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner),
            st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        ),
        max_leaves=6,
    )
)
def test_condition_means_what_python_means(tree: Any) -> None:
    """Any condition gives what the same one gives over the dictionaries."""

    def text(node: Any) -> str:
        if node[0] == "leaf":
            key, operator, value = node[1]
            return f"{key} {operator} {json.dumps(value)}"
        if node[0] == "not":
            return f"not ({text(node[1])})"
        return f"({text(node[1])}) {node[0]} ({text(node[2])})"

    def holds(node: Any, data: Any) -> bool:
        if node[0] == "leaf":
            return compared(data, node[1])
        if node[0] == "not":
            return not holds(node[1], data)
        both = [holds(child, data) for child in node[1:]]
        return all(both) if node[0] == "and" else any(both)

    assert fitting(text(tree)) == {name for name, data in ENTRIES.items() if holds(tree, data)}


# The command


def similar(*arguments: str) -> Result:
    """What `llm similar` gives on two collections of the entries."""
    with plugin_of_the_data():
        path = llm.user_dir() / "embeddings.db"
        for name in ("c", "d"):
            with llm.Collection(name, path, model_id="fe") as collection:
                texts = (
                    (entry_id, f"{name} {entry_id}", data) for entry_id, data in ENTRIES.items()
                )
                collection.embed_multi_with_metadata(texts)
        with llm.Collection("e", path, model=Other()):
            pass
        return CliRunner().invoke(cli, ["similar", *arguments])


class Other(Fake):
    """Another model."""

    model_id = "other"


def test_similar_where() -> None:
    """`--where` looks at fitting entries only, as `where=` does."""
    result = similar("c", "-c", "x", "--where", "year > 2020 or lang = 'en'")
    ids = {json.loads(line)["id"] for line in result.stdout.splitlines()}
    assert ids == {"old", "new"}
    with llm.Collection("c", llm.user_dir() / "embeddings.db", model=Fake()) as collection:
        assert {entry.id for entry in collection.similar("x", where="ok = true")} == {"old"}
        assert [entry.id for entry in collection.similar_by_id("old", where="ok = false")] == [
            "new"
        ]


def test_similar_where_that_is_none() -> None:
    """A condition that cannot be read is a wrong value: exit code 2."""
    result = similar("c", "-c", "x", "--where", "year >")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Cannot read the condition 'year >'" in result.stderr


def test_similar_min_score() -> None:
    """Entries below the lowest score are left out."""
    scores = [json.loads(line)["score"] for line in similar("c", "-c", "x").stdout.splitlines()]
    result = similar("c", "-c", "x", "--min-score", str(scores[1]))
    assert [json.loads(line)["score"] for line in result.stdout.splitlines()] == scores[:2]
    assert similar("c", "-c", "x", "--min-score", "1.1").stdout == ""


def test_similar_also() -> None:
    """Several collections of one model give one list, each entry with its collection."""
    result = similar("c", "-c", "d new", "--also", "d", "-n", "3", "--json")
    entries = json.loads(result.stdout)
    assert (entries[0]["collection"], entries[0]["id"]) == ("d", "new")
    assert [entry["score"] for entry in entries] == sorted(
        (entry["score"] for entry in entries), reverse=True
    )
    assert len(entries) == 3
    lines = similar("c", "old", "--also", "d", "-p", "-n", "-1").stdout
    assert lines.count("c: old (") == 0
    assert lines.count("d: old (") == 1


def test_similar_also_of_another_model() -> None:
    """Vectors of two models have nothing in common."""
    result = similar("c", "-c", "x", "--also", "e")
    assert result.exit_code == 1
    assert "their models are fake-embed and other" in result.stderr
    assert similar("c", "-c", "x", "--also", "nope").exit_code == 1


def test_similar_json_is_one_array() -> None:
    """`--json` prints what the lines have, as one array."""
    lines = [json.loads(line) for line in similar("c", "-c", "x").stdout.splitlines()]
    assert json.loads(similar("c", "-c", "x", "--json").stdout) == lines
    assert similar("c", "-c", "x", "--json", "--where", "a = 1").stdout == "[]\n"
    assert similar("c", "-c", "x", "--json", "--plain").exit_code == 2
