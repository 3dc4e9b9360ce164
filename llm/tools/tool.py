"""Tools as a model sees them: a name, a description, a JSON schema of the arguments."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from weakref import WeakKeyDictionary

from .._lazy import for_hints
from ..text import JSONObject
from .arguments import INJECTED_PARAMETER, is_context
from .signatures import signature_of, type_hints_of

if TYPE_CHECKING:
    import inspect

    from typing_extensions import Self

    from ..serialization import InstanceDict, ToolDict
else:
    for_hints(
        globals(),
        {
            "inspect": "",
            "llm.serialization": "InstanceDict ToolDict",
            "typing_extensions": "Self",
        },
    )

_SIDE_EFFECTS = "llm_side_effects"
_THREADED = "llm_threaded"
# What JSON calls the types that need no pydantic.
_PLAIN_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}

# A docstring without any of these says nothing of single arguments.
_MAY_DESCRIBE = re.compile(r"^\s*(Arg|Param|Other Param|:(param|arg))", re.MULTILINE)

F = TypeVar("F", bound=Callable[..., object])


def tool(*, side_effects: bool = True, threaded: bool = False) -> Callable[[F], F]:
    """A decorator that declares what a function or method does when it is called as a tool.

    The function stays as it is otherwise.

    Args:
        side_effects: Whether calling it can change or send anything. Rules about which tools may
            run can let those pass that only look.
        threaded: Run it in a thread where the model is asynchronous, so that the loop goes on.
    """

    def declare(function: F) -> F:
        setattr(function, _SIDE_EFFECTS, side_effects)
        setattr(function, _THREADED, threaded)
        return function

    return declare


@dataclass
class Tool:
    """A function that a model may ask to have called.

    Args:
        name: What the model calls it by.
        description: What the model is told about it.
        input_schema: JSON schema of the arguments, or a pydantic class, which is converted.
        implementation: The function; it gets the arguments by name.
        plugin: Name of the plugin that registered it.
        threaded: In an asynchronous chain it runs in a thread of a pool, with the context variables
            of the caller, at the same time as others. Otherwise it runs in the thread of the loop,
            in its turn.
    """

    name: str
    description: str | None = None
    input_schema: JSONObject = field(default_factory=dict)
    implementation: Callable[..., Any] | None = None
    plugin: str | None = None
    threaded: bool = False

    def __post_init__(self) -> None:
        self.threaded = self.threaded or bool(getattr(self.implementation, _THREADED, False))
        if not isinstance(self.input_schema, dict):
            self.input_schema = _without_titles(self.input_schema.model_json_schema())

    @property
    def side_effects(self) -> bool:
        """Whether calling it can change or send anything; so it is unless `llm.tool` says no."""
        return bool(getattr(self.implementation, _SIDE_EFFECTS, True))

    def hash(self) -> str:
        """SHA-256 hex digest of what the model is told and of the plugin's name, if any."""
        return definition_hash(definition_of(self))

    @classmethod
    def function(
        cls,
        function: Callable[..., object],
        name: str | None = None,
        description: str | None = None,
        *,
        threaded: bool = False,
    ) -> Tool:
        """The tool that a Python function makes.

        Args:
            function: Its signature becomes the schema: annotations are types (`str` where there
                is none), defaults make an argument optional. `self`, `llm_tool_call`, `*args`,
                `**kwargs` and what is annotated `ToolContext` are left out. What the docstring says
                of an argument describes it.
            name: The tool's name; a lambda needs one, others have their own.
            description: What the model is told; where it is missing the docstring, without what
                that says of arguments.
            threaded: See the class.

        Raises:
            ValueError: A lambda came without a name.
        """
        # A functools.partial has neither a name nor a docstring of its own.
        named = getattr(function, "func", function)
        name = name or getattr(named, "__name__", None) or type(named).__name__
        if name == "<lambda>":
            raise ValueError("Cannot create a Tool from a lambda function without providing name=")
        schema = _schema_of(function, name)
        text = getattr(named, "__doc__", None) or None
        if text and _MAY_DESCRIBE.search(text):
            from .docstrings import split

            text, said = split(text, schema["properties"])
            for argument, sentence in said.items():
                schema["properties"][argument].setdefault("description", sentence)
        return cls(name, description or text, schema, function, threaded=threaded)


def definition_hash(definition: ToolDict) -> str:
    """SHA-256 hex digest of what a model is told of a tool and of the plugin's name, if any."""
    from hashlib import sha256

    keys = ("name", "description", "input_schema", "server_side", "plugin")
    shape = {key: definition.get(key) for key in keys if key in definition}
    return sha256(json.dumps(shape).encode("utf-8")).hexdigest()


