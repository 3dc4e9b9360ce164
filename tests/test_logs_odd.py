"""Logs that are old, damaged or written by somebody else are read as far as they go."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.errors import LogError
from llm.logs.file import schema
from llm.logs.file.db import open_for_reading, open_log
from llm.logs.file.migrations import applied_names, needs_migration
from llm.logs.read.rehydrate import load_conversation
from llm.logs.rewrite.erase import delete_turns
from llm.plugins import load_plugins, pm
from tests.helpers.databases import RELEASES, columns_of, copy_of, plugin_of_the_data
from tests.helpers.log_models import Says
from tests.helpers.logged import LogBuilder


def run(*args: str, stdin: str = "") -> Result:
    """What a command gives."""
    return CliRunner().invoke(cli, list(args), input=stdin)


def done(*args: str) -> str:
    """What a command prints that has to succeed."""
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def prompts(*args: str) -> list[str]:
    """The prompts that `llm logs` shows."""
    return [row["prompt"] for row in json.loads(done("logs", "-n", "0", "--json", *args))]


@contextmanager
def saying(*answers: str) -> Iterator[None]:
    """The model `says` answers this while the block runs."""

    class Plugin:
        @llm.hookimpl
        def register_models(self, register: Callable[..., None]) -> None:
            register(Says(*answers))

    plugin = Plugin()
    load_plugins()
    pm.register(plugin)
    try:
        yield
    finally:
        pm.unregister(plugin)


def change(path: Path, *statements: str) -> None:
    """Run SQL on a file, which is made where it is missing."""
    with closing(sqlite3.connect(path)) as conn, conn:
        for sql in statements:
            conn.execute(sql)


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


# Without a record of its migrations


@pytest.mark.parametrize("release", RELEASES)
def test_log_without_its_migrations_gets_those_it_lacks(release: str, tmp_path: Path) -> None:
    """What a file has is found out; it then is what it would have been with the record."""
    path = copy_of(release, tmp_path)
    known = path.read_bytes()
    change(path, "drop table _llm_migrations")
    with closing(open_log(path).conn):
        pass
    other = tmp_path / "known.db"
    other.write_bytes(known)
    with closing(open_log(other).conn):
        pass
    assert columns_of(path) == columns_of(other)
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(other)) as two:
        for table in ("responses", "turns", "messages", "parts", "tool_calls", "schemas"):
            rows = f"select * from {table} order by 1"
            assert one.execute(rows).fetchall() == two.execute(rows).fetchall()


FIRST_TABLES = {
    "0.3": (
        "create table log (provider text, system text, prompt text, response text, model text,"
        " timestamp text)",
        "insert into log values ('chatgpt', null, 'hello', 'hi', 'm', '2023-05-01 10:00:00.5')",
    ),
    "0.4.1": (
        "create table log (id integer primary key, model text, timestamp text, prompt text,"
        " system text, response text, chat_id integer references log (id), debug text,"
        " duration_ms integer)",
        "insert into log values (1, 'm', '2023-05-01 10:00:00', 'hello', 'sys', 'hi', null, '', 7)",
        "insert into log values (2, 'm', '2023-05-01 10:00:01', 'go on', null, 'yes', 1, '', 8)",
        "insert into log values (3, 'm', '2023-05-01 10:00:01', 'other', null, 'no', null, '', 8)",
        "insert into log values (4, 'm', '2023-05-01 10:00:02', 'and on', null, 'ok', 1, '', 8)",
    ),
    "renamed": (
        f"create table logs ({schema.OLD_LOGS_COLUMNS})",
        "insert into logs (id, model, prompt, response, datetime_utc) values"
        " (1, 'm', 'hello', 'hi', '2023-06-01 10:00:00')",
        "insert into logs (id, model, prompt, response, reply_to_id, datetime_utc) values"
        " (2, 'm', 'go on', 'yes', 1, '2023-06-01 10:00:01'),"
        " (3, 'm', 'and on', 'ok', 2, null)",
    ),
    "unfinished": (
        "create table logs (id integer primary key, model text, timestamp_utc text, prompt text,"
        " system text, response text, chat_id integer)",
        "insert into logs values (1, 'm', 'when?', 'hello', null, 'hi', 77),"
        " (2, 'm', 'when?', 'go on', null, 'hi', 77)",
    ),
}
CHATS = {
    "0.3": [["hello"]],
    "0.4.1": [["hello", "go on", "and on"], ["other"]],
    "renamed": [["hello", "go on", "and on"]],
    "unfinished": [["hello", "go on"]],
}


@pytest.mark.parametrize("form", FIRST_TABLES)
def test_first_table_is_shown_as_conversations(form: str, log: Path) -> None:
    """What was logged before August 2023 is listed, chat by chat, once."""
    change(log, *FIRST_TABLES[form])
    for _ in range(2):
        rows = json.loads(done("logs", "-n", "0", "--json"))
        chats: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda row: (row["datetime_utc"] or "9", row["id"])):
            chats.setdefault(row["conversation_id"], []).append(row["prompt"])
        assert sorted(chats.values()) == sorted(CHATS[form])
    assert prompts("-q", "hello") == ["hello"]
    assert rows[0]["options_json"] is None


def test_first_table_of_a_log_that_is_up_to_date_is_shown(log: Path) -> None:
    """A file that another release has migrated keeps its first table, and shows it here."""
    copy_of("0.13", log.parent).rename(log)
    with closing(open_log(log).conn):
        pass
    change(log, *FIRST_TABLES["renamed"])
    assert prompts("--until", "2023-12-31") == ["hello", "go on"]
    assert "First plain prompt" in prompts()


@pytest.mark.parametrize("form", FIRST_TABLES)
def test_first_table_that_was_marked_as_migrated_is_shown(form: str, log: Path) -> None:
    """A file that says it has all migrations, and has them not, is mended."""
    copy_of("0.36", log.parent).rename(log)
    known = set(prompts())
    change(log, *FIRST_TABLES[form])
    for _ in range(2):
        assert sorted(set(prompts()) - known) == sorted({p for chat in CHATS[form] for p in chat})


def test_tables_of_others_beside_a_log_are_left_alone(log: Path) -> None:
    """In a file that is a log, a table `logs` of something else stays as it is."""
    copy_of("0.36", log.parent).rename(log)
    change(log, "create table logs (line text)", "insert into logs values ('x')")
    known = prompts()
    assert prompts() == known
    with closing(sqlite3.connect(log)) as conn:
        assert conn.execute("select * from logs").fetchall() == [("x",)]
        assert not needs_migration(conn)


def test_first_table_goes_on_and_is_deleted_as_a_whole(log: Path) -> None:
    """A conversation of 2023 goes on, and what is deleted of it is nowhere in the file."""
    change(log, *FIRST_TABLES["0.4.1"])
    with saying("fine"):
        done("-c", "and now", "-m", "says")
    [last] = json.loads(done("logs", "-n", "1", "--json"))
    assert last["prompt"] == "and now"
    assert [row["prompt"] for row in json.loads(done("logs", "-c", "--json"))][:2] == [
        "hello",
        "go on",
    ]
    done("logs", "delete", "--cid", last["conversation_id"], "-y")
    with closing(sqlite3.connect(log)) as conn:
        assert conn.execute("select prompt from logs").fetchall() == [("other",)]
    assert prompts() == ["other"]


def test_first_table_of_a_file_that_cannot_be_written_is_shown(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a copy in memory is migrated, and the file stays as it is."""
    change(log, *FIRST_TABLES["0.4.1"])
    before = log.read_bytes()
    with closing(open_for_reading(log, may_change=False)) as conn:
        assert len(conn.execute("select 1 from responses").fetchall()) == 4
    assert log.read_bytes() == before


