"""Whatever a server says is logged, and one journal that cannot be is never in the way."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.cli import cli
from llm.logs.file.db import open_log
from llm.logs.read.rows import build_rows
from llm.logs.write.store import LogStore
from llm.parts import StreamEvent
from llm.prompting.journal import Journal, leftovers, set_aside
from llm.prompting.journal_lines import FORMAT
from llm.prompting.recorder import Recorder
from llm.prompting.recovery import take_up
from llm.prompting.request import LogSettings
from llm.text.secrets import MOST_LEVELS, TOO_DEEP, storable_count, storable_value
from llm.tools.calling import parse_arguments
from tests.helpers.log_models import Says, plugin_of


class Mute:
    """Something that cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def nested(levels: int, kind: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    """Lists or objects within each other."""
    value: Any = "core"
    for _ in range(levels):
        value = kind(value)
    return value


def cyclic() -> list[Any]:
    """A list that contains itself twice."""
    value: list[Any] = []
    value += [value, value]
    return value


ODD = {
    "number of 64 bits": 2**63,
    "number of many digits": 10**5000,
    "negative number": -(2**70),
    "not a number": math.nan,
    "infinite": -math.inf,
    "lone surrogate": "\ud800",
    "surrogate as a name": {"\udfff": 1},
    "NUL": "a\0b",
    "deep list": nested(5000),
    "deep object": nested(900, lambda inner: {"a": inner}),
    "itself": cyclic(),
    "set": {1, 2},
    "name of another type": {(1, 2): 3, None: 4},
    "class without text": Mute(),
    "bytes": b"\xff",
}


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


def rows(log: Path) -> list[dict[str, Any]]:
    """What the log has, oldest first."""
    with closing(open_log(log).conn) as conn:
        ids = [turn_id for (turn_id,) in conn.execute("select id from turns order by id")]
        return build_rows(conn, ids)


class Odd(llm.Model):
    """Tells something odd wherever a server may."""

    model_id = "odd"
    supports_tools = True

    def __init__(self, value: Any) -> None:
        self.value = value

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Any:
        yield StreamEvent("text", "fine", provider_metadata={"odd": self.value})
        yield StreamEvent("reasoning", "so")
        response.add_tool_call(llm.ToolCall("look", {"at": self.value}, "id"))
        response.set_usage(input=self.value, output=3, details={"odd": self.value})
        response.set_resolved_model(self.value)
        response.response_json = {"odd": self.value}


@pytest.mark.parametrize("name", ODD)
def test_whatever_a_server_says_is_logged(log: Path, name: str) -> None:
    """Text, tokens and raw reply are in the log as JSON that every reader takes."""
    conversation = Odd(ODD[name]).conversation()
    with Recorder(LogSettings(log=True)) as recorder:
        response = conversation.prompt("hi")
        recorder.begin(response)
        assert response.text() == "fine"
        recorder.end(response)
    assert leftovers() == []
    [row] = rows(log)
    assert (row["response"], row["output_tokens"]) == ("fine", 3)
    with closing(sqlite3.connect(log)) as conn:
        for table, column in (
            ("turns", "response_json"),
            ("turns", "token_details"),
            ("parts", "payload"),
        ):
            sql = f"select json_valid({column}) from {table} where {column} is not null"
            assert {valid for (valid,) in conn.execute(sql)} == {1}
    assert LogStore(open_log(log)).verify() == []


@pytest.mark.parametrize("name", ODD)
def test_whatever_a_server_says_is_recovered(log: Path, name: str) -> None:
    """The journal takes it, too, and the next command logs it."""
    response = Odd(ODD[name]).conversation().prompt("hi")
    journal = response.observer = Journal()
    list(response.stream_events())
    journal.finished(None)
    journal.close()
    take_up(log)
    assert leftovers() == set_aside() == []
    assert [row["response"] for row in rows(log)] == ["fine"]


def test_storable_value_leaves_what_can_be_stored() -> None:
    """Ordinary values come out as they are."""
    value = {"a": [1, 2.5, None, True, "ü"], "b": {"c": 2**64}, "d": nested(MOST_LEVELS - 2)}
    assert storable_value(value) == value
    assert TOO_DEEP in json.dumps(storable_value(nested(MOST_LEVELS + 1)))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(JSON_VALUES)
def test_storable_value_is_strict_json(value: Any) -> None:
    """It can be written in the strictest form, and read again as it was written."""
    stored = storable_value(value)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    json.dumps(stored, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (1.5, None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        ("many", None),
        ("9" * 40, None),
        ([1], None),
        (None, None),
    ],
)
def test_storable_count(given: object, count: int | None) -> None:
    """What is no number of tokens is not known."""
    assert storable_count(given) == count
    response = Says("ok").prompt("hi")
    response.set_usage(input=given, output=given)  # type: ignore[arg-type]
    assert response.token_usage() == ("" if count is None else f"{count:,} input, {count:,} output")


def test_arguments_that_cannot_be_handled_are_kept_as_text() -> None:
    """Arguments that no comparison and no encoder survives are what a tool cannot take."""
    text = '{"a":' * 500 + "1" + "}" * 500
    assert parse_arguments(text) == {"_raw": text}
    flat = json.dumps({"a": [[], {}] * 300})
    assert parse_arguments(flat) == json.loads(flat)


GOOD = {
    "journal": FORMAT,
    "id": "01jaaaaaaaaaaaaaaaaaaaaaaa",
    "started": "2026-01-01T00:00:00+00:00",
    "thread": "01jbbbbbbbbbbbbbbbbbbbbbbb",
    "name": None,
    "foreign": [],
    "database": None,
    "user": "/",
    "model": "says",
    "after": None,
    "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}],
    "title": "hi",
}
TEXT = {"type": "text", "chunk": "ok", "part_index": 0}


def lines(*values: object) -> str:
    """The lines of a journal."""
    return "".join(json.dumps(value) + "\n" for value in values)


def without(name: str) -> dict[str, object]:
    """A request that lacks something."""
    return {key: value for key, value in GOOD.items() if key != name}


BAD = {
    "request of nothing": lines({"journal": 1}),
    "no request": lines({"hello": 1}, TEXT),
    "no JSON first": "garbage\n" + lines(TEXT),
    "list first": lines([1], TEXT),
    "number first": lines(7),
    "null first": lines(None),
    "form no number": lines({**GOOD, "journal": "one"}),
    "form of zero": lines({**GOOD, "journal": 0}),
    "database a number": lines({**GOOD, "database": 7}),
    "database a list": lines({**GOOD, "database": ["x"]}),
    "messages a text": lines({**GOOD, "messages": "x"}),
    "message without role": lines({**GOOD, "messages": [{}]}),
    "id a list": lines({**GOOD, "id": [1]}),
    "id too large": lines({**GOOD, "id": 2**70}),
    "thread an object": lines({**GOOD, "thread": {"a": 1}}),
    "after a number": lines({**GOOD, "after": 7}),
    "tools a number": lines({**GOOD, "tools": 7}),
    "fragments of one": lines({**GOOD, "fragments": [["x"]], "system_fragments": [7]}),
    "chunk a number": lines(GOOD, {"type": "text", "chunk": 7}, {**TEXT, "chunk": "x"}),
    "text before any event": lines(GOOD, "goes on"),
    "number as a line": lines(GOOD, 7),
    "slice of nowhere": lines(GOOD, [9, 9, "x"]),
    "slice of one": lines(GOOD, ["x"]),
    "end a list": lines(GOOD, TEXT, {"done": [1]}),
    "outcome a number": lines(GOOD, TEXT, {"done": {"outcome": 7}}),
    "calls a text": lines(GOOD, TEXT, {"done": {"outcome": None, "calls": ["x"]}}),
    "result of nothing": lines({**GOOD, "results_of": None, "tip": None}, {"result": 7}),
    "nested deeply": json.dumps(GOOD) + "\n" + "[" * 100_000 + "\n",
    "kinds mixed": lines(GOOD, TEXT, {"type": "reasoning", "chunk": "x", "part_index": 0}),
    **{f"without {name}": lines(without(name)) for name in ("id", "database", "model", "messages")},
}


def put(user_path: Path, text: str, name: str = "a.jsonl") -> Path:
    """A journal that a dead process has left."""
    folder = user_path / "inflight"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def models(plugin: Callable[..., object]) -> None:
    """A model that answers."""
    plugin("says", **plugin_of(Says("one", "two", "three")))


def invoke(*args: str) -> Any:
    """The result of `llm` with these arguments."""
    return CliRunner().invoke(cli, args)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", BAD)
def test_bad_journal_is_set_aside(log: Path, user_path: Path, name: str) -> None:
    """It is kept and named once; prompts, `-c` and `logs` go on, and so do the other journals."""
    bad = put(user_path, BAD[name])
    put(user_path, lines({**GOOD, "id": "01jaaaaaaaaaaaaaaaaaaaaaab"}, TEXT), "b.jsonl")
    results = [invoke("-m", "says", "hi"), invoke("-c", "on", "-m", "says"), invoke("logs")]
    assert [result.exit_code for result in results] == [0, 0, 0], [r.output for r in results]
    notes = "".join(result.stderr for result in results)
    aside = bad.with_name("a.jsonl.aside")
    assert notes.count(str(aside)) == 1
    assert "llm logs recover" in notes
    assert aside.read_text() == BAD[name]
    assert leftovers() == []
    assert [row["response"] for row in rows(log) if row["prompt"] == "hi"] == ["ok", "one"]


TOOL: dict[str, Any] = {"name": "t", "description": None, "input_schema": {}, "plugin": None}
LARGE = {
    **GOOD,
    "tools": [{**TOOL, "server_side": False, "instance": ["Box", None, {}]}],
    "instances": [["c1", ["Box", None, {}]]],
    "fragments": [["f", "source"]],
    "options": {"a": 1},
    "schema": {"type": "object"},
}
ENDED = {"outcome": None, "duration_ms": 5, "usage": [1, 2, {}], "calls": [["t", {}, "c1"]]}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON values: what holds it, and its key."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from places(value[key])


@pytest.mark.parametrize("odd", [None, 7, "\ud800", {"a": 1}], ids=ascii)
def test_value_of_another_kind_anywhere_hinders_nobody(
    log: Path, user_path: Path, odd: object
) -> None:
    """What is logged of such a journal every reader takes, what is not is set aside."""
    count = sum(1 for _ in places([LARGE, TEXT, {"done": ENDED}]))
    for number in range(count):
        journal = json.loads(json.dumps([LARGE, TEXT, {"done": ENDED}]))
        journal[0]["id"] = f"01j{number:023}"
        holder, key = list(places(journal))[number]
        holder[key] = odd
        put(user_path, lines(*journal), f"{number}.jsonl")
        take_up(log)
    rest = [json.loads(Path(path).read_text().splitlines()[0]) for path in leftovers()]
    # Those that name another form or database belong to somebody else.
    assert all(line["journal"] == 7 or line["database"] for line in rest)
    for command in (
        ["logs", "-n", "0"],
        ["logs", "-n", "0", "--json"],
        ["conversations", "export"],
    ):
        assert invoke(*command).exit_code == 0, command
    assert invoke("logs", "verify").exit_code == 0


def test_field_of_a_later_release_is_passed_over(log: Path, user_path: Path) -> None:
    """What is added within the same form does not keep a journal from being logged."""
    later = ({"smile": 1}, {"done": {"outcome": None, "x": 1}})
    put(user_path, lines({**GOOD, "mood": "good"}, {**TEXT, "weight": 7}, *later))
    take_up(log)
    assert leftovers() == set_aside() == []
    assert [row["response"] for row in rows(log)] == ["ok"]


@pytest.mark.usefixtures("models")
def test_later_form_waits_for_its_release(log: Path, user_path: Path) -> None:
    """A journal of a later form stays, whatever it says, and `recover` tells whose it is."""
    later = put(user_path, lines({"journal": FORMAT + 1, "everything": "else"}, 7))
    assert invoke("-m", "says", "hi").exit_code == 0
    result = invoke("logs", "recover")
    assert result.exit_code == 1
    assert f"A later release of llm wrote it (format {FORMAT + 1})" in result.stdout
    assert later.exists()


def test_recover_shows_and_retries(log: Path, user_path: Path) -> None:
    """What can be read by now is logged and its file goes; the rest stays, with the reason."""
    put(user_path, lines(GOOD, TEXT, 7, {"type": "text", "chunk": "!"}), "a.jsonl")
    put(user_path, lines({"journal": 1}), "b.jsonl")
    take_up(log)
    assert len(set_aside()) == 2
    shown = invoke("logs", "recover", "--list")
    assert shown.exit_code == 0
    assert "2026-01-01T00:00:00 says" in shown.stdout
    assert len(set_aside()) == 2
    result = invoke("logs", "recover")
    assert result.exit_code == 1
    assert f"Logged as {GOOD['id']}, without 1 line that" in result.stdout
    assert "Cannot be logged: KeyError: 'database'" in result.stdout
    assert [os.path.basename(path) for path in set_aside()] == ["b.jsonl.aside"]
    assert [row["response"] for row in rows(log)] == ["ok!"]
    assert "could not be logged:\t1" in invoke("logs", "status").stdout
    os.unlink(set_aside()[0])
    assert invoke("logs", "recover").stdout == "No answer is waiting to be logged\n"


def test_recover_puts_answers_in_another_log(log: Path, user_path: Path, tmp_path: Path) -> None:
    """A log that is gone is named, and `-d` names another one."""
    put(user_path, lines({**GOOD, "database": str(tmp_path / "gone" / "x.db")}, TEXT))
    open_log(log).close()
    assert "which is gone" in invoke("logs", "recover").stdout
    found = json.loads(invoke("logs", "recover", "-d", str(log), "--json").stdout)
    assert [(one["id"], one["answer"]) for one in found] == [(GOOD["id"], "ok")]
    assert [row["response"] for row in rows(log)] == ["ok"]


def test_recover_leaves_the_living_alone(log: Path) -> None:
    """The journal of a running process is not shown."""
    response = Says(["one ", "two"]).conversation().prompt("hi")
    response.observer = journal = Journal()
    next(response.stream_events())
    assert invoke("logs", "recover").stdout == "No answer is waiting to be logged\n"
    journal.close()
    assert "Logged as" in invoke("logs", "recover").stdout


def test_journal_that_the_database_refuses_is_set_aside(log: Path, user_path: Path) -> None:
    """A constraint of the database is no reason to try for ever, and hinders no other journal."""
    with closing(open_log(log).conn) as conn, conn:
        conn.execute(
            "create trigger no before insert on turns when new.id like '%a'"
            " begin select raise(abort, 'not this one'); end"
        )
    put(user_path, lines(GOOD, TEXT), "a.jsonl")
    put(user_path, lines({**GOOD, "id": "01jaaaaaaaaaaaaaaaaaaaaaab"}, TEXT), "b.jsonl")
    take_up(log)
    assert [os.path.basename(path) for path in set_aside()] == ["a.jsonl.aside"]
    assert len(rows(log)) == 1


class Broken(llm.Model):
    """A model that tells something which cannot even be looked at."""

    model_id = "broken"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Any:
        response.json_replacements = {}  # type: ignore[attr-defined]
        yield "fine"

    @property
    def json_replacements(self) -> Any:
        """Raises something unforeseen."""
        raise ZeroDivisionError("unforeseen")


def test_turn_that_cannot_be_logged_is_no_failure(log: Path, plugin: Callable[..., object]) -> None:
    """Whatever logging raises, the answer is printed, the journal kept, and the exit code 0."""
    plugin("broken", **plugin_of(Broken()))
    result = invoke("-m", "broken", "hi")
    assert (result.exit_code, result.stdout) == (0, "fine\n")
    assert "cannot be logged: ZeroDivisionError: unforeseen. The answer is kept in" in result.stderr
    assert invoke("logs").exit_code == 0
    assert [row["response"] for row in rows(log)] == ["fine"]
