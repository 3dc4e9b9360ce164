"""Keeping a prompt as a template: `--save NAME`."""

from __future__ import annotations

import json

import llm

from ..content import Attachment
from ..errors import LLMError
from ..files import config
from ..terminal import clean_argument, show_note
from ..text import JSONObject
from .material import find_schema, prompt_text
from .request import Request, named_model_id, resolve_options


def save_template(name: str, request: Request) -> None:
    """Write what was asked for to the user's template of that name, which is replaced.

    An `LLMError` says that it cannot be kept, or names a model or option that does not exist.
    """
    from ..files.template_files import template_path
    from ..templates import dump_yaml

    for option, is_given in (
        ("--template", request.templates),
        ("--continue", request.continue_latest),
        ("--cid", request.conversation_id),
        ("--docs", request.docs),
    ):
        if is_given:
            raise LLMError(f"--save cannot be used with {option}")
    schema = find_schema(request.log, request.schema_input, request.schema_multi)
    path = template_path(name)
    fields = _fields(request, schema)
    config.write_text_atomic(path, dump_yaml(fields))
    _tell_parameters(name, fields)


def _tell_parameters(name: str, fields: JSONObject) -> None:
    """Say which words behind a dollar are parameters from now on, where that may not be meant."""
    from ..templates import Template

    template = Template(name=name, **fields)
    names = sorted(template.vars() - {"input"} - (template.defaults or {}).keys())
    if names:
        shown = ", ".join(f"${word}" for word in names)
        these = "these parameters" if len(names) > 1 else "this parameter"
        show_note(
            f"The template {name} has {these}, whose value every use has to give with -p: {shown}."
            f" Where a dollar is meant, write two: $${names[0]}"
        )


def _fields(request: Request, schema: JSONObject | None) -> JSONObject:
    """The keys of the template in their order, those without a value left out."""
    model_id = named_model_id(request)
    if model_id:
        model_id = llm.get_model(model_id).model_id
    values: JSONObject = {
        "model": model_id,
        "prompt": prompt_text(request.prompt, may_wait=False),
        "system": request.system and clean_argument(request.system),
        "defaults": dict(request.params),
        "extract": request.output.extract,
        "extract_last": request.output.extract_last,
        "schema_object": schema,
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
        "options": _options(model_id, dict(request.options)),
    }
    return {key: value for key, value in values.items() if value}


def _place(attachment: Attachment) -> str | None:
    return attachment.path or attachment.url


def _options(model_id: str | None, given: dict[str, str]) -> JSONObject:
    """The options that were given, as the model understands them and YAML knows them."""
    if not given:
        return {}
    values = resolve_options(llm.get_model(model_id or None), given)
    plain: JSONObject = json.loads(json.dumps(values, default=str))
    return {name: plain[name] for name in given if name in plain}
