"""Fragments on the command line, in a chat, and from Python."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import llm.cli
from llm._version import VERSION
from llm.cli import cli
from llm.content import Attachment, Fragment
from llm.errors import FragmentNotFound
from llm.logs.file.db import open_memory
from llm.text import JSONObject
from tests.helpers.content import registered, serving


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registered():
        yield


@pytest.fixture
def article(tmp_path: Path) -> Path:
    """A text file."""
    path = tmp_path / "article.txt"
    path.write_text("an article\n")
    return path


# What plugins import from there is served on first use.
cli_names: Any = llm.cli


def run(*args: str, stdin: str = "", code: int = 0) -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner(env={"LLM_MODEL": "tell"}).invoke(cli, list(args), input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def told(*args: str, stdin: str = "") -> Any:
    """What the model was given."""
    return json.loads(run(*args, stdin=stdin).stdout)


def listed(*args: str) -> list[JSONObject]:
    """The stored fragments."""
    found: list[JSONObject] = json.loads(run("fragments", "list", "--json", *args).stdout)
    return found


def test_fragments_go_before_the_prompt(article: Path) -> None:
    """Fragments, then the prompt; system fragments are stripped and go before the system."""
    given = told("-f", "article.txt", "--sf", "article.txt", "-s", "S", "x")
    assert given["messages"] == [["system", "an article\n\nS"], ["user", "an article\n\nx"]]


def test_fragment_is_stored_once_with_its_path(article: Path) -> None:
    """However often it is used, there is one, under the full path of its first use."""
    run("-f", "article.txt", "--sf", "article.txt", "x")
    run("-f", "article.txt", "y")
    [stored] = listed()
    assert stored["source"] == str(article)
    assert stored["content"] == "an article\n"
    assert stored["hash"] == Fragment("an article\n").id()


def test_fragment_from_standard_input(article: Path) -> None:
    """`-f -` takes what is piped in; nothing is left for the prompt."""
    given = told("-f", "-", "sum up", stdin="piped\n")
    assert given["messages"] == [["user", "piped\n\nsum up"]]


def test_fragment_from_url() -> None:
    """A URL is fetched in the encoding that the server names; a bad status is an error."""
    pages = {
        "/a.txt": ("text/plain; charset=latin-1", "caf\xe9".encode("latin-1")),
        "/odd": ("text/plain; charset=nonsense", b"abc"),
    }
    with serving(pages) as site:
        assert told("-f", f"{site.url}/a.txt")["messages"] == [["user", "caf\xe9"]]
        assert told("-f", f"{site.url}/odd")["messages"] == [["user", "abc"]]
        assert "Could not fetch" in run("-f", f"{site.url}/gone", "x", code=1).stderr
        agents = {agent for _, _, agent in site.seen}
    assert agents == {f"llm/{VERSION} (https://llm.datasette.io/)"}


def test_loader_gives_texts_and_attachments() -> None:
    """A loader of a plugin may give both; plain text becomes a fragment named like the request."""
    given = told("-f", "fl:cats", "-f", "fl:text", "x")
    assert given["messages"] == [["user", "text cats\njust text\nx"]]
    assert given["attachments"] == ["application/pdf"]
    assert [stored["source"] for stored in listed()] == ["fl:cats", "fl:text"]


def test_attachments_are_sent_in_their_order(tmp_path: Path) -> None:
    """First `-a`, then `--at`, then those of loaders."""
    (tmp_path / "i.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    given = told("--at", "i.png", "text/plain", "-f", "fl:x", "-a", "i.png", "x")
    assert given["attachments"] == ["image/png", "text/plain", "application/pdf"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "nosuch"], "Fragment 'nosuch' not found"),
        (["-f", "zz:x"], "Unknown fragment prefix: zz (loaders: fl, dir, cmd, similar)"),
        (["-f", "fl:bad"], "Could not load fragment fl:bad: nope"),
        (["-f", "fl:number"], "Could not load fragment fl:number: the loader returned int"),
        (["--sf", "fl:x"], "Fragment loader fl returned a disallowed attachment"),
        (["-f", "binary"], "is not text. Attach it with -a"),
        (["-f", "."], "Fragment '.' is a folder: -f dir:. reads its text files"),
        (["--sf", "a folder"], "'a folder' is a folder: -f 'dir:a folder' reads its text files"),
        (["-f", "x" * 5000], "not found"),
        (["-f", ""], "Fragment '' not found"),
    ],
)
def test_unusable_fragment_is_an_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    """What cannot be found or read is told, with exit code 1, before anything is sent."""
    (tmp_path / "binary").write_bytes(b"\xff\0b")
    (tmp_path / "a folder").mkdir()
    result = run(*arguments, "x", code=1)
    assert message in result.stderr
    assert result.stdout == ""


def test_file_goes_before_a_prefix(tmp_path: Path) -> None:
    """A file whose name looks like a loader's is the file."""
    (tmp_path / "fl:cats").write_text("the file")
    assert told("-f", "fl:cats")["messages"] == [["user", "the file"]]


