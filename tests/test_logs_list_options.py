"""The options of `llm logs list`: which rows, and in which form."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from llm.cli import cli
from tests.helpers.logged import LogBuilder, use_log
from tests.helpers.terminal import at_terminal

FENCED = "Some\n```python\nprint(1)\n```\nand\n```js\nlog(2)\n```\nend\n"


@pytest.fixture
def log(user_path: Path) -> Iterator[LogBuilder]:
    """An empty log database in the user directory."""
    builder = LogBuilder(user_path / "logs.db")
    yield builder
    builder.conn.close()


def invoke(*args: str) -> Result:
    """The result of `llm logs list` with these arguments."""
    return CliRunner().invoke(cli, ["logs", "list", *args])


def output(*args: str) -> str:
    """The output of `llm logs list`, which succeeds."""
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def ids(*args: str) -> list[str]:
    """The ids of the rows in the order in which they are listed."""
    return [row["id"] for row in json.loads(output("--json", *args))]


@pytest.mark.parametrize(
    ("arguments", "empty"),
    [
        *(
            (["logs", *flags], "")
            for flags in ([], ["-s"], ["-x"], ["--data"], ["-q", "x"], ["-t"])
        ),
        *((["logs", *flags], "") for flags in (["-T", "x"], ["--since", "3d"], ["-m", "4o"])),
        *((["logs", "--json", *flags], "[]\n") for flags in ([], ["-n", "0"], ["--cid", "x"])),
        (["logs", "--data-array"], "[]\n"),
        *((["schemas", *flags], "") for flags in ([], ["--full"], ["--nl"])),
        (["schemas", "list", "--json"], "[]\n"),
        *((["conversations", *flags], "") for flags in ([], ["tree"], ["export", "--all"])),
        (["conversations", "list", "--json"], "[]\n"),
        (["fragments"], ""),
        (["fragments", "list", "--json"], "[]\n"),
        (["templates"], ""),
        (["templates", "list", "--json"], "[]\n"),
        (["plugins"], "[]\n"),
        (["keys", "list", "--json"], "[]\n"),
    ],
)
def test_fresh_user_directory(arguments: list[str], empty: str, user_path: Path) -> None:
    """Where nothing was logged yet, a listing is an empty one, and makes no database."""
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (0, empty), result.output
    assert not (user_path / "logs.db").exists()


@pytest.mark.parametrize("current", ["-c", "-r"])
def test_fresh_user_directory_has_no_conversation(current: str) -> None:
    """The conversation used last is none that could be listed."""
    result = invoke(current)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing has been logged yet" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["logs"], ["logs", "--json"], ["logs", "delete", "x"], ["logs", "verify"]),
        *(["logs", "vacuum"], ["logs", "redact", "x"], ["schemas"], ["schemas", "show", "x"]),
        *(["conversations"], ["conversations", "tree"], ["conversations", "export"]),
    ],
)
def test_database_missing(arguments: list[str], tmp_path: Path) -> None:
    """A file that was named has to be there: the error says where it was looked for."""
    missing = tmp_path / "missing.db"
    result = CliRunner().invoke(cli, [*arguments, "-d", str(missing)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"No log database found at {missing}" in result.stderr
    assert not missing.exists()


def test_database_is_no_database(user_path: Path) -> None:
    """A file that is no database is an error with a message, not a traceback."""
    (user_path / "logs.db").write_text("no database, but long enough to look at" * 50)
    result = invoke()
    assert result.exit_code == 1
    assert "Error: Cannot read the log database" in result.stderr


def test_database_option_other_file(log: LogBuilder, tmp_path: Path) -> None:
    """`-d` reads another file; the hidden `-p` wins over it."""
    log.turn("01a", "here")
    for name in ("one", "two"):
        other = LogBuilder(tmp_path / f"{name}.db")
        other.turn(name)
        other.conn.close()
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    assert ids("-d", one) == ["one"]
    assert ids("-d", one, "-p", two) == ["two"]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([], ["03", "04", "05"]),
        (["-n", "1"], ["05"]),
        (["-n", "4"], ["02", "03", "04", "05"]),
        (["-n", "0"], ["01", "02", "03", "04", "05"]),
        (["-n", "-1"], ["01", "02", "03", "04", "05"]),
    ],
)
def test_count_newest(log: LogBuilder, args: list[str], found: list[str]) -> None:
    """The newest entries are listed, the oldest of them first: three without `-n`, all for 0."""
    for number in (3, 1, 5, 2):
        log.turn(f"0{number}")
    log.response("04", "old", "row")
    assert ids(*args) == found


def test_legacy_row_logged_again(log: LogBuilder) -> None:
    """A row of the older table that is a turn as well is shown once, as the turn."""
    log.response("01", "old prompt", "old response")
    log.turn("01", "new prompt", "new response")
    assert [row["prompt"] for row in json.loads(output("--json", "-n", "0"))] == ["new prompt"]


def test_model_filter(log: LogBuilder) -> None:
    """`-m` finds the model asked for and the one that answered, and no part of a name."""
    log.turn("01", model="gpt", resolved_model="gpt-2026")
    log.turn("02", model="other")
    log.response("03", "a", "b", model="gpt")
    assert ids("-m", "gpt") == ["01", "03"]
    assert ids("-m", "gpt-2026") == ["01"]
    assert ids("-m", "gp") == []


def test_conversation_filter(log: LogBuilder) -> None:
    """`--cid` lists all of one conversation, legacy rows included, with one full heading."""
    for number in range(1, 6):
        log.turn(f"0{number}", f"prompt {number}", thread_id="c")
    log.response("00", "old", "row", conversation_id="c")
    log.turn("09", thread_id="d")
    assert ids("--cid", "c") == ["00", "01", "02", "03", "04", "05"]
    assert ids("--cid", "c", "-n", "2") == ["04", "05"]
    text = output("--cid", "c", "-n", "2")
    assert text.count("    conversation: c id: ") == 1
    assert "\n# 2026-01-02T03:04:05\n\n## Prompt\n\nprompt 5\n" in text
    assert ids("--cid", "unknown") == []


def test_current_conversation_used_last(log: LogBuilder) -> None:
    """`-c` is the conversation of the newest turn, not the one started last; it beats `--cid`."""
    log.turn("01", thread_id="old")
    log.turn("02", thread_id="young")
    log.turn("03", thread_id="old")
    assert ids("-c") == ["01", "03"]
    assert ids("-c", "--cid", "young") == ["01", "03"]


def test_current_conversation_legacy(log: LogBuilder) -> None:
    """`-c` may be a conversation of the older tables."""
    log.turn("01", thread_id="new")
    log.response("02", "a", "b", conversation_id="old")
    assert ids("-c") == ["02"]


@pytest.mark.parametrize("option", ["-c", "-r"])
def test_current_conversation_empty_log(log: LogBuilder, option: str) -> None:
    """Where nothing is logged there is no current conversation: exit code 1."""
    result = invoke(option)
    assert result.exit_code == 1
    assert "No conversations found" in result.stderr


def test_id_filters(log: LogBuilder) -> None:
    """`--id-gt` and `--id-gte` leave out what is older."""
    for name in ("01", "02", "03"):
        log.turn(name)
    assert ids("--id-gt", "02") == ["03"]
    assert ids("--id-gte", "02") == ["02", "03"]


def test_filters_combine(log: LogBuilder) -> None:
    """An entry has to pass every filter."""
    log.turn("01", "pelican", model="a", thread_id="c")
    log.turn("02", "pelican", model="b", thread_id="c")
    log.turn("03", "pelican", model="a", thread_id="d")
    assert ids("-q", "pelican", "-m", "a", "--cid", "c") == ["01"]
    assert ids("-q", "pelican", "-l", "-m", "a") == ["03", "01"]
    assert ids("-q", "pelican", "--tools") == []


def test_query_best_first(log: LogBuilder) -> None:
    """`-q` lists the best match first: a word of the prompt weighs more than one of the answer."""
    log.turn("01", "nothing", "a pelican among many other words in the answer")
    log.turn("02", "pelican", "nothing")
    log.response("03", "walrus", "nothing")
    log.response("04", "pelican pelican", "nothing")
    found = ids("-q", "pelican", "-n", "0")
    assert sorted(found) == ["01", "02", "04"]
    assert found.index("02") < found.index("01")
    assert ids("-q", "pelican", "-n", "1") == found[:1]


def test_query_latest(log: LogBuilder) -> None:
    """`-q -l` lists the newest match first, from both generations of tables."""
    for name in ("01", "02", "04"):
        log.turn(name, "pelican")
    log.turn("05", "walrus")
    log.response("03", "pelican", "x")
    assert ids("-q", "pelican", "-l", "-n", "3") == ["04", "03", "02"]
    assert ids("-q", "pelican", "-l", "-n", "0") == ["04", "03", "02", "01"]
    assert ids("-q", "pelican", "-l", "-n", "9") == ["04", "03", "02", "01"]


def test_query_latest_written_out_of_order(log: LogBuilder) -> None:
    """The newest matches are those with the greatest ids, in whatever order they were written."""
    for name in ("05", "01", "02", "04", "03"):
        log.turn(name, "pelican")
    assert ids("-q", "pelican", "-l", "-n", "2") == ["05", "04"]


@pytest.mark.parametrize("query", ["AND (", "OR", "NOT *"])
def test_query_bad_syntax(log: LogBuilder, query: str) -> None:
    """A query that FTS5 refuses is an error that quotes it and says what to do."""
    result = invoke("-q", query)
    assert result.exit_code == 1
    assert f"Invalid search query: {query!r}" in result.stderr
    assert "double quotes" in result.stderr


def test_query_empty(log: LogBuilder) -> None:
    """An empty query is none."""
    log.turn("01")
    assert ids("-q", "") == ["01"]


@pytest.fixture
def tool_log(log: LogBuilder) -> LogBuilder:
    """Two rounds of a tool, a turn after them, and a legacy row with a tool result."""
    log.message("user", "user", ("text", "go"))
    call = {"name": "shout", "arguments": {}, "tool_call_id": "1"}
    log.message("call", "assistant", ("tool_call", call), parent="user")
    result = {"name": "shout", "output": "HI", "tool_call_id": "1"}
    log.message("result", "tool", ("tool_result", result), parent="call")
    log.message("more", "user", ("text", "and this"), parent="result")
    log.message("answer", "assistant", ("text", "done"), parent="more")
    log.message("next", "user", ("text", "go on"), parent="answer")
    log.message("last", "assistant", ("text", "bye"), parent="next")
    log.turn("01", parent="user", tip="call")
    log.turn("02", parent="more", tip="answer")
    log.turn("03", parent="next", tip="last")
    log.response("04", "old", "row")
    with log.conn:
        sql = "insert into tool_results (response_id, name, output) values ('04', 'upper', 'X')"
        log.conn.execute(sql)
    return log


def test_tool_filters(tool_log: LogBuilder) -> None:
    """`-T` and `--tools` look at the results given in that very turn, not earlier ones."""
    assert ids("--tools") == ["02", "04"]
    assert ids("-T", "shout") == ["02"]
    assert ids("-T", "upper") == ["04"]
    assert ids("-T", "shout", "-T", "upper") == []


def test_row_tool_round(tool_log: LogBuilder) -> None:
    """The input of a turn is its run of tool and user messages; its output is what follows."""
    rows = {row["id"]: row for row in json.loads(output("--json", "-n", "0"))}
    assert rows["01"]["tool_calls"][0]["name"] == "shout"
    assert rows["02"]["prompt"] == "and this"
    assert rows["02"]["tool_results"][0]["output"] == "HI"
    assert rows["03"]["tool_results"] == []


@pytest.mark.parametrize("option", ["--json", "--response"])
def test_short_excludes(log: LogBuilder, option: str) -> None:
    """`--short` cannot be combined with the other forms."""
    result = invoke("--short", option)
    assert result.exit_code == 1
    assert result.stderr == f"Error: Cannot use --short and {option} together\n"


def test_nothing_found(log: LogBuilder) -> None:
    """No rows: an empty list in JSON, nothing at all otherwise."""
    assert output("--json") == "[]\n"
    for args in ([], ["-s"], ["-x"], ["--data"], ["--cid", "x", "-r"]):
        assert output(*args) == ""
    assert output("--data-array") == "[]\n"


def test_response_last_of_conversation(log: LogBuilder) -> None:
    """`-r` prints the last response of the conversation used last, or of that of `--cid`."""
    log.turn("01", "a", "first", thread_id="c")
    log.turn("02", "b", "second", thread_id="c")
    log.turn("03", "b", "x" * 150, thread_id="d")
    assert output("-r") == "x" * 150 + "\n"
    assert output("-r", "-t") == "x" * 97 + "...\n"
    assert output("-r", "--cid", "c") == "second\n"


def test_extract_first_row_with_block(log: LogBuilder) -> None:
    """`-x` and `--xl` print a block of the first listed row that has one."""
    log.turn("01", "a", "no code")
    log.turn("02", "b", FENCED)
    log.turn("03", "c", "```\nthird\n```")
    assert output("-x") == "print(1)\n\n"
    assert output("--xl") == "log(2)\n\n"
    assert output("-x", "--xl") == "log(2)\n\n"
    assert json.loads(output("-x", "--json"))[0]["id"] == "01"


def test_extract_without_block(log: LogBuilder) -> None:
    """Where no row has a block the rows are listed."""
    log.turn("01", "a", "no code")
    assert output("-x").startswith("# 2026-01-02T03:04:05    conversation: thread-01 id: 01\n")
    assert output("-x", "-s").startswith("- model: m\n")


@pytest.fixture
def data_log(log: LogBuilder) -> LogBuilder:
    """Responses that are JSON, and one that is not."""
    log.turn("01", "a", '{"items": [{"n": 1}, {"n": 2}]}', thread_id="c")
    log.turn("02", "a", "no JSON", thread_id="c")
    log.turn("03", "a", '{"items": "é", "response_id": 3}', thread_id="d")
    log.turn("04", "a", "[4]", thread_id="d")
    return log


def test_data_lines(data_log: LogBuilder) -> None:
    """`--data` prints one compact value a line, the newest first."""
    assert output("--data", "-n", "0").splitlines() == [
        "[4]",
        '{"items": "\\u00e9", "response_id": 3}',
        '{"items": [{"n": 1}, {"n": 2}]}',
    ]


def test_data_array(data_log: LogBuilder) -> None:
    """`--data-array` prints a list with one value a line, the oldest first."""
    text = output("--data-array", "--data-key", "items", "-n", "0")
    assert text == '[{"n": 1},\n {"n": 2},\n {"items": "\\u00e9", "response_id": 3},\n [4]]\n'


def test_data_ids(data_log: LogBuilder) -> None:
    """`--data-ids` adds ids to objects under names that are free; other values stay."""
    lines = [json.loads(line) for line in output("--data-ids", "-n", "0").splitlines()]
    assert lines[0]["response_id"] == "01"
    assert lines[0]["conversation_id"] == "c"
    assert lines[1] == {
        "items": "é",
        "response_id": 3,
        "response_id_": "03",
        "conversation_id": "d",
    }
    assert lines[2] == [4]


def test_data_query_order(data_log: LogBuilder) -> None:
    """With a query the data come best match first."""
    with data_log.conn:
        data_log.conn.execute("update turn_search set prompt = 'a walrus' where turn_id = '01'")
    assert output("-q", "a", "--data", "-n", "1").splitlines() == ["[4]"]


def test_short_keys(log: LogBuilder) -> None:
    """A short entry leaves out what is empty, but for the lists of fragments."""
    log.turn("01", "a\n\n b", "c", input_tokens=3, token_details='{"cached": 1}')
    assert yaml.safe_load(output("-s", "-u")) == [
        {
            "model": "m",
            "datetime": "2026-01-02T03:04:05",
            "duration_ms": None,
            "conversation": "thread-01",
            "prompt": "a b",
            "prompt_fragments": [],
            "system_fragments": [],
            "usage": {"input": 3, "output": None, "details": {"cached": 1}},
        }
    ]


def test_pipe_bytes_untouched(log: LogBuilder) -> None:
    """In a pipe the text is the model's own, control characters and NUL included."""
    log.turn("01", "a", "red \x1b[31m nul \x00 end")
    command = [sys.executable, "-m", "llm", "logs", "-r"]
    found = subprocess.run(command, capture_output=True, check=True)
    assert found.stdout == b"red \x1b[31m nul \x00 end\n"


