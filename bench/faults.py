"""What survives when something goes wrong: a list of faults, tried on any `llm`.

    python3 bench/faults.py                 0.36, then ours
    python3 bench/faults.py --llm PATH      one executable
    python3 bench/faults.py --kills 500     and so many kill -9 at random moments

Real processes, real signals, a real server on the loopback interface. A fault is survived where
the answer was printed, nothing printed is missing from the log afterwards, no file was damaged, and
the exit code tells the truth.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from _fault_server import KEY, SHAPES, Handler, Server

LIMIT_S = 120
NOBODY = 65534
AT_ONCE = 5
ON_ONE_LOG = 15
MODELS = (
    *("steady", "steady-300", "held", "stuck", "endless", "reset", "unended", "failing", "garbled"),
    *("odd", "lines", "fences", "repeated"),
    *("filtered", "cut", "surrogate", "rude", "tools-2", "tools-9", "busy", "down", "refused"),
    *(
        "framed",
        "framed-1",
        "silent",
        *(f"{kind}-{number}" for kind in ("instead", "told") for number in range(len(SHAPES))),
    ),
)
OLD_LOG = Path(__file__).parent.parent / "tests" / "data" / "logs-v0.26.db"
TOOLS = """
import os, time
def note():
    "Write a note."
    with open(os.environ["NOTES"], "a") as file:
        file.write("noted\\n")
    return "noted"
def wait():
    "Wait."
    if os.environ.get("WAIT"):
        time.sleep(60)
    if os.environ.get("LEAVE"):
        raise SystemExit("left")
    return "waited"
"""


class Lost(Exception):
    """A fault was not survived; the text says why."""


def need(condition: object, reason: str) -> None:
    """Raise `Lost` unless the condition holds."""
    if not condition:
        raise Lost(reason)


class Ground:
    """A user directory, a server, and the executable that is tried.

    Args:
        command: The words that start it.
        base: An empty directory.
        server: The server.
        crowd: How many processes run at once where many do.
    """

    def __init__(self, command: list[str], base: Path, server: Server, crowd: int = 40) -> None:
        self.crowd = crowd
        self.command = command
        self.base = base
        self.user = base / "user"
        self.user.mkdir(0o700)
        base.chmod(0o755)
        self.env = {
            **{k: os.environ[k] for k in ("PATH", "LANG", "PYTHONPATH") if k in os.environ},
            "HOME": str(base / "home"),
            "LLM_USER_PATH": str(self.user),
            "TMPDIR": str(base / "tmp"),
            "OPENAI_API_KEY": KEY,
            "NOTES": str(base / "notes.txt"),
        }
        for name in ("home", "tmp", "site"):
            (base / name).mkdir()
        lines = [
            f"- model_id: {name}\n  model_name: {name}\n  api_base: {server.url}\n"
            f"  supports_tools: true\n  supports_schema: true\n  api_key_name: fault\n"
            for name in MODELS
        ]
        self.models_file = self.user / "extra-openai-models.yaml"
        self.models_file.write_text("".join(lines))
        (self.user / "keys.json").write_text(json.dumps({"fault": KEY}))
        (self.user / "keys.json").chmod(0o600)

    @property
    def log(self) -> Path:
        """The log database."""
        return self.user / "logs.db"

    def run(
        self,
        *args: str,
        stdin: bytes = b"",
        preexec: Callable[[], None] | None = None,
        **env: str,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return subprocess.run(
            [*self.command, *args],
            input=stdin,
            capture_output=True,
            timeout=LIMIT_S,
            env={**self.env, **env},
            preexec_fn=preexec,
        )

    def start(self, *args: str, **env: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        return subprocess.Popen(
            [*self.command, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.env, **env},
        )

    def rows(self, *args: str) -> list[dict[str, object]]:
        """Return what `llm logs` tells."""
        done = self.run("logs", "--json", "-n", "0", *args)
        if done.returncode != 0:
            return []
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    def need_turn(self, prompt: str, answer: str = "", model: str | None = None) -> None:
        """Raise `Lost` unless the log has a turn with this prompt, and the answer as printed."""
        for row in self.rows():
            if row["prompt"] == prompt and answer.strip() in str(row["response"]):
                need(model in (None, row["model"]), f"logged as {row['model']}")
                return
        raise Lost(f"{prompt!r} with {answer[:40]!r} is not in the log")

    def plugin(self, source: str) -> None:
        """Install a plugin with the name `bad`."""
        site = self.base / "site"
        (site / "llm_bad.py").write_text(source)
        metadata = site / "llm_bad-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-bad\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[llm]\nbad = llm_bad\n")
        (metadata / "RECORD").write_text(
            "llm_bad.py,,\nllm_bad-1.0.dist-info/METADATA,,\n"
            "llm_bad-1.0.dist-info/entry_points.txt,,\nllm_bad-1.0.dist-info/RECORD,,\n"
        )
        self.env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(site), self.env.get("PYTHONPATH")])
        )


Fault = Callable[[Ground], None]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Put a function into the list under this name."""

    def add(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return add


def each(names: str) -> Callable[[Callable[[Ground, str], None]], None]:
    """Put a function into the list once for each name, which it is given."""

    def add(function: Callable[[Ground, str], None]) -> None:
        for name in names.split(", "):
            FAULTS[name] = functools.partial(_named, function, name)

    return add


def _named(function: Callable[[Ground, str], None], name: str, ground: Ground) -> None:
    function(ground, name)


def printed_until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Read standard output up to a text."""
    assert process.stdout is not None
    seen = b""
    while text not in seen:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            assert process.stderr is not None
            raise Lost(f"ended early: {process.stderr.read()[-200:]!r}")
        seen += piece
    return seen


# Signals and pipes


@each(
    "SIGINT in mid-stream, SIGTERM in mid-stream, SIGHUP in mid-stream, SIGKILL in mid-stream,"
    " SIGINT in mid-stream --async, SIGTERM in mid-stream --async, SIGHUP in mid-stream --async"
)
def _signal(ground: Ground, name: str) -> None:
    signal_name, *_, flag = name.split()
    number = getattr(signal, signal_name)
    process = ground.start("-m", "held", "say it", *([flag] if flag == "--async" else []))
    printed = printed_until(process, b"second")
    process.send_signal(number)
    error = process.communicate(timeout=LIMIT_S)[1]
    need(b"Traceback" not in error, "traceback")
    expected = (130,) if number == signal.SIGINT else (-number, 128 + number)
    need(process.returncode in expected, f"exit code {process.returncode}")
    ground.need_turn("say it", printed.decode())


@fault("SIGKILL, then continue")
def _continue_after_kill(ground: Ground) -> None:
    process = ground.start("-m", "held", "say it")
    printed_until(process, b"second")
    process.kill()
    process.communicate(timeout=LIMIT_S)
    done = ground.run("-c", "-m", "steady", "go on")
    need(done.returncode == 0, done.stderr.decode()[-200:])
    conversations = {row["conversation_id"] for row in ground.rows()}
    need(len(ground.rows()) == 2, f"{len(ground.rows())} turns")
    need(len(conversations) == 1, "another conversation")


@each("output closed by the reader, output closed by the reader --async")
def _closed_pipe(ground: Ground, name: str) -> None:
    flags = ["--async"] if "--async" in name else []
    process = ground.start("-m", "endless", "talk", *flags)
    printed_until(process, b"line after line\n")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        error = process.stderr.read()
    process.wait(LIMIT_S)
    need(process.returncode in (141, -signal.SIGPIPE), f"exit code {process.returncode}")
    need(not error, f"said {error[-200:]!r}")
    ground.need_turn("talk", "line after line")


@fault("listing closed by the reader")
def _closed_listing(ground: Ground) -> None:
    ground.run("-m", "steady-300", "a long answer")
    for command in (["logs"], ["logs", "--json"], ["models"], ["logs", "status"]):
        process = ground.start(*command)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr:
            error = process.stderr.read()
        process.wait(LIMIT_S)
        need(process.returncode in (141, -signal.SIGPIPE), f"exit code {process.returncode}")
        need(not error, f"{command} said {error[-200:]!r}")


def _redirected(ground: Ground, redirection: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a shell, with its streams redirected."""
    line = f'"$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, "sh", *ground.command, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        env=ground.env,
    )


