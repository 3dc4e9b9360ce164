"""`llm models`: which models there are, which one is the default, and their default options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..terminal import print_json, say
from ._errors import reported
from ._group import LazyGroup, json_flag

if TYPE_CHECKING:
    from ..models.base import ModelWithAliases


@click.group(cls=LazyGroup, default="list")
def models() -> None:
    """Manage available models."""


@models.command(name="list")
@click.option("--options", is_flag=True, help="Show the options of each model.")
@click.option("--async", "async_", is_flag=True, help="Only models with an asynchronous form.")
@click.option("--schemas", is_flag=True, help="Only models that support schemas.")
@click.option("--tools", is_flag=True, help="Only models that support tools.")
@json_flag
@click.option("-q", "--query", multiple=True, help="Only models that match; all -q must match.")
@click.option(
    "model_ids", "-m", "--model", multiple=True, help="Only the model with this id or alias."
)
@reported
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
    import llm

    from ..plugins import isolated
    from ..registry import resolve_default_model
    from ._models import as_json, as_text

    entries = llm.get_models_with_aliases()
    chosen = []
    for entry in entries:
        with isolated(entry.plugin):
            if _is_wanted(entry, query, model_ids, (async_, schemas, tools)):
                chosen.append(entry)
    if json_:
        say(as_json(chosen, options=options))
        return
    for line in as_text(chosen, options=options, async_=async_):
        say(line)
    if not (query or options or schemas or model_ids):
        say(f"Default: {resolve_default_model(entries)}")


def _is_wanted(
    entry: ModelWithAliases,
    queries: tuple[str, ...],
    model_ids: tuple[str, ...],
    needs: tuple[bool, bool, bool],
) -> bool:
    names = {entry.model_id, *entry.aliases}
    offered = (entry.async_model, entry.shown.supports_schema, entry.shown.supports_tools)
    return (
        all(entry.matches(query) for query in queries)
        and (not model_ids or not names.isdisjoint(model_ids))
        and all(has or not needed for needed, has in zip(needs, offered, strict=True))
    )


@models.command(name="default")
@click.argument("model", required=False)
@reported
def models_default(model: str | None) -> None:
    """Show the default model, or set it to the one named."""
    import llm

    if model:
        llm.set_default_model(llm.get_model(model).model_id)
    else:
        say(llm.get_default_model())


@models.group(name="options", cls=LazyGroup, default="list")
def models_options() -> None:
    """Manage the options that a model gets where a prompt gives none."""


@models_options.command(name="list")
@json_flag
@reported
def models_options_list(json_: bool) -> None:
    """List the default options of all models."""
    from ._models import stored_options

    stored = stored_options()
    if json_:
        print_json(stored)
    elif not stored:
        say("No default options set for any models.", err=True)
    else:
        for model_id, options in stored.items():
            say(f"{model_id}:")
            for key, value in options.items():
                say(f"  {key}: {value}")


@models_options.command(name="show")
@click.argument("model")
@json_flag
@reported
def models_options_show(model: str, json_: bool) -> None:
    """List the default options of one model."""
    from ..registry import resolve_model_id
    from ._models import stored_options

    model_id = resolve_model_id(model)
    options = stored_options().get(model_id, {})
    if json_:
        print_json(options)
    elif not options:
        say(f"No default options set for model '{model_id}'.", err=True)
    else:
        for key, value in options.items():
            say(f"{key}: {value}")


@models_options.command(name="set")
@click.argument("model")
@click.argument("key")
@click.argument("value")
@reported
def models_options_set(model: str, key: str, value: str) -> None:
    """Set a default option of a model.

    \b
        llm models options set gpt-4.1 temperature 0.5

    retries, timeout, fallback (models separated by commas) and truncate can be set for every
    model; they are what the options of 'llm prompt' with these names mean.
    """
    from ..registry import resolve_model_id
    from ._models import store_option

    model_id = resolve_model_id(model)
    store_option(model_id, key, value)
    say(f"Set default option {key}={value} for model {model_id}", err=True)


@models_options.command(name="clear")
@click.argument("model")
@click.argument("key", required=False)
@reported
def models_options_clear(model: str, key: str | None) -> None:
    """Clear one default option of a model, or all of them.

    \b
        llm models options clear gpt-4.1
        llm models options clear gpt-4.1 temperature
    """
    from ..registry import resolve_model_id
    from ._models import clear_options, stored_options

    model_id = resolve_model_id(model)
    cleared = [key] if key else list(stored_options().get(model_id, {}))
    clear_options(model_id, key)
    if len(cleared) == 1:
        say(f"Cleared option '{cleared[0]}' for model {model_id}")
    elif cleared:
        say(f"Cleared {', '.join(cleared)} options for model {model_id}")