def test_terminal_controls_visible(log: LogBuilder) -> None:
    """On a terminal control sequences are seen, not executed."""
    log.turn("01", "a", "red \x1b[31m end")
    with at_terminal("logs", "-r") as (process, terminal):
        shown = terminal.rest()
        process.wait(timeout=120)
    assert "\x1b[31m" not in shown
    assert "red \N{SYMBOL FOR ESCAPE}[31m end" in shown


def test_half_surrogate_and_bad_bytes(log: LogBuilder) -> None:
    """Half a surrogate pair in a payload, or bytes that are no UTF-8, do not stop the listing."""
    call = {"name": "t", "arguments": {"a": "\ud800"}}
    log.message("in", "user", ("text", "x"))
    log.message("out", "assistant", ("tool_call", call), parent="in")
    log.turn("01", parent="in", tip="out")
    with log.conn:
        log.conn.execute("update turns set model = cast(x'66ff' as text)")
    command = [sys.executable, "-m", "llm", "logs"]
    for args in ([], ["--json"], ["-s"]):
        found = subprocess.run([*command, *args], capture_output=True, check=True)
        assert "f\N{REPLACEMENT CHARACTER}" in found.stdout.decode() or args
    rows = json.loads(output("--json"))
    assert rows[0]["model"] == "f\N{REPLACEMENT CHARACTER}"


