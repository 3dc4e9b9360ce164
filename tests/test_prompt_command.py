"""`llm prompt`: what it sends, prints and keeps."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.commands._options import AttachmentType
from tests.helpers.models import FENCED, registered


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    with registered():
        yield


def run(*args: str, stdin: str | bytes = "", **env: str) -> Result:
    """The result of a command line; standard input is empty unless given."""
    return CliRunner(env=env).invoke(cli, list(args), input=stdin)


def turns(path: Path) -> list[tuple[Any, ...]]:
    """Thread, model and options of the turns in a database, oldest first."""
    with sqlite3.connect(path) as db:
        return db.execute("select thread_id, model, options_json from turns order by id").fetchall()


# What is sent


def test_answer_is_printed_with_one_newline() -> None:
    """The answer goes to stdout, ended by a newline; stderr stays empty."""
    result = run("-m", "echo", "hi")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "user: hi\n", "")


def test_system_prompt_is_sent_first() -> None:
    """`-s` becomes the system message."""
    assert run("-m", "echo", "-s", "Be brief", "hi").stdout == "system: Be brief | user: hi\n"


def test_stdin_goes_before_argument() -> None:
    """Piped text, a space, and the argument; nothing is stripped."""
    assert run("-m", "echo", "b", stdin="a\n").stdout == "user: a\n b\n"
    assert run("-m", "echo", stdin="only").stdout == "user: only\n"


def test_empty_prompt_is_allowed() -> None:
    """A prompt without any text is sent all the same."""
    result = run("-m", "forgetful")
    assert (result.exit_code, result.stdout) == (0, "Only \n")


def test_prompt_is_the_default_command() -> None:
    """A first word that names no command is a prompt."""
    assert run("hello", "-m", "echo").stdout == "user: hello\n"
    assert run("prompt", "hello", "-m", "echo").stdout == "user: hello\n"


# Which model


def test_model_comes_from_environment() -> None:
    """`LLM_MODEL` is the default of `-m`, which wins over it."""
    assert run("hi", LLM_MODEL="forgetful").stdout == "Only hi\n"
    assert run("hi", "-m", "e", LLM_MODEL="forgetful").stdout == "user: hi\n"
    assert run("hi", "-q", "ech", LLM_MODEL="forgetful").stdout == "Only hi\n"


def test_model_comes_from_default_file() -> None:
    """Without any choice the default model answers."""
    llm.set_default_model("forgetful")
    assert run("hi").stdout == "Only hi\n"


def test_query_takes_shortest_id() -> None:
    """`-q` finds the model whose id is the shortest of those that match every word."""
    assert run("hi", "-q", "FORGET", "-q", "ful").stdout == "Only hi\n"
    llm.set_default_model("forgetful")
    assert run("hi", "-q", "e", "-q", "cho").stdout == "user: hi\n"


def test_query_without_match_fails() -> None:
    """No model for the words of `-q`: exit code 1, with the words."""
    result = run("hi", "-q", "nothing", "-q", "such")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No model found matching queries nothing, such")


def test_unknown_model_names_the_nearest() -> None:
    """An unknown model is answered with names that are close to it."""
    result = run("hi", "-m", "forgetfull")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Unknown model: forgetfull" in result.stderr
    assert "forgetful" in result.stderr.replace("forgetfull", "")


# Options


def test_options_are_converted() -> None:
    """Option values are text that the model's own rules convert; the last of a name wins."""
    result = run("-m", "echo", "hi", "-o", "shout", "0", "-o", "shout", "1", "-o", "times", "2")
    assert result.stdout == "USER: HIUSER: HI\n"


def test_stored_options_fill_the_gaps() -> None:
    """Stored defaults hold where the command line says nothing."""
    run("models", "options", "set", "echo", "times", "2")
    assert run("-m", "e", "hi").stdout == "user: hiuser: hi\n"
    assert run("-m", "e", "hi", "-o", "times", "1").stdout == "user: hi\n"


