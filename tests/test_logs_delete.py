"""`llm logs delete` and `expire`: what goes, what stays, and that nothing is left in the files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.logs import LogStore
from llm.logs.file.db import open_log
from llm.logs.rewrite.erase import delete_turns
from llm.logs.rewrite.upkeep import find_damage
from tests.helpers.databases import RELEASES
from tests.helpers.log_models import Says
from tests.helpers.logged import LogBuilder, use_log

SECRET = "Xylophonequartz"


def invoke(*args: str, stdin: str | None = None) -> Result:
    """The result of `llm logs` with these arguments."""
    return CliRunner().invoke(cli, ["logs", *args], input=stdin)


def run(*args: str) -> str:
    """The output of `llm logs`, which succeeds."""
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def remaining(user_path: Path) -> list[str]:
    """The ids that are left, oldest first."""
    return [row["id"] for row in json.loads(run("list", "-n", "0", "--json"))]


def files_with(folder: Path, text: str) -> list[str]:
    """The names of the files of the log that hold a text, in any case, or a word of its index."""
    found = []
    for path in sorted(folder.glob("logs.db*")):
        content = path.read_bytes().lower()
        if text.lower().encode() in content:
            found.append(path.name)
    return found


def counts(path: Path) -> dict[str, int]:
    """How many rows each table of the log has."""
    with closing(sqlite3.connect(path)) as conn:
        names = [
            name
            for (name,) in conn.execute("select name from sqlite_master where type = 'table'")
            if "_fts" not in name and not name.startswith("_llm_")
        ]
        return {name: conn.execute(f"select count(*) from {name}").fetchone()[0] for name in names}


@pytest.fixture
def path(user_path: Path) -> Path:
    """A log with a conversation of two turns and one of a single turn, made by a model."""
    path = user_path / "logs.db"
    db = open_log(path)
    model = Says("first answer", "second answer", f"{SECRET} answered")
    conversation = model.conversation()
    for prompt in ("plain one", "plain two"):
        response = conversation.prompt(prompt)
        response.text()
        response.log_to_db(db)
    secret = model.prompt(
        f"Tell {SECRET}",
        system=f"Be {SECRET}",
        attachments=[llm.Attachment(type="text/plain", content=f"{SECRET} bytes".encode())],
        fragments=[f"{SECRET} fragment"],
        schema={"type": "object", "description": SECRET},
        tools=[llm.Tool("t", SECRET, {})],
        label=SECRET,
    )
    secret.text()
    secret.response_json = {"raw": SECRET}
    secret.log_to_db(db)
    db.close()
    return path


def test_delete_by_id_leaves_no_byte(path: Path, user_path: Path) -> None:
    """Text, system prompt, attachment, fragment, schema, tool, option and raw reply are gone."""
    assert "logs.db" in " ".join(files_with(user_path, SECRET))
    ids = remaining(user_path)
    shown = run("delete", ids[2], "--yes")
    assert "Deleted 1 entry" in shown
    assert remaining(user_path) == ids[:2]
    assert files_with(user_path, SECRET) == []


def test_delete_all_leaves_nothing(path: Path, user_path: Path) -> None:
    """After the last turn is gone, every table is empty."""
    run("delete", "--since", "1d", "-y")
    assert set(counts(path).values()) == {0}
    assert run("list", "--json") == "[]\n"


def test_delete_asks_first(path: Path, user_path: Path) -> None:
    """Without --yes it shows what was found; anything but yes changes nothing."""
    result = invoke("delete", "-q", SECRET, stdin="n\n")
    assert result.exit_code == 1
    assert f"Tell {SECRET}" in result.stdout
    assert "Delete 1 entry for good?" in result.stderr
    assert len(remaining(user_path)) == 3
    assert invoke("delete", "-q", SECRET, stdin="y\n").exit_code == 0
    assert len(remaining(user_path)) == 2


def test_delete_earlier_turn_keeps_what_later_ones_contain(path: Path, user_path: Path) -> None:
    """The history of a remaining turn is a part of it; the turn itself is gone."""
    ids = remaining(user_path)
    run("delete", ids[0], "-y")
    assert files_with(user_path, "plain one") == ["logs.db"]
    conversation = json.loads(run("list", "--json", "-n", "2"))[0]["conversation_id"]
    with closing(open_log(path).conn) as conn:
        store = LogStore(open_log(path))
        assert [m.text() for m in store.thread_messages(conversation)] == [
            "plain one",
            "first answer",
            "plain two",
            "second answer",
        ]
        assert list(find_damage(conn)) == []


def test_delete_last_turn_lets_the_thread_go_on_from_the_one_before(
    path: Path, user_path: Path
) -> None:
    """The conversation ends where its last remaining turn ends."""
    ids = remaining(user_path)
    conversation = json.loads(run("list", "--json", "-n", "0"))[0]["conversation_id"]
    run("delete", ids[1], "-y")
    store = LogStore(open_log(path))
    assert [m.text() for m in store.thread_messages(conversation)] == [
        "plain one",
        "first answer",
    ]
    assert files_with(user_path, "plain two") == []


def test_delete_conversation_whole(path: Path, user_path: Path) -> None:
    """--cid takes the thread with its turns, and forks forget where they came from."""
    rows = json.loads(run("list", "--json", "-n", "0"))
    conversation = rows[0]["conversation_id"]
    store = LogStore(open_log(path))
    fork = store.fork(store.thread_tip(conversation) or "", "fork", forked_from=conversation)
    empty = store.create_thread("empty one")
    run("delete", "--cid", conversation, "-y")
    run("delete", "--cid", empty, "-y")
    left = store.db.conn.execute("select id, forked_from from threads order by id").fetchall()
    assert (fork, None) in left
    assert {thread for thread, _ in left} == {fork, rows[2]["conversation_id"]}
    assert store.thread_messages(fork)[0].text() == "plain one"


def test_delete_prompt_that_named_the_thread_renames_it(user_path: Path) -> None:
    """A title that was made of a deleted prompt goes with it, unless the prompt stays."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01a", f"about {SECRET}", thread_id="t")
    log.turn("01b", "about music", thread_id="t")
    with log.conn:
        log.conn.execute("insert into threads (id, name) values ('t', ?)", [f"about {SECRET}"])
    run("delete", "01a", "-y")
    assert log.conn.execute("select name from threads").fetchall() == [("about music",)]
    log.conn.close()
    assert files_with(user_path, SECRET) == []


