"""Dictionaries, journals, rows and listings are, byte for byte, what the golden files say.

`LLM_GOLDEN=write pytest tests/test_golden.py` writes the files anew; see the README beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import llm
from llm.text import JSONObject

from .helpers import golden_plugin as plugin
from .helpers.golden import (
    DATA,
    FOLDER,
    Place,
    check,
    pretty,
    registered,
    rows_of,
    sections,
    tables_of,
    watching,
)
from .helpers.openai_server import (
    OpenAIServer,
    Reply,
    chunk,
    completion,
    json_reply,
    sse_reply,
    text_stream,
)

DATABASES = (
    "logs-v0.13",
    "logs-v0.19",
    "logs-v0.26",
    "logs-v0.26-continued-by-0.36",
    "logs-v0.36",
    "logs-v0.36-unusual",
)
GOLDEN: dict[str, Callable[[Place], str]] = {}
# Far behind every id that is made today, and far before.
LATE, EARLY = "02zzzzzzzzzzzzzzzzzzzzzzz1", "00000000000000000000000001"


def golden(*names: str) -> Callable[[Any], Any]:
    """Make a function the source of golden files; of several it is given the name, too."""

    def add(function: Any) -> Any:
        for name in names:
            GOLDEN[name] = function if len(names) == 1 else by_name(function, name)
        return function

    def by_name(function: Any, name: str) -> Callable[[Place], str]:
        return lambda place: str(function(place, name))

    return add


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A user directory with the plugin, in UTC, and a current folder with some files."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "100")
    if hasattr(time, "tzset"):
        time.tzset()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "notes.txt").write_text("Notes that are long enough to be a fragment.\n")
    (work / "rules.txt").write_text("Rules of the house.\n")
    (work / "dot.png").write_bytes(plugin.PNG)
    with registered():
        yield Place(tmp_path)
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


# Dictionaries


def attachments() -> list[llm.Attachment]:
    """One of each kind."""
    return [
        llm.Attachment(type="image/png", content=plugin.PNG),
        llm.Attachment(type="image/png", path="dot.png"),
        llm.Attachment(type="image/png", url="https://example.com/dot.png"),
    ]


def all_tools() -> list[Any]:
    """A function, a toolbox, tools of a plugin, and one that the provider runs."""
    names = llm.get_tools()

    def local(text: str) -> str:
        """A function of the script."""
        return text

    registered_ones = [names[name] for name in ("add", "picture", "fails")]
    return [local, plugin.Box("shelf"), *registered_ones, plugin.Search(2)]


def prompts() -> dict[str, dict[str, Any]]:
    """The arguments of prompts, by what is special of them."""
    return {
        "plain": {"prompt": "plain"},
        "system and options": {
            "prompt": "plain",
            "system": "Be brief.",
            "temperature": 0.5,
            "label": "blue",
        },
        "fragments": {
            "prompt": "plain",
            "fragments": [llm.Fragment("A fragment", "notes.txt"), "A bare fragment"],
            "system": "Be kind.",
            "system_fragments": [llm.Fragment("A rule", "rules.txt")],
        },
        "attachments": {"prompt": "plain", "attachments": attachments()},
        "schema": {"prompt": "dog", "schema": llm.schema_dsl("name, age int")},
        "pydantic schema": {"prompt": "dog", "schema": plugin.Dog},
        "tools": {"prompt": "tools", "tools": all_tools()},
        "tool results": {
            "prompt": "plain",
            "tools": all_tools(),
            "tool_results": [
                llm.ToolResult("add", "5", tool_call_id="call_1"),
                llm.ToolResult(
                    "picture",
                    "one picture",
                    attachments=[llm.Attachment(type="image/png", content=plugin.PNG)],
                    tool_call_id="call_3",
                ),
                llm.ToolResult("fails", "no", tool_call_id="c4", exception=ValueError("no luck")),
            ],
        },
        "reasoning": {"prompt": "think"},
        "hidden reasoning": {"prompt": "think", "hide_reasoning": True},
        "provider": {"prompt": "provider", "tools": [plugin.Search()]},
        "messages": {
            "messages": [
                llm.system("Be brief."),
                llm.user("Hi", llm.Attachment(type="image/png", content=plugin.PNG)),
                llm.assistant("Hello", provider_metadata={"scribe": {"id": "m1"}}),
                llm.user("plain"),
            ]
        },
    }


def told(shape: Any, again: Any) -> dict[str, Any]:
    """A dictionary, and what became of it on its way there and back."""
    return {"dict": shape, "again": "the same" if again == shape else again}


def broken(response: Any) -> None:
    """Read a response that breaks off."""
    with pytest.raises((ValueError, llm.ModelError)):
        response.text()


@golden("dicts-response.json")
def response_dicts(place: Place) -> str:
    found = {}
    model = llm.get_model("scribe")
    for name, arguments in prompts().items():
        response = model.prompt(**arguments)
        response.text()
        shape = response.to_dict()
        found[name] = told(shape, llm.Response.from_dict(shape).to_dict())
    response = model.prompt("plain").reply("think")
    response.text()
    found["reply"] = told(response.to_dict(), llm.Response.from_dict(response.to_dict()).to_dict())
    return place.normal(pretty(found))


@golden("dicts-response-async.json")
def async_response_dicts(place: Place) -> str:
    model = llm.get_async_model("scribe")

    async def all_of_them() -> dict[str, Any]:
        found = {}
        for name, arguments in prompts().items():
            response = model.prompt(**arguments)
            await response.text()
            shape = response.to_dict()
            found[name] = told(shape, llm.AsyncResponse.from_dict(shape).to_dict())
        return found

    return place.normal(pretty(asyncio.run(all_of_them())))


def conversation_dict(conversation: Any) -> dict[str, Any]:
    """A conversation and its way there and back."""
    shape = conversation.to_dict()
    json.dumps(shape)
    return told(shape, type(conversation).from_dict(shape).to_dict())


@golden("dicts-conversation.json")
def conversation_dicts(place: Place) -> str:
    model = llm.get_model("scribe")
    found = {"empty": conversation_dict(model.conversation())}
    everything = model.conversation(tools=all_tools(), chain_limit=7)
    everything.name = "Everything"
    for name, arguments in prompts().items():
        if name != "messages":
            everything.prompt(**arguments).text()
    found["everything"] = conversation_dict(everything)
    forked = model.conversation()
    first = forked.prompt("plain")
    first.text()
    forked.prompt("think").text()
    forked.prompt(messages=[llm.user("Another beginning"), llm.user("plain")]).text()
    forked.prompt(messages=[*first.prompt.messages, *first.messages(), llm.user("dog")]).text()
    found["forked"] = conversation_dict(forked)
    loaded = model.conversation()
    loaded.loaded_messages = [llm.user("Hi"), llm.assistant("Hello")]
    loaded.loaded_tools = ["add", "Box"]
    found["loaded messages"] = conversation_dict(loaded)
    loaded.prompt("plain").text()
    found["loaded messages, gone on"] = conversation_dict(loaded)
    return place.normal(pretty(found))


@golden("dicts-conversation-async.json")
def async_conversation_dicts(place: Place) -> str:
    async def one() -> dict[str, Any]:
        conversation = llm.get_async_model("scribe").conversation(tools=all_tools())
        for name in ("system and options", "attachments", "schema", "reasoning"):
            await conversation.prompt(**prompts()[name]).text()
        sync = conversation.to_sync_conversation()
        return {
            "async": conversation_dict(conversation),
            "as sync": "the same" if sync.to_dict() == conversation.to_dict() else sync.to_dict(),
        }

    return place.normal(pretty(asyncio.run(one())))


@golden("dicts-chain.json")
def chain_dicts(place: Place) -> str:
    def both(chain: Any) -> dict[str, Any]:
        shape = chain.to_dict()
        return told(shape, type(chain).from_dict(shape).to_dict())

    found = {}
    model = llm.get_model("scribe")
    for words in ("tools", "more tools"):
        conversation = model.conversation(tools=all_tools())
        conversation.prompt("plain").text()
        chain = conversation.chain(words, system="Be brief.", options={"label": "blue"})
        chain.text()
        found[words] = both(chain)
        found[f"{words}, the conversation"] = conversation_dict(conversation)

    async def one() -> Any:
        chain = llm.get_async_model("scribe").chain("tools", tools=all_tools())
        await chain.text()
        return both(chain)

    found["async"] = asyncio.run(one())
    return place.normal(pretty(found))


@golden("dicts-from-log.json")
def dicts_from_log(place: Place) -> str:
    log_everything(place)
    found: dict[str, JSONObject] = {}
    names = [str(row.name) for row in llm.Database(place.user / "logs.db").conversations()]
    for name in sorted(names):
        conversation = llm.Database(place.user / "logs.db").conversation(name)
        before = conversation_dict(conversation)
        assert conversation.responses is not None
        found[name] = {"unread": before, "read": conversation_dict(conversation)}
        if found[name]["unread"] == found[name]["read"]:
            found[name]["read"] = "the same"
        found[name]["responses"] = [one.to_dict() for one in conversation.responses]
    return place.normal(pretty(found))


# What is logged

TOOLS = ("-T", "add", "-T", 'Box("shelf")', "-T", "picture", "-T", "fails")


def commands() -> dict[str, tuple[str, ...]]:
    """Commands whose answers are kept, by what is special of them."""
    return {
        "plain": ("plain",),
        "options": ("plain", "-s", "Be brief.", "-o", "temperature", "0.5", "-o", "label", "blue"),
        "fragments": ("plain", "-f", "notes.txt", "-f", "two:x", "--sf", "rules.txt"),
        "attachments": ("plain", "-a", "dot.png", "--at", "https://example.com/a.png", "image/png"),
        "schema": ("dog", "--schema", "name, age int"),
        "reasoning": ("think",),
        "hidden reasoning": ("think", "-R"),
        "provider": ("provider", "-T", "Search(2)"),
        "tools": ("tools", *TOOLS),
        "more tools": ("more tools", *TOOLS, "--async"),
        "named": ("plain", "--name", "A title of its own"),
    }


FAILING = ("break", "refuse", "interrupt")


def log_everything(place: Place, *more: str) -> None:
    """Log a turn of each kind, and go on with some of them."""
    for name, args in commands().items():
        place.run("-m", "scribe", *args, *(() if "--name" in args else ("--name", name)), *more)
    for words in FAILING:
        place.fail("-m", "scribe", words, "--name", words, *more)
    for name in ("plain", "fragments", "tools"):
        place.run("--cid", name, "plain", *more)
    place.run("-m", "other", "--cid", "options", "think", *more)
    place.run("-c", "Once more", *more)


@golden("rows-logged.jsonl")
def logged_rows(place: Place) -> str:
    log_everything(place)
    return place.rows()


@golden("rows-fork.jsonl")
def rows_of_fork(place: Place) -> str:
    place.run("-m", "scribe", "plain", "--name", "first")
    place.run("-c", "think")
    place.run("conversations", "fork", "first", "--at", "1", "--name", "fork")
    place.run("--cid", "fork", "plain")
    place.run("logs", "redact", "three", "-y")
    return place.rows()


@golden("rows-imported.jsonl")
def imported_rows(place: Place) -> str:
    log_everything(place)
    place.run("fragments", "set", "rule", "rules.txt")
    text = place.run("conversations", "export", "--all")
    other = Place(place.folder / "other", near=place)
    other.run("conversations", "import", stdin=text)
    rows = other.rows()
    for kind in ("openai", "markdown"):
        form = place.run("conversations", "export", "tools", "-f", kind)
        third = Place(place.folder / kind, near=place)
        third.run("conversations", "import", "-f", kind, "-m", "scribe", stdin=form)
        rows += third.rows()
    return rows


@golden("rows-named-database.jsonl")
def rows_of_python(place: Place) -> str:
    with llm.Database(place.user / "logs.db") as database:
        conversation = llm.get_model("scribe").conversation(tools=all_tools(), log=database)
        conversation.name = "From Python"
        for name, arguments in prompts().items():
            if name not in ("tool results", "provider", "tools"):
                conversation.prompt(**arguments).text()
        conversation.chain("tools").text()
        found = database.conversation()
        found.prompt("plain").text()
    return place.rows()


def digest(values: Any) -> str:
    """A fingerprint of what is too long to be written down."""
    return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()[:32]


@golden("rows-migrated.json")
def migrated_rows(place: Place) -> str:
    found: dict[str, Any] = {}
    for name in DATABASES:
        shutil.copyfile(DATA / f"{name}.db", place.user / "logs.db")
        place.run("-m", "scribe", "plain", "--name", "new")
        with contextlib.closing(sqlite3.connect(place.user / "logs.db")) as conn:
            found[name] = {}
            for table in tables_of(conn):
                text = place.normal(json.dumps(list(rows_of(conn, table)), ensure_ascii=False))
                count = conn.execute(f"select count(*) from [{table}]").fetchone()[0]
                found[name][table] = f"{count} rows {hashlib.sha256(text.encode()).hexdigest()}"
        for path in place.user.glob("logs.db*"):
            path.unlink()
        place.ids.clear()
    return pretty(found)


@golden("schema.md")
def schema(place: Place) -> str:
    place.run("-m", "scribe", "plain")
    with contextlib.closing(sqlite3.connect(place.user / "logs.db")) as conn:
        sql = "select name, sql from sqlite_master where sql is not null order by type, name"
        parts = [
            f"## {name}\n\n`````\n{text}\n`````\n"
            for name, text in conn.execute(sql)
            if not re.search(r"_fts_\w+$", name)
        ]
        return sections([*parts, f"user_version {conn.execute('pragma user_version').fetchone()}"])


# Journals

JOURNALED = {
    **commands(),
    "break": ("break",),
    "interrupt": ("interrupt",),
}


@contextlib.contextmanager
def unusable_log(place: Place, *, is_usable: bool = False) -> Iterator[None]:
    """The log `broken.db` takes nothing while the block runs, so that the journals stay.

    Args:
        place: Where it lies; afterwards it is as before.
        is_usable: It takes everything, which is forgotten afterwards.
    """
    path = place.user / "broken.db"
    kept = path.with_suffix(".kept")
    if path.exists():
        shutil.copyfile(path, kept)
    if not is_usable:
        path.write_text("This is no database. " * 100)
    yield
    for left in place.user.glob("broken.db*"):
        left.unlink()
    if kept.exists():
        kept.rename(path)


def snapshots(place: Place, name: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The journals while a command runs, each with how far it was, and when it is over."""
    taken: list[tuple[str, dict[str, bytes]]] = []

    def take(label: str) -> None:
        found = sorted((place.user / "inflight").glob("*.jsonl"))
        taken.append((label, {path.name: path.read_bytes() for path in found}))

    # Fragments are looked up in the log, which has to be one.
    with unusable_log(place, is_usable=name == "fragments"), watching(take):
        database = str(place.user / "broken.db")
        place.invoke("-m", "scribe", *JOURNALED[name], "--name", name, "-d", database)
        if name != "fragments":
            take("at the end")
    assert all(files for _, files in taken), f"{name}: {taken}"
    shutil.rmtree(place.user / "inflight")
    return iter(taken)


