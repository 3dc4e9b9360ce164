"""Answers that are values of Python types, whole and while they grow; asking again."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import typing
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any, Literal, Optional, Union

import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

import llm
from llm.errors import InvalidInput, SchemaMismatch


class Colour(enum.Enum):
    """One of two."""

    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Dog:
    """A dataclass with a default and a list that is made."""

    name: str
    born: datetime.date
    tags: list[str] = dataclasses.field(default_factory=list)
    legs: int = 4


class Cat(pydantic.BaseModel):
    """A pydantic class that another one is told apart from."""

    kind: Literal["cat"]
    name: Annotated[str, pydantic.Field(min_length=3)]
    owner: Optional[Dog] = None


class Cow(pydantic.BaseModel):
    """Has an alias, which is what the answer calls the field."""

    kind: Literal["cow"]
    milk: float = pydantic.Field(alias="milkPerDay")


# Of `typing`, which pydantic refuses before Python 3.12.
class Page(typing.TypedDict):
    """A page of dogs."""

    number: int
    dogs: typing_extensions.NotRequired[list[Dog]]


class Scripted(llm.Model):
    """Answers what it was told to, in pieces of three characters."""

    model_id = "scripted"
    can_stream = True
    supports_schema = True

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        self.asked.append(prompt.prompt)
        answer = self.answers.pop(0)
        for at in range(0, len(answer), 3):
            yield answer[at : at + 3]


class AsyncScripted(llm.AsyncModel):
    """Its twin."""

    model_id = "scripted"
    can_stream = True
    supports_schema = True

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        answer = self.answers.pop(0)
        for at in range(0, len(answer), 3):
            yield answer[at : at + 3]


REX = {"name": "Rex", "born": "2020-01-02"}
BORN = datetime.date(2020, 1, 2)
VALUES: list[tuple[Any, object, object]] = [
    (Dog, REX, Dog("Rex", BORN)),
    (
        list[Dog],
        {"value": [REX, {**REX, "tags": ["a"]}]},
        [Dog("Rex", BORN), Dog("Rex", BORN, ["a"])],
    ),
    (list[Dog], [REX], [Dog("Rex", BORN)]),
    (Page, {"number": 1, "dogs": [REX]}, {"number": 1, "dogs": [Dog("Rex", BORN)]}),
    (list[Page], {"value": [{"number": 1}]}, [{"number": 1}]),
    (Literal["a", "b"], {"value": "b"}, "b"),
    (Union[Cat, Cow], {"value": {"kind": "cow", "milkPerDay": 2}}, Cow(kind="cow", milkPerDay=2)),
    (Optional[Dog], {"value": None}, None),
    (Colour, {"value": "blue"}, Colour.BLUE),
    (int, {"value": 5}, 5),
    (str, {"value": "x"}, "x"),
    (bool, {"value": True}, True),
    (dict[str, int], {"value": 5}, {"value": 5}),
    (tuple[int, ...], {"value": [1, 2]}, (1, 2)),
    ("name, age int", {"name": "Rex", "age": 3}, {"name": "Rex", "age": 3}),
]


@pytest.mark.parametrize(("kind", "answer", "value"), VALUES, ids=lambda value: str(value)[:40])
def test_parsed_gives_a_value_of_the_type(kind: Any, answer: object, value: object) -> None:
    """Whatever type is given: the model is asked for an object, and the value is of the type; the
    last of the growing values is that, too."""
    text = json.dumps(answer)
    model = Scripted(text, text)
    response = model.prompt("x", schema=kind)
    assert response.prompt.schema is not None
    assert response.prompt.schema["type"] == "object"
    assert response.parsed() == value
    assert type(response.parsed()) is type(value)
    if isinstance(answer, dict):
        assert list(model.prompt("x", schema=kind).stream_objects())[-1] == value


@pytest.mark.asyncio
async def test_async_twin_parses_types_and_asks_again() -> None:
    """The asynchronous response has all of it."""
    good = json.dumps(REX)
    model = AsyncScripted(good, "{}", good)
    grown = [value async for value in model.prompt("x", schema=Dog).stream_objects()]
    assert grown[-1] == Dog("Rex", BORN)
    response = model.prompt("x", schema=Dog, repair=1)
    assert await response.parsed() == Dog("Rex", BORN)
    assert [again.text_so_far for again in response.repairs] == [good]


@pytest.mark.parametrize(
    ("kind", "answer", "place", "path", "value"),
    [
        (list[Dog], '[{"name": "Rex", "born": "x"}]', "$[0].born", (0, "born"), "x"),
        (Cat, '{"kind": "cat"}', "$.name", ("name",), {"kind": "cat"}),
        (int, '{"value": "x"}', "$", (), "x"),
        (Union[int, Dog], '{"value": {"name": 5}}', "$", (), {"name": 5}),
        ("name, age int", '{"name": "x", "age": "y"}', "$.age", ("age",), "y"),
        (Dog, "Sure!", "$", (), "Sure!"),
    ],
    ids=str,
)
def test_mismatch_tells_path_and_value(
    kind: Any, answer: str, place: str, path: tuple[str | int, ...], value: object
) -> None:
    """What does not fit is one line; where it is, and what is there, can be asked for."""
    with pytest.raises(SchemaMismatch) as caught:
        Scripted(answer).prompt("x", schema=kind).parsed()
    error = caught.value
    assert "\n" not in str(error)
    assert (error.place, error.path, error.value) == (place, path, value)


@pytest.mark.parametrize("kind", [object(), 5, "a foo", typing.Callable, type])
def test_what_is_no_type_is_refused(kind: Any) -> None:
    """A line says what `schema=` takes, when the prompt is made."""
    with pytest.raises(InvalidInput, match=r"^(schema= takes|Invalid schema).+$"):
        Scripted().prompt("x", schema=kind)


def test_model_without_schemas_refuses_types() -> None:
    """A model that cannot do it says so in one line."""

    class Simple(Scripted):
        supports_schema = False

    with pytest.raises(ValueError, match=r"^Simple: scripted does not support schemas$"):
        Simple().prompt("x", schema=list[int])


def test_growing_values_are_of_the_type() -> None:
    """Fields that have not come are what they are by default, else `None`; half a date is none."""
    answer = json.dumps({"value": [{**REX, "tags": ["a"]}, {"name": "Fido"}]})
    grown = list(Scripted(answer).prompt("x", schema=list[Dog]).stream_objects())
    dogs = [dog for value in grown for dog in value]
    assert {type(dog) for dog in dogs} == {Dog}
    assert {dog.born for dog in dogs} == {None, BORN}
    assert grown[-1] == [Dog("Rex", BORN, ["a"]), Dog("Fido", None)]  # type: ignore[arg-type]
    # What is complete is made once.
    assert grown[-1][0] is grown[-2][0]


def test_growing_value_of_one_of_several_waits_until_it_is_known() -> None:
    """Which of two classes it is shows the field that tells them apart."""
    answer = json.dumps({"value": {"kind": "cow", "milkPerDay": 2}})
    grown = list(Scripted(answer).prompt("x", schema=Union[Cat, Cow]).stream_objects())
    assert {type(value) for value in grown} == {type(None), Cow}
    cows = [value for value in grown if isinstance(value, Cow)]
    assert [cow.milk for cow in cows] == [None, 2]


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([kind for kind, *_ in VALUES if not isinstance(kind, str)]), TREES)
def test_growing_values_never_fail(kind: Any, value: Any) -> None:
    """Whatever comes in place of what was asked for, growing values only leave it out."""
    for answer in (value, {"value": value}, {"name": value, "dogs": [value], "kind": "cat"}):
        list(Scripted(json.dumps(answer)).prompt("x", schema=kind).stream_objects())


def test_repair_asks_again_with_the_error() -> None:
    """The model is told place and problem in the same conversation; a second `parsed()` asks
    nobody."""
    good = json.dumps(REX)
    model = Scripted("no", '{"name": 5}', good)
    kept: list[llm.Response] = []
    conversation = model.conversation(log=kept.append)
    response = conversation.prompt("x", schema=Dog, repair=3)
    assert response.parsed() == response.parsed() == Dog("Rex", BORN)
    assert [again.text() for again in response.repairs] == ['{"name": 5}', good]
    assert "At $.name: " in model.asked[2]
    assert len(response.repairs[-1].prompt.messages) == 5
    assert kept == conversation.responses == [response, *response.repairs]


def test_repair_gives_up_after_its_number() -> None:
    """The last mismatch is raised, now and whenever it is asked for."""
    model = Scripted("first", "second", "third")
    response = model.prompt("x", schema=Dog, repair=1)
    for _ in range(2):
        with pytest.raises(SchemaMismatch) as caught:
            response.parsed()
        assert caught.value.value == "second"
    assert model.answers == ["third"]


def test_repair_in_a_chain() -> None:
    """A chain asks again, too, before it ends."""
    model = Scripted("no", json.dumps(REX), "unasked")
    chain = model.chain("x", schema=Dog, repair=2)
    assert [response.text() for response in chain.responses()] == ["no", json.dumps(REX)]
    with pytest.raises(TypeError, match="next= or repair="):
        model.chain("x", schema=Dog, repair=2, next=lambda response: None)


@pytest.mark.parametrize("given", [{"repair": -1}, {"repair": "2"}, {"repair": 1, "schema": None}])
def test_repair_refuses_what_it_cannot_do(given: dict[str, Any]) -> None:
    """No number of times, or nothing that the answer has to fit."""
    for ask in (Scripted().prompt, Scripted().chain):
        with pytest.raises(InvalidInput, match=r"^repair="):
            ask("x", **{"schema": int, **given})
