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
from typing import TYPE_CHECKING, Any

import llm
from llm.errors import ModelError

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
    """What a model is loaded with: a GGUF file, the tokens of prompt and answer together, processor
    threads. Another value of any of these means loading it again."""

    path: str
    context: int
    threads: int


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
    outcome: list[Server | Exception] = []

    def load() -> None:
        try:
            outcome.append(package.Server(parameters))
        except Exception as error:  # xllamacpp passes on whatever C++ throws
            outcome.append(error)

    # On the main thread the engine would notice Ctrl-C by itself, and then never return.
    thread = threading.Thread(target=load, name="llm-local-load", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(WAIT_SECONDS)
    finally:
        _wait_for(thread)
    loaded = outcome[0]
    if isinstance(loaded, Exception):
        raise ModelError(
            f"The local engine cannot load {settings.path}: either the file is damaged or of a "
            "kind this version does not know, or there is not enough memory. "
            f"{DEBUG_VARIABLE}=1 shows what the engine says"
        ) from loaded
    return loaded


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