@golden("journals.md")
def journals(place: Place) -> str:
    parts = []
    for name in JOURNALED:
        parts.append(f"# {name}\n")
        for label, files in snapshots(place, name):
            texts = [f"`````\n{content.decode()}`````\n" for content in files.values()]
            parts.append(f"## {label}\n\n" + "\n".join(texts))
    return place.normal(sections(parts))


@golden("journal-continued.md")
def journal_of_continued(place: Place) -> str:
    place.run("-m", "scribe", "plain", "--name", "first")
    parts = []

    def take(label: str) -> None:
        parts.append(f"## {label}\n\n{place.journals()}")

    with watching(take):
        place.run("-c", "think")
        place.run("-c", "tools", *TOOLS)
        place.fail("-c", "break")
    return place.normal(sections(parts))


@golden("journal-long.json")
def journal_of_long_texts(place: Place) -> str:
    text = "0123456789abcde\n" * (1 << 16) + "The end."
    (place.folder / "work" / "long.txt").write_text(text)
    found: list[Any] = []

    def take(label: str) -> None:
        (path,) = (place.user / "inflight").glob("*.jsonl")
        for line in path.read_text().splitlines():
            value = json.loads(line)
            if isinstance(value, dict) and "fragments" in value:
                value["fragments"] = [[len(one[0]), one[1]] for one in value["fragments"]]
                value["title"] = len(value["title"])
            cut = isinstance(value, list)
            found.append([*value[:2], len(value[2]), value[2][-20:]] if cut else value)

    with watching(take):
        place.run("-m", "scribe", "long", "-f", "long.txt")
    return place.normal(pretty(found))


