"""The group `llm openai`; what a command needs is imported when it runs."""

from __future__ import annotations

import click

from .endpoint import endpoint
from .models import add, list_models


@click.group(
    commands=[add, list_models, endpoint],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def openai() -> None:
    """Work with OpenAI and with compatible servers."""
