"""`llm tools`: which tools there are for models to call."""

from __future__ import annotations

import click

from ..terminal import print_json, say
from . import _options as shared
from ._group import group, json_flag


@group()
def tools() -> None:
    """List tools that models can call."""


@tools.command("list")
@click.argument("tool_defs", nargs=-1, metavar="[TOOL]...")
@json_flag
@click.option("-m", "--model", "model_id", help="Add the tools that this model's provider runs.")
@shared.functions_option
def tools_list(
    tool_defs: tuple[str, ...], json_: bool, model_id: str | None, python_tools: tuple[str, ...]
) -> None:
    """List the available tools, or only those named.

    \b
        llm tools
        llm tools llm_time 'SQLite("data.db")'
        llm tools --functions 'def shout(text: str): return text.upper()'
    """
    import llm

    from ..material.tools import tools_from_code
    from ._tools import Listing

    functions = [tool for code in python_tools for tool in tools_from_code(code)]
    model = None if model_id is None else llm.get_model(model_id)
    listing = Listing(tool_defs, functions, model)
    if json_:
        print_json(listing.as_json())
        return
    for line in listing.lines():
        say(line)
