"""Embedding on this computer: the small model that can be installed, and GGUF files."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.errors import ContextTooLong, ModelError
from llm.providers.local import add, embedding, install, store

from .helpers.smollm import ensure_engine, gguf_path
from .helpers.wordllama import register_embedding_model
from .test_local_install import MakeWheel, left_behind, make_wheel

__all__ = ["make_wheel"]


@pytest.fixture
def words(user_path: Path) -> llm.EmbeddingModel:
    """The small model, as somebody gets it who has installed it."""
    register_embedding_model()
    return llm.get_embedding_model("wordllama")


@pytest.fixture
def gguf(user_path: Path) -> llm.EmbeddingModel:
    """The chat model's file, added as an embedding model."""
    ensure_engine()
    add.add_file("small", gguf_path(), embeds=True)
    return llm.get_embedding_model("local/small")


def run(*arguments: str) -> Result:
    """The outcome of a command."""
    return CliRunner().invoke(cli, arguments)


def test_vector_is_the_mean_of_those_of_the_tokens(words: llm.EmbeddingModel) -> None:
    """As the file has them in 16-bit floats, read here by other means; of length 1."""
    installed = register_embedding_model()
    raw = installed.path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    table = embedding.Table(installed.path, installed.tokenizer)
    (tokens,) = table.tokens(["a regex about dates"])
    assert len(tokens) > 3
    rows = [struct.unpack_from("<256e", raw, start + 512 * token) for token in tokens]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    vector = words.embed("a regex about dates")
    assert llm.cosine_similarity(mean, vector) == pytest.approx(1)
    assert sum(x * x for x in vector) == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "\ud800", "\0", "日本", "word " * 5000])
def test_any_text_has_a_vector(words: llm.EmbeddingModel, text: str) -> None:
    """Also one that is empty, very long, or no proper text."""
    assert len(words.embed(text)) == 256


def test_nearest_is_what_is_meant(words: llm.EmbeddingModel) -> None:
    """Among a few the right one is found without a word in common."""
    with llm.Collection("c", model=words) as collection:
        texts = ["Bake the sourdough loaf", "parse timestamps by pattern", "whales are mammals"]
        collection.embed_multi((text, text) for text in texts)
        assert [e.id for e in collection.similar("how to make bread", 1)] == [texts[0]]
        assert [e.id for e in collection.similar("that regex about dates", 1)] == [texts[1]]


def test_awaited_model_gives_the_same(words: llm.EmbeddingModel) -> None:
    """The asynchronous twin has the same names and the same vectors."""
    twin = llm.get_async_embedding_model("local/wordllama")
    assert asyncio.run(twin.embed("hello")) == words.embed("hello")


