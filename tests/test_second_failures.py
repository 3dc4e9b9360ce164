"""What goes wrong while something else has gone wrong, or stands in an odd place."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.logs.file.db import open_log
from llm.logs.write.store import LogStore
from llm.parts import ToolResultPart
from llm.prompting.approval import load_rules, remember
from llm.prompting.journal import Journal
from llm.prompting.recovery import take_up
from llm.tools.running import run_calls
from tests.helpers.content import registered
from tests.helpers.log_models import Says, plugin_of


class Unspeakable(Exception):
    """An exception of which nothing can be said."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def fails() -> str:
    """Fail without words."""
    raise Unspeakable


def gives() -> Any:
    """Give what cannot be shown."""
    return {"a": Unspeakable()}


class Fails(llm.Model):
    """A model that fails without words."""

    model_id = "fails-mutely"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield from ()
        raise Unspeakable


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registered():
        yield


def invoke(*args: str, stdin: str = "") -> Any:
    """The result of `llm` with these arguments."""
    return CliRunner().invoke(cli, args, input=stdin)


@pytest.mark.parametrize("function", [fails, gives])
def test_tool_without_words(function: Callable[..., Any]) -> None:
    """The model is told the class, and the chain goes on."""
    call = llm.ToolCall(function.__name__, {}, "1")
    [result] = run_calls([call], [llm.Tool.function(function)])
    assert "<Unspeakable>" in result.output
    model = Says(call, "done")
    response = model.conversation().chain("go", tools=[function])
    assert response.text() == "done"
    [part] = [
        part
        for message in model.sent[-1]
        for part in message.parts
        if isinstance(part, ToolResultPart)
    ]
    assert "<Unspeakable>" in part.output


def test_model_without_words(plugin: Callable[..., object]) -> None:
    """An error that cannot be told is told by its class, also to the log and before a fallback."""
    plugin("fails-mutely", **plugin_of(Fails(), Says("other")))
    result = invoke("-m", "fails-mutely", "hi")
    assert (result.exit_code, result.stderr) == (1, "Error: <Unspeakable>\n")
    assert "<Unspeakable>" in invoke("logs", "--failed").stdout
    result = invoke("-m", "fails-mutely", "hi", "--fallback", "says")
    assert (result.exit_code, result.stdout) == (0, "other\n")
    assert "fails-mutely failed: <Unspeakable>" in result.stderr


def test_plugin_without_words(plugin: Callable[..., object]) -> None:
    """A plugin that fails without words costs one line."""

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        raise Unspeakable

    plugin("mute", register_models=register_models)
    assert invoke("models").exit_code == 0


