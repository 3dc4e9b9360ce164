"""Types of `llm/tools/__init__.py`, whose names are served lazily."""

from llm.tools.builtin import llm_time as llm_time
from llm.tools.builtin import llm_version as llm_version
from llm.tools.calling import ToolCall as ToolCall
from llm.tools.calling import ToolOutput as ToolOutput
from llm.tools.calling import ToolResult as ToolResult
from llm.tools.calling import parse_arguments as parse_arguments
from llm.tools.tool import ServerSideTool as ServerSideTool
from llm.tools.tool import Tool as Tool
from llm.tools.toolbox import Toolbox as Toolbox
