"""`tools.yaml` of the user directory: the person's rules about tools, read and added to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..files import config
from ..tools.policy import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml import Node

_REMEDY = "Correct the file: no tool runs before its rules are understood"


def rules_path() -> Path:
    """The file of rules; it may not exist."""
    return config.user_dir() / "tools.yaml"


def load_rules() -> Rules:
    """The rules of `tools.yaml`, as they hold in the current folder; none without the file.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    path = Path(config.user_path()) / "tools.yaml"
    text = config.read_text(path)
    if text is None:
        return Rules()
    try:
        return Rules.from_data(_load(path, text), os.getcwd(), os.path.realpath)
    except ValueError as error:
        raise ConfigError(path, str(error), _REMEDY) from error


def remember(rule: str, folder: str | None = None) -> None:
    """Add to `tools.yaml` that calls which a rule covers need no question any more.

    Comments and the order of the file stay.

    Args:
        rule: The rule.
        folder: The absolute path of the folder that it holds in; everywhere where missing.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = rules_path()
    keys = ["allow"] if folder is None else ["folders", folder, "allow"]

    def change(text: str) -> str:
        _load(path, text)
        return with_item(text, keys, rule)

    config.update_text(path, change)


def _load(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        problem = getattr(error, "problem", None) or error
        raise ConfigError(path, f"not valid YAML ({problem})", _REMEDY, line) from error


def with_item(text: str, keys: Sequence[str], item: str) -> str:
    """A YAML text with one more item in the list that stands under the given keys.

    Everything else of the text stays as it is, where its form allows that.
    """
    import yaml

    wanted = yaml.safe_load(text) or {}
    place = wanted
    for key in keys[:-1]:
        place[key] = place = place.get(key) or {}
    if item in (place.get(keys[-1]) or ()):
        return text
    place[keys[-1]] = [*(place.get(keys[-1]) or ()), item]
    root = yaml.compose(text)
    edited = _inserted(text, root, keys, item) if root is not None else _block(text, 0, keys, item)
    if edited is not None and yaml.safe_load(edited) == wanted:
        return edited
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _inserted(text: str, node: Node, keys: Sequence[str], item: str) -> str | None:
    """The text with the item put in by hand; `None` where its form is too unusual for that."""
    from yaml import MappingNode, SequenceNode

    for depth, key in enumerate(keys):
        if not isinstance(node, MappingNode):
            return None
        below = next((value for name, value in node.value if name.value == key), None)
        if below is None:
            if node.flow_style:
                return None
            head, tail = _split_after(text, node)
            return _block(head, node.start_mark.column, keys[depth:], item) + tail
        node = below
    if not isinstance(node, SequenceNode):
        return None
    if node.flow_style:
        end = node.end_mark.index - 1
        return f"{text[:end]}{', ' if node.value else ''}{_quoted(item)}{text[end:]}"
    head, tail = _split_after(text, node)
    return f"{head}{' ' * node.start_mark.column}- {_quoted(item)}\n{tail}"


def _split_after(text: str, node: Node) -> tuple[str, str]:
    """The text up to the end of the node's last line, and the rest."""
    from yaml import CollectionNode, MappingNode

    while isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, MappingNode) else last
    end = text.find("\n", node.end_mark.index)
    return (text[: end + 1], text[end + 1 :]) if end >= 0 else (f"{text}\n", "")


def _block(head: str, column: int, keys: Sequence[str], item: str) -> str:
    lines = []
    for key in keys:
        lines.append(f"{' ' * column}{key if key.isidentifier() else _quoted(key)}:")
        column += 2
    lines.append(f"{' ' * (column - 2)}- {_quoted(item)}")
    if head and not head.endswith("\n"):
        head += "\n"
    return head + "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
