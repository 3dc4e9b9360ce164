"""The model classes: thin drivers between `wire` and `engine`, one sync and one async."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING

import llm

from .engine import Engine, EngineSettings, open_engine
from .wire import Reply, build_request

if TYPE_CHECKING:
    from llm import AsyncConversation, AsyncResponse, Conversation, Prompt, Response
    from llm.parts import StreamEvent

    from .store import InstalledModel


DEFAULT_CONTEXT = 4096
# Loaded models that a process keeps. Each has its memory; two allow for going back and forth.
MAX_LOADED = 2
# Threads of the engine spin while they wait for each other: where every core is busy, two threads
# gave 2.5 tokens a second and one gave 30. Half of the cores leaves room for everything else.
MAX_DEFAULT_THREADS = 4


def default_threads() -> int:
    """How many threads the engine gets when nobody says: half of the usable cores, 1 to 4."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(MAX_DEFAULT_THREADS, cores // 2))


def build_options() -> type[llm.Options]:
    """The pydantic class of the options, made when somebody gives one or asks for the list."""
    from pydantic import Field

    optional = partial(Field, default=None)

    class LocalOptions(llm.Options):
        """Options of local models. `context` and `threads` are set when the model is loaded."""

        temperature: float | None = optional(
            ge=0,
            le=2,
            description="How freely the next token is drawn; 0 always takes the likeliest.",
        )
        max_tokens: int | None = optional(
            ge=1, description="Tokens after which the answer is cut off."
        )
        top_p: float | None = optional(
            ge=0,
            le=1,
            description="Draw only from the likeliest tokens that together reach this share.",
        )
        seed: int | None = optional(
            ge=0,
            le=2**32 - 1,
            description="Start of the random numbers: the same seed repeats the same draws.",
        )
        threads: int | None = optional(
            ge=1, le=512, description="Processor threads; by default half of the cores, at most 4."
        )
        context: int | None = optional(
            ge=128,
            description=f"Tokens that prompt and answer may have; {DEFAULT_CONTEXT} by default.",
        )

    LocalOptions.__qualname__ = "LocalOptions"
    return LocalOptions


class _Local:
    """What both kinds of local model are: an id, options, and how a prompt becomes a request."""

    can_stream = True
    attachment_types: Iterable[str] = ()
    supports_schema = True
    # Lets the registry fall back on a local model where no key can be found.
    answers_without_key = True
    Options: llm.LazyOptions = llm.LazyOptions(build_options)

    def __init__(self, installed: InstalledModel) -> None:
        self.installed = installed
        self.model_id: str = installed.model_id

    def __str__(self) -> str:
        return f"Local: {self.model_id}"

    @llm.load_once(most=MAX_LOADED)
    def load(self, settings: EngineSettings) -> Engine:
        """The engine with the model in it, for both kinds of model."""
        return open_engine(settings)

    def _prepare(self, prompt: Prompt) -> tuple[EngineSettings, llm.JSONObject, Reply]:
        self.installed.require_files()
        options = {**self.installed.options, **llm.option_values(prompt)}
        settings = EngineSettings(
            path=str(self.installed.path),
            context=options.get("context", DEFAULT_CONTEXT),
            threads=options.get("threads", default_threads()),
        )
        request = build_request(prompt.messages, options, prompt.schema)
        return settings, request, Reply(self.model_id)


class LocalModel(_Local, llm.Model):
    """A GGUF model in this process."""

    def execute(
        self, prompt: Prompt, stream: bool, response: Response, conversation: Conversation | None
    ) -> Iterator[str | StreamEvent]:
        """Yield the answer as it is made; the model is loaded at the first prompt."""
        settings, request, reply = self._prepare(prompt)
        with closing(self.load(settings).stream(request)) as chunks:
            for chunk in chunks:
                for event in reply.take(chunk):
                    if stream:
                        yield event
        reply.record(response)
        if not stream:
            yield from reply.whole()


class AsyncLocalModel(_Local, llm.AsyncModel):
    """A GGUF model in this process, for an event loop."""

    async def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Yield the answer as it is made; the model is loaded at the first prompt."""
        import asyncio

        settings, request, reply = self._prepare(prompt)
        engine = await asyncio.to_thread(self.load, settings)
        async with aclosing(engine.astream(request)) as chunks:
            async for chunk in chunks:
                for event in reply.take(chunk):
                    if stream:
                        yield event
        reply.record(response)
        if not stream:
            for event in reply.whole():
                yield event
