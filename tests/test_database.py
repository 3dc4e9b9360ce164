"""`llm.Database`: what Python programs keep in the log, and read from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llm
from llm.errors import LogError, NotFound, UnknownModelError
from llm.logs.file.db import open_log
from tests.helpers.databases import copy_of
from tests.helpers.log_models import AsyncSays, Says, plugin_of
from tests.helpers.quick import Echo


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a new database is made."""
    return tmp_path / "talks.db"


def shown(path: Path) -> list[tuple[str, str]]:
    """Prompt and response of each turn, oldest first."""
    with llm.Database(path) as db:
        return [(row["prompt"], row["response"]) for row in db.turns()]


def test_database_logs_a_prompt(path: Path) -> None:
    """A response to a prompt with `log=` is a turn as soon as it is complete."""
    with llm.Database(path) as db:
        response = Says("hello").prompt("Hi", log=db)
        assert not path.exists()
        response.text()
        assert [(row["prompt"], row["response"]) for row in db.turns()] == [("Hi", "hello")]


def test_database_logs_nothing_by_itself(path: Path, user_path: Path) -> None:
    """Without `log=` a program leaves no trace."""
    with llm.Database(path):
        Says().prompt("Hi").text()
    assert not path.exists()
    assert list(user_path.iterdir()) == []


def test_database_default_is_the_log_of_the_command(user_path: Path) -> None:
    """Without a path it is `logs.db` of the user directory."""
    assert llm.Database().path == user_path / "logs.db"
    assert repr(llm.Database("x.db")) == "<Database x.db>"


def test_database_logs_a_conversation_as_one(path: Path) -> None:
    """All turns of a conversation with `log=` are of one conversation."""
    with llm.Database(path) as db:
        conversation = Says().conversation(log=db)
        conversation.prompt("one").text()
        conversation.prompt("two").text()
        conversation.chain("three").text()
        [info] = db.conversations()
    assert (info.id, info.name, info.model, info.turns) == (conversation.id, "one", "says", 3)
    assert info.last_used_utc is not None


def test_database_logs_every_round_of_a_chain(path: Path) -> None:
    """A chain with `log=` keeps each response, by the conversation or on its own."""
    call = llm.ToolCall("upper", {"text": "x"})

    def upper(text: str) -> str:
        return text.upper()

    with llm.Database(path) as db:
        Says([call], "done").chain("go", tools=[upper], log=db).text()
        rows = list(db.turns())
    assert [row["response"] for row in rows] == ["", "done"]
    assert len({row["conversation_id"] for row in rows}) == 1


def test_log_of_a_prompt_replaces_that_of_the_conversation() -> None:
    """The nearest `log=` counts."""
    outer: list[Any] = []
    inner: list[Any] = []
    conversation = Says().conversation(log=outer.append)
    conversation.prompt("a", log=inner.append).text()
    conversation.chain("b", log=inner.append).text()
    conversation.prompt("c").text()
    assert [response.prompt.prompt for response in inner] == ["a", "b"]
    assert [response.prompt.prompt for response in outer] == ["c"]


def test_log_that_cannot_be_called_is_refused_at_once(path: Path) -> None:
    """A path given as `log=` is an error before anything is sent, not after the answer."""
    model = Says("never said")
    with pytest.raises(TypeError, match=r"log= takes an llm\.Database or a function, not '"):
        model.prompt("a", log=str(path))  # type: ignore[call-overload]
    assert model.prompt("b").text() == "never said"


def test_turns_by_alias_and_by_age_as_timedelta(
    path: Path, user_path: Path, plugin: Callable[..., ModuleType]
) -> None:
    """A model goes by each of its names, and an age may be a `timedelta`."""
    plugin("says", **plugin_of(Says("a")))
    (user_path / "aliases.json").write_text('{"speaker": "says"}')
    db = llm.Database(path)
    llm.get_model("speaker").prompt("one", log=db).text()
    assert [turn["prompt"] for turn in db.turns(model="speaker")] == ["one"]
    assert [turn["prompt"] for turn in db.turns(since=timedelta(hours=1))] == ["one"]
    assert list(db.turns(until=timedelta(hours=1))) == []


