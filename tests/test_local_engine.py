"""Local models on the real engine with the real small model.

What it says is never compared: a model this small, on processors of all kinds, may say anything.
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llm
from llm.errors import ContextTooLong, ModelError
from llm.parts import StreamEvent
from llm.providers.local import engine, store
from llm.providers.local.model import AsyncLocalModel, LocalModel, default_threads

from .helpers.smollm import gguf_path, register_default_model

# One thread: several are slow where the other cores are busy. Small answers: seconds count.
QUICK: dict[str, Any] = {"threads": 1, "context": 1024, "max_tokens": 8}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@pytest.fixture
def model(user_path: Path) -> llm.Model:
    """The small model, as somebody gets it who has installed it."""
    register_default_model()
    model = llm.get_model("smollm2")
    assert isinstance(model, llm.Model)
    return model


@pytest.fixture
def async_model(model: llm.Model) -> llm.AsyncModel:
    """Its asynchronous twin."""
    twin = llm.get_async_model("smollm2")
    assert isinstance(twin, llm.AsyncModel)
    return twin


def in_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The outcome of a Python program with the model installed, in the same user directory."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def fields(**values: Any) -> engine.EngineSettings:
    """Settings of the engine for the small model."""
    return engine.EngineSettings(
        **{"path": str(gguf_path()), "context": 512, "threads": 1, **values}
    )


def loaded(model: llm.Model | llm.AsyncModel, **values: Any) -> engine.Engine:
    """The engine that a model has for such settings."""
    assert isinstance(model, (LocalModel, AsyncLocalModel))
    return model.load(fields(**values))


def test_prompt_streams_an_answer(model: llm.Model) -> None:
    """Pieces arrive one by one and make up the text; usage and payload are there at the end."""
    response = model.prompt("Say hello", **QUICK)
    pieces = list(response)
    assert len(pieces) > 1
    assert "".join(pieces) == response.text()
    usage = response.usage()
    assert usage.input is not None
    assert usage.input > 10
    assert usage.output is not None
    assert 1 <= usage.output <= 8
    payload = response.json()
    assert payload is not None
    assert payload["content"] == response.text()
    assert payload["model"] == "local/smollm2-135m"
    assert payload["finish_reason"] in ("stop", "length")


def test_prompt_without_streaming_gives_one_piece(model: llm.Model) -> None:
    """Who does not want a stream gets the answer whole."""
    response = model.prompt("Say hello", stream=False, **QUICK)
    assert list(response) == [response.text()]
    assert response.text()


def test_prompt_with_seed_is_repeatable(model: llm.Model) -> None:
    """The same seed at a high temperature gives the same answer, from the same start."""
    texts = {
        model.prompt("Name an animal", seed=7, temperature=1.5, top_p=0.9, **QUICK).text()
        for _ in range(3)
    }
    # The first may differ from the others, which find the prompt already read.
    assert len(texts) <= 2


def test_conversation_goes_on(model: llm.Model) -> None:
    """The history is sent, so the second prompt has more tokens than the first."""
    conversation = model.conversation()
    first = conversation.prompt("My name is Bob", system="Be brief", **QUICK)
    first.text()
    second = conversation.prompt("What is my name?", **QUICK)
    second.text()
    assert second.usage().input > first.usage().input + 8  # type: ignore[operator]
    assert not second.history_ignored


def test_schema_is_enforced(model: llm.Model) -> None:
    """However small the model, what it says fits the schema."""
    response = model.prompt("Invent a dog", schema=SCHEMA, threads=1, context=1024, max_tokens=200)
    dog = json.loads(response.text())
    assert set(dog) == {"name", "age"}
    assert isinstance(dog["age"], int)


def test_schema_that_is_none_is_refused(model: llm.Model) -> None:
    """A schema that the engine cannot use is a readable error."""
    with pytest.raises(ModelError, match=r"refused the request: .*nonsense"):
        model.prompt("x", schema={"type": "nonsense"}, **QUICK).text()


def test_prompt_longer_than_the_context_is_refused(model: llm.Model) -> None:
    """The error tells the size of both; a larger context takes the prompt."""
    with pytest.raises(ContextTooLong, match="context of 1024"):
        model.prompt("hello " * 1200, **QUICK).text()
    assert model.prompt("hello " * 20, **QUICK).text()


def test_async_prompt_streams_an_answer(async_model: llm.AsyncModel) -> None:
    """The twin for an event loop does the same, streamed or whole."""

    async def ask() -> tuple[list[str], list[str], llm.Usage]:
        response = async_model.prompt("Say hello", **QUICK)
        pieces = [piece async for piece in response]
        whole = async_model.prompt("Say hello", stream=False, **QUICK)
        return pieces, [piece async for piece in whole], await response.usage()

    pieces, whole, usage = asyncio.run(ask())
    assert len(pieces) > 1
    assert len(whole) == 1
    assert usage.output


def test_async_prompts_at_once_are_all_answered(async_model: llm.AsyncModel) -> None:
    """Prompts that come together wait for each other in the engine, not in the event loop."""

    async def ask() -> list[str]:
        responses = [async_model.prompt(f"Count from {number}", **QUICK) for number in range(3)]
        return await asyncio.gather(*(response.text() for response in responses))

    assert all(asyncio.run(ask()))


def test_async_error_of_the_engine_is_a_model_error(async_model: llm.AsyncModel) -> None:
    """Errors come across the thread as well."""

    async def ask() -> str:
        return await async_model.prompt("x", schema={"type": "nonsense"}, **QUICK).text()

    with pytest.raises(ModelError, match="refused the request"):
        asyncio.run(ask())


def wait_for_threads() -> None:
    """Wait until no answer is being made any more."""
    for answer in list(engine._running):
        answer.join()


def test_stream_that_is_closed_stops_the_engine(model: llm.Model) -> None:
    """Who leaves a story early does not pay for its end."""
    chunks = loaded(model, context=1024).stream(
        {"messages": [{"role": "user", "content": "Tell a story"}], "stream": True, "seed": 1}
    )
    next(chunks)
    (answer,) = engine._running
    chunks.close()
    wait_for_threads()
    assert not engine._running
    assert answer._stopped


def test_end_of_the_process_stops_every_answer(model: llm.Model) -> None:
    """No thread is left in the engine when the interpreter goes down."""
    chunks = loaded(model, context=1024).stream(
        {"messages": [{"role": "user", "content": "Tell a story"}], "stream": True}
    )
    next(chunks)
    engine._stop_running()
    assert not engine._running


def test_async_stream_that_is_closed_stops_the_engine(model: llm.Model) -> None:
    """The same on an event loop."""

    async def leave_early() -> None:
        chunks = loaded(model, context=1024).astream(
            {"messages": [{"role": "user", "content": "Tell a story"}], "stream": True}
        )
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(leave_early())
    wait_for_threads()
    assert not engine._running


def test_event_loop_that_is_gone_ends_the_answer(model: llm.Model) -> None:
    """An event loop closed in the middle neither hangs nor prints a traceback."""
    loop = asyncio.new_event_loop()
    chunks = loaded(model, context=1024).astream(
        {"messages": [{"role": "user", "content": "Tell a story"}], "stream": True}
    )
    loop.run_until_complete(anext(chunks))
    loop.close()
    for answer in list(engine._running):
        answer.join()
    assert not engine._running
    with pytest.raises(StopIteration):
        chunks.aclose().send(None)


def test_join_outlasts_impatience() -> None:
    """Ctrl-C while the process waits for the engine does not abort it in C++."""

    class Impatient:
        rounds = 3

        def is_alive(self) -> bool:
            return self.rounds > 0

        def join(self, timeout: float) -> None:
            self.rounds -= 1
            if self.rounds == 1:
                raise KeyboardInterrupt

    answer = engine._Answer.__new__(engine._Answer)
    answer._thread = Impatient()  # type: ignore[assignment]  # only these two are used
    answer.join()
    assert not answer._thread.is_alive()


STORY = """
    import llm, sys
    response = iter(llm.get_model("smollm2").prompt("Tell a long story", threads=1))
    print(next(response), flush=True)
