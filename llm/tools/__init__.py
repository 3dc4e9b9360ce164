"""Tools: what a model may ask to have called."""

from .._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.tools.tool": ("ServerSideTool", "Tool"),
        "llm.tools.calling": ("ToolCall", "ToolOutput", "ToolResult", "parse_arguments"),
        "llm.tools.builtin": ("llm_time", "llm_version"),
    },
    Toolbox="llm.tools.toolbox",
)
