"""Tools as values: schemas, hashes, toolboxes, server-side tools, specifications."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Field

import llm
from llm.tools import llm_time, llm_version, parse_arguments
from llm.utils import instantiate_from_spec

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

DATA = Path(__file__).parent / "data"
IDS = json.loads((DATA / "id_vectors.json").read_text())
SCHEMAS = json.loads((DATA / "tool_schemas.json").read_text())


@pytest.fixture(scope="module")
def functions() -> ModuleType:
    """The functions whose schemas were recorded."""
    spec = importlib.util.spec_from_file_location("tool_functions", DATA / "tool_functions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::UserWarning:pydantic.main")
@pytest.mark.parametrize("name", [name for name in SCHEMAS if name.startswith("case_")])
def test_tool_function_schema(functions: ModuleType, name: str) -> None:
    """A function becomes the schema, description and hash that 0.36 gave it."""
    tool = llm.Tool.function(getattr(functions, name))
    assert json.dumps(tool.input_schema) == json.dumps(SCHEMAS[name]["input_schema"])
    # Python 3.13 takes the indentation out of docstrings.
    description = SCHEMAS[name]["description"]
    assert tool.name == name
    assert cleandoc(tool.description or "") == cleandoc(description or "")
    tool.description = description
    assert tool.hash() == SCHEMAS[name]["hash"]
    assert tool.implementation is getattr(functions, name)


def test_tool_schema_of_a_pydantic_class(functions: ModuleType) -> None:
    """A pydantic class given as schema is converted, without the titles that nobody needs."""
    tool = llm.Tool("n", "d", functions.Person)
    assert tool.input_schema == SCHEMAS["Person"]["input_schema"]
    assert tool.hash() == SCHEMAS["Person"]["hash"]


@pytest.mark.parametrize(
    ("plugin", "vector"), [(None, IDS["tool"]), ("fakeplug", IDS["tool_with_plugin"])]
)
def test_tool_hash_vector(plugin: str | None, vector: dict[str, Any]) -> None:
    """The hash of a tool is that of 0.36, with and without a plugin."""
    shape = IDS["tool"]
    tool = llm.Tool(shape["name"], shape["description"], shape["input_schema"], plugin=plugin)
    assert tool.hash() == vector["hash"]


def test_tool_function_annotated_field() -> None:
    """What `Annotated` says of an argument is told to the model."""

    def find(
        count: Annotated[int, Field(description="How many", ge=1)], word: Annotated[str, "x"] = "a"
    ) -> None: ...

    assert llm.Tool.function(find).input_schema == {
        "properties": {
            "count": {"description": "How many", "minimum": 1, "type": "integer"},
            "word": {"default": "a", "type": "string"},
        },
        "required": ["count"],
        "type": "object",
    }


def test_tool_function_unresolvable_annotation() -> None:
    """A name that only type checkers know does not take the other annotations with it."""

    def find(a: int, b: Unknown = "x") -> Unknown: ...

    assert llm.Tool.function(find).input_schema["properties"] == {
        "a": {"type": "integer"},
        "b": {"default": "x", "type": "string"},
    }


def test_tool_function_skips_variable_arguments() -> None:
    """`*args` and `**kwargs` are nothing that a model could fill in."""

    def find(a: int, *args: int, **kwargs: int) -> None: ...

    assert list(llm.Tool.function(find).input_schema["properties"]) == ["a"]


def test_tool_function_name_and_description() -> None:
    """Both can be given; a lambda needs a name."""
    tool = llm.Tool.function(lambda a: a, name="same", description="Gives it back")
    assert (tool.name, tool.description) == ("same", "Gives it back")
    assert llm.Tool.function(lambda: 1, name="one").description is None
    with pytest.raises(ValueError) as caught:
        llm.Tool.function(lambda a: a)
    assert str(caught.value) == (
        "Cannot create a Tool from a lambda function without providing name="
    )


def test_tool_function_of_other_callables() -> None:
    """Methods, built-in functions, partial functions and callable objects are tools too."""

    class Adder:
        """Adds"""

        def __call__(self, a: int) -> int:
            return a

        def method(self, a: int) -> int:
            """Method"""
            return a

    def two(a: int, b: int = 1) -> int:
        """Two numbers"""
        return a + b

    functions: list[Any] = [Adder(), Adder().method, functools.partial(two, b=3), len]
    described = [
        (tool.name, tool.description, tool.input_schema["properties"])
        for tool in map(llm.Tool.function, functions)
    ]
    number = {"type": "integer"}
    assert described == [
        ("Adder", "Adds", {"a": number}),
        ("method", "Method", {"a": number}),
        ("two", "Two numbers", {"a": number, "b": {"default": 3, **number}}),
        ("len", len.__doc__, {"obj": {"type": "string"}}),
    ]


class Box(llm.Toolbox):
    """Some tools."""

    constant = 1

    def __init__(
        self, start: int, label: str = "n", *more: int, last: int = 3, **other: int
    ) -> None:
        self.callback = len
        self.start = start

    @property
    def trap(self) -> None:
        """Must not be looked at."""
        raise AssertionError

    def zeta(self, by: int = 1) -> int:
        """Last"""
        return self.start + by

    def alpha(self) -> str:
        """First"""
        return "a"

    @staticmethod
    def fixed(text: str) -> str:
        """Static"""
        return text

    def _private(self) -> None: ...

    class Inner:
        """Not a tool."""


class Plain(llm.Toolbox):
    """Takes no arguments."""

    def go(self) -> str:
        """Go"""
        return "went"


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ("", {}),
        (" \n", {}),
        ("null", {}),
        (None, {}),
        ("[]", {}),
        ([], {}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('""', {}),
        ("{}", {}),
        ('{"a": [1]}', {"a": [1]}),
        ({"a": [1]}, {"a": [1]}),
        ("{oops", {"_raw": "{oops"}),
        (" [1]", {"_raw": " [1]"}),
        ([1], {"_raw": "[1]"}),
        ('"x"', {"_raw": '"x"'}),
        ("0", {"_raw": "0"}),
        (False, {"_raw": "false"}),
        ("[" * 100_000, {"_raw": "[" * 100_000}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_parse_arguments_keeps_what_is_no_object(given: object, arguments: dict[str, Any]) -> None:
    """Arguments are an object; anything else that a model wrote is kept as text."""
    assert parse_arguments(given) == arguments


def test_toolbox_tools_are_its_public_methods() -> None:
    """Methods that the class defines are tools; attributes of the instance are not."""
    tools = list(Box(5).tools())
    assert [(tool.name, tool.description) for tool in tools] == [
        ("Box_alpha", "First"),
        ("Box_fixed", "Static"),
        ("Box_zeta", "Last"),
    ]
    implementation: Any = tools[2].implementation
    assert implementation(by=2) == 7
    assert implementation.__self__.start == 5


def test_toolbox_method_tools_need_no_instance() -> None:
    """The tools of a class can be listed without making one."""
    assert [tool.name for tool in Box.method_tools()] == ["Box_alpha", "Box_fixed", "Box_zeta"]
    assert list(Box.method_tools()[2].input_schema["properties"]) == ["by"]


def test_toolbox_tools_know_their_plugin() -> None:
    """The plugin that registered the toolbox registered its tools."""

    class Owned(Plain):
        plugin = "owner"

    assert [tool.plugin for tool in Owned().tools()] == ["owner"]


@pytest.mark.parametrize(
    ("box", "config"),
    [
        (Box(1), {"start": 1, "label": "n", "last": 3}),
        (Box(1, "x", 7, 8, last=4, z=9), {"start": 1, "label": "x", "last": 4}),
        (Plain(), {}),
    ],
)
def test_toolbox_keeps_its_arguments(box: llm.Toolbox, config: dict[str, object]) -> None:
    """Arguments are kept with defaults filled in, whether or not `__init__` calls its parent."""
    assert box._config == config


def test_toolbox_keeps_the_arguments_of_the_outermost_class() -> None:
    """What was passed to a subclass is what makes it again."""

    class Child(Box):
        def __init__(self, z: int = 1) -> None:
            super().__init__(z * 2)

    assert Child(4)._config == {"z": 4}


def test_toolbox_refuses_wrong_arguments() -> None:
    """Arguments that do not fit are an error, also where there is no constructor."""
    unchecked: Any = Box
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'start'"):
        unchecked()
    with pytest.raises(TypeError, match=r"Plain\(\) takes no arguments"):
        Plain(bad=1)


def test_toolbox_add_tool() -> None:
    """Functions and tools can be added to an instance; with `pass_self` they get it."""
    box, other = Plain(), Plain()

    def label(toolbox: Plain, text: str) -> str:
        """Label"""
        return f"{toolbox.go()} {text}"

    def free(text: str) -> str:
        """Free"""
        return text

    box.add_tool(label, pass_self=True)
    box.add_tool(free)
    box.add_tool(llm.Tool("made"))
    tools = list(box.tools())
    assert [tool.name for tool in tools] == ["Plain_go", "label", "free", "made"]
    assert tools[1].implementation is not None
    assert tools[1].implementation(text="x") == "went x"
    assert list(tools[1].input_schema["properties"]) == ["text"]
    assert [tool.name for tool in other.tools()] == ["Plain_go"]
    number: Any = 3
    with pytest.raises(TypeError, match="Tool must be an instance of Tool or a callable function"):
        box.add_tool(number)


def test_toolbox_base_instances_are_independent() -> None:
    """Tools added to one plain toolbox are not in another."""
    first, second = llm.Toolbox(), llm.Toolbox()
    first.add_tool(llm.Tool("made"))
    assert [tool.name for tool in first.tools()] == ["made"]
    assert list(second.tools()) == []


def test_toolbox_defaults() -> None:
    """A toolbox has no name, plugin or number before it is registered or logged."""
    assert (llm.Toolbox.name, llm.Toolbox.plugin, llm.Toolbox.instance_id) == (None,) * 3


@pytest.mark.parametrize("method", ["tools", "prepare", "prepare_async"])
def test_toolbox_is_dynamic(method: str) -> None:
    """A toolbox is dynamic if it overrides what decides over its tools."""
    dynamic: Any = type("Dynamic", (Plain,), {method: lambda self: None})
    assert dynamic.is_dynamic()
    assert not Plain.is_dynamic()


class Search(llm.ServerSideTool):
    """Doc"""

    name = "ss"

    def __init__(self, a: int = 1, **more: int) -> None:
        self.a = a


def test_server_side_tool_hash_vector() -> None:
    """The hash is that of 0.36; the configuration is kept beside it."""
    vector = IDS["server_side_tool"]
    tool = Search(2)
    assert (tool.name, tool.description) == (vector["name"], vector["description"])
    assert tool._config == vector["config"]
    assert tool.hash() == vector["hash"]


def test_server_side_tool_hash_has_the_plugin() -> None:
    """Tools of different plugins differ."""

    class Owned(Search):
        """Doc"""

        plugin = "owner"

    assert Owned().hash() != Search().hash()


def test_server_side_tool_description_is_inherited() -> None:
    """A subclass without words of its own is described by its parent's."""

    class Child(Search):
        name = "child"

    assert Child().description == "Doc"


