"""Messages are stored once under their address; threads point at the last of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils

import llm
from llm.logs import LogStore
from llm.logs.file.db import open_log
from llm.logs.records.chains import split_by_fragments
from llm.parts import (
    AttachmentPart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tests.helpers.databases import DATA, copy_of

PNG = (DATA / "files" / "pixel.png").read_bytes()


@pytest.fixture
def store() -> Iterator[LogStore]:
    """An empty store in memory."""
    db = sqlite_utils.Database(memory=True)
    yield LogStore(db)
    db.close()


def rows(store: LogStore, sql: str) -> list[tuple[object, ...]]:
    """What a query gives."""
    return store.db.execute(sql).fetchall()


def every_kind() -> list[Message]:
    """A chain with parts of all kinds."""
    return [
        llm.system("Be brief"),
        llm.user("hi", llm.Attachment(type="image/png", content=PNG)),
        Message(
            "assistant",
            [
                ReasoningPart("hm", provider_metadata={"p": {"sig": "s"}}),
                ReasoningPart(redacted=True),
                TextPart("", {"p": 1}),
                ToolCallPart("shout", {"z": 1, "a": [1, None, 1.0]}, "c1"),
                ToolCallPart("web", {}, "s1", server_executed=True),
                ToolResultPart("web", "hits", "s1", server_executed=True),
            ],
            {"q": {"id": 7}},
        ),
        Message(
            "tool",
            [
                ToolResultPart(
                    "shout",
                    "HI",
                    "c1",
                    attachments=[llm.Attachment(type="image/png", content=PNG)],
                    exception="ValueError: x",
                    provider_metadata={"p": 2},
                )
            ],
        ),
        Message("user", [AttachmentPart(None)]),
        Message("assistant", []),
    ]


def as_dicts(messages: list[Message]) -> list[object]:
    """Messages without what an attachment remembers of itself."""
    return [message.to_dict() for message in messages]


def test_ensure_chain_then_load_chain_gives_equal_messages(store: LogStore) -> None:
    """Every kind of part comes back as it was."""
    tip = store.ensure_chain(every_kind())
    assert as_dicts(store.load_chain(tip)) == as_dicts(every_kind())
    assert store.verify() == []


def test_ensure_chain_again_adds_nothing(store: LogStore) -> None:
    """Messages that are stored are shared, not repeated."""
    tip = store.ensure_chain(every_kind())
    changes = store.db.conn.total_changes
    assert store.ensure_chain(every_kind()) == tip
    assert store.db.conn.total_changes == changes


def test_ensure_chain_with_parent_goes_on_from_there(store: LogStore) -> None:
    """A chain may be given in pieces; an empty piece changes nothing."""
    first = store.ensure_chain([llm.user("a")])
    second = store.ensure_chain([llm.assistant("b")], first)
    assert store.ensure_chain([llm.user("a"), llm.assistant("b")]) == second
    assert store.ensure_chain([], second) == second
    assert store.ensure_chain([]) is None


def test_load_chain_of_unknown_address_is_a_key_error(store: LogStore) -> None:
    """A message that is not stored, or whose predecessor is gone, is named."""
    with pytest.raises(KeyError, match="b2:unknown"):
        store.load_chain("b2:unknown")
    first = store.ensure_chain([llm.user("a")])
    tip = store.ensure_chain([llm.assistant("b")], first)
    store.db.execute("delete from messages where hash = ?", [first])
    with pytest.raises(KeyError, match=str(first)):
        store.load_chain(tip)


def test_load_chain_of_none_is_empty(store: LogStore) -> None:
    """A thread without messages has an empty chain and nothing pending."""
    assert store.load_chain(None) == []
    assert store.pending_tool_calls(None) == []


def test_parts_of_0_36_are_written_the_same(store: LogStore, tmp_path: Path) -> None:
    """Storing every message of a 0.36 file again gives its very rows."""
    old = LogStore(open_log(copy_of("0.36", tmp_path)))
    leaves = rows(
        old,
        "select hash from messages where hash not in"
        " (select parent_hash from messages where parent_hash is not null)",
    )
    for (leaf,) in leaves:
        store.ensure_chain(old.load_chain(str(leaf)))
    sql = (
        "select message_hash, position, type, tool_name, payload from parts"
        " where message_hash in (select message_hash from parts where payload like '%sig%'"
        " or payload like '%server%' or payload like '%attachments%' or payload like '%except%')"
        " order by 1, 2"
    )
    assert rows(store, sql) == rows(old, sql)
    old.db.close()


def test_verify_names_what_was_changed(store: LogStore) -> None:
    """A message whose content was altered is found; the others are not."""
    store.ensure_chain([llm.user("a"), llm.assistant("b")])
    store.db.execute("update parts set text = 'c' where text = 'a'")
    altered = rows(store, "select message_hash from parts where text = 'c'")
    assert store.verify() == [altered[0][0]]


def test_verify_of_0_36_file_needs_the_attached_files(tmp_path: Path) -> None:
    """Only the message whose file is gone fails, and none when the file is there."""
    store = LogStore(open_log(copy_of("0.36", tmp_path)))
    assert store.verify() == ["b2:c4c92a1ad606eb7bb3a38b81985f136d"]
    there = str(DATA / "files" / "green.png")
    store.db.execute("update attachments set path = ? where path like '%green.png'", [there])
    assert store.verify() == []
    store.db.close()


def test_fragments_in_text_are_referred_to(store: LogStore) -> None:
    """A known text within a message is stored once, and the message reads as before."""
    message = llm.user("one two one", "free")
    tip = store.ensure_chain([message], fragments=["one", llm.Fragment("one two", "src"), ""])
    payload = rows(store, "select payload, text from parts order by position")
    assert json.loads(str(payload[0][0])) == {
        "text_ref": [{"fragment": 2}, {"literal": " "}, {"fragment": 1}]
    }
    assert payload == [(payload[0][0], None), (None, "free")]
    assert rows(store, 'select fragment_id, "order" from part_fragments') == [(2, 0), (1, 1)]
    assert rows(store, "select content, source from fragments") == [
        ("one", None),
        ("one two", "src"),
        ("", None),
    ]
    assert store.load_chain(tip) == [message]
    assert store.verify() == []


def test_fragment_that_was_deleted_is_reported(store: LogStore) -> None:
    """The text of a deleted fragment is missing, and a warning says so."""
    tip = store.ensure_chain([llm.user("see one!")], fragments=["one"])
    store.db.execute("delete from fragments")
    with pytest.warns(UserWarning, match="Fragment 1 was deleted"):
        assert store.load_chain(tip) == [llm.user("see !")]


@pytest.mark.parametrize(
    ("text", "fragments", "pieces"),
    [
        ("nothing", [(1, "x")], []),
        ("ab", [(1, "a"), (2, "ab")], [{"fragment": 2}]),
        ("xab", [(1, "ab"), (2, "xa")], [{"fragment": 2}, {"literal": "b"}]),
        ("aa", [(1, "a")], [{"fragment": 1}, {"fragment": 1}]),
        ("a", [(1, "")], []),
    ],
)
def test_split_by_fragments_takes_the_earliest_then_the_longest(
    text: str, fragments: list[tuple[int, str]], pieces: list[object]
) -> None:
    """Which fragment a piece of text refers to is the same everywhere."""
    assert split_by_fragments(text, fragments) == pieces


def test_attachment_bytes_are_never_replaced_by_a_path(store: LogStore, tmp_path: Path) -> None:
    """Bytes that are stored stay readable when they are logged again by path."""
    path = tmp_path / "pixel.png"
    path.write_bytes(PNG)
    first = store.ensure_chain([llm.user("1", llm.Attachment(type="image/png", content=PNG))])
    store.ensure_chain([llm.user("2", llm.Attachment(type="image/png", path=str(path)))])
    path.unlink()
    assert rows(store, "select path, length(content) from attachments") == [(None, len(PNG))]
    assert store.verify() == []
    assert store.load_chain(first)[0].parts[1] == AttachmentPart(
        llm.Attachment(
            type="image/png",
            content=PNG,
            _id="2e9b06dc65a4dec84a3eb3124553ec93ca27c78221e64ab2177d0f1412cfcb20",
        )
    )


def test_attachment_path_is_renewed_and_filled_with_bytes(store: LogStore, tmp_path: Path) -> None:
    """A row without bytes points to where they were seen last, until it gets the bytes."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(PNG)
        attachment = llm.Attachment(type="image/png", path=str(path))
        store.ensure_chain([llm.user(path.name, attachment)])
    assert rows(store, "select path, content from attachments") == [(str(paths[1]), None)]
    store.ensure_chain([llm.user("x", llm.Attachment(type="image/png", content=PNG))])
    assert rows(store, "select path, length(content) from attachments") == [
        (str(paths[1]), len(PNG))
    ]


