"""Finding the nearest entries: the same everywhere, and never by a file that is stale."""

from __future__ import annotations

import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.embeddings import Entry, nearest, sidecar

from .helpers.databases import plugin_of_the_data
from .helpers.release_036 import Release
from .test_collection import Fake

DIMENSIONS = 16


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every collection is large."""
    monkeypatch.setattr(nearest, "FEW_NUMBERS", 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with fifty texts in the collection `words` and five in `others`."""
    path = tmp_path / "emb.db"
    for name, count in (("words", 50), ("others", 5)):
        with llm.Collection(name, path, model=Fake()) as collection:
            collection.embed_multi((f"i{n:02}", f"{name} {n}") for n in range(count))
    return path


def plain(rows: Sequence[tuple[str, Sequence[float]]], vector: Sequence[float]) -> list[Any]:
    """The reference: cosines by sums in Python, sorted by score and id."""
    scored = []
    for entry_id, values in rows:
        lengths = sum(x * x for x in vector) ** 0.5 * sum(x * x for x in values) ** 0.5
        score = (
            sum(x * y for x, y in zip(vector, values, strict=True)) / lengths if lengths else 0.0
        )
        scored.append((-score, entry_id))
    return [(entry_id, -score) for score, entry_id in sorted(scored)]


def reference(path: Path, vector: Sequence[float], name: str = "words") -> list[Any]:
    """The reference for what a file holds now."""
    sql = """
        select e.id, embedding from embeddings e join collections c on c.id = collection_id
        where name = ?
    """
    with closing(sqlite3.connect(path)) as conn:
        rows = [(row[0], llm.decode(row[1])) for row in conn.execute(sql, [name])]
    return plain(rows, vector)


def found(entries: list[Entry]) -> list[Any]:
    """Id and score of each."""
    return [(entry.id, entry.score) for entry in entries]


def file_of(path: Path) -> Path:
    """The file of the collection `words`."""
    return Path(sidecar.sidecar_path(str(path), 1))


def look(path: Path, number: int = 10) -> str:
    """Search, compare with the reference, and say what became of the file."""
    file = file_of(path)
    before = (file.stat().st_ino, file.read_bytes()) if file.exists() else None
    vector = Fake().embed("query")
    with llm.Collection("words", path, model=Fake()) as words:
        assert found(words.similar_by_vector(vector, number)) == reference(path, vector)[:number]
    if not file.exists():
        return "none"
    if before is None or before[0] != file.stat().st_ino:
        return "made"
    return "kept" if before[1] == file.read_bytes() else "appended"


def change(path: Path, *statements: str) -> None:
    """Change a database as another program does."""
    with closing(sqlite3.connect(path)) as conn:
        for statement in statements:
            conn.execute(statement, [llm.encode(Fake().embed(statement))] * statement.count("?"))
            conn.commit()


def test_file_is_made_and_kept(path: Path) -> None:
    """The first search makes the file, for its owner only; the next ones use it as it is."""
    assert [look(path) for _ in range(3)] == ["made", "kept", "kept"]
    assert file_of(path).stat().st_mode & 0o777 == 0o600
    header = sidecar.read_header(str(file_of(path)))
    assert header is not None
    assert (header.count, header.dimensions) == (50, DIMENSIONS)


INSERT = """
    insert {} into embeddings (collection_id, id, embedding, content_hash)
    values ({}, '{}', ?, randomblob(16))
"""


