"""What of a schema answers can be checked against.

A schema is sent as it is, and models understand more than JSON Schema allows: patterns of other
languages, keywords of older drafts, types in capitals, keywords that are null. Here is what is
left of it for the check, and what was left out or read in another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..text import JSONObject, truncate_string

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Place = tuple["str | int", ...]

# The keywords that hold a schema, a list of schemas, or schemas by name.
_ONE = frozenset(
    (
        *("items", "additionalProperties", "additionalItems", "contains", "propertyNames", "not"),
        *("if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "contentSchema"),
    )
)
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_NAMED = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
# The value of these may be null and mean it.
_NULLABLE = frozenset(("const", "default", "example"))
_LIMITS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")
_GROUP_AGAIN = re.compile(r"\\k<(\w+)>")
# So often the rest is looked at anew after something was taken out of it.
_ROUNDS = 20


class _Reader:
    """Makes a copy of a schema that can be checked against, and notes what it does."""

    def __init__(self, whole: JSONObject) -> None:
        self._whole = whole
        self.notes: list[str] = []
        self._read: dict[str, Callable[[object, Place], object]] = {
            "pattern": self._pattern,
            "type": self._type,
            "$ref": self._reference,
            "$schema": self._draft,
        }
        # Their limits are flags, as the metaschema says.
        self._has_flags = any(f"draft-0{n}" in str(whole.get("$schema")) for n in (3, 4))

    def note(self, place: Iterable[str | int], text: str) -> None:
        """Remember what was done at a place."""
        self.notes.append(f"{place_of(place)}: {text}")

    def schema(self, value: object, place: Place = ()) -> Any:
        """The copy of a schema, or of what stands in place of one."""
        if not isinstance(value, dict):
            return value
        copy: JSONObject = {}
        for key, item in value.items():
            here = (*place, key)
            if item is None and key not in _NULLABLE:
                self.note(here, "null, not checked")
            elif (read := self._keyword(key, item, here)) is not None or item is None:
                copy[key] = read
        return copy if self._has_flags else self._without_flags(copy, place)

    def _keyword(self, key: str, item: object, here: Place) -> object:
        """The value of a keyword as it can be checked; `None` where it cannot."""
        if key in _LISTS and isinstance(item, list):
            return [self.schema(one, (*here, number)) for number, one in enumerate(item)]
        if key in _NAMED and isinstance(item, dict):
            return self._by_name(key, item, here)
        if key in _ONE:
            return self.schema(item, here)
        if key in self._read:
            return self._read[key](item, here)
        return deepcopy(item) if isinstance(item, (dict, list)) else item

    def _by_name(self, key: str, schemas: JSONObject, here: Place) -> JSONObject:
        copy = {}
        for name, schema in schemas.items():
            place = (*here, name)
            read = self._pattern(name, place) if key == "patternProperties" else name
            if schema is None:
                self.note(place, "null, not checked")
            elif read is not None:
                copy[read] = self.schema(schema, place)
        return copy

    def _without_flags(self, copy: JSONObject, place: Place) -> JSONObject:
        """The copy with limits in place of the flags of draft 4, which say that one is excluded."""
        for key, other in _LIMITS.items():
            flag, limit = copy.get(key), copy.get(other)
            if not isinstance(flag, bool):
                continue
            del copy[key]
            if flag and isinstance(limit, (int, float)):
                copy[key] = copy.pop(other)
                self.note((*place, key), f"true, read as {limit} without {other}, as in draft 4")
            else:
                self.note((*place, key), f"{str(flag).lower()}, not checked")
        return copy

    def _pattern(self, text: object, here: Place) -> Any:
        if not isinstance(text, str):
            return text
        known = _GROUP_AGAIN.sub(r"(?P=\1)", _NAMED_GROUP.sub("(?P<", text))
        for pattern in (text, known):
            # What it overflows or warns of is no more to be relied on.
            with suppress(re.error, OverflowError, RecursionError, Warning):
                re.compile(pattern)
                return pattern
        self.note(here, f"the pattern {text!r} is not one that Python knows, not checked")
        return None

    def _type(self, item: object, here: Place) -> object:
        names = item if isinstance(item, list) else [item]
        lowered = [name.lower() if isinstance(name, str) else name for name in names]
        if lowered != names and _TYPES.issuperset(map(str, lowered)):
            self.note(here, f"{item!r} is read in small letters")
            lowered = list(dict.fromkeys(lowered))
            return lowered if isinstance(item, list) else lowered[0]
        return item

    def _draft(self, item: object, here: Place) -> object:
        if isinstance(item, str):
            return item
        self.note(here, f"{item!r} is no draft, not checked")
        return None

    def _reference(self, reference: object, here: Place) -> object:
        """A reference that leads somewhere within the schema, or may do so."""
        if not isinstance(reference, str):
            return reference
        is_elsewhere = "://" in reference and not reference.startswith(_address(self._whole))
        if is_elsewhere or (reference.startswith("#/") and not self._has(reference)):
            self.note(here, f"it refers to {reference!r}, which is not in it, not checked")
            return None
        return reference

    def _has(self, pointer: str) -> bool:
        from urllib.parse import unquote

        at: Any = self._whole
        for step in unquote(pointer[2:]).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                at = at[int(name)] if isinstance(at, list) else at[name]
            except (KeyError, IndexError, ValueError, TypeError):
                return False
        return True


def _address(schema: JSONObject) -> str:
    """What the addresses of a schema begin with; nothing does where it has none."""
    own = schema.get("$id", schema.get("id"))
    return own.partition("#")[0] if isinstance(own, str) and own else "\0"


def checkable(schema: JSONObject) -> tuple[JSONObject, list[str]]:
    """The part of a schema that answers can be checked against, and a note on all that is not.

    Raises:
        RecursionError: It is nested too deeply.
        TimeoutError: It takes longer than two seconds.
    """
    from . import limits

    with limits.time_limit(limits.LIMIT_S):
        reader = _Reader(schema)
        copy: JSONObject = reader.schema(schema)
        for _ in range(_ROUNDS):
            problems = _problems(copy)
            if not problems:
                return copy, reader.notes
            for place, message in problems.items():
                reader.note(place, f"{truncate_string(message)}, not checked")
                copy = _without(copy, place)
    return {}, [*reader.notes, "the rest is not checked"]


def _problems(schema: JSONObject) -> Mapping[Sequence[str | int], str]:
    """What the metaschema says of a schema, by place, what is deepest and last first."""
    kind = validator_of(schema)
    checker = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    found = {tuple(error.absolute_path): error.message for error in checker.iter_errors(schema)}

    def depth(place: Sequence[str | int]) -> tuple[int, list[int]]:
        return len(place), [step if isinstance(step, int) else -1 for step in place]

    return {place: found[place] for place in sorted(found, key=depth, reverse=True)}


def validator_of(schema: JSONObject) -> type[Validator]:
    """The class that checks values against a schema of its draft."""
    from jsonschema import validators

    kind: type[Validator] = validators.validator_for(
        schema, default=validators.Draft202012Validator
    )
    return kind


def _without(schema: JSONObject, place: Sequence[str | int]) -> JSONObject:
    """A schema without what stands at a place."""
    if not place:
        return {}
    at: Any = schema
    with suppress(KeyError, IndexError, TypeError):
        for step in place[:-1]:
            at = at[step]
        if isinstance(at, list) and len(place) > 1 and place[-2] in _LISTS:
            # In its place is one that anything fits.
            at[int(place[-1])] = True
        else:
            del at[place[-1]]
    return schema


def place_of(path: Iterable[str | int]) -> str:
    """A place in a JSON value, as `$.items[2].name`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "$" + "".join(steps)
