"""Running tool calls, through both drivers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

import llm
from llm.tools.calling import ToolCall, ToolOutput, ToolResult
from llm.tools.running import run_calls, run_calls_async
from llm.tools.tool import Tool

CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)

Runner = Callable[..., list[ToolResult]]


def run_async(*args: Any) -> list[ToolResult]:
    """The asynchronous driver, called like the synchronous one."""
    return asyncio.run(run_calls_async(*args))


@pytest.fixture(params=[run_calls, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Each driver in turn."""
    runner: Runner = request.param
    return runner


def tools(*functions: Callable[..., Any]) -> list[Tool]:
    """Tools of functions."""
    return [Tool.function(function) for function in functions]


def add(a: int, b: int) -> int:
    """Add two numbers"""
    return a + b


def test_results_come_in_call_order_with_their_ids(run: Runner) -> None:
    """Each call gets one result, in the order of the calls, with the id of the call."""
    results = run(
        [ToolCall("add", {"a": 1, "b": 2}, "x"), ToolCall("add", {"a": 3, "b": 4}, "y")], tools(add)
    )
    assert [(r.name, r.output, r.tool_call_id) for r in results] == [
        ("add", "3", "x"),
        ("add", "7", "y"),
    ]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("text", "text"),
        (None, "null"),
        ({"a": [1]}, '{"a": [1]}'),
        (object, repr(object)),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (CIRCLE, "[[...]]"),
    ],
)
def test_output_is_text_or_json(run: Runner, value: object, output: str) -> None:
    """Text stays as it is, other values become JSON, and what has no JSON form its repr."""

    def give() -> object:
        return value

    (result,) = run([ToolCall("give", {})], tools(give))
    assert result.output == output or json.loads(result.output) == output
    assert result.exception is None


def test_value_that_cannot_be_written_is_told_by_its_class(run: Runner) -> None:
    """A value that fails to describe itself ends neither the chain nor the call."""

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    (result,) = run([ToolCall("mute", {})], [Tool("mute", implementation=Mute)])
    assert json.loads(result.output) == "<Mute>"
    assert result.exception is None


def test_tool_does_not_end_the_program(run: Runner) -> None:
    """A tool that calls sys.exit has failed; a hook that does so ends the program."""

    async def leave_later() -> None:
        sys.exit(4)

    def leave() -> None:
        sys.exit(3)

    results = run([ToolCall("leave", {}), ToolCall("leave_later", {})], tools(leave, leave_later))
    assert [r.output for r in results] == [
        "Error: the tool tried to end the program with exit code 3",
        "Error: the tool tried to end the program with exit code 4",
    ]
    with pytest.raises(SystemExit):
        run([ToolCall("add", {"a": 1, "b": 2})], tools(add), lambda *given: sys.exit())


def test_tool_output_carries_attachments(run: Runner) -> None:
    """A ToolOutput gives the result its attachments."""
    picture = llm.Attachment(type="image/png", content=b"x")

    def draw() -> ToolOutput:
        return ToolOutput({"ok": True}, [picture])

    (result,) = run([ToolCall("draw", {})], tools(draw))
    assert (result.output, result.attachments) == ('{"ok": true}', [picture])


def test_unknown_tool_is_told_to_the_model(run: Runner) -> None:
    """A call of a tool that does not exist gives an error result, and no after_call."""
    seen: list[object] = []
    (result,) = run([ToolCall("nosuch", {}, "1")], tools(add), None, lambda *a: seen.append(a))
    assert result.output == 'Error: tool "nosuch" does not exist'
    assert isinstance(result.exception, KeyError)
    assert seen == []


def test_tool_without_implementation_gives_an_error_result(run: Runner) -> None:
    """A tool that is only described cannot be run; the model is told."""
    (result,) = run([ToolCall("bare", {})], [Tool("bare")])
    assert result.output == 'Error: tool "bare" has no implementation'


def test_exception_of_a_tool_is_told_to_the_model(run: Runner) -> None:
    """What a tool raises becomes the output, the exception is kept, and after_call is called."""

    def boom() -> None:
        raise ValueError("bo om")

    seen: list[str] = []
    (result,) = run(
        [ToolCall("boom", {})], tools(boom), None, lambda tool, call, r: seen.append(r.output)
    )
    assert result.output == "Error: bo om"
    assert isinstance(result.exception, ValueError)
    assert seen == ["Error: bo om"]


def test_wrong_arguments_are_told_to_the_model(run: Runner) -> None:
    """Arguments that do not fit the function are an error result, not a crash."""
    (result,) = run([ToolCall("add", {"nonsense": 1})], tools(add))
    assert result.output.startswith("Error: ")
    assert isinstance(result.exception, TypeError)


def test_before_call_can_cancel(run: Runner) -> None:
    """CancelToolCall in before_call keeps the tool from running and tells the model why."""
    ran: list[int] = []

    def act() -> None:
        ran.append(1)

    def refuse(tool: object, call: ToolCall) -> None:
        raise llm.CancelToolCall("not today")

    (result,) = run([ToolCall("act", {})], tools(act), refuse)
    assert result.output == "Cancelled: not today"
    assert isinstance(result.exception, llm.CancelToolCall)
    assert ran == []


