"""Arguments and results of tools that have types: converted, validated, described, injected."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import enum
import functools
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, Union

import pydantic
import pytest

import llm
from llm.tools.docstrings import split
from llm.tools.running import run_calls, run_calls_async

from .helpers.quick import Caller


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    name: str
    height: float = 0


class Trip(pydantic.BaseModel):
    day: datetime.date
    to: Place


TRIP = Trip(day=datetime.date(2026, 5, 17), to=Place("Ulm", 0.0))


def run(function: object, **arguments: Any) -> llm.ToolResult:
    """The result of one call."""
    tool = function if isinstance(function, llm.Tool) else llm.Tool.function(function)  # type: ignore[arg-type]
    (result,) = run_calls([llm.ToolCall(tool.name, arguments, "c1")], [tool])
    return result


def value_of(hint: object, given: object, default: object = ...) -> object:
    """What a parameter annotated like that is given."""
    got: list[object] = []

    def look(x: Any) -> None:
        got.append(x)

    look.__annotations__ = {"x": hint}
    if default is not ...:
        look.__defaults__ = (default,)
    result = run(llm.Tool("look", implementation=look), x=given)
    assert result.exception is None, result.output
    return got[0]


@pytest.mark.parametrize(
    ("hint", "given", "value"),
    [
        (Colour, "red", Colour.RED),
        (datetime.date, "2026-05-17", datetime.date(2026, 5, 17)),
        (Place, {"name": "Ulm", "height": 478}, Place("Ulm", 478.0)),
        (Trip, {"day": "2026-05-17", "to": {"name": "Ulm"}}, TRIP),
        (list[Place], [{"name": "Ulm"}], [Place("Ulm")]),
        (Optional[datetime.date], None, None),
        (Optional[int], "5", 5),
        (Union[int, Colour], "blue", Colour.BLUE),
        (Literal["a", "b"], "b", "b"),
        (set[int], [1, 2], {1, 2}),
        (Annotated[int, pydantic.Field(ge=1)], "3", 3),
        (Place, Place("Ulm"), Place("Ulm")),
    ],
)
def test_rich_types_are_made(hint: object, given: object, value: object) -> None:
    """What the annotation says is what the function gets."""
    found = value_of(hint, given)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("hint", "given", "value"),
    [
        (int, "5", 5),
        (int, 5.0, 5),
        (int, 5.5, 5.5),
        (int, "five", "five"),
        (int, "5.5", "5.5"),
        (int, None, None),
        (int, True, True),
        (float, 3, 3.0),
        (float, "2.5", 2.5),
        (float, "2", 2.0),
        (float, 2**60 + 1, 2**60 + 1),
        (float, "x", "x"),
        (bool, "true", True),
        (bool, "False", False),
        (bool, 1, True),
        (bool, 2, 2),
        (bool, "yes", "yes"),
        (str, 5, "5"),
        (str, 1.5, "1.5"),
        (str, False, "false"),
        (str, [1], [1]),
        (str, "5", "5"),
        (Any, "5", "5"),
        (object, 5, 5),
    ],
)
def test_plain_types_are_converted_where_nothing_is_lost(
    hint: object, given: object, value: object
) -> None:
    """Anything else is passed as it came: the function itself may know what to do."""
    found = value_of(hint, given)
    assert (found, type(found)) == (value, type(value))


def test_default_none_is_a_value_of_its_type() -> None:
    """`x: date = None` takes `null`."""
    assert value_of(datetime.date, None, None) is None


def test_arguments_without_types_are_passed_as_they_came() -> None:
    """Nothing is known of them."""

    def look(x, *rest, **more):  # type: ignore[no-untyped-def]
        return [x, more]

    assert run(look, x=1, y="2").output == '[1, {"y": "2"}]'
    assert run(functools.partial(look, x=3), y=4).output == '[3, {"y": 4}]'


def test_mismatch_is_told_so_that_it_can_be_mended() -> None:
    """Every argument that does not fit, where in it, and why; the function does not run."""

    def plan(trip: Trip, colour: Colour, note: str = "") -> str:
        raise AssertionError("it ran")

    result = run(plan, trip={"day": "soon", "to": {}}, colour="green", note="x")
    assert isinstance(result.exception, ValueError)
    said = result.output
    assert said.startswith(
        "Error: the arguments do not fit: trip.day: Input should be a valid date"
    )
    assert "trip.to.name: Field required" in said
    assert "colour: Input should be 'red' or 'blue'" in said


def test_model_mends_its_arguments() -> None:
    """The next answer sees what was wrong."""
    days: list[datetime.date] = []

    def book(day: datetime.date) -> str:
        days.append(day)
        return "booked"

    class Planner(llm.Model):
        model_id = "planner"
        supports_tools = True

        def execute(
            self,
            prompt: llm.Prompt,
            stream: bool,
            response: llm.Response,
            conversation: llm.Conversation | None,
        ) -> Any:
            told = prompt.tool_results[0].output if prompt.tool_results else ""
            if told != "booked":
                day = "2026-05-17" if "valid date" in told else "tomorrow"
                response.add_tool_call(llm.ToolCall("book", {"day": day}))
            yield told

    assert Planner().chain("x", tools=[book]).text().endswith("booked")
    assert days == [datetime.date(2026, 5, 17)]


def test_pydantic_stays_away_from_plain_tools() -> None:
    """Schema, arguments and result of a plain function need none of it."""
    program = """
