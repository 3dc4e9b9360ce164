"""The engine: llama.cpp in this process. The only module that imports `xllamacpp`.

The engine answers through a callback, and calls it on the thread that asked. So every answer is
made on a thread of its own, which hands the chunks over to whoever iterates; closing the iterator
makes the callback say "stop".
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import llm
from llm.errors import ContextTooLong, ModelError

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Protocol, TypeAlias, TypeGuard

    from .wire import Chunk

    Item: TypeAlias = Chunk | Exception | None

    class Server(Protocol):
        """What we use of the engine's `Server`."""

        def handle_chat_completions(
            self, request: llm.JSONObject, callback: Callable[[Chunk], bool]
        ) -> object: ...

        def handle_embeddings(self, request: llm.JSONObject) -> llm.JSONObject: ...


T = TypeVar("T")

PACKAGE = "xllamacpp"
DEBUG_VARIABLE = "LLM_LOCAL_DEBUG"
QUIET, INFORMATIVE = -1, 3
# A prompt is read in batches, and only between two of them can it be stopped. 128 tokens are as
# fast as 512 on a processor; smaller batches are slower.
BATCH_TOKENS = 128
# On Windows a wait without end cannot be interrupted with Ctrl-C.
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class EngineSettings:
    """What a model is loaded with. Another value of any of these means loading it again.

    Attributes:
        path: The GGUF file.
        context: The tokens of prompt and answer together.
        threads: Processor threads.
        embeds: It embeds texts, and answers nothing.
        averages: The vector of a text is the mean over its tokens, whatever the model says.
    """

    path: str
    context: int
    threads: int
    embeds: bool = False
    averages: bool = False


class _Answer:
    """One answer being made on its own thread, which hands over its chunks and then how it ended:
    `None`, or an error."""

    def __init__(
        self, server: Server, request: llm.JSONObject, deliver: Callable[[Item], None]
    ) -> None:
        self._server = server
        self._request = request
        self._deliver = deliver
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="llm-local", daemon=True)
        _running.add(self)
        self._thread.start()

    def _run(self) -> None:
        end: Exception | None = None
        try:
            self._server.handle_chat_completions(self._request, self._take)
        except Exception as error:  # xllamacpp passes on whatever C++ throws
            end = error
        finally:
            _running.discard(self)
        if not self._stopped:
            # An event loop that was closed meanwhile takes nothing any more.
            with suppress(RuntimeError):
                self._deliver(end)

    def _take(self, chunk: Chunk) -> bool:
        if not self._stopped:
            self._deliver(chunk)
        return self._stopped

    def close(self) -> None:
        """Let the engine end at the next token, or the next batch of the prompt."""
        self._stopped = True

    def join(self) -> None:
        """Wait until the thread has ended."""
        _wait_for(self._thread)


def _wait_for(thread: threading.Thread) -> None:
    """Wait until a thread has ended, whatever the user presses meanwhile."""
    while thread.is_alive():
        with suppress(KeyboardInterrupt):
            thread.join(WAIT_SECONDS)


def _is_chunk(item: Item) -> TypeGuard[Chunk]:
    """Whether the answer goes on.

    Raises:
        ModelError: The engine refuses the request.
    """
    if isinstance(item, Exception):
        raise ModelError(f"The local engine refused the request: {item}") from item
    return item is not None


_running: set[_Answer] = set()


@atexit.register
def _stop_running() -> None:
    # A thread that comes back from C++ while the interpreter goes down aborts the process.
    for answer in list(_running):
        answer.close()
        answer.join()


class Engine:
    """A loaded model. Several answers may be asked for at once; they are made one by one."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def stream(self, request: llm.JSONObject) -> Generator[Chunk, None, None]:
        """The chunks of one answer; close the iterator to stop it.

        Raises:
            ModelError: The engine refuses the request.
        """
        items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        with closing(_Answer(self._server, request, items.put)):
            while True:
                with suppress(queue.Empty):
                    item = items.get(timeout=WAIT_SECONDS)
                    if not _is_chunk(item):
                        return
                    yield item

    def embed(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text, of a model that was loaded for it.

        Raises:
            ContextTooLong: A text has more tokens than the model was loaded for.
            ModelError: The engine refuses the request.
        """
        request = {"input": texts, "encoding_format": "float"}
        try:
            answer = _elsewhere(lambda: self._server.handle_embeddings(request))
        except Exception as error:  # xllamacpp passes on whatever C++ throws
            raise ModelError(f"The local engine refused the request: {error}") from error
        if "error" in answer:
            problem = str(answer["error"].get("message", answer["error"]))
            if "too large" in problem:
                raise ContextTooLong(f"A text is too long for the model, split it: {problem}")
            raise ModelError(f"The local engine cannot embed this: {problem}")
        return [item["embedding"] for item in answer["data"]]

    async def astream(self, request: llm.JSONObject) -> AsyncGenerator[Chunk, None]:
        """As `stream`, for an event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Item] = asyncio.Queue()

        def deliver(item: Item) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        with closing(_Answer(self._server, request, deliver)):
            while _is_chunk(item := await items.get()):
                yield item


def open_engine(settings: EngineSettings) -> Engine:
    """A new engine with the model of `settings`.

    Raises:
        ModelError: The engine is not installed, or cannot use the file.
    """
    return Engine(_load(settings))


def _load(settings: EngineSettings) -> Server:
    package = _import_package()
    parameters = _parameters(package, settings)
    try:
        server: Server = _elsewhere(lambda: package.Server(parameters))
    except Exception as error:  # xllamacpp passes on whatever C++ throws
        raise ModelError(
            f"The local engine cannot load {settings.path}: either the file is damaged or of a "
            "kind this version does not know, or there is not enough memory. "
            f"{DEBUG_VARIABLE}=1 shows what the engine says"
        ) from error
    return server


def _elsewhere(work: Callable[[], T]) -> T:
    """What `work` gives or raises, on another thread.

    On the main thread the engine would notice Ctrl-C by itself, and then never return.
    """
    outcome: list[T] = []
    problems: list[Exception] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # raised again below
            problems.append(error)

    thread = threading.Thread(target=run, name="llm-local-work", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(WAIT_SECONDS)
    finally:
        _wait_for(thread)
    for problem in problems:
        raise problem
    return outcome[0]


def _import_package() -> Any:
    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        raise ModelError(
            "The engine of local models is not installed in this environment. "
            "Run: llm local install"
        ) from error
    except (ImportError, OSError) as error:
        raise ModelError(f"The engine of local models cannot be loaded: {error}") from error
    return xllamacpp


def _parameters(package: ModuleType, settings: EngineSettings) -> Any:
    import secrets

    parameters = package.CommonParams()
    parameters.verbosity = INFORMATIVE if os.environ.get(DEBUG_VARIABLE) else QUIET
    parameters.model.path = settings.path
    parameters.n_ctx = settings.context
    parameters.n_batch = BATCH_TOKENS
    if settings.embeds:
        parameters.embedding = True
        # A text is embedded in one piece.
        parameters.n_batch = parameters.n_ubatch = settings.context
    if settings.averages:
        parameters.pooling_type = package.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = settings.threads
    parameters.cpuparams_batch.n_threads = settings.threads
    # Warming up costs more than it saves when one prompt is all that comes.
    parameters.warmup = False
    # By default up to 8 GB would hold prompts of conversations that were left.
    parameters.cache_ram_mib = 0
    # The engine always opens a port. We do not use it, and nobody else can.
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [secrets.token_urlsafe(32)]
    parameters.ui = False
    parameters.endpoint_slots = False
    return parameters
