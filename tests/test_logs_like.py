"""`--like`: turns and conversations of the log by their meaning, and what is kept of them."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.embeddings import log_turns, nearest, sidecar

from .helpers.log_models import Says
from .helpers.logged import use_log
from .helpers.terminal import at_terminal

BREAD = "how to bake bread"
# A prompt is the title of its conversation, too.
TALKS = {
    "a pattern for dates": "four digits",
    BREAD: "flour and water",
    "dates once more": "see above",
}


class Letters(llm.EmbeddingModel):
    """Counts letters, on this computer; remembers what it was asked."""

    model_id = "letters"
    answers_without_key = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        for item in items:
            self.asked.append(str(item))
            yield [float(str(item).count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]


class Remote(Letters):
    """The same, somewhere else."""

    model_id = "remote"
    answers_without_key = False
    usd_per_million_tokens = 2e5


@pytest.fixture
def model(plugin: Any) -> Letters:
    """The local model is registered, and the remote one."""
    model = Letters()

    def register_both(register: Any) -> None:
        register(model)
        register(Remote())

    hook = llm.hookimpl(register_both, specname="register_embedding_models")
    plugin("letters", register_embedding_models=hook)
    return model


@pytest.fixture
def ids(user_path: Path, model: Letters) -> dict[str, str]:
    """The ids of the turns of three conversations, by their prompts."""
    with llm.Database() as db:
        for prompt, answer in TALKS.items():
            Says(answer).conversation(log=db).prompt(prompt).text()
        return {row["prompt"]: row["id"] for row in db.turns()}


def run(*arguments: str) -> Result:
    """The outcome of a command."""
    return CliRunner().invoke(cli, arguments)


def found(*arguments: str) -> list[str]:
    """The prompts that `llm logs list --like` shows, best first."""
    result = run("logs", "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [row["prompt"] for row in json.loads(result.stdout)]


def vectors(user_path: Path) -> list[tuple[Any, ...]]:
    """What is stored: collection, id, and the columns that might hold a text."""
    sql = "select name, e.id, content, content_blob, metadata from embeddings e join collections c"
    with closing(sqlite3.connect(user_path / "embeddings.db")) as conn:
        return conn.execute(f"{sql} on c.id = collection_id order by e.id").fetchall()


def test_nearest_turns_come_first(ids: dict[str, str]) -> None:
    """With their scores in JSON, as many as are wanted."""
    rows = json.loads(run("logs", "list", "--like", "bread baking", "--json").stdout)
    assert rows[0]["prompt"] == BREAD
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert len(found("--like", "bread", "-n", "1")) == 1
    assert run("logs", "list", "--like", "bread baking", "-r").stdout == "see above\n"
    assert BREAD in run("logs", "list", "--like", "bread", "-n", "1").stdout


@pytest.mark.parametrize(
    ("filters", "prompts"),
    [
        (("-q", "dates"), {"a pattern for dates", "dates once more"}),
        (("-m", "nobody"), set()),
        (("--cid", BREAD), {BREAD}),
        (("-n", "0"), set(TALKS)),
    ],
)
def test_filters_hold_as_well(
    ids: dict[str, str], filters: tuple[str, ...], prompts: set[str]
) -> None:
    """Only what passes the other filters is ranked."""
    assert set(found("--like", "pattern", *filters)) == prompts


def test_turns_are_embedded_once_and_without_their_texts(
    ids: dict[str, str], model: Letters, user_path: Path
) -> None:
    """When one asks, and then only what is new; never by a prompt."""
    assert model.asked == []
    found("--like", "x")
    texts = {f"{prompt}\n\n{answer}" for prompt, answer in TALKS.items()}
    assert sorted(model.asked) == sorted({*texts, "x"})
    name = log_turns.collection_name(user_path / "logs.db")
    assert vectors(user_path) == [(name, key, None, None, None) for key in sorted(ids.values())]
    model.asked.clear()
    with llm.Database() as db:
        Says("new").prompt("another", log=db).text()
    assert model.asked == []
    found("--like", "x")
    assert model.asked == ["another\n\nnew", "x"]


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (("logs", "delete", "ID", "-y"), 2),
        (("conversations", "delete", BREAD, "-y"), 2),
        (("logs", "redact", "-F", "bread", "-y"), 2),
        (("logs", "expire", "--older-than", "0d", "-y"), 0),
        (("logs", "redact", "-F", "nowhere", "-y"), 3),
    ],
)
def test_what_leaves_the_log_leaves_the_vectors(
    ids: dict[str, str],
    user_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    left: int,
) -> None:
    """At once, and nothing of it stays in the file or in the one beside it."""
    monkeypatch.setattr(nearest, "FEW_NUMBERS", 1)
    found("--like", "x")
    beside = Path(sidecar.sidecar_path(str(user_path / "embeddings.db"), 1))
    assert beside.exists()
    vector = llm.encode(Letters().embed(f"{BREAD}\n\nflour and water"))
    key = ids[BREAD]
    result = run(*(key if argument == "ID" else argument for argument in command))
    assert result.exit_code == 0, result.output
    assert len(vectors(user_path)) == left
    raw = b"".join(path.read_bytes() for path in user_path.glob("embeddings.db*"))
    assert (vector in raw, beside.exists()) == ((left == 3), (left == 3))


def test_what_others_delete_is_not_found(ids: dict[str, str], user_path: Path) -> None:
    """A row that some other program took away goes at the next question."""
    found("--like", "x")
    with closing(sqlite3.connect(user_path / "logs.db")) as conn:
        conn.execute("delete from turns where id = ?", [ids[BREAD]])
        conn.commit()
    assert len(found("--like", "bread")) == 2
    assert len(vectors(user_path)) == 2


def test_another_model_makes_the_vectors_anew(
    ids: dict[str, str], plugin: Any, user_path: Path
) -> None:
    """Of two local models the default one is taken; the vectors of the other go."""

    class Other(Letters):
        model_id = "other"

    other = Other()
    hook = llm.hookimpl(lambda register: register(other), specname="register_embedding_models")
    plugin("other", register_embedding_models=hook)
    found("--like", "x", "--embedding-model", "letters")
    llm.set_default_embedding_model("other")
    found("--like", "x")
    assert (len(other.asked), len(vectors(user_path))) == (4, 3)
    collections = json.loads(run("collections", "list", "--json").stdout)
    assert [row["model"] for row in collections] == ["other"]


def test_a_log_of_its_own_has_a_collection_of_its_own(
    ids: dict[str, str], user_path: Path, tmp_path: Path
) -> None:
    """Another path is another log; legacy rows are found as well."""
    old = use_log(tmp_path, "v0.19")
    rows = json.loads(run("logs", "list", "-d", str(old), "--like", "x", "--json").stdout)
    assert len(rows) == 3
    found("--like", "x")
    assert len({row[0] for row in vectors(user_path)}) == 2


def test_conversations_come_by_their_nearest_turn(ids: dict[str, str]) -> None:
    """Each once, with the score of that turn; a query narrows them."""
    rows = json.loads(run("conversations", "list", "--like", "bake bread", "--json").stdout)
    assert rows[0]["name"] == BREAD
    assert len({row["id"] for row in rows}) == 3
    assert rows[0]["score"] > rows[1]["score"] > 0
    shown = run("conversations", "list", "--like", "bread", "-q", "dates", "-n", "1").stdout
    assert shown.count("\n") == 1
    assert "dates" in shown


def test_an_empty_log_has_nothing_to_find(user_path: Path, model: Letters) -> None:
    """And nothing is made."""
    assert found("--like", "x") == []
    assert run("conversations", "list", "--like", "x").output == ""
    assert not (user_path / "embeddings.db").exists()


def test_without_a_local_model_it_is_said_what_to_do(user_path: Path) -> None:
    """A remote one is never taken by itself."""
    result = run("logs", "list", "--like", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "llm local install --embeddings" in result.stderr
    assert "--embedding-model" in result.stderr


def test_remote_model_needs_a_person(ids: dict[str, str], user_path: Path) -> None:
    """Off a terminal nothing goes out, and the error says how much it would be."""
    llm.set_default_embedding_model("remote")
    assert len(found("--like", "x")) == 3
    result = run("logs", "list", "--like", "x", "--embedding-model", "remote")
    assert result.exit_code == 1
    size = sum(len(f"{prompt}\n\n{answer}") for prompt, answer in TALKS.items())
    question = f"Send 3 turns of the log, {size} characters, to remote, for about $4."
    assert question in result.stderr
    assert "Nobody can be asked" in result.stderr


PLUGIN = """
import llm

class Remote(llm.EmbeddingModel):
    model_id = "remote"

    def embed_batch(self, items):
        for item in items:
            yield [1.0, float(len(item))]

@llm.hookimpl
def register_embedding_models(register):
    register(Remote())
"""


@pytest.mark.parametrize("answer", ["y", "n"])
def test_remote_model_after_a_yes(
    user_path: Path, install_plugin: Callable[..., Path], answer: str
) -> None:
    """At a terminal one is asked; the turns go out after a yes alone."""
    install_plugin("llm-remote", PLUGIN)
    with llm.Database() as db:
        Says("flour").prompt("bread", log=db).text()
    arguments = ("logs", "list", "-s", "--like", "x", "--embedding-model", "remote")
    launcher = [sys.executable, "-m", "llm"]
    with at_terminal(*arguments, launcher=launcher) as (process, terminal):
        terminal.wait_for("Send 1 turns of the log, 12 characters, to remote? [y/N]: ")
        terminal.type(f"{answer}\r")
        shown = terminal.rest()
        assert process.wait() == (0 if answer == "y" else 1)
    assert ("prompt: bread" in shown, "Nothing was sent" in shown) == (
        (answer == "y"),
        (answer == "n"),
    )
