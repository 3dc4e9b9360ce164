"""`llm install` and `llm uninstall`: pip, or uv, in the environment that llm runs in."""

from __future__ import annotations

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
    from ..plugin_index.installed import note_installed

    chosen = [f"--{name.replace('_', '-')}" for name, is_set in flags.items() if is_set]
    where = ["--editable", editable] if editable else []
    run("install", *chosen, *where, *packages)
    note_installed(packages)


@command("uninstall", context_settings=_HELP)
@click.argument("packages", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def uninstall(packages: tuple[str, ...], yes: bool) -> None:
    """Uninstall packages that are installed beside llm."""
    from ..plugin_index.installed import note_removed

    run("uninstall", *packages, *(["--yes"] if yes else []))
    note_removed(packages)


def run(*arguments: str) -> None:
    """Run pip in this environment; where it fails, end with its exit code."""
    from ..registry.installing import run_installer

    code = run_installer(*arguments)
    if code:
        raise click.exceptions.Exit(code)