"""


def test_process_that_leaves_a_stream_open_ends_well(model: llm.Model) -> None:
    """The end of the process stops the engine first; nothing crashes, nothing is printed."""
    done = in_process(STORY)
    assert (done.returncode, done.stderr) == (0, "")


def interrupted(code: str) -> tuple[str, str, int]:
    """Output, errors and exit code of a program that gets Ctrl-C after its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        said, errors = process.communicate(timeout=60)
    return said, errors, process.returncode


# Python leaves CTRL_BREAK, which is all that can be sent on Windows, to the system.
CATCHING = """
    import signal, sys
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    import llm
    response = llm.get_model("smollm2").prompt({prompt}, threads=1)
    try:
        {before}
        for piece in response:
            print("piece", flush=True)
        print("never interrupted")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        ("'Tell a long story'", "pass"),
        ("'Hi'", "print('loading', flush=True)"),
        ("'hello ' * 3000", "model.prompt('Hi', max_tokens=1).text(); print('r', flush=True)"),
    ],
    ids=["answering", "loading", "reading"],
)
def test_interrupt_ends_everything_at_once(model: llm.Model, prompt: str, before: str) -> None:
    """Ctrl-C arrives while the model is loaded, reads and answers, and then all is over."""
    code = CATCHING.format(prompt=prompt, before=before).replace("model.", "response.model.")
    said, errors, status = interrupted(code)
    assert said.replace("piece\n", "") == "interrupted\n"
    assert (errors, status) == ("", 130)


def test_log_of_the_engine_is_shown_only_when_asked_for(model: llm.Model) -> None:
    """Nothing but the answer is printed, unless the variable for debugging is set."""
    code = """
        import llm
        print(llm.get_model("smollm2").prompt("Hi", threads=1, max_tokens=2).text())
    """
    quiet = in_process(code)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    chatty = in_process(code, LLM_LOCAL_DEBUG="1")
    assert chatty.returncode == 0
    assert "loading model" in chatty.stderr


def test_port_of_the_engine_needs_a_key(model: llm.Model) -> None:
    """The engine listens on this machine only, and nobody can use it."""
    server: Any = loaded(model)._server
    assert server.listening_address.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match="401") as caught:
        urllib.request.urlopen(f"{server.listening_address}/v1/models", timeout=10)
    caught.value.close()


@pytest.fixture
def no_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has loaded no model yet."""
    monkeypatch.setattr("llm.models.loading._kept", {})