def test_attachment_types_of_the_same_bytes_stay_with_their_parts(store: LogStore) -> None:
    """The first type is kept in the row; another use keeps its own."""
    tips = [
        store.ensure_chain([llm.user(llm.Attachment(type=kind, content=PNG))])
        for kind in ("image/png", "application/pdf")
    ]
    assert rows(store, "select type from attachments") == [("image/png",)]
    parts = [store.load_chain(tip)[0].parts[0] for tip in tips]
    types = [p.attachment.type for p in parts if isinstance(p, AttachmentPart) and p.attachment]
    assert types == ["image/png", "application/pdf"]
    assert store.verify() == []


def test_attachment_whose_row_is_gone_keeps_its_id(store: LogStore) -> None:
    """A chain can be read even where somebody deleted an attachment."""
    tip = store.ensure_chain([llm.user(llm.Attachment(type="image/png", content=PNG))])
    store.db.execute("delete from attachments")
    part = store.load_chain(tip)[0].parts[0]
    assert isinstance(part, AttachmentPart)
    assert part.attachment is not None
    assert (part.attachment.type, part.attachment.content) == (None, None)
    assert part.attachment.id().startswith("2e9b06dc")


def test_surrogates_are_replaced_before_storing(store: LogStore) -> None:
    """Text that no encoding can store is stored with U+FFFD, and verifies."""
    broken = Message(
        "assistant",
        [TextPart("a\ud800"), ToolCallPart("t", {"k\udfff": "v\ud800"}, "c")],
        {"m": "\udc00"},
    )
    tip = store.ensure_chain([broken], fragments=["\ud800"])
    loaded = store.load_chain(tip)
    assert loaded[0].parts[0] == TextPart("a\ufffd")
    assert loaded[0].parts[1] == ToolCallPart("t", {"k\ufffd": "v\ufffd"}, "c")
    assert store.verify() == []


