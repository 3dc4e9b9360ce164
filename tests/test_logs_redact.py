"""`llm logs redact`: the text is gone everywhere, and the log is as whole as before."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.logs import LogStore
from llm.logs.file.db import open_log
from llm.logs.read.query import LogFilters
from llm.logs.rewrite.redact import find, redact
from llm.logs.rewrite.scrub import Scrubber
from llm.logs.rewrite.upkeep import find_damage
from llm.prompting.journal import Journal, leftovers
from tests.helpers.databases import RELEASES, copy_of, plugin_of_the_data
from tests.helpers.log_models import Says, event
from tests.helpers.logged import LogBuilder, select_rows
from tests.test_logs_delete import files_with

SECRET = "Xylophonequartz"
LONG = f"{SECRET} " + "and much more text than anybody wants to read again and again " * 3


def invoke(*args: str, stdin: str | None = None) -> Result:
    """The result of `llm logs` with these arguments."""
    return CliRunner().invoke(cli, ["logs", *args], input=stdin)


def redacted(db: Any, pattern: str, replacement: str = "[redacted]") -> None:
    """Redact, and see that nothing is left and the log is whole."""
    scrubber = Scrubber(re.compile(pattern), replacement)
    expected = find(db.conn, scrubber)
    done = redact(db.conn, scrubber)
    assert done == expected
    assert find(db.conn, scrubber).total == 0
    assert list(find_damage(db.conn)) == []


@pytest.fixture
def db(user_path: Path) -> Iterator[Any]:
    """An empty log in the user directory."""
    db = open_log(user_path / "logs.db")
    yield db
    db.close()


def log_everything(db: Any) -> str:
    """Log a turn with the secret in every place, and one that goes on; give the conversation."""
    call = llm.ToolCall("t", {SECRET: [SECRET]}, "call-1")
    model = Says([event("reasoning", f"think {SECRET}"), LONG, call], "after")
    model.raw = {"text": LONG, "other": [f"x{SECRET}x"], SECRET: 1}
    conversation = model.conversation()
    first = conversation.prompt(
        f"Tell {SECRET}",
        system=f"Be {SECRET}",
        fragments=[f"{SECRET} fragment"],
        schema={"type": "object", "description": SECRET},
        tools=[llm.Tool("t", f"does {SECRET}", {"description": SECRET})],
        label=SECRET,
    )
    first.text()
    first.log_to_db(db)
    second = conversation.prompt(
        "go on",
        tool_results=[
            llm.ToolResult(
                "t", f"result {SECRET}", tool_call_id="call-1", exception=ValueError(SECRET)
            )
        ],
    )
    second.text()
    second.log_to_db(db)
    return conversation.id


def test_redact_leaves_no_byte(db: Any, user_path: Path) -> None:
    """Wherever it was, the text is gone from the files; what was around it is still there."""
    conversation = log_everything(db)
    db.close()
    assert "logs.db" in "".join(files_with(user_path, SECRET))
    result = invoke("redact", SECRET, "--yes")
    assert result.exit_code == 0, result.output
    assert "Redacted" in result.stdout
    assert files_with(user_path, SECRET) == []
    rows = json.loads(invoke("list", "--cid", conversation, "--json").stdout)
    assert rows[0]["prompt"] == "[redacted] fragment\nTell [redacted]"
    assert rows[0]["system"] == "Be [redacted]"
    assert rows[0]["reasoning"] == "think [redacted]"
    assert rows[0]["options_json"] == {"label": "[redacted]"}
    assert rows[0]["schema_json"] == {"type": "object", "description": "[redacted]"}
    assert rows[0]["tool_calls"][0]["arguments"] == {"[redacted]": ["[redacted]"]}
    assert rows[0]["response_json"] == {
        "text": LONG.replace(SECRET, "[redacted]"),
        "other": ["x[redacted]x"],
        "[redacted]": 1,
    }
    assert rows[1]["tool_results"][0]["output"] == "result [redacted]"
    assert SECRET not in rows[0]["conversation_name"]


def test_redact_keeps_the_chains(db: Any) -> None:
    """Messages have new addresses, each turn and thread points to them, nothing is damaged."""
    conversation = log_everything(db)
    store = LogStore(db)
    before = store.thread_messages(conversation)
    redacted(db, SECRET)
    after = store.thread_messages(conversation)
    assert [message.role for message in after] == [message.role for message in before]
    assert store.verify() == []
    assert [row["id"] for row in select_rows(db.conn, LogFilters(query="redacted"))]


def test_redact_then_continue(db: Any) -> None:
    """A conversation goes on after it: the next turn joins the rewritten chain."""
    from llm.logs.read.rehydrate import load_conversation

    conversation_id = log_everything(db)
    redacted(db, SECRET)
    conversation = load_conversation(db, conversation_id, model=Says("more"))
    assert conversation is not None
    response = conversation.prompt("and now?")
    response.text()
    response.log_to_db(db)
    texts = [
        part.text
        for message in LogStore(db).thread_messages(conversation_id)
        for part in message.parts
        if isinstance(part, llm.parts.TextPart)
    ]
    assert texts[-2:] == ["and now?", "more"]
    assert list(find_damage(db.conn)) == []


@pytest.mark.parametrize("release", [*RELEASES, "0.36-unusual"])
@pytest.mark.parametrize("pattern", ["(?i)turn", "[Cc]ounter|torrents", "e", "n t|: |[{]"])
def test_redact_files_of_every_release(release: str, pattern: str, tmp_path: Path) -> None:
    """Every row shows what it showed before, with the matches replaced, and no damage."""
    db = open_log(copy_of(release, tmp_path))
    scrubber = Scrubber(re.compile(pattern), "XX")
    with plugin_of_the_data():
        before = select_rows(db.conn, LogFilters())
        redacted(db, pattern, "XX")
        after = select_rows(db.conn, LogFilters())
    for old, new in zip(before, after, strict=True):
        for key in ("system", "reasoning"):
            assert new[key] == (old[key] and scrubber.text(old[key]))
        assert new["response_json"] == scrubber.value(old["response_json"])
        assert [call["arguments"] for call in new["tool_calls"]] == scrubber.value(
            [call["arguments"] for call in old["tool_calls"]]
        )
    db.close()


def test_redact_merges_what_becomes_equal(db: Any) -> None:
    """Two conversations that differ in the secret alone share their messages afterwards."""
    model = Says("same", "same")
    for number in (1, 2):
        response = model.prompt(f"key-{number}", fragments=[f"fragment key-{number}"])
        response.text()
        response.log_to_db(db)
    redacted(db, "key-[0-9]")
    assert db.conn.execute("select count(*) from messages").fetchone()[0] == 2
    assert db.conn.execute("select count(*) from fragments").fetchone()[0] == 1
    assert db.conn.execute("select count(*) from part_fragments").fetchone()[0] == 1
    rows = select_rows(db.conn, LogFilters())
    assert {row["prompt"] for row in rows} == {"fragment [redacted]\n[redacted]"}
    assert [len(row["prompt_fragments"]) for row in rows] == [1, 1]


def test_redact_match_across_a_fragment_and_the_text_behind_it(db: Any) -> None:
    """A match that begins in a fragment is found; the message then holds its text itself."""
    response = Says("ok").prompt("quartz", fragments=["Xylophone"])
    response.text()
    response.log_to_db(db)
    redacted(db, "Xylophone\\s*quartz")
    assert select_rows(db.conn, LogFilters())[0]["prompt"] == "[redacted]"
    assert db.conn.execute("select content from fragments").fetchall() == [("Xylophone",)]


def test_redact_attachment_by_its_id(db: Any, user_path: Path) -> None:
    """Bytes are never searched; the whole id of an attachment removes it."""
    attachment = llm.Attachment(type="text/plain", content=SECRET.encode())
    result = llm.ToolResult("t", "out", [attachment], tool_call_id="c")
    response = Says("ok").prompt("look", attachments=[attachment], tool_results=[result])
    response.text()
    response.log_to_db(db)
    assert find(db.conn, Scrubber(re.compile(SECRET), "")).total == 0
    db.close()
    assert invoke("redact", attachment.id(), "-y").exit_code == 0
    assert files_with(user_path, SECRET) == []
    row = json.loads(invoke("list", "--json").stdout)[0]
    assert row["attachments"] == []
    assert row["prompt"] == "look[redacted]"
    assert row["tool_results"][0]["attachments"] == []


def test_redact_name_cut_within_the_secret(user_path: Path) -> None:
    """A title that holds the beginning of a redacted text is made anew from its prompt."""
    db = open_log(user_path / "logs.db")
    response = Says("ok").prompt(f"My very own long key {SECRET}")
    response.text()
    response.log_to_db(db)
    db.close()
    assert invoke("redact", SECRET, "-y").exit_code == 0
    assert files_with(user_path, SECRET[:6]) == []


def test_redact_name_of_a_fork_cut_within_the_secret(db: Any, user_path: Path) -> None:
    """A fork is called after the same prompt, and is named anew in the same way."""
    from llm.logs.exchange.forks import fork_conversation

    response = Says("ok").prompt(f"My very own long key {SECRET}")
    response.text()
    response.log_to_db(db)
    [named] = db.execute("select id from threads").fetchone()
    fork = fork_conversation(db, named)
    again = fork_conversation(db, fork)
    db.close()
    assert invoke("redact", SECRET, "-y").exit_code == 0
    assert files_with(user_path, SECRET[:6]) == []
    names = {c.id: c.name or "" for c in llm.Database().conversations()}
    assert names[fork] == f"{names[named]} (fork)"
    assert names[again] == f"{names[named]} (fork) (fork)"


def test_redact_numbers_in_json(db: Any, user_path: Path) -> None:
    """A number may be the secret: it is a text in the file, wherever JSON holds it."""
    call = llm.ToolCall("pay", {"card": 4111111111111111, "ok": True}, "call-1")
    model = Says([call])
    model.raw = {"total": 4111111111111111, "rate": 0.5}
    response = model.prompt("pay")
    response.text()
    response.log_to_db(db)
    db.close()
    assert invoke("redact", "4111[0-9]+", "-y").exit_code == 0
    assert files_with(user_path, "4111") == []
    row = json.loads(invoke("list", "--json").stdout)[0]
    assert row["tool_calls"][0]["arguments"] == {"card": "[redacted]", "ok": True}
    assert row["response_json"] == {"total": "[redacted]", "rate": 0.5}


@pytest.mark.parametrize("secret", ['pass "word"', "p\u00e4ssword", "pass\\word", "pass\nword"])
def test_redact_what_json_escapes(secret: str, db: Any, user_path: Path) -> None:
    """A text is found where it is escaped: in columns of JSON, and in JSON within a text."""
    inner = json.dumps({"key": [f"my {secret}"]})
    model = Says([inner, llm.ToolCall("t", {"a": secret}, "call-1")])
    model.raw = {"arguments": inner}
    model.prompt("go", label=secret).log_to_db(db)
    db.close()
    assert invoke("redact", "-F", secret, "-y").exit_code == 0
    escaped = json.dumps(secret)[1:-1]
    for form in (secret, escaped, json.dumps(escaped)[1:-1]):
        assert files_with(user_path, form) == []
    row = json.loads(invoke("list", "--json").stdout)[0]
    expected = {"key": ["my [redacted]"]}
    assert json.loads(row["response"]) == json.loads(row["response_json"]["arguments"]) == expected
    assert row["options_json"] == {"label": "[redacted]"}
    assert row["tool_calls"][0]["arguments"] == {"a": "[redacted]"}
    assert invoke("verify").exit_code == 0


def test_redact_legacy_rows_status_and_table_of_2023(user_path: Path) -> None:
    """Tables that only some files have are rewritten where they are."""
    log = LogBuilder(user_path / "logs.db")
    log.response("010", SECRET, SECRET, prompt_json=json.dumps({"a": SECRET}), reasoning=SECRET)
    with log.conn:
        log.conn.execute(
            "insert into conversations values ('conversation-010', ?, 'm')", [f"{SECRET}"]
        )
        log.conn.execute(
            "create table if not exists turn_status"
            " (turn_id text primary key, status text, error_class text, error text)"
        )
        log.conn.execute("insert into turn_status values ('x', 'failed', 'E', ?)", [SECRET])
        log.conn.execute(
            "create table logs (id integer primary key, prompt, system, prompt_json,"
            " options_json, response, response_json, datetime_utc)"
        )
        log.conn.execute("insert into logs (prompt, response_json) values (?, ?)", [SECRET, SECRET])
    log.conn.close()
    assert invoke("redact", SECRET, "--with", "-", "--yes").exit_code == 0
    assert files_with(user_path, SECRET) == []
    with closing(sqlite3.connect(user_path / "logs.db")) as conn:
        assert conn.execute("select error from turn_status").fetchall() == [("-",)]
        assert conn.execute("select prompt, response_json from logs").fetchall() == [("-", "-")]
        assert conn.execute("select name from conversations").fetchall() == [("-",)]


def test_redact_reply_whose_references_lead_nowhere(db: Any) -> None:
    """A raw reply that cannot be put together any more is rewritten as it is stored."""
    response = Says("short").prompt("p")
    response.text()
    response.log_to_db(db)
    stored = json.dumps({"a": {"$": "9.9.text"}, "b": SECRET})
    with db.conn:
        db.conn.execute("update turns set response_json = ?", [stored])
    redacted(db, SECRET)
    text = db.conn.execute("select response_json from turns").fetchone()[0]
    assert json.loads(text) == {"a": {"$": "9.9.text"}, "b": "[redacted]"}


def test_redact_what_only_a_raw_reply_has(db: Any, user_path: Path) -> None:
    """What a provider's reply holds beside the message is found and replaced, too."""
    model = Says("short")
    model.raw = {"fingerprint": SECRET}
    model.prompt("p").log_to_db(db)
    db.close()
    result = invoke("redact", SECRET, "-y")
    assert result.stdout.startswith("Found in 1 other value\n")
    assert files_with(user_path, SECRET) == []


