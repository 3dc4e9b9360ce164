"""`llm embed-multi`: every source, beside 0.36 and by itself; what a failure leaves."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli

from .helpers.databases import plugin_of_the_data
from .helpers.release_036 import Release

SQL = "select id, title, note from blog.posts"


class Counting(llm.EmbeddingModel):
    """Remembers what it was asked; fails at texts that say how."""

    model_id = "counting"
    batch_size: int | None = 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.policies: list[llm.CallPolicy] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.meeting: threading.Barrier | None = None

    def count_tokens(self, text: str) -> int:
        """Words are tokens here."""
        return len(text.split())

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        texts = [str(item) for item in items]
        with self.lock:
            self.asked.append(texts)
            self.policies.append(self.policy)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.meeting is not None:
            self.meeting.wait(timeout=60)
        with self.lock:
            self.at_once -= 1
        for text in texts:
            if "poison" in text:
                raise ValueError("too long for the model")
            if "offline" in text:
                raise llm.ConnectionLost("the line is cut")
            yield [float(len(text)), 1.0]


@pytest.fixture(autouse=True)
def model(plugin: Any) -> Iterator[Counting]:
    """The models `counting` and `fe` are there."""
    counting = Counting()
    hook = llm.hookimpl(lambda register: register(counting), specname="register_embedding_models")
    plugin("counting", register_embedding_models=hook)
    with plugin_of_the_data():
        yield counting


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of every kind, which is the working directory."""
    folder = tmp_path / "in"
    (folder / "d" / "sub").mkdir(parents=True)
    texts = {
        "a.csv": "id,title,body\n1,One,first thing\n2,Two,\n3,Three,third é\n",
        "a.tsv": "id\ttitle\n1\tOne\n2\tTwo\n",
        "semi.csv": "id;title\n1;a,b\n",
        "quoted.csv": 'id,"a;b;c"\n1,"x\ny"\n',
        "bom.csv": "\ufeffid,title\n1,One\n",
        "short.csv": "id,a,b\n1,x\n",
        "a.json": '[{"id": 1, "t": "one", "n": null}, {"id": "b", "t": "two", "n": "x"}]',
        "object.json": '{\n"id": "x", "t": "xx"\n}',
        "a.jsonl": '{"id": "x", "t": "xx"}\n\n{"id": "y", "t": "yy"}\n',
        "numbers.json": '[{"id": 1, "t": 5, "f": 1.5, "b": true, "l": [1, "é"]}]',
        "empty.csv": "",
        "bad.json": '[{"id": ',
        "wide.csv": "id,t\n1,a\n2,b,c\n3,d\n",
        "noid.csv": "id,t\n,a\n",
        "list.json": "[1]",
        "d/a.md": "A",
        "d/sub/b.md": "B",
        "d/note.txt": "N",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    (folder / "d" / "latin.md").write_bytes("é".encode("latin-1"))
    (folder / "bytes.csv").write_bytes(b"id,t\n1,\xff\n")
    with closing(sqlite3.connect(folder / "blog.db")) as conn:
        conn.execute("create table posts(id integer, title text, note text)")
        conn.executemany("insert into posts values (?, ?, ?)", [(1, "a", None), (2, "b", "c")])
        conn.commit()
    monkeypatch.chdir(folder)
    return folder


def invoke(*arguments: str, **keywords: Any) -> Result:
    """What `llm embed-multi` gives."""
    return CliRunner().invoke(cli, ["embed-multi", *arguments], **keywords)


def ok(*arguments: str, **keywords: Any) -> Result:
    """What `llm embed-multi` gives, which succeeds."""
    result = invoke(*arguments, **keywords)
    assert result.exit_code == 0, result.output
    return result


def rows(path: Path, name: str = "c") -> list[tuple[Any, ...]]:
    """Id, contents, hash, metadata and vector of every entry of a collection."""
    sql = """
        select e.id, content, content_blob, content_hash, metadata, embedding from embeddings e
        join collections c on c.id = collection_id where name = ? order by e.id
    """
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(sql, [name]).fetchall()


def contents(user_path: Path, name: str = "c") -> dict[str, Any]:
    """What is stored under each id."""
    return {
        row[0]: row[1] if row[2] is None else row[2]
        for row in rows(user_path / "embeddings.db", name)
    }


SAME = [
    ["a.csv"],
    ["a.csv", "--prefix", "p-", "--prepend", "pre: ", "--store"],
    ["a.tsv", "--store"],
    ["a.csv", "--format", "tsv", "--store"],
    ["a.json", "--store"],
    ["object.json", "--store"],
    ["semi.csv", "--store"],
    ["-", "--format", "nl", "--store"],
    ["empty.csv"],
    ["--sql", "select 1, 'a', null, 'b'", "--store"],
    ["--attach", "blog", "blog.db", "--sql", SQL, "--store"],
    ["--files", "d", "**/*.md", "--store"],
    ["--files", "d", "*.md", "--files", "d/sub", "*.md", "--prefix", "x/", "--store"],
    ["--files", "d", "*.md", "--binary", "--store"],
    ["--files", "d", "*.md", "--encoding", "utf-8", "--store"],
    ["a.csv", "--batch-size", "1", "--store"],
    ["a.csv", "--attach", "blog", "blog.db"],
    ["--files", "d", "*.md", "--binary", "--encoding", "utf-8"],
    ["a.csv", "--binary"],
    ["a.csv", "--files", "d", "*.md"],
    ["--files", "d", "*.md", "--sql", "select 1, 'a'"],
    ["--files", "d", "*.md", "--format", "csv"],
    ["--files", "nothing", "*.md"],
    ["nothing.csv"],
    ["a.csv", "--format", "xml"],
    [],
]


def test_embed_multi_does_what_036_does(
    release: Release, user_path: Path, tmp_path: Path, inputs: Path
) -> None:
    """Every source leaves the same rows, with the same exit code."""
    release.user_path = user_path
    stdin = '{"id": 1, "t": "a"}\n{"id": 2, "t": "b"}\n'
    for number, arguments in enumerate(SAME):
        given = [str(inputs / word) if (inputs / word).exists() else word for word in arguments]
        found = []
        for name, run in (("theirs", release.invoke), ("ours", None)):
            path = tmp_path / f"{name}-{number}.db"
            command = ["c", *given, "-m", "fe", "-d", str(path)]
            result = (
                release.invoke("embed-multi", *command, stdin=stdin)
                if run
                else invoke(*command, input=stdin)
            )
            found.append((result.exit_code, rows(path)))
        assert found[1] == found[0], arguments


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        (["a.jsonl"], {"x": "xx", "y": "yy"}),
        (["numbers.json"], {"1": '5 1.5 true [1, "é"]'}),
        (["bom.csv"], {"1": "One"}),
        (["quoted.csv"], {"1": "x\ny"}),
        (["short.csv"], {"1": "x "}),
        (["-"], {"x": "xx", "y": "yy"}),
        (["--sql", "select 1, 2, x'c3a9'"], {"1": "2 é"}),
        (
            ["--files", "d", "latin.md", "--encoding", "latin-1", "--encoding", "utf-16"],
            {"latin.md": "é"},
        ),
        (["--files", "d", "**"], {}),
        (
            ["a.csv", "--batch-size", "0"],
            {"1": "One first thing", "2": "Two ", "3": "Three third é"},
        ),
    ],
)
def test_embed_multi_reads_what_036_refuses(
    user_path: Path, arguments: list[str], stored: dict[str, str]
) -> None:
    """JSON lines are known by themselves, values need not be text, the first encoding counts."""
    if sys.version_info >= (3, 13) and "**" in arguments:
        stored = {"a.md": "A", "sub/b.md": "B", "note.txt": "N", "latin.md": "é"}
    text = '{"id": "x", "t": "xx"}\n{"id": "y", "t": "yy"}'
    ok("c", *arguments, "-m", "fe", "--store", input=text)
    assert contents(user_path) == stored


