"""Models for tests of the log: they answer on the spot and touch nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import llm
from llm.models import Options
from llm.parts import EventType, StreamEvent
from llm.testing import AsyncScriptedModel, ScriptedModel
from llm.testing.models import Piece
from llm.text import JSONObject

Answer: TypeAlias = str | StreamEvent | llm.ToolCall | Sequence[str | StreamEvent | llm.ToolCall]


class SaidOptions(Options):
    """Options of the model."""

    temperature: float | None = None
    label: str | None = None


class Search(llm.ServerSideTool):
    """Searches."""

    name = "search"

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


class Says(ScriptedModel):
    """Answers what it is told to, and then `ok`."""

    model_id = "says"
    attachment_types = {"image/png", "text/plain"}
    json_replacements = {"note": "boilerplate"}
    Options = SaidOptions
    supported_server_side_tools = (Search,)

    def __init__(self, *answers: Answer, raw: JSONObject | None = None) -> None:
        super().__init__(self._next)
        self.answers = list(answers)
        self.raw = raw

    def _next(self, prompt: llm.Prompt) -> Iterator[Piece]:
        answer = self.answers.pop(0) if self.answers else "ok"
        yield from [answer] if isinstance(answer, (str, StreamEvent, llm.ToolCall)) else answer
        if self.raw is not None:
            yield self.raw


class AsyncSays(AsyncScriptedModel):
    """The asynchronous twin, which always says `ok`."""

    model_id = "says"
    can_stream = supports_tools = supports_schema = False
    attachment_types = ()
    Options = SaidOptions

    def __init__(self) -> None:
        super().__init__(lambda prompt: "ok")


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
