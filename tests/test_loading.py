"""`llm.load_once`: what is dear to make is made once per process and configuration."""

from __future__ import annotations

import doctest
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import llm
from llm.models import loading

made: list[tuple[str, str, int]] = []


class Weights:
    """What is dear."""


class Loading:
    """What both twins are."""

    model_id = "heavy"

    @llm.load_once
    def load(self, path: str, size: int = 1) -> Weights:
        """Weights, where the path is good."""
        made.append((self.model_id, path, size))
        if path == "bad":
            raise llm.ModelError("no such weights")
        return Weights()


class Heavy(Loading, llm.Model):
    """A model with weights."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield str(id(self.load(prompt.prompt or "")))


class AsyncHeavy(Loading, llm.AsyncModel):
    """Its twin."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield str(id(self.load(prompt.prompt or "")))


class Vectors(llm.EmbeddingModel):
    """An embedding model that keeps the last one."""

    model_id = "vectors"

    @llm.load_once(most=1)
    def load(self, size: int) -> Weights:
        """Weights of a size."""
        made.append((self.model_id, "", size))
        return Weights()

    def embed_batch(self, items: object, *, key: str | None = None) -> Iterator[list[float]]:
        self.load(1)
        yield [1.0]


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(loading, "_kept", {})
    made.clear()


def test_load_once_for_all_instances_and_twins() -> None:
    """Instances are independent, what they have loaded is one; `load` is a method as any other."""
    answers = {Heavy().prompt("w").text() for _ in range(3)}
    answers.add(str(id(AsyncHeavy().load(size=1, path="w"))))
    assert len(answers) == 1
    assert made == [("heavy", "w", 1)]
    assert Heavy.load.__doc__ == "Weights, where the path is good."


def test_load_once_per_configuration() -> None:
    """Other arguments and other models are loaded by themselves."""
    other = Heavy()
    other.model_id = "other"
    assert len({Heavy().load("w"), Heavy().load("w", 2), Heavy().load("v"), other.load("w")}) == 4
    assert made == [("heavy", "w", 1), ("heavy", "w", 2), ("heavy", "v", 1), ("other", "w", 1)]


def test_load_once_in_threads() -> None:
    """Whoever comes while it is being made waits for it; another configuration does not wait."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Heavy):
        """Weights that take their time."""

        @llm.load_once
        def load(self, path: str, size: int = 1) -> Weights:
            made.append((self.model_id, path, size))
            if path == "slow":
                begun.set()
                assert go_on.wait(10)
            return Weights()

    with ThreadPoolExecutor(9) as pool:
        slow = [pool.submit(Slow().load, "slow") for _ in range(8)]
        assert begun.wait(10)
        assert pool.submit(Slow().load, "quick").result(10)
        assert not any(found.done() for found in slow)
        go_on.set()
        assert len({found.result(10) for found in slow}) == 1
    assert sorted(path for _, path, _ in made) == ["quick", "slow"]


def test_load_that_fails_is_tried_again() -> None:
    """An error is the caller's, and nothing is kept of it."""
    for _ in range(2):
        with pytest.raises(llm.ModelError, match="no such weights"):
            Heavy().load("bad")
    assert len(made) == 2


def test_unload_lets_go_of_one_model() -> None:
    """All that this model has loaded goes, and nothing of others."""
    other = Heavy()
    other.model_id = "other"
    kept = other.load("w")
    Heavy().load("w")
    Heavy().load("v")
    AsyncHeavy().unload()
    assert other.load("w") is kept
    Heavy().load("w")
    assert made.count(("heavy", "w", 1)) == 2
    Vectors().unload()
    Heavy().unload()
    assert [key.model_id for key in loading._kept] == ["other"]


def test_load_once_keeps_the_most() -> None:
    """With `most` the one used longest ago goes, of this method alone."""
    weights = Heavy().load("w")
    first = Vectors().load(1)
    assert Vectors().load(1) is first
    Vectors().load(2)
    assert Vectors().embed("x") == [1.0]
    assert [size for name, _, size in made if name == "vectors"] == [1, 2, 1]
    assert Heavy().load("w") is weights


def test_load_once_doctest_runs() -> None:
    """The example of the docstring runs."""
    results = doctest.testmod(loading)
    assert results.attempted == 4
    assert results.failed == 0