OTHERS = [
    "create table logs (id integer primary key, line text)",
    "create table log (x)",
    "create table responses (id integer primary key, survey text)",
    "create table responses (id text primary key, prompt text, response text)",
    "create table turns (game integer, player text)",
    "create table messages (id integer primary key, subject text)",
    "create table attachments (id integer primary key, name text)",
    "create view logs as select 1 as a",
    "create view turns as select 1 as a",
]


@pytest.mark.parametrize("sql", OTHERS)
def test_database_of_another_program_is_refused_and_left_as_it_is(sql: str, log: Path) -> None:
    """Where a table has the name of ours and is none, nothing is written, and it is told why."""
    change(log, sql)
    before = log.read_bytes()
    for args in (["logs"], ["logs", "-c"], ["conversations", "list"], ["schemas"]):
        result = run(*args)
        assert result.exit_code == 1
        assert "is another program's" in result.stderr
        assert "left as it is" in result.stderr
    with pytest.raises(LogError, match="another program's"):
        open_log(log)
    with saying("fine"):
        answered = run("-m", "says", "hello")
    assert answered.stdout == "fine\n"
    assert "another program's" in answered.stderr
    assert log.read_bytes() == before


def test_database_of_another_program_beside_which_there_is_room_is_used(log: Path) -> None:
    """Tables with other names are nobody's business."""
    change(log, "create table other (x)", "insert into other values (5)")
    assert prompts() == []
    with closing(sqlite3.connect(log)) as conn:
        assert conn.execute("select * from other").fetchall() == [(5,)]
        assert not needs_migration(conn)
        assert applied_names(conn)


