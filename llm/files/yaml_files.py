"""YAML that people write: what is wrong with it and where, and one more item in a list of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .._lazy import for_hints
from ..errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from yaml import CSafeLoader, Event, Node, SafeLoader
else:
    for_hints(
        globals(),
        {
            "yaml": "CSafeLoader Event Node SafeLoader",
        },
    )

MAX_DEPTH = 200
# What the YAML library raises, beside its own errors, for values that contradict their tag.
_ODD_VALUES = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class InvalidYAML(InvalidInput):
    """A text that a person wrote is not the YAML that it should be.

    Args:
        problem: What is wrong, in one clause.
        line: The line of the problem, counted from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(f"Line {line}: {problem}")
        self.problem = problem
        self.line = line

    def in_file(self, path: Path | str, remedy: str) -> ConfigError:
        """The same error about a file of the user directory."""
        return ConfigError(path, self.problem, remedy, self.line)


@cache
def _loader() -> type[SafeLoader | CSafeLoader]:
    """The loader of plain YAML, the fast one where the library has it."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]  # one of the two
        """Tells the line of each value that contradicts its tag."""

        def construct_object(self, node: Node, deep: bool = False) -> object:
            try:
                return super().construct_object(node, deep)
            except _ODD_VALUES as error:
                raise yaml.constructor.ConstructorError(
                    None, None, str(error), node.start_mark
                ) from error

    return Loader


def parse_yaml(text: str) -> object:
    """The value of a YAML text.

    Raises:
        InvalidYAML: It is none, or nested too deeply.
    """
    import yaml

    try:
        line = _first_too_deep(text)
        if line is None:
            return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        position = getattr(error, "position", None) or 0
        line = mark.line if mark else text.count("\n", 0, position)
        raise InvalidYAML(f"not valid YAML ({problem})", line + 1) from error
    raise InvalidYAML(f"nested too deeply (more than {MAX_DEPTH} levels)", line)


def _first_too_deep(text: str) -> int | None:
    """The line of the first value within more than `MAX_DEPTH` others; none of them is made."""
    import yaml

    if sum(map(text.count, "[{-?")) <= MAX_DEPTH and " " * MAX_DEPTH not in text:
        return None
    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return _line(event)
    return None


def _line(found: Event | Node) -> int:
    return int(found.start_mark.line) + 1 if found.start_mark else 1


def yaml_lines_of(text: str) -> Callable[[Sequence[str | int]], int]:
    """A function that tells the line of the value at a location, or of the last key on its way.

    Args:
        text: A YAML text that can be parsed.
    """
    import yaml

    @cache
    def root() -> Node | None:
        return yaml.compose(text, Loader=_loader())

    def line_of(location: Sequence[str | int]) -> int:
        node = root()
        line = 1 if node is None else _line(node)
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line

    return line_of


def _child(node: Node | None, step: str | int) -> tuple[int, Node] | None:
    """The value of a key or the item of a list, with the line in which it begins."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return _line(key), value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _line(node.value[step]), node.value[step]
    return None


# Editing


def yaml_with_item(
    text: str, keys: Sequence[str], item: object, *, may_rewrite: bool
) -> str | None:
    """A YAML text with one more item at the end of a list; comments and all else stay.

    Args:
        text: The text.
        keys: The keys that lead to the list, from the outermost; none where the text is the list.
        item: A text, or a mapping.
        may_rewrite: Whether a text in an unusual form may lose its comments.

    Returns:
        The new text; `None` where its form is unusual and may not be rewritten.

    Raises:
        InvalidYAML: It is none, or something else stands where the list should be.
    """
    import yaml

    data = parse_yaml(text)
    try:
        wanted = _add_item(data, keys, item)
    except TypeError as error:
        raise InvalidYAML(str(error), yaml_lines_of(text)(keys)) from error
    if wanted == data:
        return text
    for edited in _insertions(text, keys, item):
        try:
            if yaml.load(edited, Loader=_loader()) == wanted:
                return edited
        except yaml.YAMLError:
            continue
    return _dump(wanted) if may_rewrite else None


def _add_item(data: object, keys: Sequence[str], item: object) -> object:
    if not keys:
        items = [] if data is None else data
        if not isinstance(items, list):
            raise TypeError("not a list")
        return items if item in items else [*items, item]
    place = {} if data is None else data
    if not isinstance(place, dict):
        raise TypeError("not a mapping of keys")
    return {**place, keys[0]: _add_item(place.get(keys[0]), keys[1:], item)}


def _insertions(text: str, keys: Sequence[str], item: object) -> Iterator[str]:
    """Texts with the item put in by hand; the one that reads right is the one."""
    import yaml

    # The marks of the fast loader count other characters.
    node: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    missing = list(keys)
    while missing and (found := _child(node, missing[0])):
        node = found[1]
        del missing[0]
    if isinstance(node, yaml.SequenceNode) and node.flow_style:
        end = node.end_mark.index - 1
        inline = _quote(item) if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        for comma in (", ", ""):
            yield f"{text[:end]}{comma}{inline}{text[end:]}"
    elif isinstance(node, yaml.CollectionNode):
        end = _end_of_lines(text, node) if keys else len(text)
        yield _with_block(text, end, node.start_mark.column, _block(missing, item))
    elif missing == list(keys):
        yield _with_block(text, len(text), 0, _block(keys, item))


def _with_block(text: str, end: int, column: int, lines: Iterable[str]) -> str:
    """A text with lines put in at a place, indented by so many columns."""
    line_end = "\r\n" if "\r\n" in text else "\n"
    head = text[:end]
    if head and not head.endswith("\n"):
        head += line_end
    return head + "".join(f"{' ' * column}{line}{line_end}" for line in lines) + text[end:]


def _end_of_lines(text: str, node: Node) -> int:
    """Where the last line of a node ends, without the comments and empty lines that follow it."""
    import yaml

    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return text.find("\n", node.end_mark.index) + 1 or len(text)


def _block(keys: Sequence[str], item: object) -> Iterator[str]:
    for depth, key in enumerate(keys):
        yield f"{'  ' * depth}{key if key.isidentifier() else _quote(key)}:"
    indent = "  " * (len(keys) - 1)
    shown = f"- {_quote(item)}" if isinstance(item, str) else _dump([item])
    yield from (indent + line for line in shown.splitlines())


def _dump(value: object) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000))


def _quote(text: str) -> str:
    if not text.isprintable():
        import yaml

        # A line break, or half a character of a name that is no UTF-8.
        quoted = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
        return str(quoted).rstrip("\n")
    return "'" + text.replace("'", "''") + "'"
