"""Options of a model, tools that keep their own types, events by their kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from typing_extensions import assert_type

import llm
from llm.default_plugins.openai_models import CodeInterpreter
from llm.parts import StreamEvent


class Loudness(llm.Options):
    """How loud."""

    marks: int = 1


class Shouting(llm.Model[Loudness]):
    """Says it louder; its options are those named above."""

    model_id = "shouting"

    def execute(
        self,
        prompt: llm.Prompt[Loudness],
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        """Shout the prompt."""
        assert_type(prompt.options, Loudness)
        yield prompt.prompt.upper() + "!" * prompt.options.marks


class Counter(llm.Toolbox):
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.count = start


class Search(llm.ServerSideTool):
    """Searches."""

    def __init__(self, country: str) -> None:
        super().__init__({"type": "search", "country": country})
        self.country = country


model: llm.Model = Shouting()
assert_type(Counter(3), Counter)
assert_type(Search("de"), Search)
assert_type(CodeInterpreter(memory_limit="4g"), CodeInterpreter)
print(Counter(3).count, Search("de").country)

response = model.prompt("x", policy=llm.CallPolicy(retries=2), messages=[{"role": "user"}])
for event in response.stream_events():
    if event.type == "attachment" and event.attachment is not None:
        print(event.attachment.path)
    elif event.type == "text":
        assert_type(event.type, Literal["text"])
print(response.finish_reason, response.request_id, response.first_token_ms)
usage = response.usage()
tokens: int = (usage.cached or 0) + (usage.reasoning or 0)
picture = llm.Attachment(path=Path("cat.png"))
assert_type(picture.path, str | None)
with llm.Database(":memory:") as db:
    print(list(db.turns()))


@llm.tool(threaded=True)
def where(context: llm.ToolContext) -> str | None:
    """Say which call this is."""
    return None if context.cancelled else context.tool_call_id


def approve(tool: llm.Tool, call: llm.ToolCall) -> bool:
    """Let what only looks pass."""
    return not tool.side_effects and call.name != "where"


conversation = model.conversation(system="Be brief", options={"marks": 2})
chain = conversation.chain("x", tools=[where], allow=["where"], approve=approve, tool_timeout=3.5)
print(chain.text())
