"""What plugins have registered besides models: tools, and loaders of templates and fragments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable
from typing import TYPE_CHECKING, Any

import llm

from .. import plugins
from .._lazy import for_hints
from ..tools.tool import Tool
from ..tools.toolbox import Toolbox

if TYPE_CHECKING:
    from ..hookspecs import AnyTool, FragmentLoader, TemplateLoader

    AnyFunction = AnyTool | Callable[..., object]
else:
    for_hints(
        globals(),
        {
            "llm.hookspecs": "AnyTool FragmentLoader TemplateLoader",
        },
        AnyFunction="llm.hookspecs.AnyTool | collections.abc.Callable",
    )


def get_tools() -> dict[str, AnyTool]:
    """The registered tools and toolbox classes by name, in order of registration.

    A name that is taken gets `_1`, `_2` and so on appended.
    """
    tools: dict[str, AnyTool] = {}
    running = plugins.running_plugins()

    def register(tool_or_function: AnyFunction, name: str | None = None) -> None:
        tool = as_tool(tool_or_function, name)
        tool.plugin = running[-1] if running else None
        tools[_unused(tool.name or "", tools)] = tool

    plugins.call_each("register_tools", register=register)
    return tools


def as_tool(tool_or_function: AnyFunction, name: str | None) -> AnyTool:
    """The tool that a plugin registers, under the name that it gets."""
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

    Those of plugins come first. Ours, such as `dir`, is `llm-dir` where a plugin has the prefix.
    """
    from .loaders import BUILTIN_LOADERS

    loaders: dict[str, FragmentLoader] = _loaders("register_fragment_loaders")
    for prefix, loader in BUILTIN_LOADERS.items():
        loaders[_unused(f"llm-{prefix}" if prefix in loaders else prefix, loaders)] = loader
    return loaders


def fragment_loaders_for(prefix: str) -> dict[str, FragmentLoader]:
    """The loaders of fragments, but those of plugins that do not have to be imported for one."""
    with plugins.enough_for("register_fragment_loaders", [prefix]):
        found = llm.get_fragment_loaders()
    # What nobody has may have been registered since the plugins were indexed.
    return found if prefix in found else llm.get_fragment_loaders()


def tools_for(names: Iterable[str], elsewhere: Collection[str] = ()) -> dict[str, AnyTool]:
    """The registered tools, but those of plugins that do not have to be imported for these.

    What nobody has may have been registered since the plugins were indexed; not so for names that
    stand for something `elsewhere`.
    """
    wanted = set(names)
    with plugins.enough_for("register_tools", wanted):
        found = llm.get_tools()
    known = {name for key, tool in found.items() for name in (key, getattr(tool, "__name__", key))}
    return found if wanted <= {*known, *elsewhere} else llm.get_tools()


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