@each("output on a full device, listing on a full device")
def _full_device(ground: Ground, name: str) -> None:
    args = ("-m", "steady", "say it") if name.startswith("output") else ("models",)
    done = _redirected(ground, "> /dev/full", *args)
    need(done.returncode == 1, f"exit code {done.returncode}")
    need(done.stderr.startswith(b"Error:"), f"said {done.stderr[-200:]!r}")
    need(done.stderr.count(b"\n") == 1, f"said {done.stderr[-200:]!r}")
    if name.startswith("output"):
        ground.need_turn("say it")


@each("notes on a full device, notes and errors closed, output closed from the start")
def _lost_streams(ground: Ground, name: str) -> None:
    redirections = {"notes on": "2> /dev/full", "notes and": "2>&-", "output closed": ">&-"}
    redirection = redirections[" ".join(name.split()[:2])]
    done = _redirected(ground, redirection, "-m", "steady", "say it", "-u")
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    printed = b"" if redirection == ">&-" else b"word0 word1 word2"
    need(done.stdout.strip() == printed, f"printed {done.stdout!r}")
    ground.need_turn("say it", "word0 word1 word2")
    need("status" not in ground.rows()[0], "not logged as complete")


# The far end


@each("reset, unended, failing, garbled, filtered")
def _broken_stream(ground: Ground, name: str) -> None:
    done = ground.run("-m", name, "say it")
    need(done.stdout.strip() == b"first second", f"printed {done.stdout!r}")
    need(done.returncode == 3, f"exit code {done.returncode}")
    need(done.stderr.strip(), "said nothing")
    need(b"Traceback" not in done.stderr, "traceback")
    ground.need_turn("say it", "first second")


@fault("ended by its last chunk alone")
def _framed(ground: Ground) -> None:
    done = ground.run("-m", "framed", "say it")
    need(done.stdout.strip() == b"first second", f"printed {done.stdout!r}")
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    ground.need_turn("say it", "first second")
    need("status" not in ground.rows()[0], "not logged as complete")


@fault("ended without its last chunk")
def _unframed(ground: Ground) -> None:
    done = ground.run("-m", "framed-1", "say it")
    need(done.stdout.strip() == b"first second", f"printed {done.stdout!r}")
    need(done.returncode == 3, f"exit code {done.returncode}")
    ground.need_turn("say it", "first second")


@fault("reply without a choice")
def _silent(ground: Ground) -> None:
    done = ground.run("-m", "silent", "say it")
    need(done.returncode == 1, f"exit code {done.returncode}")
    need(b"choices" in done.stderr, f"said {done.stderr[-200:]!r}")
    ground.need_turn("say it")


@fault("error of any shape in place of an answer")
def _instead(ground: Ground) -> None:
    for number, shape in enumerate(SHAPES):
        done = ground.run("-m", f"instead-{number}", f"say {number}")
        need(done.returncode == 1, f"exit code {done.returncode} at {shape}")
        need(b"gave up" in done.stderr, f"said {done.stderr[-100:]!r} at {shape}")
        ground.need_turn(f"say {number}")


@fault("error of any shape in mid-stream")
def _told(ground: Ground) -> None:
    for number, shape in enumerate(SHAPES):
        done = ground.run("-m", f"told-{number}", f"say {number}")
        need(done.stdout.strip() == b"first second", f"printed {done.stdout!r} at {shape}")
        need(done.returncode == 3, f"exit code {done.returncode} at {shape}")
        need(b"gave up" in done.stderr, f"said {done.stderr[-100:]!r} at {shape}")
        ground.need_turn(f"say {number}", "first second")
    need(all("status" in row for row in ground.rows()), "logged as complete")


@fault("stopped at the length limit")
def _length(ground: Ground) -> None:
    done = ground.run("-m", "cut", "say it")
    need(done.returncode == 0, f"exit code {done.returncode}")
    need(done.stderr.strip(), "said nothing")
    ground.need_turn("say it", "first second")


@each("busy, down, refused")
def _refused(ground: Ground, name: str) -> None:
    done = ground.run("-m", name, "say it")
    need(done.returncode == 1, f"exit code {done.returncode}")
    need(KEY.encode() not in done.stderr, "the key was shown")
    need(b64encode(KEY[2:].encode())[:-4] not in done.stderr, "the key was shown as base64")
    ground.need_turn("say it")
    raw = b"".join(path.read_bytes() for path in ground.user.glob("logs.db*"))
    need(KEY.encode() not in raw, "the key is in the log")


