"""`llm docs` and `llm --docs`: taking in files, finding chunks, checking what an answer quotes."""

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
from llm.documents.store import Documents
from llm.embeddings.collection import Collection
from llm.files.config import embeddings_db

from .helpers.content import Scripted, registered
from .helpers.databases import plugin_of_the_data
from .helpers.release_036 import Release

GUIDE = "# Reset\n\nHold the red button for five seconds.\nThe light turns green.\n"
FOOD = "Lunch is at noon in the small room.\n"
GOOD = 'Hold it [1: "Hold the red button"]. It is green then. [1: "The light turns\ngreen."]'
BAD = 'Hold it [1: "Hold the red button"]. It is blue [1: "light turns blue"]. Bye.\n\n- item\n'


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_MODEL", "tell")
    monkeypatch.setenv("LLM_EMBEDDING_MODEL", "fe")
    with registered(), plugin_of_the_data():
        yield


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """A folder with two texts, taken in as `manual`."""
    folder = tmp_path / "manual"
    (folder / "sub").mkdir(parents=True)
    (folder / "guide.md").write_text(GUIDE)
    (folder / "sub" / "food.txt").write_text(FOOD)
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    run("docs", "add", "manual", str(folder))
    return folder


def run(*args: str, code: int = 0, stdin: str = "") -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner().invoke(cli, list(args), input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*args: str) -> Any:
    """What a command prints with `--json`."""
    return json.loads(run(*args, "--json").stdout)


def answered(*args: str, code: int = 0) -> Result:
    """The result of a question about the manual that the model answers with `BAD`."""
    Scripted.answers = [BAD]
    return run("--docs", "manual", "-m", "scripted", *args, "How do I reset it?", code=code)


def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the model is asked for from now on."""
    asked: list[str] = []
    kind = type(llm.get_embedding_model("fe"))
    embed_batch = kind.embed_batch

    def noted(self: Any, items: Any, *args: Any) -> Any:
        items = list(items)
        asked.extend(items)
        return embed_batch(self, items, *args)

    monkeypatch.setattr(kind, "embed_batch", noted)
    return asked


def test_listing_and_files(manual: Path) -> None:
    """Text files are taken in, whatever is none is passed over."""
    listed = {"name": "manual", "model": "fake-embed", "files": 2, "chunks": 2}
    assert as_json("docs", "list") == [listed]
    assert run("docs").stdout == "manual: fake-embed\n  2 files, 2 chunks\n"
    files = as_json("docs", "show", "manual")
    names = [str(manual / "guide.md"), str(manual / "sub/food.txt")]
    assert [(file["path"], file["chunks"]) for file in files] == [(name, 1) for name in names]
    assert run("docs", "show", "manual").stdout.startswith(f"{names[0]}: 1 chunk, ")


def test_only_what_has_changed_is_embedded(manual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is as it was costs nothing; what is gone leaves, with its vectors."""
    asked = embedded(monkeypatch)
    assert "0 new, 0 changed, 0 gone, 2 unchanged" in run("docs", "add", "manual").stdout
    assert asked == []
    (manual / "guide.md").write_text(GUIDE + "It beeps.\n")
    (manual / "new.txt").write_text("New\n")
    (manual / "sub" / "food.txt").unlink()
    status = as_json("docs", "status", "manual")
    assert (status["new"], status["gone"]) == (
        [str(manual / "new.txt")],
        [str(manual / "sub/food.txt")],
    )
    assert f"changed  {manual / 'guide.md'}\n" in run("docs", "status", "manual").stdout
    done = run("docs", "add", "manual").stdout
    assert done == "manual: 1 new, 1 changed, 1 gone, 0 unchanged; 2 chunks\n"
    assert asked == [GUIDE + "It beeps.\n", "New\n"]
    with closing(sqlite3.connect(embeddings_db())) as conn:
        counts = [
            conn.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("embeddings", "_llm_x_docs_chunks", "_llm_x_docs_words")
        ]
    assert counts == [2, 2, 2]