@pytest.mark.parametrize("options", [[], ["--binary"]])
def test_links_out_of_the_directory_are_passed_over(
    user_path: Path, tmp_path: Path, options: list[str]
) -> None:
    """A cloned repository cannot have any file embedded that lies elsewhere; each link is named."""
    folder = tmp_path / "cloned"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "own.txt").write_text("own")
    (folder / "sub" / "link.txt").symlink_to("../../secret.txt")
    (folder / "out").symlink_to(tmp_path)
    (folder / "again.txt").symlink_to("own.txt")
    given = ("c", "--files", str(folder), "**/*.txt", "--files", str(folder), "*/secret.txt")
    result = ok(*given, "-m", "fe", "--store", *options)
    assert set(contents(user_path)) == {"own.txt", "again.txt"}
    assert result.stderr.count(f"is a link that leads out of {folder}") == 2
    assert "secret" not in str(contents(user_path))


def test_embed_multi_of_a_query_over_the_embeddings(user_path: Path) -> None:
    """A query may read the collections themselves."""
    ok("c", "a.csv", "-m", "fe", "--store")
    ok("copy", "--sql", "select id, content from embeddings where id > 1", "-m", "fe", "--store")
    assert contents(user_path, "copy") == {"2": "Two ", "3": "Three third é"}