def test_threads_are_made_found_and_extended(store: LogStore) -> None:
    """A thread has an id, a name and a tip that moves."""
    thread = store.create_thread("first")
    assert store.thread_tip(thread) is None
    assert store.thread_messages(thread) == []
    tip = store.append(thread, [llm.user("a")])
    assert store.append(thread, [llm.assistant("b")]) != tip
    assert store.thread_messages(thread) == [llm.user("a"), llm.assistant("b")]
    assert store.ensure_thread(thread, "second") == thread
    assert rows(store, "select name from threads") == [("first",)]
    assert store.ensure_thread("given") == "given"


def test_threads_that_do_not_exist_are_key_errors(store: LogStore) -> None:
    """An unknown thread is named."""
    with pytest.raises(KeyError, match="nope"):
        store.thread_tip("nope")
    with pytest.raises(KeyError, match="nope"):
        store.thread_messages("nope")
    with pytest.raises(KeyError, match="nope"):
        store.append("nope", [llm.user("a")])
    assert rows(store, "select count(*) from messages") == [(0,)]


def test_fork_goes_on_from_any_message_without_copying(store: LogStore) -> None:
    """A fork is a new thread at an old message; an unknown message is refused."""
    thread = store.create_thread("first")
    tip = store.append(thread, [llm.user("a")])
    store.append(thread, [llm.assistant("b")])
    fork = store.fork(str(tip), "branch", thread)
    assert store.thread_messages(fork) == [llm.user("a")]
    assert rows(store, "select forked_from from threads where name = 'branch'") == [(thread,)]
    assert rows(store, "select count(*) from messages") == [(2,)]
    with pytest.raises(KeyError, match="b2:none"):
        store.fork("b2:none")


def test_pending_tool_calls_are_those_of_the_last_message(store: LogStore) -> None:
    """Calls that the provider ran itself are not waiting for anybody."""
    tip = store.ensure_chain(
        [
            llm.user("q"),
            Message(
                "assistant",
                [
                    TextPart("wait"),
                    ToolCallPart("a", {}, "1"),
                    ToolCallPart("web", {}, "2", server_executed=True),
                ],
            ),
        ]
    )
    assert store.pending_tool_calls(tip) == [ToolCallPart("a", {}, "1")]


def test_path_and_text_of_a_store_name_its_file(store: LogStore, tmp_path: Path) -> None:
    """Messages can say which database is meant."""
    assert store.path == ""
    assert str(store) == "in memory"
    path = tmp_path / "logs.db"
    db = open_log(path)
    assert str(LogStore(db)) == str(path.resolve())
    db.close()


def test_more_than_five_hundred_attachments_in_one_chain_are_found(store: LogStore) -> None:
    """There is no limit to what a chain may refer to."""
    tip = store.ensure_chain(
        [llm.user(llm.Attachment(type="text/plain", content=b"%d" % n)) for n in range(520)]
    )
    loaded = store.load_chain(tip)
    contents = [
        p.attachment.content
        for m in loaded
        for p in m.parts
        if isinstance(p, AttachmentPart) and p.attachment
    ]
    assert contents == [b"%d" % n for n in range(520)]