@pytest.mark.parametrize(
    ("statements", "becomes"),
    [
        ([INSERT.format("", 1, "new")], "appended"),
        ([INSERT.format("or replace", 1, "new"), INSERT.format("", 1, "newer")], "appended"),
        ([INSERT.format("or replace", 1, "i07")], "made"),
        ([INSERT.format("or ignore", 1, "i07")], "made"),
        ([INSERT.format("", 2, "new")], "kept"),
        ([INSERT.format("or replace", 2, "i01")], "kept"),
        (["update embeddings set embedding = ? where id = 'i07'"], "made"),
        (["update embeddings set id = 'else' where id = 'i07' and collection_id = 1"], "made"),
        (
            [
                "update embeddings set collection_id = 1, id = 'x' where id = 'i03' "
                "and collection_id = 2"
            ],
            "made",
        ),
        (["update embeddings set metadata = '{}', content = 'x', updated = 5"], "kept"),
        (["delete from embeddings where id = 'i07'"], "made"),
        (["delete from embeddings where id = 'i49'", INSERT.format("", 1, "i49")], "made"),
        (["delete from embeddings where id in ('i00', 'i02') and collection_id = 2"], "kept"),
        (["delete from embeddings where id = 'i00'", "vacuum"], "made"),
        (["vacuum"], "made"),
        (["drop trigger _llm_x_vectors_update", "update embeddings set embedding = ?"], "made"),
        (["drop trigger _llm_x_vectors_insert", INSERT.format("", 1, "new")], "made"),
        (
            [
                "create table t as select * from embeddings",
                "drop table embeddings",
                "alter table t rename to embeddings",
                "update embeddings set embedding = ? where id = 'i07'",
            ],
            "made",
        ),
    ],
)
def test_file_is_never_stale(path: Path, statements: list[str], becomes: str) -> None:
    """Whatever another program does, the next search tells, and the file is right again."""
    look(path)
    change(path, *statements)
    assert look(path) == becomes
    assert look(path) == "kept"


def test_file_after_036_wrote(path: Path, release: Release, user_path: Path) -> None:
    """The triggers count for 0.36, too."""
    release.user_path = user_path
    look(path)
    release.run("embed", "words", "new", "-c", "something new", "-d", str(path))
    assert look(path) == "appended"
    release.run("embed", "words", "i05", "-c", "something else", "-d", str(path))
    assert look(path) == "made"
    release.run("collections", "delete", "words", "-d", str(path))
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("insert into collections (id, name, model) values (1, 'words', 'fake-embed')")
        conn.commit()
    assert look(path) in ("kept", "made")


def test_file_after_an_older_copy_went_another_way(path: Path, tmp_path: Path) -> None:
    """A database that is replaced by an older copy of itself, and grows again, is not confused."""
    look(path)
    shutil.copy(path, tmp_path / "copy.db")
    change(path, *(INSERT.format("", 1, f"new{n}") for n in range(3)))
    look(path)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", path)
    change(path, *(INSERT.format("", 1, f"other{n}") for n in range(5)))
    assert look(path) == "made"


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"garbage" * 5000),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: file.write_bytes(b"0" + file.read_bytes()[1:]),
        lambda file: Path(f"{file}.new").write_bytes(b"left behind by a process that was killed"),
    ],
)
def test_file_that_is_damaged_is_made_anew(path: Path, damage: Callable[[Path], object]) -> None:
    """The file may be deleted, cut or overwritten at any time."""
    look(path)
    damage(file_of(path))
    assert look(path) in ("made", "kept")
    assert not Path(f"{file_of(path)}.new").exists() or look(path) == "kept"


def test_file_that_a_killed_process_appended_to(path: Path) -> None:
    """Records that no header speaks of yet are written over."""
    look(path)
    with open(file_of(path), "ab") as file:
        file.write(b"\xff" * 1000)
    change(path, INSERT.format("", 1, "new"))
    assert look(path) == "appended"


def test_file_goes_with_its_collection(path: Path) -> None:
    """Deleting the collection deletes the file."""
    look(path)
    llm.Collection("words", path).delete()
    assert not file_of(path).exists()
    assert llm.Collection("others", path).count() == 5


def test_file_is_not_made_of_what_is_not_committed(path: Path) -> None:
    """Inside a transaction the search sees what is in it, and the file stays as it was."""
    look(path)
    before = file_of(path).read_bytes()
    conn = sqlite3.connect(path)
    words = llm.Collection("words", conn, model=Fake())
    conn.execute("delete from embeddings where id <> 'i07'")
    assert [entry.id for entry in words.similar("x")] == ["i07"]
    conn.rollback()
    conn.close()
    assert (file_of(path).read_bytes(), look(path)) == (before, "kept")