def test_before_call_sees_no_tool_for_an_unknown_name(run: Runner) -> None:
    """before_call is called for unknown tools too, with None."""
    seen: list[object] = []
    run([ToolCall("nosuch", {})], [], lambda tool, call: seen.append((tool, call.name)))
    assert seen == [(None, "nosuch")]


def test_other_exception_of_a_hook_leaves(run: Runner) -> None:
    """A hook that fails stops everything: it is the caller's own code."""

    def broken(tool: object, call: ToolCall) -> None:
        raise RuntimeError("hook")

    with pytest.raises(RuntimeError, match="hook"):
        run([ToolCall("add", {"a": 1, "b": 1})], tools(add), broken)


def test_llm_tool_call_is_given_only_where_it_is_declared(run: Runner) -> None:
    """A function that declares llm_tool_call gets the call; the model never sees it."""

    def whoami(llm_tool_call: ToolCall) -> str:
        return llm_tool_call.tool_call_id or ""

    class Callable_:
        __name__ = "obj"

        def __call__(self, llm_tool_call: ToolCall) -> str:
            return "object " + (llm_tool_call.tool_call_id or "")

    known = [*tools(whoami), Tool.function(Callable_(), name="obj")]
    results = run([ToolCall("whoami", {}, "id-1"), ToolCall("obj", {}, "id-2")], known)
    assert [r.output for r in results] == ["id-1", "object id-2"]
    assert "properties" not in known[0].input_schema or not known[0].input_schema["properties"]


def test_builtin_function_runs_as_a_tool(run: Runner) -> None:
    """A function without a signature of its own still runs."""
    (result,) = run([ToolCall("n", {})], [Tool("n", implementation=dict)])
    assert result.output == "{}"


def test_async_tool_runs_in_both_drivers(run: Runner) -> None:
    """An asynchronous tool is awaited, also in a synchronous chain."""

    async def later() -> str:
        await asyncio.sleep(0)
        return "done"

    (result,) = run([ToolCall("later", {})], tools(later))
    assert result.output == "done"


def test_async_tool_runs_under_a_running_loop() -> None:
    """The synchronous driver works inside a program that runs a loop, such as a notebook."""

    async def later() -> str:
        return "done"

    async def notebook() -> list[ToolResult]:
        return run_calls([ToolCall("later", {})], tools(later))

    assert asyncio.run(notebook())[0].output == "done"


def test_async_hook_is_refused_in_a_synchronous_chain() -> None:
    """A hook that has to be awaited is a mistake there, and is named."""

    async def hook(tool: object, call: ToolCall) -> None:
        return None

    refused: Any = hook
    with pytest.raises(TypeError, match="before_call"):
        run_calls([ToolCall("add", {"a": 1, "b": 1})], tools(add), refused)


def test_async_hooks_are_awaited() -> None:
    """Hooks may be asynchronous in an asynchronous chain."""
    seen: list[str] = []

    async def before(tool: object, call: ToolCall) -> None:
        seen.append("before")

    async def after(tool: object, call: ToolCall, result: ToolResult) -> None:
        seen.append(result.output)

    run_async([ToolCall("add", {"a": 1, "b": 1})], tools(add), before, after)
    assert seen == ["before", "2"]


def test_pause_carries_call_and_finished_results(run: Runner) -> None:
    """PauseChain leaves with the call that paused and the results of those that finished."""

    def wait() -> None:
        raise llm.PauseChain("later")

    with pytest.raises(llm.PauseChain) as caught:
        run([ToolCall("add", {"a": 1, "b": 1}), ToolCall("wait", {}, "w")], tools(add, wait))
    assert caught.value.tool_call == ToolCall("wait", {}, "w")
    assert [r.output for r in caught.value.tool_results] == ["2"]


def test_calls_after_a_pause_are_not_started(run: Runner) -> None:
    """Nothing that comes after a pause is begun."""
    ran: list[int] = []

    def wait() -> None:
        raise llm.PauseChain

    def act() -> None:
        ran.append(1)

    with pytest.raises(llm.PauseChain):
        run([ToolCall("wait", {}), ToolCall("act", {})], tools(wait, act))
    assert ran == []


def test_async_tools_run_at_the_same_time() -> None:
    """Asynchronous tools wait for each other: each needs the other one to have started."""
    arrived = 0

    async def meet() -> str:
        nonlocal arrived
        arrived += 1
        while arrived < 3:
            await asyncio.sleep(0)
        return "met"

    results = run_async([ToolCall("meet", {}, str(i)) for i in range(3)], tools(meet))
    assert [(r.output, r.tool_call_id) for r in results] == [("met", str(i)) for i in range(3)]


def test_async_pause_waits_for_siblings() -> None:
    """Before a pause leaves, the other calls come to their end and are in its results."""

    async def slow() -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        return "slow"

    async def wait() -> None:
        raise llm.PauseChain

    with pytest.raises(llm.PauseChain) as caught:
        run_async(
            [ToolCall("slow", {}), ToolCall("wait", {}), ToolCall("slow", {})], tools(slow, wait)
        )
    assert [r.output for r in caught.value.tool_results] == ["slow", "slow"]