def test_embed_multi_query_cannot_write(user_path: Path) -> None:
    """A query reads, whatever it says."""
    result = invoke(
        "c", "--attach", "blog", "blog.db", "--sql", "delete from blog.posts", "-m", "fe"
    )
    assert result.exit_code == 1
    assert "readonly" in result.stderr or "read-only" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["bad.json"], 1, ["bad.json is not valid JSON", "--format"]),
        (["bytes.csv"], 1, ["bytes.csv is not UTF-8 text"]),
        (["wide.csv"], 1, ["line 3: it has 3 cells, the header has 2"]),
        (["noid.csv"], 1, ["line 2: it has no id"]),
        (["list.json"], 1, ["item 1: it is no JSON object"]),
        (["--sql", "selec"], 1, ["The query cannot be run", "syntax error"]),
        (["--sql", "select id from posts"], 1, ["no such table: posts"]),
        (["--attach", "b", "a.csv", "--sql", "select 1"], 1, ["The query cannot be run"]),
        (["--sql", "select 1", "a.csv"], 2, ["--sql with an input path"]),
        (["--files", "d", "*.md", "--encoding", "nope"], 2, ["Unknown encoding: nope"]),
        (["--files", "d", "/abs"], 2, ["Invalid pattern"]),
        (["--files", "nothing", "*"], 2, ["Invalid directory: nothing"]),
        (["a.csv", "--prune"], 2, ["--prune needs --prefix"]),
        (["a.csv", "--concurrency", "0"], 2, ["--concurrency"]),
        (["a.csv", "-m", "nope"], 1, ["Unknown model: nope"]),
    ],
)
def test_embed_multi_bad_input_is_one_line(
    arguments: list[str], code: int, words: list[str]
) -> None:
    """What cannot be read is said in a line that names the place."""
    result = invoke("c", "-m", "fe", *arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert all(word in result.stderr for word in words), result.stderr


def test_embed_multi_without_a_model() -> None:
    """Without a model there is nothing to do."""
    result = invoke("c", "a.csv")
    assert result.exit_code == 1
    assert "You need to specify an embedding model" in result.stderr


def test_embed_multi_stops_at_a_bad_row_and_keeps_those_before(user_path: Path) -> None:
    """What was read before the bad row is stored, what comes after is not."""
    assert invoke("c", "wide.csv", "-m", "counting", "--store").exit_code == 1
    assert contents(user_path) == {"1": "a"}


def test_embed_multi_skips_bad_rows_and_reports_them(user_path: Path, model: Counting) -> None:
    """With `--on-error skip` all others are stored; the bad ones are named, and the code is 1."""
    texts = ["id,t", "1,a", "2,poison", "3,c", "4,d,e", "5,f"]
    result = invoke(
        "c", "-", "-m", "counting", "--store", "--on-error", "skip", input="\n".join(texts)
    )
    assert result.exit_code == 1
    assert contents(user_path) == {"1": "a", "3": "c", "5": "f"}
    assert "line 3: too long for the model\n" in result.stderr
    assert "line 5: it has 3 cells" in result.stderr
    assert "2 of 5 rows were not embedded" in result.stderr


def test_embed_multi_does_not_skip_what_is_not_about_the_row(model: Counting) -> None:
    """A line that is cut would fail every row: the command ends at once."""
    result = invoke(
        "c", "-", "-m", "counting", "--on-error", "skip", input="id,t\n1,offline\n2,x\n3,y\n"
    )
    assert (result.exit_code, "the line is cut" in result.output) == (1, True)
    assert model.asked == [["offline", "x"]]


def test_embed_multi_again_asks_for_nothing(user_path: Path, model: Counting) -> None:
    """What is there is skipped before the model is asked; only what is new is embedded."""
    ok("c", "a.csv", "-m", "counting")
    model.asked.clear()
    text = Path("a.csv").read_text(encoding="utf-8") + "4,Four,new\n"
    ok("c", "-", input=text)
    assert model.asked == [["Four new"]]
    assert len(rows(user_path / "embeddings.db")) == 4


def test_embed_multi_goes_on_after_a_kill(
    user_path: Path, tmp_path: Path, install_plugin: Any
) -> None:
    """A process that is killed has stored all batches but the one under way."""
    install_plugin(
        "llm-slow",
        "import llm, sys, time\n"
        "class Slow(llm.EmbeddingModel):\n"
        "    model_id, batch_size = 'slow', 10\n"
        "    def embed_batch(self, items):\n"
        "        items = list(items)\n"
        "        if 'text 50' in items:\n"
        "            print('ready', file=sys.stderr, flush=True)\n"
        "            time.sleep(600)\n"
        "        return iter([[1.0, float(len(item))] for item in items])\n"
        "@llm.hookimpl\n"
        "def register_embedding_models(register):\n"
        "    register(Slow())\n",
    )
    source = tmp_path / "many.csv"
    source.write_text("id,t\n" + "".join(f"{n},text {n}\n" for n in range(100)))
    command = [sys.executable, "-m", "llm", "embed-multi", "c", str(source), "-m", "slow"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert len(rows(user_path / "embeddings.db")) == 50


def test_embed_multi_several_requests_at_once(user_path: Path, model: Counting) -> None:
    """With `--concurrency 3` three requests are under way together, and all rows are stored."""
    model.meeting = threading.Barrier(3)
    text = "id,t\n" + "".join(f"{n},text {n}\n" for n in range(12))
    ok("c", "-", "-m", "counting", "--concurrency", "3", "--store", input=text)
    assert model.most_at_once == 3
    assert contents(user_path) == {str(n): f"text {n}" for n in range(12)}


def test_embed_multi_failure_among_several_requests(user_path: Path, model: Counting) -> None:
    """A failure of one of them is told as it is without."""
    text = "id,t\n1,a\n2,b\n3,poison\n4,d\n5,e\n6,f\n"
    arguments = ["c", "-", "-m", "counting", "--concurrency", "2", "--store"]
    result = invoke(*arguments, "--on-error", "skip", input=text)
    assert (result.exit_code, list(contents(user_path))) == (1, ["1", "2", "4", "5", "6"])
    assert "line 4: too long for the model" in result.stderr


def test_embed_multi_hands_the_limits_to_the_model(model: Counting) -> None:
    """`--retries` and `--timeout` are the policy of the model."""
    ok("c", "a.csv", "-m", "counting", "--retries", "7", "--timeout", "3")
    assert {(policy.retries, policy.timeout_s) for policy in model.policies} == {(7, 3.0)}


def test_embed_multi_dry_run_changes_nothing(user_path: Path, model: Counting) -> None:
    """It counts rows, characters and tokens of what is new, and asks nobody."""
    result = ok("c", "a.csv", "-m", "counting", "--dry-run")
    assert result.stdout == "3 rows, 3 to embed, 32 characters, 7 tokens\n"
    assert not (user_path / "embeddings.db").exists()
    ok("c", "a.csv", "-m", "counting", "--prefix", "x/")
    model.asked.clear()
    text = "id,t,u\n1,One,first thing\n9,New,one\n9,wide,a,b\n"
    result = ok("c", "-", "--dry-run", "--prefix", "x/", "--prune", input=text)
    expected = (
        "3 rows, 1 to embed, 7 characters, 2 tokens, 1 that cannot be embedded, 2 to remove\n"
    )
    assert result.stdout == expected
    assert "line 4: it has 4 cells" in result.stderr
    assert (model.asked, len(rows(user_path / "embeddings.db"))) == ([], 3)


def test_embed_multi_prune_removes_what_has_left(user_path: Path) -> None:
    """Ids under the prefix that the input does not have go; others stay, also of the other case."""
    for prefix in ("d/", "D/", "e/"):
        ok("c", "a.csv", "-m", "fe", "--prefix", prefix)
    result = ok("c", "-", "--prefix", "d/", "--prune", "--yes", input="id,t\n1,x\n")
    assert "Removed 2 entries" in result.stderr
    ids = [row[0] for row in rows(user_path / "embeddings.db")]
    assert ids == ["D/1", "D/2", "D/3", "d/1", "e/1", "e/2", "e/3"]


def test_embed_multi_prune_asks(user_path: Path) -> None:
    """Where nobody can be asked it is an error, and nothing is removed."""
    ok("c", "a.csv", "-m", "fe", "--prefix", "d/")
    result = invoke("c", "-", "--prefix", "d/", "--prune", input="id,t\n1,x\n")
    assert result.exit_code == 1
    assert "Remove 2 entries from c? Nobody can be asked: give --yes" in result.stderr
    assert len(rows(user_path / "embeddings.db")) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-", "--on-error", "skip"], "id,t\n1,x\n2,y,z\n"),
        (["-"], "id,t\n1,x\n2,y,z\n"),
        (["--files", "d", "*.md", "--encoding", "utf-8"], ""),
    ],
)
def test_embed_multi_prunes_nothing_after_a_fault(
    user_path: Path, arguments: list[str], text: str
) -> None:
    """What could not be read may only seem to have left."""
    ok("c", "a.csv", "-m", "fe", "--prefix", "d/")
    before = {row[0] for row in rows(user_path / "embeddings.db")}
    invoke("c", *arguments, "--prefix", "d/", "--prune", "--yes", input=text)
    assert before <= {row[0] for row in rows(user_path / "embeddings.db")}