def test_redact_asks_and_says_what_was_found(db: Any) -> None:
    """Anything but yes changes nothing; a pattern that matches nothing asks nothing."""
    log_everything(db)
    result = invoke("redact", SECRET, stdin="n\n")
    assert result.exit_code == 1
    assert "Found in 4 messages, 1 fragment, " in result.stdout
    assert find(db.conn, Scrubber(re.compile(SECRET), "")).total
    nothing = invoke("redact", "no such text")
    assert (nothing.exit_code, nothing.stdout) == (0, "Nothing in the log matches\n")


@pytest.mark.parametrize(("pattern", "text"), [("(", "Invalid regular"), ("a*", "empty text")])
def test_redact_pattern_that_cannot_be_meant(db: Any, pattern: str, text: str) -> None:
    """A broken pattern, or one that is everywhere, is a usage error."""
    result = invoke("redact", pattern, "-y")
    assert result.exit_code == 2
    assert text in result.stderr


def test_redact_fixed_string(db: Any, plugin: ModuleType) -> None:
    """With -F the text itself is looked for."""
    response = Says("ok").prompt("sk-(1)")
    response.text()
    response.log_to_db(db)
    assert invoke("redact", "-F", "sk-(1)", "-y").exit_code == 0
    assert select_rows(db.conn, LogFilters())[0]["prompt"] == "[redacted]"