def test_async_failure_goes_before_a_pause() -> None:
    """Where a hook failed and a tool paused, the failure is what the caller sees."""

    async def wait() -> None:
        raise llm.PauseChain

    async def after(tool: object, call: ToolCall, result: ToolResult) -> None:
        raise RuntimeError("after")

    async def quick() -> str:
        return "q"

    with pytest.raises(RuntimeError, match="after"):
        run_async([ToolCall("wait", {}), ToolCall("quick", {})], tools(wait, quick), None, after)


def test_cancelling_the_caller_cancels_the_tools() -> None:
    """A cancelled task does not leave tools running behind its back."""
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def program() -> None:
        task = asyncio.create_task(run_calls_async([ToolCall("forever", {})], tools(forever)))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(program())
    assert ended == ["ended"]


class Counter(llm.Toolbox):
    """Counts"""

    def __init__(self) -> None:
        self.count = 0
        self.prepared: list[str] = []

    def up(self, by: int = 1) -> int:
        """Count up"""
        self.count += by
        return self.count

    def prepare(self) -> None:
        """Note it"""
        self.prepared.append("sync")
        self.add_tool(self.extra)

    async def prepare_async(self) -> None:
        """Note it"""
        self.prepared.append("async")
        self.add_tool(self.extra)

    @staticmethod
    def extra() -> str:
        """Added while getting ready"""
        return "extra"


class Caller(llm.Model):
    """Asks for every tool it is offered, without arguments, then tells the results."""

    model_id = "caller"
    supports_tools = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        """Ask, or tell"""
        return self.answer(prompt, response)

    def answer(
        self, prompt: llm.Prompt, response: llm.Response | llm.AsyncResponse
    ) -> Iterator[str]:
        """What both twins say."""
        if prompt.tool_results:
            yield " ".join(r.output for r in prompt.tool_results)
            return
        for tool in prompt.tools:
            response.add_tool_call(ToolCall(tool.name, {}))


class AsyncCaller(llm.AsyncModel):
    """The same, asynchronously."""

    model_id = "caller"
    supports_tools = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        """Ask, or tell"""
        for chunk in Caller().answer(prompt, response):
            yield chunk


def test_toolbox_is_prepared_once_and_its_added_tools_are_offered() -> None:
    """prepare() runs before the model is asked, once, and what it adds is offered."""
    box = Counter()
    conversation = Caller().conversation(tools=[box])
    assert conversation.chain("go").text() == "extra 1 extra"
    assert conversation.chain("again").text() == "extra 2 extra"
    assert box.prepared == ["sync"]


def test_toolbox_is_prepared_asynchronously_in_async_chains() -> None:
    """An asynchronous chain uses prepare_async() instead."""
    box = Counter()
    assert asyncio.run(AsyncCaller().chain("go", tools=[box]).text()) == "extra 1 extra"
    assert box.prepared == ["async"]


def test_result_knows_its_toolbox() -> None:
    """The result of a method carries the toolbox, which the log needs."""
    box = Counter()
    response = Caller().prompt("go", tools=[box])
    results = response.execute_tool_calls()
    assert {r.name: r.instance for r in results}["Counter_up"] is box


def test_execute_tool_calls_uses_the_given_calls_and_tools() -> None:
    """Both can be replaced."""
    response = Caller().prompt("go", tools=[add])
    results = response.execute_tool_calls(
        tool_calls_list=[ToolCall("length", {"text": "abc"})],
        tools=[Tool.function(lambda text: len(text), name="length")],
    )
    assert [r.output for r in results] == ["3"]


def test_execute_tool_call_names_the_call() -> None:
    """A call made by a model's own loop gets an id, in both twins."""
    call = ToolCall("add", {"a": 1, "b": 2})
    result = Caller().prompt("go", tools=[add]).execute_tool_call(call)
    assert result.output == "3"
    assert result.tool_call_id == call.tool_call_id
    other = ToolCall("add", {"a": 1, "b": 2})
    result = asyncio.run(AsyncCaller().prompt("go", tools=[add]).execute_tool_call(other))
    assert result.tool_call_id == other.tool_call_id is not None


def test_reply_runs_open_tool_calls() -> None:
    """A reply to a response that asks for tools sends their results first, in both twins."""
    box = Counter()
    replied = Caller().prompt("go", tools=[box]).reply()
    assert [m.role for m in replied.prompt.messages] == ["user", "assistant", "tool"]

    async def program() -> list[str]:
        first = await AsyncCaller().prompt("go", tools=[Counter()])
        second = await first.reply("and?")
        return [m.role for m in second.prompt.messages]

    assert asyncio.run(program()) == ["user", "assistant", "tool", "user"]


def test_later_tool_of_the_same_name_wins() -> None:
    """Of two tools with one name the later one runs."""
    first = Tool.function(lambda: "first", name="same")
    second = Tool.function(lambda: "second", name="same")
    response = Caller().prompt("go", tools=[first, second])
    assert response.execute_tool_calls()[0].output == "second"
