"""What somebody else wrote, a database, a file to import, a journal: nothing of it runs, and
nothing leaves this machine, before the person was asked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm._version import VERSION
from llm.cli import cli
from llm.logs.file.db import open_log
from llm.net import reach
from llm.prompting import approval
from llm.prompting.journal import Journal
from llm.terminal import asking
from tests.helpers.log_models import Says
from tests.helpers.models import registered

ASKED = '[[["llm_version", {}]]]'
NO_ONE = "Cancelled: This call is not allowed: nobody can be asked about it"
SECRET = "the bytes of a local file"


class Sender(llm.Model):
    """Answers with all that would be sent: the bytes of every attachment so far."""

    model_id = "sender"
    attachment_types = {"text/plain", "image/png", "image/*"}

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        for message in prompt.messages:
            for part in message.parts:
                if isinstance(part, llm.parts.AttachmentPart) and part.attachment:
                    yield (part.attachment.content_bytes() or b"").decode()
        yield "."


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch, plugin: Callable[..., ModuleType]) -> Iterator[None]:
    # Tests may run at a terminal, which is not theirs to read from.
    monkeypatch.setattr(approval, "stdin_is_terminal", lambda: False)
    monkeypatch.setattr(approval, "open_terminal", contextlib.nullcontext)
    reach._permits.clear()

    def register_models(register: Callable[..., None]) -> None:
        register(Sender())

    plugin("sender-plugin", register_models=llm.hookimpl(register_models))
    with registered():
        yield


@pytest.fixture
def log(user_path: Path) -> Path:
    """The log of the user directory."""
    return user_path / "logs.db"


def run(*args: str) -> Result:
    """The result of a command off a terminal."""
    return CliRunner().invoke(cli, list(args), input="")


def printed(*args: str) -> str:
    """What a command that succeeds prints."""
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def leave_calls(*args: str) -> None:
    """A conversation that ends in a call of a tool which the person named."""
    assert run("-m", "scripted", "-T", "llm_version", ASKED, "--cl", "1", *args).exit_code == 1


# Databases


def _same(log: Path, tmp_path: Path) -> list[str]:
    return []


def _by_a_link(log: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "link.db").symlink_to(log)
    return ["-d", str(tmp_path / "link.db")]


def _by_another_path(log: Path, tmp_path: Path) -> list[str]:
    return ["-d", f"{log.parent}/../{log.parent.name}/logs.db"]


def _put_back(log: Path, tmp_path: Path) -> list[str]:
    shutil.copy(log, tmp_path / "kept.db")
    log.write_bytes(b"")
    shutil.copy(tmp_path / "kept.db", log)
    return []


def _in_a_directory_that_moved(log: Path, tmp_path: Path) -> list[str]:
    moved = tmp_path / "moved"
    shutil.copytree(log.parent, moved)
    shutil.rmtree(log.parent)
    log.parent.symlink_to(moved)
    return []


def _by_a_release_without_ids(log: Path, tmp_path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(log)) as conn:
        conn.execute("drop table _llm_x_identity")
    (log.parent / "databases.json").unlink()
    return []


def _copied(log: Path, tmp_path: Path) -> list[str]:
    shutil.copy(log, tmp_path / "copy.db")
    return ["-d", str(tmp_path / "copy.db")]


def _backed_up(log: Path, tmp_path: Path) -> list[str]:
    printed("logs", "backup", str(tmp_path / "backup.db"))
    return ["-d", str(tmp_path / "backup.db")]


def _without_id_at_another_path(log: Path, tmp_path: Path) -> list[str]:
    _by_a_release_without_ids(log, tmp_path)
    return _copied(log, tmp_path)


def _replaced(log: Path, tmp_path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(log)) as conn, conn:
        conn.execute("update _llm_x_identity set id = 'theirs'")
    return []


def _replaced_without_id(log: Path, tmp_path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(log)) as conn:
        conn.execute("drop table _llm_x_identity")
    return []


def _with_a_broken_register(log: Path, tmp_path: Path) -> list[str]:
    (log.parent / "databases.json").write_text("[")
    return []


OURS = (
    *(_same, _by_a_link, _by_another_path, _put_back, _in_a_directory_that_moved),
    _by_a_release_without_ids,
)
OTHERS = (
    *(_copied, _backed_up, _without_id_at_another_path, _replaced, _replaced_without_id),
    _with_a_broken_register,
)


@pytest.mark.parametrize("handed_over", OURS)
def test_choices_count_in_a_database_that_is_ours(
    log: Path, tmp_path: Path, handed_over: Callable[[Path, Path], list[str]]
) -> None:
    """What the person chose there runs, by whatever name the file is reached."""
    leave_calls()
    options = handed_over(log, tmp_path)
    assert printed("-c", *options) == f"{VERSION}\n"


@pytest.mark.parametrize("handed_over", OTHERS)
def test_choices_do_not_count_in_another_database(
    log: Path, user_path: Path, tmp_path: Path, handed_over: Callable[[Path, Path], list[str]]
) -> None:
    """A copy and a file of somebody else are asked about: only a rule of this command counts."""
    leave_calls()
    options = handed_over(log, tmp_path)
    refused = run("-c", "go on", *options)
    assert f"{NO_ONE}" in refused.stdout
    assert "its database was not made here" in refused.stderr
    assert "--allow llm_version" in refused.stderr


@pytest.mark.parametrize("rule", [["--ask", "never"], "allow: [llm_version]", "ask: never"])
def test_standing_rules_do_not_allow_calls_from_elsewhere(
    log: Path, user_path: Path, tmp_path: Path, rule: list[str] | str
) -> None:
    """What was allowed before was not said of the calls in another file."""
    leave_calls()
    options = _copied(log, tmp_path)
    if isinstance(rule, str):
        (user_path / "tools.yaml").write_text(rule)
        rule = []
    assert printed("-c", *options, *rule) == f"{NO_ONE}\n"


def test_rules_of_the_command_line_decide_about_calls_from_elsewhere(
    log: Path, user_path: Path, tmp_path: Path
) -> None:
    """`--allow` lets them run; what tools.yaml denies stays denied."""
    leave_calls()
    options = _copied(log, tmp_path)
    (user_path / "tools.yaml").write_text("deny: [llm_version]")
    assert "the rule llm_version denies it" in printed("-c", *options)
    options = [str(Path(options[1]).rename(tmp_path / "other.db"))]
    (user_path / "tools.yaml").unlink()
    leave_calls("-d", *options)
    shutil.move(options[0], tmp_path / "third.db")
    allowed = printed("-c", "-d", str(tmp_path / "third.db"), "--allow", "llm_*")
    assert allowed == f"{VERSION}\n"


@pytest.mark.parametrize("handed_over", [_copied, _without_id_at_another_path, _replaced])
def test_adopted_database_is_ours(
    log: Path, tmp_path: Path, handed_over: Callable[[Path, Path], list[str]]
) -> None:
    """Whoever says that a copy, or a log from before there were ids, is theirs is not asked."""
    leave_calls()
    options = handed_over(log, tmp_path)
    adopted = printed("logs", "adopt", *options)
    assert adopted == f"Adopted {options[1] if options else log}\n"
    assert printed("-c", *options) == f"{VERSION}\n"


def test_imports_of_an_adopted_database_are_asked_about(log: Path, tmp_path: Path) -> None:
    """Who owns the file says nothing of what was put into it from elsewhere."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    (tmp_path / "import").write_text(json.dumps(conversation(_attached(path=str(secret)))))
    printed("conversations", "import", str(tmp_path / "import"))
    options = _copied(log, tmp_path)
    printed("logs", "adopt", *options)
    assert run("-c", "go on", *options).exit_code == 1


