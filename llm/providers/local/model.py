"""The model classes: thin drivers between `wire` and `engine`, one sync and one async."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

import llm
from llm.errors import ModelError

from .engine import EngineSettings, open_engine
from .options import DEFAULT_CONTEXT, build_options, default_threads
from .store import DEFAULT_NAME
from .wire import Reply, build_request

if TYPE_CHECKING:
    from llm import AsyncConversation, AsyncResponse, Conversation, Prompt, Response
    from llm.parts import StreamEvent

    from .store import InstalledModel


class _Local:
    """What both kinds of local model are: an id, options, and how a prompt becomes a request."""

    can_stream = True
    supports_schema = True
    # Lets the registry fall back on a local model where no key can be found.
    answers_without_key = True
    Options = llm.LazyOptions(build_options)

    def __init__(self, installed: InstalledModel) -> None:
        self.installed = installed
        self.model_id = installed.model_id

    def __str__(self) -> str:
        return f"Local: {self.model_id}"

    def _prepare(self, prompt: Prompt) -> tuple[EngineSettings, llm.JSONObject]:
        if not self.installed.path.is_file():
            raise ModelError(
                f"The file of {self.model_id} is missing: {self.installed.path}. "
                f"Run: {self._remedy()}"
            )
        options = {**self.installed.options, **llm.option_values(prompt)}
        settings = EngineSettings(
            path=str(self.installed.path),
            context=options.get("context", DEFAULT_CONTEXT),
            threads=options.get("threads", default_threads()),
        )
        return settings, build_request(prompt.messages, options, prompt.schema)

    def _remedy(self) -> str:
        name = self.installed.name
        if name == DEFAULT_NAME:
            return "llm local install"
        source = self.installed.source or "FILE.gguf"
        return f"llm local remove {name}; llm local add {name} {source}"


class LocalModel(_Local, llm.Model):
    """A GGUF model in this process."""

    def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response,
        conversation: Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        """Yield the answer as it is made; the model is loaded at the first prompt."""
        settings, request = self._prepare(prompt)
        reply = Reply(self.model_id)
        with closing(open_engine(settings).stream(request)) as chunks:
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

        settings, request = self._prepare(prompt)
        reply = Reply(self.model_id)
        engine = await asyncio.to_thread(open_engine, settings)
        async with aclosing(engine.astream(request)) as chunks:
            async for chunk in chunks:
                for event in reply.take(chunk):
                    if stream:
                        yield event
        reply.record(response)
        if not stream:
            for event in reply.whole():
                yield event