FOLDERS = [
    *("new\nline", "\n", "x\r\ny", "tab\tx", "a: b\n- c", "a\n# b", 'it\'s\n"quoted"', "\x1b[31m"),
    *("\x85x", "\u2028", "~", "null", "{y}", "trail ", "a" * 120 + "\n" + "b" * 120),
]
BEFORE = ["", "# mine\nallow:\n- t1\n", "allow: [t1]\n", "folders:\n  /tmp:\n    allow: [t]\n"]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", FOLDERS)
def test_answer_for_a_folder_with_an_odd_name(
    user_path: Path, tmp_path: Path, name: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`f` is remembered for that folder, twice, and the rest of the file stays as it was."""
    (user_path / "tools.yaml").write_text(before)
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    for tool in ("tool_x", "tool_y"):
        remember(tool, os.getcwd())
    rules = [rule.text for rule in load_rules().allow]
    assert rules[-2:] == ["tool_x", "tool_y"]
    assert (user_path / "tools.yaml").read_text().startswith(before.split("folders")[0][:7])
    monkeypatch.chdir(tmp_path)
    assert "tool_x" not in [rule.text for rule in load_rules().allow]


def test_answer_in_a_folder_that_cannot_be_written_down(
    tmp_path: Path, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the name is no UTF-8 the call runs, and a line says that it is not remembered."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(UnicodeError):
        remember("look", folder)
    assert not (user_path / "tools.yaml").exists()


def test_rules_in_a_folder_that_is_gone(
    tmp_path: Path, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules for everywhere hold there, too."""
    (user_path / "tools.yaml").write_text("allow: [look]\nfolders:\n  /x:\n    allow: [more]\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert [rule.text for rule in load_rules().allow] == ["look"]


@pytest.mark.parametrize(
    ("content", "is_sent"),
    [
        (b"one\0NUL", True),
        (b"\0", True),
        ("schön\0e Grüße".encode(), True),
        (b"text " * 100 + b"\0\0", True),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", False),
        (b"a\0b\0c\0", True),
        (b"\xff\0", False),
    ],
)
def test_fragment_with_a_nul(tmp_path: Path, content: bytes, is_sent: bool) -> None:
    """A text into which a NUL has got is sent; what is no text is refused."""
    (tmp_path / "note.txt").write_bytes(content)
    result = invoke("-m", "tell", "hi", "-f", "note.txt")
    assert result.exit_code == (0 if is_sent else 1), result.output
    assert ("is not text" in result.stderr) == (not is_sent)


RUN = "import sys; sys.path.insert(0, {!r}); from tests.helpers.models import registered\n"
CODE = RUN + "from llm.cli import cli\nwith registered(): cli()"
ENDS = [
    (["-m", "nothing", "hi"], 1),
    (["--nothing"], 2),
    (["logs", "nothing"], 2),
    (["-m", "fails", "hi"], 3),
    (["keys", "get", "nothing"], 1),
    (["-m", "echo", "hi", "-u"], 0),
]


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-", "2>&- >&-", "2>&1 | true"])
@pytest.mark.parametrize(("args", "code"), ENDS)
def test_exit_code_where_nothing_can_be_told(
    args: list[str], code: int, redirection: str, user_path: Path
) -> None:
    """Where standard error cannot be written, the exit code tells as much as it can."""
    code_text = CODE.format(str(Path(__file__).parents[1]))
    status = 'rc=$?; echo "$rc" > "$STATUS"; exit 0'
    line = f'{{ "$@" {redirection.replace(" | true", "")}; {status}; }}'
    if "|" in redirection:
        line += " | true"
    path = user_path / "status"
    subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-c", code_text, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "STATUS": str(path)},
        check=False,
    )
    found = int(path.read_text())
    # A pipe that nobody reads has a code of its own.
    assert found in ((code, 141) if "|" in redirection else (code,))


def test_notes_on_a_stream_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while something is told is no reason to lose the answer."""

    class Failing:
        """A stream on a broken disk."""

        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def flush(self) -> None:
            raise OSError(errno.EIO, "Input/output error")

        def isatty(self) -> bool:
            return False

    from llm.terminal import notice, show_note

    monkeypatch.setattr(sys, "stderr", Failing())
    show_note("a note")
    notice("a notice")


# A clock that was set back


@pytest.fixture
def log(user_path: Path) -> Path:
    """The path of the log database."""
    return user_path / "logs.db"


def set_back(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Let a new process begin, whose clock is so many hours behind."""
    import time

    now = time.time_ns
    monkeypatch.setattr("llm.text._last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: now() - int(hours * 3600e9))


def test_conversation_used_last_is_the_one_written_last(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the clock was set, `-c` goes on with what was said last."""
    invoke("-m", "tell", "first")
    set_back(monkeypatch, 2)
    invoke("-m", "tell", "second")
    invoke("-c", "third")
    assert [row for row in invoke("logs", "-c").stdout.split("\n") if row == "first"] == []
    with open_log(log).conn as conn:
        threads = [row[0] for row in conn.execute("select thread_id from turns order by rowid")]
    assert threads[1] == threads[2] != threads[0]


def test_interrupted_answer_is_gone_on_with(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of an answer before it broke off stays in its conversation."""
    conversation = Says("first", ["half", " of it"]).conversation()
    conversation.prompt("one").log_to_db(open_log(log))
    set_back(monkeypatch, 2)
    response = conversation.prompt("two")
    response.observer = journal = Journal()
    next(response.stream_events())
    journal.close()
    take_up(log)
    messages = LogStore(open_log(log)).thread_messages(conversation.id)
    assert [message.text() for message in messages] == ["one", "first", "two", "half"]