@golden("journal-again.md")
def journal_of_second_try(place: Place) -> str:
    parts = []
    place.run("-m", "scribe", "plain")
    for _ in range(3):
        place.run("-c", "plain")

    def take(label: str) -> None:
        parts.append(f"## {label}\n\n{place.journals()}")

    with watching(take):
        place.run("-c", "too long", "--truncate", "oldest")
    return place.normal(sections(parts))


@golden("journal-key.md")
def journal_of_key(place: Place) -> str:
    database = str(place.user / "broken.db")
    with OpenAIServer() as server, unusable_log(place):
        add_model(place, server)
        server.add(text_stream("Your key is sk-key-of", "-the-golden-", "files", ", sir."))
        llm_process(place, "-m", "loop", "hi", "-d", database)
    return place.normal(place.journals())


@golden("rows-recovered-end.jsonl", "rows-recovered-middle.jsonl", "rows-recovered-tool.jsonl")
def recovered_rows(place: Place, name: str) -> str:
    database = str(place.user / "broken.db")
    place.run("-m", "scribe", "plain", "-d", database)
    for special in JOURNALED:
        for label, files in snapshots(place, special):
            is_end = label == "at the end"
            is_tool = label.startswith("in Box_put")
            if {"end": is_end, "tool": is_tool}.get(name[15:-6], not (is_end or is_tool)):
                folder = place.user / "inflight"
                folder.mkdir()
                for file, content in files.items():
                    (folder / file).write_bytes(content)
                place.run("logs", "list", "-n", "0", "-d", database)
                folder.rmdir()
    return place.rows("broken.db")