def test_invalid_options_are_listed() -> None:
    """Each refused option has its name, the reason and, for a name, the nearest known."""
    result = run("-m", "echo", "hi", "-o", "times", "x", "-o", "shoot", "1")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: times\n"
        "  Input should be a valid integer, unable to parse string as an integer\n"
        "shoot\n"
        "  Extra inputs are not permitted - did you mean shout?\n"
    )


def test_invalid_stored_option_is_named_as_such(user_path: Path) -> None:
    """An option that was refused but never typed is told to be a stored default."""
    (user_path / "model_options.json").write_text('{"echo": {"volume": "11"}}')
    result = run("-m", "echo", "hi")
    assert result.exit_code == 1
    assert "llm models options show echo" in result.stderr


def test_options_flag_describes_the_model() -> None:
    """`--options` prints what `llm models --options -m MODEL` prints and sends nothing."""
    shown = run("--options", "-m", "echo", stdin="never read")
    assert (shown.exit_code, shown.stdout) == (0, run("models", "--options", "-m", "echo").stdout)
    assert "times" in shown.stdout


def test_options_flag_describes_the_continued_model() -> None:
    """With `-c` the options are those of the conversation's model."""
    run("-m", "echo", "hi")
    assert run("--options", "-c").stdout == run("models", "--options", "-m", "echo").stdout


# How it is shown


def test_no_stream_asks_for_the_whole() -> None:
    """`--no-stream` reaches the model."""
    assert run("-m", "echo", "hi", "--no-stream").stdout == "whole user: hi\n"


def test_model_that_cannot_stream_is_asked_for_the_whole() -> None:
    """A model without streaming is never asked to; its reasoning is not shown."""
    result = run("-m", "plain", "hi")
    assert (result.stdout, result.stderr) == ("stream=False\n", "")


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["-x"], "first()\n\n"),
        (["--xl"], "second()\n\n"),
        (["-x", "--xl"], "second()\n\n"),
        ([], FENCED + "\n"),
    ],
)
def test_extract_prints_one_block(flags: list[str], shown: str) -> None:
    """`-x` prints the first fenced block, `--xl` the last."""
    assert run("-m", "fenced", "hi", *flags).stdout == shown


def test_extract_without_block_prints_all() -> None:
    """Where there is no fenced block the whole answer is printed."""
    assert run("-m", "forgetful", "hi", "-x").stdout == "Only hi\n"


def test_reasoning_goes_to_stderr() -> None:
    """Reasoning is shown apart from the answer, with a newline before text that follows."""
    result = run("-m", "reasoner", "hi")
    assert (result.stdout, result.stderr) == ("AB\n", "Let me think\nHm\nDone\n")


def test_hidden_reasoning_is_not_shown() -> None:
    """`-R` shows none of it and tells the model."""
    result = run("-m", "reasoner", "hi", "-R")
    assert (result.stdout, result.stderr) == ("AB hidden\n", "")


def test_usage_goes_to_stderr() -> None:
    """`-u` tells the tokens after the answer."""
    result = run("-m", "echo", "hi", "-u")
    assert result.stdout == "user: hi\n"
    usage, conversation = result.stderr.splitlines()
    assert usage == 'Token usage: 1,234 input, 5 output, {"cached": 1}'
    assert conversation.startswith("Conversation: ")


def test_json_prints_the_log_record() -> None:
    """`--json` prints an array with the record that `llm logs --json` has."""
    result = run("-m", "echo", "hi", "--json")
    records = json.loads(result.stdout)
    assert [record["response"] for record in records] == ["whole user: hi"]
    assert records == json.loads(run("logs", "--json").stdout)


def test_json_works_without_log(user_path: Path) -> None:
    """`--json` with `-n` gives the record and leaves no file."""
    result = run("-m", "echo", "hi", "--json", "-n")
    assert [record["prompt"] for record in json.loads(result.stdout)] == ["hi"]
    assert not (user_path / "logs.db").exists()


