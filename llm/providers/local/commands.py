"""The commands `llm local ...`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

import llm

if TYPE_CHECKING:
    from .store import InstalledModel

SMALL_MODEL_NOTE = (
    "It has 135 million parameters: enough to try things out, too few for answers to rely on. "
    "Add a larger one with: llm local add NAME FILE.gguf|URL"
)


@click.group(name="local")
def local() -> None:
    """Models that run on this computer, without a key or a server."""


@local.command(name="install")
@click.option("--embeddings", is_flag=True, help="Install a small model that embeds texts instead.")
def install_command(embeddings: bool) -> None:
    """Install the engine and the small default model.

    Afterwards `llm "prompt"` is answered on this computer wherever no other model is chosen and
    no OpenAI key is found, and with --embeddings `llm embed` and its siblings are. What is there
    already is kept.
    """
    from . import install
    from .engine import PACKAGE
    from .store import DEFAULT_NAME, megabytes

    if embeddings:
        _install_embeddings()
        return
    if install.engine_version() is None:
        llm.say(f"Installing the engine {install.ENGINE_REQUIREMENT} ...", err=True)
        install.install_engine()
    llm.say(f"Engine: {PACKAGE} {install.engine_version()}")
    if not install.has_default_model():
        size = megabytes(install.MODEL_SIZE_BYTES)
        llm.say(f"Fetching the model {DEFAULT_NAME} ({size}) ...", err=True)
    model = install.install_default_model()
    llm.say(f"Model: {model.model_id} in {model.path}")
    llm.say(SMALL_MODEL_NOTE, err=True)


def _install_embeddings() -> None:
    from . import install
    from .store import EMBEDDING_NAME, megabytes

    if missing := install.missing_readers():
        llm.say(f"Installing {' and '.join(missing)} ...", err=True)
        install.install_readers()
    size = megabytes(install.EMBEDDING_TABLE_BYTES)
    llm.say(f"Fetching the model {EMBEDDING_NAME} ({size}), unless it is there ...", err=True)
    model = install.install_embedding_model()
    llm.say(f"Embedding model: {model.model_id} in {model.path}")


@local.command(name="add")
@click.argument("name")
@click.argument("source", metavar="FILE.gguf|URL")
@click.option("--sha256", help="Refuse the file if this is not its hash.")
@click.option("--copy", is_flag=True, help="Copy FILE into the user directory.")
@click.option("--embeddings", is_flag=True, help="The model embeds texts, and answers no prompts.")
def add_command(name: str, source: str, sha256: str | None, copy: bool, embeddings: bool) -> None:
    """Add a model: a GGUF file on this computer, or one to download.

    NAME makes the model local/NAME. A FILE stays where it is, unless it is copied. A download that
    breaks off goes on where it stopped when the same command is run again.

    \b
    Example usage:
        llm local add qwen ~/models/Qwen3-0.6B-Q8_0.gguf
        llm -m local/qwen 'Say hi'
    """
    from pathlib import Path

    from . import add

    if add.is_url(source):
        model = add.add_url(name, source, sha256, embeds=embeddings)
    else:
        path = Path(source).expanduser()
        model = add.add_file(name, path, sha256, copy, embeds=embeddings)
    llm.say(f"Added {model.model_id}: {model.path}")


@local.command(name="list")
@click.option("json_output", "--json", is_flag=True, help="Output as JSON.")
def list_command(json_output: bool) -> None:
    """List the local models, the default one first."""
    from . import store

    models = store.installed_models()
    if json_output:
        llm.say(json.dumps([_as_json(model) for model in models], indent=2))
        return
    if not models:
        llm.say("No local model is installed. Run: llm local install", err=True)
    for model in models:
        aliases = f" (aliases: {', '.join(model.aliases)})" if model.aliases else ""
        size = store.megabytes(model.size_bytes) if model.path.is_file() else "file is missing"
        kind = ", embeds" if model.embeds else ""
        llm.say(f"{model.model_id}{aliases}: {size}{kind}, {model.path}")


@local.command(name="remove")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove_command(name: str, yes: bool) -> None:
    """Remove a model, and its file if that lies in the user directory."""
    from . import add, store

    model = store.find_model(name)
    if not yes:
        path = f"{str(model.path)!r}"
        what = f"Delete {path}" if model.is_owned else f"Forget {path} (the file stays)"
        click.confirm(f"Remove {model.model_id!r}? {what}", abort=True, err=True)
    add.remove(model)
    llm.say(f"Removed {model.model_id}")
    if model.embeds:
        command, chosen = "embed-models", llm.get_default_embedding_model()
    else:
        command, chosen = "models", llm.get_default_model(default=None)
    if chosen in (model.model_id, *model.aliases):
        llm.say(
            f"It was your default model: 'llm {command} default MODEL' chooses another one",
            err=True,
        )


@local.command(name="path")
def path_command() -> None:
    """Show the folder of the local models."""
    from . import local_dir

    llm.say(local_dir())


def _as_json(model: InstalledModel) -> llm.JSONObject:
    values = asdict(model)
    shown = ("aliases", "path", "size_bytes", "sha256", "source", "is_owned", "embeds")
    return {
        "model_id": model.model_id,
        **{name: values[name] for name in shown},
        "path": str(model.path),
        "exists": model.path.is_file(),
    }