def test_log_is_any_function_of_the_finished_response() -> None:
    """A function gets the response complete, before other callbacks."""
    seen: list[str] = []
    response = Says("yes").prompt("Sure?", log=lambda r: seen.append(r.text_or_raise()))
    response.on_done(lambda r: seen.append("later"))
    response.text()
    assert seen == ["yes", "later"]


def test_log_goes_with_replies() -> None:
    """A reply is kept where the response was kept."""
    seen: list[Any] = []
    Says().prompt("a", log=seen.append).reply("b").text()
    assert [response.prompt._prompt for response in seen] == ["a", "b"]


def test_log_async_functions_are_awaited() -> None:
    """With an asynchronous model the function may be a coroutine function."""
    seen: list[str] = []

    async def keep(response: llm.AsyncResponse) -> None:
        seen.append(response.text_or_raise())

    async def main() -> None:
        first = AsyncSays().prompt("a", log=keep)
        reply = await (await first).reply("b")
        await reply
        conversation = AsyncSays().conversation(log=keep)
        await conversation.prompt("c")
        await conversation.prompt("c", log=keep)
        await conversation.chain("d").text()
        await AsyncSays().chain("e", log=keep).text()

    asyncio.run(main())
    assert seen == ["ok"] * 6


def test_database_logs_async_responses(path: Path) -> None:
    """An asynchronous response is recorded like a synchronous one."""

    async def main(db: llm.Database) -> None:
        conversation = AsyncSays().conversation(log=db)
        await conversation.prompt("one")
        await conversation.prompt("two")

    with llm.Database(path) as db:
        asyncio.run(main(db))
        again = db.conversation(model=AsyncSays(), async_=True)
        assert isinstance(again, llm.AsyncConversation)
        assert len(again.responses) == 2