def test_no_log_database_is_made_for_a_look_up(user_path: Path, article: Path) -> None:
    """With `-n` the fragment is used and nothing is left on disk."""
    run("-n", "-f", "article.txt", "x")
    assert not (user_path / "logs.db").exists()


# Commands


def test_alias_stands_for_a_fragment(article: Path) -> None:
    """An alias can be set, used, pointed elsewhere and removed."""
    assert run("fragments", "set", "art", "article.txt").output == ""
    assert told("-f", "art")["messages"] == [["user", "an article\n"]]
    assert told("-f", Fragment("an article\n").id())["messages"] == [["user", "an article\n"]]
    assert listed()[0]["aliases"] == ["art"]
    assert run("fragments", "show", "art").output == "an article\n\n"
    article.write_text("new")
    run("fragments", "set", "art", "article.txt")
    assert [stored["aliases"] for stored in listed()] == [[], ["art"]]
    run("fragments", "remove", "art")
    run("fragments", "remove", "art")
    assert listed("--aliases") == []
    assert len(listed()) == 2
    assert "Fragment 'art' not found" in run("fragments", "show", "art", code=1).stderr


def test_bad_alias_is_a_usage_error() -> None:
    """Only letters, digits, _ and - make an alias."""
    assert "must be alphanumeric" in run("fragments", "set", "a b", "x", code=2).stderr


def test_set_refuses_attachments() -> None:
    """A loader that gives an attachment cannot be stored under an alias."""
    error = run("fragments", "set", "a", "fl:x", code=1).stderr
    assert "disallowed attachment" in error


def test_list_filters_by_hash_alias_source_and_content(tmp_path: Path, article: Path) -> None:
    """`-q` is a hash, an alias or a part of source or content; several must all match."""
    (tmp_path / "other.txt").write_text("Other")
    run("fragments", "set", "art", "article.txt")
    run("fragments", "set", "oth", "other.txt")
    digest = Fragment("Other").id()
    for query in ("oth", digest, "other.t", "OTHER"):
        assert [stored["hash"] for stored in listed("-q", query)] == [digest]
    assert len(listed("-q", ".txt")) == 2
    assert listed("-q", "Other", "-q", "article") == []


def test_list_is_yaml_with_cut_content(tmp_path: Path) -> None:
    """The default list is YAML, each content cut to 100 characters."""
    (tmp_path / "long.txt").write_text("word " * 60)
    run("fragments", "set", "long", "long.txt")
    [shown] = yaml.safe_load(run("fragments").output)
    assert list(shown) == ["hash", "aliases", "datetime_utc", "source", "content"]
    assert shown["content"] == ("word " * 60)[:97] + "..."
    assert shown["aliases"] == ["long"]


def test_lists_without_a_database() -> None:
    """Where nothing was logged the list is empty, and removing does nothing."""
    assert run("fragments").output == ""
    assert listed() == []
    assert run("fragments", "remove", "x").output == ""


def test_loaders_are_shown() -> None:
    """Loaders of plugins first, then ours; an undocumented one says so."""
    shown = run("fragments", "loaders").output
    assert shown.startswith("fl:\n  Undocumented\n\ndir:\n  Text files of a folder")
    assert "\n\ncmd:\n  What a shell command prints" in shown


def test_list_shows_what_is_no_utf8(article: Path) -> None:
    """Bytes that cannot be read are replaced; every fragment is listed, once."""
    run("fragments", "set", "a", "article.txt")
    with contextlib.closing(sqlite3.connect(cli_names.logs_db_path())) as db, db:
        broken = "cast(x'66ff' as text)"
        db.execute(f"insert into fragments (hash, content) values ('ab', {broken}), ('cd', 'x')")
    found = yaml.safe_load(run("fragments").output)
    assert [fragment["content"] for fragment in found] == ["an article\n", "f\ufffd", "x"]


