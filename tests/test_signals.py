"""Signals that end a command, and the exit codes of answers that broke off."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.errors import LogError, ModelError, exit_code_of, mark_partial
from llm.files.config import logs_db_path
from llm.logs.file.db import open_log, set_aside
from llm.prompting.signals import Stopped, dying_tidily
from tests.helpers.log_models import plugin_of


def deliver(number: int) -> None:
    """Call the handler of a signal."""
    handler = signal.getsignal(number)
    assert callable(handler)
    handler(number, None)


def test_signal_becomes_an_exception_and_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the block a signal can be cleaned up after; then the process dies of it."""
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    with pytest.raises(Stopped) as stop, dying_tidily():
        deliver(signal.SIGTERM)
    assert raised == [signal.SIGTERM]
    assert stop.value.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_handled_signal_is_left_alone() -> None:
    """Who ignores a signal, as nohup does, goes on ignoring it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with dying_tidily():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_have_no_signals() -> None:
    """Outside the main thread nothing is changed, and nothing fails."""
    seen = []

    def work() -> None:
        with dying_tidily():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_exit_code_of_a_partial_answer() -> None:
    """An error that came after some text has an exit code of its own."""
    error = ValueError("boom")
    assert exit_code_of(error) == 1
    mark_partial(error)
    assert exit_code_of(error) == 3
    assert exit_code_of(ModelError("boom")) == 1


class Filtered(llm.Model):
    """Is stopped by its provider."""

    model_id = "filtered"
    can_stream = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield "some text"
        response.cut_off = "The filter stopped it"


@pytest.mark.parametrize("flags", [[], ["--no-stream"], ["-x"]])
def test_answer_that_was_cut_off_is_failed(
    plugin: Callable[..., ModuleType], flags: list[str]
) -> None:
    """An answer that the provider stopped is kept with its status, and ends with exit code 3."""
    plugin("filters", **plugin_of(Filtered()))
    runner = CliRunner()
    result = runner.invoke(cli, ["-m", "filtered", "hi", *flags], input="")
    assert (result.exit_code, result.stdout) == (3, "some text\n")
    assert result.stderr == "Error: The filter stopped it\n"
    shown = runner.invoke(cli, ["logs", "--failed"]).stdout
    assert "Status: **failed** (ModelError: The filter stopped it)" in shown
    assert "status: failed" in runner.invoke(cli, ["logs", "--short"]).stdout


class Left(BaseException):
    """An exception that nobody expects."""


class Leaves(llm.Model):
    """Wants to end the program in the middle of its answer."""

    model_id = "leaves"
    can_stream = True

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield "some text"
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(7), "The model tried to end the program with exit code 7"),
        (GeneratorExit("now"), "GeneratorExit: now"),
        (Left("now"), "Left: now"),
    ],
)
def test_model_does_not_end_the_program(
    plugin: Callable[..., ModuleType], error: BaseException, told: str
) -> None:
    """Whatever a model raises is an error of its answer: kept, told, and a chat goes on."""
    plugin("leavers", **plugin_of(Leaves(error)))
    runner = CliRunner()
    result = runner.invoke(cli, ["-m", "leaves", "hi"], input="")
    assert (result.exit_code, result.stdout) == (3, "some text")
    assert result.stderr == f"Error: {told}\n"
    assert f"ModelError: {told}" in runner.invoke(cli, ["logs", "--failed"]).stdout
    result = runner.invoke(cli, ["chat", "-m", "leaves"], input="one\ntwo\n")
    assert (result.exit_code, result.stderr.count(told)) == (0, 2)


def test_failed_lists_nothing_where_nothing_failed() -> None:
    """`llm logs --failed` of a log without failures is empty."""
    open_log(logs_db_path()).conn.close()
    result = CliRunner().invoke(cli, ["logs", "--failed"])
    assert (result.exit_code, result.stdout) == (0, "")


def test_garbage_is_set_aside_under_a_free_name(tmp_path: Path) -> None:
    """A file that is no database gets another name, never that of an earlier one."""
    path = tmp_path / "logs.db"
    for number in (1, 2):
        path.write_text(f"garbage {number}" * 200)
        set_aside(path)
    assert not path.exists()
    assert (tmp_path / "logs.db.broken").read_text().startswith("garbage 1")
    assert (tmp_path / "logs.db.broken-2").read_text().startswith("garbage 2")


def test_garbage_of_one_byte_is_not_taken_for_an_empty_log(tmp_path: Path) -> None:
    """SQLite would write over such a file; here it is refused, and can be set aside."""
    path = tmp_path / "logs.db"
    path.write_bytes(b"\n")
    with pytest.raises(LogError, match="not a database"):
        open_log(path)
    moved = set_aside(path)
    assert moved is not None
    assert Path(moved).read_bytes() == b"\n"


def test_database_is_never_set_aside(tmp_path: Path) -> None:
    """A database that can be read stays where it is."""
    path = tmp_path / "logs.db"
    open_log(path).conn.close()
    assert set_aside(path) is None
    assert path.exists()
    assert set_aside(tmp_path / "missing.db") is None


def test_interrupted_import_gives_up_the_plugin(
    monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., Path], fresh_plugins: None
) -> None:
    """Ctrl-C while a plugin is imported costs a listing that plugin; a prompt it ends."""
    from llm import plugins

    install_plugin("llm-endless", "raise KeyboardInterrupt")
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "llm-endless")
    monkeypatch.setattr(plugins, "outlasts_interrupts", True)
    plugins.load_plugins()
    assert plugins.faults()[0].problem.startswith("InterruptedError")
    monkeypatch.setattr(plugins, "_loaded", False)
    monkeypatch.setattr(plugins, "outlasts_interrupts", False)
    sys.modules.pop("llm_endless", None)
    with pytest.raises(KeyboardInterrupt):
        plugins.load_plugins()