# Tools


@fault("chain limit reached")
def _chain_limit(ground: Ground) -> None:
    done = ground.run("-m", "tools-9", "--functions", TOOLS, "--cl", "2", "use tools")
    need(done.returncode == 1, f"exit code {done.returncode}")
    need(len(ground.rows()) == 2, f"{len(ground.rows())} of 2 turns are in the log")


@fault("SystemExit in a tool")
def _tool_leaves(ground: Ground) -> None:
    ground.run("-m", "tools-2", "--functions", TOOLS, "use tools", LEAVE="1")
    need(ground.rows(), "the turn that asked for the tools is not in the log")


@fault("SIGKILL while a tool runs")
def _killed_in_tool(ground: Ground) -> None:
    process = ground.start("-m", "tools-2", "--functions", TOOLS, "use tools", WAIT="1")
    notes = Path(ground.env["NOTES"])
    deadline = time.monotonic() + 30
    while not (notes.exists() and notes.read_text()):
        need(time.monotonic() < deadline, "the tool did not run")
        time.sleep(0.02)
    time.sleep(0.2)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    need(ground.rows(), "the turn that asked for the tools is not in the log")
    done = ground.run("-c", "-m", "tools-2", "--functions", TOOLS, "go on")
    need(done.returncode == 0, done.stderr.decode()[-200:])
    need(notes.read_text().count("noted") == 1, "a tool that had finished was run again")


# The database


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("begin immediate")
        yield


@fault("database locked all the time")
def _locked_database(ground: Ground) -> None:
    ground.run("-m", "steady", "before")
    with _locked(ground.log):
        done = ground.run("-m", "steady", "say it")
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    need(done.returncode == 0, f"exit code {done.returncode}")
    ground.need_turn("say it", "word0 word1 word2")


@fault("database locked after the answer began")
def _locked_later(ground: Ground) -> None:
    ground.run("-m", "steady", "before")
    Handler.hold.clear()
    process = ground.start("-m", "stuck", "say it")
    try:
        printed_until(process, b"second")
        with _locked(ground.log):
            Handler.hold.set()
            process.communicate(timeout=LIMIT_S)
    finally:
        Handler.hold.set()
    need(process.returncode == 0, f"exit code {process.returncode}")
    ground.need_turn("say it", "first second")


@fault("database is garbage")
def _garbage(ground: Ground) -> None:
    garbage = b"This is no database.\n" * 500
    ground.log.write_bytes(garbage)
    done = ground.run("-m", "steady", "say it")
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    kept = [path for path in ground.user.iterdir() if path.is_file()]
    need(garbage in [path.read_bytes() for path in kept], "the file was changed")
    if ground.log.read_bytes() == garbage:
        ground.log.unlink()
    ground.need_turn("say it", "word0 word1 word2")


