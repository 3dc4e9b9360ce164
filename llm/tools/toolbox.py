"""Toolboxes: objects whose public methods are tools, with state between calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import TYPE_CHECKING, ClassVar, TypeVar

from .._lazy import for_hints
from ..text import JSONObject
from .tool import Tool, captured_arguments

if TYPE_CHECKING:
    from typing_extensions import Self
else:
    for_hints(
        globals(),
        {
            "typing_extensions": "Self",
        },
    )


class Toolbox:
    """Base of classes whose public methods are offered to a model as tools.

    A tool is named `ClassName_method`. The constructor's arguments are kept, so that a
    conversation that goes on later can build the same toolbox again.
    """

    name: str | None = None
    plugin: str | None = None
    instance_id: int | None = None
    _config: JSONObject
    _extra_tools: list[Tool]
    _prepared: bool = False
    _async_prepared: bool = False
    # Methods that are no tools; subclasses add to them.
    _blocked: ClassVar[tuple[str, ...]] = (
        *("add_tool", "is_dynamic", "method_tools", "prepare", "prepare_async", "tools"),
    )

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """The toolbox, with its arguments kept and its own list of added tools.

        This happens here because subclasses rarely call `super().__init__()`.
        """
        toolbox = super().__new__(cls)
        toolbox._extra_tools = []
        toolbox._config = {}
        if cls.__init__ is not object.__init__:
            toolbox._config = captured_arguments(cls.__init__, toolbox, args, kwargs)
        elif args or kwargs:
            # `object` itself only says so to classes without a `__new__`.
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return toolbox

    @classmethod
    def _method_names(cls) -> list[str]:
        """Names of the public methods, sorted; only what a class defines, never what an instance
        happens to hold."""
        return [
            name
            for name in dir(cls)
            if not name.startswith("_")
            and name not in cls._blocked
            and callable(method := getattr(cls, name))
            and not isinstance(method, type)
        ]

    @classmethod
    def method_tools(cls) -> list[Tool]:
        """The tools that the methods make, bound to no instance: good for listing them."""
        return [
            Tool.function(getattr(cls, name), name=f"{cls.__name__}_{name}")
            for name in cls._method_names()
        ]

    def tools(self) -> Iterator[Tool]:
        """The tools of this instance: its methods, then what was added."""
        for name in self._method_names():
            tool = Tool.function(getattr(self, name), name=f"{type(self).__name__}_{name}")
            tool.plugin = self.plugin
            yield tool
        yield from self._extra_tools

    def add_tool(
        self, tool_or_function: Tool | Callable[..., object], pass_self: bool = False
    ) -> None:
        """Add a tool to this instance.

        Args:
            tool_or_function: A `Tool`, or a function that becomes one.
            pass_self: Give the function this toolbox as its first argument.

        Raises:
            TypeError: It is neither.
        """
        tool = tool_or_function
        if not isinstance(tool, Tool):
            if not callable(tool):
                raise TypeError("Tool must be an instance of Tool or a callable function")
            tool = Tool.function(MethodType(tool, self) if pass_self else tool)
        self._extra_tools.append(tool)

    def prepare(self) -> None:
        """Called once before the first tool call of a synchronous prompt; does nothing here."""

    async def prepare_async(self) -> None:
        """Called once before the first tool call of an asynchronous prompt; does nothing here."""

    @classmethod
    def is_dynamic(cls) -> bool:
        """Whether which tools there are is known only from an instance."""
        overridden = ("tools", "prepare", "prepare_async")
        return any(getattr(cls, name) is not getattr(Toolbox, name) for name in overridden)


T = TypeVar("T")
_SPEC = re.compile(r"^(\w+)(?:\((.*)\))?$", re.DOTALL)
# A string, or any other character.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|.', re.DOTALL)


def instantiate_from_spec(class_map: Mapping[str, type[T]], spec: str) -> T:
    """The object that a text such as `Name`, `Name("x")` or `Name(key=[1, 2])` describes.

    Args:
        class_map: Classes by name.
        spec: `Name`, `Name()`, `Name({json object})` for keyword arguments, `Name(json value)`
            for one positional argument, or `Name(key=json, other=json)`.

    Raises:
        ValueError: The text has another form, names no known class, or holds a value that is
            not JSON.
        TypeError: The class does not take these arguments.
    """
    match = _SPEC.match(spec.strip())
    if match is None:
        raise ValueError(f"Invalid spec string: {spec!r}")
    name, body = match[1], (match[2] or "").strip()
    if name not in class_map:
        raise ValueError(f"Unknown class {name!r}")
    make: Callable[..., T] = class_map[name]
    if not body:
        return make()
    if re.match(r"^\w+\s*=(?!=)", body):
        return make(**dict(map(_keyword, _split_at_commas(body))))
    try:
        value = json.loads(body)
    except ValueError:
        raise ValueError(f"Positional argument must be valid JSON: {body}") from None
    return make(**value) if isinstance(value, dict) else make(value)


def _keyword(segment: str) -> tuple[str, object]:
    name, equals, text = segment.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ValueError(f"Invalid keyword spec segment: {segment.strip()!r}")
    try:
        return name.strip(), json.loads(text)
    except ValueError:
        raise ValueError(f"Value for {name.strip()!r} is not valid JSON: {text.strip()}") from None


def _split_at_commas(text: str) -> list[str]:
    """Segments between the commas that stand outside of brackets and strings."""
    segments, depth = [""], 0
    for piece in _PIECE.findall(text):
        depth += (piece in "[{(") - (piece in "]})")
        if piece == "," and depth == 0:
            segments.append("")
        else:
            segments[-1] += piece
    return segments if segments[-1].strip() else segments[:-1]