def test_delete_prompt_with_a_fragment_that_named_the_thread_renames_it(user_path: Path) -> None:
    """The title came from the fragment, which the message only refers to."""
    log = LogBuilder(user_path / "logs.db")
    pieces = {"text_ref": [{"fragment": 1}, {"literal": "\nask"}]}
    parent = log.message("in", "user", ("text", pieces))
    tip = log.message("out", "assistant", ("text", "answer"), parent=parent)
    log.turn("01a", "ask", "answer", parent=parent, tip=tip, thread_id="t")
    log.turn("01b", "about music", thread_id="t")
    with log.conn:
        log.conn.execute("insert into fragments (id, hash, content) values (1, 'h', ?)", [SECRET])
        log.conn.execute("insert into part_fragments values (1, 1, 0)")
        log.conn.execute("insert into turn_fragments values ('01a', 1, 0, 'prompt')")
        log.conn.execute("insert into threads (id, name) values ('t', ?)", [f"{SECRET} ask"])
    run("delete", "01a", "-y")
    assert log.conn.execute("select name from threads").fetchall() == [("about music",)]
    log.conn.close()
    assert files_with(user_path, SECRET) == []


@pytest.mark.parametrize("named_by", ["prompt", "system", "fragment"])
def test_delete_legacy_prompt_that_named_the_conversation_renames_it(
    named_by: str, user_path: Path
) -> None:
    """A title of an older release goes with its prompt in the same way."""
    log = LogBuilder(user_path / "logs.db")
    texts = {"prompt": f"about {SECRET}"} if named_by == "prompt" else {"prompt": ""}
    if named_by == "system":
        texts["system"] = f"about {SECRET}"
    log.response("01a", texts.pop("prompt"), "a", conversation_id="c", **texts)
    log.response("01b", "about music", "b", conversation_id="c")
    with log.conn:
        if named_by == "fragment":
            sql = "insert into fragments (id, hash, content) values (1, 'h', ?)"
            log.conn.execute(sql, [f"about {SECRET}"])
            log.conn.execute("insert into prompt_fragments values ('01a', 1, 0)")
        sql = "insert into conversations values ('c', ?, 'm')"
        log.conn.execute(sql, [f"about {SECRET}"])
    run("delete", "01a", "-y")
    assert log.conn.execute("select name from conversations").fetchall() == [("about music",)]
    log.conn.close()
    assert files_with(user_path, SECRET) == []


def test_delete_keeps_a_title_that_somebody_gave(user_path: Path) -> None:
    """Only a title that was made of what is deleted goes with it."""
    log = LogBuilder(user_path / "logs.db")
    log.response("01a", "first", "a", conversation_id="c")
    log.response("01b", "second", "b", conversation_id="c")
    with log.conn:
        log.conn.execute("insert into conversations values ('c', 'mine', 'm')")
    run("delete", "01a", "-y")
    assert log.conn.execute("select name from conversations").fetchall() == [("mine",)]
    log.conn.close()