@fault("database cut short")
def _cut_short(ground: Ground) -> None:
    ground.run("-m", "steady", "before")
    whole = ground.log.read_bytes()
    ground.log.write_bytes(whole[: len(whole) // 3])
    for suffix in ("-wal", "-shm"):
        Path(f"{ground.log}{suffix}").unlink(missing_ok=True)
    done = ground.run("-m", "steady", "say it")
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    if not ground.rows():
        ground.log.unlink(missing_ok=True)
    ground.need_turn("say it", "word0 word1 word2")


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@each("disk full with a log, disk full without a log")
def _disk_full(ground: Ground, name: str) -> None:
    if "without" not in name:
        ground.run("-m", "steady", "before")
    done = ground.run("-m", "steady", "say it", preexec=_small_files)
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    need(done.returncode == 0, f"exit code {done.returncode}")
    ground.need_turn("say it", "word0 word1 word2")


def _no_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@fault("nothing can be written anywhere")
def _nothing_writable(ground: Ground) -> None:
    done = ground.run("-m", "steady", "say it", preexec=_no_files)
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    need(done.returncode == 0, f"exit code {done.returncode}")
    need(b"not recorded" in done.stderr, "did not say that nothing is recorded")


def _as_nobody() -> list[str]:
    """The words that run a command as somebody who is no superuser.

    They may read everything, because an interpreter may lie in the superuser's home, but write
    nothing that is not theirs.
    """
    if os.geteuid() != 0:
        return []
    powers = "-all,+dac_read_search"
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return ["setpriv", *user, f"--inh-caps={powers}", f"--ambient-caps={powers}"]


@each("user directory read-only with a log, user directory read-only without a log")
def _read_only(ground: Ground, name: str) -> None:
    if "without" not in name:
        ground.run("-m", "steady", "before")
    ground.command = [*_as_nobody(), *ground.command]
    if os.geteuid() == 0:
        for path in (ground.user, *ground.base.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    ground.user.chmod(0o555)
    try:
        done = ground.run("-m", "steady", "say it")
    finally:
        ground.user.chmod(0o755)
    need(done.stdout.strip() == b"word0 word1 word2", f"printed {done.stdout!r}")
    need(done.returncode == 0, f"exit code {done.returncode}")
    for _ in range(2):
        logged = ground.run("logs", "--json", "-n", "0")
    found = json.loads(logged.stdout) if logged.returncode == 0 else []
    need("say it" in [row["prompt"] for row in found], "not in the log once it can be written")


# No trace


@each("--no-log leaves no trace, logging switched off leaves no trace")
def _no_trace(ground: Ground, name: str) -> None:
    if name.startswith("--"):
        done = ground.run("-m", "steady", "secret words", "--no-log")
    else:
        ground.run("logs", "off")
        done = ground.run("-m", "steady", "secret words")
    need(done.returncode == 0, f"exit code {done.returncode}")
    need(not ground.log.exists(), "a database was created")
    for path in ground.base.rglob("*"):
        if path.is_file():
            need(b"secret words" not in path.read_bytes(), f"{path.name} has the prompt")


# Many at once


def _together(ground: Ground, commands: list[list[str]]) -> list[int]:
    processes = [ground.start(*command) for command in commands]
    for process in processes:
        process.communicate(timeout=LIMIT_S)
    return [process.returncode for process in processes]


@each("many prompts at once on a fresh log, many prompts at once on an existing log")
def _crowd(ground: Ground, name: str) -> None:
    if "existing" in name:
        ground.run("-m", "steady", "before")
    count = ground.crowd
    codes = _together(ground, [["-m", "steady", f"prompt {n}"] for n in range(count)])
    need(codes == [0] * count, f"{codes.count(0)} of {count} answered")
    logged = {str(row["prompt"]) for row in ground.rows()} - {"before"}
    need(len(logged) == count, f"{len(logged)} of {count} logged")


@fault("10 processes migrate an old log at once")
def _migrate(ground: Ground) -> None:
    shutil.copy(OLD_LOG, ground.log)
    codes = _together(ground, [["-m", "steady", f"prompt {n}"] for n in range(10)])
    need(codes == [0] * 10, f"{codes.count(0)} of 10 answered")
    with contextlib.closing(sqlite3.connect(ground.log)) as conn:
        need(conn.execute("pragma integrity_check").fetchone()[0] == "ok", "damaged")
        names = [name for (name,) in conn.execute("select name from _llm_migrations")]
    need(len(names) == len(set(names)), "migrated twice")
    logged = {str(row["prompt"]) for row in ground.rows()}
    need(len([p for p in logged if p.startswith("prompt ")]) == 10, "turns are missing")


@fault("20 keys set at once")
def _keys(ground: Ground) -> None:
    _together(ground, [["keys", "set", f"name{n}", "--value", f"v{n}"] for n in range(20)])
    stored = json.loads((ground.user / "keys.json").read_text())
    need(len([name for name in stored if name.startswith("name")]) == 20, f"{len(stored)} keys")


@fault("20 aliases set at once")
def _aliases(ground: Ground) -> None:
    _together(ground, [["aliases", "set", f"name{n}", "steady"] for n in range(20)])
    stored = json.loads((ground.user / "aliases.json").read_text())
    need(len(stored) == 20, f"{len(stored)} of 20 aliases")


@fault("20 model options set at once")
def _options(ground: Ground) -> None:
    models = [name for name in MODELS if "-" not in name][:12]
    _together(ground, [["models", "options", "set", name, "seed", "1"] for name in models])
    stored = json.loads((ground.user / "model_options.json").read_text())
    need(len(stored) == len(models), f"{len(stored)} of {len(models)} options")


# Files


@each("keys.json, aliases.json, model_options.json")
def _corrupt(ground: Ground, name: str) -> None:
    path = ground.user / name
    path.write_text('{"a": "b",\n  broken\n')
    command = {
        "keys.json": ["keys", "set", "x", "--value", "y"],
        "aliases.json": ["aliases", "set", "x", "steady"],
        "model_options.json": ["models", "options", "set", "steady", "seed", "1"],
    }[name]
    done = ground.run(*command)
    need(path.read_text() == '{"a": "b",\n  broken\n', "the file was replaced")
    need(done.returncode == 1, f"exit code {done.returncode}")
    need(name.encode() in done.stderr, "the file is not named")
    need(b"line 2" in done.stderr, "the line is not named")
    need(b"Traceback" not in done.stderr, "traceback")
    need(ground.run("logs", "path").returncode == 0, "stops a command that does not need it")


@fault("extra-openai-models.yaml")
def _corrupt_models(ground: Ground) -> None:
    text = "- model_id: a\n  model_name: b\n c: [\n"
    ground.models_file.write_text(text)
    done = ground.run("-m", "a", "hi")
    need(b"extra-openai-models.yaml" in done.stderr, "the file is not named")
    need(b"line " in done.stderr, "the line is not named")
    need(b"Traceback" not in done.stderr, "traceback")
    for command in (["logs", "status"], ["keys"], ["aliases", "path"]):
        need(ground.run(*command).returncode == 0, f"{command} stops")


@fault("private files")
def _modes(ground: Ground) -> None:
    (ground.user / "keys.json").chmod(0o644)
    ground.run("keys", "set", "x", "--value", "y")
    ground.run("-m", "steady", "hi")
    for name in ("keys.json", "logs.db"):
        mode = stat.S_IMODE((ground.user / name).stat().st_mode)
        need(mode == 0o600, f"{name} has mode {mode:o}")


@fault("private directory")
def _private_directory(ground: Ground) -> None:
    home = ground.base / "home"
    config = home / ".config" / "io.datasette.llm"
    config.mkdir(parents=True)
    config.chmod(0o755)
    shutil.copy(ground.models_file, config)
    del ground.env["LLM_USER_PATH"]
    done = ground.run("-m", "steady", "hi", "--key", KEY)
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    mode = stat.S_IMODE(config.stat().st_mode)
    need(mode == 0o700, f"mode {mode:o}")


# Other people

SECRET = "the words of a secret file"
JOURNAL: list[dict[str, object]] = [
    {"journal": 1, "id": "01aaaaaaaaaaaaaaaaaaaaaaaa", "started": "2026-01-01T00:00:00+00:00"}
    | {"thread": "01bbbbbbbbbbbbbbbbbbbbbbbb", "name": None, "foreign": [], "database": None}
    | {"model": "tools-2", "after": None}
    | {"messages": [{"role": "user", "parts": [{"type": "text", "text": "planted"}]}]},
    {"done": {"outcome": None, "calls": [["note", {}, "call_1"]]}},
]
NOTE_TOOL = """
import llm, os
def note():
    "Write a note."
    with open(os.environ["NOTES"], "a") as file:
        file.write("noted\\n")
    return "noted"
@llm.hookimpl
def register_tools(register):
    register(note)
"""


def _sent(text: str) -> bool:
    """Whether a text was sent to the server; what was sent before is forgotten."""
    found = any(text in request for request in Handler.received)
    Handler.received.clear()
    return found


def _secret(ground: Ground) -> Path:
    path = ground.base / "secret.txt"
    path.write_text(SECRET)
    Handler.received.clear()
    return path


@each("a journal that somebody else planted, a journal that others can write, a linked journal")
def _planted(ground: Ground, name: str) -> None:
    ground.plugin(NOTE_TOOL)
    ground.run("-m", "steady", "before")
    folder = ground.base / "tmp" / f"io.datasette.llm-{os.getuid()}" / "inflight"
    folder.mkdir(parents=True)
    path = folder / "planted.jsonl"
    first, *others = JOURNAL
    lines = [{**first, "user": str(ground.user)}, *others]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if name.endswith("planted") and os.geteuid() == 0:
        for one in (folder.parent, folder, path):
            os.chown(one, NOBODY, NOBODY)
    elif name.startswith("a linked"):
        path.rename(ground.base / "target")
        path.symlink_to(ground.base / "target")
    else:
        folder.chmod(0o777)
    done = ground.run("--cid", str(first["thread"]), "-m", "tools-2", "-T", "note", "go on")
    need(not Path(ground.env["NOTES"]).exists(), "the call of somebody else was run")
    need("planted" not in str(ground.rows()), "what somebody else wrote is in the log")
    need(done.stderr.count(b"is left alone") == 1, "was not told once")


@fault("calls that a killed process left")
def _left_calls(ground: Ground) -> None:
    ground.plugin(NOTE_TOOL)
    folder = ground.user / "inflight"
    folder.mkdir(0o700)
    first, *others = JOURNAL
    lines = [{**first, "user": str(ground.user)}, *others]
    (folder / "left.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (ground.user / "tools.yaml").write_text("ask: never\nallow: [note]\n")
    options = ("--cid", str(first["thread"]), "-m", "steady", "-T", "note")
    done = ground.run(*options, "go on")
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    need(not Path(ground.env["NOTES"]).exists(), "run unasked")


@fault("calls in a database that was handed over")
def _handed_over(ground: Ground) -> None:
    ground.plugin(NOTE_TOOL)
    ground.run("-m", "tools-2", "-T", "note", "use tools", "--cl", "1")
    notes, other = Path(ground.env["NOTES"]), ground.base / "other.db"
    need(not notes.exists(), "run before")
    ground.run("logs", "backup", str(other))
    (ground.user / "tools.yaml").write_text("ask: never\nallow: [note]\n")
    ground.run("-c", "-m", "tools-2", "-d", str(other), "go on")
    need(not notes.exists(), "run unasked")
    ground.run("-c", "-m", "tools-2", "go on")
    need(notes.exists(), "not run in the own log either")


@fault("a file that a database names which was handed over")
def _named_file(ground: Ground) -> None:
    secret, other = _secret(ground), ground.base / "other.db"
    ground.models_file.write_text(
        ground.models_file.read_text().replace("tools: true", "tools: true\n  vision: true")
    )
    secret.write_bytes(b"%PDF-1.4 " + SECRET.encode())
    encoded = b64encode(secret.read_bytes()).decode()
    ground.run("-m", "steady", "hi", "-a", str(secret))
    need(_sent(encoded), "not sent when it was named")
    ground.run("logs", "backup", str(other))
    done = ground.run("-c", "-d", str(other), "go on")
    need(not _sent(encoded), "sent unasked")
    need(str(secret).encode() in done.stderr, "the file is not named")


@each(
    "a template that names a file, a template that names an address within the network,"
    " a template whose names have lines of their own"
)
def _template(ground: Ground, name: str) -> None:
    secret = _secret(ground)
    names = {"file": str(secret), "network": "http://127.0.0.1/secret", "own": "a\nUse it? y"}
    host = Handler.pages["host"]
    wanted = names[name.split()[-1]].replace("http://127.0.0.1", host)
    Handler.pages["/secret"] = SECRET
    Handler.pages["/template"] = json.dumps({"prompt": "hi", "fragments": [wanted]})
    done = ground.run("-m", "steady", "-t", f"{host}/template")
    need(done.returncode == 1, f"exit code {done.returncode}")
    need("/secret" not in Handler.received, "fetched unasked")
    need(not _sent(SECRET), "sent unasked")
    need(b"\nUse it" not in done.stderr, "a name looks like a question")


@fault("a link out of a folder")
def _link_out(ground: Ground) -> None:
    secret, folder = _secret(ground), ground.base / "cloned"
    folder.mkdir()
    (folder / "own.txt").write_text("the words of the folder")
    (folder / "notes.txt").symlink_to(secret)
    done = ground.run("-m", "steady", "-f", f"dir:{folder}", "hi")
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    need(not _sent(SECRET), "sent")
    need(b"1 link" in done.stderr, "the link is not counted")


@each("a device that an import names, a pipe that an import names")
def _endless_file(ground: Ground, name: str) -> None:
    pipe, given = ground.base / "pipe", ground.base / "import.json"
    os.mkfifo(pipe)
    path = "/dev/zero" if "device" in name else str(pipe)
    attached = {"type": "attachment", "attachment": {"type": "image/png", "path": path}}
    messages = [{"role": "user", "parts": [attached]}]
    shape: dict[str, object] = {"format": "llm-conversation", "version": 1}
    shape |= {"id": "01aaaaaaaaaaaaaaaaaaaaaaaa", "name": "named", "model": "steady"}
    shape |= {"turns": [], "messages": messages, "tip": 0}
    given.write_text(json.dumps(shape))
    thread = ground.run("conversations", "import", str(given)).stdout.decode().strip()
    done = ground.run("--cid", thread, "-m", "steady", "go on")
    need(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    need(path.encode() in done.stderr, "the file is not named")


def _open_mask() -> None:
    os.umask(0)


@fault("private backup")
def _private_backup(ground: Ground) -> None:
    ground.run("-m", "steady", "hi")
    copy = ground.base / "copy.db"
    ground.run("logs", "backup", str(copy), preexec=_open_mask)
    mode = stat.S_IMODE(copy.stat().st_mode)
    need(mode == 0o600, f"mode {mode:o}")


@fault("a slip in the name of a key")
def _slip(ground: Ground) -> None:
    Handler.received.clear()
    done = ground.run("-m", "steady", "hi", "--key", "fualt")
    need(done.returncode != 0, "exit code 0")
    need(not _sent("fualt"), "sent as a key")


@fault("a key in the address of a server")
def _key_in_address(ground: Ground) -> None:
    key = "address-key-0123456789"
    text = ground.models_file.read_text().replace("http://", f"http://user:{key}@")
    ground.models_file.write_text(text)
    found = b""
    for model in ("refused", "steady"):
        found += ground.run("-m", model, "hi", LLM_OPENAI_SHOW_RESPONSES="1").stderr
    need(key.encode() not in found, "shown")
    for path in ground.user.rglob("*"):
        if path.is_file() and path != ground.models_file:
            need(key.encode() not in path.read_bytes(), f"in {path.name}")


@each("a key in the address of an attachment, a key in the address of a fragment")
def _key_in_named_address(ground: Ground, name: str) -> None:
    key, host = "named-key-0123456789", Handler.pages["host"]
    Handler.pages[f"/notes?token={key}"] = "some notes"
    for path in (f"/notes?token={key}", f"/nothing?token={key}"):
        address = f"{host.replace('//', f'//me:{key}@')}{path}"
        option = ("--at", address, "image/png") if "attach" in name else ("-f", address)
        done = ground.run("-m", "steady", "hi", *option)
        need(key.encode() not in done.stdout + done.stderr, "shown")
    for file in ground.user.rglob("*"):
        if file.is_file():
            need(key.encode() not in file.read_bytes(), f"in {file.name}")


# Plugins


def _built_ins_work(ground: Ground) -> None:
    for command in (["logs", "path"], ["-m", "steady", "hi", "-n"], ["plugins"], ["models"]):
        done = ground.run(*command)
        need(done.returncode == 0, f"{command} ended with {done.returncode}")
        need(b"Traceback" not in done.stderr, f"{command}: traceback")
        need(b"printed by a plugin" not in done.stdout, f"{command}: a plugin's output")
    done = ground.run("plugins")
    need(b"bad" in done.stdout + done.stderr, "llm plugins does not show it")


@each(
    "plugin raises at import, plugin raises in register_models, plugin raises in"
    " register_commands, plugin exits at import, plugin prints at import, plugin prints in a hook,"
    " plugin leaves by an exception of its own, model raises when it is listed"
)
def _bad_plugin(ground: Ground, name: str) -> None:
    hook = "import llm\n@llm.hookimpl\ndef {}:\n    raise ValueError('boom')\n"
    sources = {
        "plugin raises at import": "raise ValueError('boom')",
        "plugin raises in register_models": hook.format("register_models(register)"),
        "plugin raises in register_commands": hook.format("register_commands(cli)"),
        "plugin exits at import": "import sys\nsys.exit(7)",
        "plugin prints at import": "print('printed by a plugin')",
        "plugin prints in a hook": hook.format("register_models(register)").replace(
            "raise ValueError('boom')", "print('printed by a plugin')"
        ),
        "plugin leaves by an exception of its own": (
            "class Left(BaseException):\n    pass\nraise Left('boom')"
        ),
        "model raises when it is listed": hook.format("register_models(register)").replace(
            "raise ValueError('boom')", "register(Bad())"
        )
        + "class Bad(llm.Model):\n    model_id = 'bad'\n    def execute(self, *args):\n"
        "        yield ''\n    def __str__(self):\n        raise ValueError('boom')\n",
    }
    ground.plugin(sources[name])
    _built_ins_work(ground)


@fault("plugin never ends its import")
def _endless_plugin(ground: Ground) -> None:
    ground.plugin(
        "import sys, time\nsys.stderr.write('importing')\nsys.stderr.flush()\n"
        "while True:\n    time.sleep(0.05)\n"
    )
    process = ground.start("plugins")
    assert process.stderr is not None
    seen = os.read(process.stderr.fileno(), 9)
    need(seen.startswith(b"import"), "was not imported")
    process.send_signal(signal.SIGINT)
    try:
        out, error = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Lost("cannot be interrupted") from None
    need(b"Traceback" not in error, "traceback")
    need(b"bad" in out + error, "the plugin is not named")
    done = ground.run("uninstall", "--help")
    need(done.returncode == 0, "cannot be uninstalled")
    process = ground.start("-m", "steady", "hi")
    assert process.stderr is not None
    os.read(process.stderr.fileno(), 9)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    need(process.returncode == 130, f"a prompt ended with {process.returncode}")


# Text


@fault("input that is no UTF-8")
def _undecodable(ground: Ground) -> None:
    done = ground.run("-m", "steady", stdin=b"caf\xe9 \x00 au lait")
    need(done.returncode == 0, f"exit code {done.returncode}")
    need("au lait" in str(ground.rows()), "not in the log")


@fault("half a character in the answer")
def _surrogate(ground: Ground) -> None:
    done = ground.run("-m", "surrogate", "hi", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    need(done.returncode == 0, f"exit code {done.returncode}")
    need("snow \u2603" in str(ground.rows()), "not in the log")


# One bad thing never stops all that follows

SITE = {
    "no locks on files": "import fcntl\ndef flock(fd, operation):\n"
    "    raise OSError(37, 'No locks available')\nfcntl.flock = flock\n",
    "no threads": "import threading\ndef start(self):\n"
    '    raise RuntimeError("can\'t start new thread")\nthreading.Thread.start = start\n',
    "clock set back": "import os, time\nback = int(os.environ.get('BACK', '0'))\n"
    "now, now_ns = time.time, time.time_ns\ntime.time = lambda: now() - back\n"
    "time.time_ns = lambda: now_ns() - back * 10 ** 9\n",
}
JOURNALS = ('{"journal": 1}\n', '{"journal": 1, "database": 7}\n', "7\n", "[" * 100_000 + "\n")


def _site(ground: Ground, name: str) -> None:
    """Let every Python of the ground begin with a piece of code."""
    (ground.base / "site" / "sitecustomize.py").write_text(SITE[name])
    paths = [str(ground.base / "site"), ground.env.get("PYTHONPATH", "")]
    ground.env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def _goes_on(ground: Ground, *commands: list[str]) -> None:
    """Raise `Lost` unless commands succeed, and say nothing of a traceback."""
    for command in commands:
        done = ground.run(*command)
        need(
            done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr[-200:]!r}"
        )
        need(b"Traceback" not in done.stderr, "traceback")


@fault("a reply that no log can hold")
def _odd_reply(ground: Ground) -> None:
    _goes_on(ground, ["-m", "odd", "say it"], ["-m", "steady", "hi"], ["-c", "on"], ["logs"])
    ground.need_turn("say it", "first second")


@fault("journals that nobody can read")
def _bad_journals(ground: Ground) -> None:
    folder = ground.user / "inflight"
    folder.mkdir(0o700)
    for number, text in enumerate(JOURNALS):
        path = folder / f"{number}.jsonl"
        path.write_text(text)
        path.chmod(0o600)
    _goes_on(ground, ["-m", "steady", "hi"], ["-c", "on", "-m", "steady"], ["logs"])
    kept = sorted(path.read_text() for path in folder.iterdir())
    need(kept == sorted(JOURNALS), f"{len(kept)} of {len(JOURNALS)} are kept")
    need(ground.run("logs", "recover").returncode == 1, "they are not shown")


@each("no locks on files, no threads")
def _scarce(ground: Ground, name: str) -> None:
    _site(ground, name)
    _goes_on(ground, ["keys", "set", "mine", "--value", "abcdefgh"], ["-m", "steady", "hi"])
    ground.need_turn("hi", "word0 word1 word2")


@fault("a trigger that swallows the turn")
def _swallowed(ground: Ground) -> None:
    ground.run("-m", "steady", "before")
    with contextlib.closing(sqlite3.connect(ground.log)) as conn:
        conn.execute(
            "create trigger swallow before insert on turns begin select raise(ignore); end"
        )
    done = ground.run("-m", "steady", "hi")
    need(b"swallow" in done.stderr, f"said {done.stderr[-200:]!r}")
    with contextlib.closing(sqlite3.connect(ground.log)) as conn:
        conn.execute("drop trigger swallow")
    ground.need_turn("hi", "word0 word1 word2")


@fault("Ctrl-C in a long query")
def _long_query(ground: Ground) -> None:
    ground.run("-m", "steady", "before")
    with contextlib.closing(sqlite3.connect(ground.log)) as conn:
        conn.execute(
            "create trigger endless after insert on turns begin select count(*) from (with"
            " recursive c(x) as (select 1 union all select x + 1 from c) select x from c); end"
        )
    process = ground.start("-m", "steady", "hi")
    printed_until(process, b"word2")
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    else:
        process.kill()
    process.communicate()
    need(process.returncode == 130, f"exit code {process.returncode}")


@each("60,000 fences, a schema on which a pattern never ends, a line that never ends")
def _unbounded(ground: Ground, name: str) -> None:
    pattern = json.dumps({"type": "string", "pattern": "^(a+)+$"})
    commands = {"6": ("fences", "-x"), "s": ("repeated", "--schema", pattern), "l": ("lines",)}
    model, *more = commands[name[2 if name.startswith("a") else 0]]
    code = 3 if model == "lines" else 0
    began = time.monotonic()
    done = ground.run("-m", model, "hi", *more)
    need(done.returncode == code, f"exit code {done.returncode}: {done.stderr[-200:]!r}")
    need(time.monotonic() - began < 60, "took more than a minute")


@fault("patterns of a cloned folder")
def _ignored(ground: Ground) -> None:
    folder = ground.base / "cloned"
    (folder / ".git").mkdir(parents=True)
    (folder / ".gitignore").write_text("*a" * 25 + "b\n" + "**/" * 25 + "x\n")
    (folder / ("a" * 200)).write_text("text")
    _goes_on(ground, ["-m", "steady", "-f", f"dir:{folder}", "hi"])


@fault("a tool that fails without words")
def _mute_tool(ground: Ground) -> None:
    mute = (
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError('no words')\n"
        "def note():\n    raise Mute\ndef wait():\n    return 'waited'\n"
    )
    _goes_on(ground, ["-m", "tools-2", "--functions", mute, "--ask", "never", "use tools"])


@fault("clock set back")
def _clock(ground: Ground) -> None:
    _site(ground, "clock set back")
    ground.run("-m", "steady", "first")
    ground.run("-m", "steady", "second", BACK="7200")
    _goes_on(ground, ["-c", "third", "-m", "steady"])
    threads = {str(row["prompt"]): row["conversation_id"] for row in ground.rows()}
    need(threads["third"] == threads["second"], "another conversation went on")


@fault("nothing to send")
def _nothing(ground: Ground) -> None:
    for args in ((), ("",)):
        done = ground.run("-m", "steady", *args)
        need(done.returncode == 2, f"exit code {done.returncode}")
    need(not ground.rows(), "something was sent")


@each("an attachment that is gone, an attachment that has changed")
def _gone(ground: Ground, name: str) -> None:
    with (ground.user / "extra-openai-models.yaml").open("a") as models:
        models.write("  vision: true\n")
    model = MODELS[-1]
    image = ground.base / "image.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    ground.run("-m", model, "look", "-a", str(image))
    if name.endswith("gone"):
        image.unlink()
    else:
        image.write_bytes(b"\x89PNG\r\n\x1a\n" + b"secret")
    Handler.received.clear()
    done = ground.run("-c", "on")
    need(str(image).encode() in done.stderr, f"said {done.stderr[-200:]!r}")
    secret = base64.b64encode(b"\x89PNG\r\n\x1a\nsecret").decode()
    need(Handler.received and secret not in str(Handler.received), "other bytes were sent")


# Running them


@contextlib.contextmanager
def ground(command: list[str], server: Server, crowd: int = 40) -> Iterator[Ground]:
    """Give the place for one fault; it is gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="llm-fault-"))
    try:
        yield Ground(command, base, server, crowd)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def attempt(command: list[str], server: Server, name: str, crowd: int = 40) -> str | None:
    """Try one fault; return why it was not survived, or `None`."""
    with ground(command, server, crowd) as place:
        try:
            FAULTS[name](place)
        except (Lost, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}" if not isinstance(error, Lost) else str(error)
    return None


class Kill(NamedTuple):
    """A kind of kill: the command that is killed, and when.

    Attributes:
        moment: What the command is doing then.
        is_prompt: Whether it is a prompt, or a command that reads the log.
        after: Output that is waited for.
        span_s: The kill comes within so many seconds of that.
    """

    moment: str
    is_prompt: bool
    after: bytes
    span_s: float


def kills(
    command: list[str],
    server: Server,
    count: int,
    seed: int = 1,
    moments: Counter[str] | None = None,
) -> int:
    """Kill processes at random moments; return how many lost something.

    A process that has ended before its kill does not count. Several at a time work on one log:
    they migrate an old file, stream, commit, and recover what the ones before left. Now and then
    an old file is begun with again. In the end each database has to be whole and hold every word.

    Args:
        command: The words that start the executable.
        server: The server.
        count: How many kills.
        seed: Chooses the moments.
        moments: Counts when the kills came.

    Raises:
        Lost: Not one kill came in the middle of a stream, so that nothing was tried.
    """
    chance = random.Random(seed)
    moments = Counter() if moments is None else moments
    lost = 0
    while (left := count - moments.total()) > 0:
        with ground(command, server) as place:
            kinds = _kinds(place)
            shutil.copy(OLD_LOG, place.log)
            printed: dict[str, str] = {}
            target = moments.total() + min(left, ON_ONE_LOG)
            batches = _batches(kinds)
            while (missing := target - moments.total()) > 0:
                _kill_some(place, chance, next(batches)[:missing], printed, moments)
            lost += _missing(place, printed)
    need(count < ON_ONE_LOG or moments["streaming"], "no kill came in mid-stream")
    return lost


def _batches(kinds: list[Kill]) -> Iterator[list[Kill]]:
    """What is killed at once, time after time; a log is migrated but once."""
    first, *further = (kinds[at : at + AT_ONCE] for at in range(0, len(kinds), AT_ONCE))
    return itertools.chain([first], itertools.cycle(further))


def _kinds(place: Ground) -> list[Kill]:
    """What is killed on one log, and how long each takes where nobody disturbs it."""
    shutil.copy(OLD_LOG, place.log)
    reading_s = _seconds(lambda: place.run("logs", "-n", "1"))
    place.log.unlink()
    began = time.monotonic()
    process = place.start("-m", "steady-300", "undisturbed")
    printed_until(process, b"word0 ")
    streaming_at = time.monotonic()
    printed_until(process, b"\n")
    committing_at = time.monotonic()
    process.communicate(timeout=LIMIT_S)
    end = time.monotonic()
    for path in place.user.glob("logs.db*"):
        path.unlink()
    migrating = Kill("migrating", False, b"", reading_s)
    starting = Kill("starting", True, b"", streaming_at - began)
    streaming = Kill("streaming", True, b"word0 ", committing_at - streaming_at)
    committing = Kill("committing", True, b"\n", 2 * (end - committing_at))
    recovering = Kill("recovering", False, b"", reading_s)
    return [
        *(migrating, migrating, migrating, migrating, committing),
        *(streaming, streaming, committing, committing, starting),
        *(recovering, recovering, streaming, committing, committing),
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _kill_some(
    place: Ground,
    chance: random.Random,
    kinds: Sequence[Kill],
    printed: dict[str, str],
    moments: Counter[str],
) -> None:
    """Kill some processes at once, each at a moment of its own; count those that were hit."""
    prompts = [f"kill {len(printed) + number}" for number in range(len(kinds))]
    delays = [chance.uniform(0, kind.span_s) for kind in kinds]
    with ThreadPoolExecutor(len(kinds)) as pool:
        ends = list(pool.map(_kill_one, itertools.repeat(place), kinds, prompts, delays))
    for kind, prompt, (out, is_hit) in zip(kinds, prompts, ends, strict=True):
        moments.update([kind.moment] * is_hit)
        if kind.is_prompt:
            printed[prompt] = out.strip()


def _kill_one(place: Ground, kind: Kill, prompt: str, delay: float) -> tuple[str, bool]:
    """What a process printed before it was killed, and whether that was before its end."""
    args = ("-m", "steady-300", prompt) if kind.is_prompt else ("logs", "-n", "1")
    process = place.start(*args)
    seen = printed_until(process, kind.after)
    time.sleep(delay)
    process.kill()
    out = seen + process.communicate(timeout=LIMIT_S)[0]
    return out.decode(), process.returncode == -signal.SIGKILL


def _missing(place: Ground, printed: dict[str, str]) -> int:
    """Count the answers that the log does not have as they were printed; all if it is damaged."""
    found = {str(row["prompt"]): str(row["response"]) for row in place.rows()}
    with contextlib.closing(sqlite3.connect(place.log)) as conn:
        if conn.execute("pragma integrity_check").fetchone()[0] != "ok":
            return len(printed)
    return sum(
        bool(text) and not found.get(prompt, "").startswith(text)
        for prompt, text in printed.items()
    )


def report(
    command: list[str], server: Server, runs: int, kill_count: int, only: str | None
) -> None:
    """Try all faults, print a line for each, and the sum."""
    names = [name for name in FAULTS if only is None or only in name]
    survived = 0
    for name in names:
        reasons = (attempt(command, server, name) for _ in range(runs))
        reason = next((found for found in reasons if found), None)
        survived += reason is None
        print(
            f"{'survived' if reason is None else 'LOST    '}  {name}"
            + (f": {' '.join(reason.split())[:150]}" if reason else ""),
            flush=True,
        )
    if kill_count:
        survived += _report_kills(command, server, kill_count)
        names.append("kills")
    print(f"{survived} of {len(names)} faults survived", flush=True)


def _report_kills(command: list[str], server: Server, count: int) -> bool:
    """Kill so many processes and print what became of it; return whether nothing was lost."""
    moments: Counter[str] = Counter()
    try:
        lost = kills(command, server, count, moments=moments)
    except Lost as error:
        print(f"LOST      {count} kills: {error}", flush=True)
        return False
    when = ", ".join(f"{number} {moment}" for moment, number in moments.most_common())
    verdict = "LOST    " if lost else "survived"
    print(f"{verdict}  {count} kills ({when}): {lost} lost something", flush=True)
    return not lost


def main() -> None:
    """Read the command line and try the faults."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--llm", help="the executable to try (default: 0.36, then ours)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each fault (default 1)")
    parser.add_argument("--kills", type=int, default=0, help="number of kills at random moments")
    parser.add_argument("--only", help="only faults whose name contains this text")
    args = parser.parse_args()
    # In the background of a shell they are ignored, and would be by the processes that are tried.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if args.llm:
        commands = {args.llm: [args.llm]}
    else:
        from _setup import environments

        commands = {made.name: [made.llm] for made in environments()}
    server = Server()
    for name, command in commands.items():
        print(f"{name}:")
        report(command, server, args.runs, args.kills, args.only)


if __name__ == "__main__":
    main()
