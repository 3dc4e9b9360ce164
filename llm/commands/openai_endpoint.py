"""`llm openai endpoint`: a prompt or a chat with any compatible server, nothing registered."""

from __future__ import annotations

from typing import Any

import click

from ..terminal.output import say
from . import _options as shared
from ._errors import reported


@click.command(name="endpoint")
@click.argument("url")
@click.argument("prompt", required=False)
@click.option("-m", "--model", "model_id", help="Name of the model at the server.")
@shared.system_option
@click.option("-t", "--template", help="Template to use.")
@shared.param_option
@shared.trust_option
@shared.model_options_option
@shared.schema_option
@shared.schema_multi_option
@shared.attachment_option
@shared.typed_attachment_option
@shared.tool_options
@shared.no_stream_option
@shared.hide_reasoning_option
@shared.key_option
@click.option(
    "-H", "--header", "headers", type=(str, str), multiple=True, help="HTTP header: name and value."
)
@shared.retries_option
@shared.timeout_option
@shared.raw_option
@click.option("--responses", is_flag=True, help="Speak the Responses API.")
@click.option("--chat", is_flag=True, help="Hold a chat.")
@click.option("--models", is_flag=True, help="List the models of the server and send nothing.")
@reported
def endpoint(
    url: str,
    key: str | None,
    headers: tuple[tuple[str, str], ...],
    responses: bool,
    chat: bool,
    models: bool,
    **given: Any,
) -> None:
    """Send a prompt to the OpenAI-compatible server at URL.

    Nothing is registered and nothing is logged. No stored key is sent, except one that --key
    names.

    \b
    Examples:
      llm openai endpoint http://localhost:8080/v1 --models
      llm openai endpoint http://localhost:8080/v1 -m qwen 'Say hi'
      llm openai endpoint http://localhost:8080/v1 -m qwen --chat
    """
    from ..run import endpoint as job

    request = shared.request_from({**given, "no_log": True})
    server = job.Server(url, key, headers, responses)
    if models:
        for model_id in job.list_models(server, request):
            say(model_id)
    elif chat:
        from .chat import make_console

        job.run_endpoint_chat(server, request, make_console())
    else:
        job.run_endpoint(server, request)
