"""`llm embed`, `similar`, `collections` and `embed-models`, beside 0.36 and by themselves."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli

from .helpers.databases import plugin_of_the_data
from .helpers.release_036 import Release

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def fake_embed() -> Iterator[None]:
    """The embedding model that wrote the recorded databases is there."""
    with plugin_of_the_data():
        yield


@pytest.fixture
def beside(release: Release, user_path: Path) -> Release:
    """0.36, on the user directory of the test."""
    release.user_path = user_path
    return release


def invoke(*arguments: str, **keywords: Any) -> Result:
    """What a command of ours gives."""
    return CliRunner().invoke(cli, list(arguments), **keywords)


def ok(*arguments: str, **keywords: Any) -> str:
    """The output of a command that succeeds."""
    result = invoke(*arguments, **keywords)
    assert result.exit_code == 0, result.output
    return result.stdout


def lines(text: str) -> list[Any]:
    """The values of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def failed(result: Result, code: int, *words: str) -> None:
    """A command failed with that code and one message that has the words; nothing is printed."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in ("Error: ", *words)), result.stderr


def recorded(folder: Path) -> str:
    """A copy of the database of 0.36."""
    return str(shutil.copy(DATA / "embeddings-v0.36.db", folder / "recorded.db"))


SAME = [
    "embed -m fe -c hi",
    "embed -m fe -c hi -f hex",
    "embed -m fe -c hi -f base64",
    "embed -m fe -c hi --binary",
    'embed coll a -m fe -c one --store --metadata {"k":[1,"ü"]}',
    "embed coll b -c two",
    "embed coll c -c three --store --metadata {}",
    "embed coll d --binary -i {DATA}/files/pixel.png --store",
    "embed --store -c hi -m fe",
    "embed coll -c hi -m fe",
    "embed coll e -c hi --metadata 5",
    "embed -c hi -m fe -f nope",
    "embed new x -c hi -m 3-small",
    "similar coll a",
    "similar coll -c one",
    "similar coll -c one -n 2",
    "similar coll -c one -n 0",
    "similar coll -c one -n -1",
    "similar coll b -c one",
    "similar coll -c two -p",
    "similar coll -c two --plain --prefix c",
    "similar coll -c two --prefix nope",
    "similar coll -i {DATA}/files/rules.txt",
    "similar coll -i {DATA}/files/pixel.png --binary",
    "similar nope -c two",
    "similar coll nope",
    "similar coll",
    "similar",
    "collections",
    "collections list",
    "collections list --json",
    "collections path",
    "collections list -d {DATA}/nothing.db",
    "collections delete nope",
    "embed-models -q fake",
    "embed-models list -q ada",
    "embed-models list -q text -q large",
    "embed-models list -q nope",
    "embed-models default",
    "embed-models default nope",
    "embed-models default fe",
    "embed-models default",
    "embed -c hi",
    "embed-models default --remove-default",
    "embed-models default",
    "embed -c hi",
    "collections delete coll",
    "collections delete coll",
    "collections --json",
]


def test_commands_do_what_036_does(
    release: Release, user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command after the other, in a user directory each: exit codes and output are the same."""
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    release.user_path = tmp_path / "theirs"
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "ours"))
    for line in SAME:
        arguments = [word.replace("{DATA}", str(DATA)) for word in line.split(" ")]
        theirs = release.invoke(*arguments, stdin="")
        ours = invoke(*arguments, input="")
        assert ours.exit_code == theirs.exit_code, (line, theirs, ours.output)
        if ours.exit_code == 0:
            output = theirs.output.replace(str(tmp_path / "theirs"), str(tmp_path / "ours"))
            assert ours.output == output, line


def test_database_goes_to_036_and_back(beside: Release, user_path: Path) -> None:
    """Each reads what the other wrote, adds to it, and the first sees that."""
    ok("embed", "words", "a", "-m", "fe", "-c", "one", "--store")
    assert beside.json("collections", "--json")[0]["num_embeddings"] == 1
    beside.run("embed", "words", "b", "-c", "two", "--store", "--metadata", '{"n": 1}')
    ours = lines(ok("similar", "words", "-c", "one"))
    assert ours == lines(beside.run("similar", "words", "-c", "one"))
    assert [(entry["id"], entry["metadata"]) for entry in ours] == [("a", None), ("b", {"n": 1})]
    beside.run("collections", "delete", "words")
    assert ok("collections") == ""