@golden("journal-killed.md")
def journal_of_killed(place: Place) -> str:
    place.run("-m", "scribe", "plain", "--name", "first")
    result = llm_process(place, "-m", "scribe", "die", "--name", "dead", script=True)
    assert result.returncode == 9, result.stderr
    lines = place.journals()
    rows = place.run("logs", "list", "--json", "-n", "0")
    assert place.journals() == ""
    return place.normal(sections(["# Left behind\n", lines, "# Recovered\n", rows]))


# Listings


def filters(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """Filters of `logs list` that some rows of a database pass."""
    first, model = row["id"], row["model"]
    return [
        ("-m", model),
        ("-q", "the"),
        ("-q", "the", "-l"),
        ("--id-gt", first),
        ("--id-gte", first, "--schema", "name, age int"),
        ("--tools",),
        ("-T", "shout"),
        ("-T", "add"),
        ("-f", "two:x:1"),
        ("--since", "2026-01-02"),
        ("--until", "2020-01-02"),
        ("--failed",),
        ("--cid", row["conversation_id"]),
        ("-c",),
    ]


def listings(place: Place) -> Iterator[tuple[str, ...]]:
    """Commands that list a log, each way."""
    rows = json.loads(place.run("logs", "list", "-n", "0", "--json"))
    yield ("logs", "list", "--json", "-n", "0")
    yield ("logs", "list", "--json", "-n", "0", "-t")
    yield ("logs", "list", "--json", "-n", "2", "-x")
    for kind in ((), ("-s",), ("-s", "-u"), ("-u",), ("-t",), ("-e",)):
        yield ("logs", "list", "-n", "0", *kind)
    for kind in (("-r",), ("--xl",), ("--data",), ("--data-array",), ("--data-ids", "--data")):
        yield ("logs", "list", *kind, "-n", "0")
    yield ("conversations", "list", "--json", "-n", "0")
    yield ("conversations", "list", "-q", "the")
    yield ("conversations", "list")
    yield ("conversations", "tree")
    yield ("conversations", "export", "--all", "-f", "json")
    yield ("conversations", "export", "--all", "-f", "openai")
    for one in dict.fromkeys(row["conversation_id"] for row in rows if row["conversation_id"]):
        yield ("conversations", "export", one, "-f", "markdown")
    last = rows[-1]["conversation_id"]
    yield ("conversations", "show", last, "--json")
    yield ("conversations", "show", last)
    yield ("fragments",)
    yield ("schemas",)
    yield ("schemas", "list", "--full")
    yield ("fragments", "list", "--json")
    yield ("fragments", "list", "--aliases", "--json")
    yield ("schemas", "list", "--json")
    yield ("schemas", "list", "--nl")
    yield ("logs", "verify")


# Where the rest shows what there is, or another file does, a fingerprint is enough.
LONG = ("list --json -n 0 -t", "-n 0 -e", "-n 0 -u", "-n 0 -s -u", "--all -f json", "-f openai")
LENGTHS = {"logs-v0.36": 60_000, "logs-v0.36-unusual": 10_000}


@golden(*(f"listing-{name}.md" for name in DATABASES))
def listing_of(place: Place, file: str) -> str:
    name = file[len("listing-") : -len(".md")]
    shutil.copyfile(DATA / f"{name}.db", place.user / "logs.db")
    parts = []
    for text in listed(place):
        command = text.partition("\n")[0]
        if command.endswith(LONG) or len(text) > LENGTHS.get(name, 6_000):
            text = place.normal(text, is_fixed=True)
            text = f"{command}\n\n{len(text)} characters, {digest(text)}\n"
        parts.append(text)
    return place.normal(sections(parts), is_fixed=True)


def listed(place: Place) -> Iterator[str]:
    """The outputs of all listings, and which rows the filters let through."""
    for args in listings(place):
        yield place.shown(*args)
    rows = json.loads(place.run("logs", "list", "-n", "0", "--json"))
    yield "# Filters\n"
    for args in filters(rows[0]):
        ids = [row["id"] for row in json.loads(place.run("logs", "list", "-n0", "--json", *args))]
        yield f"{' '.join(args)}: {json.dumps(ids)}\n"


@golden("listing-own.md")
def own_listing(place: Place) -> str:
    log_everything(place)
    place.run("fragments", "set", "rule", "rules.txt")
    place.run("conversations", "fork", "tools", "--name", "fork of tools")
    status = re.sub(r"[\d.]+ ?[kM]?B\b", "<size>", place.shown("logs", "status"))
    return place.normal(sections([*listed(place), status]))


@golden("listing-registry.md")
def registry_listing(place: Place) -> str:
    place.write("templates/brief.yaml", "system: Be brief.\nmodel: scribe\noptions:\n  label: x\n")
    place.write("templates/asks.yaml", "prompt: Say $word to $input\ndefaults:\n  word: hi\n")
    place.write("templates/broken.yaml", "prompt: [")
    place.run("aliases", "set", "mine", "scribe")
    place.run("keys", "set", "golden", stdin="secret-of-the-golden-key\n")
    place.run("models", "options", "set", "scribe", "temperature", "0.5")
    shown = [
        ("models", "list", "--json", "-q", "scribe"),
        ("models", "list", "--json", "--options", "-m", "scribe", "-m", "other"),
        ("models", "list", "--options", "-m", "scribe"),
        ("models", "list", "--json", "-q", "gpt"),
        ("models", "options", "list", "--json"),
        ("models", "options", "list"),
        ("models", "options", "show", "scribe", "--json"),
        ("models", "default"),
        ("plugins", "--json", "--all"),
        ("tools", "list", "--json"),
        ("tools", "list"),
        ("templates", "list", "--json"),
        ("templates", "list"),
        ("templates", "show", "brief"),
        ("templates", "loaders"),
        ("fragments", "loaders"),
        ("aliases", "list", "--json"),
        ("keys", "list", "--json"),
        ("schemas", "dsl", "name, age int: how old"),
        ("local", "list", "--json"),
    ]
    return place.normal(sections([place.shown(*args) for args in shown]))


@golden("prompt-json.md")
def prompt_json(place: Place) -> str:
    parts = [place.shown("-m", "scribe", *args, "--json") for args in commands().values()]
    parts += [place.shown("-m", "scribe", words, "--json") for words in FAILING]
    parts.append(place.shown("-c", "plain", "--json"))
    parts.append(place.shown("-m", "scribe", "-n", "plain", "--json"))
    parts.append(place.shown("-m", "scribe", "plain", "-u"))
    return place.normal(sections(parts))


# What is going to change: see the README


ARGUMENTS = [words for words in plugin.SCRIPTS if words.endswith(" arguments")]


@golden("arguments.json")
def arguments(place: Place) -> str:
    found: dict[str, Any] = {}
    for words in ARGUMENTS:
        response = llm.get_model("scribe").prompt(words, tools=[plugin.take])
        messages = response.messages()
        conversation = llm.get_model("scribe").conversation(tools=[plugin.take])
        conversation.loaded_messages = [llm.user(words), *messages]
        conversation.chain().text()
        sent = conversation.to_dict()["messages"]
        found[words] = {
            "calls": [call.arguments for call in response.tool_calls()],
            "messages": [message.to_dict() for message in messages],
            "results": [
                part["output"]
                for message in sent
                for part in message["parts"]
                if part["type"] == "tool_result"
            ],
        }
    return pretty({"events of a model": found, "replies of a server": server_arguments(place)})


def server_arguments(place: Place) -> dict[str, Any]:
    """What becomes of the same texts where an OpenAI-compatible server sends them."""
    found: dict[str, Any] = {}
    with OpenAIServer() as server:
        add_model(place, server)
        replies = []
        for words in ARGUMENTS:
            text = plugin.SCRIPTS[words][1].chunk
            call = {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "take", "arguments": text},
            }
            message = {"content": None, "tool_calls": [call]}
            replies += [
                sse_reply([chunk({"role": "assistant", **message}), chunk(finish="tool_calls")]),
                json_reply(completion(message, "tool_calls")),
            ]
        server.add(*replies)
        code = (
            "import json, sys, llm\n"
            "model = llm.get_model('loop')\n"
            "def take(a: int = 0) -> str: return f'took {a}'\n"
            "for stream in [True, False] * int(sys.argv[1]):\n"
            "    response = model.prompt('x', stream=stream, tools=[take])\n"
            "    response.text()\n"
            "    print(json.dumps([\n"
            "        [call.arguments for call in response.tool_calls()],\n"
            "        [message.to_dict() for message in response.messages()]]))\n"
        )
        lines = process(place, "-c", code, str(len(ARGUMENTS))).stdout.splitlines()
    for number, words in enumerate(ARGUMENTS):
        for kind, line in zip(("stream", "whole"), lines[2 * number :], strict=False):
            calls, messages = json.loads(line)
            found[f"{words}, {kind}"] = {"calls": calls, "messages": messages}
    return found


