"""Standing by when a model has tools called: showing the calls, and asking about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..terminal import GREEN, RED, RESET, YELLOW, coloured, show_note, write_err
from ..text import JSONObject
from ..tools.calling import CancelToolCall, ToolResult
from .approval import Gate, call_text

if TYPE_CHECKING:
    from ..content import Attachment
    from ..tools.calling import ToolCall
    from ..tools.tool import Tool
    from .execute import Progress
    from .material import TurnInput
    from .request import AnyChain, Resolved


class ToolWatch:
    """Sees every tool call of a prompt, before and after.

    Args:
        resolved: The conversation, and how tools are run.
        progress: Where the answer is shown, which is told before anything else is, and what keeps
            the results.
    """

    def __init__(self, resolved: Resolved, progress: Progress) -> None:
        self._conversation = resolved.conversation
        self._toolset = resolved.toolset
        self._settings = resolved.request.tool_settings
        self._progress = progress
        self._gate = Gate(self._settings, resolved.toolset)

    def chain(self, turn: TurnInput, values: JSONObject) -> AnyChain:
        """The chain of a prompt whose tool calls this object sees.

        Calls that an earlier process left without results are run first, unless the person has
        stopped them.

        Args:
            values: The arguments of `Conversation.chain` beside the text.
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
            from ..models.prompt import accepted_files

            files = accepted_files(conversation.model, results)
            values = {**values, "attachments": [*values["attachments"], *files]}
        chain = conversation.chain(
            turn.text,
            tools=self._toolset.tools if self._toolset else None,
            chain_limit=self._settings.chain_limit,
            before_call=self.before_call,
            after_call=self.after_call,
            tool_results=results or None,
            **values,
        )
        chain.tool_timeout_s = self._settings.time_limit_s
        chain.prompt.calls_before = pending
        if turn.text.strip():
            self._gate.interrupted = {call.tool_call_id for call in pending}
        return chain

    def before_call(self, tool: Tool | None, call: ToolCall) -> None:
        """Let a call pass or refuse it; tell about one that cannot be run.

        Raises:
            CancelToolCall: The call is not allowed.
        """
        self._progress.display.pause()
        if tool is None:
            show_note(f"The model asked for a tool that does not exist: {call.name}")
        else:
            self._gate.check(tool, call)
            self._progress.recorder.expect_result(self._conversation)

    def after_call(self, tool: Tool, call: ToolCall, result: ToolResult) -> None:
        """Keep what a call gave, and show it if that was asked for; a failure is always told."""
        result.output = cut(result.output, self._settings.output_limit)
        conversation = self._conversation
        conversation.finished_calls = {**conversation.finished_calls, call.tool_call_id: result}
        self._progress.recorder.keep_result(result)
        if self._settings.debug:
            show_call(call, result)
        elif result.exception is not None:
            show_note(f"Tool {call.name} failed: {result.exception}")


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
        lines.append(coloured(f"  Exception: {result.exception}", RED))
    write_err("\n".join([*lines, "", ""]))


def cut(output: str, limit: int) -> str:
    """The text of a result, cut to a number of characters; the cut is marked. 0 means no limit."""
    if not limit or len(output) <= limit:
        return output
    return f"{output[:limit]}\n[cut here: {len(output) - limit:,} more characters]"


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
