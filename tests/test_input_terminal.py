"""Input and output of every kind: bytes that are no text, locales, a lot of both (Unix only)."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .helpers.openai_server import text_stream
from .helpers.terminal import LIMIT_SECONDS, RUN_LLM

# A locale that knows ASCII only, and Python that believes it.
PLAIN_C: dict[str, Any] = dict.fromkeys(("PYTHONUTF8", "PYTHONCOERCECLOCALE"), "0")
PLAIN_C |= {"LC_ALL": "C", "PYTHONIOENCODING": ""}
WARNING = "is valid UTF-8: what cannot be read was replaced"
MB = 1 << 20


def run(*args: str | bytes, stdin: bytes = b"", **env: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, on pipes."""
    settings = {**os.environ, **env}
    settings = {name: value for name, value in settings.items() if value or name not in PLAIN_C}
    return subprocess.run(
        [*RUN_LLM, *args], input=stdin, capture_output=True, timeout=LIMIT_SECONDS, env=settings
    )


def logged(user_path: Path) -> dict[str, str]:
    """The newest row of the log."""
    row = json.loads(run("logs", "--json", "-n", "1").stdout)[0]
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("env", [{}, PLAIN_C])
def test_undecodable_bytes_are_replaced_with_a_warning(
    user_path: Path, env: dict[str, str]
) -> None:
    """On stdin, in the prompt and in the system prompt: sent, logged, and told on stderr."""
    result = run("-m", "echo", b"b\xff", "-s", b"s\xff", stdin=b"a\xff\xfe", **env)
    assert result.returncode == 0
    assert f"Not all of standard input {WARNING}" in result.stderr.decode()
    assert f"Not all of the command line {WARNING}" in result.stderr.decode()
    row = logged(user_path)
    assert row["prompt"] == "a\ufffd\ufffd b\ufffd"
    assert row["system"] == "s\ufffd"
    assert row["response"] == "system: s\ufffd | user: a\ufffd\ufffd b\ufffd"


def test_valid_text_gives_no_warning() -> None:
    """UTF-8 is UTF-8, whatever the locale says."""
    for env in ({}, PLAIN_C):
        result = run("-m", "echo", "é".encode(), "-n", stdin="ü €".encode(), **env)
        assert (result.returncode, result.stderr) == (0, b"")


def test_nul_is_sent_and_logged(user_path: Path) -> None:
    """A NUL on stdin is a character like any other."""
    result = run("-m", "echo", stdin=b"a\x00b")
    assert result.stdout == b"user: a\x00b\n"
    assert logged(user_path)["prompt"] == "a\x00b"
    assert run("logs", "-r").stdout == b"user: a\x00b\n"
    assert run("-c", "again").stdout.startswith(b"user: a\x00b | assistant")


def test_lone_surrogates_of_an_answer_are_logged(user_path: Path) -> None:
    """Half a pair in an answer stops neither the answer nor the log."""
    assert run("-m", "odd", "hi").returncode == 0
    assert logged(user_path)["response"] == "snow \u2603 half \ufffd end"


@pytest.mark.parametrize("flags", [[], ["--no-stream"]])
def test_answers_pass_an_ascii_locale(user_path: Path, flags: list[str]) -> None:
    """What the locale lacks is replaced on the way out; the log has it all, and can show it."""
    result = run("-m", "odd", "hi", *flags, **PLAIN_C)
    assert (result.returncode, result.stdout) == (0, b"snow ? half ? end\n")
    assert logged(user_path)["response"] == "snow \u2603 half \ufffd end"
    assert run("logs", "-r", **PLAIN_C).stdout == b"snow ? half ? end\n"
    (user_path / "aliases.json").write_text('{"schnee\u2603": "odd"}')
    result = run("aliases", **PLAIN_C)
    assert (result.returncode, result.stdout.split()[0]) == (0, b"e")
    assert b"schnee? " in result.stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [("times", "many"), ("times", b"\xff"), ("nope", "1"), ("shout", "perhaps")],
)
def test_invalid_options_are_told_before_anything_is_sent(option: str, value: str | bytes) -> None:
    """Name and reason on stderr, exit code 1, no answer, no traceback."""
    result = run("-m", "echo", "hi", "-o", option, value)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"Error: " + option.encode() in result.stderr
    assert b"Traceback" not in result.stderr


class _Swallow(BaseHTTPRequestHandler):
    """Reads a request of any length and answers in two words."""

    protocol_version = "HTTP/1.1"
    received: list[int] = []

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Count the bytes, keep none."""
        left = int(self.headers["content-length"])
        self.received.append(left)
        while left:
            left -= len(self.rfile.read(min(left, MB)))
        body = b"".join(piece for piece in text_stream("ok").pieces if isinstance(piece, bytes))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def swallow(user_path: Path) -> Iterator[list[int]]:
    """A server behind the model `mine`; gives the lengths of the requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Swallow)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}/v1"
    entry = {"model_id": "mine", "api_base": base}
    (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
    _Swallow.received.clear()
    yield _Swallow.received
    server.shutdown()
    server.server_close()


def peak_mb(size_mb: int, *args: str) -> float:
    """The most memory, in MB, that a prompt with so many MB on stdin takes."""
    process = subprocess.Popen(
        [*RUN_LLM, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as pipe:
        for _ in range(size_mb):
            pipe.write(b"some words \n" * (MB // 12))
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert (process.returncode, out) == (0, b"ok\n")
    return usage.ru_maxrss / 1024


@pytest.mark.parametrize("flags", [[], ["--async"], ["-n"]])
def test_large_input_takes_three_times_its_size_at_most(
    user_path: Path, swallow: list[int], flags: list[str]
) -> None:
    """Read, sent and logged; the log has every character."""
    size_mb = 100
    base = peak_mb(0, "-m", "mine", "hi", *flags)
    assert peak_mb(size_mb, "-m", "mine", "hi", *flags) - base < 3 * size_mb
    assert swallow[-1] > size_mb * MB * 0.99
    if "-n" not in flags:
        with sqlite3.connect(user_path / "logs.db") as db:
            (payload,) = db.execute(
                "select payload from parts where payload is not null"
            ).fetchone()
        assert len(json.loads(payload)["text_ref"]) == size_mb


def test_large_input_goes_on_as_a_conversation(swallow: list[int]) -> None:
    """The next prompt sends the whole of it again."""
    peak_mb(20, "-m", "mine", "hi")
    assert run("-c", "next").stdout == b"ok\n"
    assert swallow[1] > swallow[0]