@golden("last-used.json")
def last_used(place: Place) -> str:
    found: dict[str, Any] = {}
    for name in DATABASES:
        shutil.copyfile(DATA / f"{name}.db", place.user / "logs.db")
        found[f"a log of {name}"] = used_last(place)
        remove_log(place)

    def note(what: str) -> None:
        found[what] = used_last(place)

    place.run("-m", "scribe", "plain", "--name", "first")
    place.run("-m", "scribe", "plain", "--name", "second")
    note("two prompts")
    place.run("--cid", "first", "plain")
    note("the first gone on with")
    place.fail("-m", "scribe", "break", "--name", "broken off")
    note("an answer that broke off")
    place.fail("-m", "scribe", "refuse", "--name", "refused")
    note("a prompt without any answer")
    place.run("-m", "scribe", "plain", "--name", "third")
    place.run("conversations", "fork", "second", "--name", "fork")
    note("a fork without turns")
    place.run("logs", "redact", "One", "-y")
    note("a fork, and a redaction")
    place.run("--cid", "third", "plain")
    note("another prompt after the fork")
    place.run("--cid", "fork", "plain")
    note("a fork gone on with")
    place.run("conversations", "import", stdin=imported(place, EARLY, "imported early"))
    note("an import with early ids")
    place.run("conversations", "import", stdin=imported(place, LATE, "imported late"))
    note("an import with late ids")
    place.run("--cid", "second", "plain")
    note("a prompt after the import with late ids")
    place.run("conversations", "delete", "imported late", "-y")
    note("that import deleted")
    llm_process(place, "-m", "scribe", "die", "--name", "dead", script=True)
    note("a journal recovered")
    place.run("--cid", "first", "plain")
    note("a prompt after the recovery")
    return pretty(found)


