"""What plugins have registered besides models: tools, and loaders of templates and fragments."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

from .. import plugins
from ..tools.tool import Tool
from ..tools.toolbox import Toolbox

if TYPE_CHECKING:
    from ..hookspecs import AnyTool, FragmentLoader, TemplateLoader

    AnyFunction = AnyTool | Callable[..., object]


def get_tools() -> dict[str, AnyTool]:
    """The registered tools and toolbox classes by name, in order of registration.

    A name that is taken gets `_1`, `_2` and so on appended.
    """
    tools: dict[str, AnyTool] = {}
    running = plugins.running_plugins()

    def register(tool_or_function: AnyFunction, name: str | None = None) -> None:
        tool = _as_tool(tool_or_function, name)
        tool.plugin = running[-1] if running else None
        tools[_unused(tool.name or "", tools)] = tool

    plugins.call_each("register_tools", register=register)
    return tools


def _as_tool(tool_or_function: AnyFunction, name: str | None) -> AnyTool:
    if isinstance(tool_or_function, Tool):
        tool_or_function.name = name or tool_or_function.name
        return tool_or_function
    if not isinstance(tool_or_function, type):
        return Tool.function(tool_or_function, name=name)
    if not issubclass(tool_or_function, Toolbox):
        raise TypeError(
            f"Toolbox classes must inherit from llm.Toolbox, {tool_or_function.__name__} does not."
        )
    tool_or_function.name = name or tool_or_function.__name__
    return tool_or_function


def get_template_loaders() -> dict[str, TemplateLoader]:
    """The loaders of templates by prefix; a prefix that is taken gets `_1`, `_2` and so on."""
    return _loaders("register_template_loaders")


def get_fragment_loaders() -> dict[str, FragmentLoader]:
    """The loaders of fragments by prefix; a prefix that is taken gets `_1`, `_2` and so on.

    Those of plugins come first. Ours, `dir` and `cmd`, are `llm-dir` and `llm-cmd` where a plugin
    has the prefix.
    """
    from .loaders import BUILTIN_LOADERS

    loaders: dict[str, FragmentLoader] = _loaders("register_fragment_loaders")
    for prefix, loader in BUILTIN_LOADERS.items():
        loaders[_unused(f"llm-{prefix}" if prefix in loaders else prefix, loaders)] = loader
    return loaders


def _loaders(hook_name: str) -> dict[str, Callable[[str], Any]]:
    loaders: dict[str, Callable[[str], Any]] = {}

    def register(prefix: str, loader: Callable[[str], Any]) -> None:
        loaders[_unused(prefix, loaders)] = loader

    plugins.call_each(hook_name, register=register)
    return loaders


def _unused(name: str, taken: Container[str]) -> str:
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
