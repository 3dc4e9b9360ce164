"""What a prompt is made of beside its text: templates, schema, fragments, attachments."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..content import Attachment, Fragment
from ..errors import AttachmentError
from ..terminal import stdin
from ..text import JSONObject
from . import inputs

if TYPE_CHECKING:
    from ..templates import Template
    from .request import PromptRequest

Found = TypeVar("Found")


@dataclass(frozen=True)
class TurnInput:
    """What goes into one turn.

    Args:
        text: The prompt, templates applied.
        system: The system prompt.
        fragments: Texts in front of the prompt.
        system_fragments: Texts in front of the system prompt.
        attachments: Attachments in the order in which they are sent.
    """

    text: str
    system: str | None = None
    fragments: Sequence[str] = ()
    system_fragments: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()

    @property
    def values(self) -> JSONObject:
        """The arguments of `Conversation.prompt` that this gives, beside the text."""
        return {
            "system": self.system,
            "fragments": list(self.fragments),
            "system_fragments": list(self.system_fragments),
            "attachments": list(self.attachments),
        }


def prepare(request: PromptRequest) -> PromptRequest:
    """The request with its templates and its schema found, and the templates merged into it.

    Raises:
        LLMError: A template or the schema cannot be found or used.
    """
    schema_input = request.schema_multi or request.schema_input
    if schema_input:
        from ..schemas.notation import multi_schema

        schema = find_schema(schema_input, request)
        request = replace(request, schema=multi_schema(schema) if request.schema_multi else schema)
    if request.templates:
        from ..templates import load_template
        from .trust import check_template

        templates = tuple(load_template(name) for name in request.templates)
        for template in templates:
            check_template(template, trust=request.trust)
        request = merge_templates(request, templates)
    if request.schema is not None:
        from ..schemas.validation import check_schema

        check_schema(request.schema)
    return request


def find_schema(text: str, request: PromptRequest) -> JSONObject:
    """The schema that a person named.

    Raises:
        LLMError: It cannot be found.
    """
    from ..logs.read import schemas as stored
    from ..schemas.notation import resolve_schema
    from ..templates import load_template

    def find_stored(schema_id: str) -> JSONObject | None:
        return _in_log(request, lambda conn: stored.find_schema(conn, schema_id))

    return resolve_schema(text, load_template, find_stored)


def merge_templates(request: PromptRequest, templates: Sequence[Template]) -> PromptRequest:
    """The request with what its templates add; the command line has the last word.

    Only prompt and system prompt are left: they depend on the text.
    """
    extracts = [t for t in templates if t.extract or t.extract_last]
    if extracts and not (request.extract or request.extract_last):
        first = extracts[0]
        request = replace(
            request, extract=bool(first.extract), extract_last=bool(first.extract_last)
        )
    options: JSONObject = {}
    for template in templates:
        options = {**(template.options or {}), **options}
    schemas = [t.schema_object for t in templates if t.schema_object]
    models = [t.model for t in templates if t.model]
    return replace(
        request,
        loaded_templates=tuple(templates),
        schema=schemas[-1] if schemas else request.schema,
        template_model=models[0] if models else None,
        options=(*options.items(), *request.options),
        fragments=(*_all(templates, "fragments"), *request.fragments),
        system_fragments=(*_all(templates, "system_fragments"), *request.system_fragments),
        attachments=(
            *_attached(templates, "attachments", inputs.attachment_from),
            *request.attachments,
        ),
        typed_attachments=(
            *_attached(
                templates,
                "attachment_types",
                lambda given: inputs.typed_attachment(given.value, given.type),
            ),
            *request.typed_attachments,
        ),
        **_merged_tools(request, templates),
    )


def _all(templates: Sequence[Template], field: str) -> list[Any]:
    """The items that the templates have in a list, in order."""
    return [item for template in templates for item in getattr(template, field) or ()]


def _attached(
    templates: Sequence[Template], field: str, attach: Callable[[Any], Attachment]
) -> Iterator[Attachment]:
    """The attachments in a list of the templates; an error names the template and the list."""
    for template in templates:
        for item in getattr(template, field) or ():
            try:
                yield attach(item)
            except AttachmentError as error:
                raise AttachmentError(f"Template {template.name}: {field}: {error}") from error


def _merged_tools(request: PromptRequest, templates: Sequence[Template]) -> JSONObject:
    # Calls of the tools of others are asked about one by one.
    own = [t for t in templates if t.origin == "file" or request.trust]
    foreign = [t for t in templates if t.origin != "file" and not request.trust]
    return {
        "functions": (*_codes(own), *request.functions),
        "tools": (*_all(own, "tools"), *request.tools),
        "foreign_tools": (*request.foreign_tools, *_all(foreign, "tools")),
        "foreign_functions": (*request.foreign_functions, *_codes(foreign)),
    }


def _codes(templates: Sequence[Template]) -> list[str]:
    return [t.functions for t in templates if t.functions and t.functions_are_trusted]


# Texts


def check_variables(request: PromptRequest) -> None:
    """Make sure that every variable of the templates has a value, before anything is read.

    Raises:
        Template.MissingVariables: One has none.
    """
    fill(request, "")


def fill(request: PromptRequest, text: str | None) -> tuple[str | None, str | None]:
    """Prompt and system prompt after the templates, from left to right.

    Args:
        request: The request, prepared.
        text: The prompt so far; `None` where there is none.
    """
    values = dict(request.params)
    system = request.system
    for template in request.loaded_templates:
        for name, value in (template.defaults or {}).items():
            values.setdefault(name, value)
        filled, filled_system = template.evaluate(text or "", values)
        system = system or filled_system
        if template.prompt:
            joined = text and not template.uses_input
            text = f"{filled}\n{text}" if joined else filled
    return text, system


def first_input(request: PromptRequest, *, may_wait: bool = True) -> TurnInput:
    """Everything that goes into the prompt of a command; standard input is read.

    Args:
        request: The request, prepared.
        may_wait: Whether to wait for the user to type where there is nothing to send yet.

    Raises:
        LLMError: A fragment cannot be found, or a variable has no value.
    """
    check_variables(request)
    may_wait = may_wait and _has_nothing(request)
    # `-f -` and `-a -` have standard input for themselves, so they come before the text.
    content = load_content(request)
    if any(template.uses_input for template in request.loaded_templates):
        text, system = fill(request, inputs.prompt_text(request.prompt, may_wait=may_wait))
        return replace(content, text=text or "", system=system)
    typed = None if request.prompt is None else stdin.clean_argument(request.prompt)
    filled, system = fill(request, typed)
    text = inputs.prompt_text(filled, may_wait=filled is None and may_wait)
    return replace(content, text=text, system=system)


def _has_nothing(request: PromptRequest) -> bool:
    """Whether the command line has nothing to send."""
    return request.prompt is None and not (
        request.attachments or request.typed_attachments or request.fragments or request.schema
    )


def load_content(request: PromptRequest) -> TurnInput:
    """The fragments and attachments of a request, without its text.

    Raises:
        FragmentNotFound: A fragment cannot be found.
    """
    fragments, attachments = load_fragments(request, request.fragments)
    system_fragments, _ = load_fragments(request, request.system_fragments, only_text=True)
    return TurnInput(
        "",
        fragments=fragments,
        system_fragments=system_fragments,
        attachments=[*request.attachments, *request.typed_attachments, *attachments],
    )


def load_fragments(
    request: PromptRequest, names: Sequence[str], *, only_text: bool = False
) -> tuple[list[Fragment], list[Attachment]]:
    """The texts and attachments of some fragments.

    Raises:
        FragmentNotFound: One cannot be found.
    """
    if not names:
        return [], []
    from ..logs.read.fragments import find_fragment
    from ..material.fragments import resolve_all

    def find_stored(name: str) -> Fragment | None:
        return _in_log(request, lambda conn: find_fragment(conn, name))

    found = resolve_all(names, find_stored, allow_attachments=not only_text)
    texts = [item for item in found if isinstance(item, Fragment)]
    return texts, [item for item in found if isinstance(item, Attachment)]


def _in_log(
    request: PromptRequest, find: Callable[[sqlite3.Connection], Found | None]
) -> Found | None:
    """What is found in the log database; nothing where there is no such file."""
    path = request.database_path
    if not path.exists():
        return None
    from ..logs.file.db import open_for_reading

    with closing(open_for_reading(path, may_change=request.is_logged)) as conn:
        return find(conn)
