# pyright: strict
"""What type checkers have to find. Behind each mistake stand those that find it, if not all do."""

import llm
from llm.default_plugins.openai_models import CodeInterpreter
from llm.parts import StreamEvent


class Loudness(llm.Options):
    marks: int = 1


def shout(prompt: llm.Prompt[Loudness], event: StreamEvent) -> None:
    print(prompt.options.marks.upper())  # error
    print(prompt.options.nosuch)  # error
    if event.type == "txt":  # error: mypy pyright
        print(event.chunk)


model = llm.get_model()
model.prompt(5)  # error
model.prompt("x", system=5)  # error
model.chain("x", nosuch=1)  # error
model.chain("x", tool_timeout="long")  # error
model.conversation(chain_limit="many")  # error
model.conversation(options=["marks"])  # error
number: int = model.prompt("x").text()  # error
model.prompt("x").text().nosuch()  # error
llm.get_async_model().prompt("x").text().upper()  # error
model.conversation().prompt("x").nosuch()  # error
llm.Tool(description="no name")  # error
print(llm.nosuch)  # error
print(llm.parts.nosuch)  # error
llm.parts.TextPart(5)  # error
llm.Message("wizard", [])  # error
StreamEvent("txt", "a")  # error
llm.Attachment(path=5)  # error
llm.CallPolicy(retries="many")  # error
CodeInterpreter(memory_limit="5g")  # error
