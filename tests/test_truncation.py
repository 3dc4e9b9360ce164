"""Conversations that are too long for the model: what is left out, what is kept, who is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.cli import cli
from llm.errors import ContextTooLong, InvalidInput
from llm.models.truncation import estimate_tokens, truncate
from llm.net.policy import CallPolicy
from llm.parts import AttachmentPart, Message, ReasoningPart, ToolCallPart, ToolResultPart

from .helpers.openai_server import OpenAIServer, Reply, error_reply, text_stream


def turn(name: str) -> list[Message]:
    """A question and its answer; five characters each."""
    return [llm.user(f"{name} ask"), llm.assistant(f"{name} say")]


def tool_turn(name: str) -> list[Message]:
    """A question that was answered with the help of a tool that returned a file."""
    return [
        llm.user(f"{name} ask"),
        llm.assistant(ToolCallPart("look", {"at": name}, f"id-{name}")),
        llm.tool_message(ToolResultPart("look", f"seen {name}", f"id-{name}")),
        llm.user(AttachmentPart(llm.Attachment(type="image/png", content=b"x"))),
        llm.assistant(f"{name} say"),
    ]


def count_messages(messages: Sequence[Message]) -> int:
    """A counter by which each message is one token."""
    return len(messages)


HISTORY = [llm.system("be nice"), *turn("a"), *tool_turn("b"), *turn("c"), llm.user("last")]


# The pure function


def test_oldest_turns_go_first() -> None:
    """As few turns as possible, from the beginning; system prompt and last turn stay."""
    cut = truncate(HISTORY, "oldest", 9, count_messages)
    assert cut.messages == [HISTORY[0], *HISTORY[3:]]
    assert (cut.dropped_turns, cut.turns) == (1, 4)
    assert truncate(HISTORY, "oldest", 8, count_messages).messages == [HISTORY[0], *HISTORY[8:]]


def test_middle_keeps_the_first_turn_as_long_as_it_can() -> None:
    """What the conversation began with is the last to go."""
    cut = truncate(HISTORY, "middle", 6, count_messages)
    assert cut.messages == [*HISTORY[:3], *HISTORY[8:]]
    assert truncate(HISTORY, "middle", 4, count_messages).messages == [*HISTORY[:3], HISTORY[-1]]
    assert truncate(HISTORY, "middle", 2, count_messages).messages == [HISTORY[0], HISTORY[-1]]


def test_none_leaves_out_nothing() -> None:
    """Without a wish the messages stay as they are, however long."""
    assert truncate(HISTORY, "none", 1, count_messages).messages == HISTORY


def test_what_fits_is_not_touched() -> None:
    """A limit that is met leaves out nothing, and nothing of nothing is nothing."""
    assert truncate(HISTORY, "oldest", 11, count_messages).dropped_turns == 0
    assert truncate([], "oldest", 0).messages == []


@given(
    st.lists(st.sampled_from(["turn", "tools", "system"]), max_size=9),
    st.sampled_from(["oldest", "middle"]),
    st.integers(0, 40),
)
def test_cuts_keep_their_promises(kinds: list[str], choice: str, limit: int) -> None:
    """System messages, the last turn, the order, and each call with its results are kept; and no
    more is left out than has to be."""
    history: list[Message] = []
    for number, kind in enumerate(kinds):
        made = {"turn": turn, "tools": tool_turn}.get(kind)
        history += made(f"{number}") if made else [llm.system(f"{number}")]
    history.append(llm.user("last"))
    cut = truncate(history, choice, limit, count_messages)
    assert [m for m in history if any(m is kept for kept in cut.messages)] == cut.messages
    assert [m for m in cut.messages if m.role == "system"] == [
        m for m in history if m.role == "system"
    ]
    assert cut.messages[-1] is history[-1]
    calls, results = set(), set()
    for message in cut.messages:
        for part in message.parts:
            calls |= {part.tool_call_id} if isinstance(part, ToolCallPart) else set()
            results |= {part.tool_call_id} if isinstance(part, ToolResultPart) else set()
    assert calls == results
    assert len(cut.messages) <= limit or cut.dropped_turns == cut.turns - 1
    if cut.dropped_turns:
        longer = truncate(history, choice, len(cut.messages), count_messages)
        assert longer.messages == cut.messages


def test_tokens_are_estimated_from_characters() -> None:
    """A quarter of the characters of everything that is said, and a fixed sum for a file."""
    messages = [
        llm.system("1234"),
        llm.assistant(ReasoningPart("1234"), ToolCallPart("tool", {"a": 1})),
        llm.tool_message(ToolResultPart("tool", "12345678")),
    ]
    assert estimate_tokens(messages) == 7
    picture = llm.user(AttachmentPart(llm.Attachment(type="image/png", content=b"x")))
    assert estimate_tokens([picture]) == 1000


# Conversations in Python


class Small(llm.Model):
    """Takes so many messages and no more."""

    model_id = "small"
    can_stream = True

    def __init__(self, size: int = 4, tells: bool = True) -> None:
        self.size = size
        self.tells = tells
        self.sent: list[list[str]] = []

    def count_tokens(self, messages: list[Message]) -> int:
        """As many tokens as messages."""
        return len(messages)

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield self.answer(prompt)

    def answer(self, prompt: llm.Prompt) -> str:
        """What both twins say."""
        self.sent.append([message.text() for message in prompt.messages])
        if len(prompt.messages) > self.size:
            raise ContextTooLong("too long", self.size if self.tells else None)
        return f"to {prompt.prompt}"


class AsyncSmall(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "small"
    can_stream = True

    def __init__(self) -> None:
        self.twin = Small()

    def count_tokens(self, messages: list[Message]) -> int:
        """As many tokens as messages."""
        return len(messages)

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield self.twin.answer(prompt)


@pytest.mark.parametrize("tells", [True, False])
def test_conversation_goes_on_when_it_is_too_long(tells: bool) -> None:
    """The oldest turns are left out of what is sent, by the model's own count; the conversation
    stays whole."""
    told: list[str] = []
    model = Small(tells=tells)
    conversation = model.conversation(truncate="oldest", policy=CallPolicy(tell=told.append))
    for name in ("one", "two", "three"):
        last = conversation.prompt(name, system="rules")
        assert last.text() == f"to {name}"
    assert model.sent[-1][0] == "rules"
    assert model.sent[-1][-1] == "three"
    assert len(model.sent[-1]) <= 4
    assert [message.text() for message in last.prompt.messages] == model.sent[-1]
    assert [message.text() for message in last.prompt.full_messages] == [
        *("rules", "one", "to one", "two", "to two", "three"),
    ]
    assert told[-1].endswith("of 3 turns of the conversation to fit the context of small")


def test_conversation_remembers_how_much_fits() -> None:
    """The next prompt is short enough from the start: no request is refused twice."""
    model = Small()
    conversation = model.conversation(truncate="oldest")
    for name in ("one", "two", "three", "four"):
        conversation.prompt(name).text()
    refused = [sent for sent in model.sent if len(sent) > 4]
    assert len(refused) == 1
    assert model.sent[-1][-1] == "four"


def test_async_conversation_goes_on_too() -> None:
    """The asynchronous twin does the same."""
    model = AsyncSmall()

    async def talk() -> list[str]:
        conversation = model.conversation(truncate="middle")
        return [await conversation.prompt(name).text() for name in ("one", "two", "three")]

    assert asyncio.run(talk()) == ["to one", "to two", "to three"]
    assert model.twin.sent[-1] == ["one", "to one", "three"]


@pytest.mark.parametrize("choice", [None, "none"])
def test_without_a_wish_the_error_is_raised(choice: str | None) -> None:
    """Nothing is left out unless somebody asked for it."""
    conversation = Small(size=2).conversation(truncate=choice)
    conversation.prompt("one").text()
    with pytest.raises(ContextTooLong) as caught:
        conversation.prompt("two").text()
    assert caught.value.limit == 2


def test_last_turn_that_is_too_long_is_an_error() -> None:
    """Where leaving out does not help, the user reads what the service said; nothing loops."""
    model = Small(size=0)
    conversation = model.conversation(truncate="oldest")
    with pytest.raises(ContextTooLong):
        conversation.prompt("one").text()
    assert len(model.sent) == 1


def test_model_that_does_not_look_at_the_messages_is_not_asked_again() -> None:
    """Leaving out messages cannot help where nobody reads them."""

    class Own(llm.Model):
        model_id = "own"
        runs = 0

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            self.runs += 1
            if conversation and len(conversation.responses) > 1:
                raise ContextTooLong("too long")
            yield "fine"

    model = Own()
    conversation = model.conversation(truncate="oldest")
    conversation.prompt("one").text()
    conversation.prompt("two").text()
    with pytest.raises(ContextTooLong):
        conversation.prompt("three").text()
    assert model.runs == 3


def test_text_models_get_a_shorter_text() -> None:
    """Models that go on with a text get the texts of the turns that are left."""

    class Goes(llm.Model):
        model_id = "goes"
        continues_as_text = True

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            if len(prompt.prompt) > 12:
                raise ContextTooLong("too long", 4)
            yield prompt.prompt[-2:]

    conversation = Goes().conversation(truncate="oldest")
    assert [conversation.prompt(name).text() for name in ("first", "other", "third")][-1] == "rd"


def test_unknown_choice_is_refused() -> None:
    """A misspelt wish is told at once."""
    with pytest.raises(InvalidInput, match="none of oldest, middle, none"):
        Small().conversation(truncate="newest")


def test_tool_chain_that_grows_too_long_goes_on() -> None:
    """Within a chain the call and its result stay; older turns go."""
    sent: list[list[str]] = []

    class Caller(llm.Model):
        model_id = "caller"
        supports_tools = True

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            sent.append([message.role for message in prompt.messages])
            if len(prompt.messages) > 4:
                raise ContextTooLong("too long")
            if not prompt.tool_results and prompt.prompt == "use it":
                response.add_tool_call(llm.ToolCall("noon", {}))
            yield "said"

    def noon() -> str:
        return "12:00"

    conversation = Caller().conversation(truncate="oldest")
    conversation.prompt("one").text()
    assert conversation.chain("use it", tools=[noon]).text().endswith("said")
    assert sent[-1] == ["user", "assistant", "tool"]


# The command


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A loopback server with the model `mine`."""
    with OpenAIServer() as running:
        entries = [{"model_id": "mine", "api_base": running.url}]
        (user_path / "extra-openai-models.yaml").write_text(json.dumps(entries))
        yield running


