"""What prompts, conversations and chains take beside the text, and what they refuse at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pydantic
import pytest

import llm
from llm.errors import InvalidInput

from .helpers.models import Echo, EchoOptions, transcript
from .helpers.quick import Caller

RED = "data:image/png;base64,iVBORw0KGgo="


class Asker(llm.Model):
    """Asks for each of the calls once, then tells what came of them."""

    model_id = "asker"
    supports_tools = True

    def __init__(self, *calls: llm.ToolCall) -> None:
        self.calls = calls

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        if prompt.tool_results:
            yield " | ".join(result.output for result in prompt.tool_results)
        else:
            for call in self.calls:
                response.add_tool_call(call)


class AsyncAsker(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "asker"
    supports_tools = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        if prompt.tool_results:
            yield prompt.tool_results[0].output
        else:
            response.add_tool_call(llm.ToolCall("shout", {"text": "hi"}))


class AsyncEcho(llm.AsyncModel):
    """Answers with the messages it was sent."""

    model_id = "async-echo"
    Options = EchoOptions

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield transcript(prompt)


def shout(text: str) -> str:
    return text.upper()


def whisper(text: str) -> str:
    return text.lower()


CALLS = (llm.ToolCall("shout", {"text": "Hi"}), llm.ToolCall("whisper", {"text": "Hi"}))
CUT = "\n[cut here: 1 more characters]"
REFUSED = "Cancelled: This call is not allowed"


# Chains


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({}, "HI | hi"),
        ({"allow": ["shout"]}, f"HI | {REFUSED}"),
        ({"allow": ["shout(text=H*)", "whisper(text=x)"]}, f"HI | {REFUSED}"),
        ({"allow": []}, f"{REFUSED} | {REFUSED}"),
        ({"approve": lambda tool, call: call.name == "whisper"}, f"{REFUSED} | hi"),
        ({"allow": ["shout"], "approve": lambda tool, call: True}, "HI | hi"),
        ({"tool_output_limit": 1}, f"H{CUT} | h{CUT}"),
        ({"tool_output_limit": 0}, "HI | hi"),
    ],
)  # fmt: skip
def test_chain_runs_what_may_run(values: dict[str, Any], answer: str) -> None:
    """What no rule allows is asked about; where nobody can be asked it is refused."""
    assert Asker(*CALLS).chain("x", tools=[shout, whisper], **values).text() == answer


def test_chain_asks_only_about_what_no_rule_allows() -> None:
    """The callable gets the tool and the call; hooks of the caller come after it."""
    asked: list[str] = []
    seen: list[str] = []

    def approve(tool: llm.Tool, call: llm.ToolCall) -> bool:
        asked.append(f"{tool.name} {call.arguments['text']}")
        return False

    def before_call(tool: llm.Tool | None, call: llm.ToolCall) -> None:
        seen.append(call.name)

    chain = Asker(*CALLS).chain(
        "x", tools=[shout, whisper], allow=["shout"], approve=approve, before_call=before_call
    )
    chain.text()
    assert (asked, seen) == (["whisper Hi"], ["shout"])


@pytest.mark.parametrize("says", [True, False])
def test_chain_approval_may_be_asynchronous(says: bool) -> None:
    """It is awaited where the model is; the hook of the caller, too."""
    seen: list[str] = []

    async def approve(tool: llm.Tool, call: llm.ToolCall) -> bool:
        await asyncio.sleep(0)
        return says

    async def before_call(tool: llm.Tool | None, call: llm.ToolCall) -> None:
        seen.append(call.name)

    async def main() -> str:
        chain = AsyncAsker().chain("x", tools=[shout], approve=approve, before_call=before_call)
        return await chain.text()

    assert asyncio.run(main()) == ("HI" if says else REFUSED)
    assert seen == (["shout"] if says else [])


def test_chain_time_limit_is_told() -> None:
    """A call that takes longer is ended."""

    def shout(text: str) -> str:
        while True:
            pass

    chain = Asker(CALLS[0]).chain("x", tools=[shout], tool_timeout=0.05)
    assert chain.text() == "Error: the call took longer than 0.05 s"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tool_timeout": 0}, "tool_timeout: 0 is no number of seconds above 0"),
        ({"tool_timeout": math.inf}, "tool_timeout: inf"),
        ({"tool_output_limit": -1}, "tool_output_limit: -1 is less than 0"),
        ({"allow": "shout"}, r"allow: give a list of rules, such as \['shout'\]"),
        ({"allow": ["shout(x"]}, "allow: Not a rule"),
    ],
)
def test_chain_refuses_bad_values_when_they_are_given(values: dict[str, Any], message: str) -> None:
    """Nothing has been sent by then."""
    with pytest.raises(InvalidInput, match=message):
        Caller().chain("x", tools=[shout], **values)


# Conversations and prompts


def test_conversation_has_system_and_options_for_every_prompt() -> None:
    """Those of a prompt count before them; the system prompt is sent once."""
    conversation = Echo().conversation(system="Be brief", options={"shout": True})
    first = conversation.prompt("a")
    assert first.text() == "SYSTEM: BE BRIEF | USER: A"
    second = conversation.prompt("b", system="Be long", options={"shout": False})
    assert second.text().endswith("system: Be long | user: b")
    third = conversation.chain("c", options={"times": 2}).text()
    assert third.startswith("SYSTEM: BE BRIEF | USER: A")
    assert third.count("SYSTEM: BE BRIEF | USER: C") == 2


def test_async_conversation_has_them_too() -> None:
    """The twin takes the same; so does the synchronous one that is made of it."""
    conversation = AsyncEcho().conversation(system="Be brief", options={"shout": True})

    async def main() -> str:
        response: llm.AsyncResponse = conversation.prompt("a")
        return await response.text()

    assert asyncio.run(main()) == "system: Be brief | user: a"
    twin = conversation.to_sync_conversation()
    assert (twin.system, twin.options) == ("Be brief", {"shout": True})


def test_prompt_takes_a_policy() -> None:
    """It counts before that of the conversation."""
    mine, other = llm.CallPolicy(retries=7), llm.CallPolicy(retries=5)
    conversation = Echo().conversation(policy=other)
    assert conversation.prompt("x", policy=mine).policy is mine
    assert conversation.prompt("x").policy is other
    assert Echo().prompt("x", policy=mine).policy is mine


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"retries": -1}, "retries: -1 is no whole number"),
        ({"retries": 1.5}, "retries: 1.5"),
        ({"retries": True}, "retries: True"),
        ({"timeout_s": 0}, "timeout_s: 0 is no number of seconds above 0"),
        ({"timeout_s": math.nan}, "timeout_s: nan"),
        ({"timeout_s": "long"}, "timeout_s: 'long'"),
    ],
)
def test_policy_refuses_bad_values(values: dict[str, Any], message: str) -> None:
    """Not when the first request has failed."""
    with pytest.raises(InvalidInput, match=message):
        llm.CallPolicy(**values)


@pytest.mark.parametrize("word", ["newest", "", "Oldest"])
def test_conversation_refuses_other_ways_to_cut(word: str) -> None:
    """The choices are named."""
    with pytest.raises(InvalidInput, match="none of oldest, middle, none"):
        Echo().conversation(truncate=word)


def test_conversation_refuses_unknown_options_at_once() -> None:
    """Not with its first prompt."""
    with pytest.raises(pydantic.ValidationError, match="did you mean shout"):
        Echo().conversation(options={"shuot": True})


@pytest.mark.parametrize(
    ("values", "near"),
    [({"strem": False}, "stream"), ({"shuot": True}, "shout"), ({"sytem": "x"}, "system")],
)
def test_prompt_unknown_keyword_is_refused_with_a_suggestion(
    values: dict[str, Any], near: str
) -> None:
    """Arguments and options are looked through; the error is that of 0.36."""
    for given in (values, {"options": values}):
        with pytest.raises(pydantic.ValidationError, match=f"did you mean {near}") as caught:
            Echo().prompt("x", **given)
        (problem,) = caught.value.errors()
        assert (problem["type"], problem["loc"]) == ("extra_forbidden", (*values,))


def test_prompt_bad_option_is_told_as_before() -> None:
    """What is no question of names is left as it is, braces and all."""
    with pytest.raises(pydantic.ValidationError, match="valid integer") as caught:
        Echo().prompt("x", times="{many}")
    (problem,) = caught.value.errors()
    assert (problem["type"], problem["input"]) == ("int_parsing", "{many}")


# Messages


@pytest.mark.parametrize("role", ["wizard", "", None, "User"])
def test_message_of_nobody_is_refused(role: Any) -> None:
    """The roles are named."""
    with pytest.raises(ValueError, match="is no role: use one of system, user, assistant, tool"):
        llm.Message(role, [])


def test_messages_may_be_those_of_openai() -> None:
    """Texts, pictures, calls and results become ours; with ours among them."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    response = Echo().prompt(
        "And?",
        messages=[
            {"role": "developer", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {"type": "image_url", "image_url": {"url": RED}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            llm.assistant("Hello"),
            llm.user("Ours").to_dict(),
        ],
    )
    sent = response.prompt.messages
    roles = ["system", "user", "assistant", "tool", "assistant", "user", "user"]
    assert [message.role for message in sent] == roles
    picture = sent[1].parts[1]
    assert isinstance(picture, llm.parts.AttachmentPart)
    assert picture.attachment is not None
    assert picture.attachment.type == "image/png"
    assert sent[2].parts == [llm.parts.ToolCallPart("add", {"a": 1}, "c1")]
    assert sent[3].parts == [llm.parts.ToolResultPart("add", "2", "c1")]
    assert sent[5:] == [llm.user("Ours"), llm.user("And?")]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"content": "x"}], "Message 1 has no role"),
        ([{"role": "user", "content": "x"}, {"role": "wizard"}], "Message 2 cannot be understood"),
        (["text"], "Message 1 has no role"),
    ],
)
def test_messages_that_are_none_are_refused(messages: list[Any], message: str) -> None:
    """With the number of the first of them."""
    with pytest.raises(InvalidInput, match=message):
        Echo().prompt("x", messages=messages)
