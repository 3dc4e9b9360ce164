"""The journal of a response: what is in it, where it lies, and what is made of it afterwards."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.logs.file.db import open_log
from llm.logs.read.rows import build_rows
from llm.logs.write.store import LogStore
from llm.parts import StreamEvent, ToolResultPart
from llm.prompting import journal as journals
from llm.prompting import journal_lines
from llm.prompting.journal import Journal, ResultsJournal, leftovers
from llm.prompting.journal_lines import EventLines, read_lines
from llm.prompting.recorder import Recorder
from llm.prompting.recovery import take_up
from llm.prompting.request import LogSettings
from llm.text import JSONObject
from tests.helpers.log_models import Says, Search, event


class Counter(llm.Toolbox):
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def add(self, by: int) -> str:
        """Add."""
        self.value += by
        return str(self.value)


def add(a: int) -> int:
    """Add one."""
    return a + 1


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


def kept(journal: Journal) -> Path:
    """The file of a journal."""
    assert journal.path is not None
    return Path(journal.path)


def run(
    response: llm.Response, journal: Journal | None = None, *, until: int | None = None
) -> Journal:
    """Let a response run with a journal, to its end or for some events; the process then dies."""
    journal = journal or Journal()
    response.observer = journal
    events = response.stream_events()
    if until is None:
        list(events)
        journal.finished(None)
    else:
        for _ in range(until):
            next(events)
    journal.close()
    return journal


def rows(log: Path) -> list[JSONObject]:
    """What the log has, oldest first."""
    conn = open_log(log).conn
    ids = [turn_id for (turn_id,) in conn.execute("select id from turns order by id")]
    found = build_rows(conn, ids)
    conn.close()
    return found


def said(log: Path, conversation_id: str) -> list[str]:
    """The texts of a conversation in the log."""
    return [m.text() for m in LogStore(open_log(log)).thread_messages(conversation_id)]


def test_complete_answer_is_recovered(log: Path) -> None:
    """An answer whose process died before logging it is logged as the process would have done."""
    last = event("text", "c", provider_metadata={"p": 1})
    model = Says([event("reasoning", "Hm"), "a", "b", last], raw={"id": 7})
    response = model.conversation().prompt("hi", system="Be brief", temperature=0.5)
    run(response)
    direct = log.with_name("direct.db")
    response.log_to_db(open_log(direct))
    take_up(log)
    [found], [expected] = rows(log), rows(direct)
    assert (found.pop("status"), found.pop("error", None)) == ("recovered", None)
    assert found == expected
    assert leftovers() == []


def test_partial_answer_is_interrupted(log: Path) -> None:
    """What a killed process had received is logged with its id and time, and can be continued."""
    response = Says(["one ", "two ", "three"]).conversation().prompt("count")
    run(response, until=2)
    take_up(log)
    [row] = rows(log)
    assert (row["id"], row["response"], row["status"]) == (response.id, "one two ", "interrupted")
    assert row["datetime_utc"] == response.started_utc()
    assert said(log, row["conversation_id"]) == ["count", "one two "]


def test_prompt_without_output_leaves_the_thread(log: Path) -> None:
    """A prompt that got no answer is recorded; its conversation ends where it did."""
    conversation = Says("first", "never").conversation()
    conversation.prompt("one").log_to_db(open_log(log))
    second = conversation.prompt("two")
    journal = Journal()
    second._begin()
    journal.begun(second)
    journal.close()
    take_up(log)
    assert [row["prompt"] for row in rows(log)] == ["one", "two"]
    assert said(log, conversation.id) == ["one", "first"]


@pytest.mark.parametrize(
    "command",
    ["logs", "logs status", "logs backup copy.db", "logs verify", "schemas", "fragments"],
)
def test_next_command_on_the_log_takes_up_what_was_left(
    log: Path, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever opens the log finds in it what a dead process had received."""
    monkeypatch.chdir(tmp_path)
    open_log(log).close()
    run(Says(["one ", "two"]).conversation().prompt("count"), until=2)
    assert CliRunner().invoke(cli, command.split()).exit_code == 0
    assert leftovers() == []
    assert [row["response"] for row in rows(log)] == ["one two"]


def test_history_in_the_log_is_not_written_again(log: Path) -> None:
    """The journal of a later turn refers to what is stored, and is put behind it."""
    conversation = Says("first answer", "second answer").conversation()
    conversation.prompt("one").log_to_db(open_log(log))
    journal = run(conversation.prompt("two"))
    assert "first answer" not in kept(journal).read_text()
    take_up(log)
    assert said(log, conversation.id) == ["one", "first answer", "two", "second answer"]
    assert LogStore(open_log(log)).verify() == []