def test_async_runs_the_twin() -> None:
    """`--async` runs the asynchronous model and keeps its turn."""
    assert run("-m", "echo", "hi", "--async").stdout == "async user: hi\n"
    assert run("-c", "more", "--async").stdout == (
        "async user: hi | assistant: async user: hi | user: more\n"
    )
    assert run("-m", "echo", "hi", "--async", "--no-stream", "-u", "-n").stderr == (
        "Token usage: 1 input, 2 output\n"
    )


def test_async_of_sync_model_fails() -> None:
    """A model without twin cannot run asynchronously."""
    result = run("-m", "forgetful", "hi", "--async")
    assert result.exit_code == 1
    assert "Unknown async model (sync model exists): forgetful" in result.stderr


# Keys


def test_key_is_given_by_value_or_name(user_path: Path) -> None:
    """`--key` is a key, or the name of a stored one."""
    (user_path / "keys.json").write_text('{"vault": "stored", "other": "second"}')
    assert run("-m", "keyed", "hi").stdout == "key=stored\n"
    assert run("-m", "keyed", "hi", "--key", "other").stdout == "key=second\n"
    assert run("-m", "keyed", "hi", "--key", "direct").stdout == "key=direct\n"
    assert run("-m", "echo", "hi", "--key", "unused").stdout == "user: hi\n"


def test_missing_key_tells_what_to_do() -> None:
    """Without a key the message names both ways to give one."""
    result = run("-m", "keyed", "hi")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: No key found - add one using 'llm keys set vault' "
        "or set the VAULT_KEY environment variable\n",
    )


# What is kept


def test_turn_is_logged(user_path: Path) -> None:
    """Each prompt becomes a turn of a thread of its own."""
    run("-m", "echo", "hi", "-o", "times", "1")
    run("-m", "forgetful", "hi")
    logged = turns(user_path / "logs.db")
    assert [(model, json.loads(options or "{}")) for _, model, options in logged] == [
        ("echo", {"times": 1}),
        ("forgetful", {}),
    ]
    assert logged[0][0] != logged[1][0]


def test_database_option_names_the_log(tmp_path: Path, user_path: Path) -> None:
    """`-d` logs to, and continues from, another database."""
    path = tmp_path / "other.db"
    run("-m", "echo", "hi", "-d", str(path))
    assert "user: hi" in run("-c", "more", "-d", str(path)).stdout
    assert [model for _, model, _ in turns(path)] == ["echo", "echo"]
    assert not (user_path / "logs.db").exists()


@pytest.mark.parametrize("flags", [["-n"], ["--no-log"]])
def test_no_log_leaves_no_trace(user_path: Path, flags: list[str]) -> None:
    """`-n` creates no database."""
    assert run("-m", "echo", "hi", *flags).exit_code == 0
    # Which plugins are installed has nothing to do with the prompt.
    assert [path.name for path in user_path.iterdir() if path.name != "cache"] == []


def test_no_log_changes_no_database(user_path: Path) -> None:
    """`-n -c` reads the history and leaves the database as it is."""
    run("-m", "echo", "hi")
    path = user_path / "logs.db"
    before = turns(path), path.read_bytes()
    result = run("-c", "more", "-n")
    assert result.stdout == "user: hi | assistant: user: hi | user: more\n"
    assert (turns(path), path.read_bytes()) == before


def test_logging_switched_off_is_honoured(user_path: Path) -> None:
    """With logging off nothing is kept, unless `--log` says so."""
    run("logs", "off")
    run("-m", "echo", "hi")
    assert not (user_path / "logs.db").exists()
    run("-m", "echo", "hi", "--log")
    assert len(turns(user_path / "logs.db")) == 1