import sys, llm
from llm.tools.running import run_calls
def add(a: int, b: float = 1.5, c: str = "", d: bool = False, e=None):
    '''Add.

    Args:
        a: the first
    '''
    return {"sum": a + b}
tool = llm.Tool.function(add)
(result,) = run_calls([llm.ToolCall("add", {"a": "2"})], [tool])
print(result.output, "pydantic" in sys.modules, "pydantic_core" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('{"sum": 3.5} False False\n', "")


def test_plain_schema_is_what_pydantic_makes() -> None:
    """The hash of a tool does not depend on who computed its schema."""
    fields: dict[str, Any] = {
        "a": (int, ...),
        "b": (str, ...),
        "c": (float, ...),
        "d": (str, "x"),
        "e": (bool, True),
        "f": (int, None),
        "g": (float, 2.5),
    }
    plain: dict[str, Any] = {}
    code = (
        "def plain(a: int, b, c: float, d: str='x', e: bool=True, f: int=None, g: float=2.5): ..."
    )
    exec(code, plain)
    exec("def nothing(): ...", plain)
    kinds: dict[str, Any]
    for function, kinds in (("plain", fields), ("nothing", {})):
        schema = pydantic.create_model("x", **kinds).model_json_schema()
        for shape in (schema, *schema["properties"].values()):
            shape.pop("title")
        assert json.dumps(llm.Tool.function(plain[function]).input_schema) == json.dumps(schema)


# Results


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (Place("Ulm", 478.0), '{"name": "Ulm", "height": 478.0}'),
        (
            TRIP,
            '{"day": "2026-05-17", "to": {"name": "Ulm", "height": 0.0}}',
        ),
        ([Place("Ulm", 1.0)], '[{"name": "Ulm", "height": 1.0}]'),
        ({"c", "a", "b"}, '["a", "b", "c"]'),
        (frozenset({Colour.RED}), '["red"]'),
        (b"abc", '"abc"'),
        (b"\xff\x00", '"_wA="'),
        (datetime.datetime(2026, 5, 17, 12), '"2026-05-17T12:00:00"'),
        (datetime.timedelta(minutes=1), '"PT1M"'),
        ({"at": datetime.date(2026, 5, 17)}, '{"at": "2026-05-17"}'),
        (Colour.BLUE, '"blue"'),
    ],
)
def test_results_are_json(value: object, output: str) -> None:
    """Whatever has a usual form in JSON is told in it."""
    assert run(lambda_of(value)).output == output


def lambda_of(value: object) -> llm.Tool:
    """A tool that returns the value."""
    return llm.Tool("give", implementation=lambda: value)


def test_attachments_are_attachments() -> None:
    """One, or a list of them, goes along; a list with other things is no list of files."""
    picture = llm.Attachment(type="image/png", content=b"x")
    other = llm.Attachment(content=b"y")
    result = run(lambda_of(picture))
    assert (result.output, result.attachments) == ("Attached: image/png", [picture])
    result = run(lambda_of([picture, other]))
    assert (result.output, result.attachments) == (
        "Attached: image/png, a file",
        [picture, other],
    )
    assert run(lambda_of([])).output == "[]"
    assert run(lambda_of(["a", picture])).attachments == []


def test_what_never_ends_is_not_read() -> None:
    """A generator is shown, not exhausted."""
    endless = iter(int, 1)
    assert "callable_iterator" in run(lambda_of(endless)).output


# Descriptions

GOOGLE = """Look a place up.

    It may take a while.

    Args:
        name: The name of the
            place, in full.
        height (int, optional): In metres.
        *rest: More.

    Returns:
        The place.
    """
NUMPY = """Look a place up.

    It may take a while.

    Parameters
    ----------
    name : str
        The name of the
        place, in full.
    height : int, optional
        In metres.

    Returns
    -------
    str
        The place.
    """
