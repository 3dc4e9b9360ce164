"""Collections of embeddings: what is stored, what is asked of the model, what is nearest."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

import llm
from llm.embeddings import Entry
from llm.embeddings_migrations import embeddings_migrations
from llm.errors import LLMError

DATA = Path(__file__).parent / "data"
NAMES = [
    "m001_create_tables",
    "m002_foreign_key",
    "m003_add_updated",
    "m004_store_content_hash",
    "m005_add_content_blob",
]


class Fake(llm.EmbeddingModel):
    """The model that made the recorded databases; remembers what it was asked."""

    model_id = "fake-embed"
    supports_binary = True
    batch_size = 8

    def __init__(self) -> None:
        self.asked: list[list[str | bytes]] = []

    def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> Iterator[list[float]]:
        items = list(items)
        self.asked.append(items)
        for item in items:
            data = item.encode() if isinstance(item, str) else item
            yield [(byte - 128) / 128 for byte in hashlib.sha256(data).digest()[:16]]


def asked(collection: llm.Collection) -> list[list[str | bytes]]:
    """The batches that the model of a collection was asked for."""
    model = collection.model()
    assert isinstance(model, Fake)
    return model.asked


class Short(Fake):
    """Gives a vector too few."""

    def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> Iterator[list[float]]:
        yield from list(super().embed_batch(items))[1:]


@pytest.fixture(params=["numpy", "plain"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with numpy, once as if it were not installed."""
    import numpy as np

    assert np.__version__
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "numpy", None)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Any]:
    """Opens a copy of the database that a release wrote."""
    opened = []

    def open_copy(release: str) -> Database:
        path = tmp_path / f"{release}.db"
        shutil.copy(DATA / f"embeddings-v{release}.db", path)
        opened.append(Database(path))
        return opened[-1]

    yield open_copy
    for db in opened:
        db.close()


@pytest.fixture
def db() -> Iterator[Database]:
    """An empty database in memory."""
    database = Database(memory=True)
    yield database
    database.close()


@pytest.fixture
def words(db: Database) -> llm.Collection:
    """An empty collection."""
    return llm.Collection("words", db, model=Fake())


def row(collection: llm.Collection, entry_id: str) -> dict[str, Any]:
    """A stored row without what changes from run to run."""
    rows = collection.db["embeddings"].rows_where("collection_id = ? and id = ?", [1, entry_id])
    return {k: v for k, v in next(rows).items() if k not in ("collection_id", "id", "updated")}


def expected(name: str) -> list[Entry]:
    """Entries that 0.36 printed."""
    lines = (DATA / f"embeddings-v0.36.{name}.expected.jsonl").read_text().splitlines()
    return [Entry(**json.loads(line)) for line in lines]


def close(found: list[Entry], wanted: list[Entry]) -> bool:
    """Whether the entries are the same, and their scores nearly."""
    scores = [entry.score for entry in found]
    same = [vars(entry) | {"score": None} for entry in found]
    return scores == pytest.approx([entry.score for entry in wanted], abs=1e-9) and same == [
        vars(entry) | {"score": None} for entry in wanted
    ]


@pytest.mark.usefixtures("arithmetic")
def test_collection_of_036_gives_the_same_entries(old: Any) -> None:
    """A file of 0.36 is searched with the results of 0.36, by content and by id."""
    words = llm.Collection("words", old("0.36"), model=Fake())
    assert close(words.similar("word number 3", 5), expected("similar-word-number-3"))
    assert close(words.similar_by_id("w05", 3), expected("similar-w05"))


def test_collection_of_036_is_counted(old: Any) -> None:
    """The collections of a file of 0.36 are all there."""
    db = old("0.36")
    counts = [
        {"name": name, "model": collection.model_id, "num_embeddings": collection.count()}
        for name in ("blobs", "words")
        for collection in [llm.Collection(name, db)]
    ]
    recorded = (DATA / "embeddings-v0.36.collections.expected.json").read_text()
    assert counts == json.loads(recorded)


def test_collection_of_019_opens_and_is_left_alone(old: Any) -> None:
    """A file of 0.19 has all that is needed: nothing is written to it before somebody stores."""
    db = old("0.19")
    before = list(db.conn.iterdump())
    words = llm.Collection("words", db, model=Fake())
    assert [entry.id for entry in words.similar("alpha")] == ["a", "b"]
    assert list(db.conn.iterdump()) == before
    words.embed("c", "gamma")
    assert words.count() == 3


