"""`llm conversations`: list, show, rename, fork, draw, export and import."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.logs.file.db import open_log
from llm.logs.records.threads import list_conversations
from llm.text import JSONObject
from tests.helpers.databases import copy_of
from tests.helpers.log_models import Says
from tests.helpers.models import registered


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    with registered():
        yield


def run(*args: str, stdin: str = "") -> Result:
    """The result of a command line."""
    return CliRunner().invoke(cli, list(args), input=stdin)


def done(*args: str, stdin: str = "") -> str:
    """What a command prints that has to succeed."""
    result = run(*args, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(*args: str) -> list[JSONObject]:
    """The conversations as JSON."""
    found: list[JSONObject] = json.loads(done("conversations", "list", "--json", *args))
    return found


def talk(name: str, *texts: str) -> str:
    """Hold a conversation and give its id."""
    done("-m", "echo", "--name", name, texts[0])
    for text in texts[1:]:
        done("--cid", name, text)
    return str(listed("-n", "1")[0]["id"])


def test_list_shows_the_one_used_last_first() -> None:
    """A line for each conversation: id, last use, number of turns, model, title."""
    birds, bees = talk("Birds", "a"), talk("Bees", "b", "c")
    done("--cid", birds, "again")
    lines = [line.split() for line in done("conversations").splitlines()]
    assert [(line[0], *line[2:]) for line in lines] == [
        (birds, "2", "echo", "Birds"),
        (bees, "2", "echo", "Bees"),
    ]
    assert len(lines[0][1]) == 19


def test_list_as_json() -> None:
    """Programs get everything that is known."""
    birds = talk("Birds", "a")
    [info] = listed()
    assert list(info) == ["id", "name", "model", "turns", "last_used_utc", "forked_from"]
    assert (info["id"], info["name"], info["turns"]) == (birds, "Birds", 1)
    assert str(info["last_used_utc"]).endswith("+00:00")


def test_list_is_limited_and_searched() -> None:
    """`-n` limits, 0 means all, and `-q` looks at titles and turns."""
    for number in range(22):
        talk(f"Title {number}", f"word{number}")
    assert len(listed()) == 20
    assert len(listed("-n", "0")) == 22
    assert [info["name"] for info in listed("-q", "word7")] == ["Title 7"]
    assert [info["name"] for info in listed("-q", "title 12")] == ["Title 12"]
    assert done("conversations", "list", "-q", "nothing like it") == ""


def test_show_tells_title_and_messages() -> None:
    """A heading, what is known, and each message under its role."""
    birds = talk("Birds", "one", "two")
    text = done("conversations", "show", "birds")
    assert text.startswith(f"# Birds\n\n{birds}, echo, 2 turns, 2")
    assert "## User\n\none\n\n## Assistant\n\nuser: one\n\n## User\n\ntwo\n\n" in text
    shape = json.loads(done("conversations", "show", "birds", "--json"))
    assert [turn["model"] for turn in shape["turns"]] == ["echo", "echo"]
    fork = done("conversations", "fork", "birds").strip()
    assert f"0 turns, forked from {birds}\n" in done("conversations", "show", fork).replace(
        listed("-n", "1")[0]["last_used_utc"][:19] + ", ", ""
    )


def test_unknown_conversation() -> None:
    """Every command says which conversation it does not know."""
    talk("Birds", "a")
    for command in (["show"], ["fork"], ["tree"], ["export"], ["rename", "x"]):
        result = run("conversations", command[0], "Swans", *command[1:])
        assert result.exit_code == 1
        assert "No conversation found with id=Swans" in result.stderr


def test_rename() -> None:
    """The title changes and nothing else."""
    birds = talk("Birds", "a")
    done("conversations", "rename", "Birds", "Pelicans \u2026")
    assert [(info["id"], info["name"]) for info in listed()] == [(birds, "Pelicans \u2026")]


def test_rename_of_a_legacy_conversation(user_path: Path) -> None:
    """One that an older release logged keeps its new title when it goes on."""
    copy_of("0.19", user_path).rename(user_path / "logs.db")
    conversation_id = str(listed("-n", "1")[0]["id"])
    done("conversations", "rename", conversation_id, "Old one")
    done("--cid", "Old one", "-m", "echo", "more")
    assert [(i["id"], i["name"]) for i in listed("-n", "1")] == [(conversation_id, "Old one")]


def test_fork_goes_on_from_the_end() -> None:
    """The new conversation has the history of the other one, which stays as it is."""
    birds = talk("Birds", "one", "two")
    fork = done("conversations", "fork", "Birds").strip()
    assert listed("-n", "1")[0]["id"] == fork
    assert done("--cid", fork, "three").startswith("user: one | assistant: user: one | user: two")
    infos = {info["id"]: info for info in listed()}
    assert (infos[birds]["turns"], infos[fork]["turns"]) == (2, 1)
    assert (infos[fork]["name"], infos[fork]["forked_from"]) == ("Birds (fork)", birds)


def test_fork_at_an_earlier_turn(user_path: Path) -> None:
    """`--at` names the last turn to keep, `--name` gives a title."""
    talk("Birds", "one", "two")
    with sqlite3.connect(user_path / "logs.db") as conn:
        first, second = (row[0] for row in conn.execute("select id from turns order by id"))
    fork = done("conversations", "fork", "Birds", "--at", first, "--name", "Earlier").strip()
    assert done("--cid", "Earlier", "x") == "user: one | assistant: user: one | user: x\n"
    assert [info["name"] for info in listed("-n", "1")] == ["Earlier"]
    done("conversations", "fork", "Birds", "--at", "1", "--name", "By number")
    assert done("--cid", "By number", "x") == "user: one | assistant: user: one | user: x\n"
    wrong = {"nope": "no turn begins", "3": "no turn begins", second[:3]: "several turns begin"}
    for turn, said in wrong.items():
        result = run("conversations", "fork", "Birds", "--at", turn)
        assert result.exit_code == 1
        assert said in result.stderr
    assert fork


def test_fork_at_a_turn_from_before_a_fork(user_path: Path) -> None:
    """A fork can be forked at a turn of the conversation it came from, as far as it shares it."""
    birds = talk("Birds", "one", "two")
    with sqlite3.connect(user_path / "logs.db") as conn:
        first, second = (row[0] for row in conn.execute("select id from turns order by id"))
    swans = done("conversations", "fork", "Birds", "--at", first, "--name", "Swans").strip()
    done("--cid", "Swans", "three")
    geese = done("conversations", "fork", "Swans", "--name", "Geese").strip()
    for origin, name in ((swans, "A"), (geese, "B")):
        done("conversations", "fork", origin, "--at", first, "--name", name)
        assert done("--cid", name, "x") == "user: one | assistant: user: one | user: x\n"
        assert [i["forked_from"] for i in listed() if i["name"] == name] == [origin]
        # That turn came later.
        assert run("conversations", "fork", origin, "--at", second).exit_code == 1
    done("--cid", birds, "later")
    assert "several turns begin" in run("conversations", "fork", "Birds", "--at", "0").stderr
    done("conversations", "fork", "Swans", "--at", "1", "--name", "Own")
    assert "user: three" in done("--cid", "Own", "x")


def test_fork_of_a_legacy_conversation(user_path: Path) -> None:
    """What an older release logged can be forked, at its end and at any response."""
    copy_of("0.19", user_path).rename(user_path / "logs.db")
    info = next(info for info in listed("-n", "0") if info["turns"] == 3)
    shape = json.loads(done("conversations", "show", str(info["id"]), "--json"))
    whole = done("conversations", "fork", str(info["id"]), "--name", "Whole").strip()
    part = done(
        *("conversations", "fork", str(info["id"]), "--at", shape["turns"][0]["id"]),
        *("--name", "Part"),
    ).strip()
    forks = {i["id"]: i for i in listed("-n", "2")}
    assert {forks[whole]["model"], forks[part]["model"]} == {info["model"]}
    length = len(done("--cid", "Part", "-m", "echo", "x").split(" | "))
    assert len(done("--cid", "Whole", "-m", "echo", "x").split(" | ")) > length


def test_tree_draws_forks() -> None:
    """Forks stand below what they were forked from; others are not drawn."""
    birds = talk("Birds", "one")
    talk("Bees", "x")
    none = run("conversations", "tree")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "No conversation was forked yet" in none.stderr
    first = done("conversations", "fork", "Birds", "--name", "A").strip()
    second = done("conversations", "fork", "A", "--name", "B").strip()
    third = done("conversations", "fork", birds, "--name", "").strip()
    done("--cid", second, "y")
    expected = [
        f"{birds}  Birds  (1 turn)",
        f"├── {first}  A  (0 turns)",
        f"│   └── {second}  B  (1 turn)",
        f"└── {third}  (0 turns)",
    ]
    assert done("conversations", "tree").splitlines() == expected
    assert done("conversations", "tree", second).splitlines() == expected
    assert done("conversations", "tree", "Bees").splitlines()[0].endswith("  Bees  (1 turn)")


def test_tree_with_gaps_and_circles(user_path: Path) -> None:
    """A missing origin is told as such; a circle, which nothing here makes, ends."""
    talk("Birds", "one")
    fork = done("conversations", "fork", "Birds").strip()
    with sqlite3.connect(user_path / "logs.db") as conn:
        conn.execute("update threads set forked_from = 'gone' where id = ?", [fork])
    assert done("conversations", "tree").splitlines()[0] == "gone  (not in the log)"
    with sqlite3.connect(user_path / "logs.db") as conn:
        conn.execute("update threads set forked_from = id where id = ?", [fork])
    assert done("conversations", "tree").count(fork) == 1


def test_delete_takes_whole_conversations(user_path: Path) -> None:
    """What is named goes after asking, with all its turns; a fork keeps its history."""
    talk("Birds", "one", "two")
    bees = talk("Bees", "secret")
    fork = done("conversations", "fork", "Birds", "--name", "Swans").strip()
    assert run("conversations", "delete", "Birds", stdin="n\n").exit_code == 1
    assert len(listed()) == 3
    assert "Deleted 3 entries" in done("conversations", "delete", "Birds", "bees", "-y")
    assert [info["id"] for info in listed()] == [fork]
    assert done("--cid", fork, "-m", "echo", "x").startswith("user: one | ")
    assert run("conversations", "show", bees).exit_code == 1
    stored = b"".join(file.read_bytes() for file in user_path.glob("logs.db*"))
    assert b"secret" not in stored
    assert b"one" in stored


@pytest.mark.parametrize("form", ["json", "openai", "markdown"])
def test_export_and_import_in_each_format(form: str, tmp_path: Path) -> None:
    """A conversation written to a file goes on in another log."""
    talk("Birds", "one", "two")
    file, other = tmp_path / "birds.txt", tmp_path / "other.db"
    assert done("conversations", "export", "Birds", "-f", form, "-o", str(file)) == ""
    new = done("conversations", "import", str(file), "-d", str(other)).strip()
    text = done("-d", str(other), "--cid", new, "three")
    assert text == (
        "user: one | assistant: user: one | user: two |"
        " assistant: user: one | assistant: user: one | user: two | user: three\n"
    )
    [info] = json.loads(done("conversations", "list", "--json", "-d", str(other)))
    assert (info["name"], info["model"], info["turns"]) == ("Birds", "echo", 3)
    assert info["forked_from"] is None
    assert len(json.loads(done("logs", "--json", "-n", "0", "-d", str(other)))) == 3


def test_edited_markdown_becomes_a_fork() -> None:
    """What was edited goes on from the edited text, beside the original."""
    birds = talk("Birds", "one")
    text = done("conversations", "export", "-f", "markdown", "Birds")
    new = done("conversations", "import", stdin=text.replace("user: one", "A heron")).strip()
    assert done("--cid", new, "two") == "user: one | assistant: A heron | user: two\n"
    info = listed("-n", "1")[0]
    assert (info["name"], info["forked_from"]) == ("Birds (edited)", birds)
    assert done("--cid", "Birds", "two") == "user: one | assistant: user: one | user: two\n"
    renamed = text.replace("title: Birds", "title: Herons")
    done("conversations", "import", stdin=renamed)
    assert listed("-n", "1")[0]["name"] == "Herons"


def test_import_names_and_models() -> None:
    """`--name` gives the title and `-m` the model; without one it is the default model."""
    line = json.dumps({"messages": [{"role": "user", "content": "a"}]})
    answered = json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    done("conversations", "import", "--name", "Mine", "-m", "e", stdin=answered)
    assert (listed()[0]["name"], listed()[0]["model"]) == ("Mine", "echo")
    llm.set_default_model("forgetful")
    done("conversations", "import", stdin=answered)
    assert (listed()[0]["name"], listed()[0]["model"]) == ("a", "forgetful")
    done("conversations", "import", stdin=line)
    assert listed()[0]["turns"] == 0


def test_import_twice_makes_copies() -> None:
    """An id that is there already is not overwritten."""
    talk("Birds", "one")
    text = done("conversations", "export")
    ids = {done("conversations", "import", stdin=text).strip() for _ in range(2)}
    assert len(ids | {info["id"] for info in listed()}) == 3


def test_export_to_a_file_named_md_is_markdown(tmp_path: Path) -> None:
    """The name says the format, unless `-f` says another one."""
    talk("Birds", "one")
    file = tmp_path / "Talk.MD"
    done("conversations", "export", "-o", str(file))
    assert file.read_text().startswith("---\ntitle: Birds\n")
    done("conversations", "export", "-f", "json", "-o", str(file))
    assert json.loads(file.read_text())["name"] == "Birds"


def test_export_of_all_conversations(tmp_path: Path) -> None:
    """`--all` writes them oldest first; the whole file can be imported."""
    ids = [talk(name, "x") for name in ("A", "B", "C")]
    text = done("conversations", "export", "--all")
    assert [json.loads(line)["id"] for line in text.splitlines()] == ids
    other = str(tmp_path / "other.db")
    assert done("conversations", "import", "-d", other, stdin=text).split() == ids
    assert done("conversations", "export", "--all", "-d", other) == text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "--all", "A"], 2, "--all leaves no conversation"),
        (["export", "--all", "-f", "markdown"], 2, "holds one conversation"),
        (["import"], 2, "No message found"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, said: str) -> None:
    """What cannot be is refused with a reason."""
    talk("A", "x")
    talk("B", "x")
    result = run("conversations", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_export_of_nothing(user_path: Path) -> None:
    """An empty log has no conversation to write."""
    open_log(user_path / "logs.db").close()
    result = run("conversations", "export")
    assert result.exit_code == 1
    assert "nothing has been logged yet" in result.stderr


def test_list_reads_only_what_it_shows(tmp_path: Path) -> None:
    """The newest few are found without reading the others, however many there are."""
    db = open_log(tmp_path / "a.db")
    for number in range(300):
        conversation = Says().conversation()
        for turn in range(2):
            conversation.prompt(f"{number} {turn}").log_to_db(db)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def cost(limit: int) -> int:
        nonlocal steps
        steps = 0
        db.conn.set_progress_handler(count, 1)
        assert len(list(list_conversations(db.conn, limit=limit))) == limit
        db.conn.set_progress_handler(None, 1)
        return steps

    assert cost(20) < cost(300) / 8
