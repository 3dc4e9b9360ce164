"""A model that is watched: what it looks at while it answers, how it takes it to be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from ..models.base import AnyAsyncModel, SyncModel
from ..models.prompt import Prompt
from ..parts import StreamEvent

if TYPE_CHECKING:
    from ..models.async_response import AsyncResponse
    from ..models.conversation import AsyncConversation, Conversation
    from ..models.response import Response

Piece: TypeAlias = str | StreamEvent


class _WatchedPrompt(Prompt):
    """Notes the names of what is read of it, where there is something to note them in."""

    noted: set[str] | None = None

    def __getattribute__(self, name: str) -> object:
        noted = object.__getattribute__(self, "noted")
        if noted is not None:
            noted.add(name)
        return super().__getattribute__(name)


@dataclass
class Answer:
    """What came of one prompt.

    Attributes:
        response: The finished response.
        read: The names of what the model has read of the prompt.
        odd: The types of what it yielded and may not yield.
    """

    response: Response | AsyncResponse
    read: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)


class Watched:
    """A copy of a model that is asked and watched, in the same way whether it is async or not.

    Args:
        model: The model; it stays as it is.
        key: The key to ask with.
    """

    def __init__(self, model: SyncModel | AnyAsyncModel, key: str | None) -> None:
        self.model = copy.copy(model)
        self.key = key
        self._execute = cast("Callable[..., object]", model.execute)
        self._read: set[str] = set()
        self._odd: set[str] = set()
        self._source: object = None
        self._loop = asyncio.new_event_loop() if model.is_async else None
        vars(self.model)["execute"] = self._run_async if model.is_async else self._run

    def close(self) -> None:
        """Let go of what was needed for asking."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def ask(
        self,
        prompt: str,
        within: Conversation | AsyncConversation | None = None,
        **values: object,
    ) -> Answer:
        """The finished answer to a prompt; the values are those of `Model.prompt`."""
        ask = cast("Callable[..., Response | AsyncResponse]", (within or self.model).prompt)
        self._read, self._odd = set(), set()
        response = ask(prompt, key=self.key, **values)
        if self._loop is None:
            cast("Response", response).text()
        else:
            self._loop.run_until_complete(_read_all(cast("AsyncResponse", response)))
        return Answer(response, self._read, self._odd)

    def interrupt(self, prompt: str) -> BaseException | None:
        """What becomes of a Ctrl-C, or a cancelled task, after the first piece of an answer.

        Returns:
            The exception that the model lets out; none where it goes on as if nothing was.
        """
        ask = cast("Callable[..., Response | AsyncResponse]", self.model.prompt)
        response = ask(prompt, key=self.key)
        try:
            if self._loop is None:
                next(cast("Response", response).stream_events(), None)
                if not isinstance(self._source, Generator):
                    return KeyboardInterrupt()
                self._source.throw(KeyboardInterrupt())
            else:
                self._loop.run_until_complete(self._cancel(cast("AsyncResponse", response)))
        except BaseException as error:
            return error
        return None

    async def _cancel(self, response: AsyncResponse) -> None:
        await anext(response.astream_events(), None)
        if not isinstance(self._source, AsyncGenerator):
            raise asyncio.CancelledError
        await self._source.athrow(asyncio.CancelledError())

    def _run(self, prompt: Prompt, **arguments: object) -> Iterator[Piece]:
        with self._watching(prompt):
            source = iter(cast("Iterator[Piece]", self._execute(prompt, **arguments)))
        self._source = source
        while True:
            with self._watching(prompt):
                try:
                    piece = next(source)
                except StopIteration:
                    return
            yield self._checked(piece)

    async def _run_async(self, prompt: Prompt, **arguments: object) -> AsyncGenerator[Piece, None]:
        with self._watching(prompt):
            source = aiter(cast("AsyncGenerator[Piece, None]", self._execute(prompt, **arguments)))
        self._source = source
        while True:
            with self._watching(prompt):
                try:
                    piece = await anext(source)
                except StopAsyncIteration:
                    return
            yield self._checked(piece)

    @contextlib.contextmanager
    def _watching(self, prompt: Prompt) -> Iterator[None]:
        """Note what is read of a prompt; `llm` itself reads of it between two pieces."""
        prompt.__class__ = _WatchedPrompt
        vars(prompt)["noted"] = self._read
        try:
            yield
        finally:
            del vars(prompt)["noted"]
            prompt.__class__ = Prompt

    def _checked(self, piece: Piece) -> Piece:
        if not isinstance(piece, (str, StreamEvent)):
            self._odd.add(type(piece).__name__)
            return str(piece)
        return piece


async def _read_all(response: AsyncResponse) -> None:
    await response.text()