def test_history_that_is_gone_costs_only_itself(log: Path) -> None:
    """Where the log was replaced meanwhile the new messages are kept all the same."""
    conversation = Says("first answer", "second answer").conversation()
    conversation.prompt("one").log_to_db(open_log(log))
    run(conversation.prompt("two"))
    for path in log.parent.glob("logs.db*"):
        path.unlink()
    take_up(log)
    assert [(row["prompt"], row["response"]) for row in rows(log)] == [("two", "second answer")]


def test_everything_of_a_prompt_is_recovered(log: Path) -> None:
    """Fragments, attachments, schema, tools, toolboxes and their results outlast the process."""
    box = Counter(start=5)
    result = llm.ToolResult("Counter_add", "6", tool_call_id="c1", instance=box)
    conversation = Says([llm.ToolCall("Counter_add", {"by": 1}, "c1")], "done").conversation()
    first = conversation.prompt(
        "question",
        fragments=[llm.Fragment("long text", "a.txt")],
        system_fragments=[llm.Fragment("rules", "r.txt")],
        attachments=[llm.Attachment(type="image/png", content=b"png")],
        schema={"type": "object", "properties": {}},
        tools=[box, add],
    )
    run(first)
    second = conversation.prompt("", tools=[box, add], tool_results=[result])
    run(second)
    direct = log.with_name("direct.db")
    db = open_log(direct)
    first.log_to_db(db)
    second.log_to_db(db)
    take_up(log)
    found, expected = rows(log), rows(direct)
    for row in found:
        assert row.pop("status") == "recovered"
    assert found == expected


def test_server_side_tool_is_recovered(log: Path) -> None:
    """A tool that the provider runs is stored as the process would have stored it."""
    response = Says("found").conversation().prompt("look", tools=[Search(depth=3)])
    run(response)
    direct = log.with_name("direct.db")
    response.log_to_db(open_log(direct))
    take_up(log)
    assert rows(log)[0]["tools"] == rows(direct)[0]["tools"] != []


