"""What plugins do to the commands: what they add, look at and change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..records import EVERY_HOOK, CommandRecord
from .watch import Watch

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values


class WatchedCommands(dict[str, click.Command]):
    """The commands, which take down what a plugin asks for."""

    def __init__(self, commands: Iterable[Any], watch: Watch) -> None:
        super().__init__(commands)
        self._watch = watch
        self.asked: dict[str, set[str]] = {}

    def _note(self, name: object) -> None:
        for plugin in self._watch.plugins[-1:]:
            self.asked.setdefault(plugin, set()).add(str(name))

    def __getitem__(self, name: str) -> click.Command:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The command of that name; the question is noted, as in all of these."""
        self._note(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Take a command out."""
        self._note(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The command of that name, which is put there where it is missing."""
        self._note(name)
        return super().setdefault(name, default)

    def __delitem__(self, name: str) -> None:
        self._note(name)
        super().__delitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._note(EVERY_HOOK)
        return super().__iter__()

    def __len__(self) -> int:
        self._note(EVERY_HOOK)
        return super().__len__()

    def keys(self) -> dict_keys[str, click.Command]:
        """The names of all commands."""
        self._note(EVERY_HOOK)
        return super().keys()

    def values(self) -> dict_values[str, click.Command]:
        """All commands."""
        self._note(EVERY_HOOK)
        return super().values()

    def items(self) -> dict_items[str, click.Command]:
        """All commands with their names."""
        self._note(EVERY_HOOK)
        return super().items()

    def copy(self) -> dict[str, click.Command]:
        """A plain dictionary of all commands."""
        self._note(EVERY_HOOK)
        return super().copy()


def all_of(commands: Any) -> list[tuple[str, click.Command]]:
    """The commands with their names; nothing is noted."""
    return list(dict.items(commands))


def parts_of(command: click.Command, *, commands: bool = True) -> list[object]:
    """Everything that a command consists of, to be compared piece by piece."""
    found: list[object] = [type(command)]
    if commands and isinstance(command, click.Group):
        # Imports those that are imported on first use.
        subcommands = all_of(command.commands)
    for name, value in vars(command).items():
        if name in ("commands", "_ready", "_lazy", "_help_option") or (
            not commands and name.startswith("_")
        ):
            continue
        found += [name, *_pieces(value)]
    if commands and isinstance(command, click.Group):
        for name, subcommand in subcommands:
            found += [name, *parts_of(subcommand)]
    return found


def _pieces(value: object) -> Iterator[object]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _pieces(item)
    else:
        yield value
        if isinstance(value, click.Parameter):
            for key, item in vars(value).items():
                yield key
                yield from _pieces(item)


def is_same(old: list[object], new: list[object]) -> bool:
    """Whether two commands consist of the same objects; the arguments are those of `parts_of`."""
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


def command_record(command: click.Command) -> CommandRecord:
    """What the index keeps of a command for listings.

    Raises:
        TypeError: Its short help is made by code of its own.
    """
    if type(command).get_short_help_str is not click.Command.get_short_help_str:
        raise TypeError("it makes its short help itself")
    return {
        "help": command.help,
        "short_help": command.short_help,
        "hidden": command.hidden,
        "deprecated": command.deprecated,
    }