def test_log_and_no_log_contradict() -> None:
    """Both log flags at once are refused before anything is sent."""
    result = run("-m", "echo", "hi", "--log", "--no-log")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: --log and --no-log are mutually exclusive\n"


def test_plugin_may_replace_logging(monkeypatch: pytest.MonkeyPatch, user_path: Path) -> None:
    """The turn is kept through `log_to_db` of the class, which plugins replace."""
    kept = []
    monkeypatch.setattr(llm.Response, "log_to_db", lambda self, db: kept.append(self.text()))
    run("-m", "echo", "hi")
    assert kept == ["user: hi"]


# Conversations


def test_continue_takes_up_the_last_conversation(user_path: Path) -> None:
    """`-c` sends the history of the conversation used last and stays in its thread."""
    run("-m", "echo", "one", "-s", "Be brief")
    result = run("-c", "two")
    assert result.stdout == (
        "system: Be brief | user: one | assistant: system: Be brief | user: one | user: two\n"
    )
    assert len({thread for thread, _, _ in turns(user_path / "logs.db")}) == 1


def test_continue_without_history_starts_anew() -> None:
    """`-c` on an empty log is an ordinary prompt."""
    result = run("-m", "echo", "-c", "hi")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "user: hi\n", "")


def test_conversation_id_selects_the_conversation(user_path: Path) -> None:
    """`--cid` continues that conversation, and then it is the one used last."""
    run("-m", "echo", "first")
    run("-m", "echo", "second")
    first = turns(user_path / "logs.db")[0][0]
    assert "user: first" in run("--cid", first, "more").stdout
    assert "user: more" in run("-c", "again").stdout


@pytest.mark.parametrize("with_database", [True, False])
def test_unknown_conversation_fails(with_database: bool) -> None:
    """An unknown id ends the command before anything is sent."""
    if with_database:
        run("-m", "echo", "hi")
    result = run("-m", "echo", "--cid", "nope", "hi")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: No conversation found with id=nope\n"


def test_continue_with_other_model_takes_the_history() -> None:
    """`-c -m OTHER` hands the old history to the other model."""
    run("-m", "fenced", "hi")
    assert run("-c", "-m", "echo", "more").stdout.startswith("user: hi | assistant: One:")


def test_continue_when_model_is_gone(user_path: Path) -> None:
    """A conversation goes on with `-m` though its model is not installed any more."""
    run("-m", "echo", "hi")
    with sqlite3.connect(user_path / "logs.db") as db:
        db.execute("update turns set model = 'gone'")
    result = run("-c", "more")
    assert result.exit_code == 1
    assert "Unknown model: gone" in result.stderr
    assert "-m MODEL" in result.stderr
    assert run("-c", "-m", "echo", "more").stdout.endswith("user: more\n")


def test_forgetful_model_is_told_about() -> None:
    """A model that looked at no history costs one line on stderr; others do not."""
    assert run("-m", "forgetful", "hi").stderr == ""
    result = run("-c", "more")
    assert result.stdout == "Only more\n"
    assert "forgetful" in result.stderr
    assert result.stderr.count("\n") == 1
    assert run("-c", "-m", "echo", "more").stderr == ""


def test_model_without_conversations_refuses_history() -> None:
    """A model that takes no history fails when there is one."""
    assert run("-m", "single", "hi").exit_code == 0
    result = run("-c", "more")
    assert result.exit_code == 1
    assert result.stderr == "Error: ScriptedModel: single does not support conversations\n"


# Attachments


def test_attachments_are_sent_in_order(tmp_path: Path) -> None:
    """All `-a` come first, then all `--at`."""
    png = tmp_path / "dot.png"
    png.write_bytes(bytes.fromhex("89504e470d0a1a0a") + b"\0" * 24)
    text = tmp_path / "note"
    text.write_text("abc")
    result = run("-m", "echo", "hi", "--at", str(text), "text/plain", "-a", str(png))
    assert result.stdout == "user: hi + image/png 32 bytes + text/plain 3 bytes\n"


