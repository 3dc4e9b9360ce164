"""Conversations: what the next prompt carries of the ones before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import llm
from llm.parts import ToolResultPart

from .helpers.quick import AsyncEcho, Caller, Echo, shout, told


class Oblivious(llm.Model):
    """Reads nothing but the new text."""

    model_id = "oblivious"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield prompt.prompt


class Walker(llm.Model):
    """Reads the history as plugins of before 0.32 do."""

    model_id = "walker"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield str(len(conversation.responses) if conversation else 0)


class Reader(llm.Model):
    """Reads the messages."""

    model_id = "reader"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield str(len(prompt.messages))


def test_conversation_carries_the_history() -> None:
    """Each turn sends everything before it, then the new input."""
    conversation = Echo("ok").conversation()
    conversation.prompt("one", system="s").text()
    second = conversation.prompt("two")
    assert told(second.prompt) == [
        ("system", "s"),
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
    ]
    assert conversation.responses[0].prompt.messages[1] is second.prompt.messages[1]


def test_conversation_same_system_prompt_is_sent_once() -> None:
    """A system prompt that is the one in force is not repeated; a new one is appended."""
    conversation = Echo("ok").conversation()
    conversation.prompt("one", system="s").text()
    conversation.prompt("two", system=" s ").text()
    third = conversation.prompt("three", system="new")
    assert [text for role, text in told(third.prompt) if role == "system"] == ["s", "new"]
    assert told(third.prompt)[-2:] == [("system", "new"), ("user", "three")]
    assert third.prompt.system == "new"
    third.text()
    assert told(conversation.prompt("four", system="new").prompt)[-1] == ("user", "four")
    assert [role for role, _ in told(conversation.prompt("x", system="s").prompt)].count(
        "system"
    ) == 3


def test_conversation_messages_replace_the_history() -> None:
    """An explicit history goes before what the conversation remembers."""
    conversation = Echo().conversation()
    conversation.prompt("one").text()
    assert told(conversation.prompt("x", messages=[llm.user("h")]).prompt) == [
        ("user", "h"),
        ("user", "x"),
    ]


def test_conversation_loaded_messages_come_first_and_only_once() -> None:
    """History from the log is sent until a finished response carries it."""
    loaded = [llm.user("old"), llm.assistant("answer")]
    conversation = llm.Conversation(Echo("ok"), loaded_messages=loaded)
    response = conversation.prompt("new")
    assert response.prompt.chain.history_count == 2
    assert told(response.prompt)[-1] == ("user", "new")
    assert conversation.loaded_messages == loaded
    response.text()
    assert conversation.loaded_messages is None
    assert len(conversation.prompt("next").prompt.messages) == 5


def test_conversation_links_turns_for_the_log() -> None:
    """A prompt knows whose messages it repeats, object for object."""
    conversation = Echo("ok").conversation()
    first = conversation.prompt("one")
    first.text()
    prompt = conversation.prompt("two").prompt
    assert prompt.continues is first
    count = prompt.chain.history_count
    chain = first.prompt.full_messages + first.output_messages()
    assert all(a is b for a, b in zip(prompt.full_messages[:count], chain, strict=True))


def test_conversation_history_is_read_when_asked_for() -> None:
    """Earlier responses are loaded by the first who looks, once."""
    model = Echo("ok")
    calls: list[int] = []
    earlier = llm.Response.fake(model, "old", response="answer")

    def load() -> list[llm.Response]:
        calls.append(1)
        return [earlier]

    conversation = llm.Conversation(model, loaded_messages=[llm.user("old")])
    conversation.set_history(load)
    new = conversation.prompt("new")
    new.text()
    assert calls == []
    assert conversation.responses == [earlier, new]
    assert conversation.responses is conversation.responses
    assert calls == [1]


def test_conversation_history_without_loaded_messages() -> None:
    """The history itself can give the messages."""
    model = Echo("ok")
    conversation = llm.Conversation(model)
    conversation.set_history(lambda: [llm.Response.fake(model, "old", response="answer")])
    assert told(conversation.prompt("new").prompt) == [
        ("user", "old"),
        ("assistant", "answer"),
        ("user", "new"),
    ]


def test_conversation_history_that_fails_is_asked_again() -> None:
    """A database that was locked for a moment does not lose the history."""
    conversation = llm.Conversation(Echo())
    answers: Iterator[Any] = iter([OSError("locked"), []])

    def load() -> list[llm.Response]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return list(answer)

    conversation.set_history(load)
    with pytest.raises(OSError, match="locked"):
        _ = conversation.responses
    assert conversation.responses == []


def test_conversation_responses_can_be_set() -> None:
    """Assigned responses take the place of everything."""
    conversation = llm.Conversation(Echo())
    conversation.set_history(lambda: pytest.fail("not needed"))
    conversation.responses = []
    assert conversation.responses == []


@pytest.mark.parametrize(
    ("model", "ignored"), [(Oblivious(), True), (Walker(), False), (Reader(), False)]
)
def test_conversation_tells_when_the_history_was_ignored(model: llm.Model, ignored: bool) -> None:
    """It is noted when a model looked neither at the messages nor at the responses."""
    conversation = model.conversation()
    first = conversation.prompt("one")
    first.text()
    second = conversation.prompt("two")
    second.text()
    assert (first.history_ignored, second.history_ignored) == (False, ignored)


def test_conversation_explicit_history_can_be_ignored_too() -> None:
    """A history that was passed in counts; a system message alone is none."""
    history = [llm.user("h"), llm.assistant("i")]
    for messages, ignored in ((history, True), ([llm.system("s")], False)):
        response = Oblivious().prompt("x", messages=messages)
        response.text()
        assert response.history_ignored is ignored


@pytest.mark.parametrize("model", [Echo(), AsyncEcho()])
def test_conversation_tools_are_the_default(model: llm.Model) -> None:
    """Prompts offer the tools of the conversation unless others are given, in both kinds."""
    conversation = model.conversation(tools=[shout])
    assert [tool.name for tool in conversation.prompt("x").prompt.tools] == ["shout"]
    other = conversation.prompt("x", tools=[llm.Tool("other")])
    assert [tool.name for tool in other.prompt.tools] == ["other"]


def test_conversation_tool_results_then_system() -> None:
    """Results follow the calls at once, whatever else is new."""
    conversation = Caller().conversation(tools=[shout])
    conversation.prompt("x").text()
    prompt = conversation.prompt("y", tool_results=[llm.ToolResult("shout", "HI")], system="s")
    assert [role for role, _ in told(prompt.prompt)] == [
        "user",
        "assistant",
        "tool",
        "system",
        "user",
    ]
    assert prompt.prompt.messages[2].parts == [ToolResultPart("shout", "HI")]


def test_conversation_async_carries_the_history() -> None:
    """The asynchronous kind has the same rule."""

    async def work() -> list[tuple[str, str]]:
        conversation = AsyncEcho("ok").conversation()
        await conversation.prompt("one", system="s")
        return told(conversation.prompt("two").prompt)

    assert asyncio.run(work()) == [
        ("system", "s"),
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
    ]


def test_conversation_fields_have_their_documented_order() -> None:
    """Plugins construct conversations by position."""
    values: list[Any] = [Echo(), "i", "n", [], [shout], 3, [llm.user("x")], ["t"], print, repr]
    for kind in (llm.Conversation, llm.AsyncConversation):
        conversation = kind(*values)
        names = "model id name responses tools chain_limit loaded_messages loaded_tools"
        names += " before_call after_call"
        assert [getattr(conversation, name) for name in names.split()] == values


def test_conversation_id_is_a_lower_case_ulid() -> None:
    """A new conversation has an id of its own."""
    first, second = Echo().conversation(), Echo().conversation()
    assert len(first.id) == 26
    assert first.id < second.id


def test_conversation_from_row(plugin: Callable[..., object]) -> None:
    """A row of the log names the model, the id and the title."""
    row = {"model": "quick-echo", "id": "i", "name": "n"}

    @llm.hookimpl(specname="register_models")
    def hook(register: Callable[..., None]) -> None:
        register(Echo(), AsyncEcho())

    plugin("quick", register_models=hook)
    for kind, model in ((llm.Conversation, Echo), (llm.AsyncConversation, AsyncEcho)):
        conversation = kind.from_row(row)
        assert isinstance(conversation.model, model)
        assert (conversation.id, conversation.name) == ("i", "n")


def test_conversation_to_sync() -> None:
    """The synchronous copy has the same identity and no responses."""
    conversation = AsyncEcho().conversation(tools=[shout], chain_limit=4)
    conversation.name = "n"
    twin = conversation.to_sync_conversation()
    assert isinstance(twin, llm.Conversation)
    assert (twin.id, twin.name, twin.tools, twin.chain_limit) == (
        conversation.id,
        "n",
        [shout],
        4,
    )
    assert twin.responses == []


def test_conversation_repr() -> None:
    """The repr counts the responses."""
    conversation = Echo().conversation()
    assert repr(conversation).startswith(f"<Conversation: {conversation.id} - 0 responses")
    conversation.prompt("x").text()
    assert repr(conversation).startswith(f"<Conversation: {conversation.id} - 1 response")