def definition_of(tool: Tool | ServerSideTool, instance: InstanceDict | None = None) -> ToolDict:
    """What a model is told of a tool, its plugin, and the toolbox that it is of."""
    shape: ToolDict = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
    }
    if tool.plugin is not None:
        shape["plugin"] = tool.plugin
    if instance is not None:
        shape["instance"] = instance
    if isinstance(tool, ServerSideTool):
        shape["server_side"] = True
    return shape


def _without_titles(value: object) -> Any:
    """The schema without the `title`s that pydantic adds and no model needs."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item)
            for key, item in value.items()
            if not (key == "title" and isinstance(item, str))
        }
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    return value


# What was computed of a function, by the name that its tool got and whether it is a bound method.
_schemas: WeakKeyDictionary[FunctionType, dict[tuple[str, bool], JSONObject]] = WeakKeyDictionary()


def _schema_of(function: Callable[..., object], name: str) -> JSONObject:
    """A schema of the caller's own; pydantic is asked once for each function."""
    plain = getattr(function, "__func__", function)
    known = _schemas.setdefault(plain, {}) if isinstance(plain, FunctionType) else {}
    key = (name, plain is function)
    if key not in known:
        known[key] = _computed_schema(function, name)
    schema: JSONObject = _without_titles(known[key])
    return schema


def _computed_schema(function: Callable[..., object], name: str) -> JSONObject:
    hints = type_hints_of(function)
    arguments = [
        (parameter, hint)
        for parameter in signature_of(function).parameters.values()
        if _is_argument(parameter) and not is_context(hint := hints.get(parameter.name, str))
    ]
    if all(_is_plain(parameter, hint) for parameter, hint in arguments):
        return _plain_schema(arguments)
    from pydantic import create_model

    fields: JSONObject = {}
    for parameter, hint in arguments:
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, default)
    return create_model(name, **fields).model_json_schema()


def _is_plain(parameter: inspect.Parameter, hint: object) -> bool:
    """Whether the schema of an argument needs no pydantic, which leaves out names with `_`."""
    default = parameter.default
    is_usual = default is parameter.empty or default is None or type(default) is hint
    if isinstance(default, float) and not math.isfinite(default):
        return False
    return is_usual and hint in _PLAIN_TYPES and not parameter.name.startswith("_")


def _plain_schema(arguments: Sequence[tuple[inspect.Parameter, type]]) -> JSONObject:
    """What pydantic makes of arguments that are all plain."""
    properties: JSONObject = {}
    required = []
    for parameter, hint in arguments:
        shape: JSONObject = {"type": _PLAIN_TYPES[hint]}
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            shape = {"default": parameter.default, **shape}
        properties[parameter.name] = shape
    listed = {"required": required} if required else {}
    return {"properties": properties, **listed, "type": "object"}


def _is_argument(parameter: inspect.Parameter) -> bool:
    if parameter.name in ("self", INJECTED_PARAMETER):
        return False
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


class NamedModel(Protocol):
    """What a provider's tool can know of the model that it is for."""

    model_id: str


class ServerSideTool:
    """A tool that the provider runs itself; this side only asks for it.

    Subclasses describe one such tool: they set `name`, have a docstring, and override
    `tool_spec`. The class itself passes a raw specification on.

    Args:
        spec: The provider's own specification, sent as it is.
    """

    name: ClassVar[str] = "server_side_tool"
    plugin: ClassVar[str | None] = None
    implementation: ClassVar[None] = None
    input_schema: ClassVar[JSONObject] = {}
    _config: JSONObject

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """The tool, with its constructor arguments kept for the log."""
        tool = super().__new__(cls)
        tool._config = captured_arguments(cls.__init__, tool, args, kwargs)
        return tool

    def __init__(self, spec: JSONObject | None = None) -> None:
        self.spec = spec

    @property
    def description(self) -> str:
        """What the tool is for: the class's docstring, cleaned of its indentation."""
        import inspect

        return inspect.getdoc(type(self)) or ""

    def tool_spec(self, model: NamedModel) -> JSONObject:
        """What is put into the request for this tool.

        Raises:
            TypeError: There is no specification, and the class does not make one.
        """
        if self.spec is None:
            raise TypeError(f"{type(self).__name__} does not define a raw provider tool spec")
        return self.spec

    def prepare_request(self, model: NamedModel, kwargs: JSONObject) -> None:
        """Add to the request what the tool needs beside its specification; here nothing."""

    def hash(self) -> str:
        """SHA-256 hex digest of what identifies the tool."""
        return definition_hash(definition_of(self))


def captured_arguments(
    constructor: Callable[..., object],
    instance: object,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> JSONObject:
    """Constructor arguments by name with defaults filled in, `*args` and `**kwargs` left out.

    Returns:
        `{}` where they do not fit the signature: the constructor itself will say so.
    """
    signature = signature_of(constructor)
    try:
        bound = signature.bind(instance, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    named = list(signature.parameters.values())[1:]
    return {p.name: bound.arguments[p.name] for p in named if _is_argument(p)}