def journal_of(response: llm.Response) -> Journal:
    """The journal of a response whose request was sent."""
    journal = Journal()
    journal.begun(response)
    journal.recorded(event("text", f"so far {SECRET}"))
    return journal


def test_redact_what_a_dead_process_left(db: Any, user_path: Path) -> None:
    """A journal whose process has died is logged first, and so it is rewritten too."""
    db.close()
    journal = journal_of(Says("x").prompt(f"Tell {SECRET}"))
    assert journal._file is not None
    assert journal._file.fd is not None
    os.close(journal._file.fd)
    assert invoke("redact", SECRET, "-y").exit_code == 0
    assert list((user_path / "inflight").iterdir()) == []
    assert files_with(user_path, SECRET) == []
    row = json.loads(invoke("list", "--json").stdout)[0]
    assert (row["prompt"], row["response"]) == ("Tell [redacted]", "so far [redacted]")


def test_redact_while_a_prompt_is_answered(db: Any) -> None:
    """The journal of a process that lives cannot be rewritten, and that is said."""
    journal = journal_of(Says("x").prompt(f"Tell {SECRET}"))
    result = invoke("redact", SECRET, "-y")
    assert "1 prompt on the way to the log" in result.stderr
    assert journal._file is not None
    assert journal._file.fd is not None
    os.close(journal._file.fd)