def test_embed_multi_says_that_it_began() -> None:
    """In a pipe there is one line, as 0.36 has it."""
    assert ok("c", "a.csv", "-m", "fe").stdout == "Embedding\n"


def test_two_writers_lose_nothing(user_path: Path, install_plugin: Any, tmp_path: Path) -> None:
    """Two processes fill one collection while a third reads it."""
    install_plugin(
        "llm-quick",
        "import llm\n"
        "class Quick(llm.EmbeddingModel):\n"
        "    model_id, batch_size = 'quick', 5\n"
        "    def embed_batch(self, items):\n"
        "        return iter([[1.0, float(len(item))] for item in items])\n"
        "@llm.hookimpl\n"
        "def register_embedding_models(register):\n"
        "    register(Quick())\n",
    )
    command = [sys.executable, "-m", "llm"]
    writers = []
    for name in ("a", "b"):
        source = tmp_path / f"{name}.csv"
        source.write_text("id,t\n" + "".join(f"{name}{n},{name} {n}\n" for n in range(300)))
        writers.append(
            subprocess.Popen(
                [*command, "embed-multi", "c", str(source), "-m", "quick"],
                stdout=subprocess.DEVNULL,
            )
        )
    codes = set()
    while any(writer.poll() is None for writer in writers):
        read = subprocess.run([*command, "similar", "c", "-c", "x"], capture_output=True, text=True)
        codes.add((read.returncode, read.stderr[:27]))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert codes <= {(0, ""), (1, "Error: Collection does not ")}
    assert len(rows(user_path / "embeddings.db")) == 600
    assert (
        json.loads(CliRunner().invoke(cli, ["collections", "--json"]).output)[0]["model"] == "quick"
    )