def imported(place: Place, key: str, name: str) -> str:
    """A file with a conversation whose ids are this one."""
    shape = json.loads(place.run("conversations", "export", "second"))
    shape.update(id=key, name=name)
    for turn in shape["turns"]:
        turn["id"] = key
    return json.dumps(shape)


def remove_log(place: Place) -> None:
    """Begin with an empty log."""
    for path in place.user.glob("logs.db*"):
        path.unlink()


def used_last(place: Place) -> dict[str, Any]:
    """Which conversation is the one used last, in the opinion of all who have one."""
    listed = json.loads(place.run("conversations", "list", "-n0", "--json"))
    titles = {row["id"]: row["name"] or row["id"] for row in listed}
    current = {
        titles[row["conversation_id"]]
        for row in json.loads(place.run("logs", "list", "-c", "-n0", "--json"))
    }
    copy = Place(place.folder / "copy")
    remove_log(copy)
    with contextlib.closing(sqlite3.connect(place.user / "logs.db")) as source:
        target = sqlite3.connect(copy.user / "logs.db")
        source.backup(target)
        target.close()
    went_on = json.loads(copy.run("-c", "hm", "-m", "scribe", "--json"))
    exported = json.loads(place.run("conversations", "export"))
    return {
        "logs list -c": sorted(current),
        "llm -c": titles[went_on[0]["conversation_id"]],
        "conversations export": titles[exported["id"]],
        "Database.conversation()": titles[
            llm.Database(copy.user / "logs.db").conversation(model=llm.get_model("scribe")).id
        ],
        "conversations list": [titles[row["id"]] for row in listed][:5],
    }


