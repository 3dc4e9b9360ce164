"""Chains: tool rounds and further prompts, through both drivers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

import llm
from llm.models.plan import pending_tool_calls
from llm.parts import AttachmentPart, Message, TextPart, ToolCallPart, ToolResultPart
from llm.tools.calling import ToolCall


class Script(llm.Model):
    """Plays a list of turns: text, or names of tools to call."""

    model_id = "script"
    supports_tools = True
    supports_schema = True
    attachment_types = ("image/png",)

    def __init__(self, *turns: str | list[str]) -> None:
        self.turns = list(turns)
        self.prompts: list[llm.Prompt] = []

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        """The next turn of the script"""
        self.prompts.append(prompt)
        turn = self.turns.pop(0)
        if isinstance(turn, str):
            yield turn
            return
        for name in turn:
            response.add_tool_call(ToolCall(name, {}))


class AsyncScript(llm.AsyncModel):
    """The same, asynchronously."""

    model_id = "script"
    supports_tools = True
    supports_schema = True
    attachment_types = ("image/png",)

    def __init__(self, *turns: str | list[str]) -> None:
        self.turns = list(turns)
        self.prompts: list[llm.Prompt] = []

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        """The next turn of the script"""
        self.prompts.append(prompt)
        turn = self.turns.pop(0)
        if isinstance(turn, str):
            yield turn
            return
        for name in turn:
            response.add_tool_call(ToolCall(name, {}))


def sync_text(model: Script, *args: Any, **kwargs: Any) -> str:
    """The text of a synchronous chain."""
    return model.chain(*args, **kwargs).text()


def async_text(model: Script, *args: Any, **kwargs: Any) -> str:
    """The text of an asynchronous chain of the same script."""
    twin = AsyncScript(*model.turns)
    model.prompts = twin.prompts
    return asyncio.run(twin.chain(*args, **kwargs).text())


@pytest.fixture(params=[sync_text, async_text], ids=["sync", "async"])
def text(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Each driver in turn."""
    function: Callable[..., str] = request.param
    return function


def ping() -> str:
    """Ping"""
    return "pong"