# Python


def test_resolve_fragments_for_plugins(article: Path) -> None:
    """`cli_names.resolve_fragments` gives fragments, and attachments where they are allowed."""
    db = open_memory()
    found = cli_names.resolve_fragments(db, ["article.txt", "fl:x"], allow_attachments=True)
    assert [type(item) for item in found] == [Fragment, Fragment, Attachment]
    assert found[0].source == str(article)
    with pytest.raises(FragmentNotFound, match="disallowed"):
        cli_names.resolve_fragments(db, ["fl:x"])
    with pytest.raises(FragmentNotFound, match="not found"):
        cli_names.resolve_fragments(db, ["nosuch"])


# Logs


def test_logs_of_a_fragment(article: Path) -> None:
    """`llm logs -f` keeps the prompts that had all of the fragments."""
    run("-f", "article.txt", "one")
    run("--sf", "fl:text", "-f", "article.txt", "two")
    run("three")

    def found(*args: str) -> list[str]:
        rows = json.loads(run("logs", "--json", "-n", "0", *args).stdout)
        return [row["prompt"].split("\n")[-1] for row in rows]

    assert found("-f", "article.txt") == ["one", "two"]
    assert found("-f", "article.txt", "-f", "fl:text") == ["two"]
    error = run("logs", "-f", "nosuch", code=1).stderr
    assert "Fragment 'nosuch' not found" in error


# Chat


def answers(result: Result) -> list[JSONObject]:
    """What the model was given in each turn of a chat."""
    lines = [line.lstrip("> ") for line in result.stdout.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_chat_fragments(article: Path) -> None:
    """`-f` goes with the first message; `!fragment` with its own, also inside `!multi`."""
    lines = "one\n!fragment article.txt\n!multi\nl1\n!fragment fl:text\nl2\n!end\nexit\n"
    given = answers(run("chat", "-f", "fl:text", stdin=lines))
    asked = [turn["messages"][-1][1] for turn in given]
    assert asked == ["just text\none", "an article\n", "just text\nl1\nl2"]


def test_chat_survives_an_unknown_fragment(article: Path) -> None:
    """An unknown fragment is told, and the chat goes on."""
    result = run("chat", stdin="!fragment nosuch\nhello\nexit\n")
    assert "Fragment 'nosuch' not found" in result.stderr
    assert [turn["messages"] for turn in answers(result)] == [[["user", "hello"]]]


def test_chat_attachments_wait_for_the_next_prompt(tmp_path: Path) -> None:
    """`!attach` takes files, quoted ones too, and sends them with the next text."""
    (tmp_path / "an image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    lines = "!attach 'an image.png'\nlook\nagain\n!attach nosuch.png\n!fragment don't\nexit\n"
    result = run("chat", stdin=lines)
    assert [turn["attachments"] for turn in answers(result)] == [["image/png"], []]
    assert "nosuch.png does not exist" in result.stderr
    assert "Fragment 'don't' not found" in result.stderr


def test_chat_goes_on_after_a_refused_attachment(tmp_path: Path) -> None:
    """What the model does not take is told at once, and is not sent with any prompt."""
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    result = run("chat", stdin="!attach film.mp4\nlook\nexit\n")
    assert [turn["attachments"] for turn in answers(result)] == [[]]
    assert result.stderr.startswith("Error: This model does not support attachments of type 'video")


def test_chat_refuses_what_can_never_be_sent(tmp_path: Path, user_path: Path) -> None:
    """A variable without a value or a file that is refused ends a chat before it begins."""
    (user_path / "templates").mkdir()
    (user_path / "templates" / "v.yaml").write_text("prompt: $v $input")
    (user_path / "templates" / "a.yaml").write_text("attachment_types: [{type: a/b, value: x}]")
    (tmp_path / "x").write_text("x")
    for name, message in (("v", "Missing variables: v"), ("a", "attachments of type 'a/b'")):
        result = run("chat", "-t", name, stdin="hello\n", code=1)
        assert message in result.stderr
        assert "messages" not in result.stdout