def test_collection_of_a_file_that_cannot_be_written(old: Any, tmp_path: Path) -> None:
    """Searching needs no right to write."""
    old("0.36")
    conn = sqlite3.connect(f"file:{tmp_path / '0.36.db'}?mode=ro", uri=True)
    words = llm.Collection("words", Database(conn), model=Fake())
    assert words.similar_by_id("w05", 1)[0].id == "w01"
    conn.close()


def test_collection_migrations_record_their_names(db: Database) -> None:
    """A new file has the tables of 0.36 and says so in the form of sqlite-utils 4."""
    llm.Collection("words", db, model=Fake())
    rows = list(db["_sqlite_migrations"].rows)
    assert [(row["id"], row["migration_set"], row["name"]) for row in rows] == [
        (number, "llm.embeddings", name) for number, name in enumerate(NAMES, 1)
    ]
    recorded = Database(DATA / "embeddings-v0.36.db")
    for table in ("collections", "embeddings", "_sqlite_migrations"):
        assert db[table].columns == recorded[table].columns
        ours, theirs = db.table(table), recorded.table(table)
        assert (ours.indexes, ours.foreign_keys) == (theirs.indexes, theirs.foreign_keys)
    recorded.close()


def test_collection_migrates_the_first_release(tmp_path: Path) -> None:
    """A file of before dates, hashes and blobs gets them; what is in it stays."""
    db = Database(tmp_path / "old.db")
    db.table("collections").create({"id": int, "name": str, "model": str}, pk="id")
    db.table("collections").insert({"name": "words", "model": "fake-embed"})
    columns = {"collection_id": int, "id": str, "embedding": bytes, "content": str, "metadata": str}
    db.table("embeddings").create(columns, pk=("collection_id", "id"))
    vector = llm.encode(Fake().embed("one"))
    for entry_id, content in (("a", "one"), ("b", None)):
        db.table("embeddings").insert(
            {"collection_id": 1, "id": entry_id, "embedding": vector, "content": content}
        )
    db.table("_sqlite_migrations").insert(
        {"migration_set": "llm.embeddings", "name": "m001_create_tables", "applied_at": "then"},
        pk=("migration_set", "name"),
    )
    words = llm.Collection("words", db, model=Fake())
    rows = {row["id"]: row for row in db["embeddings"].rows}
    assert rows["a"]["content_hash"] == hashlib.md5(b"one").digest()
    assert len(rows["b"]["content_hash"]) == 16
    assert rows["a"]["updated"] > 1_700_000_000
    assert db.table("embeddings").foreign_keys[0].other_table == "collections"
    assert [row["name"] for row in db["_sqlite_migrations"].rows] == NAMES
    assert words.similar("one", 1)[0].score == pytest.approx(1)
    db.close()


def test_collection_migrations_are_an_object_of_sqlite_utils(db: Database) -> None:
    """Plugins apply the migrations themselves; twice does no harm."""
    for _ in range(2):
        embeddings_migrations.apply(db)
    assert [migration.name for migration in embeddings_migrations.applied(db)] == NAMES


def test_collection_migration_that_fails_leaves_nothing(db: Database) -> None:
    """A failure half-way undoes everything."""
    db.execute("create view embeddings as select 1 as id")
    with pytest.raises(Exception, match="embeddings"):
        llm.Collection("words", db, model=Fake())
    assert db.table_names() == []
    assert not db.conn.in_transaction


def test_collection_is_made_within_a_transaction_of_the_caller(db: Database) -> None:
    """Inside a transaction nothing is committed before the caller does."""
    db.begin()
    llm.Collection("words", db, model=Fake()).embed("a", "one")
    assert db.conn.in_transaction
    db.rollback()
    assert db.table_names() == []


