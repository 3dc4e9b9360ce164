"""The plugin of the golden files: a model that follows scripts, and tools of every kind.

It uses what a guest may use, and nothing else.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pydantic

import llm
from llm.parts import StreamEvent

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
SNAP = object()
DIE = object()
TOO_LONG = object()
# Called where a script says SNAP, and by tools before they return.
watchers: list[Callable[[str], None]] = []


def watch(label: str) -> None:
    """Tell whoever wants to know how far things are."""
    for watcher in watchers:
        watcher(label)


class ScribeOptions(llm.Options):
    """Options of the model."""

    temperature: float | None = pydantic.Field(default=None, description="How free", ge=0, le=2)
    label: str | None = None


class Dog(pydantic.BaseModel):
    """A dog."""

    name: str
    age: int


class Search(llm.ServerSideTool):
    """Searches."""

    name = "search"

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


class Box(llm.Toolbox):
    """Keeps things."""

    def __init__(self, label: str = "box") -> None:
        self.label = label

    def put(self, thing: str) -> str:
        """Puts a thing in."""
        watch("in Box_put")
        return f"{thing} is in {self.label}"


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    watch("in add")
    return a + b


def fails(why: str) -> str:
    """Always fails."""
    raise ValueError(f"no luck: {why}")


def picture() -> llm.ToolOutput:
    """Draws."""
    attachment = llm.Attachment(type="image/png", content=PNG)
    return llm.ToolOutput(output="one picture", attachments=[attachment])


def take(a: int = 0) -> str:
    """Tells its argument."""
    return f"took {a}"


def call(name: str, number: int, **arguments: Any) -> llm.ToolCall:
    """A call with an id."""
    return llm.ToolCall(name, arguments, f"call_{number}")


def text_call(text: str, number: int) -> list[StreamEvent]:
    """A call of `take` with these characters as its arguments."""
    call_id = f"call_{number}"
    return [
        StreamEvent("tool_call_name", "take", tool_call_id=call_id),
        StreamEvent("tool_call_args", text, tool_call_id=call_id),
    ]


SCRIPTS: dict[str, list[Any]] = {
    "plain": ["One ", "two ", SNAP, "three."],
    "dog": ['{"name": "Rex", ', SNAP, '"age": 3}'],
    "think": [
        StreamEvent("reasoning", "Let me "),
        StreamEvent("reasoning", "think.", provider_metadata={"scribe": {"signature": "s1"}}),
        "Answer, ",
        SNAP,
        "after thought.",
        StreamEvent("reasoning", "", redacted=True),
    ],
    "provider": [
        StreamEvent("tool_call_name", "search", tool_call_id="srv_1", server_executed=True),
        StreamEvent("tool_call_args", '{"q": "x"}', tool_call_id="srv_1", server_executed=True),
        StreamEvent(
            "tool_result", "found", tool_call_id="srv_1", server_executed=True, tool_name="search"
        ),
        SNAP,
        StreamEvent("text", "Found it.", provider_metadata={"scribe": {"cites": ["x"]}}),
        StreamEvent("attachment", "", attachment=llm.Attachment(type="image/png", content=PNG)),
        StreamEvent("text", "A second message.", message_index=1),
    ],
    "tools": ["Calling. ", SNAP, call("add", 1, a=2, b=3), call("Box_put", 2, thing="hat")],
    "more tools": [call("picture", 3), call("fails", 4, why="rain"), call("absent", 5, x=1)],
    "break": ["Begun ", SNAP, ValueError("the model broke off")],
    "refuse": [ValueError("the model refuses")],
    "interrupt": ["Begun ", SNAP, KeyboardInterrupt()],
    "die": ["Begun ", DIE],
    "long": ["Long ", SNAP, "answer."],
    "too long": [TOO_LONG, "Short ", SNAP, "enough."],
    "null arguments": text_call("null", 1),
    "empty arguments": text_call("", 1),
    "blank arguments": text_call(" ", 1),
    "list arguments": text_call("[1]", 1),
    "text arguments": text_call('"one"', 1),
    "number arguments": text_call("1", 1),
    "broken arguments": text_call('{"a": ', 1),
    "object arguments": text_call('{"a": 1}', 1),
}


def steps(prompt: llm.Prompt, response: Any) -> Iterator[Any]:
    """What the model does, as the last line of the prompt says."""
    time.sleep(0.002)  # the duration is never 0
    if prompt.tool_results:
        yield "Results: " + "; ".join(f"{one.name}={one.output}" for one in prompt.tool_results)
        watch("in the answer to results")
    else:
        words = (prompt.prompt or "").strip().rpartition("\n")[2]
        for step in SCRIPTS.get(words, [f"Echo: {words}"]):
            if step is SNAP:
                watch(f"in {words}")
            elif step is DIE:
                os._exit(9)
            elif step is TOO_LONG:
                watch(f"with {len(prompt.messages)} messages of {words}")
                if len(prompt.messages) > 3:
                    raise llm.ContextTooLong("the conversation is too long for the model")
            elif isinstance(step, BaseException):
                # A new one each time: an error remembers that part of an answer was shown.
                raise type(step)(*step.args)
            elif isinstance(step, llm.ToolCall):
                response.add_tool_call(llm.ToolCall(step.name, step.arguments, step.tool_call_id))
            else:
                yield step
    response.set_usage(input=11, output=7, details={"cached": 3})
    response.set_resolved_model("scribe-2026-01-01")
    response.response_json = {
        "object": "scribe.response",
        "note": "This sentence is in every reply.",
        "tools": [tool.name for tool in prompt.tools],
    }


class Scribe(llm.Model):
    """Follows scripts."""

    model_id = "scribe"
    can_stream = True
    supports_tools = True
    supports_schema = True
    attachment_types = {"image/png", "text/plain"}
    json_replacements = {"note": "This sentence is in every reply."}
    Options = ScribeOptions
    supported_server_side_tools = (Search,)

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield from steps(prompt, response)


class AsyncScribe(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "scribe"
    can_stream = True
    supports_tools = True
    supports_schema = True
    attachment_types = {"image/png", "text/plain"}
    json_replacements = {"note": "This sentence is in every reply."}
    Options = ScribeOptions
    supported_server_side_tools = (Search,)

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[Any, None]:
        for step in steps(prompt, response):
            yield step


class Other(Scribe):
    """Another model."""

    model_id = "other"


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Both models."""
    register(Scribe(), AsyncScribe(), aliases=("sc",))
    register(Other())


@llm.hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """All tools."""
    for tool in (add, fails, picture, take, Box):
        register(tool)


@llm.hookimpl
def register_fragment_loaders(register: Callable[..., None]) -> None:
    """Fragments `two:NAME`."""
    register(
        "two", lambda name: [llm.Fragment(f"{name} part {n}", f"two:{name}:{n}") for n in (1, 2)]
    )


@llm.hookimpl
def register_template_loaders(register: Callable[..., None]) -> None:
    """Templates `say:NAME`."""
    register("say", lambda name: llm.Template(name=name, prompt=f"Say {name}"))