def test_database_logs_through_the_method_of_the_class(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that replaces `log_to_db` sees every response; where it fails, the answer stays."""

    def refuse(self: llm.Response, db: Any) -> None:
        raise LogError("no")

    monkeypatch.setattr(llm.Response, "log_to_db", refuse)
    response = Says("said").prompt("Hi", log=llm.Database(path))
    with pytest.raises(LogError, match="no"):
        response.text()
    assert response.text() == "said"


def test_database_log_takes_responses_and_chains(path: Path) -> None:
    """`log()` records a response that is not complete yet after completing it, and whole chains."""
    with llm.Database(path) as db:
        db.log(Says("a").prompt("one"))
        chain = Says("b").chain("two")
        chain.text()
        db.log(chain)
    assert shown(path) == [("one", "a"), ("two", "b")]


def test_database_is_shared_by_threads(path: Path) -> None:
    """Several threads may log to one database at the same time."""
    with llm.Database(path) as db:

        def talk(number: int) -> None:
            conversation = Says().conversation(log=db)
            for turn in range(5):
                conversation.prompt(f"{number} {turn}").text()

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [info.turns for info in db.conversations()] == [5] * 4


def test_database_goes_on_after_close(path: Path) -> None:
    """What is logged after `close()` opens the file again."""
    db = llm.Database(path)
    Says().prompt("one", log=db).text()
    db.close()
    db.close()
    Says().prompt("two", log=db).text()
    db.close()
    assert [prompt for prompt, _ in shown(path)] == ["one", "two"]


def test_database_turns_are_filtered(path: Path) -> None:
    """Turns are found by words, model and conversation, and can be limited."""
    with llm.Database(path) as db:
        conversation = Says("red apples").conversation(log=db)
        conversation.prompt("fruit").text()
        Says("green pears").prompt("fruit too", log=db).text()
        assert [row["prompt"] for row in db.turns("apples")] == ["fruit"]
        assert [row["prompt"] for row in db.turns(limit=1)] == ["fruit too"]
        assert [row["prompt"] for row in db.turns(conversation_id=conversation.id)] == ["fruit"]
        assert list(db.turns(model="other")) == []
        assert len(list(db.turns(model="says"))) == 2


def test_database_without_a_file_is_empty(path: Path) -> None:
    """Reading makes no file."""
    db = llm.Database(path)
    assert list(db.turns()) == []
    assert list(db.conversations()) == []
    with pytest.raises(NotFound, match="nothing has been logged"):
        db.conversation()
    assert not path.exists()


def test_database_conversation_goes_on(path: Path) -> None:
    """A conversation from the database has its history, and what it says next is logged too."""
    with llm.Database(path) as db:
        first = Says().conversation(log=db)
        first.prompt("one").text()
        model = Says("fine")
        again = db.conversation(first.id, model=model)
        again.prompt("two").text()
        assert [message.text() for message in model.sent[0]] == ["one", "ok", "two"]
        assert [info.turns for info in db.conversations()] == [2]
        assert db.conversation(model=model).id == first.id


def test_database_conversation_by_title_or_beginning(path: Path, plugin: Any) -> None:
    """An unambiguous beginning of id or title is enough; the model of the log answers."""
    plugin("says", **plugin_of(Says()))
    with llm.Database(path) as db:
        one = Says().conversation(log=db)
        one.prompt("Pelican names").text()
        two = Says().conversation(log=db)
        two.prompt("Pelican food").text()
        assert db.conversation("Pelican n").id == one.id
        assert db.conversation("pelican food").id == two.id
        assert db.conversation(two.id.upper()).id == two.id
        with pytest.raises(NotFound, match=f"several conversations.*\n.*{one.id}"):
            db.conversation("Pelican")
        with pytest.raises(NotFound, match=r"No conversation found with id=Swan"):
            db.conversation("Swan")


def test_database_conversation_of_an_unknown_model(path: Path) -> None:
    """Where the model is not installed the error says which."""
    with llm.Database(path) as db:
        Says().prompt("x", log=db).text()
        with pytest.raises(UnknownModelError, match="says"):
            db.conversation()


@pytest.mark.parametrize("release", ["0.13", "0.26", "0.26-continued-by-0.36", "0.36"])
def test_database_lists_what_older_releases_logged(release: str, tmp_path: Path) -> None:
    """Every conversation is listed once, the one used last first, with its number of turns."""
    file = copy_of(release, tmp_path)
    conn = open_log(file).conn
    ids = dict(
        conn.execute(
            "select ifnull(thread_id, ''), max(id) from (select thread_id, id from turns union all"
            " select conversation_id, id from responses) group by 1"
        )
    )
    conn.close()
    found = list(llm.Database(file).conversations())
    order = [info.id for info in found if info.id in ids]
    assert order == sorted(ids, key=ids.__getitem__, reverse=True)
    assert len({info.id for info in found}) == len(found)
    assert all(info.model for info in found)
    assert [info.id for info in llm.Database(file).conversations(limit=2)] == [
        info.id for info in found[:2]
    ]


def test_database_finds_conversations_by_title_and_words(tmp_path: Path) -> None:
    """The words of a turn find its conversation as well as its title does."""
    with llm.Database(tmp_path / "x.db") as db:
        first = Says("the answer is 100% certain").conversation(log=db)
        first.prompt("Title of one").text()
        Says().conversation(log=db).prompt("Another").text()
        assert [info.id for info in db.conversations("certain")] == [first.id]
        assert [info.id for info in db.conversations("OF ONE")] == [first.id]
        assert [info.id for info in db.conversations("%")] == []
        assert len(list(db.conversations("o", limit=1))) == 1


def test_database_in_memory_is_a_log_without_a_file(tmp_path: Path, monkeypatch: Any) -> None:
    """It takes turns, lists them and lets a conversation go on; nothing is written to disk."""
    monkeypatch.chdir(tmp_path)
    with llm.Database(":memory:") as db:
        assert list(db.turns()) == []
        conversation = Echo().conversation(log=db)
        conversation.prompt("one").text()
        again = db.conversation(conversation.id, model=Echo())
        again.prompt("two").text()
        assert [turn["prompt"] for turn in db.turns()] == ["one", "two"]
        assert [talk.turns for talk in db.conversations()] == [2]
        assert len(again.responses) == 2
    assert list(db.turns()) == []
    assert not (tmp_path / ":memory:").exists()
