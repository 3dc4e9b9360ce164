"""The ids that names stand for, and the aliases that the user gives to models."""

from __future__ import annotations

from contextlib import suppress

from ..errors import AliasNotFound, UnknownModelError
from ..files import config
from ..text import JSONObject
from . import look_up
from .embedding import look_up_embedding


def resolve_model_id(name: str) -> str:
    """The id of the chat model, else of the embedding model, with that name; else the name."""
    with suppress(UnknownModelError):
        return look_up(name)[1][0].model_id if name else name
    for entry in look_up_embedding(name)[0]:
        return entry.model_id
    return name


def set_alias(alias: str, model_id_or_alias: str) -> None:
    """Store an alias in `aliases.json`.

    Args:
        alias: The new name.
        model_id_or_alias: A chat or embedding model; what nobody knows is stored as it is.

    Raises:
        ConfigError: `aliases.json` is not valid or cannot be written.
    """
    added = {alias: resolve_model_id(model_id_or_alias)}
    config.update_json(
        config.aliases_path(), lambda aliases: aliases.update(added), indent=4, newline=True
    )


def remove_alias(alias: str) -> None:
    """Remove an alias from `aliases.json`.

    Raises:
        AliasNotFound: There is no such alias, or no such file; it is a KeyError.
        ConfigError: `aliases.json` is not valid or cannot be written.
    """
    path = config.aliases_path()
    if not path.exists():
        raise AliasNotFound("No aliases.json file exists")

    def change(aliases: JSONObject) -> None:
        if alias not in aliases:
            raise AliasNotFound(f"No such alias: {alias}")
        del aliases[alias]

    config.update_json(path, change, indent=4, newline=True)
