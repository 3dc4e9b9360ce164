"""Logging a response writes one turn: all that belongs to it, or nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

import llm
from llm.errors import LogError
from llm.logs import LogStore
from llm.logs.file.db import open_log
from llm.logs.write.turns import HashedTables, TurnWriter
from tests.helpers.databases import DATA
from tests.helpers.log_models import AsyncSays, Says, Search, event

LONG = "A long text that a provider repeats in its reply, longer than 64 characters."


@pytest.fixture
def db() -> Iterator[sqlite_utils.Database]:
    """A database in memory."""
    database = sqlite_utils.Database(memory=True)
    yield database
    database.close()


def one(db: sqlite_utils.Database, sql: str) -> Any:
    """The only row of a query; its value if it is one."""
    [row] = db.execute(sql).fetchall()
    return row[0] if len(row) == 1 else row


def logged(db: sqlite_utils.Database, response: llm.Response) -> llm.Response:
    """The response, after it was logged."""
    response.log_to_db(db)
    return response


def test_log_plain_prompt_writes_thread_turn_and_two_messages(db: sqlite_utils.Database) -> None:
    """The least that is stored of a prompt."""
    response = logged(db, Says("Hi there").prompt("Hello\n  you"))
    thread_id, name, tip, forked, created = one(db, "select * from threads")
    assert (name, forked) == ("Hello you", None)
    assert created.endswith("+00:00")
    turn = next(iter(db["turns"].rows))
    assert turn["id"] == response.id
    assert turn["thread_id"] == thread_id
    assert turn["tip_message_hash"] == tip
    assert (turn["model"], turn["options_json"], turn["response_json"]) == ("says", None, None)
    assert "T" in turn["datetime_utc"]
    assert LogStore(db).load_chain(tip) == [llm.user("Hello\n  you"), llm.assistant("Hi there")]
    assert one(db, "select prompt, response from turn_search") == ("Hello\n  you", "Hi there")


def test_log_options_usage_schema_and_resolved_model_are_kept(db: sqlite_utils.Database) -> None:
    """What was asked for and what it cost is in the row of the turn."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    response = Says().prompt("x", schema=schema, temperature=0.5)
    response.text()
    response.set_usage(input=3, output=4, details={"cached": 1})
    response.set_resolved_model("says-1")
    logged(db, response)
    assert one(
        db,
        "select options_json, input_tokens, output_tokens, token_details, resolved_model,"
        " schemas.content from turns join schemas on schemas.id = schema_id",
    ) == (
        '{"temperature": 0.5}',
        3,
        4,
        '{"cached": 1}',
        "says-1",
        json.dumps(schema, separators=(",", ":")),
    )


def test_log_same_prompt_again_shares_the_messages(db: sqlite_utils.Database) -> None:
    """Equal histories are stored once; threads and turns are new."""
    for _ in range(2):
        logged(db, Says("b").prompt("a"))
    counts = "select (select count(*) from threads), (select count(*) from messages)"
    assert one(db, counts) == (2, 2)


def test_log_same_response_again_replaces_its_turn(db: sqlite_utils.Database) -> None:
    """A response that is logged twice is one turn, with what it holds the second time."""
    response = Says("b").prompt("a", fragments=["f"], tools=[llm.Tool("t")])
    logged(db, response)
    response.set_usage(input=9)
    thread = one(db, "select id from threads")
    LogStore(db).log(response, thread_id=thread)
    assert one(db, "select input_tokens from turns") == 9
    assert one(db, "select count(*) from turn_search") == 1
    assert one(db, "select count(*) from turn_tools") == 1
    assert one(db, "select count(*) from turn_fragments") == 1
    assert one(db, "select count(*) from threads") == 1
    found = db.execute(
        "select turn_id from turn_search_fts join turn_search on"
        " turn_search.id = turn_search_fts.rowid where turn_search_fts match 'b'"
    )
    assert found.fetchall() == [(response.id,)]


