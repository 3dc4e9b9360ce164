"""`llm models`: which models there are, which one is the default, and their default options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click

import llm

from ..errors import UnknownModelError
from ..files.model_options import CALLS, OPTIONS, PARSERS, parse_fallback
from ..plugins import isolated
from ..registry import listed_models, resolve_default_model
from ..terminal import print_json, say
from ..text import JSONObject
from ._errors import problems_text
from ._group import LazyGroup, group, json_flag
from ._options import flag, several

if TYPE_CHECKING:
    from ..models.base import ModelWithAliases, _BaseModel, _Model

_WIDTH = 70
# The types of options in Python's words; what has no type is a str.
_TYPE_NAMES = {"number": "float", "integer": "int", "string": "str", "object": "dict"}


@group()
def models() -> None:
    """Manage available models."""


@models.command("list")
@flag("--options", help="Show the options of each model.")
@flag("--async", "async_", help="Only models with an asynchronous form.")
@flag("--schemas", help="Only models that support schemas.")
@flag("--tools", help="Only models that support tools.")
@json_flag
@several("-q", "--query", help="Only models that match; all -q must match.")
@several("model_ids", "-m", "--model", help="Only the model with this id or alias.")
def models_list(
    options: bool,
    async_: bool,
    schemas: bool,
    tools: bool,
    json_: bool,
    query: tuple[str, ...],
    model_ids: tuple[str, ...],
) -> None:
    """List the available models."""

    def is_wanted(entry: ModelWithAliases) -> bool:
        model = entry.shown
        names = {entry.model_id, *entry.aliases}
        return (
            all(map(entry.matches, query))
            and (not model_ids or not names.isdisjoint(model_ids))
            and (not async_ or entry.async_model is not None)
            and (not schemas or model.supports_schema)
            and (not tools or model.supports_tools)
        )

    entries = llm.get_models_with_aliases() if options else listed_models()
    chosen = []
    for entry in entries:
        with isolated(entry.plugin):
            if is_wanted(entry):
                chosen.append(entry)
    if json_:
        say(as_json(chosen, options=options))
        return
    for line in as_text(chosen, options=options, async_=async_):
        say(line)
    if not (query or options or schemas or model_ids):
        say(f"Default: {resolve_default_model(entries)}")


def as_json(entries: Iterable[ModelWithAliases], *, options: bool) -> str:
    """A JSON array with one object for each model; `options` adds the schema of each option."""
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
    """The lines that show the models, or their asynchronous forms.

    With `options`, descriptions of these stand only with the first model of a class.
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
        kinds = (choice.get("type", "string") for choice in schema.get("anyOf", [schema]))
        types = (_TYPE_NAMES.get(kind, kind) for kind in kinds if kind != "null")
        yield f"    {name}: {', '.join(types)}"
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


@models.command("default")
@click.argument("model", required=False)
def models_default(model: str | None) -> None:
    """Show the default model, or set it to the one named."""
    if model:
        llm.set_default_model(llm.get_model(model).model_id)
    else:
        say(llm.get_default_model())


@models.group("options", cls=LazyGroup, default="list")
def models_options() -> None:
    """Manage the options that a model gets where a prompt gives none."""


@models_options.command("list")
@json_flag
def models_options_list(json_: bool) -> None:
    """List the default options of all models."""
    stored = _stored_options()
    if json_:
        print_json(stored)
    elif not stored:
        say("No default options set for any models.", err=True)
    else:
        for model_id, options in stored.items():
            say(f"{model_id}:")
            _say_options(options, "  ")


@models_options.command("show")
@click.argument("model")
@json_flag
def models_options_show(model: str, json_: bool) -> None:
    """List the default options of one model."""
    model_id = _id_of(model)
    options = _stored_options().get(model_id, {})
    if json_:
        print_json(options)
    elif not options:
        say(f"No default options set for model '{model_id}'.", err=True)
    else:
        _say_options(options)


def _say_options(options: Mapping[str, str], indent: str = "") -> None:
    for key, value in options.items():
        say(f"{indent}{key}: {value}")


@models_options.command("set")
@click.argument("model")
@click.argument("key")
@click.argument("value")
def models_options_set(model: str, key: str, value: str) -> None:
    """Set a default option of a model.

    \b
        llm models options set gpt-4.1 temperature 0.5

    retries, timeout, fallback (models separated by commas) and truncate can be set for every
    model; they are what the options of 'llm prompt' with these names mean.
    """
    model_id = _id_of(model)
    _store_option(model_id, key, value)
    say(f"Set default option {key}={value} for model {model_id}", err=True)


@models_options.command("clear")
@click.argument("model")
@click.argument("key", required=False)
def models_options_clear(model: str, key: str | None) -> None:
    """Clear one default option of a model, or all of them.

    \b
        llm models options clear gpt-4.1
        llm models options clear gpt-4.1 temperature
    """
    model_id = _id_of(model)
    cleared = [key] if key else list(_stored_options().get(model_id, {}))
    OPTIONS.clear(model_id, key)
    CALLS.clear(model_id, key)
    if len(cleared) == 1:
        say(f"Cleared option '{cleared[0]}' for model {model_id}")
    elif cleared:
        say(f"Cleared {', '.join(cleared)} options for model {model_id}")


def _id_of(name: str) -> str:
    from ..registry.aliases import resolve_model_id

    return resolve_model_id(name)


# Default options of a model and defaults of its calls, two files, are one list for the user.


def _stored_options() -> dict[str, dict[str, str]]:
    """Everything that is stored for the models: model id -> name -> value as it was typed."""
    options = OPTIONS.load()
    for model_id, values in CALLS.load().items():
        typed = {name: str(value) for name, value in values.items()}
        options[model_id] = {**options.get(model_id, {}), **typed}
    return options


def _store_option(model_id: str, name: str, value: str) -> None:
    """Check a default and store it in its file; a model that nobody knows takes any."""
    model = None
    with suppress(UnknownModelError):
        model = llm.get_model(model_id)
    if name not in PARSERS or (model is not None and name in model.Options.model_fields):
        if model is not None:
            _check_option(model, name, value)
        OPTIONS.set(model_id, name, value)
        return
    if name == "fallback":
        value = ",".join(map(_id_of, parse_fallback(value)))
        for entry in parse_fallback(value):
            llm.get_model(entry)
    PARSERS[name](value)
    CALLS.set(model_id, name, value)


def _check_option(model: _Model, name: str, value: str) -> None:
    from pydantic import ValidationError

    try:
        model.Options(**{name: value})
    except ValidationError as error:
        # Other options that are required and missing here are the affair of the prompt.
        problems = [found for found in error.errors() if found["loc"][:1] in ((name,), ())]
        if problems:
            raise click.ClickException(problems_text(problems)) from error