def test_file_of_a_small_collection_is_not_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small collection is read faster as it is; nothing is written then."""
    monkeypatch.setattr(nearest, "FEW_NUMBERS", 51 * DIMENSIONS)
    assert look(path) == "none"


def test_search_where_nothing_can_be_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to write a file the search takes longer, and finds the same."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "not here")

    monkeypatch.setattr(sidecar, "write", refuse)
    assert look(path) == "none"


def test_search_without_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain Python finds the same."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert look(path) == "none"


def test_search_with_simsimd(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where simsimd is installed it makes the products, of the mapped rows as they are."""
    shapes: list[Any] = []

    class Module:
        """The one function that is used, as simsimd has it: rows need not lie side by side."""

        @staticmethod
        def dot(query: Any, matrix: Any) -> Any:
            """Products in 64-bit floats."""
            shapes.append((query.shape, matrix.shape, matrix.strides))
            return matrix.astype("f8") @ query.astype("f8")

    monkeypatch.setitem(sys.modules, "simsimd", Module)
    assert look(path) == "made"
    assert shapes == [((16,), (50, 16), (8 + 16 * 4, 4))]


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, -1])
def test_number_of_entries(path: Path, number: int) -> None:
    """There are as many as are wanted, or all, with and without one that is left out."""
    with llm.Collection("words", path, model=Fake()) as words:
        count = 50 if number < 0 else min(number, 50)
        vector = Fake().embed("query")
        assert found(words.similar_by_vector(vector, number)) == reference(path, vector)[:count]
        others = [e for e in reference(path, Fake().embed("words 7")) if e[0] != "i07"]
        count = 49 if number < 0 else min(number, 49)
        assert found(words.similar_by_id("i07", number)) == others[:count]


@pytest.mark.parametrize("prefix", ["i", "i0", "i07", "nothing", "I1"])
def test_prefix_with_the_file(path: Path, prefix: str) -> None:
    """Only ids that start so are compared, whether they are few or many."""
    vector = Fake().embed("query")
    wanted = [e for e in reference(path, vector) if e[0].startswith(prefix.lower())]
    with llm.Collection("words", path, model=Fake()) as words:
        assert found(words.similar_by_vector(vector, 10, prefix=prefix)) == wanted[:10]
    assert look(path) == "kept"


NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
VECTORS = st.lists(NUMBERS, min_size=3, max_size=3)