def test_engine_is_kept_for_the_same_settings(
    model: llm.Model,
    async_model: llm.AsyncModel,
    no_engines: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model is loaded once for its twin, too; the two used last stay until they are let go."""
    sizes: list[int] = []

    def load(settings: engine.EngineSettings) -> Any:
        sizes.append(settings.context)
        return object()

    monkeypatch.setattr(engine, "_load", load)
    for size in (128, 256, 128, 512):
        assert loaded(model, context=size) is loaded(async_model, context=size)
    loaded(model, context=128)
    loaded(model, context=256)
    assert sizes == [128, 256, 512, 256]
    model.unload()
    loaded(async_model, context=256)
    assert sizes == [128, 256, 512, 256, 256]


def test_damaged_file_is_a_readable_error(tmp_path: Path) -> None:
    """A file that is no model says so, and how to learn more."""
    damaged = tmp_path / "a.gguf"
    damaged.write_bytes(gguf_path().read_bytes()[:500_000])
    with pytest.raises(ModelError, match=r"cannot load .*a\.gguf.*LLM_LOCAL_DEBUG=1"):
        engine.open_engine(fields(path=str(damaged)))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'xllamacpp'"), "Run: llm local install"),
        (ImportError("GLIBC_2.38 not found"), "cannot be loaded: GLIBC_2.38 not found"),
    ],
)
def test_engine_that_is_missing_or_broken_says_what_to_do(
    model: llm.Model,
    no_engines: None,
    monkeypatch: pytest.MonkeyPatch,
    error: ImportError,
    message: str,
) -> None:
    """An environment without the engine gets the command that installs it."""
    real: Callable[..., Any] = builtins.__import__

    def fail(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "xllamacpp":
            raise error
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ModelError, match=message):
        model.prompt("Hi").text()


@pytest.mark.parametrize(
    ("name", "source", "remedy"),
    [
        (store.DEFAULT_NAME, None, "llm local install"),
        ("q", "/x/q.gguf", "llm local remove q; llm local add q /x/q.gguf"),
        ("q", None, "llm local add q FILE.gguf"),
    ],
)
def test_file_that_is_missing_says_how_to_get_it_back(
    user_path: Path, tmp_path: Path, name: str, source: str | None, remedy: str
) -> None:
    """A model whose file has gone names the file and the commands that bring it back."""
    path = tmp_path / "gone.gguf"
    store.register(store.InstalledModel(name, path, is_owned=False, size_bytes=1, source=source))
    with pytest.raises(ModelError, match=r"gone\.gguf") as caught:
        llm.get_model(f"local/{name}").prompt("Hi").text()
    assert remedy in str(caught.value)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (8, 4), (64, 4)])
def test_threads_are_half_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    """The engine leaves room for others, and never takes more than four by itself."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert default_threads() == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_threads() == threads


def test_registering_imports_neither_engine_nor_pydantic(model: llm.Model) -> None:
    """Knowing the models costs reading one small file."""
    done = in_process(
        """
        import sys, llm
        names = [entry.model.model_id for entry in llm.get_models_with_aliases()]
        assert "local/smollm2-135m" in names, names
        from llm.providers.local import engine
        heavy = {"xllamacpp", "yaml", "pydantic", "asyncio", "httpx2", "rich"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_reasoning_is_an_event_of_its_own(
    model: llm.Model, no_engines: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model thinks aloud is not part of the answer, streamed or whole."""

    class Server:
        def handle_chat_completions(
            self, request: dict[str, Any], callback: Callable[[dict[str, Any]], bool]
        ) -> None:
            for delta in ({"reasoning_content": "Hm"}, {"content": "A"}):
                callback({"choices": [{"delta": delta}]})

    def events(stream: bool) -> Iterator[StreamEvent]:
        monkeypatch.setattr(engine, "_load", lambda settings: Server())
        return model.prompt("x", stream=stream).stream_events()

    for stream in (True, False):
        assert [(event.type, event.chunk) for event in events(stream)] == [
            ("reasoning", "Hm"),
            ("text", "A"),
        ]
