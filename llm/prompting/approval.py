"""Standing by when a model has tools called: whether a call may run, by the rules of `tools.yaml`
and of the command line, and by the person where these leave it to them; and what it gave."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, InvalidInput
from ..files import config
from ..files.yaml_files import InvalidYAML, parse_yaml, yaml_with_item
from ..terminal import (
    GREEN,
    RED,
    RESET,
    YELLOW,
    coloured,
    read_stdin_line,
    show_note,
    stdin_is_terminal,
    write_err,
)
from ..terminal.asking import Terminal, open_terminal, quoted
from ..text import JSONObject
from ..text.secrets import said_by
from ..tools.calling import CancelToolCall, ToolResult
from ..tools.policy import Candidate, Decision, Rule, Rules, decide
from .toolset import Toolset

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..content import Attachment
    from ..tools.calling import ToolCall
    from ..tools.tool import Tool
    from .execute import Progress
    from .material import TurnInput
    from .request import AnyChain, AnyConversation, Resolved, ToolSettings

QUESTION = """y: yes   n: no   a: yes, always for this tool   f: yes, always in this folder
Approve tool call? [y/N]: """

RULES_NAME = "tools.yaml"
_PLAIN_NAME = re.compile(r"[\w.-]+", re.ASCII)
_REMEDY = "Correct the file: no tool runs before its rules are understood"


class Gate:
    """Lets tool calls pass, or refuses them.

    Attributes:
        interrupted: Ids of calls that were interrupted before. Whoever goes on with something else
            may not want them any more, so they are asked about where somebody sits there.
        doubted: Ids of calls that no prompt of this person has brought, each with where it comes
            from. They are asked about, whatever was allowed before, until the model says something.

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
        # How an answer is read where there is no terminal.
        self.read_line: Callable[[], str] = read_stdin_line
        self.interrupted: set[str | None] = set()
        self.doubted: dict[str | None, str] = {}

    def check(self, tool: Tool, call: ToolCall) -> None:
        """Return where the call may run.

        Raises:
            CancelToolCall: It may not.
            EOFError: `--ta` was given and nobody answers.
        """
        box, is_untrusted = self._toolset.box_name(tool), self._toolset.is_untrusted(call.name)
        candidate = Candidate(call.name, call.arguments, box, is_untrusted, tool.side_effects)
        decision, reason = decide(self._rules_for(call), candidate)
        if decision is Decision.ASK and call.tool_call_id in self.doubted:
            reason = self.doubted[call.tool_call_id]
        if decision is Decision.DENY:
            show_note(f"Refused {call_text(call)}: {reason}")
            raise CancelToolCall(f"This call is not allowed: {reason}")
        if decision is Decision.ASK:
            self._ask(call, reason, is_agreed=is_untrusted and self._is_agreed(call))
        elif not reason and call.tool_call_id in self.interrupted and stdin_is_terminal():
            show_note("This call was interrupted before it was finished:")
            self._ask(call, reason)

    def _is_agreed(self, call: ToolCall) -> bool:
        """Whether a call from elsewhere may run where nobody can be asked: its template was
        trusted from then on, and no rule says when to ask."""
        is_ruled = self._given.ask or self._stored.ask or call.tool_call_id in self.doubted
        return not is_ruled and self._toolset.is_agreed(call.name)

    def _rules_for(self, call: ToolCall) -> tuple[Rules, Rules]:
        """The rules that count for a call, the strongest first."""
        if call.tool_call_id not in self.doubted:
            return self._given, self._stored
        # What this command line allows was said of this call; anything else was not.
        return replace(self._given, ask="always"), replace(self._stored, allow=(), ask=None)

    def _ask(self, call: ToolCall, reason: str, *, is_agreed: bool = False) -> None:
        with open_terminal() as terminal:
            if terminal is None and is_agreed:
                return
            if terminal is None and not self._settings.approve:
                raise _unasked(call, reason)
            terminal = terminal or Terminal(self.read_line, sys.stderr)
            if call.tool_call_id in self.doubted:
                terminal.show(f"This call is not from your prompts: {reason}")
            answer = _answer(terminal, call)
        if answer in ("n", "no"):
            raise CancelToolCall("User cancelled tool call")
        if answer in ("a", "f"):
            self._remember(call.name, _folder() if answer == "f" else None)

    def _remember(self, name: str, folder: str | None) -> None:
        if not _PLAIN_NAME.fullmatch(name):
            show_note(f"The answer is not remembered: {quoted(name)} could stand for other tools")
            return
        self._stored = replace(self._stored, allow=(*self._stored.allow, Rule(name, name)))
        try:
            remember(name, folder)
        except (ConfigError, ValueError) as error:
            show_note(f"The answer is not remembered: {error}")


def _answer(terminal: Terminal, call: ToolCall) -> str:
    terminal.show(call_text(call))
    answer = ""
    while answer not in ("y", "yes", "n", "no", "a", "f"):
        answer = terminal.ask(QUESTION) or "no"
    return answer


def _unasked(call: ToolCall, reason: str) -> CancelToolCall:
    import shlex

    show_note(
        f"Refused {call_text(call)}: {reason}, and there is no terminal to ask on. "
        f"To allow it: --allow {shlex.quote(call.name)}"
    )
    return CancelToolCall("This call is not allowed: nobody can be asked about it")


