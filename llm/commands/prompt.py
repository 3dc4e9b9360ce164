"""`llm prompt`: one prompt, one answer. The command that runs where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import _options as shared
from ._errors import reported

if TYPE_CHECKING:
    from ..content import Attachment
    from ..run.request import PromptRequest


@click.command(name="prompt")
@click.argument("prompt", required=False)
@shared.system_option
@shared.model_option
@shared.database_option
@shared.query_option
@shared.attachment_option
@shared.typed_attachment_option
@shared.tool_options
@shared.model_options_option
@click.option(
    "--options",
    "show_model_options",
    is_flag=True,
    help="Show the options of the chosen model and send nothing.",
)
@shared.no_stream_option
@click.option("-n", "--no-log", is_flag=True, help="Do not log this prompt and its answer.")
@click.option("--log", is_flag=True, help="Log this one even if logging is off.")
@shared.hide_reasoning_option
@shared.continue_option
@shared.conversation_option
@shared.name_option
@shared.key_option
@shared.call_options
@click.option("--async", "async_", is_flag=True, help="Run the asynchronous form of the model.")
@click.option(
    "-u",
    "--usage",
    is_flag=True,
    help="Show how many tokens were used, and the id of the conversation.",
)
@click.option("-x", "--extract", is_flag=True, help="Print only the first fenced code block.")
@click.option(
    "--xl",
    "--extract-last",
    "extract_last",
    is_flag=True,
    help="Print only the last fenced code block.",
)
@click.option(
    "--json",
    "json_output",
    is_flag=True,
    help="Print the log record of the answer, as 'llm logs --json' does.",
)
@reported
def prompt(
    prompt: str | None,
    system: str | None,
    model_id: str | None,
    database: str | None,
    queries: tuple[str, ...],
    attachments: tuple[Attachment, ...],
    attachment_types: tuple[Attachment, ...],
    options: tuple[tuple[str, str], ...],
    show_model_options: bool,
    no_stream: bool,
    no_log: bool,
    log: bool,
    hide_reasoning: bool,
    _continue: bool,
    conversation_id: str | None,
    name: str | None,
    key: str | None,
    async_: bool,
    usage: bool,
    extract: bool,
    extract_last: bool,
    json_output: bool,
    **more_options: Any,
) -> None:
    """Send a prompt to a model and print its answer.

    Text piped to the command goes in front of the prompt.

    \b
    Examples:
      llm 'Capital of France?'
      llm 'Capital of France?' -m gpt-5.5
      llm 'Capital of France?' -s 'answer in Spanish'
      llm -c 'And its population?'
      cat notes.txt | llm 'Summarize this'

    Models that can see and hear take attachments:

    \b
      llm 'Extract text from this image' -a image.jpg
      cat image | llm 'describe image' -a -
      cat image | llm 'describe image' --at - image/jpeg

    Models that can use tools may call them; functions can be given as code:

    \b
      llm 'What time is it?' -T llm_time
      llm '12345 * 6789?' --functions 'def multiply(a: int, b: int): return a * b'
    """
    from ..run.request import PromptRequest

    request = PromptRequest(
        prompt=prompt,
        system=system,
        attachments=(*attachments, *attachment_types),
        options=tuple(options),
        model_id=model_id,
        queries=tuple(queries),
        continue_latest=bool(_continue),
        conversation_id=conversation_id,
        name=name,
        is_async=async_,
        key=key,
        no_stream=no_stream,
        hide_reasoning=hide_reasoning,
        database=database,
        log=log,
        no_log=no_log,
        extract=extract,
        extract_last=extract_last,
        usage=usage,
        json_output=json_output,
        **shared.call_fields(more_options),
        **shared.tool_fields(more_options),
    )
    if show_model_options:
        _show_options(request)
    else:
        from ..run.execute import run_prompt

        run_prompt(request)


def _show_options(request: PromptRequest) -> None:
    """What `llm models --options -m MODEL` prints for the model that would answer."""
    from ..run.request import resolve_conversation
    from .models import models_list

    model_id = resolve_conversation(request).model.model_id
    click.get_current_context().invoke(models_list, options=True, model_ids=(model_id,))
