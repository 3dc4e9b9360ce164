"""Functions whose schemas, as 0.36 made them, are in `tool_schemas.json`."""

import enum
from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Optional, Union  # noqa: UP035

from pydantic import BaseModel, Field
from typing_extensions import NotRequired, TypedDict


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Point:
    x: int
    y: float = 1.5


class Options(TypedDict):
    "A typed dictionary"

    a: int
    b: NotRequired[str]


class Person(BaseModel):
    "A person"

    name: str = Field(description="The name", title="Name of the person")
    tags: List[str] = []
    title: str = "x"


def case_nothing():
    pass


def case_defaults(a, b=2, c: int = 3, d: Optional[str] = None):
    "Doc here."


def case_types(
    a: Literal["x", "y"],
    b: Union[int, str],
    c: List[int],
    d: Dict[str, int],
    e: Color = Color.RED,
    g: list = [],
    h: dict = None,
    i: Any = None,
):
    """Doc

    Indented
        more
    """


def case_objects(p: Point, t: Options, m: Person, o: Optional[Person] = None) -> str: ...


def case_injected(self, a: int, llm_tool_call=None): ...


def case_kinds(a, /, b, *, c: bool = False): ...


def case_containers(a: tuple[int, str], b: set[int], c: bytes = b"", d: Level = Level.LOW): ...


def case_names(title: str, model_x: int = 1, schema: str = "s", _u: int = 2):
    "uses awkward names"


def case_unions(a: Union[int, None] = None, b: Optional[list[Point]] = None): ...


async def case_coroutine(a: str) -> int:
    "co"


def case_field_defaults(x: str = Field(description="via default"), y: int = Field(default=3)): ...