@pytest.mark.parametrize("release_name", ["0.36", "0.19"])
def test_recorded_databases_are_listed(tmp_path: Path, release_name: str) -> None:
    """A file of an older release is listed as it is."""
    path = shutil.copy(DATA / f"embeddings-v{release_name}.db", tmp_path / "old.db")
    before = Path(path).read_bytes()
    listed = json.loads(ok("collections", "--json", "-d", str(path)))
    if release_name == "0.36":
        expected = DATA / "embeddings-v0.36.collections.expected.json"
        assert listed == json.loads(expected.read_text())
    assert sum(entry["num_embeddings"] for entry in listed) in (2, 20)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["-c", "word number 3", "-n", "5"], "similar-word-number-3"),
        (["w05", "-n", "3"], "similar-w05"),
    ],
)
def test_similar_prints_what_036_printed(tmp_path: Path, arguments: list[str], name: str) -> None:
    """The recorded database gives the recorded output, every digit of the scores included."""
    expected = (DATA / f"embeddings-v0.36.{name}.expected.jsonl").read_text()
    assert ok("similar", "words", *arguments, "-d", recorded(tmp_path)) == expected


def test_embed_blob_is_the_bytes() -> None:
    """The little-endian floats go out as they are, and a line end."""
    result = invoke("embed", "-m", "fe", "-c", "hi", "-f", "blob")
    vector = llm.get_embedding_model("fe").embed("hi")
    assert result.stdout_bytes == llm.encode(vector) + b"\n"


def test_embed_with_format_prints_what_it_stores() -> None:
    """With a collection the vector is printed where a format is named; it was null."""
    printed = json.loads(ok("embed", "words", "a", "-m", "fe", "-c", "one", "-f", "json"))
    assert printed == llm.get_embedding_model("fe").embed("one")
    assert ok("embed", "words", "b", "-c", "one", "-f", "hex").strip() == llm.encode(printed).hex()


def test_embed_of_the_same_text_under_another_id() -> None:
    """The same text is stored under every id that is asked for."""
    for entry_id in ("a", "b"):
        ok("embed", "words", entry_id, "-m", "fe", "-c", "one", "--metadata", '{"n": 1}')
    ok("embed", "words", "a", "-c", "one", "--metadata", '{"n": 2}')
    found = lines(ok("similar", "words", "-c", "one"))
    assert [(entry["id"], entry["metadata"]["n"]) for entry in found] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("arguments", [["-i", "-"], []])
def test_text_from_standard_input(arguments: list[str]) -> None:
    """Standard input is the text, for what is stored and for what is looked for."""
    ok("embed", "words", "a", "-m", "fe", "--store", *arguments, input="ümlaut\r\n")
    found = lines(ok("similar", "words", *arguments, input="ümlaut\r\n"))
    assert (found[0]["content"], found[0]["score"]) == ("ümlaut\r\n", pytest.approx(1))