def test_long_texts_are_written_in_slices(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long prompt is never held a second time in memory, and comes back whole."""
    monkeypatch.setattr(journal_lines, "SLICE", 10)
    text = "0123456789abcdefghij-the end"
    journal = run(Says("ok").conversation().prompt(text))
    lines = [json.loads(line) for line in kept(journal).read_text().splitlines()]
    slices = [line[2] for line in lines if isinstance(line, list)]
    assert slices == [text[:10], text[10:20], text[20:]]
    take_up(log)
    assert rows(log)[0]["prompt"] == text


class Twice(llm.Model):
    """Fails once, in the middle."""

    model_id = "twice"
    can_stream = True
    failed = False

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield "good" if self.failed else "bad"
        if not self.failed:
            self.failed = True
            raise ConnectionError("gone")


def test_second_attempt_replaces_the_first(log: Path) -> None:
    """What a failed attempt had said is no part of the answer of the next one."""
    response = Twice().conversation().prompt("hi")
    journal = Journal()
    response.observer = journal
    with pytest.raises(ConnectionError):
        response.text()
    assert response.text() == "good"
    journal.close()
    take_up(log)
    assert rows(log)[0]["response"] == "good"


def test_turn_that_was_logged_is_not_logged_again(log: Path) -> None:
    """A process that died between logging and deleting its journal leaves nothing to do."""
    response = Says("ok").conversation().prompt("hi")
    run(response)
    response.log_to_db(open_log(log))
    take_up(log)
    [row] = rows(log)
    assert "status" not in row
    assert leftovers() == []


def test_living_process_is_left_alone(log: Path) -> None:
    """A journal that its owner holds is not touched."""
    journal = Journal()
    response = Says("ok").conversation().prompt("hi")
    response.observer = journal
    response.text()
    take_up(log)
    assert leftovers() == [journal.path]
    assert not log.exists()
    journal.close(keep=False)
    assert leftovers() == []


def test_journal_of_another_database_stays(log: Path, tmp_path: Path) -> None:
    """Each journal waits for its own database."""
    other = tmp_path / "other.db"
    run(Says("ok").conversation().prompt("hi"), Journal(str(other)))
    take_up(log)
    assert not log.exists()
    take_up(other)
    assert [row["response"] for row in rows(other)] == ["ok"]


def test_journal_of_a_later_release_stays(log: Path, user_path: Path) -> None:
    """A form that this release does not know is left to one that does."""
    folder = user_path / "inflight"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"journal": 2}\n')
    take_up(log)
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


def test_empty_journal_is_deleted_when_it_is_old(log: Path, user_path: Path) -> None:
    """One that died before it sent anything leaves nothing; one that just began is let be."""
    folder = user_path / "inflight"
    folder.mkdir()
    for name, age in (("old.jsonl", 7200), ("new.jsonl", 0)):
        (folder / name).write_text('{"journal": 1, "id"')
        os.utime(folder / name, (time.time() - age,) * 2)
    take_up(log)
    assert [path.name for path in folder.iterdir()] == ["new.jsonl"]


def test_half_a_line_is_left_out(log: Path) -> None:
    """The line in which the process died does not spoil those before it."""
    journal = run(Says(["one ", "two"]).conversation().prompt("hi"), until=2)
    with kept(journal).open("a") as file:
        file.write('"thr')
    take_up(log)
    assert rows(log)[0]["response"] == "one two"


def test_database_that_cannot_be_written_keeps_the_journals(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be logged now stays, and the reason is told on demand."""
    run(Says("ok").conversation().prompt("hi"))
    log.write_text("no database" * 100)
    take_up(log)
    assert capsys.readouterr().err == ""
    take_up(log, tell=True)
    assert "is kept in" in capsys.readouterr().err
    log.unlink()
    take_up(log)
    assert [row["response"] for row in rows(log)] == ["ok"]


def test_thread_that_has_gone_on_keeps_its_end(log: Path) -> None:
    """A turn that is taken up late does not move the conversation back."""
    conversation = Says("first", "second", "third").conversation()
    conversation.prompt("one").log_to_db(open_log(log))
    stored = list(conversation._responses)
    run(conversation.prompt("two"))
    conversation.responses = stored
    conversation.prompt("three").log_to_db(open_log(log))
    take_up(log)
    assert said(log, conversation.id) == ["one", "first", "three", "third"]
    assert len(rows(log)) == 3


def test_results_of_tools_are_put_behind_their_calls(log: Path) -> None:
    """A tool that has run is not run again when the conversation goes on."""
    response = Says([llm.ToolCall("add", {"a": 1}, "c1")]).conversation().prompt("hi", tools=[add])
    response.log_to_db(open_log(log))
    assert response.conversation is not None
    results = ResultsJournal(response.conversation.id, response.id, None, None)
    results.begin()
    results.add(llm.ToolResult("add", "2", tool_call_id="c1"))
    results.close(keep=True)
    take_up(log)
    last = LogStore(open_log(log)).thread_messages(response.conversation.id)[-1]
    (result,) = last.parts
    assert isinstance(result, ToolResultPart)
    assert (last.role, result.output) == ("tool", "2")


def test_results_of_a_thread_that_went_on_are_dropped(log: Path) -> None:
    """Results whose calls were answered otherwise are not put anywhere."""
    conversation = Says("first").conversation()
    conversation.prompt("hi").log_to_db(open_log(log))
    results = ResultsJournal(conversation.id, None, "b2:elsewhere", None)
    results.begin()
    results.add(llm.ToolResult("add", "2", tool_call_id="c1"))
    results.close(keep=True)
    take_up(log)
    assert said(log, conversation.id) == ["hi", "first"]
    assert leftovers() == []


def test_journal_is_private(user_path: Path) -> None:
    """Nobody else can read a journal or list the folder."""
    journal = run(Says("ok").conversation().prompt("hi"))
    assert stat.S_IMODE(kept(journal).stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(user_path / "inflight").st_mode) == 0o700


def test_journal_goes_where_it_can(log: Path, user_path: Path, tmp_path: Path) -> None:
    """Where the user directory takes no journal it lies with the state, and is found there."""
    (user_path / "inflight").write_text("in the way")
    journal = run(Says("ok").conversation().prompt("hi"))
    assert kept(journal).is_relative_to(tmp_path / "state")
    take_up(log)
    assert [row["response"] for row in rows(log)] == ["ok"]


def test_journal_does_not_lie_where_others_can_write(user_path: Path, tmp_path: Path) -> None:
    """A folder among temporary files that others prepared is not used."""
    (user_path / "inflight").write_text("in the way")
    (tmp_path / "state").write_text("in the way")
    *_, folder = journals.folders()
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o777)
    journal = run(Says("ok").conversation().prompt("hi"))
    assert not journal.is_whole
    assert list(Path(folder).iterdir()) == []


