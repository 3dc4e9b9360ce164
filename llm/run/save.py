"""Keeping a prompt as a template: `--save NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import LLMError
from ..files import config
from ..terminal import stdin
from ..text import JSONObject
from . import inputs
from .session import model_from_queries, resolve_options

if TYPE_CHECKING:
    from ..content import Attachment
    from .request import PromptRequest


def save_template(name: str, request: PromptRequest) -> None:
    """Write what was asked for to the user's template of that name; nothing is sent.

    Args:
        name: The name of the template; one that exists is replaced.
        request: What was asked for.

    Raises:
        LLMError: The request cannot be kept, or names a model or option that does not exist.
    """
    from ..files.template_files import template_path
    from ..templates import dump_yaml
    from .material import prepare

    check_savable(request)
    request = prepare(request)
    path = template_path(name)
    config.write_text_atomic(path, dump_yaml(dict(_fields(request))))


def check_savable(request: PromptRequest) -> None:
    """Refuse what a template cannot hold.

    Raises:
        LLMError: The request has templates or goes on with a conversation.
    """
    for option, is_given in (
        ("--template", bool(request.templates)),
        ("--continue", request.continue_latest),
        ("--cid", bool(request.conversation_id)),
    ):
        if is_given:
            raise LLMError(f"--save cannot be used with {option}")


def _fields(request: PromptRequest) -> Iterator[tuple[str, Any]]:
    """The keys of the template in their order, those without a value left out."""
    values: JSONObject = {
        "model": _model_id(request),
        "prompt": inputs.prompt_text(request.prompt, may_wait=False),
        "system": request.system and stdin.clean_argument(request.system),
        "defaults": dict(request.params),
        "extract": request.extract,
        "extract_last": request.extract_last,
        "schema_object": request.schema,
        "fragments": list(request.fragments),
        "system_fragments": list(request.system_fragments),
        "functions": "\n\n".join(request.functions),
        "tools": list(request.tools),
        "attachments": [place for a in request.attachments if (place := _place(a))],
        "attachment_types": [
            {"type": a.type, "value": place}
            for a in request.typed_attachments
            if (place := _place(a))
        ],
        "options": _options(request),
    }
    yield from ((key, value) for key, value in values.items() if value)


def _place(attachment: Attachment) -> str | None:
    return attachment.path or attachment.url


def _model_id(request: PromptRequest) -> str | None:
    import llm

    if request.model_id:
        return llm.get_model(request.model_id).model_id
    return model_from_queries(request.queries) if request.queries else None


def _options(request: PromptRequest) -> JSONObject:
    """The options that were given, as the model understands them."""
    if not request.options:
        return {}
    import llm

    model = llm.get_model(_model_id(request))
    given = dict(request.options)
    values = resolve_options(model, request.options)
    return {name: _plain(values[name]) for name in given if name in values}


def _plain(value: Any) -> Any:
    """A value as YAML knows it."""
    import json

    return json.loads(json.dumps(value, default=str))
