"""A prompt or a chat with a server that is named by its address: nothing registered or logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, LLMError
from ..terminal import stdin
from . import material

if TYPE_CHECKING:
    from .repl import Console
    from .request import PromptRequest

# What a server can do is not known: nothing is refused before it is sent.
_ABILITIES = {
    "vision": True,
    "reasoning": True,
    "verbosity": True,
    "image_detail_original": True,
    "supports_schema": True,
    "supports_tools": True,
}
_KEY_ADVICE = "Give the key of this server with --key"


@dataclass(frozen=True)
class Server:
    """A server that speaks OpenAI's protocol.

    Args:
        url: The address of its API.
        key: The key to send, or the name of a stored one.
        headers: HTTP headers to add, as pairs of name and value.
        responses: Speak the Responses API.
    """

    url: str
    key: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    responses: bool = False

    def model(self, name: str) -> Any:
        """The model of that name there.

        Raises:
            InvalidInput: The address is none.
        """
        import llm

        provider: Any = import_module("llm.default_plugins.openai_models")
        if not self.url.startswith(("http://", "https://")):
            raise InvalidInput(f"{self.url} is no address: begin it with http:// or https://")
        settings = {
            # No registered model has such a name, so nobody's defaults are meant for it.
            "model_id": f"{name} at {self.url}",
            "model_name": name,
            "api_base": self.url,
            "key": llm.get_key(self.key) if self.key else None,
            "headers": dict(self.headers) or None,
            **_ABILITIES,
        }
        if self.responses:
            model = provider.Responses(**settings, reasoning_summary=False)
        else:
            model = provider.Chat(**settings, audio=True)
        model.key_advice = "Check the key that --key gives" if self.key else _KEY_ADVICE
        if not self.key:
            # Whatever is stored is meant for others.
            model.needs_key = None
        return model


def list_models(server: Server, request: PromptRequest) -> list[str]:
    """The ids of the models of a server.

    Raises:
        LLMError: Something else was asked for too, or the server does not tell.
    """
    for option, is_given in (
        ("a prompt", request.prompt is not None),
        ("--template", bool(request.templates)),
        ("tools", bool(request.tools or request.functions)),
        ("--schema", bool(request.schema_input or request.schema_multi)),
    ):
        if is_given:
            raise LLMError(f"--models cannot be used with {option}")
    found: list[str] = server.model("").list_model_ids()
    return found


def run_endpoint(server: Server, request: PromptRequest) -> None:
    """Answer one prompt on stdout.

    Raises:
        LLMError: The request cannot be met.
        Exception: Whatever the model raised.
    """
    from .execute import run_prompt

    request = _resolved(server, request)
    run_prompt(_with_input(request))


def run_endpoint_chat(server: Server, request: PromptRequest, console: Console) -> None:
    """Hold a chat.

    Raises:
        LLMError: The request cannot be met.
    """
    from .repl import run_chat

    if request.prompt is not None:
        raise LLMError("--chat takes no prompt: it asks for one")
    run_chat(_resolved(server, request), console, ("!attach",))


def _resolved(server: Server, request: PromptRequest) -> PromptRequest:
    """The request with its templates and schema found, and the model that answers it."""
    own = material.prepare(replace(request, templates=()))
    found = material.prepare(request)
    name = request.model_id or found.template_model
    if not name:
        raise LLMError("No model is named: add -m MODEL; --models lists those of the server")
    return replace(
        found,
        model=server.model(name),
        # The command line has the last word, and everything is found now.
        schema=own.schema or found.schema,
        schema_input=None,
        schema_multi=None,
        templates=(),
        log=False,
        no_log=True,
    )


def _with_input(request: PromptRequest) -> PromptRequest:
    """The request, with standard input read where there is nothing else to send.

    Raises:
        LLMError: Nothing is there either.
    """
    is_given = request.prompt is not None or request.attachments or request.typed_attachments
    has_text = any(template.prompt for template in request.loaded_templates)
    if is_given or request.schema or has_text or stdin.stdin_is_terminal():
        return request
    text = stdin.read_stdin_text()
    if not text.strip():
        raise LLMError("Nothing to send: give a prompt, an attachment or a schema")
    return replace(request, prompt=text)