def test_interrupted_adding_goes_on(manual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was embedded before a failure is not embedded again."""
    for name in "ab":
        (manual / f"{name}.txt").write_text(f"{name}\n")
    asked = embedded(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Documents, "_write", lambda *args: 1 / 0)
        result = CliRunner().invoke(cli, ["docs", "add", "manual"])
    assert result.exit_code == 1
    assert as_json("docs", "list")[0]["files"] == 2
    assert "2 new" in run("docs", "add", "manual").stdout
    assert asked == ["a\n", "b\n"]


def test_folder_that_is_not_there_keeps_its_files(manual: Path) -> None:
    """A disk that is not mounted empties nothing, and nothing of it is cited."""
    shutil.move(manual, manual.with_name("away"))
    result = run("docs", "add", "manual")
    assert f"{manual} is not there: its files stay as they were" in result.stderr
    assert as_json("docs", "list")[0]["files"] == 2
    assert "nothing was found" in run("--docs", "manual", "red button", code=1).stderr


def test_question_brings_sources(manual: Path) -> None:
    """The chunks go before the prompt, each under its number; they are listed with their lines."""
    result = run("--docs", "manual", "How do I hold the red button?")
    [[role, text]] = json.loads(result.stdout)["messages"]
    assert role == "user"
    assert text.startswith("Answer from the sources below")
    assert f"[1] guide.md, lines 1-4\n---\n{GUIDE}\n---\n" in text
    assert text.endswith("\nHow do I hold the red button?")
    assert "\nSources:\n  [1] manual/guide.md:1-4\n" in result.stderr
    assert "Quotes:" not in result.stderr


def test_words_and_meaning_are_ranked_together(manual: Path) -> None:
    """A rare word brings its chunk to the front, whatever the vectors say."""
    for number in range(80):
        (manual / f"{number}.txt").write_text(f"Text {number} about zebra{number}s.\n")
    run("docs", "add", "manual")
    with Collection("manual", embeddings_db(), create=False) as collection:
        documents = Documents(collection)
        for number in (3, 42, 77):
            found = list(documents.find(f"what of a ZEBRA{number}?"))
            assert f"{number}.txt" in [chunk.name for chunk in found[:2]]
        assert len(found) >= 50


def test_quotes_are_checked(manual: Path) -> None:
    """Each sentence gets a verdict, what is no sentence is marked."""
    result = answered("--quotes")
    assert result.stdout.startswith(BAD)
    assert result.stderr.partition("Quotes:\n")[2] == (
        '  quote found  [1] "Hold the red button"\n'
        '  not found    [1] "light turns blue"\n'
        "  no quote     Bye.\n"
        "  not checked  - item\n"
    )


def test_strict_ends_with_5(manual: Path) -> None:
    """A quote that is not found, or a sentence without one, is exit code 5; the answer is kept."""
    result = answered("--strict", code=5)
    assert "quotes not found: 1, sentences without a quote: 1" in result.stderr
    assert run("logs", "-r").stdout == BAD + "\n"
    Scripted.answers = [GOOD]
    run("--docs", "manual", "-m", "scripted", "--strict", "How do I reset it?")
    assert "the words of the source" in Scripted.asked[-1]


def test_verify_checks_again(manual: Path) -> None:
    """A logged answer is checked against what it was given; changed sources are named."""
    answered()
    [turn] = json.loads(run("logs", "list", "--json").stdout)
    verified = as_json("docs", "verify", turn["id"])
    assert [quote["verdict"] for quote in verified["quotes"]] == [
        "quote found",
        "not found",
        "no quote",
        "not checked",
    ]
    states = {}
    for content in (GUIDE, GUIDE + "More.\n", "Before.\n" + GUIDE, "Another.\n"):
        (manual / "guide.md").write_text(content)
        states[content[:6]] = as_json("docs", "verify")["sources"][0]["state"]
    (manual / "guide.md").unlink()
    lines = run("docs", "verify", "--strict", code=5).stdout
    assert list(states.values()) == ["unchanged", "moved", "changed"]
    assert lines.startswith("Sources:\n  [1] manual/guide.md:1-4  gone\n")
    assert '  quote found  [1] "Hold the red button"\n' in lines


def test_changed_file_is_not_cited(manual: Path) -> None:
    """What no longer stands in its file is left out, and the note says how to take it in."""
    (manual / "guide.md").write_text("Another.\n")
    result = run("--docs", "manual", "How do I hold the red button?")
    assert "red button for" not in result.stdout
    assert "'llm docs add manual' takes it in again" in result.stderr
    assert "[1]" not in result.stderr.partition("Sources:")[2]


def test_chat_finds_sources_for_each_prompt(manual: Path) -> None:
    """Each turn has sources of its own, and its own check."""
    Scripted.answers = [GOOD, BAD]
    args = ("chat", "--docs", "manual", "--strict", "-m", "scripted")
    result = run(*args, stdin="red button?\nlunch?\nexit\n")
    assert result.stderr.count("Sources:\n") == 2
    assert result.stderr.count("Error: The answer is not borne out") == 1
    assert all("small room" in asked for asked in Scripted.asked)


def test_removing(manual: Path, tmp_path: Path) -> None:
    """What was added can be removed, one or all of it; the collection goes with the last."""
    (tmp_path / "more.txt").write_text("More\n")
    run("docs", "add", "manual", "more.txt")
    assert as_json("docs", "list")[0]["files"] == 3
    assert "was not added to 'manual'" in run("docs", "remove", "manual", "x", code=1).stderr
    run("docs", "remove", "manual", str(manual))
    assert [Path(file["path"]).name for file in as_json("docs", "show", "manual")] == ["more.txt"]
    run("docs", "remove", "manual")
    assert as_json("docs", "list") == []
    assert as_json("collections", "list") == []


def test_collection_takes_its_documents_along(manual: Path, release: Release) -> None:
    """0.36 lists the collection; where it deletes that, nothing of the documents stays."""
    release.user_path = Path(embeddings_db()).parent
    assert "manual: fake-embed" in release.run("collections", "list")
    release.run("collections", "delete", "manual")
    assert as_json("docs", "list") == []
    with closing(sqlite3.connect(embeddings_db())) as conn:
        for table in ("sets", "files", "chunks", "words"):
            assert conn.execute(f"select count(*) from _llm_x_docs_{table}").fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ("docs add other", 1, "There are no documents 'other' yet: name a folder or file"),
        ("docs add other nosuch", 2, "Path 'nosuch' does not exist"),
        ("docs add words manual", 1, "'words' is a collection of other entries"),
        ("docs show other", 1, "Collection does not exist: 'other'"),
        ("docs status words", 1, "The collection 'words' is no set of documents"),
        ("--docs other x", 1, "There are no documents 'other'"),
        ("--docs words x", 1, "The collection 'words' is no set of documents"),
        ("--docs manual", 1, "--docs manual is found by the text of a prompt"),
        ("--quotes x", 2, "--quotes and --strict are about documents"),
        ("--docs manual --save t x", 1, "--save cannot be used with --docs"),
        ("docs verify nosuch", 1, "No response 'nosuch' in the log"),
        ("docs verify", 1, "has no sources to check: it was not asked with --docs"),
    ],
)
def test_bad_input_is_one_message(manual: Path, arguments: str, code: int, problem: str) -> None:
    """What failed, why, and what to do; nothing is made."""
    run("x")
    run("embed", "words", "a", "-c", "text")
    result = run(*arguments.split(), code=code)
    assert problem in result.stderr
    assert "other" not in run("docs", "list").stdout + run("collections", "list").stdout


def test_verify_in_an_empty_log() -> None:
    """Before anything was asked there is nothing to check."""
    assert "The log is empty" in run("docs", "verify", code=1).stderr
