"""`llm install` and `llm uninstall`: pip, in the environment that llm runs in."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from ._group import command

# Plugins run these two on their own, and click remembers the help option of whoever asks first.
_HELP = {"help_option_names": ["-h", "--help"]}


@command("install", context_settings=_HELP)
@click.argument("packages", nargs=-1)
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade packages to the latest version.")
@click.option(
    "-e", "--editable", metavar="PATH", help="Install a project in editable mode from this path."
)
@click.option("--force-reinstall", is_flag=True, help="Reinstall packages that are up to date.")
@click.option("--no-cache-dir", is_flag=True, help="Disable pip's cache.")
@click.option("--pre", is_flag=True, help="Include pre-releases and development versions.")
def install(packages: tuple[str, ...], editable: str | None, **flags: bool) -> None:
    """Install packages, such as plugins, beside llm."""
    chosen = [f"--{name.replace('_', '-')}" for name, is_set in flags.items() if is_set]
    where = ["--editable", editable] if editable else []
    _pip("install", *chosen, *where, *packages)


@command("uninstall", context_settings=_HELP)
@click.argument("packages", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def uninstall(packages: tuple[str, ...], yes: bool) -> None:
    """Uninstall packages that are installed beside llm."""
    _pip("uninstall", *packages, *(["--yes"] if yes else []))


def _pip(*arguments: str) -> NoReturn:
    """Run pip in this environment, and end with its exit code."""
    import subprocess

    pip = subprocess.run([sys.executable, "-m", "pip", *arguments], check=False)
    raise click.exceptions.Exit(pip.returncode)