def test_log_conversation_moves_the_tip_of_one_thread(db: sqlite_utils.Database) -> None:
    """Turns of a conversation share their thread and its messages."""
    conversation = Says("1", "2", "3").conversation()
    for text in "abc":
        logged(db, conversation.prompt(text, system="S"))
    assert one(db, "select id from threads") == conversation.id
    assert one(db, "select count(*) from turns") == 3
    assert one(db, "select count(*) from messages") == 7
    texts = [message.text() for message in LogStore(db).thread_messages(conversation.id)]
    assert texts == ["S", "a", "1", "b", "2", "c", "3"]
    assert LogStore(db).verify() == []


def test_log_later_turn_looks_at_no_earlier_message(
    db: sqlite_utils.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of logging a turn does not grow with the conversation."""
    conversation = Says().conversation()
    for _ in range(5):
        logged(db, conversation.prompt("again"))
    hashed: list[int] = []
    original = HashedTables.__init__

    def counting(self: Any, tables: Any, parent: Any) -> None:
        original(self, tables, parent)
        hashed.append(len(self.messages))

    monkeypatch.setattr(HashedTables, "__init__", counting)
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    logged(db, conversation.prompt("again"))
    assert hashed == [2]
    own = [sql for sql in statements if not sql.startswith("--")]
    assert len(own) < 20


def test_log_into_another_database_takes_the_history_along(db: sqlite_utils.Database) -> None:
    """A conversation may change its database: the whole chain is stored there too."""
    conversation = Says("1", "2").conversation()
    logged(db, conversation.prompt("a"))
    other = sqlite_utils.Database(memory=True)
    logged(other, conversation.prompt("b"))
    texts = [message.text() for message in LogStore(other).thread_messages(conversation.id)]
    assert texts == ["a", "1", "b", "2"]
    assert LogStore(other).verify() == []
    other.close()


def test_log_reply_outside_a_conversation_makes_a_thread_each(db: sqlite_utils.Database) -> None:
    """Without a conversation each turn has its own thread; the messages are shared."""
    first = logged(db, Says("1").prompt("a"))
    logged(db, first.reply("b"))
    assert one(db, "select count(*) from threads") == 2
    assert one(db, "select count(*) from messages") == 4


def test_log_fragments_are_stored_once_and_referred_to(db: sqlite_utils.Database) -> None:
    """Fragments of prompt and system prompt, also used twice, are known by the turn."""
    one_fragment = llm.Fragment("first text", "a.txt")
    logged(
        db,
        Says().prompt(
            "Q", fragments=[one_fragment, "second", one_fragment], system_fragments=["rule"]
        ),
    )
    kept = db.execute(
        'select content, source, kind, "order" from turn_fragments'
        " join fragments on fragments.id = fragment_id order by kind, 4"
    ).fetchall()
    assert kept == [
        ("first text", "a.txt", "prompt", 0),
        ("second", None, "prompt", 1),
        ("first text", "a.txt", "prompt", 2),
        ("rule", None, "system", 0),
    ]
    assert one(db, "select prompt from turn_search") == "\n\n\nQ"
    assert LogStore(db).verify() == []


def test_log_prompt_of_fragments_alone_is_searched_by_the_answer(
    db: sqlite_utils.Database,
) -> None:
    """What was not typed is not found as a prompt."""
    logged(db, Says("answer").prompt(fragments=["only this"]))
    assert one(db, "select prompt, response from turn_search") == ("", "answer")


def test_log_nothing_said_has_no_search_row_and_keeps_the_tip(db: sqlite_utils.Database) -> None:
    """An empty answer to attachments alone leaves nothing to find."""
    png = llm.Attachment(type="image/png", content=(DATA / "files" / "pixel.png").read_bytes())
    logged(db, Says([]).prompt(attachments=[png]))
    assert one(db, "select count(*) from turn_search") == 0
    assert one(db, "select parent_message_hash = tip_message_hash from turns") == 1
    assert one(db, "select name from threads") == ""


def test_log_neither_input_nor_output_is_still_a_turn(db: sqlite_utils.Database) -> None:
    """A model may be asked nothing and answer nothing."""
    logged(db, Says([]).prompt())
    assert one(db, "select parent_message_hash, tip_message_hash from turns") == (None, None)


def test_log_several_output_messages_are_searched_in_order(db: sqlite_utils.Database) -> None:
    """The answer reads in the order in which it was given."""
    answer = [
        event("text", "one "),
        event("tool_result", "hits", tool_name="web", server_executed=True, message_index=1),
        event("text", "two", message_index=2),
    ]
    logged(db, Says(answer).prompt("x"))
    assert one(db, "select response from turn_search") == "one two"


def test_log_surrogates_do_not_lose_the_turn(db: sqlite_utils.Database) -> None:
    """Text that cannot be encoded is stored with U+FFFD everywhere."""
    response = Says("half \ud83d").prompt("broken \udfff", fragments=["frag \ud800"])
    logged(db, response)
    assert one(db, "select response from turn_search") == "half \ufffd"
    assert one(db, "select name from threads") == "frag \ufffd broken \ufffd"
    assert LogStore(db).verify() == []


class my_box(llm.Toolbox):
    """A toolbox whose class name has an underscore, with an argument that JSON does not know."""

    plugin = "boxes"

    def __init__(self, path: Path) -> None:
        self.path = path

    def look(self) -> str:
        """Look into it."""
        return str(self.path)


def test_log_toolbox_is_stored_as_its_class_and_arguments(db: sqlite_utils.Database) -> None:
    """The real class name is kept, and arguments of any type."""
    model = Says([llm.ToolCall("my_box_look", {}, "c1")], "done")
    chain = model.conversation().chain("x", tools=[my_box(Path("/tmp"))])
    chain.text()
    chain.log_to_db(db)
    instance = one(db, "select name, plugin, arguments from tool_instances")
    assert instance == ("my_box", "boxes", '{"path": "/tmp"}')
    used = db.execute("select name, instance_id from turn_tools join tools on tools.id = tool_id")
    assert used.fetchall() == [("my_box_look", 1)] * 2
    [first, second] = db.execute("select id from turns order by id").fetchall()
    assert first != second
    assert one(db, "select * from tool_instantiations") == (second[0], "c1", 1)


def test_log_functions_and_provider_tools_are_told_apart(db: sqlite_utils.Database) -> None:
    """A function has no instance; a tool that the provider runs has one."""

    def add(a: int) -> int:
        """Add."""
        return a

    logged(db, Says().prompt("x", tools=[add, Search(depth=3)]))
    used = db.execute(
        "select tools.name, tools.plugin, tool_instances.name, tool_instances.arguments"
        " from turn_tools join tools on tools.id = tool_id"
        " left join tool_instances on tool_instances.id = instance_id order by tools.id"
    ).fetchall()
    assert used == [("add", None, None, None), ("search", None, "Search", '{"depth": 3}')]


def test_log_results_without_call_id_or_toolbox_have_no_instantiation(
    db: sqlite_utils.Database,
) -> None:
    """Only a result that can be told apart, of a configured toolbox, is linked."""
    results = [
        llm.ToolResult("a", "1", tool_call_id="c1"),
        llm.ToolResult("b", "2", instance=my_box(Path("/"))),
    ]
    logged(db, Says().prompt("x", tool_results=results))
    assert one(db, "select count(*) from tool_instantiations") == 0
    assert one(db, "select count(*) from parts where type = 'tool_result'") == 2


def test_log_raw_reply_is_condensed_and_read_back(db: sqlite_utils.Database, plugin: Any) -> None:
    """The raw reply refers to what is stored anyway, and comes back whole."""
    raw = {"text": LONG, "note": "boilerplate", "tools": [{"description": LONG + "!"}]}
    model = Says(LONG, raw=raw)
    from tests.helpers.log_models import plugin_of

    plugin("raw", **plugin_of(model))
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": LONG}}}
    response = logged(db, model.prompt("x", tools=[llm.Tool("t", LONG + "!")], schema=schema))
    stored = json.loads(one(db, "select response_json from turns"))
    assert stored == {
        "text": {"$": "0.0.text"},
        "note": {"$": "m.note"},
        "tools": [{"description": {"$": "tool.t.description"}}],
    }
    assert LogStore(db).turn_response_json(response.id) == raw
    assert LogStore(db).turn_response_json("unknown") is None


def test_log_without_raw_reply_has_none_to_read(db: sqlite_utils.Database) -> None:
    """Most models give no raw reply."""
    response = logged(db, Says().prompt("x"))
    assert LogStore(db).turn_response_json(response.id) is None


def test_turn_response_json_of_a_missing_model_is_an_error(db: sqlite_utils.Database) -> None:
    """A reference to the model's own texts needs the model."""
    from condense_json import UncondenseError

    response = logged(db, Says("x", raw={"note": "boilerplate"}).prompt("x"))
    with pytest.raises(UncondenseError):
        LogStore(db).turn_response_json(response.id)


def test_log_title_is_that_of_the_conversation_where_it_has_one(
    db: sqlite_utils.Database,
) -> None:
    """A name that was given is kept; else the first prompt, or the system prompt, is the title."""
    conversation = Says().conversation()
    conversation.name = "Given"
    logged(db, conversation.prompt("x"))
    logged(db, Says().prompt(system="Only a system prompt, rather long as it is"))
    names = [row[0] for row in db.execute("select name from threads order by rowid")]
    assert names == ["Given", "Only a system prompt, rather lo\u2026"]


def test_log_in_a_locked_database_is_a_log_error(tmp_path: Path) -> None:
    """A database that stays locked is named, and nothing is half written."""
    path = tmp_path / "logs.db"
    db = open_log(path)
    db.execute("pragma busy_timeout = 1")
    other = sqlite3.connect(path)
    other.execute("begin immediate")
    with pytest.raises(LogError, match="locked"):
        logged(db, Says().prompt("x"))
    other.rollback()
    assert one(db, "select count(*) from messages") == 0
    other.close()
    db.close()


def test_log_failure_in_the_middle_leaves_nothing(
    db: sqlite_utils.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn is written whole or not at all."""
    LogStore(db)

    def fail(self: object, conn: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(TurnWriter, "_write_search", fail)
    with pytest.raises(LogError, match="Free some space"):
        logged(db, Says().prompt("x"))
    for table in ("threads", "turns", "messages", "parts"):
        assert one(db, f"select count(*) from {table}") == 0


def test_log_within_a_transaction_is_undone_with_it(db: sqlite_utils.Database) -> None:
    """A caller that has begun a transaction decides whether the turn stays."""
    LogStore(db)
    db.execute("begin")
    logged(db, Says().prompt("x"))
    assert one(db, "select count(*) from turns") == 1
    db.execute("rollback")
    assert one(db, "select count(*) from turns") == 0


def test_log_history_given_by_hand_is_stored(db: sqlite_utils.Database) -> None:
    """`messages=` is the history, whoever made it."""
    history = [llm.user("u"), llm.assistant("a")]
    logged(db, Says("2").prompt("n", messages=history))
    tip = one(db, "select tip_message_hash from threads")
    assert LogStore(db).load_chain(tip) == [*history, llm.user("n"), llm.assistant("2")]


def test_log_response_filled_by_hand_is_stored(db: sqlite_utils.Database) -> None:
    """A plugin may build its response without running the model."""
    model = Says()
    response = llm.Response(llm.Prompt("x", model), model, False)
    chunks: Any = ["by ", "hand"]
    response._chunks = chunks
    response._done = True
    logged(db, response)
    assert one(db, "select response from turn_search") == "by hand"


@pytest.mark.asyncio
async def test_log_asynchronous_conversation_is_the_same(db: sqlite_utils.Database) -> None:
    """Both kinds of response are logged alike."""
    conversation = AsyncSays().conversation()
    for text in "ab":
        response = conversation.prompt(text)
        await response.text()
        response.log_to_db(db)
    texts = [message.text() for message in LogStore(db).thread_messages(conversation.id)]
    assert texts == ["a", "ok", "b", "ok"]


def test_shared_rows_are_found_again(db: sqlite_utils.Database) -> None:
    """Equal fragments, tools and instances have one row each."""
    from llm.utils import ensure_fragment, ensure_tool, ensure_tool_instance

    LogStore(db)
    tool = llm.Tool("t", "d", {"type": "object"}, plugin="p")
    assert ensure_tool(db, tool) == ensure_tool(db, tool) == 1
    assert ensure_fragment(db, "a") == ensure_fragment(db, llm.Fragment("a", "late")) == 1
    assert one(db, "select source from fragments") is None
    numbers = [ensure_tool_instance(db, "n", plugin, {"a": 1}) for plugin in (None, None, "p")]
    assert numbers == [1, 1, 2]
