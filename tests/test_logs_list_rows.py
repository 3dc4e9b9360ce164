"""Rows of the log where something is unusual, missing or damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm.cli import cli
from llm.errors import LogError
from llm.logs.read import query as log_query
from llm.logs.read.query import LogFilters, select_ids
from llm.logs.records.threads import latest_conversation_id
from llm.logs.render.as_json import data_items, json_array, truncated_row
from llm.logs.render.as_text import markdown, short_row
from llm.text import JSONObject
from tests.helpers.logged import LogBuilder, select_rows


@pytest.fixture
def log(user_path: Path) -> Iterator[LogBuilder]:
    """An empty log database in the user directory."""
    builder = LogBuilder(user_path / "logs.db")
    yield builder
    builder.conn.close()


def only_row(log: LogBuilder) -> dict[str, Any]:
    """The one row of the log."""
    (row,) = select_rows(log.conn, LogFilters())
    return row


def add(log: LogBuilder, sql: str, *values: Any) -> None:
    """Change the database."""
    with log.conn:
        log.conn.execute(sql, values)


def test_legacy_payload_references(log: LogBuilder) -> None:
    """References of 0.26 to responses and fragments are put back, also inside text."""
    log.response("r1", "a", "first answer")
    payload = {
        "mine": {"$": "r:r2"},
        "list": [{"$": "r:r1"}, 1],
        "early": {"$": "f:1"},
        "text": {"$r": ["say ", {"$": "f1"}, "!"]},
        "gone": {"$": "f:77"},
        "literal": {"$r": ["say ", {"$": "f77"}]},
        "price": {"$": 5},
    }
    log.response("r2", "b", "second", response_json=json.dumps(payload))
    add(log, "insert into fragments (id, hash, content) values (1, 'h', 'fragment text')")
    row = select_rows(log.conn, LogFilters())[1]
    assert row["response_json"] == {
        "mine": "second",
        "list": ["first answer", 1],
        "early": "fragment text",
        "text": "say fragment text!",
        "gone": {"$": "f:77"},
        "literal": {"$r": ["say ", {"$": "f77"}]},
        "price": {"$": 5},
    }


def test_legacy_result_attachments(log: LogBuilder) -> None:
    """A legacy tool result has its toolbox instance and its attachments, as far as stored."""
    log.response("r1", "a", "b")
    add(log, "insert into tool_instances values (4, 'plug', 'Box', '{}')")
    sql = "insert into tool_results (id, response_id, name, output, instance_id)"
    add(log, f"{sql} values (9, 'r1', 'Box_go', 'x', 4)")
    add(log, "insert into attachments (id, type, content) values ('a1', 'text/plain', x'616263')")
    for order, attachment in enumerate(("a1", "gone")):
        sql = 'insert into tool_results_attachments (tool_result_id, attachment_id, "order")'
        add(log, f"{sql} values (9, ?, ?)", attachment, order)
    (result,) = only_row(log)["tool_results"]
    assert result["instance"] == {"name": "Box", "plugin": "plug", "arguments": "{}"}
    assert result["attachments"] == [
        {"id": "a1", "type": "text/plain", "path": None, "url": None, "content_length": 3}
    ]


def test_turn_json_damaged(log: LogBuilder) -> None:
    """Columns that should hold JSON and do not leave the rest of the row readable."""
    log.turn("01", "a", "b", options_json="{", response_json="[1", token_details="few")
    row = only_row(log)
    assert row["options_json"] == {}
    assert row["response_json"] == "[1"
    assert "`few`" not in "".join(markdown([row]))
    assert short_row({**row, "input_tokens": 1}, usage=True)["usage"]["details"] == "few"


def test_turn_payload_reference_lost(log: LogBuilder) -> None:
    """A payload that refers to what is not stored is null."""
    log.turn("01", "a", "b", response_json='{"text": {"$": "9.9.text"}}')
    assert only_row(log)["response_json"] is None


def test_turn_payload_message_metadata(log: LogBuilder) -> None:
    """A payload is completed from texts, arguments and metadata of the turn's own output."""
    signature = "s" * 80
    log.message("in", "user", ("text", "x"))
    log.message("out", "assistant", ("text", "y" * 70), parent="in")
    add(log, "update messages set provider_metadata = ?", json.dumps({"sig": signature}))
    payload = {"said": {"$": "0.0.text"}, "sig": {"$": "0.pm.sig"}}
    log.turn("01", parent="in", tip="out", response_json=json.dumps(payload))
    assert only_row(log)["response_json"] == {"said": "y" * 70, "sig": signature}


