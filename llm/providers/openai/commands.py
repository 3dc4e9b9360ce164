"""The commands of `llm openai`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .wire import Json

MODELS_URL = "https://api.openai.com/v1/models"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def openai() -> None:
    """Work with OpenAI and with compatible servers"""


@openai.command(name="models")
@click.option("json_", "--json", is_flag=True, help="Output as JSON")
@click.option("--key", help="OpenAI API key, or the name of a stored one")
def list_models(json_: bool, key: str | None) -> None:
    """List the models that your OpenAI account can use"""
    import json

    from llm.errors import LLMError
    from llm.text import dicts_to_table_string

    try:
        found = fetch_models(key)
    except LLMError as error:
        raise click.ClickException(str(error)) from error
    if json_:
        click.echo(json.dumps(found, indent=4))
        return
    rows = [_row(model) for model in found]
    for line in dicts_to_table_string(["id", "owned_by", "created"], rows):
        click.echo(line)


def fetch_models(key: str | None) -> list[Json]:
    """The models of the account that a key belongs to, as OpenAI describes them.

    Args:
        key: The key or the name of a stored one; the key `openai` where missing.

    Raises:
        NeedsKeyException: There is no key.
        ModelError: OpenAI refused, or could not be reached.
    """
    import llm

    from .faults import Endpoint
    from .lane import Call, exchange
    from .wire import malformed

    found = llm.get_key(key, "openai", "OPENAI_API_KEY")
    if not found:
        raise llm.NeedsKeyException(
            "No key found - add one using 'llm keys set openai'"
            " or set the OPENAI_API_KEY environment variable"
        )
    headers = {"authorization": f"Bearer {found.strip()}"}
    endpoint = Endpoint(MODELS_URL, key_name="openai", secrets=[found.strip()])
    answer = next(exchange(Call(endpoint, headers, None)))
    models = answer.get("data")
    if not isinstance(models, list):
        raise malformed(TypeError("data is not a list"), answer)
    return models


def _row(model: Json) -> dict[str, Any]:
    from datetime import datetime, timezone

    created = model.get("created")
    moment = ""
    if isinstance(created, (int, float)):
        moment = datetime.fromtimestamp(created, timezone.utc).isoformat()
    return {"id": model.get("id"), "owned_by": model.get("owned_by"), "created": moment}
