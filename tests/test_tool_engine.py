"""The two state machines of the tool loop, walked by hand: nothing is called, sent or awaited.

What the drivers make of them is tested in test_chains.py and test_tool_calls.py.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

import llm
from llm.errors import ChainLimitExceeded
from llm.models.plan import AskNext, CallTools, chain_plan
from llm.parts import ToolCallPart, ToolResultPart
from llm.tools.running import Step, call_steps

from .helpers.quick import Echo


def walk(machine: Generator[Any, Any, Any], *answers: object) -> tuple[list[Any], Any]:
    """What a machine wants done, one after the other, and what it returns.

    Args:
        answers: What comes of each; an exception is raised where the machine waits.
    """
    wanted = []
    try:
        action = next(machine)
        for answer in answers:
            wanted.append(action)
            if isinstance(answer, BaseException):
                action = machine.throw(answer)
            else:
                action = machine.send(answer)
        wanted.append(action)
    except StopIteration as end:
        return wanted, end.value
    return wanted, None


# One tool call


def add(a: int, b: int = 1) -> int:
    """Add two numbers"""
    raise AssertionError("the machine calls nothing")


def whoami(llm_tool_call: llm.ToolCall) -> str:
    """Tell the call"""
    raise AssertionError("the machine calls nothing")


CALL = llm.ToolCall("add", {"a": 1}, "c1")
ADD = llm.Tool.function(add)


def before(*args: object) -> None:
    """A hook"""


def after(*args: object) -> None:
    """A hook"""


def steps(call: llm.ToolCall = CALL, tool: llm.Tool | None = ADD) -> Any:
    """The course of a call with both hooks."""
    return call_steps(call, tool, before, after)


def shown(step: Step) -> tuple[object, tuple[object, ...], dict[str, object], str | None]:
    """What a step calls, with what, and the name of the hook."""
    assert isinstance(step.run, partial)
    return step.run.func, step.run.args, step.run.keywords, step.hook


def test_call_asks_runs_and_tells() -> None:
    """The hooks get tool, call and result; the tool its arguments by name."""
    wanted, result = walk(steps(), None, 3, None)
    assert [shown(step) for step in wanted] == [
        (before, (ADD, CALL), {}, "before_call"),
        (add, (), {"a": 1}, None),
        (after, (ADD, CALL, result), {}, "after_call"),
    ]
    assert result == llm.ToolResult("add", "3", tool_call_id="c1")


def test_call_without_hooks_is_one_step() -> None:
    """Nothing is wanted but the tool."""
    wanted, _ = walk(call_steps(CALL, ADD, None, None), 3)
    assert [shown(step) for step in wanted] == [(add, (), {"a": 1}, None)]


def test_call_that_is_cancelled_is_not_run() -> None:
    """CancelToolCall of before_call is the result; nothing follows."""
    refusal = llm.CancelToolCall("not now")
    wanted, result = walk(steps(), refusal)
    assert [step.hook for step in wanted] == ["before_call"]
    assert (result.output, result.exception) == ("Cancelled: not now", refusal)


@pytest.mark.parametrize("answers", [(OSError("x"),), (None, 3, OSError("x"))])
def test_call_lets_errors_of_hooks_through(answers: tuple[object, ...]) -> None:
    """Any other exception of a hook leaves."""
    with pytest.raises(OSError, match="x"):
        walk(steps(), *answers)


@pytest.mark.parametrize(
    ("call", "tool", "output", "error"),
    [
        (llm.ToolCall("no", {}), None, 'Error: tool "no" does not exist', KeyError),
        (
            CALL,
            llm.Tool("add"),
            'Error: tool "add" has no implementation',
            NotImplementedError,
        ),
        (
            llm.ToolCall("add", {"_raw": "{a"}),
            ADD,
            "Error: the arguments are not a JSON object: {a",
            ValueError,
        ),
    ],
)
def test_call_that_cannot_be_run_is_answered(
    call: llm.ToolCall, tool: llm.Tool | None, output: str, error: type[Exception]
) -> None:
    """The model is told, and nothing is run; the hooks see it, after_call where there is a tool."""
    wanted, result = walk(steps(call, tool), None, None)
    assert [step.hook for step in wanted] == ["before_call", "after_call"][: 2 if tool else 1]
    assert (result.output, type(result.exception)) == (output, error)


def test_call_that_fails_is_answered() -> None:
    """What the tool raised is the output and is kept; after_call sees it."""
    error = ValueError("too big")
    wanted, result = walk(steps(), None, error, None)
    assert [step.hook for step in wanted] == ["before_call", None, "after_call"]
    assert (result.output, result.exception) == ("Error: too big", error)


def test_call_that_pauses_leaves_with_itself() -> None:
    """PauseChain carries the call; there is no result, and no after_call."""
    with pytest.raises(llm.PauseChain) as paused:
        walk(steps(), None, llm.PauseChain("wait"))
    assert paused.value.tool_call is CALL


def test_call_is_given_to_who_declares_it() -> None:
    """`llm_tool_call` is the call, and no argument of the model's."""
    call = llm.ToolCall("whoami", {}, "c2")
    wanted, _ = walk(call_steps(call, llm.Tool.function(whoami), None, None), "me")
    assert [shown(step) for step in wanted] == [(whoami, (), {"llm_tool_call": call}, None)]


def test_call_gives_output_and_attachments() -> None:
    """A ToolOutput is taken apart."""
    picture = llm.Attachment(type="image/png", content=b"x")
    _, result = walk(steps(), None, llm.ToolOutput({"n": 1}, [picture]), None)
    assert (result.output, result.attachments) == ('{"n": 1}', [picture])


