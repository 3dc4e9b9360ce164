"""A stored conversation can be continued as if it had never been left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import llm
from llm.errors import LogError, UnknownModelError
from llm.logs import LogStore
from llm.logs.file.db import open_log, open_readonly
from llm.logs.file.migrations import needs_migration
from llm.logs.read.rehydrate import load_conversation
from llm.logs.records.chains import hash_chain
from llm.logs.records.outcome import FAILED, Outcome
from llm.logs.records.threads import latest_conversation_id
from llm.models.turn_record import remembered_exception
from tests.helpers.databases import DATA, copy_of, plugin_of_the_data
from tests.helpers.log_models import AsyncSays, Says, Search, event, plugin_of

PNG = (DATA / "files" / "pixel.png").read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a new database is made."""
    return tmp_path / "logs.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite_utils.Database]:
    """A new database, open for writing."""
    database = open_log(path)
    yield database
    database.close()


def say(db: sqlite_utils.Database, conversation: Any, *texts: str, **values: Any) -> llm.Response:
    """Prompt a conversation with each text, log each response, and give the last."""
    for text in texts:
        response: llm.Response = conversation.prompt(text, **values)
        response.log_to_db(db)
    return response


def loaded(source: Any, id: str | None, **values: Any) -> Any:
    """A conversation that is there."""
    values.setdefault("model", Says())
    conversation = load_conversation(source, id, **values)
    assert conversation is not None
    return conversation


def texts(messages: list[llm.Message]) -> list[str]:
    """The text of each message."""
    return [message.text() for message in messages]


def test_load_conversation_goes_on_in_the_same_thread(
    db: sqlite_utils.Database, path: Path
) -> None:
    """The next prompt carries the whole history and extends the same thread."""
    before = Says("1", "2").conversation()
    say(db, before, "a", "b", system="S")
    model = Says("3")
    after = loaded(path, before.id, model=model)
    say(db, after, "c")
    assert texts(model.sent[0]) == ["S", "a", "1", "b", "2", "c"]
    store = LogStore(db)
    assert texts(store.thread_messages(before.id)) == ["S", "a", "1", "b", "2", "c", "3"]
    assert db["threads"].count == 1
    assert store.verify() == []


