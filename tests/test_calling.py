"""Retries, time-outs and models that stand in: how a prompt is called."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.errors import ConfigError, InvalidInput, Overloaded
from llm.files.model_options import CALLS, PARSERS, CallDefaults, call_defaults
from llm.net.policy import CallPolicy

from .helpers import models as fake
from .helpers.openai_server import OpenAIServer, error_reply, text_stream
from .helpers.terminal import LIMIT_SECONDS, RUN_LLM


@pytest.fixture(autouse=True)
def fake_models() -> Iterator[None]:
    """The models of the tests are installed."""
    with fake.registered():
        yield


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A loopback server, which the models `one` and `two` are at."""
    with OpenAIServer() as running:
        entries = [
            {"model_id": name, "model_name": name, "api_base": running.url, "api_key_name": "mine"}
            for name in ("one", "two")
        ]
        # JSON is YAML too.
        (user_path / "extra-openai-models.yaml").write_text(json.dumps(entries))
        (user_path / "keys.json").write_text('{"mine": "sk-mine-0123456789"}')
        yield running


def run(*args: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, list(args))


def run_process(*args: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [*RUN_LLM, *args],
        input="",
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=dict(os.environ),
    )


# The policy


def test_attempts_pause_longer_each_time_and_end() -> None:
    """Pauses about double, with jitter, until the retries are used up."""
    attempts = CallPolicy(retries=3).attempts()
    *pauses, last = [attempts.pause_s(503) or 0 for _ in range(4)]
    assert 0.37 <= pauses[0] <= 0.5
    assert 0.75 <= pauses[1] <= 1.0
    assert 1.5 <= pauses[2] <= 2.0
    assert not last


def test_attempts_differ_between_callers() -> None:
    """Two callers that fail at the same moment do not come back at the same moment."""
    pauses = {CallPolicy().attempts().pause_s(503) for _ in range(20)}
    assert len(pauses) > 10


def test_attempts_tell_before_each_pause() -> None:
    """The user reads who failed, how, and when it goes on; nothing where it does not."""
    told: list[str] = []
    attempts = CallPolicy(retries=1, tell=told.append).attempts("api.example.com")
    assert attempts.pause_s(429, {"retry-after": "2"}) == 2.0
    assert attempts.pause_s(429, {"retry-after": "2"}) is None
    assert told == ["api.example.com answered 429, trying again in 2.0 s (1 of 1)"]


