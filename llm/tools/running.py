"""Running tool calls: what happens to one call, said once for sync and async.

`call_steps` is a generator without I/O. It yields what has to be called next, is sent the value
(or thrown the exception), and ends with the `ToolResult`. The two drivers below call, or await.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Optional, Union

from .._lazy import for_hints
from ..text.secrets import said_by
from .arguments import INJECTED_PARAMETER, converted, wishes_of
from .calling import CancelToolCall, PauseChain, ToolCall, ToolContext, ToolResult
from .results import taken_apart
from .tool import ServerSideTool, Tool
from .toolbox import Toolbox

if TYPE_CHECKING:
    from asyncio import Future, Task
    from concurrent.futures import ThreadPoolExecutor
else:
    for_hints(
        globals(),
        {
            "asyncio": "Future Task",
            "concurrent.futures": "ThreadPoolExecutor",
        },
    )

BeforeCallSync = Callable[[Optional[Tool], ToolCall], None]
AfterCallSync = Callable[[Tool, ToolCall, ToolResult], None]
BeforeCallAsync = Callable[[Optional[Tool], ToolCall], Union[None, Awaitable[None]]]
AfterCallAsync = Callable[[Tool, ToolCall, ToolResult], Union[None, Awaitable[None]]]
AnyTool = Union[Tool, ServerSideTool]
# The most tools that run in threads at the same time.
MOST_THREADS = 16


@dataclass(slots=True)
class Step:
    """Something to be called: a hook, or the tool itself."""

    run: Callable[[], object]
    #: Name of the hook; `None` for the tool.
    hook: str | None = None
    #: What the tool was told about its call, if it asked.
    context: ToolContext | None = None
    #: It is to be called in a thread where a loop runs.
    threaded: bool = False


Steps = Generator[Step, object, ToolResult]


def box_behind(tool: object) -> Toolbox | None:
    """The toolbox whose method the tool is."""
    owner = getattr(getattr(tool, "implementation", None), "__self__", None)
    return owner if isinstance(owner, Toolbox) else None


def prepare(boxes: Iterable[Toolbox]) -> bool:
    """Give each toolbox its one chance to get ready; whether any took it."""
    is_news = False
    for box in boxes:
        if not box._prepared:
            box.prepare()
            box._prepared = is_news = True
    return is_news


async def prepare_async(boxes: Iterable[Toolbox]) -> bool:
    """The same as `prepare`, asynchronously."""
    is_news = False
    for box in boxes:
        if not box._async_prepared:
            await box.prepare_async()
            box._async_prepared = is_news = True
    return is_news


def _callable(tools: Iterable[AnyTool]) -> tuple[dict[str, Tool], list[Toolbox]]:
    """The tools that run here, by name, and the toolboxes behind them."""
    named: dict[str, Tool] = {}
    boxes: list[Toolbox] = []
    for tool in tools:
        if isinstance(tool, Tool):
            named[tool.name] = tool
            box = getattr(tool.implementation, "__self__", None)
            if isinstance(box, Toolbox):
                boxes.append(box)
    return named, boxes


def call_steps(
    call: ToolCall,
    tool: Tool | None,
    before_call: BeforeCallAsync | None,
    after_call: AfterCallAsync | None,
    conversation: object = None,
) -> Steps:
    """What happens to one tool call: the hooks, the tool, and the result that the model is told."""
    if before_call is not None:
        try:
            yield Step(partial(before_call, tool, call), "before_call")
        except CancelToolCall as refusal:
            return _result(call, f"Cancelled: {said_by(refusal)}", error=refusal)
    if tool is None:
        unknown = KeyError(f'tool "{call.name}" does not exist')
        return _result(call, f"Error: {unknown.args[0]}", error=unknown)
    box = box_behind(tool)
    try:
        value = yield _bound(call, tool, conversation)
        result = _result(call, value, box)
    except PauseChain as pause:
        pause.tool_call = call
        raise
    except Exception as error:  # whatever a tool raises, the model is told
        result = _result(call, f"Error: {said_by(error)}", box, error)
    if after_call is not None:
        yield Step(partial(after_call, tool, call, result), "after_call")
    return result


def _bound(call: ToolCall, tool: Tool, conversation: object) -> Step:
    """The function of a tool, to be called with the arguments of a call."""
    function, arguments = tool.implementation, call.arguments
    if function is None:
        raise NotImplementedError(f'tool "{tool.name}" has no implementation')
    if [*arguments] == ["_raw"] and "_raw" not in tool.input_schema.get("properties", {}):
        raise ValueError(f"the arguments are not a JSON object: {arguments['_raw']}")
    wishes = wishes_of(function)
    if wishes.converters:
        arguments = converted(arguments, wishes)
    if wishes.wants_call:
        arguments = {**arguments, INJECTED_PARAMETER: call}
    context = None
    if wishes.contexts:
        context = ToolContext(call, conversation)
        arguments = {**arguments, **dict.fromkeys(wishes.contexts, context)}
    return Step(partial(function, **arguments), None, context, tool.threaded)


def _result(
    call: ToolCall, value: object, box: Toolbox | None = None, error: Exception | None = None
) -> ToolResult:
    text, files = taken_apart(value)
    return ToolResult(call.name, text, files, call.tool_call_id, box, error)


def run_calls(
    calls: Sequence[ToolCall],
    tools: Iterable[AnyTool],
    before_call: BeforeCallAsync | None = None,
    after_call: AfterCallAsync | None = None,
    timeout_s: float | None = None,
    conversation: object = None,
) -> list[ToolResult]:
    """The results of the calls, in order, one after the other.

    Args:
        calls: What the model asks for.
        tools: What there is; of two with the same name the later one counts. Toolboxes behind them
            get ready first.
        timeout_s: The longest time that a tool may take, in seconds; no limit where missing.
        conversation: What tools that ask are told that they are called in.

    Raises:
        PauseChain: A tool wants the chain to stop. It carries the call and the results so far;
            later calls were not started.
        TypeError: A hook gave something to be awaited.
    """
    named, boxes = _callable(tools)
    prepare(boxes)
    results: list[ToolResult] = []
    try:
        for call in calls:
            steps = call_steps(call, named.get(call.name), before_call, after_call, conversation)
            results.append(_drive(steps, timeout_s))
    except PauseChain as pause:
        pause.tool_results = results
        raise
    return results


def _drive(steps: Steps, timeout_s: float | None) -> ToolResult:
    try:
        step = next(steps)
        while True:
            try:
                value = _perform(step, timeout_s)
            except (Exception, SystemExit) as error:
                step = steps.throw(_kept_in(step, error))
            else:
                step = steps.send(value)
    except StopIteration as end:
        result: ToolResult = end.value
        return result


def _kept_in(step: Step, error: Exception | SystemExit) -> Exception:
    """What a call is told to have raised: a tool that wants to exit does not end the program."""
    if isinstance(error, Exception):
        return error
    if step.hook is not None:
        raise error
    return RuntimeError(f"the tool tried to end the program with exit code {error.code}")


def _perform(step: Step, timeout_s: float | None) -> object:
    try:
        value = step.run() if timeout_s is None else _called(step, timeout_s)
    except BaseException:
        _give_up(step)
        raise
    if not hasattr(value, "__await__"):
        return value
    if step.hook is None:
        return _run_coroutine(_limited(value, timeout_s))
    if hasattr(value, "close"):
        value.close()
    raise TypeError(f"{step.hook} must not be asynchronous in a synchronous chain")


def _called(step: Step, timeout_s: float) -> object:
    """What the function of a step returns; only tools have a time limit."""
    if step.hook is not None:
        return step.run()
    from .limits import call_within

    return call_within(timeout_s, step.run)


def _limited(awaitable: Awaitable[object], timeout_s: float | None) -> Awaitable[object]:
    if timeout_s is None:
        return awaitable
    from .limits import wait_within

    return wait_within(timeout_s, awaitable)


def _run_coroutine(awaitable: Awaitable[object]) -> object:
    """The value of an asynchronous tool, in a loop of its own."""
    import asyncio

    async def value() -> object:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value())
    # Called from a program that runs a loop itself (a notebook): that one cannot be entered.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, value()).result()


async def run_calls_async(
    calls: Sequence[ToolCall],
    tools: Iterable[AnyTool],
    before_call: BeforeCallAsync | None = None,
    after_call: AfterCallAsync | None = None,
    timeout_s: float | None = None,
    conversation: object = None,
) -> list[ToolResult]:
    """The results of the calls, in order; asynchronous and threaded tools run at the same time.

    Raises:
        PauseChain: A tool wants the chain to stop. It carries the call, and the results of all
            calls that finished. Before this, or any other exception, leaves, every call that was
            started has come to its end.
    """
    import asyncio

    named, boxes = _callable(tools)
    await prepare_async(boxes)
    outcomes: list[Task[ToolResult] | ToolResult | Exception] = []
    for call in calls:
        tool = named.get(call.name)
        steps = call_steps(call, tool, before_call, after_call, conversation)
        if _is_async(tool):
            outcomes.append(asyncio.create_task(_drive_async(steps, timeout_s)))
            continue
        try:
            outcomes.append(await _drive_async(steps, timeout_s))
        except Exception as error:
            outcomes.append(error)
            break
    tasks = [outcome for outcome in outcomes if isinstance(outcome, asyncio.Task)]
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        raise
    return _settle(outcomes)


def _is_async(tool: Tool | None) -> bool:
    import inspect

    return tool is not None and (tool.threaded or inspect.iscoroutinefunction(tool.implementation))


def _settle(outcomes: Iterable[Task[ToolResult] | ToolResult | Exception]) -> list[ToolResult]:
    """All results; or the first failure by the order of the calls, a pause only after failures."""
    ended = [
        outcome
        if isinstance(outcome, (ToolResult, Exception))
        else outcome.exception() or outcome.result()
        for outcome in outcomes
    ]
    results = [outcome for outcome in ended if isinstance(outcome, ToolResult)]
    errors = [outcome for outcome in ended if isinstance(outcome, BaseException)]
    for error in sorted(errors, key=lambda error: isinstance(error, PauseChain)):
        if isinstance(error, PauseChain):
            error.tool_results = results
        raise error
    return results


async def _perform_async(step: Step, timeout_s: float | None) -> object:
    try:
        if step.threaded:
            value = await _limited(_in_thread(step.run), timeout_s)
        else:
            value = step.run() if timeout_s is None else _called(step, timeout_s)
        if hasattr(value, "__await__"):
            value = await (value if step.hook else _limited(value, timeout_s))
    except BaseException:
        _give_up(step)
        raise
    return value


def _give_up(step: Step) -> None:
    """Tell a tool that may still run that nobody waits for it."""
    if step.context is not None:
        step.context.cancelled = True


def _in_thread(function: Callable[[], object]) -> Future[object]:
    import asyncio
    from contextvars import copy_context

    run = copy_context().run
    return asyncio.get_running_loop().run_in_executor(_threads(), run, function)


@cache
def _threads() -> ThreadPoolExecutor:
    # Not the one of the loop, in which names of hosts are looked up.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="llm-tool")


async def _drive_async(steps: Steps, timeout_s: float | None) -> ToolResult:
    try:
        step = next(steps)
        while True:
            try:
                value = await _perform_async(step, timeout_s)
            except (Exception, SystemExit) as error:
                step = steps.throw(_kept_in(step, error))
            else:
                step = steps.send(value)
    except StopIteration as end:
        result: ToolResult = end.value
        return result
