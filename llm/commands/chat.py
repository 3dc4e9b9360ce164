"""`llm chat`: a conversation with a model, line by line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ..terminal import say
from . import _options as shared
from ._errors import error_text
from ._group import command

if TYPE_CHECKING:
    from ..prompting.repl import Console


@command("chat")
@shared.system_option
@shared.model_option
@shared.continue_option
@shared.conversation_option
@shared.tool_options
@shared.name_option
@shared.fragment_option
@shared.system_fragment_option
@shared.docs_options
@shared.template_option
@shared.param_option
@shared.trust_option
@shared.model_options_option
@shared.database_option
@shared.no_stream_option
@shared.hide_reasoning_option
@shared.key_option
@shared.call_options
def chat(**given: Any) -> None:
    """Hold an ongoing chat with a model.

    Ctrl-C stops an answer; on an empty line it leaves, as Ctrl-D does.
    """
    from ..prompting.repl import run_chat

    request = shared.request_from(given)
    run_chat(request, make_console(keeps_history=request.log.is_on))


def make_console(*, keeps_history: bool = False) -> Console:
    """The terminal as a chat needs it, which may remember the lines for later chats."""
    from ..prompting.line_editor import make_reader
    from ..prompting.repl import Console

    read_line = make_reader(keeps_history=keeps_history)
    return Console(read_line=read_line, edit=_edit, report=_report)


def _edit() -> str | None:
    """What the user wrote in their editor, stripped; says so where nothing was saved."""
    from ..prompting.signals import sparing_ctrl_c

    try:
        with sparing_ctrl_c():
            text = click.edit()
    except click.ClickException as error:
        _report(error)
        return None
    if text is None:
        say("Editor closed without saving", err=True)
        return None
    return text.strip()


def _report(error: Exception) -> None:
    """Show an error and let the chat go on; under `LLM_RAISE_ERRORS` it ends with a traceback."""
    if os.environ.get("LLM_RAISE_ERRORS"):
        raise error
    say(f"Error: {error_text(error)}", err=True)
