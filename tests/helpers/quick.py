"""Models that do as they are told, for tests of prompts, responses and conversations.

Each kind comes twice, sync and async, under the same name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import llm
from llm.parts import StreamEvent


class Echo(llm.Model):
    """Answers in pieces and counts how often it was asked."""

    model_id = "quick-echo"
    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types = {"image/png", "audio/wav"}

    def __init__(self, *pieces: str | StreamEvent) -> None:
        self.pieces = pieces or ("abc", "def")
        self.runs = 0

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        self.runs += 1
        yield from self.pieces
        response.response_json = {"run": self.runs}
        response.set_usage(input=1234, output=5, details={"cached": 1})
        response.set_resolved_model("quick-echo-1")


class AsyncEcho(llm.AsyncModel):
    """The asynchronous twin of `Echo`."""

    model_id = "quick-echo"
    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types = {"image/png", "audio/wav"}

    def __init__(self, *pieces: str | StreamEvent) -> None:
        self.pieces = pieces or ("abc", "def")
        self.runs = 0
        self.closed = 0

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        import asyncio

        self.runs += 1
        try:
            for piece in self.pieces:
                await asyncio.sleep(0)
                yield piece
        finally:
            self.closed += 1
        response.response_json = {"run": self.runs}
        response.set_usage(input=1234, output=5, details={"cached": 1})
        response.set_resolved_model("quick-echo-1")


class Flaky(llm.Model):
    """Breaks off in the middle the first time, and answers the second time."""

    model_id = "quick-flaky"

    def __init__(self) -> None:
        self.runs = 0

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        self.runs += 1
        yield "partial "
        response.set_usage(input=self.runs)
        if self.runs == 1:
            response.add_tool_call(llm.ToolCall("f", {}))
            raise ConnectionError("lost")
        yield "whole"


class AsyncFlaky(llm.AsyncModel):
    """The asynchronous twin of `Flaky`."""

    model_id = "quick-flaky"

    def __init__(self) -> None:
        self.runs = 0

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        import asyncio

        self.runs += 1
        yield "partial "
        await asyncio.sleep(0)
        if self.runs == 1:
            response.add_tool_call(llm.ToolCall("f", {}))
            raise ConnectionError("lost")
        yield "whole"


class Caller(llm.Model):
    """Asks for one tool call."""

    model_id = "quick-caller"
    supports_tools = True
    attachment_types = {"image/png"}

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        response.add_tool_call(llm.ToolCall("shout", {"text": "hi"}))
        yield "calling"


class AsyncCaller(llm.AsyncModel):
    """The asynchronous twin of `Caller`."""

    model_id = "quick-caller"
    supports_tools = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        response.add_tool_call(llm.ToolCall("shout", {"text": "hi"}))
        yield "calling"


def shout(text: str) -> str:
    """Return the text in upper case"""
    return text.upper()


def told(prompt: llm.Prompt) -> list[tuple[str, str]]:
    """Role and text of every message that is sent."""
    return [(message.role, message.text()) for message in prompt.messages]
