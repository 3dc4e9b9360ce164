"""Embedding models of OpenAI and of compatible servers."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

import pytest

import llm
from llm.default_plugins.openai_models import OpenAIEmbeddingModel
from llm.errors import AuthError, ModelError
from llm.providers.openai.transport import fast

from .helpers.openai_server import OpenAIServer, Reply, error_reply, json_reply


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def vectors(*values: object) -> Reply:
    """An answer with these embeddings, given in reverse order."""
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(values)]
    return json_reply({"object": "list", "data": data[::-1], "model": "m"})


def test_batch_is_one_request_in_order(server: OpenAIServer) -> None:
    """All items of a batch go out together; the vectors come back in their order."""
    server.add(vectors([1, 2], [3, 4]))
    model = OpenAIEmbeddingModel("e", "real", 2, api_base=server.url, headers={"X-A": "b"})
    model.key = "sk-embed\n"
    assert list(model.embed_multi(["a", b"b".decode()])) == [[1.0, 2.0], [3.0, 4.0]]
    assert server.last.path == "/v1/embeddings"
    assert server.last.body == {
        "input": ["a", "b"],
        "model": "real",
        "encoding_format": "float",
        "dimensions": 2,
    }
    assert server.last.headers["authorization"] == "Bearer sk-embed"
    assert server.last.headers["x-a"] == "b"


def test_packed_vectors_are_asked_of_openai(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog's models ask for base64, half the bytes, and read it."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.add(vectors(base64.b64encode(struct.pack("<2f", 0.5, -2)).decode()))
    assert llm.get_embedding_model("3-small").embed("a", key="k") == [0.5, -2.0]
    assert server.last.body["encoding_format"] == "base64"
    assert "dimensions" not in server.last.body


def test_model_without_key_sends_a_dummy(server: OpenAIServer) -> None:
    """Where no key is needed none is looked for."""
    server.add(vectors([1]))
    model = OpenAIEmbeddingModel("e", "m", api_base=server.url)
    model.needs_key = None
    assert model.embed("a") == [1.0]
    assert server.last.headers["authorization"] == "Bearer DUMMY_KEY"


def test_nothing_to_embed_sends_nothing(server: OpenAIServer) -> None:
    """An empty batch costs no request."""
    assert list(OpenAIEmbeddingModel("e", "m", api_base=server.url).embed_batch([])) == []
    assert server.requests == []


def test_refusal_is_readable(server: OpenAIServer) -> None:
    """The server's words arrive, the key does not."""
    server.add(error_reply(401, "Bad key sk-embed-key"))
    model = OpenAIEmbeddingModel("e", "m", api_base=server.url)
    with pytest.raises(AuthError, match=r"401: Bad key \[\.\.\.\]"):
        model.embed("a", key="sk-embed-key")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"data": []}, "sent 0 vectors for 1 texts"),
        ({"data": 5}, "unexpected shape"),
        ({}, "unexpected shape"),
        ({"data": [{"embedding": "!"}]}, "unexpected shape"),
        ({"data": [{"embedding": ["x"]}]}, "unexpected shape"),
    ],
)
def test_answer_of_another_shape_is_our_error(
    server: OpenAIServer, answer: object, message: str
) -> None:
    """What cannot be read is a readable error."""
    server.add(json_reply(answer))
    model = OpenAIEmbeddingModel("e", "m", api_base=server.url)
    with pytest.raises(ModelError, match=message):
        model.embed("a", key="k")


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"embedding": [1]}, {"embedding": [2]}]},
        {"data": [{"index": None, "embedding": [1]}, {"index": None, "embedding": [2]}]},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]},
        {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]},
        {"data": [{"index": "0", "embedding": [1]}, {"embedding": [2]}]},
        [{"embedding": [1]}, {"embedding": [2]}],
    ],
)
def test_vectors_are_in_the_order_of_their_index_or_in_their_own(
    server: OpenAIServer, answer: object
) -> None:
    """Servers that give no index send the vectors in the order of the texts."""
    server.add(json_reply(answer))
    model = OpenAIEmbeddingModel("e", "m", api_base=server.url)
    assert list(model.embed_batch(["a", "b"], key="k")) == [[1.0], [2.0]]


def test_vector_may_come_on_its_own(server: OpenAIServer) -> None:
    """A list of one, without anything around it."""
    server.add(json_reply([{"embedding": [1]}]))
    model = OpenAIEmbeddingModel("e", "m", api_base=f" {server.url}/embeddings?a=1 ")
    assert model.embed("a", key="k") == [1.0]
    assert server.last.path == "/v1/embeddings?a=1"
