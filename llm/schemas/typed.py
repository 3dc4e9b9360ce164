"""Answers that are values of a Python type: its JSON schema, and reading an answer as one.

The schema of an answer has to be an object for most services. What is no object (a list, a number,
one of several) is asked for as the only field of one, which nobody sees who reads the value.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, cast

from ..errors import InvalidInput
from ..text import JSONObject, truncate_string
from ..text.secrets import shown_as
from .notation import parse_dsl
from .validation import mismatch, parse_answer

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# The field of an object whose value is what was asked for.
_FIELD = "value"
_SHOWN_CHARACTERS = 60
#: What `typing.get_origin` gives for one of several types.
UNIONS = (typing.Union, UnionType)


class AnswerType:
    """A type that answers have: a pydantic class, a dataclass, `list[int]`, and what else there is.

    Args:
        kind: The type.

    Attributes:
        name: The type as errors name it.
        schema: What the model is asked for.
        is_wrapped: It asks for the value in an object.

    Raises:
        InvalidInput: It is no type, or has no JSON schema.
    """

    def __init__(self, kind: Any) -> None:
        from pydantic import PydanticUserError

        is_class = isinstance(kind, type) and not hasattr(kind, "__origin__")
        self.kind = kind
        self.name: str = kind.__name__ if is_class else shown_as(kind)
        self.is_wrapped: bool = False
        try:
            self._adapter = adapter_of(kind)
            self.schema: JSONObject = self._schema()
        except (PydanticUserError, NameError, TypeError) as error:
            why = re.split(r"\. |\n", str(error))[0]
            raise InvalidInput(
                f"schema= takes a JSON schema, the short notation or a type, not {self.name}: {why}"
            ) from error

    def _schema(self) -> JSONObject:
        if hasattr(self.kind, "model_json_schema"):
            own: JSONObject = self.kind.model_json_schema()
            return own
        schema: JSONObject = self._adapter.json_schema()
        if schema.get("type") == "object":
            return schema
        self.is_wrapped = True
        around = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
        return {"type": "object", "properties": {_FIELD: schema}, "required": [_FIELD], **around}

    def bare(self, value: object) -> object:
        """The value without the object around it."""
        if self.is_wrapped and isinstance(value, dict) and [*value] == [_FIELD]:
            return value[_FIELD]
        return value

    def parse(self, text: str) -> object:
        """The value that an answer describes.

        Raises:
            SchemaMismatch: It is not JSON, or is no value of the type; the message says where.
        """
        from pydantic import ValidationError

        value = self.bare(parse_answer(text, None, self.name))
        try:
            # As JSON: a date is a text there, and a tuple is a list.
            return self._adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
        is_missing = found["type"] == "missing"
        path = [*_path(found["loc"], value), *(found["loc"][-1:] if is_missing else ())]
        shown = truncate_string(shown_as(found["input"]), _SHOWN_CHARACTERS)
        problem = found["msg"] if is_missing else f"{found['msg']} (there is {shown})"
        raise mismatch(path, problem, found["input"], self.name)


def _path(loc: Sequence[int | str], value: object) -> Iterator[int | str]:
    """Where something is wrong, without the names of types that pydantic puts in between."""
    for step in loc:
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, dict) and step in value:
            value = value[step]
            yield step


@lru_cache(maxsize=256)
def _cached(kind: object) -> AnswerType:
    return AnswerType(kind)


def answer_type(schema: object) -> tuple[JSONObject, AnswerType | None]:
    """The JSON schema of what may be given as one: a type, or a text in the short notation.

    Raises:
        InvalidInput: It is neither.
    """
    if isinstance(schema, str):
        return parse_dsl(schema), None
    try:
        found = _cached(schema)
    except TypeError:  # what cannot be hashed
        found = AnswerType(schema)
    return found.schema, found


def adapter_of(kind: object) -> TypeAdapter[Any]:
    """What pydantic makes of a type: its schema, and what reads values of it."""
    from pydantic import TypeAdapter

    return TypeAdapter(cast("Any", _known(kind)))


def _known(kind: Any) -> object:
    """The type with dictionaries of `typing` replaced: pydantic refuses them before Python 3.12."""
    if type(kind) is getattr(typing, "_TypedDictMeta", None):
        from typing_extensions import TypedDict, get_type_hints

        hints = get_type_hints(kind, include_extras=True)
        make: Any = TypedDict
        fields = {name: _known(hint) for name, hint in hints.items()}
        return make(kind.__name__, fields, total=kind.__total__)
    arguments = typing.get_args(kind)
    known = tuple(map(_known, arguments))
    if known == arguments:
        return kind
    origin: Any = typing.get_origin(kind)
    if origin in UNIONS:
        return typing.Union[known]
    return origin[known if len(known) > 1 else known[0]]