def test_server_side_tool_raw_specification() -> None:
    """The class itself passes a specification on; without one there is nothing to send."""
    tool: Any = llm.ServerSideTool({"type": "x"})
    assert tool.tool_spec(None) == {"type": "x"}
    assert tool._config == {"spec": {"type": "x"}}
    assert tool.prepare_request(None, {}) is None
    empty: Any = llm.ServerSideTool()
    with pytest.raises(TypeError, match="ServerSideTool does not define a raw provider tool spec"):
        empty.tool_spec(None)


class Recorder:
    """Keeps its arguments."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.given = (list(args), kwargs)


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        ("R", ([], {})),
        (" R() ", ([], {})),
        ('R("x")', (["x"], {})),
        ("R([1, 2])", ([[1, 2]], {})),
        ("R(null)", ([None], {})),
        ('R({"a": 1})', ([], {"a": 1})),
        (
            'R(a=1, b="x,y\\"]", c=[1, {"d": 2}])',
            ([], {"a": 1, "b": 'x,y"]', "c": [1, {"d": 2}]}),
        ),
        ("R(a=1,)", ([], {"a": 1})),
        ('R("a=1")', (["a=1"], {})),
    ],
)
def test_spec_gives_arguments(spec: str, given: tuple[list[object], dict[str, object]]) -> None:
    """A class is made with what stands between the brackets."""
    assert instantiate_from_spec({"R": Recorder}, spec).given == given


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "Invalid spec string: ''"),
        ("R(", "Invalid spec string: 'R('"),
        ("R()x", "Invalid spec string: 'R()x'"),
        ("Z()", "Unknown class 'Z'"),
        ("R(a=b)", "Value for 'a' is not valid JSON: b"),
        ("R(a=1, b)", "Invalid keyword spec segment: 'b'"),
        ("R('x')", "Positional argument must be valid JSON: 'x'"),
    ],
)
def test_spec_error(spec: str, message: str) -> None:
    """A mistake is named."""
    with pytest.raises(ValueError) as caught:
        instantiate_from_spec({"R": Recorder}, spec)
    assert str(caught.value) == message


def test_builtin_tools() -> None:
    """The two tools that are always there tell the version and the time."""
    from datetime import datetime, timezone

    from llm._version import VERSION

    assert llm_version() == VERSION
    told = llm_time()
    assert datetime.fromisoformat(told["utc_time_iso"]).tzinfo == timezone.utc
    assert set(told) == {
        "utc_time",
        "utc_time_iso",
        "local_timezone",
        "local_time",
        "timezone_offset",
        "is_dst",
    }


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("AAA+03:30", "UTC-03:30"), ("BBB-05:45", "UTC+05:45"), ("UTC", "UTC+00:00")],
)
def test_builtin_time_offset(zone: str, offset: str) -> None:
    """The offset from UTC has its sign and its minutes."""
    script = "from llm.tools import llm_time; print(llm_time()['timezone_offset'])"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env={**os.environ, "TZ": zone}, capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == (offset, "")