def test_turn_messages_missing(log: LogBuilder) -> None:
    """A turn whose messages are gone is listed with empty texts."""
    log.turn("01", parent="gone", tip="gone too", datetime_utc=None, model=None)
    row = only_row(log)
    assert (row["prompt"], row["system"], row["response"]) == ("", None, "")
    text = "".join(markdown([row]))
    assert text == (
        "#     conversation: thread-01 id: 01\n\nModel: **None**\n\n"
        "## Prompt\n\n-- none --\n\n## Response\n\n"
    )
    assert short_row(row)["datetime"] == ""


def test_turn_without_output(log: LogBuilder) -> None:
    """A turn that ends where it began has an empty response."""
    log.message("in", "user", ("text", "x"))
    log.turn("01", parent="in", tip="in")
    assert only_row(log)["prompt"] == "x"
    assert only_row(log)["response"] == ""


def test_turn_fragment_deleted(log: LogBuilder) -> None:
    """The text of a deleted fragment is missing; what stood around it is shown."""
    pieces = {"text_ref": [{"literal": "a "}, {"fragment": 1}, {"fragment": 2}]}
    add(log, "insert into fragments (id, hash, content) values (2, 'h', 'kept')")
    log.message("in", "user", ("text", pieces))
    log.turn("01", parent="in", tip="in")
    assert only_row(log)["prompt"] == "a kept"


def test_turn_attachment_deleted(log: LogBuilder) -> None:
    """An attachment whose row is gone is shown with what the message knows of it."""
    reference = {"attachment": {"id": "a1", "type": "image/png"}}
    log.message("in", "user", ("attachment", reference), ("attachment", {}))
    log.turn("01", parent="in", tip="in")
    (attachment,) = only_row(log)["attachments"]
    assert attachment["id"] == "a1"
    assert attachment["type"] == "image/png"
    assert attachment["content"] is None
    assert "1. **image/png**: `<0 bytes>`" in "".join(markdown([only_row(log)]))


def test_turn_system_of_long_conversation(log: LogBuilder) -> None:
    """Each turn of a conversation has the system prompt that the conversation began with."""
    parent = log.message("sys", "system", ("text", "Be brief"))
    for number in range(50):
        question = log.message(f"q{number}", "user", ("text", f"q {number}"), parent=parent)
        parent = log.message(f"a{number}", "assistant", ("text", "a"), parent=question)
        log.turn(f"{number:02}", parent=question, tip=parent, thread_id="c")
    rows = select_rows(log.conn, LogFilters())
    assert {row["system"] for row in rows} == {"Be brief"}
    assert [row["prompt"] for row in rows] == [f"q {number}" for number in range(50)]


def test_tools_of_two_instances(log: LogBuilder) -> None:
    """Tools without a toolbox come first, then each toolbox with its tools."""
    log.turn("01", "a", "b")
    for number, name in enumerate(("Box_a", "plain", "Box_b"), 1):
        sql = "insert into tools (id, hash, name, input_schema) values (?, ?, ?, ?)"
        add(log, sql, number, str(number) * 64, name, '{"properties": null}')
        instance = None if name == "plain" else 1
        add(log, "insert into turn_tools values ('01', ?, ?)", number, instance)
    add(log, "insert into tool_instances values (1, 'plug', 'Box', '{\"k\": 1}')")
    text = "".join(markdown([only_row(log)]))
    lines = [line for line in text.splitlines() if line.lstrip().startswith("- ")]
    assert lines == [
        f"- **plain**: `{'2' * 64}`  ",
        '- `Box({"k": 1})`:',
        f"    - **Box_a**: `{'1' * 64}`  ",
        f"    - **Box_b**: `{'3' * 64}`  ",
    ]


def test_call_arguments_no_object(log: LogBuilder) -> None:
    """Arguments that are no object are shown as they are stored."""
    log.message("in", "user", ("text", "x"))
    log.message("out", "assistant", ("tool_call", {"name": "t", "arguments": [1]}), parent="in")
    log.turn("01", parent="in", tip="out")
    assert "- **t**: `None`  \n    Arguments: `[1]`\n" in "".join(markdown([only_row(log)]))


