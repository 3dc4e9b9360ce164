"""Values of a type that are made of as much of an answer as there is."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import typing_extensions

from ..text import JSONObject
from .growing import GrowingValue
from .typed import UNIONS, AnswerType, adapter_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import BaseModel

# What says something about a type, and is none.
_AROUND = ("Annotated", "Required", "NotRequired", "ReadOnly", "Final")


class GrowingAnswer(GrowingValue):
    """Reads an answer of a type while its text arrives; gives values of the type.

    Nothing is checked. Fields that have not come are what they are by default, else `None`, and so
    is what is not yet a value of its type, such as half a date.
    """

    # What is complete is made once, but each item of what is open is looked at each time.
    copies_per_character = 64

    def __init__(self, answer: AnswerType) -> None:
        super().__init__()
        self._answer = answer
        # What was made of complete lists and objects, by their ids; they are kept so long.
        self._made: dict[int, tuple[object, object]] = {}

    def feed(self, piece: str) -> Iterator[object]:
        """Take the next piece of text; the value as it is then, if it says more than before."""
        yield from self._typed(super().feed(piece))

    def end(self) -> Iterator[object]:
        """The value at the end of the text, if it says more than the last one given."""
        yield from self._typed(super().end())

    def _typed(self, values: Iterator[object]) -> Iterator[object]:
        for value in values:
            # Of what is put into an object, that may be all there is.
            if not (self._answer.is_wrapped and value == {}):
                yield self._of(self._answer.kind, self._answer.bare(value), is_open=True)

    def _of(self, kind: object, value: object, is_open: bool) -> object:
        if is_open or not isinstance(value, (dict, list)):
            return self._make(kind, value, is_open)
        if id(value) not in self._made:
            self._made[id(value)] = value, self._make(kind, value, is_open)
        return self._made[id(value)][1]

    def _make(self, kind: object, value: object, is_open: bool) -> object:
        shape = _shape_of(kind)
        if shape.arms:
            arm = _arm(shape.arms, value)
            return None if arm is None else self._make(arm, value, is_open)
        if isinstance(value, dict) and shape.kinds is not None:
            return shape.make(self._fields(shape.kinds, shape.other, value, is_open))
        if isinstance(value, list) and shape.is_list:
            count = len(value)
            items = (
                self._of(shape.other, item, is_open and number == count)
                for number, item in enumerate(value, 1)
            )
            return shape.make(items)
        return _scalar(shape.kind, value)

    def _fields(
        self, kinds: Mapping[str, object], other: object, value: JSONObject, is_open: bool
    ) -> JSONObject:
        last = next(reversed(value), None)
        return {
            name: self._of(kind, item, is_open and name == last)
            for name, item in value.items()
            if (kind := kinds.get(name, other)) is not None
        }


class _Shape(NamedTuple):
    """How values of a type are made.

    Attributes:
        kind: The type, without what is said about it.
        make: Makes one of the values for its fields, or of a list of its items.
        kinds: The types of the fields of an object, by their names in JSON; `None` for a list.
        other: The type of all other fields of an object, or of the items of a list.
        arms: The types of which it is one.
    """

    kind: object
    make: Callable[..., object] = dict
    kinds: Mapping[str, object] | None = None
    other: object = None
    arms: tuple[object, ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether it is made of a list."""
        return self.kinds is None and self.other is not None

    def takes(self, value: object) -> bool:
        """Whether a value that is no list and no object is one of it."""
        is_plain = self.kinds is None and self.other is None
        return is_plain and _scalar(self.kind, value) is not None


@lru_cache(maxsize=1024)
def _shape_of(kind: object) -> _Shape:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if getattr(origin, "__name__", getattr(origin, "_name", "")) in _AROUND:
        return _shape_of(arguments[0])
    if origin in UNIONS:
        return _Shape(kind, arms=arguments)
    if origin in (list, set, frozenset) or (origin is tuple and arguments[1:] == (...,)):
        return _Shape(kind, origin, other=arguments[0])
    if origin is dict:
        return _Shape(kind, dict, {}, arguments[1])
    return _shape_of_class(kind, origin or kind)


def _shape_of_class(kind: object, origin: object) -> _Shape:
    if isinstance(kind, type) and hasattr(kind, "model_fields"):
        return _shape_of_model(kind)
    if isinstance(origin, type) and dataclasses.is_dataclass(origin):
        return _shape_of_dataclass(origin)
    if typing_extensions.is_typeddict(kind):
        return _Shape(kind, dict, typing_extensions.get_type_hints(kind, include_extras=True))
    return _Shape(kind)


def _shape_of_model(kind: type[BaseModel]) -> _Shape:
    fields = kind.model_fields
    names = {field.alias or name: name for name, field in fields.items()}

    def make(values: JSONObject) -> object:
        known = {names[name]: value for name, value in values.items()}
        made = kind.model_construct(_fields_set=set(known))
        vars(made).update({name: None for name in fields if name not in vars(made)} | known)
        return made

    return _Shape(kind, make, {name: fields[own].annotation for name, own in names.items()})


def _shape_of_dataclass(kind: type[DataclassInstance]) -> _Shape:
    missing = dataclasses.MISSING

    def make(values: JSONObject) -> object:
        made = object.__new__(kind)
        for field in dataclasses.fields(kind):
            value = None if field.default is missing else field.default
            if field.default_factory is not missing:
                value = field.default_factory()
            # Also where it is frozen.
            object.__setattr__(made, field.name, values.get(field.name, value))
        return made

    return _Shape(kind, make, typing_extensions.get_type_hints(kind, include_extras=True))


def _arm(arms: tuple[object, ...], value: object) -> object:
    """Which of several types a value will most likely be of; `None` where nobody knows yet."""
    shapes = [(arm, _shape_of(arm)) for arm in arms]
    if isinstance(value, dict):
        return _object_arm([(arm, shape.kinds) for arm, shape in shapes if shape.kinds], value)
    if isinstance(value, list):
        return next((arm for arm, shape in shapes if shape.is_list), None)
    return next((arm for arm, shape in shapes if shape.takes(value)), None)


def _object_arm(arms: list[tuple[object, Mapping[str, object]]], value: JSONObject) -> object:
    """The type that has the most of the fields, and is not another one by its `Literal`s."""
    fits = [
        (sum(name in kinds for name in value), -number, arm)
        for number, (arm, kinds) in enumerate(arms)
        if _agrees(kinds, value)
    ]
    best = max(fits, default=(0, 0, None))
    return best[2] if best[0] or len(arms) == 1 else None


def _agrees(kinds: Mapping[str, object], value: JSONObject) -> bool:
    """Whether the fields that tell types apart have the values for this one."""
    return all(
        value[name] in typing.get_args(kind)
        for name, kind in kinds.items()
        if name in value and typing.get_origin(kind) is typing.Literal
    )


def _scalar(kind: object, value: object) -> object:
    """A value of a type that does not grow; `None` where it is none."""
    if kind is str or kind is Any:
        return value if kind is Any or isinstance(value, str) else None
    try:
        found: object = adapter_of(kind).validate_python(value)
        return found
    except ValueError:
        return None