class Disk:
    """A disk that can be full, for all files or for some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.full: set[int] = set()
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        """Write, unless there is no room."""
        if self.is_full or fd in self.full:
            raise OSError(28, "No space left on device")
        return self._write(fd, data)


def test_journal_moves_when_the_place_fails(
    log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a disk fills up in the middle of an answer the journal goes on elsewhere, whole."""
    disk = Disk(monkeypatch)
    journal = Journal()
    response = Says(["one ", "two ", "three"]).conversation().prompt("hi")
    response.observer = journal
    events = response.stream_events()
    next(events)
    assert journal._file is not None
    assert journal._file.fd is not None
    disk.full.add(journal._file.fd)
    next(events)
    assert journal.is_whole
    assert kept(journal).is_relative_to(tmp_path / "state")
    journal.close()
    take_up(log)
    assert rows(log)[0]["response"] == "one two "


def test_torn_journal_is_made_whole_at_the_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing could be written for a while the end of the answer writes all of it."""
    disk = Disk(monkeypatch)
    journal = Journal()
    response = Says(["one ", "two ", "three"]).conversation().prompt("hi")
    response.observer = journal
    events = response.stream_events()
    next(events)
    disk.is_full = True
    list(events)
    assert not journal.is_whole
    disk.is_full = False
    journal.finished(None)
    assert journal.is_whole
    journal.close()
    take_up(log)
    assert rows(log)[0]["response"] == "one two three"


def test_keys_are_masked() -> None:
    """A key in use does not get into a journal."""
    from llm.text.secrets import remember

    remember("sk-journal-0123456789")
    journal = run(Says("your key is sk-journal-0123456789").conversation().prompt("hi"))
    assert "sk-journal" not in kept(journal).read_text()


def test_key_in_pieces_is_masked(log: Path) -> None:
    """A key that comes in several events is written over once it is there, metadata and all else
    stay."""
    from llm.text.secrets import remember

    remember(key := "sk-journal-0123456789")
    middle = event("text", key[1:4], provider_metadata={"p": 1})
    pieces: list[Any] = ["the s", "ecret s", middle, key[4:], "."]
    journal = run(Says(pieces).conversation().prompt("hi"), until=3)
    assert key[1:4] in kept(journal).read_text()
    response = Says(pieces).conversation().prompt("hi")
    journal = run(response)
    content = kept(journal).read_text()
    assert not any(part in content for part in (key, key[1:], key[1:4], key[4:]))
    assert '"p": 1' in content
    take_up(log)
    assert [row["response"] for row in rows(log)] == ["the secret sk-j", "the secret [...]."]


def test_key_across_slices_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in a long prompt is masked wherever the slices end."""
    from llm.text.secrets import remember

    remember(key := "sk-journal-0123456789")
    monkeypatch.setattr(journal_lines, "SLICE", 10)
    journal = run(Says("ok").conversation().prompt(f"012345{key}"))
    lines = [json.loads(line) for line in kept(journal).read_text().splitlines()]
    assert "".join(line[2] for line in lines if isinstance(line, list)) == "012345[...]"


