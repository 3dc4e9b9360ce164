"""Whether a tool call may run: the rules of `tools.yaml` and of the command line, and the person
where these leave it to them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, InvalidInput
from ..files import config
from ..files.yaml_files import InvalidYAML, parse_yaml, yaml_with_item
from ..terminal import read_stdin_line, show_note, stdin_is_terminal
from ..terminal.asking import Terminal, open_terminal
from ..text import visible
from ..tools.calling import CancelToolCall
from ..tools.policy import Candidate, Decision, Rule, Rules, decide
from .toolset import Toolset

if TYPE_CHECKING:
    from ..tools.calling import ToolCall
    from ..tools.tool import Tool
    from .request import ToolSettings

QUESTION = "Approve tool call? [y/N]: "
CHOICES = "y: yes   n: no   a: yes, always for this tool   f: yes, always in this folder"
REFUSAL = "User cancelled tool call"

RULES_NAME = "tools.yaml"
_REMEDY = "Correct the file: no tool runs before its rules are understood"


class Gate:
    """Lets tool calls pass, or refuses them.

    Attributes:
        interrupted: Ids of calls that were interrupted before. Whoever goes on with something else
            may not want them any more, so they are asked about where somebody sits there.

    Args:
        settings: Of the command line.
        toolset: The tools, and who chose them.

    Raises:
        ConfigError: `tools.yaml` is not valid.
        InvalidInput: A rule of the command line has no valid form.
    """

    def __init__(self, settings: ToolSettings, toolset: Toolset | None) -> None:
        self._settings = settings
        self._toolset = toolset or Toolset()
        ask = "always" if settings.approve else settings.ask
        try:
            self._given = Rules.parse(settings.allow, settings.deny, ask)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        self._stored = load_rules()
        self.interrupted: set[str | None] = set()

    def check(self, tool: Tool, call: ToolCall) -> None:
        """Return where the call may run.

        Raises:
            CancelToolCall: It may not.
            EOFError: `--ta` was given and nobody answers.
        """
        box, is_untrusted = self._toolset.box_name(tool), self._toolset.is_untrusted(call.name)
        candidate = Candidate(call.name, call.arguments, box, is_untrusted, tool.side_effects)
        decision, reason = decide((self._given, self._stored), candidate)
        if decision is Decision.DENY:
            show_note(f"Refused {call_text(call)}: {reason}")
            raise CancelToolCall(f"This call is not allowed: {reason}")
        if decision is Decision.ASK:
            self._ask(call, reason)
        elif not reason and call.tool_call_id in self.interrupted and stdin_is_terminal():
            show_note("This call was interrupted before it was finished:")
            self._ask(call, reason)

    def _ask(self, call: ToolCall, reason: str) -> None:
        with open_terminal() as terminal:
            if terminal is None and not self._settings.approve:
                show_note(
                    f"Refused {call_text(call)}: {reason}, and there is no terminal to ask on. "
                    f"To allow it: --allow {call.name}"
                )
                raise CancelToolCall("This call is not allowed: nobody can be asked about it")
            terminal = terminal or Terminal(read_stdin_line, sys.stderr)
            terminal.writer.write(f"{visible(call_text(call))}\n")
            answer = ""
            while answer not in ("y", "yes", "n", "no", "a", "f"):
                answer = terminal.ask(f"{CHOICES}\n{QUESTION}") or "no"
        if answer in ("n", "no"):
            raise CancelToolCall(REFUSAL)
        if answer in ("a", "f"):
            self._remember(call.name, os.getcwd() if answer == "f" else None)

    def _remember(self, name: str, folder: str | None) -> None:
        self._stored = replace(self._stored, allow=(*self._stored.allow, Rule(name, name)))
        try:
            remember(name, folder)
        except ConfigError as error:
            show_note(f"The answer is not remembered: {error}")


def call_text(call: ToolCall) -> str:
    """A tool call as one line for a person."""
    return f"Tool call: {call.name}({call.arguments})"


def load_rules() -> Rules:
    """The rules of `tools.yaml`, as they hold in the current folder; none without the file.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    path = Path(config.user_path()) / RULES_NAME
    text = config.read_text(path)
    if text is None:
        return Rules()
    try:
        return Rules.from_data(parse_yaml(text), os.getcwd(), os.path.realpath)
    except InvalidYAML as error:
        raise error.in_file(path, _REMEDY) from error
    except ValueError as error:
        raise ConfigError(path, str(error), _REMEDY) from error


def remember(rule: str, folder: str | None = None) -> None:
    """Add to `tools.yaml` that calls which a rule covers need no question any more.

    Comments and the order of the file stay.

    Args:
        folder: The absolute path of the folder that it holds in; everywhere where missing.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = config.user_dir() / RULES_NAME
    keys = ["allow"] if folder is None else ["folders", folder, "allow"]

    def change(text: str) -> str:
        try:
            return yaml_with_item(text, keys, rule, may_rewrite=True) or text
        except InvalidYAML as error:
            raise error.in_file(path, _REMEDY) from error

    config.update_text(path, change)
