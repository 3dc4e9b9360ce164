"""A plugin: models with options and keys, tools, loaders, a command."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import click
from pydantic import Field

import llm
from llm.parts import StreamEvent

if TYPE_CHECKING:
    from llm.hookspecs import (
        RegisterEmbeddingModel,
        RegisterFragmentLoader,
        RegisterModel,
        RegisterTemplateLoader,
        RegisterTool,
    )
    from llm.models import ModelWithAliases


class Shouting(llm.Model):
    """Says it louder."""

    model_id = "shouting"
    can_stream = True
    supports_tools = True
    attachment_types = {"image/png"}

    class Options(llm.Options):  # ty: ignore[incompatible-attribute-override]
        """How loud."""

        marks: int | None = Field(default=None, description="How many marks", ge=0)

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        """Shout the prompt."""
        options = prompt.options
        assert isinstance(options, Shouting.Options)
        yield StreamEvent("reasoning", "louder")
        yield prompt.prompt.upper() + "!" * (options.marks or 1)
        response.set_usage(input=len(prompt.messages), output=1, details={"loud": True})
        response.set_resolved_model("shouting-2")
        response.response_json = {"ok": True}
        response.add_tool_call(llm.ToolCall("add", {"a": 1}))


class AsyncKeyed(llm.AsyncKeyModel):
    """Wants a key."""

    model_id = "keyed"
    needs_key = "keyed"
    key_env_var = "KEYED_API_KEY"

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
        key: str | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer with the key."""
        if key is None:
            raise llm.NeedsKeyException("no key", self.model_id)
        yield key[:1]


class Search(llm.ServerSideTool):
    """Searches the web."""

    name = "search"

    def __init__(self, country: str = "de") -> None:
        super().__init__({"type": "search", "country": country})


@llm.hookimpl
def register_models(register: RegisterModel, model_aliases: list[ModelWithAliases]) -> None:
    """Register the models."""
    register(Shouting(), AsyncKeyed(), aliases=["loud"])
    print(model_aliases[0].model, model_aliases[0].aliases)


@llm.hookimpl
def register_embedding_models(register: RegisterEmbeddingModel) -> None:
    """Register none."""


@llm.hookimpl
def register_tools(register: RegisterTool) -> None:
    """Register a function."""

    def upper(text: str) -> str:
        """Make capitals."""
        return text.upper()

    register(upper, name="capitals")
    register(llm.Toolbox)


@llm.hookimpl
def register_template_loaders(register: RegisterTemplateLoader) -> None:
    """Register a loader."""
    register("shout", lambda rest: llm.Template(name=rest, prompt="Shout $input"))


@llm.hookimpl
def register_fragment_loaders(register: RegisterFragmentLoader) -> None:
    """Register a loader."""
    register("shout", lambda rest: llm.Fragment(rest.upper(), source=f"shout:{rest}"))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add a command."""

    @cli.command()
    @click.argument("text")
    def shout(text: str) -> None:
        """Shout TEXT."""
        key: str | None = llm.get_key(None, "keyed", "KEYED_API_KEY")
        click.echo(f"{text.upper()} {key} {llm.user_dir() / 'shout.json'}")