SPHINX = """Look a place up.

    It may take a while.

    :param name: The name of the
        place, in full.
    :type name: str
    :param int height: In metres.
    :returns: The place.
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_docstring_describes_arguments(docstring: str) -> None:
    """What it says of them is in the schema, the rest is the description."""

    def look(name: str, height: int = 0) -> str:
        return name

    look.__doc__ = docstring
    tool = llm.Tool.function(look)
    properties = tool.input_schema["properties"]
    assert properties["name"]["description"] == "The name of the place, in full."
    assert properties["height"]["description"] == "In metres."
    assert tool.description is not None
    assert tool.description.startswith("Look a place up.\n\nIt may take a while.\n\n")
    assert tool.description.endswith("The place.")
    assert "metres" not in tool.description


def test_docstring_does_not_beat_a_field() -> None:
    """Who describes an argument in its annotation has the last word."""

    def look(name: Annotated[str, pydantic.Field(description="its name")]) -> str:
        """Look.

        Args:
            name: something else
        """
        return name

    assert llm.Tool.function(look).input_schema["properties"]["name"]["description"] == "its name"


@pytest.mark.parametrize(
    "docstring",
    ["Arguments are numbers.", "Args:", "Say it.\n\n    Args:\n        other: no parameter\n"],
)
def test_docstring_without_descriptions_stays(docstring: str) -> None:
    """Nothing is taken out where nothing is found."""
    assert split(docstring, ["name"]) == (docstring, {})


# The context of a call


def test_context_is_given_and_not_offered() -> None:
    """A parameter of that type is filled in, and the model does not know it."""
    seen: list[llm.ToolContext] = []

    def shout(text: str, context: llm.ToolContext, other: Optional[llm.ToolContext] = None) -> str:
        assert other is context
        seen.append(context)
        return text.upper()

    tool = llm.Tool.function(shout)
    assert [*tool.input_schema["properties"]] == ["text"]
    conversation = Caller().conversation()
    (result,) = conversation.prompt("x", tools=[tool]).execute_tool_calls()
    assert result.output == "HI"
    (context,) = seen
    assert context.conversation is conversation
    assert context.tool_call.arguments == {"text": "hi"}
    assert context.tool_call_id == context.tool_call.tool_call_id
    assert not context.cancelled


def test_context_says_that_nobody_waits() -> None:
    """After the time limit a thread that goes on can see that it need not."""
    contexts: list[llm.ToolContext] = []
    done = threading.Event()

    @llm.tool(threaded=True)
    def slow(context: llm.ToolContext) -> str:
        contexts.append(context)
        while not context.cancelled:
            done.wait(0.005)
        done.set()
        return "stopped"

    tool = llm.Tool.function(slow)
    calls = [llm.ToolCall("slow", {}, "c1")]
    (result,) = asyncio.run(run_calls_async(calls, [tool], timeout_s=0.05))
    assert isinstance(result.exception, TimeoutError)
    assert done.wait(10)


# Threads

VARIABLE = contextvars.ContextVar("VARIABLE", default="")


def test_threaded_tools_leave_the_loop_alone() -> None:
    """Two of them wait for each other, and for the loop; context variables are the caller's."""
    barrier = threading.Barrier(2)
    ticked = threading.Event()

    def meet() -> str:
        barrier.wait(10)
        assert ticked.wait(10)
        assert threading.current_thread() is not threading.main_thread()
        return VARIABLE.get()

    async def main() -> list[llm.ToolResult]:
        VARIABLE.set("mine")
        asyncio.get_running_loop().call_later(0.01, ticked.set)
        tool = llm.Tool.function(meet, threaded=True)
        calls = [llm.ToolCall("meet", {}, "a"), llm.ToolCall("meet", {}, "b")]
        return await run_calls_async(calls, [tool])

    results = asyncio.run(main())
    assert [(result.tool_call_id, result.output) for result in results] == [
        ("a", "mine"),
        ("b", "mine"),
    ]


def test_other_tools_run_inline_and_in_order() -> None:
    """What is bound to its thread works in an asynchronous chain."""
    seen: list[tuple[int, int]] = []

    def here(number: int) -> None:
        seen.append((number, threading.get_ident()))

    calls = [llm.ToolCall("here", {"number": number}) for number in range(3)]
    asyncio.run(run_calls_async(calls, [llm.Tool.function(here)]))
    assert seen == [(number, threading.get_ident()) for number in range(3)]


def test_threaded_is_declared_in_either_way() -> None:
    """By the decorator, by the maker of the tool, and for methods of a toolbox."""

    @llm.tool(threaded=True)
    def one() -> None: ...

    class Box(llm.Toolbox):
        @llm.tool(threaded=True, side_effects=False)
        def two(self) -> None: ...

    def three() -> None: ...

    (two,) = Box().tools()
    assert llm.Tool.function(one).threaded
    assert llm.Tool("one", implementation=one).threaded
    assert two.threaded
    assert not two.side_effects
    assert llm.Tool.function(three, threaded=True).threaded
    assert not llm.Tool.function(three).threaded


def test_threaded_tool_runs_in_its_turn_without_a_loop() -> None:
    """A synchronous chain has no loop to keep going."""

    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert run(llm.Tool.function(where, threaded=True)).output == "true"
