"""`llm install` and `llm uninstall`: pip, in the environment that llm runs in."""

from __future__ import annotations

import sys

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
@click.pass_context
def install(
    ctx: click.Context,
    packages: tuple[str, ...],
    upgrade: bool,
    editable: str | None,
    force_reinstall: bool,
    no_cache_dir: bool,
    pre: bool,
) -> None:
    """Install packages, such as plugins, beside llm."""
    flags = {
        "--upgrade": upgrade,
        "--force-reinstall": force_reinstall,
        "--no-cache-dir": no_cache_dir,
        "--pre": pre,
    }
    chosen = [flag for flag, is_set in flags.items() if is_set]
    where = ["--editable", editable] if editable else []
    ctx.exit(_pip("install", *chosen, *where, *packages))


@command("uninstall", context_settings=_HELP)
@click.argument("packages", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_context
def uninstall(ctx: click.Context, packages: tuple[str, ...], yes: bool) -> None:
    """Uninstall packages that are installed beside llm."""
    ctx.exit(_pip("uninstall", *packages, *(["--yes"] if yes else [])))


def _pip(*arguments: str) -> int:
    """Run pip in this environment; its exit code."""
    import subprocess

    return subprocess.run([sys.executable, "-m", "pip", *arguments], check=False).returncode