def _folder() -> str:
    """The current folder; where it was deleted, one that nobody gives rules for."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.devnull


def call_text(call: ToolCall) -> str:
    """A tool call as one line for a person."""
    name = call.name if _PLAIN_NAME.fullmatch(call.name) else quoted(call.name)
    return f"Tool call: {name}({call.arguments!r})"


def load_rules() -> Rules:
    """The rules of `tools.yaml`, as they hold in the current folder; none without the file."""
    path = Path(config.user_path()) / RULES_NAME
    text = config.read_text(path)
    if text is None:
        return Rules()
    try:
        return Rules.from_data(parse_yaml(text), _folder(), os.path.realpath)
    except InvalidYAML as error:
        raise error.in_file(path, _REMEDY) from error
    except ValueError as error:
        raise ConfigError(path, str(error), _REMEDY) from error


def remember(rule: str, folder: str | None = None) -> None:
    """Add to `tools.yaml` that calls which a rule covers need no question any more.

    It holds in a folder, an absolute path, or everywhere. Comments and the order of the file stay.

    Raises:
        ConfigError: The file cannot be read or written.
        UnicodeError: The name of the folder is no UTF-8.
    """
    path = config.user_dir() / RULES_NAME
    # YAML has no way to write half a character.
    (folder or "").encode()
    keys = ["allow"] if folder is None else ["folders", folder, "allow"]

    def change(text: str) -> str:
        try:
            return yaml_with_item(text, keys, rule, may_rewrite=True) or text
        except InvalidYAML as error:
            raise error.in_file(path, _REMEDY) from error

    config.update_text(path, change)


class ToolWatch:
    """Sees every tool call of a prompt, before and after."""

    def __init__(self, resolved: Resolved, progress: Progress) -> None:
        self._conversation = resolved.conversation
        self._toolset = resolved.toolset
        self._settings = resolved.request.tool_settings
        self._progress = progress
        self._gate = Gate(self._settings, resolved.toolset)

    def chain(self, turn: TurnInput, values: JSONObject) -> AnyChain:
        """The chain of a prompt whose tool calls this object sees.

        Calls that an earlier process left without results are run first, unless the person has
        stopped them. `values` are the arguments of `Conversation.chain` beside the text.
        """
        conversation = self._conversation
        finished = conversation.finished_calls
        results, pending = [], []
        for call in conversation.pending_calls():
            if call.tool_call_id in finished:
                results.append(finished[call.tool_call_id])
            else:
                pending.append(call)
        if turn.drops_pending:
            results += map(_dropped, pending)
            pending = []
        if results and not pending:
            from ..models.accepting import accepted_files

            files = accepted_files(conversation.model, results)
            values = {**values, "attachments": [*values["attachments"], *files]}
        chain = conversation.chain(
            turn.text,
            tools=self._toolset.tools if self._toolset else None,
            chain_limit=self._settings.chain_limit,
            before_call=self.before_call,
            after_call=self.after_call,
            tool_results=results or None,
            tool_timeout=self._settings.time_limit_s,
            tool_output_limit=self._settings.output_limit,
            **values,
        )
        chain.prompt.calls_before = pending
        self._gate.doubted = _whence(conversation)
        if turn.text.strip():
            self._gate.interrupted = {call.tool_call_id for call in pending}
        return chain

    def before_call(self, tool: Tool | None, call: ToolCall) -> None:
        """Let a call pass or refuse it; tell about one that cannot be run."""
        self._progress.display.pause()
        if self._progress.responses:
            # A model may give its calls the ids of those before.
            self._gate.doubted = {}
        if tool is None:
            show_note(f"The model asked for a tool that does not exist: {call.name}")
        else:
            self._gate.check(tool, call)
            self._progress.recorder.expect_result(self._conversation)

    def after_call(self, tool: Tool, call: ToolCall, result: ToolResult) -> None:
        """Keep what a call gave, and show it if that was asked for; a failure is always told."""
        conversation = self._conversation
        conversation.finished_calls = {**conversation.finished_calls, call.tool_call_id: result}
        self._progress.recorder.keep_result(result)
        if self._settings.debug:
            show_call(call, result)
        elif result.exception is not None:
            show_note(f"Tool {call.name} failed: {said_by(result.exception)}")


def _whence(conversation: AnyConversation) -> dict[str | None, str]:
    """Where the calls of a conversation come from that no prompt of this person has brought."""
    from ..parts import ToolCallPart

    return {
        part.tool_call_id: whence
        for message, whence in conversation.foreign_messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }


def _dropped(call: ToolCall) -> ToolResult:
    stopped = CancelToolCall("User stopped the tool call")
    return ToolResult(
        call.name, f"Cancelled: {stopped}", tool_call_id=call.tool_call_id, exception=stopped
    )


def show_call(call: ToolCall, result: ToolResult) -> None:
    """Write a tool call and its result to stderr."""
    lines = ["", coloured(call_text(call), YELLOW)]
    lines += [coloured(f"  {line}", GREEN) for line in _pretty(result.output).split("\n")]
    if result.attachments:
        lines.append("  Attachments:")
        lines += [
            coloured(f"    {_described(attachment)}", RESET) for attachment in result.attachments
        ]
    if result.exception is not None:
        lines.append(coloured(f"  Exception: {said_by(result.exception)}", RED))
    write_err("\n".join([*lines, "", ""]))


def _pretty(output: str) -> str:
    try:
        return json.dumps(json.loads(output), indent=2, ensure_ascii=False)
    except ValueError:
        return output


def _described(attachment: Attachment) -> str:
    where = attachment.path or attachment.url
    if where is None:
        where = f"{len(attachment.content or b''):,} bytes"
    return f"{attachment.type or 'unknown type'}: {where}"