def test_collection_made_by_many_processes_at_once(tmp_path: Path) -> None:
    """Processes that start together on a new file all find their collection."""
    script = """
import sys
sys.path.insert(0, sys.argv[3])
from tests.test_collection import Fake
import llm, sqlite_utils
db = sqlite_utils.Database(sys.argv[1])
llm.Collection("words", db, model=Fake()).embed(sys.argv[2], "text " + sys.argv[2])
"""
    path, root = str(tmp_path / "new.db"), str(Path(__file__).parents[1])
    processes = [
        subprocess.Popen([sys.executable, "-c", script, path, str(n), root]) for n in range(6)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 6
    db = Database(path)
    assert llm.Collection("words", db).count() == 6
    db.close()


def test_collection_new_and_found_again(db: Database) -> None:
    """Both know their number and the id of their model."""
    made = llm.Collection("words", db, model=Fake())
    found = llm.Collection("words", db)
    assert (made.id, made.model_id) == (found.id, found.model_id) == (1, "fake-embed")
    assert repr(found) == "<Collection: words - fake-embed>"


def test_collection_in_memory() -> None:
    """Without a database there is one in memory."""
    collection = llm.Collection("words", model=Fake())
    collection.embed("a", "one")
    assert collection.count() == 1
    collection.db.close()


def test_collection_model_by_alias(db: Database, plugin: Any) -> None:
    """A model can be named; the name that is stored is its id."""
    hook = llm.hookimpl(
        lambda register: register(Fake(), aliases=("fe",)), specname="register_embedding_models"
    )
    plugin("fake", register_embedding_models=hook)
    assert llm.Collection("words", db, model_id="fe").model_id == "fake-embed"
    found = llm.Collection("words", db)
    assert isinstance(found.model(), Fake)
    assert found.model() is found.model()


def test_collection_needs_a_model(db: Database) -> None:
    """A new collection without model, or with an unknown one, is not made."""
    with pytest.raises(ValueError, match="Either model= or model_id= must be provided when"):
        llm.Collection("words", db)
    with pytest.raises(llm.UnknownModelError, match="no-such-model"):
        llm.Collection("words", db, model_id="no-such-model")
    assert not llm.Collection.exists(db, "words")


def test_collection_exists(db: Database) -> None:
    """Asking writes nothing, not even tables."""
    assert not llm.Collection.exists(db, "words")
    assert db.table_names() == []
    llm.Collection("words", db, model=Fake())
    assert llm.Collection.exists(db, "words")
    assert not llm.Collection.exists(db, "other")


def test_collection_does_not_exist(db: Database) -> None:
    """With `create=False` a collection has to be there."""
    with pytest.raises(llm.Collection.DoesNotExist) as caught:
        llm.Collection("words", db, create=False)
    assert str(caught.value) == "Collection 'words' does not exist"
    assert isinstance(caught.value, LLMError)


def test_collection_delete_takes_only_its_own(old: Any) -> None:
    """Deleting a collection leaves the others."""
    db = old("0.36")
    llm.Collection("words", db).delete()
    assert not llm.Collection.exists(db, "words")
    assert llm.Collection("blobs", db).count() == db["embeddings"].count == 5


@pytest.mark.parametrize(
    ("value", "store", "content"),
    [
        ("é", True, ("é", None)),
        ("é", False, (None, None)),
        (b"\x00", True, (None, b"\x00")),
        (b"\x00", False, (None, None)),
    ],
)
def test_embed_stores_content_only_if_asked(
    words: llm.Collection, value: str | bytes, store: bool, content: tuple[object, object]
) -> None:
    """Text and bytes have columns of their own; the vector and the hash are always there."""
    words.embed("a", value, metadata={"k": "ü"}, store=store)
    data = value.encode() if isinstance(value, str) else value
    assert row(words, "a") == {
        "embedding": llm.encode(Fake().embed(value)),
        "content": content[0],
        "content_blob": content[1],
        "content_hash": hashlib.md5(data).digest(),
        "metadata": '{"k": "\\u00fc"}',
    }


def test_embed_same_content_is_not_paid_twice(words: llm.Collection) -> None:
    """The same text under another id is stored with the same vector; the model is not asked."""
    words.embed("a", "one", store=True)
    words.embed("b", "one", metadata={"n": 1})
    words.embed("a", "one")
    assert asked(words) == [["one"]]
    assert row(words, "a")["embedding"] == row(words, "b")["embedding"]
    assert (row(words, "a")["content"], row(words, "b")["content"]) == ("one", None)
    assert row(words, "b")["metadata"] == '{"n": 1}'


def test_embed_changed_metadata_is_saved(words: llm.Collection) -> None:
    """New metadata is saved without asking the model; none leaves it, an empty one removes it."""
    words.embed("a", "one", metadata={"n": 1})
    for given, kept in (({"n": 2}, '{"n": 2}'), (None, '{"n": 2}'), ({}, None)):
        words.embed("a", "one", metadata=given)
        assert row(words, "a")["metadata"] == kept
    assert asked(words) == [["one"]]


def test_embed_content_can_be_stored_later(words: llm.Collection) -> None:
    """Content that was not kept at first is kept when that is asked for."""
    words.embed("a", "one", metadata={"n": 1})
    words.embed("a", "one", store=True)
    assert (row(words, "a")["content"], row(words, "a")["metadata"]) == ("one", '{"n": 1}')
    assert asked(words) == [["one"]]


def test_embed_unchanged_row_is_not_written(words: llm.Collection) -> None:
    """An entry that is there already keeps its date."""
    words.embed("a", "one", metadata={"n": 1}, store=True)
    words.db.execute("update embeddings set updated = 5")
    words.embed("a", "one", metadata={"n": 1}, store=True)
    assert words.db.execute("select updated from embeddings").fetchone() == (5,)


def test_embed_new_content_replaces(words: llm.Collection) -> None:
    """An id has the content that it was given last."""
    words.embed("a", "one", metadata={"n": 1}, store=True)
    words.embed("a", "two", store=True)
    assert (words.count(), row(words, "a")["content"]) == (1, "two")
    assert row(words, "a")["metadata"] is None


def test_embed_text_is_not_the_bytes_that_spell_it(words: llm.Collection) -> None:
    """Models for text and pictures give the two different vectors: neither stands for the other."""
    words.embed("text", "one", store=True)
    words.embed("bytes", b"one", store=True)
    words.embed("again", "one")
    assert asked(words) == [["one"], [b"one"]]


@pytest.mark.parametrize(("batch_size", "sizes"), [(3, [3, 3, 2]), (100, [8])])
def test_embed_multi_batches(words: llm.Collection, batch_size: int, sizes: list[int]) -> None:
    """A batch is as large as was asked for, and no larger than the model takes."""
    words.embed_multi(((f"i{n}", f"text {n}") for n in range(8)), batch_size=batch_size)
    assert [len(batch) for batch in asked(words)] == sizes
    assert words.count() == 8


def test_embed_multi_of_a_model_without_batch_size(db: Database) -> None:
    """A model that sets no limit gets batches of the size that was asked for, as lists."""

    class Unlimited(Fake):
        batch_size: Any = None

    words = llm.Collection("words", db, model=Unlimited())
    words.embed_multi([(str(n), f"text {n}") for n in range(150)], store=True)
    assert [len(batch) for batch in asked(words)] == [100, 50]


def test_embed_multi_asks_once_for_each_content(words: llm.Collection) -> None:
    """Content that comes twice in a batch is embedded once; of one id the last content counts."""
    words.embed_multi([("a", "same"), ("b", "same"), ("c", "old"), ("c", "new")], store=True)
    assert asked(words) == [["same", "new"]]
    assert row(words, "a")["embedding"] == row(words, "b")["embedding"]
    assert row(words, "c")["content"] == "new"


def test_embed_multi_with_metadata_stores_it(words: llm.Collection) -> None:
    """Each entry has its own metadata, or none; ids may be numbers."""
    entries: list[Any] = [(1, "one", {"n": 1}), ("b", "two", None), ("c", "three", {})]
    words.embed_multi_with_metadata(entries)
    assert row(words, "1")["metadata"] == '{"n": 1}'
    assert (row(words, "b")["metadata"], row(words, "c")["metadata"]) == (None, None)


def test_embed_multi_keeps_finished_batches(words: llm.Collection) -> None:
    """What was embedded before a failure is stored."""

    def entries() -> Iterator[tuple[str, str]]:
        yield from ((str(n), f"text {n}") for n in range(3))
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        words.embed_multi(entries(), batch_size=1)
    assert words.count() == 3


def test_embed_metadata_that_is_no_json_costs_nothing(words: llm.Collection) -> None:
    """Metadata that cannot be stored is refused before the model is asked."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        words.embed("a", "one", metadata={"n": {1}})
    assert asked(words) == []


def test_embed_wrong_number_of_vectors(db: Database) -> None:
    """A model that loses a vector does not give others the wrong one."""
    words = llm.Collection("words", db, model=Short())
    with pytest.raises(llm.ModelError, match="fake-embed gave 1 vectors for 2 values"):
        words.embed_multi([("a", "one"), ("b", "two")])
    assert words.count() == 0


def test_embed_key_is_passed_on(db: Database) -> None:
    """The key of a call reaches the model."""

    class Keyed(Fake):
        needs_key = "vault"
        seen: list[str | None] = []

        def embed_batch(
            self, items: Iterable[str | bytes], *, key: str | None = None
        ) -> Iterator[list[float]]:
            self.seen.append(key)
            return super().embed_batch(items)

    words = llm.Collection("words", db, model=Keyed())
    words.embed("a", "one", key="k1")
    words.embed_multi([("b", "two")], key="k2")
    words.embed_multi_with_metadata([("c", "three", None)], key="k3")
    assert Keyed.seen == ["k1", "k2", "k3"]


@pytest.fixture
def angles(db: Database) -> llm.Collection:
    """Vectors in a plane, at known angles to (1, 0)."""
    collection = llm.Collection("angles", db, model=Fake())
    for entry_id, vector in {
        "east": (2, 0),
        "north": (0, 1),
        "west": (-1, 0),
        "zero": (0, 0),
        "a_b": (3, 4),
        "aXb": (4, 3),
        "A%c": (1, 1),
    }.items():
        db.table("embeddings").insert(
            {"collection_id": 1, "id": entry_id, "embedding": llm.encode(vector)},
            pk=("collection_id", "id"),
        )
    return collection


@pytest.mark.usefixtures("arithmetic")
def test_similar_scores_are_cosines(angles: llm.Collection) -> None:
    """Entries come by descending cosine; a vector without length has the score 0."""
    found = [(entry.id, entry.score) for entry in angles.similar_by_vector([1, 0])]
    assert [entry_id for entry_id, _ in found] == [
        "east",
        "aXb",
        "A%c",
        "a_b",
        "north",
        "zero",
        "west",
    ]
    scores = [1, 0.8, 0.5**0.5, 0.6, 0, 0, -1]
    assert [score for _, score in found] == pytest.approx(scores, abs=1e-7)


@pytest.mark.usefixtures("arithmetic")
def test_similar_to_a_vector_without_length(angles: llm.Collection) -> None:
    """Nothing is near to nothing, which is no error."""
    assert {entry.score for entry in angles.similar_by_vector([0, 0])} == {0}


@pytest.mark.parametrize(("number", "count"), [(0, 0), (2, 2), (100, 7), (-1, 7)])
def test_similar_number(angles: llm.Collection, number: int, count: int) -> None:
    """There are at most as many entries as asked for; a negative number means all."""
    assert len(angles.similar_by_vector([1, 0], number)) == count


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("a", ["aXb", "A%c", "a_b"]),
        ("a_", ["a_b"]),
        ("%", []),
        ("a%", ["A%c"]),
        ("\\", []),
        ("", ["east", "aXb", "A%c", "a_b", "north", "zero", "west"]),
    ],
)
def test_similar_prefix_is_taken_literally(
    angles: llm.Collection, prefix: str, found: list[str]
) -> None:
    """A prefix has no special characters; case does not matter."""
    assert [entry.id for entry in angles.similar_by_vector([1, 0], prefix=prefix)] == found


def test_similar_skips_and_takes_prefix_everywhere(angles: llm.Collection) -> None:
    """Leaving out an id and a prefix go together, for ids and for vectors."""
    found = angles.similar_by_vector([1, 0], 10, "aXb", "a")
    assert [entry.id for entry in found] == ["A%c", "a_b"]
    assert [entry.id for entry in angles.similar_by_id("aXb", prefix="a")] == ["A%c", "a_b"]
    assert angles.similar("x", prefix="nothing") == []


def test_similar_by_unknown_id(angles: llm.Collection) -> None:
    """An id that is not there is named."""
    with pytest.raises(llm.Collection.DoesNotExist, match="ID not found: 'nowhere'"):
        angles.similar_by_id("nowhere")


def test_similar_of_other_dimensions(angles: llm.Collection) -> None:
    """A vector of another model is refused instead of compared with half of each."""
    with pytest.raises(LLMError, match=r"Cannot compare a vector of 3 dimensions with .* has 2"):
        angles.similar_by_vector([1, 0, 0])


@pytest.mark.usefixtures("arithmetic")
def test_similar_in_a_large_collection(db: Database) -> None:
    """Thousands of vectors are compared piece by piece; equal scores keep their order."""
    collection = llm.Collection("many", db, model=Fake())
    rows = [(1, f"{n:05}", llm.encode([1.0, float(n % 5000)])) for n in range(10_000)]
    db.conn.executemany(
        "insert into embeddings (collection_id, id, embedding) values (?, ?, ?)", rows
    )
    found = collection.similar_by_vector([1, 0], 4)
    assert [entry.id for entry in found] == ["00000", "05000", "00001", "05001"]


def test_content_hash_is_md5() -> None:
    """The hash is the one in the files of 0.36."""
    assert llm.Collection.content_hash("é").hex() == "66ddcd97cfdeabb2f6fb8a999b4bc76f"
    assert llm.Collection.content_hash(b"x") == hashlib.md5(b"x").digest()
