"""Answers that fit a schema."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Optional, Union

from pydantic import BaseModel
from typing_extensions import TypedDict, assert_type

import llm


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


@dataclass
class Cat:
    """A cat."""

    name: str


class Page(TypedDict):
    """Some cats."""

    cats: list[Cat]


class Colour(Enum):
    """A colour."""

    RED = "red"


model = llm.get_model()
dog = model.prompt("Invent a dog", schema=Dog, temperature=0.5).parsed()
assert isinstance(dog, Dog)
print(dog.name.upper(), dog.age + 1)
short = llm.schema_dsl("name, age int", multi=True)
print(model.prompt("Invent dogs", schema=short).text(), short["properties"])

assert_type(model.prompt("x", schema=Dog), llm.Response[Dog])
assert_type(model.prompt("x", schema=Cat).parsed(), Cat)
assert_type(model.prompt("x", schema=Page).parsed(), Page)
assert_type(model.prompt("x", schema=list[Dog], repair=2).parsed(), list[Dog])
assert_type(model.prompt("x", schema=Literal["a", "b"]).parsed(), Literal["a", "b"])
assert_type(model.prompt("x", schema=Union[Dog, Cat]).parsed(), Union[Dog, Cat])
assert_type(model.prompt("x", schema=Optional[int]).parsed(), Optional[int])
assert_type(model.prompt("x", schema=Colour).parsed(), Colour)
assert_type(model.prompt("x", schema=bool).parsed(), bool)
assert_type(model.prompt("x", schema="name, age int").parsed(), Any)
assert_type(model.prompt("x").parsed(), Any)
for cats in model.prompt("x", schema=list[Cat]).stream_objects():
    assert_type(cats, list[Cat])

conversation = model.conversation()
assert_type(conversation.prompt("x", schema=Dog).parsed(), Dog)
for answer in conversation.chain("x", schema=list[int], repair=1).responses():
    assert_type(answer.parsed(), list[int])


async def main() -> None:
    """The same, asynchronously."""
    twin = llm.get_async_model()
    response = twin.prompt("x", schema=Dog)
    assert_type(response, llm.AsyncResponse[Dog])
    assert_type(await response.parsed(), Dog)
    async for number in twin.conversation().prompt("x", schema=int).stream_objects():
        assert_type(number, int)
