"""Collections in a real PostgreSQL with pgvector: the same commands, entries and scores."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.embeddings.collection import Collection
from llm.errors import EmbeddingsError, LLMError

from ..helpers.databases import plugin_of_the_data
from ..helpers.postgres import postgres

WORDS = ("red", "green", "blue", "fast", "slow", "warm", "cold", "near", "far", "old")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a database that all tests of this file share."""
    with postgres() as address:
        yield address


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The database, empty."""
    with import_module("psycopg").connect(server, autocommit=True) as conn:
        conn.execute("drop schema if exists llm cascade")
    monkeypatch.setenv("LLM_EMBEDDINGS_DB", server)
    monkeypatch.setenv("LLM_EMBEDDING_MODEL", "fe")
    with plugin_of_the_data():
        yield server


class Given(llm.EmbeddingModel):
    """Gives the vector that the text spells."""

    model_id = "given"
    supports_binary = True

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """One vector for each."""
        return ([float(number) for number in json.loads(item)] for item in items)


def run(*args: str, code: int = 0, stdin: str = "") -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner().invoke(cli, list(args), input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    assert "not-needed" not in result.output
    return result


def both(address: str, folder: Path) -> list[Collection]:
    """The same random collection in both kinds of store, with ties, zeros and metadata."""
    dice = random.Random(5)
    entries = []
    for number in range(300):
        vector = [dice.choice([0, 0.25, -1, 3]) for _ in range(4)]
        metadata = {
            "n": number % 7,
            "word": dice.choice(WORDS),
            "deep": {"list": [number % 3, "x"]},
            **({"flag": number % 2 == 0} if number % 5 else {}),
        }
        entries.append((f"{dice.choice('Ab%_')}{number}", json.dumps(vector), metadata))
    found = []
    for db in (address, str(folder / "same.db")):
        collection = Collection("same", db, model=Given())
        collection.embed_multi_with_metadata(entries, store=True)
        found.append(collection)
    return found


CONDITIONS = [
    None,
    "n > 3",
    'word = "red" or word >= "slow"',
    "not (n = 2) and deep.list[0] != 1",
    "flag = true",
    "flag = null",
    "flag != false and n <= 4.5",
    'deep.list[1] = "x" and "n" < 3',
    'n = "3"',
]


def test_both_stores_find_the_same(address: str, tmp_path: Path) -> None:
    """Ids, scores, contents and metadata are the same to the last digit, whatever the filter."""
    ours, theirs = both(address, tmp_path)
    for vector in ([1.0, 2, 3, 4], [0.25, 0, 0, 0], [0.0, 0, 0, 0], [-1.0, 3, 0.25, 0]):
        for where in CONDITIONS:
            for number, prefix, least in ((10, None, None), (-1, "a", None), (3, "%", 0.0)):
                args: Any = (vector, number, None, prefix)
                options: Any = {"where": where, "min_score": least}
                expected = theirs.similar_by_vector(*args, **options)
                assert ours.similar_by_vector(*args, **options) == expected
    some = theirs.ids()[5]
    assert ours.similar_by_id(some, 7) == theirs.similar_by_id(some, 7)


def test_both_stores_have_the_same(address: str, tmp_path: Path) -> None:
    """Reading, removing, changing and repeating do the same."""
    stores = both(address, tmp_path)
    seen = []
    for collection in stores:
        first, second, *_ = collection.ids("A")
        collection.update_metadata(first, {"ü": [1]})
        collection.embed(second, json.dumps([1, 2, 3, 4]), {"k": None}, store=True)
        collection.embed("bytes", b"[4, 3, 2, 1]", store=True)
        collection.embed("again", "[4, 3, 2, 1]")
        collection.embed("again", "[4, 3, 2, 1]", store=True)
        with pytest.raises(Collection.DoesNotExist):
            collection.update_metadata("nosuch", {})
        removed = collection.delete([first, "nosuch"])
        entries = [collection.get(entry_id) for entry_id in collection.ids()]
        seen.append((removed, collection.count(), entries, collection.get(first)))
    assert seen[0] == seen[1]
    assert stores[0].delete() == 301
    assert not Collection.exists(address, "same")
    with pytest.raises(LLMError, match="dimensions"):
        stores[1].similar_by_vector([1.0])


def test_other_dimensions_are_an_error(address: str, tmp_path: Path) -> None:
    """Vectors that cannot be compared are told, with an index and without."""
    ours, _ = both(address, tmp_path)
    with pytest.raises(LLMError, match="different vector dimensions"):
        ours.similar_by_vector([1.0])
    with pytest.raises(LLMError, match="Cannot compare a vector of 1 dimensions"):
        ours.similar_by_vector([1.0], -1)


def test_index_finds_nearly_all(address: str) -> None:
    """With an HNSW index at least 95 % of the best ten are found, with their exact scores."""
    dice = random.Random(7)
    vectors = [[dice.gauss(0, 1) for _ in range(32)] for _ in range(2000)]
    collection = Collection("many", address, model=Given())
    entries = ((str(number), json.dumps(vector)) for number, vector in enumerate(vectors))
    collection.embed_multi(entries, batch_size=500)
    queries = [[dice.gauss(0, 1) for _ in range(32)] for _ in range(50)]
    exact = [collection.similar_by_vector(query) for query in queries]
    run("collections", "index", "many")
    run("collections", "index", "many")
    hits = 0
    for query, best in zip(queries, exact, strict=True):
        found = collection.similar_by_vector(query)
        hits += len({entry.id for entry in best} & {entry.id for entry in found})
        assert all(entry in best for entry in found if entry.id in {b.id for b in best})
    assert hits >= 475
    plan = collection_plan(address)
    assert "embeddings_hnsw_" in plan
    assert collection.delete() == 2000
    assert "embeddings_hnsw_" not in collection_plan(address)


def collection_plan(address: str) -> str:
    """The names of the indexes."""
    with import_module("psycopg").connect(address) as conn:
        rows = conn.execute("select indexname from pg_indexes where schemaname = 'llm'")
        return " ".join(row[0] for row in rows)


def test_commands_do_the_same(address: str, tmp_path: Path) -> None:
    """`embed`, `embed-multi`, `similar` and `collections` take the address for `-d`."""
    (tmp_path / "rows.csv").write_text("id,text\n1,one\n2,two\n3,three\n")
    table = str(tmp_path / "rows.csv")
    printed = []
    for db in (address, str(tmp_path / "same.db")):
        arguments = [
            ("embed-multi", "rows", table, "--store", "--dry-run", "-d", db),
            ("embed-multi", "rows", table, "--store", "--prefix", "a/", "-d", db),
            ("embed-multi", "rows", table, "--prefix", "a/", "--prune", "--yes", "-d", db),
            ("embed", "rows", "b", "-c", "bee", "--metadata", '{"k": 1}', "-d", db),
            ("similar", "rows", "-c", "two", "-d", db),
            ("similar", "rows", "a/1", "-n", "2", "--json", "-d", db),
            ("similar", "rows", "-c", "two", "--where", "k = 1", "-d", db),
            ("collections", "list", "-d", db),
            ("collections", "list", "--json", "-d", db),
            ("collections", "delete", "rows", "-d", db),
            ("collections", "list", "-d", db),
        ]
        printed.append([run(*args).stdout for args in arguments])
    assert printed[0] == printed[1]
    assert "a/2" in printed[0][4]


def test_variable_names_the_server(address: str) -> None:
    """`LLM_EMBEDDINGS_DB` may be an address; `similar:` uses it, too."""
    run("embed", "notes", "one", "-c", "text one", "--store")
    result = run("-m", "fake", "-f", "similar:notes", "text one")
    assert "similar:notes: one (8 characters)" in result.stderr
    message = run("docs", "add", "new", str(Path(__file__)), code=1).stderr
    assert "Documents are kept in a file of SQLite" in message
    assert "is not in a database of SQLite" in run("docs", "show", "notes", code=1).stderr
    assert "new" not in run("collections", "list").stdout


def test_threads_write_at_once(address: str) -> None:
    """Threads with one collection, and with connections of their own, lose nothing."""
    collection = Collection("busy", address, model=Given())

    def fill(part: int) -> None:
        own = Collection("busy", address, model=Given()) if part % 2 else collection
        own.embed_multi((f"{part}-{n}", f"[{part}, {n}]") for n in range(50))

    threads = [threading.Thread(target=fill, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collection.count() == 200


def test_errors_say_what_to_do(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, no package, no collection: one line, and no password in it."""
    gone = "postgresql://llm:not-needed@/postgres?host=/nonexistent"
    assert "Cannot reach the PostgreSQL" in run("collections", "list", "-d", gone, code=1).stderr
    assert "No collections table found" in run("collections", "list", code=1).stderr
    assert "does not exist" in run("similar", "nosuch", "-c", "x", code=1).stderr
    run("embed", "one", "a", "-c", "x")
    assert run("collections", "index", "one").output == ""
    with Collection("empty", address, model_id="fe") as collection:
        with pytest.raises(LLMError, match="nothing to index"):
            collection.index()
        with pytest.raises(EmbeddingsError, match="not in a database of SQLite"):
            _ = collection.connection
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    assert "pip install 'llm[postgres]'" in run("collections", "list", code=1).stderr
