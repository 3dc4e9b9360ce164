"""The defaults of a model that are set with `llm models options set`.

Those that say how it is called (retries, time-out, stand-ins, cutting) are kept apart from its own
options: other programs that read `model_options.json` refuse names that the model does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, InvalidInput
from ..text import JSONObject
from .config import how_to_repair, read_json_object, update_json, user_dir

TRUNCATE_CHOICES = ("oldest", "middle", "none")


class CallDefaults(NamedTuple):
    """How a model is to be called, as far as the command line or the user's file says.

    Args:
        retries: How often a failed request is sent again.
        timeout_s: The longest silence of the server, in seconds.
        fallback: Models to try where this one fails before its first token, in order.
        truncate: Which turns to leave out of a conversation that is too long.
    """

    retries: int | None = None
    timeout_s: float | None = None
    fallback: tuple[str, ...] = ()
    truncate: str | None = None


class ModelValues(NamedTuple):
    """Values by model and name in a JSON file of the user directory, as they were typed.

    A file that is not valid, or cannot be written, is a `ConfigError`.
    """

    file_name: str
    newline: bool

    @property
    def path(self) -> Path:
        """The path of the file."""
        return user_dir() / self.file_name

    def load(self) -> dict[str, dict[str, str]]:
        """All values: model id -> name -> value."""
        found = read_json_object(self.path)
        for model_id, values in found.items():
            if not isinstance(values, dict):
                problem = f"the options of {model_id!r} are no object"
                raise ConfigError(self.path, problem, how_to_repair(self.path))
        return found

    def get(self, model_id: str) -> dict[str, str]:
        """The values of one model, empty where there are none."""
        return self.load().get(model_id, {})

    def set(self, model_id: str, name: str, value: str) -> None:
        """Store a value."""

        def change(stored: JSONObject) -> None:
            stored[model_id] = {**stored.get(model_id, {}), name: value}

        self.load()
        update_json(self.path, change, indent=2, newline=self.newline)

    def clear(self, model_id: str, name: str | None = None) -> None:
        """Remove one value of a model, or all of them; absent ones are no error."""
        values = self.get(model_id)
        if not values or (name is not None and name not in values):
            return

        def change(stored: JSONObject) -> None:
            kept = stored.pop(model_id, {})
            kept.pop(name or "", None)
            if kept and name is not None:
                stored[model_id] = kept

        update_json(self.path, change, indent=2, newline=self.newline)


#: The options of a model's own.
OPTIONS = ModelValues("model_options.json", newline=False)
#: How models are called.
CALLS = ModelValues("model_defaults.json", newline=True)


def call_defaults(model_id: str) -> CallDefaults:
    """How one model is to be called; a `ConfigError` where the file has what is not allowed."""
    stored = {name: str(value) for name, value in CALLS.get(model_id).items()}
    try:
        return CallDefaults(
            retries=parse_retries(stored["retries"]) if "retries" in stored else None,
            timeout_s=parse_timeout(stored["timeout"]) if "timeout" in stored else None,
            fallback=parse_fallback(stored.get("fallback", "")),
            truncate=parse_truncate(stored["truncate"]) if "truncate" in stored else None,
        )
    except InvalidInput as error:
        remedy = f"Set it anew with 'llm models options set {model_id} NAME VALUE'"
        raise ConfigError(CALLS.path, f"{model_id}: {error}", remedy) from error


def parse_retries(text: str) -> int:
    """A number of retries, or an InvalidInput."""
    with suppress(ValueError):
        if (number := int(text)) >= 0:
            return number
    raise InvalidInput(f"retries: {text!r} is not a whole number from 0")


def parse_timeout(text: str) -> float:
    """A number of seconds above 0, or an InvalidInput."""
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    raise InvalidInput(f"timeout: {text!r} is not a number of seconds above 0")


def parse_fallback(text: str) -> tuple[str, ...]:
    """Names of models, separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_truncate(text: str) -> str:
    """Which turns to leave out of a conversation that is too long, or an InvalidInput."""
    if text not in TRUNCATE_CHOICES:
        raise InvalidInput(f"truncate: {text!r} is none of {', '.join(TRUNCATE_CHOICES)}")
    return text


#: For each default of calls what gives its value, or an InvalidInput.
PARSERS: dict[str, Callable[[str], object]] = {
    "retries": parse_retries,
    "timeout": parse_timeout,
    "fallback": parse_fallback,
    "truncate": parse_truncate,
}