def test_redact_tells_one_count(db: Any) -> None:
    """What was found is what was redacted, though titles follow from their prompts."""
    log_everything(db)
    found, _, done = invoke("redact", SECRET, "-y").stdout.splitlines()
    assert found.removeprefix("Found in ") == done.removeprefix("Redacted ")


def test_redact_while_another_log_is_written(
    db: Any, user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that is on its way to another log, or to that of another user directory, does not
    concern this one, wherever its journal lies."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    elsewhere = Journal(str(tmp_path / "other.db"))
    elsewhere.begun(Says("x").prompt("to another file"))
    # A user directory that takes no journal: this one lies in a folder that both look at.
    other = tmp_path / "other"
    other.mkdir()
    (other / "inflight").write_text("in the way")
    with monkeypatch.context() as patch:
        patch.setenv("LLM_USER_PATH", str(other))
        theirs = journal_of(Says("x").prompt("of another user directory"))
    assert len(leftovers()) == 2
    assert "on the way" not in invoke("redact", SECRET, "-y").stderr
    ours = journal_of(Says("x").prompt("to this one"))
    assert "1 prompt on the way to the log" in invoke("redact", SECRET, "-y").stderr
    result = invoke("redact", SECRET, "-y", "-d", str(user_path / "logs.db"))
    assert "1 prompt on the way to the log" in result.stderr
    for journal in (elsewhere, theirs, ours):
        assert journal._file is not None
        assert journal._file.fd is not None
        os.close(journal._file.fd)
