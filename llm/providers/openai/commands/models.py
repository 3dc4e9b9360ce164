"""The commands of `llm openai`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import llm

from .endpoint import header_option, responses_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from ..wire.shapes import Json

    Command = TypeVar("Command", bound=Callable[..., object])


def _read_key(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return llm.key_argument(value)
    except llm.InvalidInput as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _key_option(meaning: str) -> Callable[[Command], Command]:
    """The option `--key`, read before anything else reads standard input."""
    sources = "@FILE, or - for the first line of stdin"
    return click.option(
        "--key",
        is_eager=True,
        callback=_read_key,
        help=f"{meaning}, the name of a stored one, {sources}.",
    )


@click.command(name="models")
@click.option("json_", "--json", is_flag=True, help="Output as JSON")
@_key_option("OpenAI API key")
def list_models(json_: bool, key: str | None) -> None:
    """List the models that your OpenAI account, or the server at $OPENAI_BASE_URL, has."""
    import json

    from llm.utils import dicts_to_table_string

    found = fetch_models(key)
    if json_:
        llm.say(json.dumps(found, indent=4))
        return
    rows = [_row(model) for model in found]
    for line in dicts_to_table_string(["id", "owned_by", "created"], rows):
        llm.say(line)


def fetch_models(key: str | None) -> list[Json]:
    """The models of the account of a key, or of the one stored by its name; `openai` where missing.

    Raises:
        NeedsKeyException: There is no key.
        ModelError: OpenAI refused, or could not be reached.
    """
    from ..addresses import address_of
    from ..transport.fast import Call, exchange
    from ..transport.faults import Endpoint
    from ..wire.shapes import listed_models

    found = llm.get_key(key, "openai", "OPENAI_API_KEY")
    if not found:
        raise llm.NeedsKeyException(
            "No key found - add one using 'llm keys set openai'"
            " or set the OPENAI_API_KEY environment variable"
        )
    headers = {"authorization": f"Bearer {found.strip()}"}
    endpoint = Endpoint(address_of("models"), key_name="openai", secrets=[found.strip()])
    return listed_models(next(exchange(Call(endpoint, headers, None))))


def _row(model: Json) -> dict[str, object]:
    from datetime import datetime, timezone

    created = model.get("created")
    moment = ""
    if isinstance(created, (int, float)):
        moment = datetime.fromtimestamp(created, timezone.utc).isoformat()
    return {"id": model.get("id"), "owned_by": model.get("owned_by"), "created": moment}


_IS_KNOWN = "Say so instead of having it found out."


@click.command(name="add")
@click.argument("name")
@click.option("--base-url", required=True, help="Address of the server, such as http://host/v1.")
@click.option("-m", "--model", "model_name", help="Name of the model at the server.")
@_key_option("Key for the server, which will be stored")
@header_option
@click.option("-a", "--alias", "aliases", multiple=True, help="Another name for the model.")
@responses_option
@click.option("--embedding", is_flag=True, help="Add it as an embedding model.")
@click.option("--tools/--no-tools", default=None, help=f"It can call tools. {_IS_KNOWN}")
@click.option("--schema/--no-schema", default=None, help=f"It keeps to schemas. {_IS_KNOWN}")
@click.option("--vision/--no-vision", default=None, help=f"It takes images. {_IS_KNOWN}")
@click.option("--audio", is_flag=True, help="It takes audio.")
@click.option("--reasoning", is_flag=True, help="It has the options for reasoning.")
@click.option("-e", "--edit", is_flag=True, help="Edit the entry before it is written.")
@click.option("-y", "--yes", is_flag=True, help="Write the entry without asking.")
def add(edit: bool, yes: bool, **given: Any) -> None:
    """Add a model of a compatible server as NAME.

    The server is asked for its models and, by a few small requests, what the model can do: call
    tools, keep to a JSON schema, see images, make embeddings. What was found is shown, and on a
    terminal may be edited, before it is written to extra-openai-models.yaml.

    \b
    Example usage:
        llm openai add qwen --base-url http://localhost:8080/v1
        llm openai add big --base-url https://gateway.example.com/v1 --key sk-... -m big-model
    """
    from ..catalog import extra_models_path
    from .adding import Addition, check, is_there, make_entry, write

    wanted = Addition(**given)
    if is_there(wanted):
        _note(f"{wanted.name} is there already, and stays as it is: {extra_models_path()}")
        return
    check(wanted)
    entry = _reviewed(make_entry(wanted, _choose, _note), edit=edit, yes=yes)
    path = write(wanted, entry)
    name = entry["model_id"]
    first_use = f"llm -m {name} 'Hello'"
    if entry.get("embedding"):
        first_use = f"llm.get_embedding_model({name!r}).embed('Hello') in Python"
    _note(f"Written to {path}. Try it: {first_use}")


def _note(text: str) -> None:
    llm.say(text, err=True)


def _choose(names: Sequence[str]) -> str:
    if not _is_interactive():
        names_text = ", ".join(names)
        raise llm.NotFound(f"The server has several models: {names_text}. Choose one with --model")
    for number, name in enumerate(names, 1):
        _note(f"{number:4} {name}")
    number = click.prompt("Number of the model", type=click.IntRange(1, len(names)), err=True)
    return names[number - 1]


def _is_interactive() -> bool:
    import sys

    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _reviewed(entry: Json, *, edit: bool, yes: bool) -> Json:
    """The entry as the user wants it."""
    from .adding import checked, entry_from, entry_text

    while True:
        if edit and (text := click.edit(entry_text(entry), extension=".yaml")) is not None:
            entry = entry_from(text)
            checked(entry)
        llm.say(entry_text(entry).rstrip("\n"))
        if yes or not _is_interactive():
            return entry
        choice = click.prompt(
            "Write this? yes, no, edit", type=click.Choice(["y", "n", "e"]), default="y", err=True
        )
        if choice == "n":
            raise click.Abort
        if choice == "y":
            return entry
        edit = True