def test_database_that_cannot_be_adopted(log: Path, tmp_path: Path) -> None:
    """What is in the way is named, and nothing is changed."""
    leave_calls()
    options = _copied(log, tmp_path)
    missing = run("logs", "adopt", "-d", str(tmp_path / "missing.db"))
    (log.parent / "databases.json").write_text("[")
    refused = run("logs", "adopt", *options)
    assert (missing.exit_code, refused.exit_code) == (1, 1)
    assert "missing.db" in missing.stderr
    assert "databases.json, line 1: not valid JSON" in refused.stderr
    assert (log.parent / "databases.json").read_text() == "["


def test_tools_of_another_database_are_foreign(log: Path, tmp_path: Path) -> None:
    """Calls that a model makes later, of tools that another file brought, are asked about too."""
    printed("-m", "scripted", "-T", "llm_version", '["hi"]')
    options = _copied(log, tmp_path)
    assert printed("-c", ASKED) == f"calling {VERSION}\n"
    assert printed("-c", ASKED, *options) == f"calling {NO_ONE}\n"


def test_register_is_private_and_forgets_what_is_gone(
    user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of ids is readable by its owner alone, and does not grow for ever."""
    monkeypatch.setattr("llm.logs.file.ownership._MANY", 3)
    for number in range(5):
        path = tmp_path / f"{number}.db"
        open_log(path).close()
        if number < 4:
            path.unlink()
    register = user_path / "databases.json"
    assert register.stat().st_mode & 0o777 == 0o600
    assert str(tmp_path / "4.db") in json.loads(register.read_text())
    assert len(json.loads(register.read_text())) < 5


class Safe(llm.Toolbox):
    """Opens a drawer as soon as it is made"""

    made: list[str] = []

    def __init__(self, drawer: str) -> None:
        self.made.append(drawer)

    def open(self) -> str:
        return "opened"


@pytest.fixture
def made(plugin: Callable[..., ModuleType]) -> list[str]:
    """The drawers of the toolboxes that were made."""

    def register_tools(register: Callable[..., None]) -> None:
        register(Safe)

    plugin("safe-plugin", register_tools=llm.hookimpl(register_tools))
    Safe.made = []
    return Safe.made


@pytest.mark.parametrize("how", ["copy", "import", "fork of an import"])
@pytest.mark.parametrize("is_trusted", [False, True])
def test_toolbox_of_somebody_else_is_not_made_unasked(
    made: list[str], log: Path, tmp_path: Path, how: str, is_trusted: bool
) -> None:
    """Its arguments are theirs, and making it may do anything; `--trust` allows it."""
    printed("-m", "scripted", "-T", 'Safe("theirs")', '["hi"]')
    options = _copied(log, tmp_path)
    if how != "copy":
        (tmp_path / "file.json").write_text(printed("conversations", "export"))
        options = ["--cid", printed("conversations", "import", str(tmp_path / "file.json")).strip()]
    if how.startswith("fork"):
        options = ["--cid", printed("conversations", "fork", options[1]).strip()]
    made.clear()
    result = run("-c", '["hi"]', *options, *(["--trust"] if is_trusted else []))
    assert (result.exit_code, made) == (0, ["theirs"] if is_trusted else [])
    assert ("goes on without the tool" in result.stderr) is not is_trusted


# Journals


@pytest.fixture
def left() -> str:
    """The id of a conversation whose process died when the model had asked for a call."""
    tools = [llm.get_tools()["llm_version"]]
    model = Says([llm.ToolCall("llm_version", {}, "c1")])
    response = model.conversation().prompt(ASKED, tools=tools)
    journal = response.observer = Journal()
    list(response.stream_events())
    journal.finished(None)
    journal.close()
    return str(response.conversation and response.conversation.id)


@pytest.mark.parametrize("rule", ["", "allow: [llm_version]", "ask: never"])
def test_calls_that_a_dead_process_left_are_asked_about(
    user_path: Path, left: str, rule: str
) -> None:
    """A journal says what somebody asked for, not that it is still wanted."""
    (user_path / "tools.yaml").write_text(rule)
    refused = run("--cid", left, "-m", "scripted", "-T", "llm_version")
    assert refused.stdout == f"{NO_ONE}\n"
    assert "it was left by a process that died" in refused.stderr


def test_calls_that_a_dead_process_left_run_where_they_are_allowed(left: str) -> None:
    """A rule on the command line is an answer."""
    again = ["--cid", left, "-m", "scripted", "-T", "llm_version", "--allow", "llm_version"]
    assert printed(*again) == f"{VERSION}\n"


# Files and addresses


def conversation(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    """A conversation to import, whose first message has these parts."""
    return {
        "format": "llm-conversation",
        "version": 1,
        "id": "01aaaaaaaaaaaaaaaaaaaaaaaa",
        "name": "a\nConversation 'b' is fine",
        "model": "sender",
        "messages": [
            {"role": role, "parts": list(parts)},
            {"role": "assistant", "parts": [{"type": "text", "text": "ok"}]},
        ],
        "turns": [],
        "tip": 1,
    }


def _attached(**attachment: str) -> dict[str, Any]:
    return {"type": "attachment", "attachment": {"type": "text/plain", **attachment}}


def _as_json(path: str) -> tuple[str, str]:
    return "json", json.dumps(conversation(_attached(path=path)))


def _as_json_with_id(path: str) -> tuple[str, str]:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return "json", json.dumps(conversation(_attached(path=path, id=digest)))


def _as_result(path: str) -> tuple[str, str]:
    attached = {"type": "text/plain", "path": path}
    result = {"type": "tool_result", "name": "t", "output": "", "attachments": [attached]}
    return "json", json.dumps(conversation(result, role="tool"))


def _as_openai(path: str) -> tuple[str, str]:
    content = [{"type": "file", "file": {"filename": path}}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "ok"}]
    return "openai", json.dumps({"model": "sender", "messages": messages})


def _as_url(path: str) -> tuple[str, str]:
    return "json", json.dumps(conversation(_attached(url=f"file://{path}")))


def _as_markdown(path: str) -> tuple[str, str]:
    return (
        "markdown",
        f"## User\n\n### Attachment: text/plain\n\npath: {path}\n\n## Assistant\n\nok\n",
    )


FORMS = (_as_json, _as_json_with_id, _as_result, _as_openai, _as_url, _as_markdown)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fork", [False, True])
def test_file_that_an_import_names_is_not_sent_unasked(
    tmp_path: Path, form: Callable[[str], tuple[str, str]], fork: bool
) -> None:
    """Off a terminal the prompt is refused with the name of the file; `--trust` consents."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    kind, text = form(str(secret))
    (tmp_path / "import").write_text(text)
    thread = printed("conversations", "import", "-f", kind, str(tmp_path / "import")).strip()
    if fork:
        thread = printed("conversations", "fork", thread).strip()
    refused = run("--cid", thread, "-m", "sender", "go on")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert str(secret) in refused.stderr
    assert "Add --trust" in refused.stderr
    assert SECRET not in refused.output
    if form in (_as_json, _as_openai, _as_markdown):
        consented = run("--cid", thread, "-m", "sender", "go on", "--trust")
        assert (consented.exit_code, consented.stdout) == (0, f"{SECRET}.\n")
        assert printed("--cid", thread, "-m", "sender", "and on") == f"{SECRET}.\n"


def test_file_of_other_bytes_than_an_import_names_is_not_sent(tmp_path: Path) -> None:
    """A file that is another one than the id says is told, and a note goes in its place."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    shape = conversation(_attached(path=str(secret), id="0" * 64))
    (tmp_path / "import").write_text(json.dumps(shape))
    thread = printed("conversations", "import", "-f", "json", str(tmp_path / "import")).strip()
    result = run("--cid", thread, "-m", "sender", "go on")
    assert str(secret) in result.stderr
    assert SECRET not in result.output


def test_bytes_of_an_import_are_sent_without_a_question(tmp_path: Path) -> None:
    """What the file holds itself is no file of this machine; its path is not looked at."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    shape = conversation(_attached(path=str(secret), content="Zm9y"))
    (tmp_path / "import").write_text(json.dumps(shape))
    thread = printed("conversations", "import", str(tmp_path / "import")).strip()
    assert printed("--cid", thread, "-m", "sender", "go on") == "for.\n"


def test_marks_of_an_import_outlast_redaction_and_go_with_it(log: Path, tmp_path: Path) -> None:
    """Messages get other addresses when a text is redacted; they stay somebody else's."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    text = {"type": "text", "text": "a word to redact"}
    (tmp_path / "import").write_text(json.dumps(conversation(text, _attached(path=str(secret)))))
    thread = printed("conversations", "import", str(tmp_path / "import")).strip()
    fork = printed("conversations", "fork", thread).strip()
    printed("logs", "redact", "word", "-y")
    for one in (thread, fork):
        refused = run("--cid", one, "-m", "sender", "go on")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert str(secret) in refused.stderr
    printed("conversations", "delete", thread, fork, "-y")
    with contextlib.closing(sqlite3.connect(log)) as conn:
        assert conn.execute("select count(*) from thread_foreign_messages").fetchone() == (0,)


def test_export_does_not_take_up_what_an_import_names(tmp_path: Path) -> None:
    """Whoever gets the conversation back does not get the file: it was never attached here."""
    own, secret = tmp_path / "own.txt", tmp_path / "secret.txt"
    own.write_text("my own text")
    secret.write_text(SECRET)
    shape = conversation(_attached(path=str(secret)), _attached(path="/dev/zero"))
    (tmp_path / "import").write_text(json.dumps(shape))
    thread = printed("conversations", "import", str(tmp_path / "import")).strip()
    encoded = base64.b64encode(SECRET.encode()).decode()
    assert encoded not in printed("conversations", "export", thread)
    fork = printed("conversations", "fork", thread).strip()
    assert encoded not in printed("conversations", "export", fork)
    printed("-m", "sender", "hi", "--at", str(own), "text/plain")
    assert base64.b64encode(b"my own text").decode() in printed("conversations", "export")


def test_import_reads_nothing_but_files(tmp_path: Path) -> None:
    """A path to a device or a pipe is read neither when it is imported nor when it goes on."""
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        (tmp_path / "import").write_text(json.dumps(conversation(_attached(path=path))))
        thread = printed("conversations", "import", str(tmp_path / "import")).strip()
        result = run("--cid", thread, "-m", "sender", "go on")
        assert (result.exit_code, result.stdout) == (0, ".\n")
        assert f"The attachment {path} is gone" in result.stderr


def test_import_does_not_change_where_own_attachments_are(tmp_path: Path) -> None:
    """The id of an attachment of the person's own does not lend it another path."""
    own, secret = tmp_path / "own.txt", tmp_path / "secret.txt"
    own.write_text("my own text")
    secret.write_text(SECRET)
    printed("-m", "sender", "hi", "--at", str(own), "text/plain")
    (thread,) = [info.id for info in llm.Database().conversations()]
    known = llm.Attachment(path=str(own)).id()
    (tmp_path / "import").write_text(
        json.dumps(conversation(_attached(path=str(secret), id=known)))
    )
    printed("conversations", "import", str(tmp_path / "import"))
    assert printed("--cid", thread, "go on") == "my own text.\n"


def test_file_of_another_database_is_not_sent_unasked(log: Path, tmp_path: Path) -> None:
    """Somebody else's log may name any file; one's own log is one's own."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    printed("-m", "sender", "hi", "--at", str(secret), "text/plain")
    assert printed("-c", "go on") == f"{SECRET}.\n"
    refused = run("-c", "go on", *_copied(log, tmp_path))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"attachment: {str(secret)!r}\n" in refused.stderr


class _Site(http.server.BaseHTTPRequestHandler):
    """Sends anywhere what it is told to, and remembers what was asked for."""

    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        target = self.path.partition("?to=")[2]
        self.send_response(302 if target else 200)
        if target:
            self.send_header("location", target)
        body = b"" if target else SECRET.encode()
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine, which can send on to `/x?to=ADDRESS`."""
    _Site.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_address_within_the_network_is_not_fetched_unasked(tmp_path: Path, site: str) -> None:
    """An import that names the machine itself is refused; `--trust` consents."""
    (tmp_path / "import").write_text(json.dumps(conversation(_attached(url=f"{site}/a"))))
    thread = printed("conversations", "import", str(tmp_path / "import")).strip()
    refused = run("--cid", thread, "go on")
    assert (refused.exit_code, _Site.asked) == (1, [])
    assert f"attachment: '{site}/a' (within your network)" in refused.stderr
    assert printed("--cid", thread, "go on", "--trust") == f"{SECRET}.\n"


@pytest.fixture
def outside(site: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same server under a name that counts as one of the world outside."""
    real = reach._addresses

    def addresses(host: str) -> Any:
        return [ip_address("8.8.8.8")] if host == "localhost" else real(host)

    monkeypatch.setattr(reach, "_addresses", addresses)
    monkeypatch.setattr("llm.net.http.leads_inside", lambda reply: False)
    return site.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("hops", [1, 2])
def test_redirect_into_the_network_is_not_followed_unasked(
    tmp_path: Path, site: str, outside: str, hops: int
) -> None:
    """A public address that sends on to this machine is stopped there."""
    url = f"{outside}/x?to={site}/a" if hops == 1 else f"{outside}/y?to={outside}/x?to={site}/a"
    (tmp_path / "import").write_text(json.dumps(conversation(_attached(url=url))))
    thread = printed("conversations", "import", str(tmp_path / "import")).strip()
    refused = run("--cid", thread, "go on")
    assert refused.exit_code == 1
    assert "/a" not in _Site.asked
    assert f"leads to '{site}/a' (within your network)" in refused.stderr
    assert printed("--cid", thread, "go on", "--trust") == f"{SECRET}.\n"


def test_name_that_is_looked_up_otherwise_later_is_noticed(
    tmp_path: Path, site: str, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer comes from counts, whatever the name was said to be before."""
    monkeypatch.undo()
    real = reach.is_inner
    monkeypatch.setattr("llm.net.http.is_inner", lambda url: False)
    monkeypatch.setattr("llm.prompting.trust.is_inner", lambda url: False)
    assert real(f"{site}/a")
    reach.guard(f"{site}/a", _refusing)
    with pytest.raises(llm.errors.LLMError, match="refused"):
        llm.Attachment(url=f"{site}/a").content_bytes()


def _refusing(address: str) -> None:
    raise llm.errors.LLMError(f"refused {address}")


def test_template_of_somebody_else_asks_about_addresses_within_the_network(
    plugin: Callable[..., ModuleType], site: str, outside: str
) -> None:
    """Fragments by an address of this machine, at once or by a redirect, are asked about."""
    fragments = {"near": f"{site}/a", "far": f"{outside}/b", "sent": f"{outside}/x?to={site}/a"}

    def load(name: str) -> llm.Template:
        return llm.Template(name=name, prompt="go", fragments=[fragments[name]])

    def register_template_loaders(register: Callable[..., None]) -> None:
        register("tl", load)

    plugin("loader-plugin", register_template_loaders=llm.hookimpl(register_template_loaders))
    near = run("-m", "echo", "-t", "tl:near")
    assert near.exit_code == 1
    assert f"fragment: '{site}/a' (within your network)\n" in near.stderr
    assert SECRET in printed("-m", "echo", "-t", "tl:far")
    sent = run("-m", "echo", "-t", "tl:sent")
    assert sent.exit_code == 1
    assert f"leads to '{site}/a' (within your network)" in sent.stderr
    assert "/a" not in _Site.asked
    for name in ("near", "sent"):
        assert SECRET in printed("-m", "echo", "-t", f"tl:{name}", "--trust")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "localhost.", "127.1", "2130706433", "0x7f.1", "0", "[::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "10.0.0.1", "192.168.1.1", "172.16.0.1"),
        *("169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]"),
        *("[2002:7f00:1::]", "224.0.0.1", "printer", "nas.local", "metadata.google.internal"),
        *("user@127.0.0.1", "example.com@10.0.0.1:80", "127.0.0.1:8080"),
    ],
)
def test_address_within_the_network_is_known(host: str) -> None:
    """However it is written, an address that only this machine can reach is known."""
    assert reach.is_inner(f"http://{host}/x")
    assert reach.is_inner(f"HTTPS://{host}/x")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "name.invalid.example.com"])
def test_address_of_the_world_outside_is_known(host: str) -> None:
    """Public addresses, and names of the world that are not found, are none of them."""
    assert not reach.is_inner(f"http://{host}/x")


# Questions


CONTROLS = "a\nUse it, and trust this version of it from now on? [y/N]: y\r\x1b[2J\u202eb"


def test_values_in_a_question_stand_on_one_line() -> None:
    """Nothing that somebody else wrote begins a line of its own."""
    assert asking.quoted(CONTROLS).isprintable()
    assert "\n" not in asking.quoted(CONTROLS)


def test_lines_that_are_too_wide_go_on_indented() -> None:
    """Blanks cannot push a text to the beginning of a line."""
    rows = list(asking._folded(f"  tool: '{' ' * 70}Use it? [y/N]: '", 80))
    assert len(rows) == 2
    assert rows[1].startswith("      ")
    wide = list(asking._folded("\u6f22" * 100, 80))
    assert max(map(len, wide)) <= 40
    assert "".join(row.strip() for row in wide) == "\u6f22" * 100
