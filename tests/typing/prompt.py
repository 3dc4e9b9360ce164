"""A prompt with everything that it takes, and all that its response tells."""

import llm
from llm.parts import TextPart

model = llm.get_model("gpt-4o-mini")
response = model.prompt(
    "What is on this picture?",
    system="Answer in one line",
    attachments=[llm.Attachment(path="pelican.png")],
    fragments=["Some text", llm.Fragment("more", source="notes.txt")],
    options={"temperature": 0.2},
    key="my-key",
    top_p=1,
)
text: str = response.text()
usage: llm.Usage = response.usage()
tokens: int = (usage.input or 0) + (usage.output or 0)
milliseconds: int = response.duration_ms()
started: str = response.datetime_utc()
for message in response.messages():
    for part in message.parts:
        if isinstance(part, TextPart):
            print(message.role, part.text.upper())
raw = response.json()
if raw is not None:
    print(raw.get("id"))


def told(finished: llm.Response) -> None:
    """Print how long it took."""
    print(finished.duration_ms(), finished.resolved_model)


response.on_done(told)
answer: llm.Response = response.reply("And in French?")
again = llm.Response.from_dict(answer.to_dict(), model=model)
history: list[llm.Message] = [llm.user("Hi"), llm.assistant("Hello"), *again.messages()]
longer: llm.Response = model.prompt("And?", messages=history)
sent: list[llm.Message] = longer.prompt.messages
try:
    llm.get_model("no such model").prompt("x").text()
except llm.UnknownModelError as error:
    print(error)
except llm.ContextTooLong as error:
    print(error.limit)