def test_chain_ends_with_the_first_answer_without_tool_calls(text: Callable[..., str]) -> None:
    """Tools are run and their results sent until the model asks for none."""
    model = Script(["ping"], ["ping"], "done")
    assert text(model, "go", tools=[ping]) == "done"
    assert [m.role for m in model.prompts[-1].messages] == [
        "user", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip


def test_chain_limit_counts_model_calls(text: Callable[..., str]) -> None:
    """N responses are allowed; a plain answer never exceeds the limit of one."""
    assert text(Script("plain"), "go", tools=[ping], chain_limit=1) == "plain"
    assert text(Script(["ping"], "done"), "go", tools=[ping], chain_limit=2) == "done"


def test_chain_limit_raises_where_one_more_call_is_needed(text: Callable[..., str]) -> None:
    """The N-th response asks for tools: its results could not be sent."""
    with pytest.raises(ValueError, match=r"Chain limit of 2 exceeded\."):
        text(Script(["ping"], ["ping"], "done"), "go", tools=[ping], chain_limit=2)


def test_chain_limit_zero_means_none(text: Callable[..., str]) -> None:
    """0 switches the limit off."""
    model = Script(*[["ping"]] * 30, "done")
    assert text(model, "go", tools=[ping], chain_limit=0) == "done"


def test_schema_system_and_options_go_with_every_round(text: Callable[..., str]) -> None:
    """The schema is there in the last round, and the system prompt is in the chain once."""
    model = Script(["ping"], "{}")
    text(model, "go", tools=[ping], schema={"type": "object"}, system="Be good")
    last = model.prompts[-1]
    assert last.schema == {"type": "object"}
    assert last.system == "Be good"
    assert [m.role for m in last.messages] == ["system", "user", "assistant", "tool"]


def test_attachments_of_tools_travel_in_result_and_user_message(text: Callable[..., str]) -> None:
    """Files that a tool returns are in its result part, and sent as a user message."""
    picture = llm.Attachment(type="image/png", content=b"\x89PNG")

    def draw() -> llm.ToolOutput:
        return llm.ToolOutput("drawn", [picture])

    model = Script(["draw"], "seen")
    text(model, "go", tools=[draw])
    tool, user = model.prompts[-1].messages[-2:]
    (result,) = tool.parts
    assert isinstance(result, ToolResultPart)
    assert result == ToolResultPart("draw", "drawn", result.tool_call_id, attachments=[picture])
    assert (user.role, user.parts) == ("user", [AttachmentPart(picture)])


def test_files_of_tools_reach_a_model_that_names_no_types() -> None:
    """Whatever a tool returns goes to a model that does not say what it accepts; to one that does,
    what it accepts; nothing to one that accepts nothing."""
    files = [
        llm.Attachment(type="image/png", content=b"\x89PNG"),
        llm.Attachment(type="text/csv", content=b"a,b"),
    ]

    def draw() -> llm.ToolOutput:
        return llm.ToolOutput("drawn", files)

    class Plain(llm.Model):
        model_id = "plain"
        supports_tools = True

        def __init__(self) -> None:
            self.prompts: list[llm.Prompt] = []

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            self.prompts.append(prompt)
            if not prompt.tool_results:
                response.add_tool_call(ToolCall("draw", {}))
            yield ""

    class Nothing(Plain):
        attachment_types = ()

    for kind, sent in ((Plain, files), (Nothing, [])):
        model = kind()
        model.chain("go", tools=[draw]).text()
        assert model.prompts[-1].attachments == sent
        last = model.prompts[-1].messages[-1]
        assert last.role == ("user" if sent else "tool")
        assert not sent or last.parts == [AttachmentPart(file) for file in files]


@pytest.mark.parametrize("way", ["prompt", "conversation", "chain", "messages", "reply"])
@pytest.mark.parametrize("is_typed", [False, True])
def test_files_of_results_that_are_handed_over(way: str, is_typed: bool) -> None:
    """Results that a program brings have their files in a message after them, once."""
    picture = llm.Attachment(type="image/png", content=b"\x89PNG")
    result = llm.ToolResult("draw", "drawn", [picture], "c1")
    model = Script(*(["drawing"] if way in ("conversation", "reply") else []), "seen")
    given: dict[str, Any] = {"tool_results": [result]}
    if is_typed:
        given["attachments"] = [picture]
    if way == "prompt":
        model.prompt("Well?", **given).text()
    elif way == "conversation":
        conversation = model.conversation()
        conversation.prompt("draw").text()
        conversation.prompt("Well?", **given).text()
    elif way == "chain":
        model.chain("Well?", **given).text()
    elif way == "messages":
        history = [Message("user", [TextPart("draw")])]
        model.prompt("Well?", messages=history, **given).text()
    else:
        model.prompt("draw").reply("Well?", **given).text()
    sent = model.prompts[-1]
    assert sent.attachments == [picture]
    parts = [part for message in sent.messages for part in message.parts]
    files = [part for part in parts if isinstance(part, AttachmentPart)]
    assert files == [AttachmentPart(picture)]
    roles = [message.role for message in sent.messages]
    # What was attached by hand stands beside the text.
    expected = ["tool", "user"] if is_typed else ["tool", "user", "user"]
    assert roles[-len(expected) :] == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_reply_runs_the_calls_of_a_response_that_was_read_back(is_async: bool) -> None:
    """`from_dict` knows no tools; those given to `reply()` are run, and their files are sent before
    the text."""
    picture = llm.Attachment(type="image/png", content=b"\x89PNG")

    def draw() -> llm.ToolOutput:
        return llm.ToolOutput("drawn", [picture])

    first = Script(["draw"]).prompt("go", tools=[draw])
    first.text()
    shape = json.loads(json.dumps(first.to_dict()))
    if is_async:
        twin = AsyncScript("seen")

        async def reply() -> None:
            again = llm.AsyncResponse.from_dict(shape, model=twin)
            await (await again.reply("Well?", tools=[draw])).text()

        asyncio.run(reply())
        sent = twin.prompts[-1]
    else:
        model = Script("seen")
        again = llm.Response.from_dict(shape, model=model)
        assert [call.name for call in again.tool_calls()] == ["draw"]
        again.reply("Well?", tools=[draw]).text()
        sent = model.prompts[-1]
    assert [message.role for message in sent.messages] == [
        *("user", "assistant", "tool", "user", "user")
    ]
    (result,) = sent.messages[2].parts
    assert isinstance(result, ToolResultPart)
    assert result.output == "drawn"
    assert sent.messages[3].parts == [AttachmentPart(picture)]
    assert sent.messages[4].text() == "Well?"


def test_text_of_rounds_is_parted_by_a_space(text: Callable[..., str]) -> None:
    """A space goes between two responses where neither has white space; never into the log."""

    class Talker(Script):
        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            if not prompt.tool_results:
                yield ""
                yield "calling"
                response.add_tool_call(ToolCall("ping", {}))
            else:
                yield "called"

    chain = Talker().chain("go", tools=[ping])
    assert chain.text() == "calling called"
    assert [r.text() for r in chain.responses()] == ["calling", "called"]
    assert text(Script(["ping"], " spaced"), "go", tools=[ping]) == " spaced"


def test_pending_calls_are_run_before_the_model_is_asked(text: Callable[..., str]) -> None:
    """A history that ends in a tool call without result goes on with running it."""
    history = [llm.user("go"), llm.assistant(ToolCallPart("ping", {}, "c1"))]
    model = Script("done")
    assert text(model, messages=history, tools=[ping]) == "done"
    assert model.prompts[0].messages[-1] == llm.tool_message(ToolResultPart("ping", "pong", "c1"))


def test_calls_of_one_id_stay_two() -> None:
    """A model that gives two calls the same id has two calls, two results, and ids for them."""

    class Twice(Script):
        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Iterator[str]:
            self.prompts.append(prompt)
            if prompt.tool_results:
                yield "done"
            else:
                response.add_tool_call(ToolCall("ping", {}, "c1"))
                response.add_tool_call(ToolCall("ping", {}, "c1"))

    model = Twice()
    assert model.chain("go", tools=[ping]).text() == "done"
    (answer, results) = model.prompts[1].messages[-2:]
    ids = [part.tool_call_id for part in answer.parts if isinstance(part, ToolCallPart)]
    assert len(set(ids)) == 2
    assert ids[0] == "c1"
    assert [part.tool_call_id for part in results.parts if isinstance(part, ToolResultPart)] == ids


def test_pending_calls_are_cancelled_by_a_new_message() -> None:
    """Whatever is said after the calls cancels them."""
    call = llm.assistant(ToolCallPart("ping", {}, "c1"))
    assert pending_tool_calls([call]) == [ToolCall("ping", {}, "c1")]
    assert pending_tool_calls([call, llm.user("never mind")]) == []
    assert pending_tool_calls([]) == []


def test_pending_calls_leave_out_what_has_a_result() -> None:
    """Results are matched by id, without one by name, one result a call; the provider's own
    calls are never run."""
    calls = llm.assistant(
        ToolCallPart("a", {}, "1"),
        ToolCallPart("a", {}, "2"),
        ToolCallPart("b", {}),
        ToolCallPart("b", {}),
        ToolCallPart("web", {}, "s", server_executed=True),
    )
    results = llm.tool_message(ToolResultPart("a", "x", "1"), ToolResultPart("b", "y"))
    assert [c.tool_call_id or c.name for c in pending_tool_calls([calls, results])] == ["2", "b"]


def test_next_makes_a_prompt_of_the_answer(text: Callable[..., str]) -> None:
    """`next` may return text in which $input stands for the answer; once=True asks it once."""
    model = Script("four", "right")
    assert text(model, "2+2", next=lambda r: "Check: $input", once=True) == "four right"
    assert model.prompts[1].prompt == "Check: four"
    assert [m.text() for m in model.prompts[1].messages] == ["2+2", "four", "Check: four"]


def test_next_is_repeated_at_most_n_times(text: Callable[..., str]) -> None:
    """repeat=N bounds the calls; None from `next` ends the chain before."""
    assert text(Script("a", "b", "c"), "go", next=lambda r, p: "more", repeat=2) == "a b c"
    answers = iter(["more", None])
    assert text(Script("a", "b"), "go", next=lambda r: next(answers)) == "a b"


def test_next_gets_response_and_prompt(text: Callable[..., str]) -> None:
    """A function of two arguments gets the response and its prompt."""
    seen: list[tuple[str, str | None]] = []

    def follow(response: Any, prompt: llm.Prompt) -> None:
        seen.append((response.text_or_raise(), prompt.prompt))

    text(Script("answer"), "question", next=follow)
    assert seen == [("answer", "question")]


@pytest.mark.parametrize(
    ("follow", "sent"),
    [
        (lambda *given: f"{len(given)}", "2"),
        (lambda response, bound=7: f"{bound}", "7"),
        (lambda response, prompt=None: f"{prompt.prompt}!", "go!"),
        (lambda response, prompt, bound=7: f"{prompt.prompt} {bound}", "go 7"),
    ],
)
def test_next_gets_the_prompt_where_it_takes_one(
    text: Callable[..., str], follow: Callable[..., str], sent: str
) -> None:
    """A second parameter is the prompt, unless it is there to bind a value."""
    model = Script("a", "b")
    text(model, "go", next=follow, once=True)
    assert model.prompts[1].prompt == sent


def test_next_may_not_return_anything_else(text: Callable[..., str]) -> None:
    """What cannot be sent is refused in words; so is an asynchronous `next` of a synchronous
    chain."""

    async def later(response: Any) -> str:
        return "more"

    with pytest.raises(TypeError, match="next returned int"):
        text(Script("a", "b"), "go", next=lambda r: 5)
    with pytest.raises(TypeError, match="next returned coroutine"):
        Script("a", "b").chain("go", next=later).text()


def test_next_may_return_a_prompt(text: Callable[..., str]) -> None:
    """A Prompt goes on with the conversation; one with a history of its own is sent as it is."""
    model = Script("one", "two", "three")
    turns = iter(
        [
            llm.Prompt("again", model),
            llm.Prompt.from_history([llm.user("other")], "story", model=model),
            None,
        ]
    )
    text(model, "go", next=lambda r: next(turns))
    assert [m.text() for m in model.prompts[1].messages] == ["go", "one", "again"]
    assert [m.text() for m in model.prompts[2].messages] == ["other", "story"]


def test_next_works_together_with_tools(text: Callable[..., str]) -> None:
    """`next` is asked only with answers that ask for no tools."""
    model = Script(["ping"], "first", ["ping"], "second")
    answer = text(model, "go", tools=[ping], next=lambda r: "again", once=True)
    assert answer == "first second"


def test_next_counts_towards_the_limit(text: Callable[..., str]) -> None:
    """The limit counts model calls, whoever asks for them."""
    with pytest.raises(ValueError, match="Chain limit of 2"):
        text(Script("a", "b", "c"), "go", next=lambda r: "more", chain_limit=2)


def test_async_next_is_awaited() -> None:
    """An asynchronous chain awaits an asynchronous `next`."""

    async def follow(response: llm.AsyncResponse) -> str | None:
        return "more" if await response.text() == "a" else None

    assert asyncio.run(AsyncScript("a", "b").chain("go", next=follow).text()) == "a b"


def test_responses_come_before_they_are_read() -> None:
    """Each response can be read piece by piece, and a second pass replays without asking."""
    model = Script(["ping"], "done")
    chain = model.chain("go", tools=[ping])
    pieces = [list(response) for response in chain.responses()]
    assert pieces == [[], ["done"]]
    assert [r.text() for r in chain.responses()] == ["", "done"]
    assert len(model.prompts) == 2


def test_stream_events_part_the_rounds() -> None:
    """Events of all rounds come in order, with a synthetic space where texts would meet."""

    def talk(response: Any) -> str:
        return "go on"

    chain = Script("a", "b").chain("go", next=talk, once=True)
    assert [e.chunk for e in chain.stream_events()] == ["a", " ", "b"]

    async def program() -> list[str]:
        chain = AsyncScript("a", "b").chain("go", next=talk, once=True)
        return [e.chunk async for e in chain.astream_events()]

    assert asyncio.run(program()) == ["a", " ", "b"]


def test_stream_and_chain_stream_give_pieces_and_responses() -> None:
    """`stream` iterates text, `chain_stream` the responses of a chain, in both twins."""
    assert list(Script("hello").stream("x")) == ["hello"]
    responses = list(Script("a", "b").chain_stream("x", next=lambda r: "y", once=True))
    assert [r.text() for r in responses] == ["a", "b"]

    async def program() -> tuple[list[str], list[str]]:
        text = [piece async for piece in AsyncScript("hello").stream("x")]
        chain = AsyncScript("a", "b").chain_stream("x", next=lambda r: "y", once=True)
        return text, [await r.text() async for r in chain]

    assert asyncio.run(program()) == (["hello"], ["a", "b"])


def pause() -> None:
    """Pause the chain."""
    raise llm.PauseChain("later")


def once() -> str:
    """Fail."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("turns", "given", "error"),
    [
        ([["pause"], "never"], {"tools": [pause]}, llm.PauseChain),
        ([["ping"], "never"], {"tools": [ping], "chain_limit": 1}, llm.errors.ChainLimitExceeded),
        ([["ping"]], {"tools": [ping]}, IndexError),
        (["a", "b"], {"next": lambda response: 5}, TypeError),
    ],
    ids=["paused", "limit", "model", "next"],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_chain_that_failed_says_so_again(
    turns: list[Any], given: dict[str, Any], error: type[Exception], is_async: bool
) -> None:
    """Whenever a chain is read that failed, paused or met its limit, it says that again; nothing is
    asked or run a second time, and what had come can be looked at."""
    model = AsyncScript(*turns) if is_async else Script(*turns)
    chain: Any = model.chain("go", **given)
    for read in (chain.text, chain.messages, chain.usage, chain.text):
        with pytest.raises(error):
            asyncio.run(read()) if is_async else read()
    asked = len(model.prompts)
    with pytest.raises(error):
        asyncio.run(chain.parsed()) if is_async else chain.parsed()
    assert len(model.prompts) == asked
    assert chain.text_or_partial == ("a" if "a" in turns else "")


def test_chain_that_was_interrupted_asks_nothing_again() -> None:
    """After Ctrl-C in a tool, and after a task was cancelled, the chain is over; whoever reads it
    then is told that, with what had come."""
    model = Script(["once"], "never")
    chain = model.chain("go", tools=[once])
    with pytest.raises(KeyboardInterrupt):
        chain.text()
    with pytest.raises(llm.Interrupted):
        chain.text()
    assert len(model.prompts) == 1

    class Slow(AsyncScript):
        async def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.AsyncResponse,
            conversation: llm.AsyncConversation | None,
        ) -> AsyncGenerator[str, None]:
            self.prompts.append(prompt)
            yield "One, "
            await asyncio.sleep(60)

    slow = Slow()

    async def program() -> str:
        chain = slow.chain("go")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(chain.text(), 0.01)
        with pytest.raises(llm.Interrupted) as caught:
            await chain.text()
        return caught.value.partial

    assert asyncio.run(program()) == "One, "
    assert len(slow.prompts) == 1


def counted(kind: type[Any]) -> type[Any]:
    """A script that tells tokens."""

    class Counted(kind):
        def execute(self, prompt: Any, stream: Any, response: Any, conversation: Any) -> Any:
            response.set_usage(input=2, output=1, details={"cached": 1, "in": {"n": 1}})
            response.response_json = {"turn": len(self.prompts)}
            return super().execute(prompt, stream, response, conversation)

    return Counted


@pytest.mark.parametrize("is_async", [False, True])
def test_chain_says_what_responses_say(is_async: bool) -> None:
    """Tokens together and by response, the value, the messages, the last JSON; and when it is
    done."""
    turns = (["ping"], '{"value": 7}')
    model = counted(AsyncScript if is_async else Script)(*turns)
    chain = model.chain("go", tools=[ping], schema=int)
    done: list[object] = []

    async def program() -> list[Any]:
        await chain.on_done(done.append)
        names = ("parsed", "usage", "usages", "messages", "json")
        found = [await getattr(chain, name)() for name in names]
        await chain.on_done(done.append)
        return found

    if is_async:
        found = asyncio.run(program())
    else:
        chain.on_done(done.append)
        found = [chain.parsed(), chain.usage(), chain.usages(), chain.messages(), chain.json()]
        chain.on_done(done.append)
    value, usage, usages, messages, last = found
    assert value == 7
    assert usage == llm.Usage(4, 2, {"cached": 2, "in": {"n": 2}})
    assert usages == [llm.Usage(2, 1, {"cached": 1, "in": {"n": 1}})] * 2
    assert [message.role for message in messages] == ["assistant", "tool", "assistant"]
    assert last == {"turn": 1}
    assert done == [chain, chain]
    assert chain.text_or_partial == '{"value": 7}'


def test_prompts_of_a_chain_keep_their_own_messages() -> None:
    """Each prompt has what was sent for it, however long the chain became; replies branch off."""
    model = Script(["ping"], ["ping"], "done", "aside", "end")
    conversation = model.conversation()
    chain = conversation.chain("go", tools=[ping])
    chain.text()
    assert [len(response.prompt.messages) for response in chain.responses()] == [1, 3, 5]
    middle = chain._responses[1]
    aside = middle.reply("aside", tool_results=[])
    assert [m.role for m in aside.prompt.messages][2:] == ["tool", "assistant", "user"]
    after = conversation.prompt("and?")
    assert [m.text() for m in after.prompt.messages if m.text()] == ["go", "done", "and?"]
    assert [len(prompt.messages) for prompt in model.prompts] == [1, 3, 5]


def test_history_that_nobody_looked_at_is_whole(text: Callable[..., str]) -> None:
    """After 1,500 rounds any prompt tells what it was sent, whichever is asked first."""
    model = Script(*[["ping"]] * 1_500, "end")
    text(model, "go", tools=[ping], chain_limit=0)
    prompts = model.prompts
    assert len(prompts[1_000].messages) == 2_001
    assert [message.role for message in prompts[1_500].messages[-2:]] == ["assistant", "tool"]
    assert len(prompts[1_500].messages) == 3_001
    assert prompts[1_500].messages[:2_001] == prompts[1_000].messages
    assert len(prompts[1].messages) == 3


def test_chain_leaves_messages_that_were_given_alone(text: Callable[..., str]) -> None:
    """A list passed as history is not changed by what follows."""
    history = [llm.user("go")]
    model = Script(["ping"], "done")
    assert text(model, messages=history, tools=[ping]) == "done"
    assert history == [llm.user("go")]
    assert len(model.prompts[0].messages) == 1


def test_chain_repr_names_prompt_and_model() -> None:
    """The repr says what the chain is about without running it."""
    assert repr(Script().chain("go")) == "<ChainResponse prompt='go' model=Script: script>"