# Something is missing


def test_objects_of_a_log_are_those_that_a_new_file_has(tmp_path: Path) -> None:
    """The list by which a file is known to be whole is that of what is made."""
    with closing(open_log(tmp_path / "new.db").conn) as conn:
        sql = "select name from sqlite_master where type in ('table', 'view', 'trigger')"
        names = {name for (name,) in conn.execute(sql)}
    beside = {name for name in names if "_fts_" in name or name.startswith("_llm_")}
    assert names - beside == schema.OBJECTS


@pytest.mark.parametrize(
    "dropped",
    ["table responses_fts", "table turn_search_fts", "trigger responses_ai", "view message_tree"],
)
@pytest.mark.parametrize("release", ["0.26", "0.36"])
def test_what_was_dropped_from_a_log_is_made_again(dropped: str, release: str, log: Path) -> None:
    """A search finds what it found before, and new answers are logged."""
    copy_of(release, log.parent).rename(log)
    found = prompts("-q", "plain")
    listed = done("conversations", "list", "-q", "plain")
    assert found
    change(log, f"drop {dropped}")
    assert prompts("-q", "plain") == found
    assert done("conversations", "list", "-q", "plain") == listed
    with saying("fine"):
        done("-m", "says", "something plain")
    assert sorted(prompts("-q", "plain")) == sorted([*found, "something plain"])


def test_search_that_fails_for_another_reason_is_no_invalid_query(log: Path) -> None:
    """What is wrong with the index is not blamed on who searches."""
    copy_of("0.36", log.parent).rename(log)
    done("logs")
    change(log, "drop table turn_search_fts_data")
    result = run("logs", "-q", "plain")
    assert result.exit_code == 1
    assert "Cannot search the log" in result.stderr
    assert "Invalid search query" not in result.stderr


# JSON that is none

JSON_COLUMNS = {
    "0.36": [
        *(("turns", name) for name in ("options_json", "token_details", "response_json")),
        *(("parts", "payload"), ("messages", "provider_metadata"), ("schemas", "content")),
        *(("tools", "input_schema"), ("tool_instances", "arguments")),
    ],
    "0.26": [
        *(("responses", name) for name in ("options_json", "token_details", "response_json")),
        *(("responses", "prompt_json"), ("schemas", "content"), ("tools", "input_schema")),
        *(("tool_instances", "arguments"), ("tool_calls", "arguments")),
    ],
}
NO_JSON: list[str | bytes | int] = [
    *("{", "", "[1]", "5", "null", "[" * 100_000, b"\xff\x00", 7),
    *('{"text_ref": 5}', '{"attachment": "x", "attachments": 3, "arguments": 7, "name": [1]}'),
]
LISTINGS = [
    ["logs"],
    ["logs", "--json"],
    ["logs", "-u", "-e"],
    ["logs", "-s", "-u"],
    ["logs", "--data"],
    ["schemas", "list", "--full"],
    ["schemas", "list", "--json"],
    ["conversations", "list"],
]


@pytest.fixture(scope="module")
def _plugin() -> Iterator[None]:
    with plugin_of_the_data():
        yield


@pytest.mark.usefixtures("_plugin")
@pytest.mark.parametrize(
    ("release", "table", "column"),
    [(release, *names) for release, some in JSON_COLUMNS.items() for names in some],
)
def test_malformed_json_stops_nothing(release: str, table: str, column: str, log: Path) -> None:
    """Whatever stands in a JSON column, all rows are listed, exported and gone on with."""
    with closing(open_log(copy_of(release, log.parent)).conn) as conn:
        conn.execute("pragma journal_mode=delete")
        rows = conn.execute("select count(*) from turns, (select 1)").fetchone()[0]
        rows = rows or conn.execute("select count(*) from responses").fetchone()[0]
        both = "select id from threads union select id from conversations order by id"
        conversations = [key for (key,) in conn.execute(both)]
    whole = log.parent / f"logs-v{release}.db"
    for value in NO_JSON:
        shutil.copyfile(whole, log)
        with closing(sqlite3.connect(log)) as conn, conn:
            conn.execute(f"update {table} set {column} = ?", [value])
        for args in LISTINGS:
            more = ["-n", "0"] if args[0] == "logs" else []
            result = run(*args, *more)
            assert result.exit_code == 0, (value, args, result.output)
        assert len(json.loads(done("logs", "-n", "0", "--json"))) == rows
        for key in conversations[::6]:
            done("conversations", "export", key)
            done("--cid", key, "--no-log", "-m", "fake", "hi")
        assert "Traceback" not in run("logs", "verify").output
        done("logs", "redact", "plain", "-y")


