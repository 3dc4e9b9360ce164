"""Embedding models: items to vectors, in batches, with or without a key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import llm


class Lengths(llm.EmbeddingModel):
    """The length of an item is its vector; remembers what it was asked."""

    model_id = "lengths"

    def __init__(self) -> None:
        self.batches: list[tuple[list[str | bytes], str | None]] = []

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        batch = list(items)
        self.batches.append((batch, key))
        for item in batch:
            yield [float(len(item))]


class Locked(Lengths):
    """Needs a key."""

    needs_key = "vault"
    key_env_var = "VAULT_KEY"


class Older(llm.EmbeddingModel):
    """Written before `key=`: looks at its own attribute."""

    model_id = "older"
    needs_key: str | None = "vault"
    key_env_var = "VAULT_KEY"

    def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> Iterator[list[float]]:
        self.seen = (self.key, self.get_key())
        for item in items:
            yield [float(len(item))]


def test_embed_gives_one_vector() -> None:
    """One item, one vector; the model gets no key that it does not need."""
    model = Lengths()
    assert model.embed("abc", key="k") == [3.0]
    assert model.batches == [(["abc"], None)]


@pytest.mark.parametrize(
    ("argument", "own", "sizes"),
    [(None, None, [5]), (2, None, [2, 2, 1]), (None, 3, [3, 2]), (4, 3, [4, 1])],
)
def test_embed_multi_batches(argument: int | None, own: int | None, sizes: list[int]) -> None:
    """The batch size is the argument, else the model's own, else everything at once."""
    model = Lengths()
    model.batch_size = own
    items = (c * n for n, c in enumerate("abcde"))
    assert list(model.embed_multi(items, argument)) == [[float(n)] for n in range(5)]
    assert [len(batch) for batch, _ in model.batches] == sizes


def test_embed_multi_is_lazy() -> None:
    """Vectors are made as they are asked for, from a source of any length."""
    model = Lengths()

    def endless() -> Iterator[str]:
        while True:
            yield "x"

    vectors = model.embed_multi(endless(), batch_size=2)
    assert [next(vectors) for _ in range(3)] == [[1.0]] * 3
    assert len(model.batches) == 2


def test_embed_refuses_what_the_model_does_not_take() -> None:
    """Bytes need a model for bytes, text one for text."""
    model = Lengths()
    with pytest.raises(ValueError, match="does not support binary data, only text strings"):
        model.embed(b"x")
    with pytest.raises(ValueError, match="does not support binary data"):
        list(model.embed_multi(["a", b"x"]))
    model.supports_binary, model.supports_text = True, False
    assert model.embed(b"xy") == [2.0]
    with pytest.raises(ValueError, match="does not support text strings, only binary data"):
        model.embed("x")


def test_embed_key_is_passed_on(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with `key=` is given the key that was found."""
    model = Locked()
    with pytest.raises(llm.NeedsKeyException, match="llm keys set vault"):
        model.embed("x")
    monkeypatch.setenv("VAULT_KEY", "env")
    model.embed("x")
    (user_path / "keys.json").write_text(json.dumps({"vault": "stored"}))
    list(model.embed_multi(["x"]))
    model.embed("x", key="given")
    assert [key for _, key in model.batches] == ["env", "stored", "given"]


@pytest.mark.parametrize("given", [None, "given"])
def test_embed_older_plugin_finds_its_key(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin without `key=` finds the key in its attribute while it runs, and only then."""
    monkeypatch.setenv("VAULT_KEY", "env")
    model = Older()
    assert model.embed("abc", key=given) == [3.0]
    assert model.seen == (given or "env",) * 2
    assert model.key is None


def test_embed_older_plugin_without_key_stays_as_it_is() -> None:
    """A plugin that needs no key keeps what it put into the attribute itself."""
    model = Older()
    model.needs_key, model.key = None, "private"
    model.embed("x")
    assert model.seen == ("private", None)
    assert model.key == "private"


def test_embed_older_plugin_gets_its_key_back_after_a_failure() -> None:
    """A failure does not leave the key of one call behind."""

    class Broken(Older):
        def embed_batch(  # type: ignore[override]
            self, items: Iterable[str | bytes]
        ) -> Iterator[list[float]]:
            raise OSError("down")

    model = Broken()
    with pytest.raises(OSError, match="down"):
        model.embed("x", key="given")
    assert model.key is None


def test_embedding_model_names_itself() -> None:
    """A model is shown by its class and id."""
    assert (str(Lengths()), repr(Lengths())) == ("Lengths: lengths", "<Lengths: lengths>")


def test_encode_is_little_endian_float32() -> None:
    """Vectors are stored as 0.36 stores them."""
    assert llm.encode([1.5, -2]).hex() == "0000c03f000000c0"
    assert llm.decode(llm.encode([1.5, -2])) == (1.5, -2.0)
    assert llm.decode(b"") == ()


def test_cosine_similarity() -> None:
    """The cosine is 1 for the same direction, 0 for a right angle and for no direction."""
    assert llm.cosine_similarity([1, 2], [2, 4]) == pytest.approx(1)
    assert llm.cosine_similarity([1, 0], [0, 1]) == 0
    assert llm.cosine_similarity([1, 0], [-1, 0]) == -1
    assert llm.cosine_similarity([0, 0], [1, 1]) == 0


def test_cosine_similarity_of_different_dimensions() -> None:
    """Vectors of different models cannot be compared."""
    with pytest.raises(ValueError, match="shorter"):
        llm.cosine_similarity([1, 2, 3], [1, 2])
