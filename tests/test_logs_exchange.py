"""Conversations leave the log as JSON and come into another one as they were."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import llm
from llm.errors import InvalidInput, NotFound
from llm.logs import LogStore
from llm.logs.exchange.as_json import export_conversation, import_conversation
from llm.logs.file.db import open_log, open_memory
from llm.logs.read.rehydrate import load_conversation
from llm.logs.records.threads import newest_conversations
from tests.helpers.databases import DATA, copy_of
from tests.helpers.log_models import Says
from tests.test_conversation_dicts import rich_conversation

PNG = (DATA / "files" / "pixel.png").read_bytes()
# Everything that belongs to the turns of one thread; ids that a file counts up are resolved.
WHOLE = (
    "select * from turns where thread_id = ? order by id",
    "select turn_id, prompt, response from turn_search"
    " where turn_id in (select id from turns where thread_id = ?) order by 1",
    "select turn_id, tools.hash, tools.name, description, input_schema, tools.plugin, i.name,"
    " i.plugin, i.arguments from turn_tools join tools on tools.id = tool_id"
    " left join tool_instances i on i.id = instance_id"
    " where turn_id in (select id from turns where thread_id = ?) order by turn_tools.rowid",
    "select turn_id, tool_call_id, name, plugin, arguments from tool_instantiations"
    " join tool_instances i on i.id = instance_id"
    " where turn_id in (select id from turns where thread_id = ?) order by 1, 2",
    'select turn_id, kind, "order", hash, content, source from turn_fragments'
    " join fragments on fragments.id = fragment_id"
    " where turn_id in (select id from turns where thread_id = ?) order by 1, 2, 3",
    "select id, name, tip_message_hash, forked_from, datetime_utc from threads where id = ?",
)
CHAIN = """
with recursive chain (hash) as (
    select tip_message_hash from threads where id = ?1
    union select tip_message_hash from turns where thread_id = ?1
    union select messages.parent_hash from chain join messages on messages.hash = chain.hash
)
select messages.*, position, type, tool_name, text, payload,
    (select group_concat(hash || "order") from part_fragments
        join fragments on fragments.id = fragment_id where part_id = parts.id)