def test_malformed_json_of_a_part_is_redacted_too(log: Path) -> None:
    """A secret in a text that is no JSON does not stay because it cannot be read."""
    copy_of("0.36", log.parent).rename(log)
    done("logs")
    change(log, "update parts set payload = '{ my secret' where id in (select min(id) from parts)")
    done("logs", "redact", "secret", "-y")
    assert b"my secret" not in log.read_bytes()


# Rows of no conversation


@pytest.mark.parametrize("none", ["null", "''"])
@pytest.mark.parametrize(
    ("release", "table", "column"),
    [("0.26", "responses", "conversation_id"), ("0.36", "turns", "thread_id")],
)
def test_newest_row_without_a_conversation_is_what_was_used_last(
    release: str, table: str, column: str, none: str, log: Path
) -> None:
    """`logs -c` shows it; where nothing belongs to a conversation, that is what is told."""
    copy_of(release, log.parent).rename(log)
    newest = json.loads(done("logs", "-n", "1", "--json"))[0]
    last = f"(select max(id) from {table})"
    change(log, f"update {table} set {column} = {none} where id = {last}")
    for args in (["-c"], ["-c", "-n", "0"]):
        assert [row["id"] for row in json.loads(done("logs", "--json", *args))] == [newest["id"]]
    assert done("logs", "-r") == f"{newest['response']}\n"
    change(log, f"update {table} set {column} = {none}", "delete from threads")
    change(log, "delete from conversations")
    assert [row["id"] for row in json.loads(done("logs", "--json", "-c"))] == [newest["id"]]
    refused = run("conversations", "export")
    assert refused.exit_code == 1
    assert "belongs to none" in refused.stderr
    with saying("fine"):
        done("-c", "-m", "says", "go on")
    assert prompts("-c") == ["go on"]


# After an empty answer


def test_prompt_after_an_empty_answer_is_its_own(log: Path) -> None:
    """What an unanswered turn was asked is not part of the input of the next."""
    with saying("", "", "fine", "fine"):
        done("-m", "says", "EMPTY one")
        done("-c", "EMPTY two")
        done("-c", "go on")
        assert prompts() == ["EMPTY one", "EMPTY two", "go on"]
        conversation = load_conversation(log, None)
        assert conversation is not None
        asked = [response.prompt.prompt for response in conversation.responses]
        assert asked == ["EMPTY one", "EMPTY two", "go on"]
        again = type(conversation).from_dict(conversation.to_dict())
        assert [response.prompt.prompt for response in again.responses] == asked
        done("conversations", "fork", conversation.id)
        done("-c", "and on")
    assert prompts("-n", "1") == ["and on"]


def test_prompt_after_an_empty_answer_of_an_older_release_is_its_own(log: Path) -> None:
    """A conversation that an older release logged goes on in the same way."""
    copy_of("0.13", log.parent).rename(log)
    done("logs")
    change(log, "update responses set response = '' where id = (select max(id) from responses)")
    with saying("fine"):
        done("-c", "go on", "-m", "says")
        assert prompts("-c")[-2:] == ["Conversation turn three", "go on"]
        conversation = load_conversation(log, None)
    assert conversation is not None
    assert [response.prompt.prompt for response in conversation.responses][-2:] == [
        "Conversation turn three",
        "go on",
    ]


def test_result_given_to_an_unanswered_turn_is_not_given_to_the_next(log: Path) -> None:
    """`--tool` finds the turn that was given a result, and not the one after it."""
    built = LogBuilder(log)
    built.message("m1", "user", ("text", "look"))
    built.message("m2", "assistant", ("tool_call", {"name": "t"}), parent="m1")
    built.message(
        "m3",
        "tool",
        ("tool_result", {"name": "t", "output": "5", "tool_call_id": "1"}),
        parent="m2",
    )
    built.message("m4", "user", ("text", "go on"), parent="m3")
    built.turn("01a", parent="m1", tip="m2")
    built.turn("01b", parent="m3", tip="m3")
    built.turn("01c", parent="m4", tip="m4")
    rows = json.loads(done("logs", "-n", "0", "--json"))
    assert [(row["prompt"], len(row["tool_results"])) for row in rows] == [
        ("look", 0),
        ("", 1),
        ("go on", 0),
    ]
    assert [row["id"] for row in json.loads(done("logs", "-T", "t", "--json"))] == ["01b"]
    assert delete_turns(built.conn, ["01b"]) == 1
