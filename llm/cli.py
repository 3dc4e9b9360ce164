"""The root of the command line: `llm.cli:cli`, and the names that plugins import from here.

Each command is in a module of its own below `llm.commands`, imported when it is used. Plugins are
loaded when a command needs them, and before anybody gets to see `cli.commands`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from ._lazy import attach, for_hints
from ._version import VERSION
from .commands._errors import reported
from .commands._group import Lazy, LazyGroup

if TYPE_CHECKING:
    from .models.conversation import AsyncConversation, Conversation
    from .plugin_index.records import CommandRecord
else:
    for_hints(
        globals(),
        {
            "llm.models.conversation": "AsyncConversation Conversation",
            "llm.plugin_index.records": "CommandRecord",
        },
    )

_HELP = {
    "aliases": "Manage aliases of models.",
    "chat": "Hold an ongoing chat with a model.",
    "collections": "Manage collections of embeddings.",
    "embed": "Embed a text or a file, and print its vector or store it.",
    "embed-models": "List the embedding models, and choose the default one.",
    "embed-multi": "Embed many texts or files, and store the vectors in a collection.",
    "fragments": "Manage stored fragments of prompts.",
    "conversations": "Manage logged conversations.",
    "docs": "Manage documents that answers go by.",
    "install": "Install packages, such as plugins, beside llm.",
    "keys": "Manage stored API keys.",
    "logs": "Explore logged prompts and responses.",
    "models": "Manage available models.",
    "plugins": (
        "List the installed plugins: on a terminal what each adds, in a pipe JSON with its hooks."
    ),
    "prompt": "Send a prompt to a model and print its answer.",
    "similar": "Find the entries of a collection that are nearest to a text.",
    "schemas": "Manage stored schemas of answers.",
    "tools": "List tools that models can call.",
    "templates": "Manage prompt templates.",
}
_COMMANDS = {
    **{
        name: Lazy("llm.commands.{0}:{0}".format(name.replace("-", "_")), text)
        for name, text in _HELP.items()
    },
    "local": Lazy(
        "llm.providers.local.commands:local",
        "Models that run on this computer, without a key or a server.",
    ),
    "openai": Lazy(
        "llm.providers.openai.commands:openai", "Work with OpenAI and with compatible servers."
    ),
    "uninstall": Lazy(
        "llm.commands.install:uninstall", "Uninstall packages that are installed beside llm."
    ),
}
# Those that 0.36 does not have: a word there, or the command of a plugin.
_NEW_COMMANDS = frozenset({"conversations", "docs", "local"})

# No plugin can have a say in these; they have to answer at once.
_WITHOUT_PLUGINS = frozenset(
    {
        *(("aliases", "path"), ("keys", "path"), ("logs", "path"), ("templates", "path")),
        ("collections", "path"),
        *(("--version",), ("plugins",)),
    }
)
# These rid the user of a plugin that never ends its import, or ends the program by it: plugins have
# a say in them where the index says which, or the user has chosen them.
_RESCUES = frozenset({"install", "uninstall"})
_CHOICES = ("LLM_LOAD_PLUGINS", "LLM_NO_PLUGIN_INDEX")
COLLECT_AFTER_ALLOCATIONS = 100_000
_QUICK = f"{__name__}.quick"
_RESCUE = f"{__name__}.rescue"
# Loaded where functions of the user or of a plugin are called.
_FOREIGN_CODE = frozenset({"llm_functions", "llm.tools.running"})


class _Root(LazyGroup):
    """The root group: plugins are loaded before anything else is looked up."""

    # Default plugins whose commands stand in the table above already.
    provides: frozenset[str] = frozenset(
        {"llm.default_plugins.local", "llm.default_plugins.openai_models"}
    )
    # Those of plugins are their own affair.
    command_class = None
    default_takes_words = True
    #: Whether plugins take part; not while somebody calls their hooks one by one.
    asks_plugins = True
    _asks_now = False
    _has_asked_all = False
    _sends_nothing = False
    _is_program = False

    def __init__(self, *args: Any, **attributes: Any) -> None:
        self._of_plugins: set[str] = set()
        # The plugins whose hook was called, and the commands for which that was found out.
        self._asked: set[str] = set()
        self._asked_for: set[str] = set()
        # Commands of plugins that are not imported.
        self._remembered: dict[str, CommandRecord] = {}
        super().__init__(*args, **attributes)

    def _complete(self, ctx: click.Context | None = None) -> None:
        if self._may_ask(ctx):
            from .plugins import load_plugins

            load_plugins()
            self._ask(None)
            self._has_asked_all = True

    def _may_ask(self, ctx: click.Context | None) -> bool:
        is_quick = ctx is not None and ctx.meta.get(_QUICK)
        # A hook may read `cli.commands`.
        if is_quick or self._has_asked_all or self._asks_now or not self.asks_plugins:
            return False
        from . import plugins

        if ctx is not None and ctx.meta.get(_RESCUE) and not _is_known_what_to_load():
            return False
        plugins.makes_index = self._is_program
        return plugins.guests_possible()

    def _ask(self, name: str | None) -> None:
        """Let plugins register the command with a name; without one what a listing has to have."""
        from . import plugins

        plugins.outlasts_interrupts = self._sends_nothing
        hook = "register_commands"
        self._asks_now = True
        try:
            with plugins.enough_for(hook, None if name is None else [name]) as left:
                plugins.call_others(hook, self._asked, cli=self)
        finally:
            self._asks_now = False
        self._remembered = {
            command: found for plugin in left for command, found in plugin["commands"].items()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, those of plugins among them that are not imported."""
        if self._may_ask(ctx):
            self._ask(None)
        names = {*self._ready, *self._lazy, *self._remembered}
        return sorted(names, key=lambda name: (name != self.default, name))

    def _knows(self, ctx: click.Context, name: str) -> bool:
        if name in self._asked_for or not self._may_ask(ctx):
            return self._has(name)
        self._ask(name)
        self._asked_for.add(name)
        if not self._has(name):
            from .plugins import check_index

            # Its plugin may have it no longer.
            if check_index("register_commands", [name], ()):
                self._complete(ctx)
        return self._has(name)

    def _has(self, name: str) -> bool:
        return name in self._ready or name in self._lazy or name in self._remembered

    def _is_hidden(self, name: str) -> bool:
        found = self._remembered.get(name)
        return super()._is_hidden(name) if found is None else found["hidden"]

    def _short_help(self, name: str, limit: int) -> str:
        found = self._remembered.get(name)
        if found is None:
            return super()._short_help(name, limit)
        return click.Command(name, **found).get_short_help_str(limit)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the root options; anything that is no command is a prompt."""
        self._sends_nothing = bool({*args[:1]} & (_COMMANDS.keys() - {"prompt", "chat"}))
        ctx.meta[_QUICK] = not {tuple(args[:1]), tuple(args[:2])}.isdisjoint(_WITHOUT_PLUGINS)
        ctx.meta[_RESCUE] = not _RESCUES.isdisjoint(args[:1])
        return super().parse_args(ctx, args)

    def _wants_default(self, ctx: click.Context, args: list[str]) -> bool:
        if super()._wants_default(ctx, args):
            if len(args) == 1 and not ctx.resilient_parsing:
                self._check_for_slip(ctx, args[0])
            return True
        if len(args) != 1 or args[0] not in _NEW_COMMANDS - self._of_plugins:
            return False
        from .terminal import is_text_piped_in

        return not ctx.resilient_parsing and is_text_piped_in()

    def _check_for_slip(self, ctx: click.Context, word: str) -> None:
        """Ask a person whether a word that is almost a command is a prompt, where it stands alone.

        Off a terminal nobody can be asked, and nobody has mistyped it: it is sent.
        """
        from .terminal import stdin_is_terminal

        if not stdin_is_terminal() or not word.replace("-", "").replace("_", "").isalpha():
            return
        meant = "--help" if word == "help" else _nearest(word, self.list_commands(ctx))
        if meant is None:
            return
        from .terminal.asking import confirm

        if confirm(f"Send {word!r} as a prompt? Did you mean `llm {meant}`?") is False:
            ctx.fail(f"No such command {word!r}: did you mean 'llm {meant}'?")

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command in place of one that has the same name; say once if that is ours."""
        super().add_command(cmd, name)
        if (name := name or cmd.name or "") not in _NEW_COMMANDS:
            return
        self._of_plugins.add(name)
        if not self.asks_plugins:
            return
        from .files import tell_once
        from .files.config import user_dir
        from .plugins import running_plugins

        for plugin in running_plugins()[-1:]:
            text = f"'llm {name}' is the command of the plugin {plugin}, not the one of llm itself"
            tell_once(f"{name}: {plugin}", text, user_dir() / "told.json")

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program.

        What is imported on the way to an answer lives as long as the process: looking for garbage
        in it, as Python does a hundred times by then, costs 5 % of a start and finds nothing.
        """
        import gc

        gc.set_threshold(COLLECT_AFTER_ALLOCATIONS)
        # Output to a stream that was closed from the start goes nowhere: the next file that is
        # opened would have its number, and get the output.
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # Nobody calls this without arguments from a program that goes on.
        self._is_program = not args and kwargs.get("args") is None
        try:
            return super().main(*args, **kwargs)
        finally:
            if self._is_program:
                _end_quickly()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line: plugins are imported here, which may be interrupted."""
        with reported:
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever it raises becomes a message and an exit code."""
        with reported:
            done = super().invoke(ctx)
            # Here, where a pipe that is closed gives the exit code that it should.
            if sys.stdout is not None:
                sys.stdout.flush()
            return done


def _is_known_what_to_load() -> bool:
    """Whether the user has chosen the plugins, or the index says what each does; loads none."""
    from . import plugins

    is_chosen = any(map(os.environ.get, _CHOICES))
    return is_chosen or plugins.guests_loaded() or plugins.can_load_some(or_all=False)


def _nearest(word: str, names: list[str]) -> str | None:
    """The name that somebody who wrote a word has probably mistyped; `None` where none is."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), names, n=1, cutoff=0.75)
    return near[0] if near else None


