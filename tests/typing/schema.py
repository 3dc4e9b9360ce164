"""Answers that fit a schema."""

from pydantic import BaseModel

import llm


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


model = llm.get_model()
dog = model.prompt("Invent a dog", schema=Dog).parsed()
assert isinstance(dog, Dog)
print(dog.name.upper(), dog.age + 1)
short = llm.schema_dsl("name, age int", multi=True)
print(model.prompt("Invent dogs", schema=short).text(), short["properties"])