def test_attempts_tell_why_there_was_no_answer() -> None:
    """Without a reply the reason stands in place of the status."""
    told: list[str] = []
    policy = CallPolicy(tell=told.append)
    policy.attempts("host").pause_s(headers={"retry-after": "0"}, reason="cannot be reached")
    policy.attempts("host").pause_s(headers={"retry-after": "0"})
    assert told == [
        "host cannot be reached, trying again in 0.0 s (1 of 2)",
        "host did not answer, trying again in 0.0 s (1 of 2)",
    ]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, {}, b""),
        (500, {"x-should-retry": "false"}, b""),
        (429, {}, b'{"code": "insufficient_quota"}'),
        (503, {"retry-after": "4000"}, b""),
    ],
)
def test_attempts_give_up_where_waiting_is_no_use(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    """What will fail again, and what asks for more patience than people have, is not repeated."""
    assert CallPolicy().attempts().pause_s(status, headers, body) is None


def test_policy_reaches_the_model_of_a_plugin() -> None:
    """`response.policy` is that of the conversation, with the usual values where none is set."""
    policy = CallPolicy(retries=7, timeout_s=3.0)
    conversation = llm.get_model("echo").conversation(policy=policy)
    assert conversation.prompt("hi").policy is policy
    assert conversation.chain("hi").responses().__next__().policy is policy
    assert llm.get_async_model("echo").conversation(policy=policy).prompt("hi").policy is policy
    assert llm.get_model("echo").prompt("hi").policy == CallPolicy(2, 600.0)
    assert policy.connect_timeout_s == 3.0


# The options of the command


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_more_often_unless_told_otherwise(status: int) -> None:
    """Four times by default; a number that somebody chose counts for every failure."""
    for policy, count in (
        (CallPolicy(), 4),
        (CallPolicy(retries=2), 2),
        (CallPolicy(retries=0), 0),
    ):
        attempts = policy.attempts()
        pauses = [attempts.pause_s(status, {"retry-after": "1"}) for _ in range(6)]
        assert pauses == [1.0] * count + [None] * (6 - count)
    others = CallPolicy().attempts()
    assert [others.pause_s(500) is None for _ in range(3)] == [False, False, True]


def test_own_pauses_have_an_end_together() -> None:
    """At most a minute, however many retries there are; what a server asks for does not count."""
    attempts = CallPolicy(retries=100).attempts()
    pauses: list[float] = []
    while (pause := attempts.pause_s(429, {"retry-after": "100"} if pauses else {})) is not None:
        pauses.append(pause)
    assert len(pauses) == 100
    attempts = CallPolicy(retries=100).attempts()
    own = [pause for _ in range(100) if (pause := attempts.pause_s(500)) is not None]
    assert sum(own) == pytest.approx(60)
    assert 8 < len(own) < 20


def test_retries_are_as_many_as_asked_for(server: OpenAIServer) -> None:
    """`--retries 0` asks once; each pause is one line on stderr that names the host."""
    server.add(*[error_reply(503, "busy", {"retry-after-ms": "1"}) for _ in range(5)])
    result = run("-m", "one", "hi", "--retries", "0")
    assert (result.exit_code, len(server.requests)) == (1, 1)
    result = run("-m", "one", "hi", "--retries", "3")
    assert (result.exit_code, len(server.requests)) == (1, 5)
    host = server.url.split("/")[2]
    lines = [line for line in result.stderr.splitlines() if "trying again" in line]
    assert lines == [f"{host} answered 503, trying again in 0.0 s ({n} of 3)" for n in range(1, 4)]


def test_retries_reach_the_asynchronous_model(server: OpenAIServer) -> None:
    """The asynchronous twin keeps the same policy."""
    server.add(*[error_reply(503, "busy", {"retry-after-ms": "1"}) for _ in range(5)])
    run("-m", "one", "hi", "--retries", "1", "--async")
    assert len(server.requests) == 2


def test_timeout_ends_a_silent_server(server: OpenAIServer) -> None:
    """The time-out counts before the first piece and between two of them."""
    hold = threading.Event()
    silent, stalled = text_stream("hello", " world"), text_stream("hello", " world")
    silent.pieces.insert(0, hold)
    stalled.pieces.insert(2, hold)
    server.add(silent, stalled)
    try:
        first = run_process("-m", "one", "hi", "--timeout", "0.3", "--retries", "0")
        second = run_process("-m", "one", "hi", "--timeout", "0.3", "--retries", "0")
    finally:
        hold.set()
    assert (first.stdout, second.stdout.strip()) == ("", "hello")
    assert first.returncode == 1
    assert second.returncode != 0
    assert "silent for too long" in first.stderr
    assert "silent for too long" in second.stderr


@pytest.mark.parametrize(
    "flags",
    [
        *(["--retries", "-1"], ["--retries", "x"], ["--timeout", "0"], ["--timeout", "soon"]),
        *(["--timeout", "nan"], ["--timeout", "inf"], ["--tool-timeout", "inf"]),
    ],
)
def test_impossible_numbers_are_usage_errors(flags: list[str]) -> None:
    """Values that cannot be meant end with exit code 2 before anything is sent."""
    result = run("-m", "echo", "hi", *flags)
    assert result.exit_code == 2
    assert flags[0] in result.stderr


# Models that stand in


@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"]])
def test_fallback_answers_where_the_first_fails(server: OpenAIServer, flags: list[str]) -> None:
    """The second model gets the same prompt; stderr says what happened, stdout has the answer."""
    server.add(error_reply(401, "Bad key"), text_stream("from two"))
    result = run("-m", "one", "hi", "--fallback", "two", *flags)
    assert (result.exit_code, result.stdout) == (0, "from two\n")
    assert [request.body["model"] for request in server.requests] == ["one", "two"]
    assert "one failed:" in result.stderr
    assert "Trying two" in result.stderr
    rows = json.loads(run("logs", "--json", "-n", "1").stdout)
    assert (rows[0]["model"], rows[0]["response"]) == ("two", "from two")


def test_fallbacks_are_tried_in_order() -> None:
    """Each model gets its turn until one answers; the last error is the one that counts."""
    result = run("-m", "fails", "now", "--fallback", "fails", "--fallback", "echo", "-n")
    assert (result.exit_code, result.stdout) == (0, "user: now\n")
    result = run("-m", "single", "hi", "--fallback", "echo", "-n")
    assert result.stdout == "once\n"
    result = run("-m", "fails", "now", "--fallback", "fails", "-n")
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: boom\n")


def test_fallback_is_not_tried_after_the_first_token() -> None:
    """An answer that has begun is not begun again by another model."""
    result = run("-m", "fails", "hi", "--fallback", "echo", "-n")
    assert result.exit_code != 0
    assert "user: hi" not in result.stdout
    assert "Trying" not in result.stderr


def test_unknown_fallback_is_refused_before_anything_is_sent(server: OpenAIServer) -> None:
    """A misspelt stand-in is found when it can still be corrected."""
    result = run("-m", "one", "hi", "--fallback", "tow")
    assert result.exit_code == 1
    assert "tow" in result.stderr
    assert server.requests == []


@pytest.mark.parametrize("name", ["smollm2", "local/smollm2-135m"])
def test_fallback_that_is_not_installed_costs_no_prompt(name: str) -> None:
    """It is no slip: one line says how to get it, and the others are asked."""
    result = run("-m", "fails", "now", "--fallback", name, "--fallback", "echo", "-n")
    assert (result.exit_code, result.stdout) == (0, "user: now\n")
    assert "To install it: llm local install. Going on without it" in result.stderr


def test_options_the_fallback_does_not_take_are_dropped() -> None:
    """One line tells of each; those that it takes are kept."""
    result = run("-m", "fails", "now", "--fallback", "forgetful", "-n")
    assert "dropped" not in result.stderr
    result = run(
        *("-m", "picky", "now", "-o", "shout", "1", "-o", "length", "9", "-n"),
        *("--fallback", "echo"),
    )
    assert (result.exit_code, result.stdout) == (0, "USER: NOW\n")
    assert result.stderr.count("dropped") == 1
    assert "echo does not take the option length: dropped" in result.stderr


def test_stored_options_of_the_first_model_are_its_own() -> None:
    """Defaults that the user stored for one model are not given to another."""
    run("models", "options", "set", "picky", "shout", "1")
    run("models", "options", "set", "echo", "times", "2")
    result = run("-m", "picky", "now", "--fallback", "echo", "-n")
    assert result.stdout == "user: nowuser: now\n"
    assert "dropped" not in result.stderr


def test_fallback_in_a_chat_is_tried_each_turn() -> None:
    """The next turn asks the first model again, with everything that was said."""
    result = CliRunner().invoke(
        cli, ["chat", "-m", "picky", "--fallback", "echo"], input="now\nhow\n"
    )
    assert result.exit_code == 0
    assert "user: now | assistant: user: now | user: how" in result.stdout
    assert result.stderr.count("Trying echo") == 2


# Stored defaults


def test_defaults_of_calls_have_a_file_of_their_own(user_path: Path) -> None:
    """Nothing that 0.36 would refuse gets into `model_options.json`."""
    for name, value in {"retries": "5", "timeout": "9.5", "truncate": "oldest"}.items():
        assert run("models", "options", "set", "echo", name, value).exit_code == 0
    assert run("models", "options", "set", "echo", "fallback", "e, plain").exit_code == 0
    assert not (user_path / "model_options.json").exists()
    stored = json.loads((user_path / "model_defaults.json").read_text())
    assert stored == {
        "echo": {"retries": "5", "timeout": "9.5", "truncate": "oldest", "fallback": "echo,plain"}
    }
    assert call_defaults("echo") == CallDefaults(5, 9.5, ("echo", "plain"), "oldest")


def test_defaults_of_calls_are_shown_and_cleared_like_options() -> None:
    """One list for the user, whatever the file."""
    run("models", "options", "set", "echo", "times", "2")
    run("models", "options", "set", "echo", "retries", "5")
    assert run("models", "options", "show", "echo").stdout == "times: 2\nretries: 5\n"
    assert json.loads(run("models", "options", "--json").stdout) == {
        "echo": {"times": "2", "retries": "5"}
    }
    result = run("models", "options", "clear", "echo", "retries")
    assert result.stdout == "Cleared option 'retries' for model echo\n"
    run("models", "options", "set", "echo", "retries", "5")
    result = run("models", "options", "clear", "echo")
    assert result.stdout == "Cleared times, retries options for model echo\n"
    assert CALLS.load() == {}


def test_option_that_the_model_has_itself_stays_its_own(user_path: Path) -> None:
    """A model with an option `timeout` keeps it, in the file where other programs look for it."""
    run("models", "options", "set", "picky", "timeout", "x")
    assert json.loads((user_path / "model_options.json").read_text()) == {"picky": {"timeout": "x"}}
    assert not (user_path / "model_defaults.json").exists()


def test_defaults_take_effect_and_flags_win(server: OpenAIServer) -> None:
    """A stored number of retries holds until the command line names another."""
    server.add(*[error_reply(503, "busy", {"retry-after-ms": "1"}) for _ in range(5)])
    run("models", "options", "set", "one", "retries", "1")
    run("-m", "one", "hi")
    assert len(server.requests) == 2
    run("-m", "one", "hi", "--retries", "0")
    assert len(server.requests) == 3
    run("models", "options", "set", "one", "fallback", "echo")
    assert run("-m", "one", "hi").stdout == "user: hi\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries", "-1"), ("retries", "x"), ("timeout", "nan"), ("timeout", "0"), ("truncate", "x")],
)
def test_impossible_defaults_are_refused(user_path: Path, name: str, value: str) -> None:
    """A value that cannot be meant is not stored."""
    with pytest.raises(InvalidInput, match=name):
        PARSERS[name](value)
    assert run("models", "options", "set", "echo", name, value).exit_code == 2
    assert run("models", "options", "set", "echo", "fallback", "nobody").exit_code == 1
    assert not (user_path / "model_defaults.json").exists()


def test_broken_defaults_are_told_and_left_alone(user_path: Path) -> None:
    """A file that says nonsense is named; it is never replaced."""
    path = user_path / "model_defaults.json"
    for text in ("{", '{"echo": 1}', '{"echo": {"retries": "many"}}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"model_defaults\.json"):
            call_defaults("echo")
        assert path.read_text() == text


def test_clearing_what_is_not_there_changes_nothing(user_path: Path) -> None:
    """Absent defaults are no error and make no file."""
    CALLS.clear("echo")
    CALLS.clear("echo", "retries")
    assert not (user_path / "model_defaults.json").exists()


def test_errors_below_model_error_are_named() -> None:
    """A plugin may raise the classes of the family and the user reads their message."""
    assert issubclass(Overloaded, llm.ModelError)
