"""Tools: what a model may ask to have called."""

from .._lazy import attach, homes_of

__getattr__, __dir__ = attach(
    __name__,
    homes_of(
        {
            "llm.tools.tool": ("ServerSideTool", "Tool"),
            "llm.tools.toolbox": ("Toolbox",),
            "llm.tools.calling": ("ToolCall", "ToolOutput", "ToolResult", "parse_arguments"),
            "llm.tools.builtin": ("llm_time", "llm_version"),
        }
    ),
)
