"""Functions whose annotations name what only type checkers know: schemas, calls, listings."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType

import pydantic
import pytest

import llm
from llm.material.tools import constructor_text, signature_text

from .helpers.quick import Caller, Echo

SOURCE = """
import functools
from typing import TYPE_CHECKING, Optional

import llm

if TYPE_CHECKING:
    from nowhere import Unknown


def shout(text: str, times: Optional[int] = None, tone: Unknown = None) -> Unknown:
    "Say it loud"
    return text.upper()


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(text: str, llm_tool_call: Unknown) -> Unknown:
    return f"{text} {llm_tool_call.name}"


class Loud:
    def __call__(self, text: str, tone: Unknown) -> Unknown:
        return text.upper()


class Box(llm.Toolbox):
    def __init__(self, start: Unknown, size: int = 3):
        self.start = start

    def peek(self, at: int, tone: Unknown) -> Unknown:
        return self.start


def following(response: Unknown, prompt: Unknown) -> Unknown:
    return f"after {prompt.prompt}"
"""
# Python 3.14 evaluates annotations when somebody looks at them; before, these have to be texts.
HEADERS = ["from __future__ import annotations\n"] + ([""] if sys.version_info >= (3, 14) else [])


@pytest.fixture(params=HEADERS, ids=["text", "lazy"][: len(HEADERS)])
def module(request: pytest.FixtureRequest) -> ModuleType:
    """The functions above."""
    module = ModuleType("functions_of_test")
    code = compile(request.param + SOURCE, "<source>", "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def types(function: Callable[..., object]) -> dict[str, object]:
    """The types of a tool's arguments."""
    properties = llm.Tool.function(function, name="t").input_schema["properties"]
    return {name: schema.get("type", schema.get("anyOf")) for name, schema in properties.items()}


def test_schema_keeps_the_other_types(module: ModuleType) -> None:
    """An unknown type is a text; the types beside it are what they are."""
    optional = [{"type": "integer"}, {"type": "null"}]
    assert types(module.shout) == {"text": "string", "times": optional, "tone": "string"}
    assert types(module.wrapped) == {"text": "string"}
    assert types(functools.partial(module.shout, tone=1)) == {
        "text": "string",
        "times": optional,
        "tone": "string",
    }
    assert types(module.Loud()) == {"text": "string", "tone": "string"}


def test_toolbox_keeps_its_arguments(module: ModuleType) -> None:
    """Constructor and methods may name unknown types."""
    box = module.Box("s")
    assert box._config == {"start": "s", "size": 3}
    (tool,) = box.tools()
    assert tool.input_schema["properties"] == {
        "at": {"type": "integer"},
        "tone": {"type": "string"},
    }


def test_signature_is_shown_as_it_is_written(module: ModuleType) -> None:
    """Unknown names stand in listings without quotes, known ones as types."""
    assert signature_text(module.Box.peek) == "(at: int, tone: Unknown) -> Unknown"
    assert constructor_text(module.Box) == "(start: Unknown, size: int = 3)"


def test_annotation_that_is_no_type_counts_as_text() -> None:
    """Prose as an annotation does not keep a function from being a tool."""

    def measure(a: int, b: int = 1) -> None: ...

    measure.__annotations__ |= {"b": "the width, in metres", "return": "nothing much"}

    assert types(measure) == {"a": "integer", "b": "string"}


def test_calls_need_no_types(module: ModuleType) -> None:
    """Tools, also wrapped ones that want the call itself, and `next` run."""
    shout = llm.Tool("shout", implementation=module.wrapped)
    chain = Caller().chain("hi", tools=[shout], chain_limit=1)
    response = next(iter(chain.responses()))
    (result,) = response.execute_tool_calls()
    assert result.output == "hi shout"
    chain = Echo("answer").chain("hi", next=module.following, once=True)
    assert [response.prompt.prompt for response in chain.responses()] == ["hi", "after hi"]


def test_schema_of_a_function_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tool has a schema of its own; pydantic is asked once for each name of a function."""

    def look_up(word: str, count: int | None = 1) -> str:
        return word * (count or 1)

    made: list[str] = []
    create_model = pydantic.create_model

    def counted(name: str, **fields: object) -> object:
        made.append(name)
        return create_model(name, **fields)  # type: ignore[call-overload]

    monkeypatch.setattr(pydantic, "create_model", counted)
    tools = [llm.Tool.function(look_up) for _ in range(3)]
    tools[0].input_schema["properties"].clear()
    assert [*tools[1].input_schema["properties"]] == ["word", "count"]
    assert tools[1].input_schema == tools[2].input_schema
    llm.Tool.function(look_up, name="other")
    assert made == ["look_up", "other"]


def test_schema_of_a_method_leaves_out_what_it_is_bound_to() -> None:
    """A method and the function behind it differ in their first argument, whatever its name."""

    class Box:
        def look_up(this, word: str) -> str:
            return word

    for _ in range(2):
        assert [*llm.Tool.function(Box.look_up).input_schema["properties"]] == ["this", "word"]
        assert [*llm.Tool.function(Box().look_up).input_schema["properties"]] == ["word"]
