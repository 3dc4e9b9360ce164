"""Embedding models that are awaited, and the collections that await them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llm
from llm.default_plugins.openai_models import OpenAIEmbeddingModel
from llm.providers.openai.embedding import AsyncOpenAIEmbeddingModel

from .helpers.openai_server import OpenAIServer, error_reply, json_reply
from .test_collection import Fake
from .test_parity import public, signature


class AsyncFake(llm.AsyncEmbeddingModel):
    """Gives what `Fake` gives; remembers what it was asked."""

    model_id = "fake-embed"
    supports_binary = True
    batch_size = 8

    def __init__(self) -> None:
        self.asked: list[list[str | bytes]] = []
        self.keys: list[str | None] = []

    async def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> AsyncIterator[list[float]]:
        items = list(items)
        self.asked.append(items)
        self.keys.append(key)
        for vector in Fake().embed_batch(items):
            await asyncio.sleep(0)
            yield vector


class Short(AsyncFake):
    """Gives a vector too few, and wants no key."""

    async def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> AsyncIterator[list[float]]:
        for vector in list(Fake().embed_batch(items))[1:]:
            yield vector


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine."""
    return asyncio.run(work)


async def all_of(vectors: AsyncIterator[list[float]]) -> list[list[float]]:
    """The vectors as a list."""
    return [vector async for vector in vectors]


@pytest.mark.parametrize(
    ("sync", "twin"),
    [
        (llm.EmbeddingModel, llm.AsyncEmbeddingModel),
        (OpenAIEmbeddingModel, AsyncOpenAIEmbeddingModel),
        (llm.Collection, llm.AsyncCollection),
    ],
)
def test_twins_have_the_same_names_and_signatures(sync: type, twin: type) -> None:
    """What is called of the one is awaited of the other."""
    assert public(twin) == public(sync)
    for name in public(sync):
        found, own = signature(twin, name), signature(sync, name)
        if found and own:
            assert found.replace("AsyncIterator", "Iterator") == own, name


def test_awaited_vectors_are_those_of_the_twin() -> None:
    """One item, and many in batches of the size that is asked for; the key arrives."""
    model = AsyncFake()
    texts = [f"text {n}" for n in range(10)]
    assert run(model.embed("one")) == Fake().embed("one")
    assert run(all_of(model.embed_multi(iter(texts)))) == list(Fake().embed_multi(texts))
    assert [len(batch) for batch in model.asked] == [1, 8, 2]
    model.needs_key = "vault"
    run(model.embed("one", key="k"))
    assert model.keys == [None, None, None, "k"]
    model.supports_binary = False
    with pytest.raises(ValueError, match="does not support binary data"):
        run(model.embed(b"one"))


def test_awaited_model_is_found_by_name(plugin: Callable[..., ModuleType]) -> None:
    """It is registered beside its twin, under the same names; one without says so."""

    def register_models(register: Any) -> None:
        register(Fake(), ("fe",), async_model=AsyncFake())

    hook = llm.hookimpl(register_models, specname="register_embedding_models")
    plugin("fake", register_embedding_models=hook)
    alone = llm.hookimpl(lambda register: register(Alone()), specname="register_embedding_models")
    plugin("alone", register_embedding_models=alone)
    assert isinstance(llm.get_async_embedding_model("fe"), AsyncFake)
    assert isinstance(llm.get_async_embedding_model("3-small"), AsyncOpenAIEmbeddingModel)
    with pytest.raises(llm.UnknownModelError, match=r"\(sync model exists\): alone"):
        llm.get_async_embedding_model("alone")
    with pytest.raises(llm.UnknownModelError, match="Unknown model: nothing"):
        llm.get_async_embedding_model("nothing")


class Alone(Fake):
    """Has no twin."""

    model_id = "alone"


def test_awaited_collection_stores_what_the_other_stores(tmp_path: Path) -> None:
    """Each finds what the other has put in; the same text is not embedded twice."""
    path, model = tmp_path / "emb.db", AsyncFake()

    async def fill() -> None:
        with llm.AsyncCollection("words", path, model=model) as words:
            await words.embed("a", "one", {"n": 1}, store=True)
            done: list[int] = []
            pairs = [(f"i{n}", f"text {n}") for n in range(20)]
            await words.embed_multi(pairs, progress=done.append)
            await words.embed_multi_with_metadata([("b", "one", {"n": 2})])
            assert (done, words.count()) == ([8, 16, 20], 22)
            assert [len(batch) for batch in model.asked] == [1, 8, 8, 4]
            nearest = await words.similar("one", 1, where="n = 2")
            assert [(entry.id, entry.metadata) for entry in nearest] == [("b", {"n": 2})]

    run(fill())
    with llm.Collection("words", path, model=Fake()) as words:
        assert [entry.id for entry in words.similar("text 7", 1)] == ["i7"]
        assert words.require("a").content == "one"


def test_awaited_collection_takes_several_tasks_at_once(tmp_path: Path) -> None:
    """Tasks that fill and search one collection together lose nothing, in a file or in memory."""

    async def work(words: llm.AsyncCollection, number: int) -> None:
        for n in range(5):
            await words.embed(f"{number}-{n}", f"text {number} {n}")
            entry = (await words.similar(f"text {number} {n}", 1))[0]
            assert entry.id == f"{number}-{n}"

    async def several(db: Path | None) -> int:
        with llm.AsyncCollection("words", db, model=AsyncFake()) as words:
            await asyncio.gather(*(work(words, number) for number in range(4)))
            return words.count()

    assert [run(several(db)) for db in (tmp_path / "emb.db", None)] == [20, 20]


def test_awaited_collection_refuses_a_batch_that_lacks_a_vector() -> None:
    """Nothing of it is stored."""

    async def fill() -> None:
        with llm.AsyncCollection("words", model=Short()) as words:
            with pytest.raises(llm.ModelError, match="gave 1 vectors for 2 values"):
                await words.embed_multi([("a", "one"), ("b", "two")])
            assert words.count() == 0

    run(fill())


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running


def test_awaited_vectors_of_a_server(server: OpenAIServer) -> None:
    """One request for a batch; what the server refuses is the error that the twin raises."""
    data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    server.add(json_reply({"data": data}))
    model = AsyncOpenAIEmbeddingModel("e", "m", api_base=server.url)
    model.needs_key = None
    assert run(all_of(model.embed_multi(["a", "b"]))) == [[1.0, 2.0], [3.0, 4.0]]
    assert server.last.body["input"] == ["a", "b"]
    server.add(error_reply(401, "no"))
    with pytest.raises(llm.AuthError):
        run(model.embed("a"))
    assert inspect.isasyncgen(model.embed_batch([]))