def test_read_only_directory(user_path: Path) -> None:
    """A database in a directory that cannot be written is read."""
    path = use_log(user_path, "v0.36")
    path.chmod(0o400)
    user_path.chmod(0o500)
    try:
        assert len(ids("-n", "0")) == 41
    finally:
        user_path.chmod(0o700)


def test_parameters_names() -> None:
    """The names of the parameters, which plugins read and filter."""
    from llm.cli import logs_list

    names = (
        "count path database model query latest like embedding_model fragments schema_input"
        " schema_multi tools any_tools data data_array data_key data_ids"
        " truncate short usage response extract extract_last current_conversation"
        " conversation_id id_gt id_gte since until utc failed json_output expand raw"
    )
    assert isinstance(logs_list, click.Command)
    assert " ".join(str(param.name) for param in logs_list.params) == names


def test_light_imports(log: LogBuilder) -> None:
    """Listing imports neither what prompts nor what plugins need."""
    log.turn("01", "a", "b")
    script = (
        "import sys\nfrom llm.cli import cli\n"
        "try:\n    cli(['logs', '-n', '3'])\nfinally:\n"
        "    heavy = {'pydantic', 'sqlite_utils', 'yaml', 'asyncio', 'openai', 'httpx2',\n"
        "        'importlib.metadata', 'condense_json', 'filelock', 'llm.registry', 'llm.models'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stderr == "[]\n"
    assert found.stdout.startswith("# 2026")
