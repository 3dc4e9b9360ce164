"""`llm templates`: prompts that are kept under a name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import click

from ..errors import LLMError, LoadTemplateError, NotFound
from ..files import template_files as files
from ..terminal import print_json, print_pieces, say
from ..text import JSONObject, suggestion
from ..text.secrets import masked
from ._group import group, json_flag

Row = TypeVar("Row")


@group()
def templates() -> None:
    """Manage prompt templates.

    A template keeps a prompt with all that goes with it:

    \b
      llm -s 'Translate to French' --save french
      llm -t french 'Good morning'
    """


@templates.command("list")
@json_flag
def templates_list(json_: bool) -> None:
    """List the templates of the user's directory that are valid."""
    if json_:
        print_json(list(_valid(_fields)))
    else:
        print_pieces(_lines())


def _fields(name: str, text: str) -> JSONObject:
    from ..templates import parse_template

    return {"name": name, **parse_template(name, text, name).fields()}


def _valid(read: Callable[[str, str], Row]) -> Iterator[Row]:
    """What a function gives for the name and text of each valid template, sorted by name."""
    folder = files.templates_dir()
    for name in files.template_names():
        with suppress(LoadTemplateError):
            yield read(name, files.read_template_text(folder / f"{name}{files.SUFFIX}"))


def _name_and_summary(name: str, text: str) -> tuple[str, str]:
    fields = files.quick_fields(text)
    if fields is None:
        fields = _fields(name, text)
    summary, system = fields.get("prompt") or "", fields.get("system")
    if system:
        summary = f"system: {system} prompt: {summary}" if summary else f"system: {system}"
    return name, summary.replace("\n", " ")


def _lines() -> Iterator[str]:
    rows = list(_valid(_name_and_summary))
    width = max((len(name) for name, _ in rows), default=0)
    columns = shutil.get_terminal_size().columns
    for name, summary in rows:
        line = f"{name:<{width}} : {summary}"
        yield (line if len(line) <= columns else line[: columns - 3] + "...") + "\n"


@templates.command("show")
@click.argument("name")
def templates_show(name: str) -> None:
    """Print a template as YAML."""
    from ..templates import dump_yaml, load_template

    template = load_template(name)
    fields = {**template.fields(), "name": masked(template.name)}
    print_pieces([dump_yaml(fields, sort_keys=True), "\n"])


@templates.command("edit")
@click.argument("name")
def templates_edit(name: str) -> None:
    """Edit a template in your editor ($VISUAL or $EDITOR); a new one is created."""
    from ..templates import load_template

    path = files.template_path(name)
    if not path.exists():
        path.write_text("prompt: ", encoding="utf-8")
    click.edit(filename=str(path))
    load_template(name)


@templates.command("remove")
@click.argument("name")
def templates_remove(name: str) -> None:
    """Remove a template of the user's directory."""
    _existing(name).unlink()


@templates.command("rename")
@click.argument("name")
@click.argument("new_name")
def templates_rename(name: str, new_name: str) -> None:
    """Give a template another name; one that is taken is not touched."""
    path, target = _existing(name), files.template_path(new_name)
    if target.exists():
        raise LLMError(f"There is a template {new_name} already. Remove it first, or choose a name")
    path.rename(target)


def _existing(name: str) -> Path:
    path = files.template_path(name)
    if not path.is_file():
        raise NotFound(f"Template not found: {name}{suggestion(name, files.template_names())}")
    return path


@templates.command("path")
def templates_path() -> None:
    """Print the path of the templates directory."""
    say(files.templates_dir())


@templates.command("loaders")
def templates_loaders() -> None:
    """Show the loaders of templates that plugins bring."""
    import llm

    from .fragments import print_loaders

    print_loaders(llm.get_template_loaders(), apart=False, none="No template loaders found")