def test_system_shown_on_change(log: LogBuilder) -> None:
    """A system prompt is shown where it differs from that of the row before."""
    row = {**only_row_of(log), "system": "A"}
    systems = ["A", "A", None, "A", "B"]
    text = "".join(markdown([{**row, "system": system} for system in systems]))
    assert text.count("## System\n\nA\n") == 2
    assert text.count("## System\n\nB\n") == 1


def only_row_of(log: LogBuilder) -> dict[str, Any]:
    """The row of a plain turn."""
    log.turn("01", "a", "b")
    return only_row(log)


def test_usage_without_duration(log: LogBuilder) -> None:
    """Tokens without a duration are shown, and no heading where nothing is known."""
    row = only_row_of(log)
    assert "Token usage" not in "".join(markdown([row], usage=True))
    text = "".join(markdown([{**row, "output_tokens": 1500}], usage=True))
    assert text.endswith("## Token usage\n\n1,500 output\n\n")


def test_truncated_row_drops_json(log: LogBuilder) -> None:
    """A cut row has at most 100 characters of text and only those `*_json` keys that are null."""
    log.response("01", "p" * 200, "r" * 200, options_json="{}")
    row = truncated_row(only_row(log))
    assert row["prompt"] == "p" * 97 + "..."
    assert row["response"] == "r" * 97 + "..."
    assert "options_json" not in row
    assert row["schema_json"] is None


def test_json_array_as_json_dumps(log: LogBuilder) -> None:
    """The array is written as `json.dumps` with an indent of two writes it."""
    rows: list[JSONObject] = [
        {"a": {}, "b": [], "c": [1, {"é": None}], "d": "x\ny", "e": 1.5},
        {"f": {"g": [[]]}},
    ]
    assert "".join(json_array(rows)) == json.dumps(rows, indent=2) + "\n"


def test_data_items_key_not_objects() -> None:
    """A list under the key that does not hold objects only is not taken apart."""
    answers = ['{"k": [1]}', None, '{"k": []}']
    rows: list[JSONObject] = [{"response": answer} for answer in answers]
    assert list(data_items(rows, key="k")) == [{"k": [1]}]


def test_current_conversation_empty(log: LogBuilder) -> None:
    """An empty log has no current conversation."""
    assert latest_conversation_id(log.conn) is None


def test_query_database_locked(log: LogBuilder) -> None:
    """Trouble of the database during a search is not blamed on the query."""

    class Locked:
        def execute(self, *args: object) -> None:
            raise sqlite3.OperationalError("database is locked")

    with pytest.raises(LogError, match="Cannot search the log: database is locked"):
        select_ids(Locked(), LogFilters(query="x"))  # type: ignore[arg-type]


def test_many_rows_batches(log: LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than one batch come complete and in order."""
    monkeypatch.setattr(log_query, "BATCH", 3)
    for number in range(10):
        log.turn(f"{number:02}", f"prompt {number}", "x")
    rows = select_rows(log.conn, LogFilters())
    assert [row["prompt"] for row in rows] == [f"prompt {number}" for number in range(10)]


@pytest.mark.parametrize(
    ("value", "fence"),
    [("plain", "`"), ("a`b", "``"), ("```js", "````"), ("`a``b", "```")],
)
def test_code_spans_with_backticks_are_fenced_by_more_of_them(
    value: str, fence: str, user_path: Path
) -> None:
    """Token usage and arguments of calls are code, whatever is in them, as 0.36 writes them."""
    from markdown_it import MarkdownIt

    log = LogBuilder(user_path / "logs.db")
    details = json.dumps({"note": value})
    log.message("m1", "user", ("text", "hi"))
    calls = [{"name": "t", "arguments": given} for given in ({"l": [value]}, [value])]
    log.message("m2", "assistant", *(("tool_call", call) for call in calls), parent="m1")
    log.turn("01", parent="m1", tip="m2", token_details=details, input_tokens=1)
    page = CliRunner().invoke(cli, ["logs", "-u"]).stdout
    listed = json.dumps([value])
    assert f"    l: {fence}{listed}{fence}\n" in page
    assert f"    Arguments: {fence}{listed}{fence}\n" in page
    assert f"1 input, {fence}{details}{fence}\n" in page
    tokens = [child for token in MarkdownIt().parse(page) for child in token.children or ()]
    spans = [token.content for token in tokens if token.type == "code_inline"]
    assert [span for span in spans if value in span] == [listed, listed, details]
