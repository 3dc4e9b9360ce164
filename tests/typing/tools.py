"""Functions, tools and toolboxes that a model may have called."""

import llm


@llm.tool(side_effects=False)
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


class Counter(llm.Toolbox):
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def increment(self, by: int = 1) -> int:
        """Count on."""
        self.count += by
        return self.count

    def picture(self) -> llm.ToolOutput:
        """Draw the count."""
        return llm.ToolOutput("a bar", [llm.Attachment(type="image/png", content=b"x")])


def before(tool: llm.Tool | None, call: llm.ToolCall) -> None:
    """Refuse what nobody knows."""
    if tool is None or "rm" in call.arguments:
        raise llm.CancelToolCall("no")


def after(tool: llm.Tool, call: llm.ToolCall, result: llm.ToolResult) -> None:
    """Say what came."""
    print(tool.name, call.tool_call_id, result.output, result.exception)


total: int = add(1, b=2)
described = llm.Tool.function(add, name="plus")
box = Counter(5)
box.add_tool(add)
model = llm.get_model()
chain = model.chain(
    "What is 2 + 3?",
    tools=[add, described, box, llm.ServerSideTool({"type": "search"})],
    before_call=before,
    after_call=after,
    next=lambda response: None if "5" in response.text() else "Again: $input",
    repeat=3,
    options={"temperature": 0},
)
for response in chain.responses():
    results: list[llm.ToolResult] = response.execute_tool_calls(before_call=before)
    print([result.name for result in results], response.text())
try:
    print(chain.text())
except llm.PauseChain as pause:
    print(pause.tool_call.name if pause.tool_call else "", len(pause.tool_results))
