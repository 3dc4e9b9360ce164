"""`llm openai endpoint`: a prompt or a chat with any compatible server, nothing registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

import llm

if TYPE_CHECKING:
    from ..chat import Chat, Responses
    from ..shared import AtServer

M = TypeVar("M", bound="AtServer")

# What a server can do is not known: nothing is refused before it is sent.
_ABILITIES = (
    *("vision", "reasoning", "verbosity", "image_detail_original", "supports_schema"),
    "supports_tools",
)


class Server:
    """A server that speaks OpenAI's protocol.

    Args:
        url: The address of its API.
        key: The key to send, or the name of a stored one.
        headers: HTTP headers to add, as pairs of name and value.
        responses: Speak the Responses API.

    Raises:
        InvalidInput: The address is none.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        responses: bool = False,
    ) -> None:
        url = url.strip()
        if not url.startswith(("http://", "https://")):
            raise llm.InvalidInput(f"{url} is no address: begin it with http:// or https://")
        llm.remember_request(url, {})
        self.url: str = url
        self.key: str | None = key
        self.headers: Sequence[tuple[str, str]] = headers
        self.responses: bool = responses

    def model(self, name: str) -> Chat | Responses:
        """The model of that name there."""
        from ..chat import Chat, Responses

        model = Responses(**self.settings(name)) if self.responses else Chat(**self.settings(name))
        has_key = "Check the key that --key gives"
        model.key_advice = has_key if self.key else "Give the key of this server with --key"
        return self.unlocked(model)

    def settings(self, name: str) -> dict[str, Any]:
        """What the constructor of a model of that name is given."""
        return {
            # No registered model has such a name, so nobody's defaults are meant for it.
            "model_id": f"{name} at {self.url}",
            "model_name": name,
            "api_base": self.url,
            "headers": dict(self.headers) or None,
            **dict.fromkeys(_ABILITIES, True),
            **({"reasoning_summary": False} if self.responses else {"audio": True}),
        }

    def unlocked(self, model: M) -> M:
        """The model with the key of this server; whatever else is stored is meant for others."""
        if self.key:
            model.key = llm.get_key(self.key)
        else:
            vars(model)["needs_key"] = None
        return model


header_option = click.option(
    "-H", "--header", "headers", type=(str, str), multiple=True, help="HTTP header: name and value."
)
responses_option = click.option("--responses", is_flag=True, help="Speak the Responses API.")


@click.command(name="endpoint")
@click.argument("url")
@click.argument("prompt", required=False)
@click.option("-m", "--model", "model_id", help="Name of the model at the server.")
@llm.prompt_options(
    *("system", "template", "param", "trust", "model_options", "schema", "schema_multi"),
    *("attachment", "typed_attachment", "tools", "no_stream", "hide_reasoning", "key"),
)
@header_option
@llm.prompt_options("retries", "timeout", "raw")
@responses_option
@click.option("--chat", is_flag=True, help="Hold a chat.")
@click.option("--models", is_flag=True, help="List the models of the server and send nothing.")
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
    server = Server(url, key, headers, responses)
    if not models:
        llm.run_prompt(server.model, given, chat=chat)
        return
    for option, is_given in (
        ("a prompt", given["prompt"] is not None),
        ("--template", given["template"]),
        ("tools", given["tools"] or given["python_tools"]),
        ("--schema", given["schema_input"] or given["schema_multi"]),
    ):
        if is_given:
            raise llm.LLMError(f"--models cannot be used with {option}")
    for model_id in server.model("").list_model_ids():
        llm.say(model_id)