# Processes


def process(place: Place, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What a Python of its own did."""
    variables = {
        **os.environ,
        "LLM_USER_PATH": str(place.user),
        "PYTHONPATH": str(DATA.parent.parent),
        "PYTHONIOENCODING": "utf-8",
        **env,
    }
    return subprocess.run(
        [sys.executable, *args],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def llm_process(
    place: Place, *args: str, script: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """What a real command did; as a `script` it has the plugin of the golden files."""
    start = [str(DATA.parent / "helpers" / "golden_llm.py")] if script else ["-m", "llm"]
    return process(place, *start, *args, **env)


SECRETS = {
    "authorization": "Bearer token-of-authorization",
    "api-key": "token-of-api-key",
    "x-api-key": "token-of-x-api-key",
    "x-goog-api-key": "token-of-x-goog-api-key",
    "x-auth-token": "token-of-x-auth-token",
    "proxy-authorization": "Basic token-of-proxy-authorization",
    "xi-api-key": "token-of-xi-api-key",
    "x-client-secret": "token-of-x-client-secret",
    "cookie": "session=token-of-cookie",
    "x-plain": "nothing secret",
}


def add_model(place: Place, server: OpenAIServer) -> None:
    """Add the model `loop`, which the server speaks for."""
    headers = {name: value for name, value in SECRETS.items() if name != "authorization"}
    entry = {
        "model_id": "loop",
        "model_name": "served-model",
        "api_base": server.url,
        "api_key_name": "openai",
        "headers": headers,
        "supports_tools": True,
    }
    place.write("extra-openai-models.yaml", yaml.safe_dump([entry]))
    place.write("keys.json", json.dumps({"openai": "sk-key-of-the-golden-files"}))


def plain_dump(text: str) -> str:
    """A dump without what differs between machines and versions of packages."""
    text = re.sub(r"(?im)^( +(?:user-agent|server|date|accept-encoding): ).*", r"\1<...>", text)
    return re.sub(r"(?im)^( +x-stainless-[\w-]+: .*\n)+", "    <x-stainless-...>\n", text)


@golden("http-dumps.md")
def http_dumps(place: Place) -> str:
    parts = []
    cookie = {"Set-Cookie": "session=secret-cookie; Path=/", "X-Auth-Token": "token-of-the-reply"}
    secret = {"content": "Your key is sk-key-of-the-golden-files."}
    halves = ["Your key is sk-key-of-", "the-golden-files."]
    with OpenAIServer() as server:
        add_model(place, server)
        stream = text_stream(*halves)
        stream.headers.update(cookie)
        server.add(stream, json_reply(completion(secret), headers=cookie))
        server.add(json_reply({"error": {"message": "no"}}, 400, headers=cookie))
        server.add(text_stream(*halves), json_reply(completion(secret), headers=cookie))
        for args in (("hi",), ("hi", "--no-stream"), ("hi",)):
            result = llm_process(place, "-n", "-m", "loop", *args, LLM_OPENAI_SHOW_RESPONSES="1")
            parts.append(f"## LLM_OPENAI_SHOW_RESPONSES=1 llm -m loop {' '.join(args)}\n")
            parts.append(f"`````\n{result.stderr}`````\n")
        for stream_wanted in (True, False):
            result = process(
                place, "-c", SDK, server.url, str(int(stream_wanted)), LLM_OPENAI_SHOW_RESPONSES="1"
            )
            assert result.returncode == 0, result.stderr
            parts.append(f"## Through the client of a subclass, stream={stream_wanted}\n")
            parts.append(f"`````\n{result.stderr}`````\n")
        parts += logging_client_dumps(server, cookie)
    return plain_dump(place.normal(sections(parts)))


SDK = """
import sys
from llm.default_plugins.openai_models import Chat

class Own(Chat):
    def get_client(self, key, *, async_=False):
        return super().get_client(key, async_=async_)

model = Own("own", model_name="served-model", api_base=sys.argv[1],
    headers={"x-auth-token": "token-of-x-auth-token", "x-plain": "nothing secret"})
model.prompt("hi", key="sk-key-of-the-golden-files", stream=sys.argv[2] == "1").text()
"""


def logging_client_dumps(server: OpenAIServer, cookie: dict[str, str]) -> Iterator[str]:
    """What the client for plugins shows of exchanges with secrets."""
    from llm.utils import logging_client

    server.add(json_reply({"answer": "yes"}, headers=cookie))
    server.add(Reply(pieces=[b"plain ", b"text"], content_type="text/plain"))
    for title, method, more in (
        ("JSON", "POST", {"json": {"question": "?"}, "headers": SECRETS}),
        ("text", "GET", {"headers": {"x-plain": "nothing secret"}}),
    ):
        out = io.StringIO()
        with contextlib.redirect_stderr(out), logging_client() as client:
            client.request(method, f"{server.url}/things?key=abc", **more).read()
        yield f"## llm.utils.logging_client(), {title}\n\n`````\n{out.getvalue().rstrip()}\n`````\n"


@golden("yaml-errors.md")
def yaml_errors(place: Place) -> str:
    parts = []
    for name, lines in YAML_ERRORS.items():
        text = "\n".join(["# A comment", *lines, ""])
        entries = "\n".join(
            ["# A comment", f"- {lines[0]}", *(f"  {one}" for one in lines[1:]), ""]
        )
        parts.append(f"# {name}\n\n`````\n{text}`````\n")
        path = place.write("templates/broken.yaml", text)
        parts.append(place.shown("-t", "broken", "-m", "scribe", "hi"))
        path.unlink()
        path = place.write("tools.yaml", text)
        parts.append("tools.yaml\n\n" + place.shown("-m", "scribe", "tools", "-T", "add"))
        path.unlink()
        path = place.write("extra-openai-models.yaml", entries)
        parts.append("extra-openai-models.yaml\n\n" + place.shown("-m", "loop", "hi"))
        parts.append(added_model(place))
        path.unlink()
        front = f"---\n{text}---\n\n## User\n\nHi\n"
        parts.append(place.shown("conversations", "import", "-f", "markdown", stdin=front))
    return place.normal(sections(parts))


YAML_ERRORS = {
    "not closed": ("prompt: [1", "system: 2"),
    "unknown tag": ("prompt: 1", "system: !odd 2"),
    "tab": ("prompt:", "\t- 1"),
    "odd date": ("prompt: hi", "system: 2026-99-99"),
}


def added_model(place: Place) -> str:
    """What adding a model says of the file."""
    with OpenAIServer() as server:
        server.add(json_reply({"data": [{"id": "served-model"}]}))
        known = ("--tools", "--schema", "--vision", "-m", "served-model", "-y")
        result = llm_process(place, "openai", "add", "m", "--base-url", server.url, *known)
    return f"## llm openai add\n\n`````\n{result.stdout}{result.stderr}`````\n"


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden(name: str, place: Place) -> None:
    """What comes out is what the file says."""
    if name == "yaml-errors.md" and not yaml.__with_libyaml__:
        pytest.skip("the other parser of PyYAML has its own words")
    check(name, GOLDEN[name](place))


def test_every_golden_file_has_its_source() -> None:
    """No file is left over, and all of them together are not too large."""
    files = [path for path in FOLDER.iterdir() if path.name != "README.md"]
    assert {path.name for path in files} == set(GOLDEN)
    assert sum(path.stat().st_size for path in files) < 1_000_000