def test_it_embeds_where_none_is_chosen_and_no_key_is_found(
    words: llm.EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, a chosen model and `-m` come before it, as with prompts."""
    result = run("embed", "-c", "hello")
    assert json.loads(result.stdout) == words.embed("hello")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert "no default model is set" in run("embed", "-c", "hello").stderr
    monkeypatch.delenv("OPENAI_API_KEY")
    llm.set_default_embedding_model("gone")
    assert "Unknown model: gone" in run("embed", "-c", "hello").stderr


def test_dry_run_counts_the_tokens(words: llm.EmbeddingModel, tmp_path: Path) -> None:
    """The model knows how many there are."""
    source = tmp_path / "rows.csv"
    source.write_text("id,text\n1,hello there\n2,hello there\n")
    result = run("embed-multi", "c", str(source), "--dry-run")
    assert result.output == "2 rows, 1 to embed, 11 characters, 2 tokens\n"


def test_install_takes_the_two_files_out_of_the_wheel(
    user_path: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lie in the user directory, twice is once, and both go with the model."""
    real = register_embedding_model()
    members: dict[str, bytes | Path] = {
        install.EMBEDDING_TABLE: real.path,
        install.EMBEDDING_TOKENIZER: real.tokenizer,
    }
    make_wheel("wordllama", "0.4.0.post1", members)
    store.unregister("wordllama")
    for _ in range(2):
        result = run("local", "install", "--embeddings")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("Embedding model: local/wordllama in ")
    files = ["wordllama.json", "wordllama.safetensors"]
    assert left_behind() == [".config.lock", "models.json", *files]
    assert "local/wordllama (aliases: wordllama): 16.4 MB, embeds" in run("local", "list").stdout
    assert "Local: local/wordllama (aliases: wordllama)" in run("embed-models").stdout
    assert "wordllama" not in run("models", "list").stdout
    llm.set_default_embedding_model("local/wordllama")
    result = run("local", "remove", "wordllama", "--yes")
    assert "'llm embed-models default MODEL' chooses another one" in result.stderr
    assert left_behind() == [".config.lock", "models.json"]


def test_install_refuses_a_wheel_of_another_content(user_path: Path, make_wheel: MakeWheel) -> None:
    """Where one of the two files is not the known one, neither is taken."""
    real = register_embedding_model()
    store.unregister("wordllama")
    members: dict[str, bytes | Path] = {
        install.EMBEDDING_TABLE: real.path,
        install.EMBEDDING_TOKENIZER: b"{}",
    }
    make_wheel("wordllama", "0.4.0.post1", members)
    result = run("local", "install", "--embeddings")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"should be {install.EMBEDDING_TOKENIZER_SHA256}" in result.stderr
    assert left_behind() == [".config.lock", "models.json"]


def test_what_is_missing_is_named(
    words: llm.EmbeddingModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package, a file or a sound file: each time with the command that brings it."""
    llm.get_embedding_model("wordllama").unload()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(ModelError, match=r"needs tokenizers, .* llm local install --embed"):
            words.embed("x")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing of the kind")
    model = store.InstalledModel("wordllama", damaged, is_owned=False, embeds=True)
    with pytest.raises(ModelError, match=r"damaged\.json. Run: llm local install --embeddings"):
        embedding.LocalEmbeddingModel(model).embed("x")
    damaged.with_suffix(".json").write_text("{}")
    with pytest.raises(ModelError, match=r"is damaged \(.*Run: llm local install --embeddings"):
        embedding.LocalEmbeddingModel(model).embed("x")


def test_unknown_model_is_said_to_be_installable(user_path: Path) -> None:
    """Its name is known before it is there."""
    assert "To install it: llm local install --embeddings" in run("embed", "-m", "wordllama").stderr


def test_gguf_model_embeds(gguf: llm.EmbeddingModel) -> None:
    """Through the engine; a file made for chat gives the mean over its tokens."""
    vectors = list(gguf.embed_multi(["a happy dog", "a joyful puppy", "tax law"]))
    assert {len(vector) for vector in vectors} == {576}
    near, far = (llm.cosine_similarity(vectors[0], other) for other in vectors[1:])
    assert near > far
    assert gguf.embed("a happy dog") == pytest.approx(vectors[0], abs=1e-4)
    twin = llm.get_async_embedding_model("local/small")
    assert asyncio.run(twin.embed("tax law")) == pytest.approx(vectors[2], abs=1e-4)
    assert len(gguf.embed("\ud800 x")) == 576
    with pytest.raises(ContextTooLong, match=r"A text is too long for the model, split it"):
        gguf.embed("word " * 3000)
    with pytest.raises(ModelError, match="cannot embed this: Input content cannot be empty"):
        gguf.embed("")


def test_gguf_model_is_added_by_a_command(user_path: Path, tmp_path: Path) -> None:
    """It is listed among the embedding models; that it answers no prompts is known."""
    path = tmp_path / "e.gguf"
    path.write_bytes(b"GGUF but no model")
    assert run("local", "add", "--embeddings", "e", str(path)).exit_code == 0
    assert "Local: local/e\n" in run("embed-models").stdout
    assert json.loads(run("local", "list", "--json").stdout)[0]["embeds"] is True
    assert "Unknown model: local/e" in run("-m", "local/e", "hi").stderr
    assert "cannot load" in run("embed", "-m", "local/e", "-c", "x").stderr
    path.unlink()
    result = run("embed", "-m", "local/e", "-c", "x")
    assert f"llm local remove e; llm local add --embeddings e {path}" in result.stderr