# The chain

MODEL = Echo()
PROMPT = llm.Prompt("go", MODEL, tools=[ADD])
FURTHER = llm.Prompt("on", MODEL, tools=[ADD])
RESULTS = [llm.ToolResult("add", "2", tool_call_id="c1")]


def asks() -> llm.Response:
    """An answer that asks for a call."""
    response = llm.Response.fake(MODEL, "go", response="")
    response._tool_calls = [CALL]
    return response


def says(text: str = "done") -> llm.Response:
    """An answer that asks for nothing."""
    return llm.Response.fake(MODEL, "go", response=text)


class Follow:
    """Makes always the same further prompt, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def __call__(self, before: llm.Prompt, **values: Any) -> llm.Prompt:
        self.given.append(values)
        return FURTHER


@pytest.fixture
def follow() -> Follow:
    """What makes the further prompts."""
    return Follow()


def test_chain_is_one_request_where_nothing_is_asked_for(follow: Follow) -> None:
    """The first answer without calls is the end."""
    assert walk(chain_plan(PROMPT, follow), says()) == ([PROMPT], None)
    assert follow.given == []


def test_chain_goes_on_with_the_results(follow: Follow) -> None:
    """Calls are run with the tools of their prompt, and their results make the next prompt."""
    first = asks()
    wanted, _ = walk(chain_plan(PROMPT, follow), first, RESULTS, says())
    assert wanted == [PROMPT, CallTools(first.prompt, [CALL]), FURTHER]
    assert follow.given == [{"tool_results": RESULTS}]


@pytest.mark.parametrize("limit", [None, 0])
def test_chain_without_limit_goes_on(follow: Follow, limit: int | None) -> None:
    """None and 0 are no limit."""
    answers = [value for _ in range(20) for value in (asks(), RESULTS)]
    wanted, _ = walk(chain_plan(PROMPT, follow, limit), *answers, says())
    assert len(wanted) == 41


def test_chain_limit_counts_answers(follow: Follow) -> None:
    """N answers are allowed; the calls of the last one are not even run."""
    walk(chain_plan(PROMPT, follow, 1), says())
    walk(chain_plan(PROMPT, follow, 2), asks(), RESULTS, says())
    with pytest.raises(ChainLimitExceeded, match="Chain limit of 2 exceeded"):
        walk(chain_plan(PROMPT, follow, 2), asks(), RESULTS, asks())
    with pytest.raises(ChainLimitExceeded):
        walk(chain_plan(PROMPT, follow, 1, next_limit=None), says(), "more")


def history(*results: ToolResultPart) -> list[llm.Message]:
    """A history whose assistant asked for two calls."""
    calls = [ToolCallPart("add", {"a": 1}, "c1"), ToolCallPart("add", {"a": 2}, "c2")]
    messages = [llm.user("go"), llm.assistant(*calls)]
    return messages + ([llm.tool_message(*results)] if results else [])


def test_chain_resumes_with_calls_that_have_no_result(follow: Follow) -> None:
    """They are run before anything is sent, without those that have a result."""
    done = ToolResultPart("add", "2", "c1")
    prompt = llm.Prompt(None, MODEL, tools=[ADD], messages=history(done))
    wanted, _ = walk(chain_plan(prompt, follow), RESULTS, says())
    assert wanted == [
        CallTools(prompt, [llm.ToolCall("add", {"a": 2}, "c2")]),
        FURTHER,
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"messages": [*history(), llm.user("never mind")], "tools": [ADD]},
        {"messages": history()},
        {"messages": [llm.user("go"), llm.assistant("hi")], "tools": [ADD]},
    ],
)
def test_chain_does_not_resume_otherwise(follow: Follow, values: dict[str, Any]) -> None:
    """Not after another message, not without tools, not where nothing is open."""
    prompt = llm.Prompt(None, MODEL, **values)
    assert walk(chain_plan(prompt, follow), says())[0] == [prompt]


@pytest.mark.parametrize("error", [llm.PauseChain("wait"), KeyError("hook"), KeyboardInterrupt()])
def test_chain_is_over_where_calls_break_off(follow: Follow, error: BaseException) -> None:
    """A pause, a failure and Ctrl-C leave the plan, which wants nothing more."""
    plan = chain_plan(PROMPT, follow)
    with pytest.raises(type(error)):
        walk(plan, asks(), error)
    assert walk(plan) == ([], None)


@pytest.mark.parametrize(
    ("next_limit", "asked"), [(0, 0), (1, 1), (2, 2), (None, 5)], ids=["never", "once", "2", "any"]
)
def test_chain_asks_for_further_prompts(follow: Follow, next_limit: int | None, asked: int) -> None:
    """As often as allowed the caller's function is asked after an answer; None ends the chain."""
    answers: list[object] = []
    for number in range(5):
        answers += [says(str(number)), "again" if number < 4 else None]
    last = asked * 2 + (1 if next_limit is not None else 0)
    wanted, _ = walk(chain_plan(PROMPT, follow, None, next_limit), *answers[:last])
    assert sum(isinstance(action, AskNext) for action in wanted) == asked
    followed = asked if next_limit is not None else asked - 1
    assert follow.given == [{"given": "again", "answer": str(n)} for n in range(followed)]


def test_chain_asks_only_after_answers_without_calls(follow: Follow) -> None:
    """Tools come first; the function sees the last answer of a round."""
    answer = says()
    wanted, _ = walk(chain_plan(PROMPT, follow, None, 1), asks(), RESULTS, answer, None)
    assert [type(action) for action in wanted] == [llm.Prompt, CallTools, llm.Prompt, AskNext]
    assert wanted[-1] == AskNext(answer)
