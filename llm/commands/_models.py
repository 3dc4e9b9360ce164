"""How models and their options are shown, and where default options are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from ..plugins import isolated
from ..text import JSONObject
from ._errors import problems_text

if TYPE_CHECKING:
    from ..models.base import ModelWithAliases, _BaseModel

_WIDTH = 70
_TYPE_NAMES = {"number": "float", "integer": "int", "string": "str", "object": "dict"}


def as_json(entries: Iterable[ModelWithAliases], *, options: bool) -> str:
    """A JSON array with one object for each model.

    Args:
        entries: The models.
        options: Add the JSON schema of each option.
    """
    rows = []
    for entry in entries:
        with isolated(entry.plugin):
            rows.append(_row(entry, options))
    return json.dumps(rows, indent=2)


def _row(entry: ModelWithAliases, options: bool) -> dict[str, object]:
    model = entry.shown
    row: dict[str, object] = {
        "model_id": model.model_id,
        "aliases": entry.aliases,
        "can_stream": model.can_stream,
        "supports_schema": model.supports_schema,
        "supports_tools": model.supports_tools,
        "supports_conversation": model.supports_conversation,
        "supports_async": entry.async_model is not None,
        "attachment_types": sorted(model.attachment_types),
        "server_side_tools": [
            {"name": tool.__name__, "plugin": tool.plugin}
            for tool in model.supported_server_side_tools
        ],
    }
    if options:
        row["options"] = _option_schemas(model)
    return row


def as_text(
    entries: Iterable[ModelWithAliases], *, options: bool, async_: bool = False
) -> Iterator[str]:
    """The lines that show the models.

    Args:
        entries: The models.
        options: Add the options and features of each. Descriptions of options stand only with
            the first model of a class.
        async_: Show the asynchronous form of each model.
    """
    described: set[type] = set()
    for entry in entries:
        lines: list[str] = []
        with isolated(entry.plugin):
            model = entry.async_model if async_ and entry.async_model else entry.shown
            aliases = f" (aliases: {', '.join(entry.aliases)})" if entry.aliases else ""
            lines.append(f"{model}{aliases}")
            if options:
                lines += _option_lines(model, describe=type(model) not in described)
                lines += _feature_lines(model, entry)
                described.add(type(model))
        yield from lines


def _option_lines(model: _BaseModel, *, describe: bool) -> Iterator[str]:
    schemas = _option_schemas(model)
    if schemas:
        yield "  Options:"
    for name, schema in schemas.items():
        yield f"    {name}: {', '.join(_type_names(schema))}"
        if describe and schema.get("description"):
            yield from _wrapped(schema["description"], indent=6)


def _feature_lines(model: _BaseModel, entry: ModelWithAliases) -> Iterator[str]:
    if model.attachment_types:
        yield "  Attachment types:"
        yield from _wrapped(", ".join(sorted(model.attachment_types)), indent=4)
    features = {
        "streaming": model.can_stream,
        "schemas": model.supports_schema,
        "tools": model.supports_tools,
        "async": entry.async_model is not None,
    }
    if any(features.values()):
        yield "  Features:"
        yield from (f"  - {name}" for name, has_it in features.items() if has_it)
    if model.needs_key:
        yield "  Keys:"
        yield f"    key: {model.needs_key}"
        if model.key_env_var:
            yield f"    env_var: {model.key_env_var}"


def _wrapped(text: str, *, indent: int) -> Iterator[str]:
    import textwrap

    for line in textwrap.wrap(text, _WIDTH):
        yield " " * indent + line


def _option_schemas(model: _BaseModel) -> JSONObject:
    properties: JSONObject = model.Options.model_json_schema().get("properties", {})
    return properties


def _type_names(schema: JSONObject) -> list[str]:
    """The types of an option in Python's words, without null; what has no type is a str."""
    choices = schema.get("anyOf", [schema])
    kinds = (choice.get("type", "string") for choice in choices)
    return [_TYPE_NAMES.get(kind, kind) for kind in kinds if kind != "null"]


def _check_option(model_id: str, key: str, value: str) -> None:
    """Check a default option against the model's options; a model nobody knows takes any.

    Raises:
        click.ClickException: There is no such option, or it does not take the value.
    """
    import llm

    from ..errors import UnknownModelError

    try:
        model = llm.get_model(model_id)
    except UnknownModelError:
        return
    from pydantic import ValidationError

    try:
        model.Options(**{key: value})
    except ValidationError as error:
        # Other options that are required and missing here are the affair of the prompt.
        problems = [found for found in error.errors() if found["loc"][:1] in ((key,), ())]
        if problems:
            raise click.ClickException(problems_text(problems)) from error


# Default options of a model and defaults of its calls, as one list for the user


def stored_options() -> dict[str, dict[str, str]]:
    """Everything that is stored for the models: model id -> name -> value as it was typed."""
    from ..files.model_options import CALLS, OPTIONS

    options = OPTIONS.load()
    for model_id, values in CALLS.load().items():
        typed = {name: str(value) for name, value in values.items()}
        options[model_id] = {**options.get(model_id, {}), **typed}
    return options


def store_option(model_id: str, name: str, value: str) -> None:
    """Check a default and store it in the file that it belongs to.

    Raises:
        LLMError: There is no such option, or it does not take the value.
        click.ClickException: The same, for an option of the model's own.
    """
    from ..files.model_options import CALLS, OPTIONS, PARSERS, parse_fallback

    if not _is_call_default(model_id, name):
        _check_option(model_id, name, value)
        OPTIONS.set(model_id, name, value)
        return
    if name == "fallback":
        import llm

        from ..registry import resolve_model_id

        value = ",".join(resolve_model_id(entry) for entry in parse_fallback(value))
        for entry in parse_fallback(value):
            llm.get_model(entry)
    PARSERS[name](value)
    CALLS.set(model_id, name, value)


def clear_options(model_id: str, name: str | None) -> None:
    """Remove one stored default of a model, or all of them, from both files."""
    from ..files.model_options import CALLS, OPTIONS

    OPTIONS.clear(model_id, name)
    CALLS.clear(model_id, name)


def _is_call_default(model_id: str, name: str) -> bool:
    """Whether `name` says how the model is called, and is no option of the model's own."""
    from ..files.model_options import PARSERS

    if name not in PARSERS:
        return False
    import llm

    from ..errors import UnknownModelError

    try:
        return name not in llm.get_model(model_id).Options.model_fields
    except UnknownModelError:
        return True