@pytest.mark.parametrize("name", ["note.txt", "note.md"])
def test_attachment_of_text_has_the_type_of_its_extension(tmp_path: Path, name: str) -> None:
    """A text file needs no `--at` where its name says that it is text."""
    text = tmp_path / name
    text.write_text("abc")
    assert run("-m", "echo", "hi", "-a", str(text)).stdout == "user: hi + text/plain 3 bytes\n"
    bare = text.rename(tmp_path / "note")
    result = run("-m", "echo", "hi", "-a", str(bare))
    assert result.exit_code == 2
    assert "Could not determine mimetype" in result.stderr


def test_attachment_of_stdin_leaves_no_text() -> None:
    """Bytes that `-` took are not part of the prompt."""
    result = run("-m", "echo", "hi", "--at", "-", "text/plain", stdin=b"\xff\xfe")
    assert result.stdout == "user: hi + text/plain 2 bytes\n"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["-a", "missing.png"], "File missing.png does not exist"),
        (["--at", "missing.png", "image/png"], "File missing.png does not exist"),
        (["--at", __file__, ""], "No type is given for"),
        (["-a", "-"], "stdin is empty"),
    ],
)
def test_unreadable_attachment_is_a_usage_error(flags: list[str], reason: str) -> None:
    """What cannot be attached is refused while the command line is parsed."""
    result = run("-m", "echo", "hi", *flags)
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("model", "mime_type", "reason"),
    [
        ("forgetful", "image/png", "This model does not support attachments"),
        ("echo", "audio/wav", "only image/png, text/plain"),
    ],
)
def test_attachment_the_model_refuses(model: str, mime_type: str, reason: str) -> None:
    """Attachments that the model does not take end the command with exit code 1."""
    result = run("-m", model, "hi", "--at", "-", mime_type, stdin="x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr


# Errors


def test_error_of_the_model_is_one_line() -> None:
    """What a model raises becomes `Error: TEXT`; the exit code tells whether text was shown."""
    result = run("-m", "fails", "hi")
    assert (result.exit_code, result.stdout, result.stderr) == (
        3,
        "partial answer",
        "Error: boom\n",
    )
    assert run("-m", "fails", "hi", "--no-stream").exit_code == 3
    assert run("-m", "fails", "now").exit_code == 1


def test_error_without_text_is_named() -> None:
    """An exception without a message is told by its class."""
    assert run("-m", "fails", "now silently").stderr == "Error: KeyError\n"


def test_error_of_the_model_is_raised_on_demand() -> None:
    """Under `LLM_RAISE_ERRORS` the exception itself comes out."""
    result = run("-m", "fails", "hi", LLM_RAISE_ERRORS="1")
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == "boom"


def test_partial_answer_is_kept(user_path: Path) -> None:
    """What was shown of an answer that broke off is in the log, and can be gone on with."""
    run("-m", "fails", "hi")
    result = run("-c", "-m", "echo", "go on")
    assert result.stdout == "user: hi | assistant: partial answer | user: go on\n"


def test_prompt_without_an_answer_is_kept(user_path: Path) -> None:
    """Where nothing was answered the prompt is logged, and the conversation stays where it was."""
    run("-m", "echo", "first")
    run("-c", "-m", "fails", "now")
    row = json.loads(run("logs", "--json", "-n", "1").stdout)[0]
    assert (row["prompt"], row["response"], row["status"]) == ("now", "", "failed")
    assert row["error"].startswith("ValueError: ")
    assert run("-c", "-m", "echo", "again").stdout == (
        "user: first | assistant: user: first | user: again\n"
    )


def test_async_error_keeps_the_partial_answer(user_path: Path) -> None:
    """The asynchronous form keeps what was shown, too."""
    result = run("-m", "fails", "hi", "--async")
    assert (result.exit_code, result.stdout) == (3, "partial")
    assert result.stderr == "Error: async boom\n"
    assert len(turns(user_path / "logs.db")) == 1


def test_unwritable_log_does_not_hide_the_answer(tmp_path: Path) -> None:
    """A log that cannot be written costs a line after the answer, not the answer."""
    path = tmp_path / "broken.db"
    path.write_text("this is no database, only a text that is long enough" * 20)
    result = run("-m", "echo", "hi", "-d", str(path))
    assert (result.exit_code, result.stdout) == (0, "user: hi\n")
    assert str(path) in result.stderr
    assert "is kept in" in result.stderr
    result = run("-m", "fails", "hi", "-d", str(path))
    assert result.stdout == "partial answer"
    assert str(path) in result.stderr
    assert result.stderr.endswith("Error: boom\n")


def test_prompt_is_a_command_that_plugins_may_call() -> None:
    """Plugins read the command's parameters and call it with keywords."""
    command = cli.commands["prompt"]
    names = {parameter.name for parameter in command.params}
    assert {
        "prompt",
        "system",
        "model_id",
        "database",
        "queries",
        "attachments",
        "attachment_types",
        "options",
        "show_model_options",
        "no_stream",
        "no_log",
        "log",
        "hide_reasoning",
        "_continue",
        "conversation_id",
        "key",
        "async_",
        "usage",
        "extract",
        "extract_last",
        "json_output",
    } <= names
    assert cli.commands["chat"].params


def test_plugin_command_may_run_a_prompt() -> None:
    """A plugin's command calls the core one with some of its keywords; the rest are defaults."""

    @click.command()
    @click.pass_context
    def shortcut(ctx: click.Context) -> None:
        ctx.invoke(cli.commands["prompt"], prompt="hi", model_id="echo", no_log=True)

    assert CliRunner().invoke(shortcut, input="").stdout == "user: hi\n"


def test_error_of_the_model_reaches_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls the command finds the model's exception behind the message."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(click.ClickException) as failure:
        cli.commands["prompt"].main(["-m", "fails", "now"], standalone_mode=False)
    assert isinstance(failure.value.__context__, ValueError)


def test_interrupt_is_no_error_message(user_path: Path) -> None:
    """Ctrl-C ends the command with exit code 130; what was shown is kept."""
    result = run("-m", "interrupted", "stop")
    assert (result.exit_code, result.stdout) == (130, "begun")
    assert result.stderr.strip() == "Aborted!"
    assert len(turns(user_path / "logs.db")) == 1


def test_broken_connection_of_a_model_is_told() -> None:
    """A model's broken pipe is an error, not a reader that left."""
    result = run("-m", "interrupted", "cut")
    assert (result.exit_code, result.stdout) == (3, "begun")
    assert result.stderr.startswith("Error: The connection to the model broke off")


class FileServer(BaseHTTPRequestHandler):
    """Serves an image, and things that cannot be attached."""

    def do_HEAD(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path == "/dot.png":
            self.send_header("Content-Type", "image/png; charset=binary")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"12345")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def file_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FileServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_attachment_of_url_takes_the_type_of_the_server(file_server: str) -> None:
    """The type of a URL is what the server says, without parameters."""
    result = run("-m", "echo", "hi", "-a", f"{file_server}/dot.png")
    assert result.stdout == "user: hi + image/png 5 bytes\n"


@pytest.mark.parametrize("path", ["/missing", "/untyped"])
def test_attachment_of_url_without_type_is_refused(file_server: str, path: str) -> None:
    """A URL that is not there, or that has no type, is a usage error."""
    result = run("-m", "echo", "hi", "-a", file_server + path)
    assert result.exit_code == 2
    assert file_server + path in result.stderr


def test_attachment_that_is_one_already_is_kept() -> None:
    """A command that hands on parsed values may hand on attachments."""
    attachment = llm.Attachment(type="image/png", content=b"x")
    assert AttachmentType().convert(attachment, None, None) is attachment