from chain join messages on messages.hash = chain.hash
left join parts on parts.message_hash = messages.hash order by 1, 5
"""


def through_json(value: Any) -> Any:
    """What comes out of a JSON text of `value`."""
    return json.loads(json.dumps(value))


def whole(conn: sqlite3.Connection, thread_id: str) -> list[list[tuple[Any, ...]]]:
    """All rows of one thread."""
    rows = [conn.execute(sql, [thread_id]).fetchall() for sql in (*WHOLE, CHAIN)]
    # Numbers of fragments differ between files.
    rows[-1] = [(*row[:8], _without_numbers(row[8]), *row[9:]) for row in rows[-1]]
    return rows


def _without_numbers(payload: str | None) -> Any:
    shape = json.loads(payload or "null")
    if shape and "text_ref" in shape:
        shape["text_ref"] = [{**piece, "fragment": 0} for piece in shape["text_ref"]]
    return shape


def ids_of(conn: sqlite3.Connection) -> list[str]:
    """The ids of all conversations."""
    return [pair[0] for pair in newest_conversations(conn)]


@pytest.mark.parametrize("release", ["0.36", "0.26-continued-by-0.36"])
def test_export_and_import_lose_nothing(release: str, tmp_path: Path) -> None:
    """Every row of every thread is the same in the other file, without any model installed."""
    source = open_log(copy_of(release, tmp_path))
    for thread_id in ids_of(source.conn):
        shape = through_json(export_conversation(source.conn, thread_id))
        target = open_memory()
        assert import_conversation(target.conn, shape) == thread_id
        legacy = source.execute("select 1 from conversations where id = ?", [thread_id]).fetchone()
        if legacy is None and shape["turns"]:
            found, there = whole(target.conn, thread_id), whole(source.conn, thread_id)
            # 0.36 indexes several messages of one answer from the last to the first.
            _, _ = found.pop(1), there.pop(1)
            assert found == there
            assert through_json(export_conversation(target.conn, thread_id)) == shape


@pytest.mark.filterwarnings("ignore:The attachment .* is gone")
@pytest.mark.parametrize("release", ["0.13", "0.19", "0.26", "0.26-continued-by-0.36"])
def test_legacy_conversations_become_threads(release: str, tmp_path: Path) -> None:
    """What older releases logged arrives with the same history and the same turns."""
    source = open_log(copy_of(release, tmp_path))
    for conversation_id in ids_of(source.conn):
        shape = through_json(export_conversation(source.conn, conversation_id))
        target = open_memory()
        import_conversation(target.conn, shape)
        model = Says()
        old = load_conversation(source, conversation_id, model=model)
        new = load_conversation(target, conversation_id, model=model)
        assert old is not None
        assert new is not None
        assert new.loaded_messages == old.loaded_messages
        assert [r.id for r in new.responses] == [r.id for r in old.responses]
        assert [r.usage() for r in new.responses] == [r.usage() for r in old.responses]
        assert [r.json() for r in new.responses] == [r.json() for r in old.responses]
        assert new.name == old.name
        again = through_json(export_conversation(target.conn, conversation_id))
        assert again.get("loaded_tools") == shape.get("loaded_tools")
        assert _described(again) == _described(shape)


def test_reasoning_of_a_legacy_turn_arrives_with_it(tmp_path: Path) -> None:
    """It is part of what was answered, in both logs; to a model it is not sent on."""
    source = open_log(copy_of("0.26", tmp_path))
    [conversation_id] = source.execute(
        "select conversation_id from responses group by 1 having count(*) = 2 limit 1"
    ).fetchone()
    plain = load_conversation(source, conversation_id, model=Says())
    with source.conn:
        source.conn.execute("update responses set reasoning = 'Thinking of ' || id")
    old = load_conversation(source, conversation_id, model=Says())
    target = open_memory()
    import_conversation(
        target.conn, through_json(export_conversation(source.conn, conversation_id))
    )
    new = load_conversation(target, conversation_id, model=Says())
    assert plain is not None
    assert old is not None
    assert new is not None
    assert old.loaded_messages == new.loaded_messages == plain.loaded_messages
    for conversation in (old, new):
        assert [r.text() for r in conversation.responses] == [r.text() for r in plain.responses]
        for response in conversation.responses:
            assert isinstance(response, llm.Response)
            assert response.messages()[0].parts[0].to_dict() == {
                "type": "reasoning",
                "text": f"Thinking of {response.id}",
            }


def test_results_of_a_legacy_toolbox_arrive_with_it(tmp_path: Path) -> None:
    """Which configured toolbox gave a result is known in the other log too."""
    source = open_log(copy_of("0.26", tmp_path))
    sql = (
        "select tool_call_id, i.name, i.plugin, i.arguments from {} x"
        " join tool_instances i on i.id = x.instance_id order by tool_call_id"
    )
    expected = source.execute(sql.format("tool_results")).fetchall()
    target = open_memory()
    for conversation_id in ids_of(source.conn):
        import_conversation(target.conn, export_conversation(source.conn, conversation_id))
    assert target.execute(sql.format("tool_instantiations")).fetchall() == expected != []


def _described(shape: Any) -> list[Any]:
    """Turns and messages with what they only refer to; legacy tables keep no address of a tool."""
    tables = {"tools": [{**tool, "hash": None} for tool in shape.get("tools", ())]}
    tables["fragments"] = tables["system_fragments"] = shape.get("fragments", [])
    described = []
    for entry in [*shape["turns"], *shape["messages"]]:
        whole_entry = {**entry, "system": None}
        for key, table in tables.items():
            whole_entry[key] = [table[number] for number in entry.get(key, ())]
        described.append(whole_entry)
    return described


def test_attachments_travel_with_their_bytes(tmp_path: Path) -> None:
    """A file that was attached by path is put in while it is unchanged, and else stays a path."""
    path = tmp_path / "pixel.png"
    path.write_bytes(PNG)
    source = open_memory()
    conversation = Says().conversation()
    conversation.prompt("?", attachments=[llm.Attachment(path=str(path))]).log_to_db(source)
    moved = export_conversation(source.conn, conversation.id)
    path.write_bytes(b"other")
    changed = export_conversation(source.conn, conversation.id)
    path.unlink()
    gone = export_conversation(source.conn, conversation.id)
    assert changed == gone
    for shape, content in ((moved, PNG), (gone, None)):
        target = open_memory()
        import_conversation(target.conn, through_json(shape))
        [row] = target.execute("select id, content, path from attachments").fetchall()
        [original] = source.execute("select id from attachments").fetchall()
        assert row == (*original, content, str(path))
        assert (LogStore(target).verify() == []) is (content is not None)


def test_import_of_what_is_there_makes_a_copy(tmp_path: Path) -> None:
    """Ids that are taken are replaced; nothing in the log is changed, and messages are shared."""
    db = open_log(copy_of("0.36", tmp_path))
    for thread_id in ids_of(db.conn)[:5]:
        before = whole(db.conn, thread_id)
        messages = db.execute("select count(*) from messages").fetchone()
        shape = export_conversation(db.conn, thread_id)
        copy_id = import_conversation(db.conn, through_json(shape))
        assert copy_id != thread_id
        assert whole(db.conn, thread_id) == before
        assert db.execute("select count(*) from messages").fetchone() == messages
        copy = export_conversation(db.conn, copy_id)
        assert copy["messages"] == shape["messages"]
        assert len(copy["turns"]) == len(shape["turns"])


def test_python_and_log_share_the_format(tmp_path: Path) -> None:
    """What `Conversation.to_dict` gives can be imported, and an export can be brought back."""
    conversation = rich_conversation(tmp_path)
    db = open_memory()
    import_conversation(db.conn, through_json(conversation.to_dict()))
    logged = open_memory()
    for response in conversation.responses:
        response.log_to_db(logged)
    expected, found = (whole(each.conn, conversation.id) for each in (logged, db))
    # The thread is named by its conversation, and made a moment later.
    assert found[:2] == expected[:2]
    assert found[4] == expected[4]
    assert [row[:3] for row in found[5]] == [row[:3] for row in expected[5]]
    again = llm.Conversation.from_dict(
        through_json(export_conversation(db.conn, conversation.id)), model=Says()
    )
    assert [[m.text() for m in r.prompt.messages] for r in again.responses] == [
        [m.text() for m in r.prompt.messages] for r in conversation.responses
    ]


def test_reply_of_a_model_that_is_not_installed_is_kept(tmp_path: Path) -> None:
    """A raw reply that only its model can expand travels as it is stored."""
    model = Says("x", raw={"note": "boilerplate", "x": 1})
    source = open_memory()
    conversation = model.conversation()
    conversation.prompt("?").log_to_db(source)
    shape = through_json(export_conversation(source.conn, conversation.id))
    assert "condensed_json" in shape["turns"][0]
    target = open_memory()
    import_conversation(target.conn, shape)
    sql = "select response_json from turns"
    assert target.execute(sql).fetchall() == source.execute(sql).fetchall()


def test_text_that_cannot_be_encoded_is_imported() -> None:
    """Lone surrogates are replaced, as in logging."""
    conversation = Says("a\ud800b").conversation()
    conversation.prompt("c\udfff").text()
    conversation.name = "\ud800"
    db = open_memory()
    import_conversation(db.conn, conversation.to_dict())
    assert LogStore(db).verify() == []
    assert db.execute("select name from threads").fetchall() == [("\ufffd",)]


def test_import_that_fails_leaves_nothing() -> None:
    """A broken conversation is refused whole."""
    conversation = Says().conversation()
    conversation.prompt("a").text()
    shape: Any = conversation.to_dict()
    shape["turns"].append({"id": "x"})
    db = open_memory()
    with pytest.raises(InvalidInput, match=r"turns\.1\.model: Field required"):
        import_conversation(db.conn, shape)
    with pytest.raises(InvalidInput, match="Not a conversation"):
        import_conversation(db.conn, {"format": "other"})
    assert db.execute("select count(*) from messages").fetchone() == (0,)


def test_export_of_an_unknown_conversation() -> None:
    """An id that is not in the log is an error."""
    with pytest.raises(NotFound, match="nope"):
        export_conversation(open_memory().conn, "nope")


def test_fork_without_turns_arrives_with_turns(tmp_path: Path) -> None:
    """Where the conversation it left is not there, the history of a fork is told as its own."""
    source = open_memory()
    conversation = Says().conversation()
    for text in ("a", "b"):
        conversation.prompt(text).log_to_db(source)
    store = LogStore(source)
    tip = store.thread_tip(conversation.id)
    assert tip is not None
    fork = store.fork(tip, "Fork", forked_from=conversation.id)
    shape = through_json(export_conversation(source.conn, fork))
    assert (shape["turns"], shape["model"], shape["forked_from"]) == (
        *([], "says"),
        conversation.id,
    )
    target = open_memory()
    import_conversation(target.conn, shape)
    again = load_conversation(target, fork, model=Says())
    assert again is not None
    assert [r.text() for r in again.responses] == ["ok", "ok"]
    copy = import_conversation(source.conn, shape)
    assert export_conversation(source.conn, copy)["turns"] == []


def test_outcome_of_a_turn_travels() -> None:
    """A turn that broke off is marked as such in the other log, and in Python."""
    outcome = ("failed", "ValueError", "no")
    response = Says().conversation().prompt("a")
    response.text()
    response.outcome = outcome
    source, target = open_memory(), open_memory()
    response.log_to_db(source)
    assert response.conversation is not None
    shape = through_json(export_conversation(source.conn, response.conversation.id))
    import_conversation(target.conn, shape)
    sql = "select * from turn_status"
    assert target.execute(sql).fetchall() == [(response.id, *outcome)]
    again = llm.Conversation.from_dict(shape, model=Says())
    assert again.responses[0].outcome == outcome
    assert through_json(response.conversation.to_dict())["turns"][0]["outcome"] == list(outcome)