def test_key_in_pieces_is_masked_where_the_journal_moves(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written anew elsewhere has the key masked too."""
    from llm.text.secrets import remember

    remember(key := "sk-journal-0123456789")
    disk = Disk(monkeypatch)
    journal = Journal()
    response = Says(["key s", key[1:5], key[5:], "."]).conversation().prompt("hi")
    response.observer = journal
    events = response.stream_events()
    next(events)
    next(events)
    assert journal._file is not None
    assert journal._file.fd is not None
    disk.full.add(journal._file.fd)
    list(events)
    assert journal.is_whole
    journal.close()
    content = kept(journal).read_text()
    assert key[1:5] not in content
    assert key[5:] not in content
    take_up(log)
    assert rows(log)[0]["response"] == "key [...]."


def test_recorder_keeps_results_at_its_end(log: Path) -> None:
    """Results that no request has taken are behind their calls when the command ends."""
    with Recorder(LogSettings()) as recorder:
        call = llm.ToolCall("add", {"a": 1}, "c1")
        response = Says([call]).conversation().prompt("hi", tools=[add])
        recorder.begin(response)
        response.text()
        recorder.end(response)
        assert response.conversation is not None
        recorder.expect_result(response.conversation)
        recorder.keep_result(llm.ToolResult("add", "2", tool_call_id="c1"))
    assert leftovers() == []
    last = LogStore(open_log(log)).thread_messages(response.conversation.id)[-1]
    (result,) = last.parts
    assert isinstance(result, ToolResultPart)
    assert result.output == "2"


def test_recorder_hands_results_on_to_the_next_request(log: Path) -> None:
    """Results that are part of a request are not kept a second time."""
    conversation = Says([llm.ToolCall("add", {"a": 1}, "c1")], "done").conversation()
    with Recorder(LogSettings()) as recorder:
        first = conversation.prompt("hi", tools=[add])
        recorder.begin(first)
        first.text()
        recorder.end(first)
        result = llm.ToolResult("add", "2", tool_call_id="c1")
        recorder.expect_result(conversation)
        recorder.keep_result(result)
        second = conversation.prompt("", tools=[add], tool_results=[result])
        recorder.begin(second)
        second.text()
        recorder.end(second)
    roles = [m.role for m in LogStore(open_log(log)).thread_messages(conversation.id)]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert leftovers() == []


def test_rows_are_there_without_a_database(log: Path) -> None:
    """`--json` prints its records although the log cannot be written."""
    log.mkdir()
    with Recorder(LogSettings(), wants_rows=True) as recorder:
        response = Says("ok").conversation().prompt("hi")
        recorder.begin(response)
        response.text()
        recorder.end(response)
        assert [row["response"] for row in recorder.rows()] == ["ok"]
    log.rmdir()
    take_up(log)
    assert [row["status"] for row in rows(log)] == ["recovered"]


def test_event_of_a_stream_survives_the_file() -> None:
    """Everything that an event can carry is read as it was written."""
    full = StreamEvent(
        "tool_result", "\ud83d out", 3, "c1", True, "search", False, {"p": {"q": [1, None]}}, 2
    )
    record = read_lines(b'{"journal": 1}\n' + EventLines().add(full)[1] + b'"more"\n')
    assert record is not None
    assert record.events[0] == full
    assert record.events[1] == StreamEvent("tool_result", "more", 3, "c1", message_index=2)


def _as_link(journal: Path) -> None:
    target = journal.with_name("target")
    journal.rename(target)
    journal.symlink_to(target)


def _as_linked_folder(journal: Path) -> None:
    target = journal.parent.with_name("elsewhere")
    journal.parent.rename(target)
    journal.parent.symlink_to(target)


def _as_pipe(journal: Path) -> None:
    journal.unlink()
    os.mkfifo(journal)


def _as_folder(journal: Path) -> None:
    journal.unlink()
    journal.mkdir()


STRANGE: dict[str, Callable[[Path], object]] = {
    "a link": _as_link,
    "in a linked folder": _as_linked_folder,
    "a pipe": _as_pipe,
    "a folder": _as_folder,
    "with a second name": lambda journal: os.link(journal, journal.with_name("second")),
    "writable by others": lambda journal: journal.chmod(0o602),
    "writable by the group": lambda journal: journal.chmod(0o620),
    "in a folder writable by others": lambda journal: journal.parent.chmod(0o777),
    "in a folder writable by the group": lambda journal: journal.parent.chmod(0o770),
}
if os.getuid() == 0:
    NOBODY = 65534
    STRANGE["of somebody else"] = lambda journal: os.chown(journal, NOBODY, NOBODY)
    STRANGE["in a folder of somebody else"] = lambda path: os.chown(path.parent, NOBODY, NOBODY)


@pytest.mark.parametrize("how", STRANGE)
@pytest.mark.parametrize("place", ["user directory", "state", "temporary files"])
def test_journal_that_others_may_have_written_is_left_alone(
    log: Path,
    user_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    how: str,
) -> None:
    """It stays where it is, unread, wherever it lies, and one line says so."""
    if place != "user directory":
        (user_path / "inflight").write_text("in the way")
    if place == "temporary files":
        (tmp_path / "state").write_text("in the way")
    journals_of_ours = [kept(run(Says("ok").conversation().prompt("hi"))) for _ in range(2)]
    STRANGE[how](journals_of_ours[0])
    take_up(log)
    error = capsys.readouterr().err
    in_folder = "folder" in how and how != "a folder"
    assert len(rows(log)) == (0 if in_folder else 1) if log.exists() else in_folder
    assert error.count("\n") == 1, error
    assert str(journals_of_ours[0].parent) in error
    assert os.path.lexists(journals_of_ours[0])
    take_up(log)
    assert capsys.readouterr().err == ""