def test_variables_name_the_model_and_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LLM_EMBEDDING_MODEL` and `LLM_EMBEDDINGS_DB` stand for -m and -d."""
    monkeypatch.setenv("LLM_EMBEDDING_MODEL", "fe")
    monkeypatch.setenv("LLM_EMBEDDINGS_DB", str(tmp_path / "other.db"))
    ok("embed", "words", "a", "-c", "one")
    assert ok("collections") == "words: fake-embed\n  1 embedding\n"
    assert lines(ok("similar", "words", "-c", "one"))[0]["id"] == "a"
    assert ok("collections", "path").endswith("user/embeddings.db\n")
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "user" / "embeddings.db").exists()
    ok("collections", "delete", "words")


def test_new_database_is_the_users_own(user_path: Path) -> None:
    """Nobody else can read it."""
    ok("embed", "words", "a", "-m", "fe", "-c", "one")
    assert (user_path / "embeddings.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("embed -c hi", 1, ["You need to specify an embedding model", "embed-models default"]),
        ("embed -c hi -m fak-embed", 1, ["Unknown model: fak-embed", "'?fake-embed"]),
        ("embed -c hi -m 3-small", 1, ["No key found"]),
        ("embed -m fe", 1, ["No content provided"]),
        ("embed words a -c hi", 1, ["You need to specify an embedding model"]),
        ("embed -m fe -i {TMP}/bytes", 1, ["bytes is not UTF-8 text", "--binary"]),
        ("embed -m fe -i {TMP}", 2, ["is a directory"]),
        ("embed -m fe -i {TMP}/nothing", 2, ["does not exist"]),
        ("embed a b -m fe -c x --metadata {", 2, ["metadata must be valid JSON"]),
        ("embed a b -m fe -c x --metadata []", 2, ["metadata must be a JSON object"]),
        ("embed a b -m fe -c x -d {TMP}/bytes", 1, ["file is not a database"]),
        ("embed a b -m fe -c x -d {TMP}/bytes/x.db", 1, ["Cannot"]),
        ("embed a b -m 3-small -c x", 1, ["No key found"]),
        ("similar a -c x -d {TMP}/bytes", 1, ["file is not a database"]),
        ("similar a -c x", 1, ["Collection does not exist", "'a'"]),
        ("collections list", 1, ["No collections table found"]),
        ("collections list -d {TMP}/bytes", 1, ["file is not a database"]),
        ("collections delete a", 1, ["Collection does not exist"]),
        ("embed-models default fak-embed", 1, ["Unknown embedding model: fak-embed"]),
        ("embed-models default fe --remove-default", 2, ["not both"]),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: str, code: int, words: list[str]) -> None:
    """What cannot be done is said in a line, with an exit code, and nothing is made."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe no database and no text" * 100)
    given = [word.replace("{TMP}", str(tmp_path)) for word in arguments.split(" ")]
    failed(invoke(*given, input=""), code, *(word.replace("'?", "") for word in words))


def test_commands_that_only_read_make_no_file(user_path: Path) -> None:
    """Looking into a database that is not there does not make it."""
    for arguments in (["collections"], ["similar", "a", "b"], ["collections", "delete", "a"]):
        assert invoke(*arguments, input="").exit_code == 1
    assert not list(user_path.glob("embeddings*"))


def test_similar_in_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in a folder that is closed is searched nevertheless."""
    folder = tmp_path / "closed"
    folder.mkdir()
    path = recorded(folder)
    Path(path).chmod(0o400)
    folder.chmod(0o500)
    try:
        assert lines(ok("similar", "words", "w05", "-n", "1", "-d", path))[0]["id"] == "w01"
    finally:
        folder.chmod(0o700)


def test_plugin_without_key_is_called_as_it_was_written() -> None:
    """The model of an older plugin, which knows no `key`, embeds with `--key`, too."""
    assert json.loads(ok("embed", "-m", "fe", "-c", "hi", "--key", "k")) == (
        llm.get_embedding_model("fe").embed("hi")
    )


def test_embed_models_as_json() -> None:
    """Every listing has a form for programs."""
    listed = json.loads(ok("embed-models", "--json", "-q", "fake"))
    assert listed == [
        {
            "model_id": "fake-embed",
            "aliases": ["fe"],
            "supports_text": True,
            "supports_binary": True,
            "batch_size": 8,
        }
    ]


def test_stored_rows_are_those_of_036(beside: Release, user_path: Path, tmp_path: Path) -> None:
    """The same commands leave the same rows, but for the time."""
    commands = [
        ["embed", "c", "a", "-m", "fe", "-c", "one", "--store", "--metadata", '{"k": "ü"}'],
        ["embed", "c", "b", "-c", "two"],
        ["embed", "c", "x", "--binary", "-i", str(DATA / "files" / "pixel.png"), "--store"],
    ]
    for number, run in enumerate((ok, beside.run)):
        for command in commands:
            run(*command, "-d", str(tmp_path / f"{number}.db"))
    sql = "select * from embeddings join collections on collections.id = collection_id"
    rows = []
    for number in range(2):
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as conn:
            conn.row_factory = sqlite3.Row
            found = [dict(row) | {"updated": None} for row in conn.execute(sql)]
            rows.append(found)
    assert rows[0] == rows[1]
