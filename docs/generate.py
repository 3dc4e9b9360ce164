"""Write the pages of docs/reference/commands/ from the `--help` of every command, and the drawing
of the rooms in docs/contributing/ from the imports.

`python docs/generate.py` writes them, `--check` only compares and exits with 1 where one differs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import rooms

PAGES = Path(__file__).parent / "reference" / "commands"
HOUSE = Path(__file__).parent / "contributing" / "house.txt"
WIDTH = 88
FOOTER = "This page is made by `docs/generate.py`.\n"


def built_in_cli() -> click.Group:
    """Return the root group without the commands that installed plugins would add."""
    os.environ["LLM_LOAD_PLUGINS"] = ""
    from llm.cli import cli

    return cli


def walk(group: click.Group, parent: click.Context) -> Iterator[click.Context]:
    """Yield a context for every visible command below `group`, parents before their children."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
        yield context
        if isinstance(command, click.Group):
            yield from walk(command, context)


def contexts(cli: click.Group) -> list[click.Context]:
    """Return the contexts of the root and of every command, in the order of the help."""
    root = click.Context(cli, info_name="llm", terminal_width=WIDTH, **cli.context_settings)
    return [root, *walk(cli, root)]


def section(context: click.Context, level: int) -> str:
    """Return the Markdown of one command: its path as heading, its help as text."""
    help_text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    return f"{'#' * level} {context.command_path}\n\n```text\n{help_text}\n```\n"


def depth(context: click.Context) -> int:
    """Return how many commands stand above this one."""
    return 0 if context.parent is None else 1 + depth(context.parent)


def pages(cli: click.Group) -> dict[str, str]:
    """Return file name -> Markdown: one page a top-level command, and their index."""
    every = contexts(cli)
    texts: dict[str, list[str]] = {}
    for context in every[1:]:
        top = context.command_path.split()[1]
        texts.setdefault(top, []).append(section(context, depth(context)))
    result = {f"{name}.md": "\n".join([*parts, FOOTER]) for name, parts in texts.items()}
    names = "\n".join(texts)
    index = section(every[0], 1).replace("# llm\n", "# Commands\n", 1)
    result["index.md"] = f"{index}\n```{{toctree}}\n:maxdepth: 2\n\n{names}\n```\n\n{FOOTER}"
    return result


def stale(wanted: dict[str, str], folder: Path = PAGES) -> list[str]:
    """Return the names of the pages that are missing, differ, or belong to no command."""
    present = {page.name: page.read_text(encoding="utf-8") for page in folder.glob("*.md")}
    return sorted(name for name in wanted.keys() | present if wanted.get(name) != present.get(name))


def write(wanted: dict[str, str], folder: Path = PAGES) -> None:
    """Make the folder hold exactly the wanted pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in folder.glob("*.md"):
        if page.name not in wanted:
            page.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Write or check the pages and the drawing; return the exit code."""
    wanted = pages(built_in_cli())
    drawing = rooms.drawing()
    if "--check" not in arguments:
        write(wanted)
        HOUSE.write_text(drawing, encoding="utf-8", newline="\n")
        return 0
    paths = [PAGES / name for name in stale(wanted)]
    if not HOUSE.exists() or HOUSE.read_text(encoding="utf-8") != drawing:
        paths.append(HOUSE)
    for path in paths:
        print(f"{path} is not current. Run: python docs/generate.py", file=sys.stderr)
    return 1 if paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
