"""The provider against a real server with a real small model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm.default_plugins.openai_models import (
    AsyncChat,
    Chat,
    Completion,
    OpenAIEmbeddingModel,
    Responses,
)
from llm.errors import AuthError, ContextTooLong
from llm.providers.openai.transport import fast

from .helpers.serve_model import running_server

DOG = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of one server for all tests of this file."""
    with running_server(slots=2) as address:
        yield address
    fast.close()


def made(kind: Any, url: str) -> Any:
    """A model there, with every ability and no key."""
    model = kind("smollm2", api_base=url, supports_tools=True, supports_schema=True)
    model.needs_key = None
    return model


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", [Chat, Responses, Completion])
def test_real_server_answers(url: str, kind: Any, stream: bool) -> None:
    """Each API gives text, the tokens used and the model's own name, streamed and not."""
    response = made(kind, url).prompt("Say hello.", stream=stream, max_tokens=8, temperature=0)
    assert response.text().strip()
    assert response.usage().output > 0
    assert response.resolved_model == "smollm2"
    assert response.response_json


def test_real_server_streams_what_it_says_at_once(url: str) -> None:
    """The pieces of a stream spell what comes in one piece."""
    asked = {"max_tokens": 8, "temperature": 0, "seed": 1}
    model = made(Chat, url)
    pieces = list(model.prompt("Count to three.", **asked))
    assert len(pieces) > 1
    assert "".join(pieces) == model.prompt("Count to three.", stream=False, **asked).text()


@pytest.mark.parametrize("kind", [Chat, Responses])
def test_real_server_goes_on_with_a_conversation(url: str, kind: Any) -> None:
    """The history is taken in the form in which it is sent."""
    conversation = made(kind, url).conversation()
    conversation.prompt("My name is Ann.", max_tokens=5, system="Be brief").text()
    second = conversation.prompt("What is my name?", max_tokens=5)
    second.text()
    assert second.usage().input > conversation.responses[0].usage().input


def test_real_server_embeds(url: str) -> None:
    """One vector for each text, all of one length."""
    model = OpenAIEmbeddingModel("e", "smollm2", api_base=url)
    model.needs_key = None
    vectors = list(model.embed_multi(["pelican", "gull"]))
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 100


@pytest.mark.parametrize("kind", [Chat, Responses])
def test_real_server_calls_a_tool_and_takes_its_result(url: str, kind: Any) -> None:
    """A tool call arrives with its arguments, and the chain ends with an answer."""
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """Get the weather of a city"""
        cities.append(city)
        return "rain, 12 degrees"

    options = {"max_tokens": 60, "temperature": 0}
    chain = made(kind, url).chain(
        "Call get_weather for London", tools=[get_weather], options=options
    )
    assert chain.text() is not None
    assert cities


@pytest.mark.parametrize("kind", [Chat, Responses])
def test_real_server_takes_a_tool_that_nobody_described(url: str, kind: Any) -> None:
    """A function without a docstring is a tool, too."""

    def get_weather(city: str) -> str:
        return "rain"

    asked = made(kind, url).prompt("Call get_weather for London", tools=[get_weather], max_tokens=5)
    assert asked.text() is not None
    assert asked.usage().output > 0


def test_real_server_keeps_to_a_schema(url: str) -> None:
    """The answer has the form that was asked for; its Responses API does not look at schemas."""
    answer = made(Chat, url).prompt("A dog.", schema=DOG, max_tokens=40, temperature=0)
    assert isinstance(json.loads(answer.text())["age"], int)


def test_real_server_says_that_a_prompt_is_too_long(url: str) -> None:
    """The error has the class that callers handle."""
    with pytest.raises(ContextTooLong):
        made(Chat, url).prompt("word " * 6000).text()


def test_real_server_wants_its_key() -> None:
    """A wrong key is an error that names the remedy; the right one works."""
    with running_server(api_key="sesame", plain=True) as address:
        model = Chat("smollm2", api_base=address, key="wrong")
        with pytest.raises(AuthError, match="llm keys set openai"):
            model.prompt("hi").text()
        assert Chat("smollm2", api_base=address, key="sesame").prompt("hi", max_tokens=3).text()


def test_real_server_answers_four_at_once(url: str) -> None:
    """Threads and tasks share the connections without mixing up the answers."""
    model = made(Chat, url)

    def spell(word: str) -> str:
        return str(model.prompt(f"Say {word}.", max_tokens=6, temperature=0).text())

    async def spell_all(words: list[str]) -> list[str]:
        twin = made(AsyncChat, url)
        asked = [twin.prompt(f"Say {word}.", max_tokens=6, temperature=0) for word in words]
        return list(await asyncio.gather(*(response.text() for response in asked)))

    words = ["one", "two", "three", "four"]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(spell, words))
    assert all(asyncio.run(spell_all(words)))


def test_real_server_survives_that_we_hang_up(url: str) -> None:
    """An answer that is left in the middle frees the connection; the next one comes."""
    model = made(Chat, url)
    for _ in range(3):
        response = model.prompt("Tell a long story.", max_tokens=200)
        assert next(iter(response)) is not None
        response._source.close()
    assert model.prompt("Say hi.", max_tokens=3).text()
