"""`llm templates`: prompts that are kept under a name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import click

from ..terminal import say
from ._errors import reported
from ._group import LazyGroup, json_flag

if TYPE_CHECKING:
    from pathlib import Path

Row = TypeVar("Row")


@click.group(cls=LazyGroup, default="list")
def templates() -> None:
    """Manage prompt templates.

    A template keeps a prompt with all that goes with it:

    \b
      llm -s 'Translate to French' --save french
      llm -t french 'Good morning'
    """


@templates.command(name="list")
@json_flag
@reported
def templates_list(json_: bool) -> None:
    """List the templates of the user's directory that are valid."""
    from ..terminal import print_pieces

    print_pieces([_as_json()] if json_ else _lines())


def _as_json() -> str:
    from ..templates import parse_template

    rows = _valid(lambda name, text: {"name": name, **parse_template(name, text, name).fields()})
    return json.dumps(list(rows), indent=2, default=str) + "\n"


def _valid(read: Callable[[str, str], Row]) -> Iterator[Row]:
    """What a function gives for the name and text of each valid template, sorted by name."""
    from ..errors import LoadTemplateError
    from ..files import template_files as files

    folder = files.templates_dir()
    for name in files.template_names():
        with suppress(LoadTemplateError):
            yield read(name, files.read_template_text(folder / f"{name}{files.SUFFIX}"))


def _name_and_summary(name: str, text: str) -> tuple[str, str]:
    """Name and summary of a template."""
    from ..files.template_files import quick_fields

    fields = quick_fields(text)
    if fields is None:
        from ..templates import parse_template

        template = parse_template(name, text, name)
        return name, _summary(template.prompt, template.system)
    return name, _summary(fields.get("prompt"), fields.get("system"))


def _lines() -> Iterator[str]:
    rows = list(_valid(_name_and_summary))
    width = max((len(name) for name, _ in rows), default=0)
    columns = shutil.get_terminal_size().columns
    for name, summary in rows:
        line = f"{name:<{width}} : {summary}"
        yield (line if len(line) <= columns else line[: columns - 3] + "...") + "\n"


def _summary(prompt: str | None, system: str | None) -> str:
    if not system:
        return _one_line(prompt or "")
    text = f"system: {_one_line(system)}"
    return f"{text} prompt: {_one_line(prompt)}" if prompt else text


def _one_line(text: str) -> str:
    return text.replace("\n", " ")


@templates.command(name="show")
@click.argument("name")
@reported
def templates_show(name: str) -> None:
    """Print a template as YAML."""
    from ..templates import dump_yaml, load_template
    from ..terminal import print_pieces

    template = load_template(name)
    fields = {**template.fields(), "name": template.name}
    print_pieces([dump_yaml(fields, sort_keys=True), "\n"])


@templates.command(name="edit")
@click.argument("name")
@reported
def templates_edit(name: str) -> None:
    """Edit a template in your editor ($VISUAL or $EDITOR); a new one is created."""
    from ..files.template_files import template_path
    from ..templates import load_template

    path = template_path(name)
    if not path.exists():
        path.write_text("prompt: ", encoding="utf-8")
    click.edit(filename=str(path))
    load_template(name)


@templates.command(name="remove")
@click.argument("name")
@reported
def templates_remove(name: str) -> None:
    """Remove a template of the user's directory."""
    _existing(name).unlink()


@templates.command(name="rename")
@click.argument("name")
@click.argument("new_name")
@reported
def templates_rename(name: str, new_name: str) -> None:
    """Give a template another name; one that is taken is not touched."""
    from ..errors import LLMError
    from ..files.template_files import template_path

    path, target = _existing(name), template_path(new_name)
    if target.exists():
        raise LLMError(f"There is a template {new_name} already. Remove it first, or choose a name")
    path.rename(target)


def _existing(name: str) -> Path:
    from ..errors import NotFound
    from ..files.template_files import template_names, template_path
    from ..text import suggestion

    path = template_path(name)
    if not path.is_file():
        raise NotFound(f"Template not found: {name}{suggestion(name, template_names())}")
    return path


@templates.command(name="path")
@reported
def templates_path() -> None:
    """Print the path of the templates directory."""
    from ..files.template_files import templates_dir

    say(templates_dir())


@templates.command(name="loaders")
@reported
def templates_loaders() -> None:
    """Show the loaders of templates that plugins bring."""
    import llm

    from .fragments import print_loaders

    print_loaders(llm.get_template_loaders(), apart=False, none="No template loaders found")
