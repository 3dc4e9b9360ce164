"""The group `llm openai`; each command is imported when it runs."""

from __future__ import annotations

import click

from ._group import Lazy, LazyGroup

_HOME = "llm.providers.openai.commands.models"


@click.group(
    cls=LazyGroup,
    lazy={
        "add": Lazy(
            f"{_HOME}:add", "Add a model of a compatible server, after asking what it can do."
        ),
        "endpoint": Lazy(
            "llm.providers.openai.commands.endpoint:endpoint",
            "Send a prompt to any compatible server, by its address.",
        ),
        "models": Lazy(f"{_HOME}:list_models", "List the models that your OpenAI account can use."),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
def openai() -> None:
    """Work with OpenAI and with compatible servers."""