def test_delete_keeps_what_others_use(user_path: Path) -> None:
    """A message two turns share, and a fragment with an alias, belong to more than one."""
    log = LogBuilder(user_path / "logs.db")
    shared = log.message("shared", "user", ("text", "shared words"))
    for name in ("01a", "01b"):
        tip = log.message(f"{name}-out", "assistant", ("text", name), parent=shared)
        log.turn(name, "shared words", name, parent=shared, tip=tip)
    with log.conn:
        log.conn.execute("insert into fragments (id, hash, content) values (1, 'h', 'kept')")
        log.conn.execute("insert into fragments (id, hash, content) values (2, 'i', 'gone')")
        log.conn.execute("insert into fragment_aliases values ('mine', 1)")
        log.conn.execute("insert into turn_fragments values ('01a', 1, 0, 'prompt')")
        log.conn.execute("insert into turn_fragments values ('01a', 2, 1, 'prompt')")
    assert delete_turns(log.conn, ["01a", "unknown"]) == 1
    hashes = {key for (key,) in log.conn.execute("select hash from messages")}
    assert hashes == {"shared", "01b-out"}
    assert log.conn.execute("select content from fragments").fetchall() == [("kept",)]
    log.conn.close()


@pytest.mark.parametrize("release", RELEASES)
def test_delete_everything_of_every_release(release: str, user_path: Path) -> None:
    """Rows of older releases go in the same way, with all that belongs to them."""
    path = use_log(user_path, f"v{release}")
    run("delete", "--until", "1s", "-y")
    left = {table: count for table, count in counts(path).items() if count}
    # A fork without turns is still there with its history, and so is what somebody named.
    assert set(left) <= {"fragments", "fragment_aliases", "threads", "messages", "parts"}
    assert run("list", "-n", "0", "--json") == "[]\n"


def test_delete_combines_ids_and_filters(path: Path, user_path: Path) -> None:
    """An entry has to pass all that is asked for; none passing deletes none."""
    ids = remaining(user_path)
    assert "Deleted 0 entries" in run("delete", ids[0], "-q", SECRET, "-y")
    assert "Deleted 1 entry" in run("delete", ids[0], ids[2], "-q", SECRET, "-y")
    assert remaining(user_path) == ids[:2]
    run("delete", "-m", "says", "--older-than", "0s", "-y")
    assert remaining(user_path) == []


def test_delete_shows_at_most_ten(user_path: Path) -> None:
    """A long list is cut, with the number of the others."""
    log = LogBuilder(user_path / "logs.db")
    for number in range(12):
        log.turn(f"01a{number:02}", f"prompt {number}")
    log.conn.close()
    shown = run("delete", "-m", "m", "-y")
    assert shown.count("2026-01-02T03:04:05") == 10
    assert "... and 2 older ones" in shown


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ([], 2, "Say what to delete"),
        (["--until", "1d", "--older-than", "1d"], 2, "not both"),
        (["--older-than", "2026-01-01"], 2, "Invalid age"),
        (["nothing"], 1, "id=nothing"),
        (["--cid", "nothing"], 1, "id=nothing"),
    ],
)
def test_delete_that_makes_no_sense_is_refused(
    path: Path, args: list[str], code: int, text: str
) -> None:
    """Nothing is deleted without knowing what is meant."""
    result = invoke("delete", *args, "--yes")
    assert result.exit_code == code
    assert text in result.stderr


def test_expire_deletes_by_age(user_path: Path) -> None:
    """What is old goes from all tables, that of 2023 included; what is new stays."""
    log = LogBuilder(user_path / "logs.db")
    log.turn("01a", SECRET, datetime_utc="2020-01-01T00:00:00+00:00")
    log.response("010", SECRET, "old")
    log.turn("01b", "new", datetime_utc="2999-01-01T00:00:00+00:00")
    with log.conn:
        log.conn.execute("create table logs (id integer primary key, prompt, datetime_utc)")
        log.conn.execute(
            "insert into logs (prompt, datetime_utc) values (?, '2023-01-01')", [SECRET]
        )
    log.conn.close()
    assert "Deleted 3 entries" in run("expire", "--older-than", "90d", "--yes")
    assert remaining(user_path) == ["01b"]
    assert files_with(user_path, SECRET) == []
    assert "Deleted 0 entries" in run("expire", "--older-than", "90d")


def test_delete_while_another_program_reads_says_so(path: Path, user_path: Path) -> None:
    """Old pages that a reader still needs cannot be wiped: the message says what to do."""
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from turns").fetchone()
        with closing(open_log(path).conn) as conn:
            from llm.errors import LogError
            from llm.logs.rewrite.upkeep import compact

            conn.execute("pragma busy_timeout = 10")
            with pytest.raises(LogError, match="llm logs vacuum"):
                compact(conn, path)