def test_load_conversation_continued_hashes_only_what_is_new(
    db: sqlite_utils.Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on costs as much after a thousand turns as after one."""
    from llm.logs.write import turns

    before = Says().conversation()
    say(db, before, "a", "b", "c")
    after = loaded(path, before.id)
    counts: list[int] = []

    original = turns.HashedTables.__init__

    def counting(self: Any, tables: Any, parent: str | None) -> None:
        counts.append(len(tables.messages))
        original(self, tables, parent)

    monkeypatch.setattr(turns.HashedTables, "__init__", counting)
    say(db, after, "d", "e")
    assert counts == [2, 2]
    assert len(LogStore(db).thread_messages(before.id)) == 10


def test_load_conversation_with_changed_history_stores_the_changed_one(
    db: sqlite_utils.Database, path: Path
) -> None:
    """What was sent is what is stored, also where a caller has altered the loaded messages."""
    before = Says().conversation()
    say(db, before, "a", "b")
    after = loaded(path, before.id)
    after.loaded_messages = after.loaded_messages[2:]
    say(db, after, "c")
    assert texts(LogStore(db).thread_messages(before.id)) == ["b", "ok", "c", "ok"]
    assert LogStore(db).verify() == []


def test_load_conversation_responses_are_made_when_looked_at(
    db: sqlite_utils.Database, path: Path, plugin: Callable[..., object]
) -> None:
    """Earlier responses are real ones, finished, with all that was stored of them."""
    model = Says("first", "second", raw={"note": "boilerplate"})
    plugin("says", **plugin_of(model))
    schema = {"type": "object"}
    before = model.conversation()
    response = before.prompt(
        "a",
        system="S",
        attachments=[llm.Attachment(type="image/png", content=PNG)],
        fragments=["frag"],
        schema=schema,
        tools=[llm.Tool("t", "d", {"type": "object"})],
        temperature=0.5,
    )
    response.text()
    response.set_usage(input=1, output=2, details={"cached": 3})
    response.set_resolved_model("says-1")
    response.log_to_db(db)
    say(db, before, "b")
    after = loaded(path, before.id, model=model)
    assert [r.id for r in after.responses] == [r.id for r in before.responses]
    first, second = after.responses
    assert isinstance(first, llm.Response)
    assert first.text() == "first"
    assert (first.prompt.prompt, first.prompt.system) == ("frag\na", "S")
    assert [a.content for a in first.prompt.attachments] == [PNG]
    assert [a.content for a in first.attachments] == [PNG]
    assert first.prompt.options.model_dump()["temperature"] == 0.5
    assert first.prompt.schema == schema
    assert [(t.name, t.description) for t in first.prompt.tools] == [("t", "d")]
    assert first.usage() == llm.models.Usage(1, 2, {"cached": 3})
    assert first.resolved_model == "says-1"
    assert first.response_json == {"note": "boilerplate"}
    assert first.datetime_utc() == response.datetime_utc()
    assert first.duration_ms() == response.duration_ms()
    assert first.conversation is after
    assert texts(second.prompt.messages) == ["S", "frag\na", "first", "b"]
    assert second.prompt.given_options is None
    assert model.sent == [[*m] for m in model.sent]
    assert repr(after) == f"<Conversation: {before.id} - 2 responses>"


def test_load_conversation_does_not_run_the_model_again(
    db: sqlite_utils.Database, path: Path
) -> None:
    """Reading an earlier response asks nobody."""
    before = Says().conversation()
    say(db, before, "a")
    model = Says()
    after = loaded(path, before.id, model=model)
    assert after.responses[0].text() == "ok"
    assert model.sent == []


def test_load_conversation_looked_at_late_has_no_response_twice(
    db: sqlite_utils.Database, path: Path
) -> None:
    """Responses logged after loading are not read again from the log."""
    before = Says("1").conversation()
    say(db, before, "a")
    after = loaded(path, before.id, model=Says("2", "3"))
    say(db, after, "b", "c")
    assert [response.text() for response in after.responses] == ["1", "2", "3"]


def test_load_conversation_tool_calls_and_results_are_restored(
    db: sqlite_utils.Database,
) -> None:
    """A chain of tool calls is two responses, the second with the results of the first."""

    def fail() -> str:
        """Fail."""
        raise ValueError("no luck")

    model = Says([llm.ToolCall("fail", {}, "c1"), event("reasoning", "hm")], "done")
    before = model.conversation()
    chain = before.chain("x", tools=[fail])
    chain.text()
    chain.log_to_db(db)
    after = loaded(db, before.id)
    first, second = after.responses
    assert first.tool_calls() == [llm.ToolCall("fail", {}, "c1")]
    [result] = second.prompt.tool_results
    assert (result.name, result.output, result.tool_call_id) == ("fail", "Error: no luck", "c1")
    assert repr(result.exception) == "ValueError('no luck')"
    assert second.prompt.prompt == ""
    assert second.text() == "done"


def test_load_conversation_latest_is_the_one_used_last(db: sqlite_utils.Database) -> None:
    """`-c` follows the conversation that was used last, not the one that was begun last."""
    old, new = Says().conversation(), Says().conversation()
    say(db, old, "a")
    say(db, new, "b")
    assert latest_conversation_id(db.conn) == new.id
    say(db, old, "c")
    assert latest_conversation_id(db.conn) == old.id
    assert loaded(db, None).id == old.id


def fail(db: sqlite_utils.Database, conversation: Any, text: str) -> None:
    """Prompt a conversation and log that there was no answer."""
    response = conversation.prompt(text)
    response._begin()
    response.break_off()
    response.outcome = Outcome(FAILED, "ModelError", "no luck")
    response.log_to_db(db)


def test_load_conversation_without_an_answer_has_nothing_of_it(db: sqlite_utils.Database) -> None:
    """A prompt that failed is no part of what the next one sends, even where it was the first."""
    before = Says().conversation()
    fail(db, before, "lost")
    conversation = loaded(db, before.id)
    response = conversation.prompt("next")
    assert texts(response.prompt.messages) == ["next"]
    response.log_to_db(db)
    fail(db, loaded(db, before.id), "lost too")
    again = loaded(db, before.id)
    assert texts(again.prompt("last").prompt.messages) == ["next", "ok", "last"]
    assert [response.prompt.prompt for response in again.responses] == ["lost", "next", "lost too"]


def test_load_conversation_latest_is_one_with_an_answer(db: sqlite_utils.Database) -> None:
    """`-c` goes on with what was answered, not with an attempt to begin something else."""
    fail(db, Says().conversation(), "never answered")
    assert latest_conversation_id(db.conn) is None
    answered = Says().conversation()
    say(db, answered, "a")
    fail(db, Says().conversation(), "never answered")
    assert latest_conversation_id(db.conn) == answered.id


def test_load_conversation_of_an_old_file_without_changing_it(tmp_path: Path) -> None:
    """A command that leaves no trace reads an old file through a copy, at once and later."""
    path = copy_of("0.26", tmp_path)
    before = path.read_bytes()
    conversation = loaded(path, BOOM, may_change=False)
    assert conversation.loaded_messages
    assert conversation.responses
    assert path.read_bytes() == before
    assert list(tmp_path.glob("logs*")) == [path]


def test_load_conversation_that_does_not_exist_is_none(
    db: sqlite_utils.Database, path: Path, tmp_path: Path
) -> None:
    """Nothing is logged, or nothing of that id, or there is no file."""
    assert latest_conversation_id(db.conn) is None
    assert load_conversation(path, None) is None
    assert load_conversation(path, "nope") is None
    assert load_conversation(tmp_path / "missing.db", None) is None
    assert not (tmp_path / "missing.db").exists()


def test_load_conversation_from_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    """A file that is no database is named."""
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"text" * 500)
    with pytest.raises(LogError, match=r"bad\.db"):
        load_conversation(bad, None)


def test_load_conversation_model_is_the_one_that_answered_last(
    db: sqlite_utils.Database, plugin: Callable[..., object]
) -> None:
    """Without a model given, the logged one is looked up; a given one is taken as it is."""
    before = Says().conversation()
    say(db, before, "a")
    with pytest.raises(UnknownModelError, match="Unknown model: says"):
        load_conversation(db, before.id)
    plugin("says", **plugin_of((Says(), AsyncSays())))
    found = load_conversation(db, before.id)
    assert found is not None
    assert found.model.model_id == "says"
    again = load_conversation(db, before.id, async_=True)
    assert isinstance(again, llm.AsyncConversation)
    assert isinstance(again.responses[0], llm.AsyncResponse)
    assert again.responses[0].text_or_raise() == "ok"


def test_load_conversation_fork_without_turns_has_the_model_of_its_origin(
    db: sqlite_utils.Database, plugin: Callable[..., object]
) -> None:
    """A fork is continued with the model of the thread, or of the message, that it left."""
    plugin("says", **plugin_of(Says()))
    before = Says().conversation()
    say(db, before, "a", "b")
    store = LogStore(db)
    tip = db.execute("select tip_message_hash from turns order by id limit 1").fetchone()[0]
    for fork in (store.fork(tip, "named", before.id), store.fork(tip)):
        found = load_conversation(db, fork)
        assert found is not None
        assert found.model.model_id == "says"
        assert texts(found.loaded_messages or []) == ["a", "ok"]
        assert found.responses == []
    assert latest_conversation_id(db.conn) == before.id


def test_load_conversation_empty_thread_is_empty(db: sqlite_utils.Database) -> None:
    """A thread that was only named can be begun."""
    thread = LogStore(db).create_thread("later")
    conversation = loaded(db, thread)
    assert (conversation.name, conversation.loaded_messages) == ("later", [])
    say(db, conversation, "a")
    assert texts(LogStore(db).thread_messages(thread)) == ["a", "ok"]
    assert db.execute("select name from threads").fetchone()[0] == "later"


def test_load_conversation_other_history_of_one_turn_is_kept(db: sqlite_utils.Database) -> None:
    """A turn that was given its own messages is restored with those."""
    before = Says("1", "2").conversation()
    say(db, before, "a")
    say(db, before, "n", messages=[llm.user("other"), llm.assistant("way")])
    first, second = loaded(db, before.id).responses
    assert texts(first.prompt.messages) == ["a"]
    assert texts(second.prompt.messages) == ["other", "way", "n"]
    assert (first.text(), second.text()) == ("1", "2")


def test_load_conversation_options_the_model_does_not_take_are_left_out(
    db: sqlite_utils.Database,
) -> None:
    """An option that is gone, or whose values are other ones now, is no obstacle."""
    before = Says().conversation()
    say(db, before, "a", "b", temperature=1.0, label="x")
    for number, options in enumerate(({"gone": 1, "label": "y"}, {"temperature": "hot"})):
        turn = before.responses[number].id
        db.execute("update turns set options_json = ? where id = ?", [json.dumps(options), turn])
    first, second = loaded(db, before.id).responses
    assert dict(first.prompt.options) == {"temperature": None, "label": "y"}
    assert dict(second.prompt.options) == {"temperature": None, "label": None}


def test_load_conversation_reply_of_a_missing_model_is_none(db: sqlite_utils.Database) -> None:
    """A raw reply that cannot be put together any more does not stop the rest."""
    before = Says(raw={"note": "boilerplate"}).conversation()
    say(db, before, "a")
    assert loaded(db, before.id).responses[0].response_json is None


def test_load_conversation_odd_times_are_tolerated(db: sqlite_utils.Database) -> None:
    """A date that is missing or no date is simply not known; one without zone is UTC."""
    before = Says().conversation()
    say(db, before, "a", "b", "c")
    values = (None, "yesterday", "2026-01-02T03:04:05")
    for value, response in zip(values, before.responses, strict=True):
        db.execute("update turns set datetime_utc = ? where id = ?", [value, response.id])
    times = [response.datetime_utc() for response in loaded(db, before.id).responses]
    assert times == ["", "", "2026-01-02T03:04:05+00:00"]


class Box(llm.Toolbox):
    """A toolbox of a plugin."""

    plugin = "boxes"

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def open(self) -> str:
        """Open it."""
        return "opened"

    def close(self) -> str:
        """Close it."""
        return "closed"


def test_load_conversation_tools_of_the_first_turn_are_specified(
    db: sqlite_utils.Database,
) -> None:
    """Tools of plugins and of the provider can be made again; functions cannot."""

    def inline() -> str:
        """Given by hand."""
        return ""

    before = Says().conversation()
    from_plugin = llm.Tool("shout", plugin="fakeplug")
    say(db, before, "a", tools=[from_plugin, inline, Box(size=3), Search(depth=2)])
    say(db, before, "b")
    specs = loaded(db, before.id).loaded_tools
    assert specs == ["shout", 'Box({"size": 3})', 'Search({"depth": 2})']


def test_load_conversation_provider_tool_of_another_model_is_left_out(
    db: sqlite_utils.Database,
) -> None:
    """A tool that the present model does not have is not asked for."""

    class Other(Says):
        supported_server_side_tools: Any = ()

    before = Says().conversation()
    say(db, before, "a", tools=[Search()])
    assert loaded(db, before.id, model=Other()).loaded_tools == []


# Conversations that older releases wrote.

PLAIN, SYSTEM, PICTURE = (
    "01m82gnm7xr2ek8a1ghnemcf6r",
    "01m82gntt97psn864k0yqk6bje",
    "01m82gp35nsge82s5ffcynqa3j",
)
FRAGMENTS, SHOUT, COUNTER, BOOM = (
    "01m82gp7t8fzwttb70eszttnbt",
    "01m82gpcphh7d9ceft0p10bg1f",
    "01m82gpeyq54gehafhzw4y3gq4",
    "01m82gpg7f3z8zspfdz9py7wfz",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that 0.26 wrote."""
    return copy_of("0.26", tmp_path)


def test_load_legacy_conversation_gives_its_whole_history(old: Path) -> None:
    """Rows of the old table are a chain of messages, and responses."""
    conversation = loaded(old, SYSTEM)
    assert conversation.name == "Conversation turn one"
    assert texts(conversation.loaded_messages) == [
        "Be brief",
        "Conversation turn one",
        "Echo(1): Conversation turn one (system 8 chars)",
        "Conversation turn two",
        "Echo(2): Conversation turn two",
        "Conversation turn three",
        "Echo(3): Conversation turn three",
    ]
    assert [r.prompt.prompt for r in conversation.responses] == [
        "Conversation turn one",
        "Conversation turn two",
        "Conversation turn three",
    ]
    assert conversation.responses[0].prompt.system == "Be brief"
    assert conversation.responses[0].usage().input is not None
    conn = open_readonly(old)
    assert not needs_migration(conn)
    conn.close()


def test_load_legacy_conversation_keeps_its_attachments(old: Path) -> None:
    """What was attached goes along, in the chain and in the responses."""
    conversation = loaded(old, PICTURE)
    first = conversation.loaded_messages[0]
    assert first.parts[1].attachment.url == "https://example.com/cat.png"
    assert conversation.responses[0].attachments == conversation.responses[0].prompt.attachments


def test_load_legacy_conversation_with_fragments_has_their_text(old: Path) -> None:
    """Fragments of prompt and system prompt are back, with their sources."""
    conversation = loaded(old, FRAGMENTS)
    system, user = conversation.loaded_messages[:2]
    assert system.text() == "Always answer politely and never mention the moon."
    assert user.text().endswith("fragment abc line 1\nfragment abc line 2\nSummarise again")
    assert conversation.responses[0].prompt.fragments[1].source == "rep:abc:1"


def test_load_legacy_conversation_with_tools_has_calls_and_results(old: Path) -> None:
    """Calls and results are parts of the chain; the tools can be named."""
    conversation = loaded(old, SHOUT)
    assert [m.role for m in conversation.loaded_messages[:4]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert conversation.loaded_tools == ["shout"]
    assert conversation.responses[0].tool_calls()[0].name == "shout"
    assert [tool.name for tool in conversation.responses[0].prompt.tools] == ["shout"]


def test_load_legacy_conversation_with_toolbox_names_the_toolbox(old: Path) -> None:
    """A toolbox that was used before can be made again with its arguments."""
    assert loaded(old, COUNTER).loaded_tools == ['Counter({"start": 5, "label": "apples"})']


def test_load_legacy_conversation_continued_gets_a_thread_of_its_name(old: Path) -> None:
    """Going on stores the whole history in a thread that keeps id and name."""
    conversation = loaded(old, PICTURE, model=Says("more"))
    name = conversation.name
    db = open_log(old)
    say(db, conversation, "go on")
    store = LogStore(db)
    assert db.execute("select id, name from threads").fetchall() == [(PICTURE, name)]
    messages = store.thread_messages(PICTURE)
    assert texts(messages)[-2:] == ["go on", "more"]
    assert any(part.type == "attachment" for part in messages[0].parts)
    assert store.verify() == []
    again = loaded(db, PICTURE)
    assert texts(again.loaded_messages) == texts(messages)
    assert [r.text() for r in again.responses][-1] == "more"
    assert len(again.responses) == 3
    db.close()


def test_load_conversation_continued_by_0_36_is_one(tmp_path: Path) -> None:
    """Rows of both generations are one conversation; the stored chain is its history."""
    path = copy_of("0.26-continued-by-0.36", tmp_path)
    conversation = loaded(path, SHOUT)
    assert len(conversation.loaded_messages) == 12
    assert len(conversation.responses) == 6
    last = conversation.responses[-1]
    assert conversation.loaded_messages == last.prompt.messages + last.messages()
    assert conversation.loaded_tools == ["shout"]


def test_legacy_history_has_the_addresses_that_0_36_gave_it(tmp_path: Path, old: Path) -> None:
    """The chain made of old rows is the one that 0.36 stored when it went on with them."""
    store = LogStore(open_log(copy_of("0.26-continued-by-0.36", tmp_path)))
    for thread in (SYSTEM, SHOUT, BOOM):
        chain = hash_chain(loaded(old, thread).loaded_messages, None)
        known = {row[0] for row in store.db.execute("select hash from messages")}
        assert {hashed.hash for hashed in chain} <= known
    store.db.close()


def append_legacy(db: sqlite_utils.Database, id: str, thread: str, prompt: str, said: str) -> None:
    """What an older release does when it goes on with a conversation."""
    db.table("responses").insert(
        {
            "id": id,
            "model": "fake",
            "prompt": prompt,
            "response": said,
            "conversation_id": thread,
            "datetime_utc": "2027-01-01T00:00:00",
        }
    )


def test_load_mixed_conversation_puts_late_rows_in_by_their_time(old: Path) -> None:
    """What an older release adds to a conversation that is a thread already is not forgotten."""
    db = open_log(old)
    say(db, loaded(db, PLAIN, model=Says("two")), "second")
    append_legacy(db, "7zzzzzzzzzzzzzzzzzzzzzzzz1", PLAIN, "third", "three")
    merged = loaded(db, PLAIN)
    expected = ["First plain prompt", "Echo(1): First plain prompt"]
    expected += ["second", "two", "third", "three"]
    assert texts(merged.loaded_messages) == expected
    assert [r.text() for r in merged.responses] == [expected[1], "two", "three"]
    db.close()


def test_load_mixed_conversation_going_on_twice_repeats_nothing(old: Path) -> None:
    """Rows that were merged once are part of the chain and are not put in again."""
    db = open_log(old)
    say(db, loaded(db, PLAIN, model=Says("two")), "second")
    turn = db.execute("select max(id) from turns").fetchone()[0]
    append_legacy(db, turn + "x", PLAIN, "third", "three")
    say(db, loaded(db, PLAIN, model=Says("four")), "fourth")
    again = texts(loaded(db, PLAIN).loaded_messages)
    assert again[2:] == ["second", "two", "third", "three", "fourth", "four"]
    assert texts(LogStore(db).thread_messages(PLAIN)) == again
    db.close()


def test_load_mixed_conversation_rows_that_0_36_ignored_are_put_in_between(old: Path) -> None:
    """A later turn whose chain lacks the older rows is put behind them."""
    db = open_log(old)
    say(db, loaded(db, PLAIN, model=Says("two")), "second")
    store = LogStore(db)
    turn = db.execute("select max(id) from turns").fetchone()[0]
    append_legacy(db, turn + "x", PLAIN, "third", "three")
    history = store.thread_messages(PLAIN)
    response = Says("four").prompt("fourth", messages=history)
    store.log(response, thread_id=PLAIN)
    again = texts(loaded(db, PLAIN).loaded_messages)
    assert again[2:] == ["second", "two", "third", "three", "fourth", "four"]
    db.close()


def test_load_mixed_conversation_another_history_replaces_the_one_before(old: Path) -> None:
    """A turn that was given its own messages begins anew; later rows follow it."""
    db = open_log(old)
    say(db, loaded(db, PLAIN, model=Says("two")), "second")
    response = Says("four").prompt("fourth", messages=[llm.user("x"), llm.assistant("y")])
    LogStore(db).log(response, thread_id=PLAIN)
    append_legacy(db, "7zzzzzzzzzzzzzzzzzzzzzzzz1", PLAIN, "fifth", "five")
    again = texts(loaded(db, PLAIN).loaded_messages)
    assert again == ["x", "y", "fourth", "four", "fifth", "five"]
    db.close()


def test_load_legacy_conversation_of_every_release(tmp_path: Path) -> None:
    """The latest conversation of each old file can be continued."""
    for release in ("0.13", "0.19", "0.26", "0.26-continued-by-0.36", "0.36"):
        conversation = loaded(copy_of(release, tmp_path), None)
        assert conversation.loaded_messages
        assert conversation.responses


def test_latest_conversation_id_counts_legacy_responses(old: Path) -> None:
    """Before any thread exists the latest response decides."""
    db = open_log(old)
    assert latest_conversation_id(db.conn) == BOOM
    append_legacy(db, "7zzzzzzzzzzzzzzzzzzzzzzzz1", PLAIN, "third", "three")
    assert latest_conversation_id(db.conn) == PLAIN
    db.close()


def test_conversation_row_without_responses_has_its_own_model(
    old: Path, plugin: Callable[..., object]
) -> None:
    """A legacy conversation that lost its responses is still known."""
    plugin("says", **plugin_of(Says()))
    db = open_log(old)
    db.table("conversations").insert({"id": "empty", "name": "Nothing", "model": "says"})
    conversation = load_conversation(db, "empty")
    assert conversation is not None
    assert (conversation.name, conversation.loaded_messages) == ("Nothing", [])
    assert conversation.loaded_tools == []
    db.close()


def test_response_from_row_is_a_finished_response(old: Path) -> None:
    """`Response.from_row(db, row)` rebuilds one row of the old table."""
    db = open_log(old)
    with plugin_of_the_data():
        rows = {row["prompt"]: row for row in db.query("select * from responses")}
        response = llm.Response.from_row(db, rows["Describe this picture"])
        assert response.text().startswith("Echo(1): Describe this picture")
        assert [a.type for a in response.attachments] == ["image/png"]
        assert response.conversation is None
        dog = llm.Response.from_row(db, rows["Invent a dog"])
        assert dog.prompt.schema is not None
        assert dog.response_json is not None
        assert dog.response_json["text"] == dog.text()
    db.close()


def test_response_from_row_unknown_model_is_an_error(old: Path) -> None:
    """A row of a model that is not installed names the model."""
    db = open_log(old)
    row = next(iter(db.query("select * from responses limit 1")))
    with pytest.raises(UnknownModelError, match="fake"):
        llm.Response.from_row(db, row)
    db.close()


def test_legacy_results_with_exception_and_attachment_are_restored(old: Path) -> None:
    """What a tool raised and what it attached, as 0.27 to 0.31 stored them, is in the chain."""
    db = open_log(old)
    number = db.execute("select max(id) from tool_results").fetchone()[0]
    db.execute("update tool_results set exception = 'ValueError: boom x' where id = ?", [number])
    attachment = db.execute("select id from attachments limit 1").fetchone()[0]
    # Its file is gone, so it would be a note.
    db.execute("update attachments set content = ?", [PNG])
    db.execute("insert into tool_results_attachments values (?, ?, 0)", [number, attachment])
    conversation = loaded(db, BOOM)
    part = conversation.loaded_messages[2].parts[0]
    assert part.exception == "ValueError: boom x"
    assert [a.id() for a in part.attachments] == [attachment]
    db.close()


def test_remembered_exception_reads_as_it_was_logged() -> None:
    """Class and message are told apart; a text without a class is a plain exception."""
    assert repr(remembered_exception("KeyError: x: y")) == "KeyError('x: y')"
    assert repr(remembered_exception("no class here")) == "Exception('no class here')"
    assert repr(remembered_exception("not a name: x")) == "Exception('not a name: x')"


def test_load_conversation_takes_a_plain_connection(old: Path) -> None:
    """A connection of the standard library is as good as a file."""
    db = open_log(old)
    conn = sqlite3.connect(old)
    assert loaded(conn, PLAIN).responses[0].text() == "Echo(1): First plain prompt"
    conn.close()
    db.close()


def test_load_legacy_conversation_raw_payloads_are_values(old: Path) -> None:
    """The raw request and reply of legacy rows are values, not text."""
    response = loaded(old, PLAIN).responses[0]
    assert response._prompt_json is None
    assert isinstance(response.response_json, dict)
