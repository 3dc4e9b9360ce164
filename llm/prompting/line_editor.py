"""The lines of a chat: edited and remembered at a terminal, plain otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from ..files.config import user_dir
from ..terminal import read_stdin_line, stdin_is_terminal
from ..text.secrets import masked, remember_request

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

HISTORY_NAME = "chat-history"


# Gives the next line, without its end, after showing a prompt. It raises EOFError where there is
# none, and KeyboardInterrupt where the user wants to leave.
LineReader: TypeAlias = Callable[[str], str]


def make_reader(*, keeps_history: bool = False) -> LineReader:
    """A line editor on a terminal, where a pasted block is one line; plain lines otherwise.

    Args:
        keeps_history: Remember the lines of earlier chats, and these for later ones, in the file
            `chat-history` of the user directory.
    """
    if not stdin_is_terminal():
        return read_plain_line
    from prompt_toolkit import PromptSession

    history = _history() if keeps_history else None
    session: PromptSession[str] = PromptSession(history=history, key_bindings=_key_bindings())
    return session.prompt


def read_plain_line(prompt: str) -> str:
    """The next line of standard input, after writing `prompt` to stdout."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = read_stdin_line()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def _history() -> History | None:
    """The lines of earlier chats, in a file that nobody else can read; `None` where there can be
    none."""
    from prompt_toolkit.history import FileHistory

    path = user_dir() / HISTORY_NAME
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        os.chmod(path, 0o600)
    except OSError:
        return None

    class PrivateHistory(FileHistory):
        """Lines in a file, without keys."""

        def load_history_strings(self) -> Iterable[str]:
            """The lines of the file, the latest first; none if it cannot be read."""
            with suppress(OSError):
                return list(super().load_history_strings())
            return []

        def store_string(self, string: str) -> None:
            """Add a line to the file; a full disk is no reason to end the chat."""
            for word in string.split():
                # `!fragment` and `!attach` take addresses.
                remember_request(word, {})
            with suppress(OSError):
                super().store_string(masked(string))

    return PrivateHistory(str(path))


def _key_bindings() -> KeyBindings:
    """Ctrl-C empties the line; on an empty line it leaves."""
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return bindings