@given(st.lists(VECTORS, min_size=1, max_size=40), VECTORS, st.integers(1, 12))
def test_every_way_finds_what_the_reference_finds(
    vectors: list[list[float]], vector: list[float], number: int
) -> None:
    """With the file, with numpy alone and in plain Python: the same ids and scores, ties too."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "emb.db")
        patch.setattr(nearest, "FEW_NUMBERS", 1)
        rows = [(f"{n % 7}-{n}", llm.decode(llm.encode(v))) for n, v in enumerate(vectors)]
        with llm.Collection("c", path, model=Fake()) as collection:
            conn = collection.connection
            sql = "insert into embeddings (collection_id, id, embedding) values (1, ?, ?)"
            conn.executemany(sql, [(entry_id, llm.encode(v)) for entry_id, v in rows])
            conn.commit()
            wanted = plain(rows, vector)[:number]
            assert found(collection.similar_by_vector(vector, number)) == wanted
            assert Path(f"{path}-vectors-1").exists()
            conn.execute("begin")
            assert found(collection.similar_by_vector(vector, number)) == wanted
            patch.setitem(sys.modules, "numpy", None)
            assert found(collection.similar_by_vector(vector, number)) == wanted


def test_many_entries_that_are_equally_near(tmp_path: Path) -> None:
    """Of three thousand with nearly the same score the right ten are found."""
    rows = []
    rng = random.Random(7)
    for n in range(3000):
        angle = 1 + rng.choice([0, 1e-6, 2e-6, 1e-7])
        rows.append((f"{n:04}", llm.decode(llm.encode([math.cos(angle), math.sin(angle)]))))
    with llm.Collection("c", tmp_path / "emb.db", model=Fake()) as collection:
        sql = "insert into embeddings (collection_id, id, embedding) values (1, ?, ?)"
        values = [(entry_id, llm.encode(vector)) for entry_id, vector in rows]
        collection.connection.executemany(sql, values)
        collection.connection.commit()
        entries = collection.similar_by_vector([1.0, 0.0], 10)
    assert found(entries) == plain(rows, [1.0, 0.0])[:10]


def test_vectors_of_odd_lengths_become_vectors_of_length_one() -> None:
    """Very long and very short ones are normalised, those without direction become zero."""
    values = [[3e38, 3e38], [1e-38, 0.0], [0.0, 0.0], [math.inf, 1.0], [math.nan, 1.0], [3.0, 4.0]]
    vectors = np.array(values, np.float32)
    out = np.empty_like(vectors)
    sidecar.normalise(vectors, out)
    half = 0.5**0.5
    wanted = [[half, half], [1, 0], [0, 0], [0, 0], [0, 0], [0.6, 0.8]]
    assert np.allclose(out, wanted, atol=1e-6)


def test_vectors_of_another_length_are_named(path: Path) -> None:
    """A vector of another model is refused where the file is made, and where it is read."""
    with llm.Collection("words", path, model=Fake()) as words:
        with pytest.raises(
            llm.LLMError, match=r"a vector of 2 dimensions with 'i00', which has 16"
        ):
            words.similar_by_vector([1.0, 2.0])
        words.similar("x")
        with pytest.raises(llm.LLMError, match="2 dimensions"):
            words.similar_by_vector([1.0, 2.0])
        assert look(path) in ("kept", "made")
    change(path, INSERT.format("", 1, "bad").replace("?", "x'00000000'"))
    words = llm.Collection("words", path, model=Fake())
    with words, pytest.raises(llm.LLMError, match="'bad'"):
        words.similar("x")


def test_searches_from_threads_while_another_writes(path: Path) -> None:
    """Each thread finds what was there at one moment; nothing is lost."""
    errors: list[BaseException] = []
    with llm.Collection("words", path, model=Fake()) as words:

        def work(number: int) -> None:
            try:
                for n in range(10):
                    words.embed(f"t{number}-{n}", f"text {number} {n}")
                    entry = words.similar(f"text {number} {n}", 1)[0]
                    assert (entry.id, round(entry.score or 0, 6)) == (f"t{number}-{n}", 1)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert words.count() == 90
    look(path)


def test_searches_of_many_processes_at_once(path: Path) -> None:
    """Processes that start together on a collection without its file all find the same."""
    script = """
import sys
sys.path.insert(0, sys.argv[2])
from llm.embeddings import nearest
from tests.test_collection import Fake
import llm
nearest.FEW_NUMBERS = 1
print([entry.id for entry in llm.Collection("words", sys.argv[1], model=Fake()).similar("x")])
"""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", script, str(path), root]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    outputs = {process.communicate()[0] for process in processes}
    assert outputs == {f"{[e[0] for e in reference(path, Fake().embed('x'))[:10]]}\n"}
    assert sorted(os.listdir(path.parent)).count("emb.db-vectors-1.new") == 0


def test_command_keeps_numpy_from_starting_threads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the command sets for numpy is gone afterwards, and a setting of the user's stays."""
    from click.testing import CliRunner

    from llm.cli import cli

    with plugin_of_the_data():
        for setting in (None, "2"):
            if setting:
                monkeypatch.setenv("OPENBLAS_NUM_THREADS", setting)
            result = CliRunner().invoke(cli, ["similar", "words", "i01", "-d", str(path)])
            assert result.exit_code == 0, result.output
            assert os.environ.get("OPENBLAS_NUM_THREADS") == setting
