"""Groups that import a command when it is used, and that have a default command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ._errors import reported

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# In `Context.meta`: the word at which the default command was chosen.
_FIRST_WORD = f"{__name__}.first_word"
# Of the help of a command in completions; click has no more there.
_COMPLETION_WIDTH = 45

json_flag = click.option("json_", "--json", is_flag=True, help="Output as JSON.")


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        target: `module:attribute`.
        help: Its one line in the help of the group.
    """

    target: str
    help: str


class Command(click.Command):
    """A command that ends as `reported` says, whatever its function raises."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.callback = self.callback and reported(self.callback)


command = partial(click.command, cls=Command)


class LazyGroup(click.Group):
    """A group whose commands, those in `lazy`, are imported on first use, and with a `default` one
    that runs where none is named."""

    command_class: type[click.Command] | None = Command
    # Whether a first word that is no command always goes to the default command. Otherwise one that
    # looks like a command is an error that names the command, and the default command gets the
    # others only if it has arguments.
    default_takes_words = False

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy] | None = None,
        default: str | None = None,
        **attributes: Any,
    ) -> None:
        self._lazy = dict(lazy or {})
        self._ready: MutableMapping[str, click.Command] = {}
        self.default = default
        super().__init__(*args, **attributes)

    # `commands` is a real dict for those who read or change it: everything is in it by then, and
    # nothing that they take out comes back.
    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All commands by name, imported; the dict may be changed."""
        self._complete()
        for name in list(self._lazy):
            self._import(name)
        return self._ready

    @commands.setter
    def commands(self, commands: MutableMapping[str, click.Command]) -> None:
        self._ready = commands

    def _complete(self, ctx: click.Context | None = None) -> None:
        """Called before commands have to be known."""

    def _import(self, name: str) -> None:
        entry = self._lazy.pop(name, None)
        if entry is not None:
            module, _, attribute = entry.target.partition(":")
            self._ready[name] = getattr(import_module(module), attribute)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, in place of one that has the same name."""
        name = name or cmd.name
        if name is None:
            raise TypeError("Command has no name.")
        self._lazy.pop(name, None)
        self._ready[name] = cmd

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name, imported now if need be, or None."""
        if not self._knows(ctx, cmd_name):
            return None
        self._import(cmd_name)
        found = self._ready.get(cmd_name)
        if type(found) is click.Group:
            # Made by a provider or a plugin: click itself would cut these to the width.
            for below in found.commands.values():
                if not (below.short_help or below.deprecated):
                    below.short_help = below.get_short_help_str(sys.maxsize)
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands: the default one, then the others sorted."""
        self._complete(ctx)
        return sorted({*self._ready, *self._lazy}, key=lambda name: (name != self.default, name))

    # Help

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any; `*` marks the default one.

        Each has its whole first sentence, which click itself would cut.
        """
        names = [name for name in self.list_commands(ctx) if not self._is_hidden(name)]
        if not names:
            return
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (
                        f"{name}*" if name == self.default else name,
                        self._short_help(name, sys.maxsize),
                    )
                    for name in names
                ]
            )

    def _is_hidden(self, name: str) -> bool:
        return name not in self._lazy and self._ready[name].hidden

    def _short_help(self, name: str, limit: int) -> str:
        if name in self._lazy:
            return self._lazy[name].help
        return self._ready[name].get_short_help_str(limit)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, without importing any, and the options."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [
            *(
                CompletionItem(name, help=self._short_help(name, _COMPLETION_WIDTH))
                for name in names
                if not self._is_hidden(name)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    # Choosing the command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options; a command line that names no command gets the default."""
        if self.default is not None and self._wants_default(ctx, args):
            ctx.meta[_FIRST_WORD] = "".join(args[:1])
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an option that the default one does not know may be one of ours."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.option_name != ctx.meta.get(_FIRST_WORD, "").partition("=")[0]:
                raise
            known = [*(error.possibilities or ()), *(name for o in self.params for name in o.opts)]
            raise click.NoSuchOption(
                error.option_name, possibilities=known, ctx=error.ctx
            ) from error

    def _wants_default(self, ctx: click.Context, args: list[str]) -> bool:
        if not args:
            return not ctx.resilient_parsing
        first = args[0]
        options = {*ctx.help_option_names}.union(*(param.opts for param in self.params))
        # In this order: to know the commands may load plugins.
        if first in options or self._knows(ctx, first):
            return False
        if first.startswith("-") or self.default_takes_words:
            return True
        from ..text import suggestion

        names = self.list_commands(ctx)
        near = suggestion(first, names, repr)
        if near or not self._default_has_arguments(ctx):
            ctx.fail(f"No such command '{first}'{near or '. Commands: ' + ', '.join(names)}")
        return True

    def _knows(self, ctx: click.Context, name: str) -> bool:
        self._complete(ctx)
        return name in self._ready or name in self._lazy

    def _default_has_arguments(self, ctx: click.Context) -> bool:
        command = self.get_command(ctx, self.default or "")
        params = command.params if command else []
        return any(isinstance(param, click.Argument) for param in params)


def group(lazy: Mapping[str, Lazy] | None = None) -> Callable[[Callable[..., None]], LazyGroup]:
    """A group that lists what it is about where no command is named."""
    return click.group(cls=LazyGroup, lazy=lazy, default="list")