def _end_quickly() -> None:
    """Let Python end without its last looks for garbage, which cost more than logging a prompt.

    They only serve what foreign code has left open in a circle of objects, such as a file that a
    toolbox writes to; so they are kept where there may be such code.
    """
    import gc

    plugins = sys.modules.get("llm.plugins")
    if _FOREIGN_CODE.isdisjoint(sys.modules) and not (plugins and plugins.guests_loaded()):
        gc.freeze()


@click.group(
    cls=_Root,
    lazy=_COMMANDS,
    default="prompt",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="llm")
def cli() -> None:
    """Use large language models from the command line.

    Anything that is not a command is a prompt:

        llm 'Five outrageous names for a pet pelican'

    For the models of OpenAI, store your key first:

        llm keys set openai

    For a model that runs on this computer and needs no key:

        llm local install

    Plugins add more models; 'llm prompt --help' shows what a prompt can do.
    """


def load_conversation(
    conversation_id: str | None,
    async_: bool = False,
    database: str | os.PathLike[str] | None = None,
) -> Conversation | AsyncConversation | None:
    """A logged conversation, ready to go on, or None where there is none.

    Args:
        conversation_id: Its id; None stands for the latest one.
        async_: Whether to return an AsyncConversation.
        database: The log database; without it that of the user directory.

    Raises:
        NotFound: There is no conversation with that id.
    """
    from pathlib import Path

    from .files.config import logs_db_path
    from .logs.read import rehydrate

    path = logs_db_path() if database is None else Path(database)
    return rehydrate.load_conversation(path, conversation_id, async_=async_)


__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.files.config": (
            *("get_default_model", "get_key", "logs_db_path", "logs_on", "set_default_model"),
            "user_dir",
        ),
        "llm.errors": ("AttachmentError", "FragmentNotFound", "LoadTemplateError"),
    },
    logs_list="llm.commands.logs_list",
    # Of plugins with a chat or a runner of their own.
    AttachmentType="llm.commands._options",
    render_errors="llm.commands._errors:problems_text",
    get_model_options="llm.commands._plugin_chats",
    process_fragments_in_chat="llm.commands._plugin_chats",
    _approve_tool_call="llm.commands._plugin_chats:approve_tool_call",
    _debug_tool_call="llm.commands._plugin_chats:debug_tool_call",
    _gather_tools="llm.commands._plugin_chats:gather_tools",
    _get_conversation_tools="llm.commands._plugin_chats:conversation_tools",
    resolve_fragments="llm.material.fragments",
    migrate="llm.migrations",
    load_template="llm.templates",
    **{name.replace("-", "_"): entry.target for name, entry in _COMMANDS.items()},
)
