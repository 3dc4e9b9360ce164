"""How tools are listed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..material.tools import constructor_text, gather_tools, signature_text
from ..text import JSONObject
from ..tools.tool import ServerSideTool, Tool
from ..tools.toolbox import Toolbox

if TYPE_CHECKING:
    from ..models.base import _BaseModel


class Box(NamedTuple):
    """A toolbox in a list, with its tools as far as they are known.

    It is listed under the name or the specification that was asked for, and registered as `label`.
    It is open where there may be other tools once it is made.
    """

    name: str
    label: str
    box_class: type[Toolbox]
    tools: list[Tool]
    is_open: bool = False


class Listing:
    """The tools that were named, or all, sorted by name; functions come in any case."""

    def __init__(
        self, specs: Sequence[str], functions: list[Tool], model: _BaseModel | None
    ) -> None:
        self.tools = functions
        self.boxes: list[Box] = []
        self.server_side: list[type[ServerSideTool]] = []
        self.model = model
        for spec, tool in zip(specs, gather_tools(specs, model), strict=True):
            if isinstance(tool, Toolbox):
                if type(tool).is_dynamic():
                    tool.prepare()
                label = tool.name or type(tool).__name__
                self.boxes.append(Box(spec, label, type(tool), list(tool.tools())))
            elif isinstance(tool, ServerSideTool):
                self.server_side.append(type(tool))
            elif isinstance(tool, Tool):
                self.tools.append(tool)

        if not specs:
            self._add_all()
        self.tools.sort(key=lambda tool: tool.name)
        self.boxes.sort(key=lambda box: box.name)

    def _add_all(self) -> None:
        import llm

        for name, tool in llm.get_tools().items():
            if isinstance(tool, Tool):
                self.tools.append(tool)
            else:
                self.boxes.append(Box(name, name, tool, tool.method_tools(), tool.is_dynamic()))
        if self.model is not None:
            self.server_side += self.model.supported_server_side_tools

    # As JSON

    def as_json(self) -> JSONObject:
        """The lists `tools`, `toolboxes` and, with a model, `server_side_tools`."""
        shape: JSONObject = {
            "tools": [{**_tool_json(tool), "plugin": tool.plugin} for tool in self.tools],
            "toolboxes": [
                {
                    "name": box.label,
                    "dynamic": box.box_class.is_dynamic(),
                    "tools": [_tool_json(tool) for tool in box.tools],
                }
                for box in self.boxes
            ],
        }
        if self.model is not None:
            shape["server_side_tools"] = [
                {
                    "name": tool.__name__,
                    "description": inspect.getdoc(tool),
                    "signature": constructor_text(tool),
                    "server_side": True,
                }
                for tool in self.server_side
            ]
        return shape

    # As text

    def lines(self) -> Iterator[str]:
        """What a person reads: each tool with its signature and description."""
        for tool in self.tools:
            yield from _entry(_signature(tool) + _origin(tool.plugin), tool.description)
        for box in self.boxes:
            if box.is_open:
                heading = box.name + constructor_text(box.box_class) + _origin(box.box_class.plugin)
                yield from _entry(heading, box.box_class.__doc__)
            else:
                yield from _entry(f"{box.name}:", None)
            for tool in box.tools:
                yield from _entry(_signature(tool), tool.description, indent="  ")
        if self.server_side and self.model is not None:
            yield f"Server-side tools for {self.model.model_id} (executed by the provider):"
            yield ""
            for server_side in self.server_side:
                heading = server_side.__name__ + constructor_text(server_side)
                yield from _entry(heading, inspect.getdoc(server_side))


def _tool_json(tool: Tool) -> JSONObject:
    return {"name": tool.name, "description": tool.description, "arguments": tool.input_schema}


def _entry(heading: str, description: str | None, indent: str = "") -> Iterator[str]:
    yield indent + heading
    yield ""
    if description:
        for line in inspect.cleandoc(description).splitlines():
            yield f"{indent}  {line}" if line else ""
        yield ""


def _signature(tool: Tool) -> str:
    if tool.implementation is None:
        return f"{tool.name}()"
    return tool.name + signature_text(tool.implementation)


def _origin(plugin: str | None) -> str:
    return f" (plugin: {plugin})" if plugin else ""
