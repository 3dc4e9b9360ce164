"""Single entries of a collection: reading, changing and removing them; and what it is kept in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlite_utils

import llm
from llm.errors import LLMError

from .test_collection import Fake, asked

Opened = Callable[[Path], object]


@pytest.fixture
def words(tmp_path: Path) -> Iterator[llm.Collection]:
    """A collection with three entries."""
    with llm.Collection("words", tmp_path / "emb.db", model=Fake()) as words:
        words.embed("a/1", "one", {"n": 1}, store=True)
        words.embed("a/2", b"two", store=True)
        words.embed("b/1", "three")
        yield words


def test_get_gives_the_entry_as_it_is_stored(words: llm.Collection) -> None:
    """Text and bytes come back as what they were, a missing id gives nothing."""
    one, two, three = (words.get(entry_id) for entry_id in ("a/1", "a/2", "b/1"))
    assert one
    assert two
    assert three
    assert (one.id, one.content, one.metadata) == ("a/1", "one", {"n": 1})
    assert (two.content, two.metadata) == (b"two", None)
    assert (three.content, list(three.vector)) == (None, Fake().embed("three"))
    assert words.get("c") is None


def test_ids_are_sorted_and_begin_as_asked(words: llm.Collection) -> None:
    """Signs that mean something to SQL are ordinary ones in a prefix, and case counts."""
    words.embed("a%", "four")
    assert words.ids() == ["a%", "a/1", "a/2", "b/1"]
    assert words.ids("a/") == ["a/1", "a/2"]
    assert (words.ids("a%"), words.ids("A"), words.ids("c")) == (["a%"], [], [])


def test_update_metadata_asks_no_model(words: llm.Collection) -> None:
    """It takes the place of what was there, or removes it; the vector and the text stay."""
    before = len(asked(words))
    words.update_metadata("a/1", {"lang": "en"})
    assert [entry.id for entry in words.similar_by_id("b/1", where='lang = "en"')] == ["a/1"]
    words.update_metadata("a/1", None)
    entry = words.get("a/1")
    assert entry
    assert (entry.content, entry.metadata) == ("one", None)
    assert len(asked(words)) == before


def test_update_metadata_of_an_unknown_id(words: llm.Collection) -> None:
    """The error names the id and the collection, and can be caught as the collection's own."""
    with pytest.raises(llm.Collection.DoesNotExist, match=r"ID not found: 'x' is not in .*'words'"):
        words.update_metadata("x", {})


@pytest.mark.parametrize(
    ("ids", "removed", "left"),
    [
        ("a/1", 1, ["a/2", "b/1"]),
        (["a/1", "b/1"], 2, ["a/2"]),
        (["a/1", "nowhere"], 1, ["a/2", "b/1"]),
        ([], 0, ["a/1", "a/2", "b/1"]),
    ],
)
def test_delete_removes_these_ids(
    words: llm.Collection, ids: str | list[str], removed: int, left: list[str]
) -> None:
    """Only the entries that are named go; to name none removes none."""
    assert words.delete(ids) == removed
    assert words.ids() == left


def test_delete_without_ids_removes_the_collection(words: llm.Collection) -> None:
    """It says how many entries went with it."""
    path = words.db.conn.execute("pragma database_list").fetchone()[2]
    assert words.delete() == 3
    assert not llm.Collection.exists(path, "words")


@pytest.mark.parametrize(
    "opened",
    [
        Path,
        str,
        sqlite3.connect,
        sqlite_utils.Database,
        llm.Database,
    ],
    ids=["path", "text", "sqlite3", "sqlite_utils", "llm.Database"],
)
def test_collection_in_whatever_names_a_database(tmp_path: Path, opened: Opened) -> None:
    """Another opening of the same file finds what was stored."""
    path = tmp_path / "emb.db"
    db = opened(path)
    with llm.Collection("words", db, model=Fake()) as words:  # type: ignore[arg-type]
        words.embed_multi([("a", "one"), ("b", "two")])
        assert [entry.id for entry in words.similar("two", 1)] == ["b"]
    assert llm.Collection.exists(db, "words")  # type: ignore[arg-type]
    if isinstance(db, (sqlite3.Connection, sqlite_utils.Database)):
        # Given open, it was left open.
        db.execute("select 1")
        db.close()
    with llm.Collection("words", path, model=Fake(), create=False) as again:
        assert again.ids() == ["a", "b"]


def test_collection_in_the_log_leaves_the_log_whole(tmp_path: Path) -> None:
    """A log that holds a collection, too, is read and written as before."""
    from .helpers.log_models import Says

    with llm.Database(tmp_path / "logs.db") as db:
        Says("hello").prompt("Hi", log=db).text()
        with llm.Collection("words", db, model=Fake()) as words:
            words.embed("a", "one")
        Says("again").prompt("Hi", log=db).text()
        assert [row["response"] for row in db.turns()] == ["hello", "again"]


def test_collection_in_what_is_no_database(tmp_path: Path) -> None:
    """A file of another kind is refused as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(LLMError, match=r"Cannot open the embeddings database .*notes\.txt"):
        llm.Collection("words", path, model=Fake())
    assert path.read_text().startswith("not a database")


def test_similar_among_some_ids(words: llm.Collection) -> None:
    """Only these are looked at, however they are given; with none nothing is found."""
    vector = Fake().embed("one")
    first, _ = words.similar_by_vector(vector, ids=iter(["a/2", "a/1"]))
    assert first.id == "a/1"
    assert [e.id for e in words.similar_by_vector(vector, ids={"b/1", "gone"})] == ["b/1"]
    assert words.similar_by_vector(vector, ids=[]) == []