def run(*args: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, list(args))


def too_long() -> Reply:
    """The reply of a service for a prompt that is too long."""
    return error_reply(
        400,
        "This model's maximum context length is 40 tokens. However, you requested 50.",
        code="context_length_exceeded",
    )


@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"]])
def test_command_leaves_out_turns_and_logs_all(server: OpenAIServer, flags: list[str]) -> None:
    """The answer is printed, stderr says what was left out, the log has everything."""
    server.add(text_stream("one " * 20), text_stream("two"), too_long(), text_stream("three"))
    run("-m", "mine", "first", *flags)
    run("-c", "second", *flags)
    result = run("-c", "third", "--truncate", "oldest", *flags)
    assert (result.exit_code, result.stdout) == (0, "three\n")
    assert result.stderr.count("Left out 1 of 3 turns of the conversation") == 1
    assert [m["content"] for m in server.last.body["messages"]] == ["second", "two", "third"]
    server.add(text_stream("four"))
    run("-c", "fourth", *flags)
    assert len(server.last.body["messages"]) == 7
    assert server.last.body["messages"][0]["content"] == "first"


def test_error_names_the_limit_and_comes_without_truncate(server: OpenAIServer) -> None:
    """Unless asked nothing is left out: the error has the number that the service told."""
    server.add(too_long())
    result = run("-m", "mine", "hi")
    assert result.exit_code == 1
    assert "maximum context length is 40 tokens" in result.stderr


def test_default_of_a_model_holds_in_a_chat(server: OpenAIServer) -> None:
    """`llm models options set MODEL truncate oldest` is enough."""
    run("models", "options", "set", "mine", "truncate", "oldest")
    server.add(text_stream("one " * 20), too_long(), text_stream("two"))
    result = CliRunner().invoke(cli, ["chat", "-m", "mine"], input="first\nsecond\n")
    assert "two" in result.stdout
    assert [m["content"] for m in server.last.body["messages"]] == ["second"]


def test_unknown_choice_is_a_usage_error() -> None:
    """The choices are named."""
    result = run("-m", "echo", "hi", "--truncate", "newest")
    assert result.exit_code == 2
    assert "oldest" in result.stderr
