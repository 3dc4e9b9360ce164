"""`llm prompt`: one prompt, one answer. The command that runs where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import _options as shared
from ._group import command
from ._options import flag, number, option

if TYPE_CHECKING:
    from ..prompting.request import Request


@command("prompt")
@click.argument("prompt", required=False)
@shared.system_option
@shared.model_option
@shared.database_option
@shared.query_option
@shared.attachment_option
@shared.typed_attachment_option
@shared.tool_options
@shared.model_options_option
@flag(
    "--options", "show_model_options", help="Show the options of the chosen model and send nothing."
)
@shared.schema_option
@shared.schema_multi_option
@number(
    "--repair",
    default=0,
    show_default=True,
    help="How often to ask again for an answer that does not fit the schema.",
)
@shared.fragment_option
@shared.system_fragment_option
@shared.docs_options
@shared.several(
    "-t",
    "--template",
    help="Template to use: its name, a path, a URL, or the prefix of a plugin. Several are applied "
    "from left to right.",
)
@shared.param_option
@shared.trust_option
@shared.no_stream_option
@flag("-n", "--no-log", help="Do not log this prompt and its answer.")
@flag("--log", help="Log this one even if logging is off.")
@shared.hide_reasoning_option
@shared.continue_option
@shared.conversation_option
@shared.name_option
@shared.key_option
@shared.call_options
@option("--save", metavar="NAME", help="Save the prompt as a template; nothing is sent.")
@option(
    "--out",
    type=click.Path(file_okay=False),
    help="Write the files that the model makes into this folder.",
)
@flag("--async", "async_", help="Run the asynchronous form of the model.")
@flag("-u", "--usage", help="Show how many tokens were used, and the id of the conversation.")
@flag("-x", "--extract", help="Print only the first fenced code block.")
@flag("--xl", "--extract-last", "extract_last", help="Print only the last fenced code block.")
@flag(
    "--json", "json_output", help="Print the log record of the answer, as 'llm logs --json' does."
)
def prompt(show_model_options: bool, save: str | None, **given: Any) -> None:
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

    Fragments are longer texts that are stored once, schemas say what the answer has to look like,
    templates keep all of it for the next time:

    \b
      llm -f notes.txt 'Summarize this'
      llm -f dir:src -f cmd:'git diff' 'Review this change'
      llm --schema 'name, age int, bio: one sentence' 'Invent a dog'
      llm -s 'Translate to French' --save french
      llm -t french 'Good morning'
    """
    request = shared.request_from(given)
    if show_model_options:
        _show_options(request)
    elif save is not None:
        from ..prompting.save import save_template

        save_template(save, request)
    else:
        from ..prompting.execute import run_prompt

        run_prompt(request)


def _show_options(request: Request) -> None:
    """What `llm models --options -m MODEL` prints for the model that would answer."""
    from ..prompting.material import gather_material
    from ..prompting.request import resolve_conversation
    from .models import models_list

    model_id = resolve_conversation(request, gather_material(request)).model.model_id
    click.get_current_context().invoke(models_list, options=True, model_ids=(model_id,))
