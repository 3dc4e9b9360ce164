"""Conversations and chains go through JSON and come back whole."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import llm
from llm.errors import InvalidInput, UnknownModelError
from llm.logs import LogStore
from llm.logs.file.db import open_memory
from llm.models import AsyncChainResponse, ChainResponse
from llm.parts import ReasoningPart, ToolResultPart
from tests.helpers.databases import DATA, copy_of, plugin_of_the_data
from tests.helpers.log_models import AsyncSays, Says, Search, event, plugin_of

PNG = (DATA / "files" / "pixel.png").read_bytes()


class Counter(llm.Toolbox):
    """Counts."""

    def __init__(self, start: int = 0, place: Any = None) -> None:
        self.count = start

    def add(self, by: int) -> str:
        """Add to the count."""
        self.count += by
        return str(self.count)


def upper(text: str) -> llm.ToolOutput:
    """Make it loud."""
    file = llm.Attachment(content=PNG, type="image/png")
    return llm.ToolOutput(text.upper(), attachments=[file])


def through_json(value: Any) -> Any:
    """What comes out of a JSON text of `value`."""
    return json.loads(json.dumps(value))


def rich_conversation(tmp_path: Path) -> llm.Conversation:
    """A conversation with everything that one can have."""
    model = Says(
        [event("reasoning", "Hmm", provider_metadata={"v": {"sig": "x"}}), "Hello"],
        [llm.ToolCall("upper", {"text": "a"}, "c1"), llm.ToolCall("Counter_add", {"by": 2}, "c2")],
        "done",
        '{"name": "x"}',
        raw={"id": "abc", "tokens": [1, 2]},
    )
    conversation = model.conversation(tools=[upper, Counter(5, tmp_path)], chain_limit=7)
    conversation.name = "Everything"
    path = tmp_path / "pixel.png"
    path.write_bytes(PNG)
    first = conversation.prompt(
        "What is this?",
        system="Be brief",
        system_fragments=["Rules"],
        fragments=[llm.Fragment("Long text", "notes.txt"), "Another"],
        attachments=[
            llm.Attachment(path=str(path)),
            llm.Attachment(content=PNG),
            llm.Attachment(url="https://example.com/a.png", type="image/png"),
        ],
        options={"temperature": 0.5},
        tools=[Search(depth=3)],
        hide_reasoning=True,
    )
    first.text()
    first.set_usage(input=3, output=4, details={"cached": 1})
    first.set_resolved_model("says-2026")
    conversation.chain("Go").text()
    conversation.prompt("As data", schema={"type": "object", "properties": {"name": {}}}).text()
    return conversation


@pytest.fixture
def conversation(tmp_path: Path) -> llm.Conversation:
    """That conversation."""
    return rich_conversation(tmp_path)


def test_conversation_comes_back_equal(conversation: llm.Conversation) -> None:
    """What `from_dict` makes has the same dictionary, to the last value."""
    shape = through_json(conversation.to_dict())
    again = llm.Conversation.from_dict(shape, model=Says())
    assert through_json(again.to_dict()) == shape


def test_conversation_holds_each_message_once(conversation: llm.Conversation) -> None:
    """The history is not repeated with every turn."""
    shape = conversation.to_dict()
    last = conversation.responses[-1]
    assert len(shape["messages"]) == len(last.prompt.messages) + 1
    assert [turn["input"] for turn in shape["turns"]] == [1, 3, 6, 8]


def test_conversation_brings_back_every_field(conversation: llm.Conversation) -> None:
    """Prompt and response of each turn read as before."""
    again = llm.Conversation.from_dict(through_json(conversation.to_dict()), model=Says())
    assert (again.id, again.name, again.chain_limit) == (conversation.id, "Everything", 7)
    for old, new in zip(conversation.responses, again.responses, strict=True):
        assert new.prompt.messages == old.prompt.messages
        assert new.messages() == old.messages()
        assert new.tool_calls() == old.tool_calls()
        assert (new.id, new.json(), new.usage()) == (old.id, old.json(), old.usage())
        assert new.prompt.prompt == old.prompt.prompt
        assert new.prompt.system == old.prompt.system
        assert new.prompt.fragments == old.prompt.fragments
        assert new.prompt.attachments == old.prompt.attachments
        assert new.prompt.options == old.prompt.options
        assert new.prompt.schema == old.prompt.schema
        assert new.duration_ms() == old.duration_ms()
        assert new.datetime_utc() == old.datetime_utc()
    first = again.responses[0]
    assert isinstance(first.messages()[0].parts[0], ReasoningPart)
    fragment = first.prompt.fragments[0]
    assert isinstance(fragment, llm.Fragment)
    assert fragment.source == "notes.txt"
    assert first.resolved_model == "says-2026"
    assert first.prompt.hide_reasoning
    [result, _] = again.responses[2].prompt.tool_results
    assert result.attachments == [llm.Attachment(content=PNG, type="image/png")]


def test_conversation_is_logged_alike(conversation: llm.Conversation) -> None:
    """Logging what came back gives the messages and turns that logging the original gives."""
    again = llm.Conversation.from_dict(
        through_json(conversation.to_dict()), model=Says(), tools=[Counter()]
    )
    stored = []
    for responses in (conversation.responses, again.responses):
        db = open_memory()
        for response in responses:
            response.log_to_db(db)
        stored.append(
            [
                db.execute(f"select * from {table} order by 1, 2").fetchall()
                for table in ("messages", "turn_fragments", "turn_search", "turn_tools", "schemas")
            ]
        )
        assert LogStore(db).verify() == []
    assert stored[0] == stored[1]


def test_conversation_goes_on(conversation: llm.Conversation) -> None:
    """The next prompt is sent with the whole history."""
    model = Says()
    again = llm.Conversation.from_dict(through_json(conversation.to_dict()), model=model)
    again.prompt("And now?").text()
    expected = [*conversation.responses[-1].prompt.messages, *conversation.responses[-1].messages()]
    assert model.sent[0] == [*expected, llm.user("And now?")]


def test_conversation_takes_functions_of_the_caller(conversation: llm.Conversation) -> None:
    """Functions cannot be written down: they are given again, or stay without implementation."""
    shape = through_json(conversation.to_dict())
    without = llm.Conversation.from_dict(shape, model=Says())
    assert without.tools is not None
    assert all(isinstance(tool, llm.Tool) and not tool.implementation for tool in without.tools)
    box = Counter(40)
    model = Says([llm.ToolCall("upper", {"text": "b"}), llm.ToolCall("Counter_add", {"by": 2})], "")
    again = llm.Conversation.from_dict(shape, model=model, tools=[upper, box])
    again.chain("More").text()
    assert [result.output for result in again.responses[-1].prompt.tool_results] == ["B", "42"]


def test_conversation_makes_tools_of_plugins_again(plugin: Any) -> None:
    """Tools and toolboxes that a plugin registered can be called again, with their arguments."""

    def shout(text: str) -> str:
        """Shout."""
        return text + "!"

    @llm.hookimpl
    def register_tools(register: Any) -> None:
        register(shout)
        register(Counter)

    plugin("boxes", register_tools=register_tools)
    tools = llm.get_tools()
    assert isinstance(tools["Counter"], type)
    box = tools["Counter"](start=10)
    calls = [llm.ToolCall("shout", {"text": "a"}, "1"), llm.ToolCall("Counter_add", {"by": 1}, "2")]
    conversation = Says(calls, "").conversation(tools=[tools["shout"], box])
    conversation.chain("x").text()
    model = Says(calls, "")
    again = llm.Conversation.from_dict(through_json(conversation.to_dict()), model=model)
    again.chain("y").text()
    assert [r.output for r in again.responses[-1].prompt.tool_results] == ["a!", "11"]
    assert again.responses[1].prompt.tool_results[1].instance is not None


def test_conversation_with_a_toolbox_that_changed(plugin: Any) -> None:
    """A toolbox that cannot be made any more leaves its tools without an implementation."""
    conversation = Says().conversation(tools=[Counter(1)])
    conversation.prompt("x").text()
    shape = through_json(conversation.to_dict())
    shape["tools"][0]["instance"]["arguments"] = {"gone": 1}

    @llm.hookimpl
    def register_tools(register: Any) -> None:
        register(Counter)

    plugin("boxes", register_tools=register_tools)
    again = llm.Conversation.from_dict(shape, model=Says())
    assert again.responses[0].prompt.tools[0].implementation is None


def test_conversation_keeps_the_model_of_each_turn(plugin: Any) -> None:
    """A turn that another model answered says so, if that model is installed."""
    other = Says("other")
    other.model_id = "other"
    plugin("says", **plugin_of(Says(), other))
    conversation = other.conversation()
    conversation.prompt("a").text()
    conversation.model = Says()
    conversation.prompt("b").text()
    shape = through_json(conversation.to_dict())
    again = llm.Conversation.from_dict(shape)
    assert [response.model.model_id for response in again.responses] == ["other", "says"]
    shape["turns"][0]["model"] = "gone"
    again = llm.Conversation.from_dict(shape)
    assert [response.model.model_id for response in again.responses] == ["says", "says"]


def test_conversation_of_an_unknown_model() -> None:
    """Without the model one has to be given."""
    shape = Says().conversation().to_dict()
    with pytest.raises(UnknownModelError, match="says"):
        llm.Conversation.from_dict(shape)


def test_conversation_without_turns() -> None:
    """One that has not begun, or has only a history, comes back too."""
    conversation = Says().conversation()
    again = llm.Conversation.from_dict(conversation.to_dict(), model=Says())
    assert (again.id, again.responses, again.loaded_messages) == (conversation.id, [], None)
    conversation.loaded_messages = [llm.user("a"), llm.assistant("b")]
    conversation.loaded_tools = ["shout"]
    again = llm.Conversation.from_dict(through_json(conversation.to_dict()), model=Says())
    assert again.loaded_messages == conversation.loaded_messages
    assert again.loaded_tools == ["shout"]


def test_conversation_that_branches() -> None:
    """Turns that were given histories of their own keep them."""
    conversation = Says().conversation()
    conversation.prompt("a").text()
    conversation.prompt("c", messages=[llm.user("a"), llm.assistant("B")]).text()
    conversation.prompt("a", messages=[]).text()
    shape = conversation.to_dict()
    assert [node.get("parent", "before") for node in shape["messages"]] == [
        *("before", "before"),
        *(0, "before", "before"),
    ]
    again = llm.Conversation.from_dict(through_json(shape), model=Says())
    assert [r.prompt.messages for r in again.responses] == [
        r.prompt.messages for r in conversation.responses
    ]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({}, "Not a conversation"),
        ([], "Not a conversation"),
        ({"format": "llm-conversation", "version": 2}, "version 2"),
    ],
)
def test_other_values_are_refused(shape: Any, said: str) -> None:
    """What is no conversation, or of a later version, is an error that says so."""
    with pytest.raises(InvalidInput, match=said):
        llm.Conversation.from_dict(shape, model=Says())


def test_broken_tree_is_refused() -> None:
    """A message whose predecessor does not exist is an error."""
    conversation = Says().conversation()
    conversation.prompt("a").text()
    shape = through_json(conversation.to_dict())
    shape["messages"][1]["parent"] = 5
    with pytest.raises(InvalidInput, match="Message 1"):
        llm.Conversation.from_dict(shape, model=Says())


def test_async_conversation_comes_back() -> None:
    """The asynchronous twins have the same."""

    async def main() -> None:
        conversation = AsyncSays().conversation()
        await conversation.prompt("a")
        shape = through_json(conversation.to_dict())
        again = llm.AsyncConversation.from_dict(shape, model=AsyncSays())
        assert isinstance(again.responses[0], llm.AsyncResponse)
        await again.prompt("b")
        assert [message.text() for message in again.responses[-1].prompt.messages] == [
            *("a", "ok", "b")
        ]

    asyncio.run(main())


def test_chain_comes_back() -> None:
    """A chain is completed, written down, and replayed without asking the model."""
    model = Says([llm.ToolCall("upper", {"text": "a"}, "c1")], "done")
    conversation = model.conversation(tools=[upper])
    conversation.prompt("before")
    chain = conversation.chain("Go", chain_limit=4)
    shape = through_json(chain.to_dict())
    silent = Says()
    again = ChainResponse.from_dict(shape, model=silent)
    assert again.text() == "done"
    assert [r.id for r in again.responses()] == [r.id for r in chain.responses()]
    assert again.chain_limit == 4
    assert through_json(again.to_dict()) == shape
    assert silent.sent == []
    assert again.prompt.prompt == "Go"
    assert list(again.stream_events())


def test_chain_that_paused_goes_on_elsewhere() -> None:
    """A chain that a tool paused is written down and continued with the missing results."""

    def approve(amount: int) -> str:
        """Needs a person."""
        raise llm.PauseChain

    chain = Says([llm.ToolCall("approve", {"amount": 3}, "c1")]).chain("Pay", tools=[approve])
    with pytest.raises(llm.PauseChain):
        chain.text()
    shape = through_json(chain.to_dict())

    def approved(amount: int) -> str:
        return f"paid {amount}"

    model = Says("Thanks")
    tool = llm.Tool.function(approved, name="approve")
    again = ChainResponse.from_dict(shape, model=model)
    assert again.conversation.chain(tools=[tool]).text() == "Thanks"
    assert [message.role for message in model.sent[0]] == ["user", "assistant", "tool"]
    (result,) = model.sent[0][-1].parts
    assert isinstance(result, ToolResultPart)
    assert result.output == "paid 3"


def test_chain_without_responses_is_refused() -> None:
    """A conversation is not taken for a chain."""
    conversation = Says().conversation()
    conversation.prompt("a").text()
    with pytest.raises(InvalidInput, match="Not a chain"):
        ChainResponse.from_dict(conversation.to_dict(), model=Says())


def test_async_chain_comes_back() -> None:
    """An asynchronous chain has to be read first; then it goes through JSON as well."""

    async def main() -> None:
        chain = AsyncSays().chain("Go")
        with pytest.raises(ValueError, match="Chain not yet complete"):
            chain.to_dict()
        await chain.text()
        shape = through_json(chain.to_dict())
        again = AsyncChainResponse.from_dict(shape, model=AsyncSays())
        assert await again.text() == "ok"

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:The attachment .* is gone")
@pytest.mark.parametrize("release", ["0.26", "0.26-continued-by-0.36", "0.36"])
def test_logged_conversations_come_back(release: str, tmp_path: Path) -> None:
    """Every conversation that older releases logged goes through JSON unchanged."""
    with plugin_of_the_data(), llm.Database(copy_of(release, tmp_path)) as db:
        for info in db.conversations():
            conversation = db.conversation(info.id)
            shape = through_json(conversation.to_dict())
            again = llm.Conversation.from_dict(shape)
            assert through_json(again.to_dict()) == shape
            assert again.prompt("x").prompt.messages == conversation.prompt("x").prompt.messages
