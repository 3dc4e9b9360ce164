"""Conditions on metadata, as `year > 2020 and lang = "en"`, to SQL with bound values.

A comparison is true or false, never unknown: where the key is missing, or its value is of another
type, `=`, `<`, `<=`, `>` and `>=` are false, and `!=` is true, as the opposite of `=`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import InvalidInput
from .nearest import Condition, all_of

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
      | (?P<number> -?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]) )
      | (?P<operator> <=|>=|<>|!=|==|=|<|> )
      | (?P<mark> [()] )
      | (?P<word> (?:\$\.)?[^\W\d][\w-]*(?:\.[\w-]+|\[\d+\])* )
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = {"==": "=", "<>": "!="}
_CONSTANTS = {"true": True, "false": False, "null": None}
_WORDS = frozenset({"and", "or", "not", *_CONSTANTS})
# SQLite takes no deeper expressions, and Python no deeper recursion, than many times this.
_MOST_COMPARISONS = 200
_DEEPEST = 50
_LARGEST = 1 << 63


class Dialect(NamedTuple):
    """How a database says it: expressions with a mark for each value that is bound.

    Attributes:
        whole: All of it, at the brace.
        null, boolean: With the path, and the path and the JSON of a value.
        text, number: The operator at the brace, with the path twice and a value.
        path: The path of the steps to a key; a number is the place in a list.
    """

    whole: str
    null: str
    boolean: str
    text: str
    number: str
    path: Callable[[Sequence[str | int]], object]


def _json_path(steps: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)


_TYPE = "json_type(metadata, ?)"
_TYPED = f"coalesce({_TYPE} in {{}} and json_extract(metadata, ?) {{{{}}}} ?, 0)"
SQLITE = Dialect(
    # Metadata that some other program wrote may be anything.
    "case when json_valid(metadata) or metadata is null then {} else 0 end",
    f"coalesce({_TYPE}, 'null') = 'null'",
    f"{_TYPE} is ?",
    _TYPED.format("('text')"),
    _TYPED.format("('integer', 'real')"),
    _json_path,
)


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def where(text: str, dialect: Dialect = SQLITE) -> Condition:
    """The condition that a text says.

    Args:
        text: Comparisons of a key with a value, joined by `and`, `or`, `not` and parentheses. A
            key is a name, `author.name`, `tags[0]`, or anything in quotes. A value is a number, a
            text in quotes, `true`, `false` or `null`; the last is also what a missing key has.
        dialect: That of the database.

    Raises:
        InvalidInput: The text is nothing of that kind; the place is named.
    """
    found = _Parser(text, dialect).parsed()
    return Condition(dialect.whole.format(found.sql), found.values)


class _Parser:
    """Reads one condition, by recursive descent."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._text = text
        self._dialect = dialect
        self._at = self._depth = self._comparisons = 0
        self._tokens: list[_Token] = []
        self._split(text)

    def _fail(self, problem: str, place: int | None = None) -> InvalidInput:
        token = self._peek()
        place = (token.place if token else len(self._text)) if place is None else place
        return InvalidInput(
            f"Cannot read the condition {self._text!r}: {problem} at character {place + 1}; "
            'it has to be like: year > 2020 and lang = "en"'
        )

    def _split(self, text: str) -> None:
        place, end = 0, len(text.rstrip())
        while place < end:
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                place += len(text[place:]) - len(text[place:].lstrip())
                raise self._fail(f"{text[place]!r} is not understood", place)
            kind = match.lastgroup
            self._tokens.append(_Token(kind, match[kind], match.start(kind)))
            place = match.end()

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _takes(self, *texts: str) -> bool:
        """Take the next token if it is one of these words or marks."""
        token = self._peek()
        if token and token.kind in ("word", "mark") and token.text.lower() in texts:
            self._at += 1
            return True
        return False

    def parsed(self) -> Condition:
        """All of it."""
        found = self._any()
        if self._peek():
            raise self._fail("'and' or 'or' is expected")
        return found

    def _any(self) -> Condition:
        found = [self._all()]
        while self._takes("or"):
            found.append(self._all())
        if len(found) == 1:
            return found[0]
        sql = " or ".join(f"({condition.sql})" for condition in found)
        return Condition(sql, tuple(value for _, values in found for value in values))

    def _all(self) -> Condition:
        found = [self._one()]
        while self._takes("and"):
            found.append(self._one())
        return all_of(found) or found[0]

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._fail("it is nested too deeply")
        if self._takes("not"):
            inner = self._one()
            found = Condition(f"not ({inner.sql})", inner.values)
        elif self._takes("("):
            found = self._any()
            if not self._takes(")"):
                raise self._fail("')' is expected")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > _MOST_COMPARISONS:
            raise self._fail("it has too many comparisons")
        path = self._path()
        token = self._peek()
        if token is None or token.kind != "operator":
            raise self._fail("a comparison such as = or > is expected")
        self._at += 1
        operator = _OPERATORS.get(token.text, token.text)
        value = self._value()
        if operator == "!=":
            equal = self._compared(path, "=", value)
            return Condition(f"not ({equal.sql})", equal.values)
        if operator != "=" and (value is None or isinstance(value, bool)):
            raise self._fail(
                f"{json.dumps(value)} is neither more nor less than anything", token.place
            )
        return self._compared(path, operator, value)

    def _compared(self, path: object, operator: str, value: str | float | bool | None) -> Condition:
        dialect = self._dialect
        if value is None:
            return Condition(dialect.null, (path,))
        if isinstance(value, bool):
            return Condition(dialect.boolean, (path, json.dumps(value)))
        sql = dialect.text if isinstance(value, str) else dialect.number
        return Condition(sql.format(operator), (path, path, value))

    def _path(self) -> object:
        token = self._peek()
        if token is None or token.kind not in ("word", "string"):
            raise self._fail("a key is expected")
        if token.kind == "word" and token.text.lower() in _WORDS:
            raise self._fail(f"a key is expected, not {token.text!r} (put a key in quotes)")
        self._at += 1
        if token.kind == "word":
            steps = re.findall(r"[\w-]+|\[\d+\]", token.text.removeprefix("$."))
            return self._dialect.path(
                [int(step[1:-1]) if step[0] == "[" else step for step in steps]
            )
        key = self._string(token)
        if '"' in key:
            raise self._fail("a key cannot have quotes in it", token.place)
        return self._dialect.path([key])

    def _string(self, token: _Token) -> str:
        return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)

    def _value(self) -> str | float | bool | None:
        token = self._peek()
        word = token.text.lower() if token and token.kind == "word" else ""
        if token is None or (token.kind not in ("string", "number") and word not in _CONSTANTS):
            raise self._fail("a number, a text in quotes, true, false or null is expected")
        self._at += 1
        if token.kind == "word":
            return _CONSTANTS[word]
        if token.kind == "string":
            return self._string(token)
        is_whole = re.fullmatch(r"-?\d{1,19}", token.text) and abs(int(token.text)) < _LARGEST
        return int(token.text) if is_whole else float(token.text)
