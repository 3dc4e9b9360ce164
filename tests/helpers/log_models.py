"""Models for tests of the log: they answer on the spot and touch nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import llm
from llm.models import Options
from llm.parts import EventType, StreamEvent
from llm.text import JSONObject

Piece: TypeAlias = str | StreamEvent
Answer: TypeAlias = Piece | llm.ToolCall | Sequence[Piece | llm.ToolCall]


class SaidOptions(Options):
    """Options of the model."""

    temperature: float | None = None
    label: str | None = None


class Search(llm.ServerSideTool):
    """Searches."""

    name = "search"

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


class Says(llm.Model):
    """Answers what it is told to: text, events, calls, a raw reply."""

    model_id = "says"
    can_stream = True
    supports_tools = True
    supports_schema = True
    attachment_types = {"image/png", "text/plain"}
    json_replacements = {"note": "boilerplate"}
    Options = SaidOptions
    supported_server_side_tools = (Search,)

    def __init__(self, *answers: Answer, raw: JSONObject | None = None) -> None:
        self.answers = list(answers)
        self.raw = raw
        self.seen: list[list[llm.Message]] = []

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[Piece]:
        self.seen.append(prompt.messages)
        answer = self.answers.pop(0) if self.answers else "ok"
        if isinstance(answer, (str, StreamEvent, llm.ToolCall)):
            answer = [answer]
        for piece in answer:
            if isinstance(piece, llm.ToolCall):
                response.add_tool_call(piece)
            else:
                yield piece
        if self.raw is not None:
            response.response_json = self.raw


class AsyncSays(llm.AsyncModel):
    """The asynchronous twin, which always says `ok`."""

    model_id = "says"
    Options = SaidOptions

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield "ok"


def event(kind: EventType, chunk: str, **values: Any) -> StreamEvent:
    """One event of a stream."""
    return StreamEvent(kind, chunk, **values)


def plugin_of(*models: object) -> dict[str, Callable[..., None]]:
    """The hooks that register some models, each alone or as a pair of twins."""

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        for model in models:
            register(*model) if isinstance(model, tuple) else register(model)

    return {"register_models": register_models}
