"""From what people write to tools: names, toolbox specifications, and Python code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import LLMError, NotFound
from ..text.secrets import said_by
from ..tools.signatures import signature_of, type_hints_of
from ..tools.tool import ServerSideTool, Tool
from ..tools.toolbox import Toolbox, instantiate_from_spec

if TYPE_CHECKING:
    from ..models.base import _BaseModel
    from ..models.prompt import ToolDef

ToolClass = type[Toolbox] | type[ServerSideTool]

# The module that functions given as code belong to.
CODE_MODULE = "llm_functions"
_TYPING = ("typing", "typing_extensions")


def gather_tools(specs: Sequence[str], model: _BaseModel | None) -> list[ToolDef]:
    """The tools that were named, in order.

    Toolboxes, and server-side tools of the model that gets them, are written as `Name`,
    `Name("argument")` or `Name(key="value")`.

    Raises:
        NotFound: There are no tools of some of these names.
        LLMError: A specification cannot be read, or a class does not take its arguments.
    """
    if not specs:
        return []
    from .registered import tools_for

    registered = tools_for(map(name_in, specs), tool_classes({}, model))
    classes = tool_classes(registered, model)
    functions = {name: tool for name, tool in registered.items() if isinstance(tool, Tool)}
    missing = [spec for spec in specs if spec not in functions and not _names_one(spec, classes)]
    if missing:
        raise _not_found(missing, list(dict.fromkeys([*registered, *classes])))
    return [functions.get(spec) or make_from_spec(spec, classes) for spec in specs]


def _names_one(spec: str, classes: dict[str, ToolClass]) -> bool:
    # The names of classes begin with a capital letter.
    return spec[:1].isupper() and name_in(spec) in classes


def _not_found(missing: Sequence[str], known: Sequence[str]) -> NotFound:
    from ..text import nearest_names

    near = dict.fromkeys(n for spec in missing for n in nearest_names(name_in(spec), known))
    hint = f" - did you mean {' or '.join(near)}?" if near else ""
    return NotFound(
        f"Tool(s) {', '.join(missing)} not found. Available tools: {', '.join(known)}{hint}"
    )


def tool_classes(
    registered: dict[str, Tool | type[Toolbox]], model: _BaseModel | None = None
) -> dict[str, ToolClass]:
    """Toolboxes and the server-side tools of a model, by the names that people write.

    A toolbox that was registered under another name has the name of its class too.
    """
    boxes = {name: tool for name, tool in registered.items() if isinstance(tool, type)}
    classes: dict[str, ToolClass] = dict(boxes)
    for box in boxes.values():
        classes.setdefault(box.__name__, box)
    for server_side in model.supported_server_side_tools if model is not None else ():
        classes.setdefault(server_side.__name__, server_side)
    return classes


def spec_of(tool: ToolDef) -> str:
    """The specification that makes a tool again, as the log has it; of a function its name."""
    arguments = getattr(tool, "_config", None)
    if arguments is None:
        return str(getattr(tool, "name", None) or getattr(tool, "__name__", ""))
    return f"{type(tool).__name__}({json.dumps(arguments, default=str)})"


def name_in(spec: str) -> str:
    """The name of the tool or class in a specification."""
    return spec.partition("(")[0].strip()


def make_from_spec(spec: str, classes: dict[str, ToolClass]) -> Toolbox | ServerSideTool:
    """The toolbox or server-side tool that a specification describes."""
    try:
        return instantiate_from_spec(classes, spec)
    except ValueError as error:
        name = name_in(spec) or "Name"
        remedy = f'Write {name}, {name}("text") or {name}(key="text")'
        raise LLMError(f"Tool {spec} cannot be used: {error}. {remedy}") from error
    except TypeError as error:
        tool_class = classes[name_in(spec)]
        written = f"{tool_class.__name__}{constructor_text(tool_class)}"
        raise LLMError(f"Tool {spec} cannot be used: {error}. It is written {written}") from error
    except Exception as error:  # the constructor is a plugin's own
        reason = f"{type(error).__name__}: {error}"
        raise LLMError(f"Tool {spec} cannot be used: {reason}") from error


def signature_text(function: Callable[..., object]) -> str:
    """The signature of a function or method as Python writes it, without `self`."""
    try:
        signature = signature_of(function)
    except (TypeError, ValueError):
        return "(...)"
    hints = type_hints_of(function)
    shown = [
        parameter.replace(annotation=_resolve(parameter.annotation, hints.get(parameter.name)))
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    result = _resolve(signature.return_annotation, hints.get("return"))
    return str(signature.replace(parameters=shown, return_annotation=result))


def constructor_text(tool_class: ToolClass) -> str:
    """The arguments that a toolbox or server-side tool is made with, as Python writes them."""
    if tool_class.__init__ is object.__init__:
        return "()"
    return signature_text(tool_class.__init__).removesuffix(" -> None")


def _resolve(annotation: object, hint: object) -> object:
    """Types that are written as text are shown as the types that they mean, if they mean any."""
    if hint is not None:
        return None if hint is type(None) else hint
    text = getattr(annotation, "__forward_arg__", annotation)
    return _Written(text) if isinstance(text, str) else annotation


class _Written(str):
    """An annotation that stands in signatures without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def tools_from_code(code_or_path: str) -> list[Tool]:
    """The tools that Python code defines: every function whose name has no underscore in front.

    One line that ends in `.py` is no code, but the path of a file.

    Raises:
        NotFound: There is no such file.
        LLMError: The code cannot be read or run.
    """
    source, filename = code_or_path, "<functions>"
    if is_path(code_or_path):
        source, filename = read_code(code_or_path), code_or_path
    module = ModuleType(CODE_MODULE)
    # Dataclasses and pydantic look up the module of a class there.
    sys.modules[CODE_MODULE] = module
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise LLMError(f"Error in --functions definition: {error}") from error
    except (Exception, SystemExit) as error:  # somebody's own code
        reason = f"{type(error).__name__}: {error}"
        raise LLMError(f"The code of --functions failed: {reason}") from error
    made = [
        _as_tool(name, value)
        for name, value in list(vars(module).items())
        if not name.startswith("_")
    ]
    return [tool for tool in made if tool is not None]


def is_path(code_or_path: str) -> bool:
    """Whether what was given for functions is the path of a file, not the code itself."""
    return "\n" not in code_or_path and code_or_path.endswith(".py")


def read_code(path: str) -> str:
    """The code in a file; errors as of `tools_from_code`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"File not found: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LLMError(f"File {path} cannot be read: {error}") from error


def _as_tool(name: str, function: object) -> Tool | None:
    """The tool that a value of the code makes; `None` for what was imported and makes none."""
    if isinstance(function, Tool):
        return function
    # Classes and type hints serve the functions of the code.
    is_type = isinstance(function, type) or type(function).__module__ in _TYPING
    if is_type or not callable(function):
        return None
    own_name = getattr(function, "__name__", None)
    try:
        return Tool.function(function, name=name if own_name in (None, "<lambda>") else None)
    except Exception as error:  # a type hint can be anything
        if getattr(function, "__module__", CODE_MODULE) != CODE_MODULE:
            return None
        reason = (said_by(error) or type(error).__name__).splitlines()[0]
        raise LLMError(f"{name} of --functions cannot be a tool: {reason}") from error
