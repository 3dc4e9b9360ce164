"""Defaults of a model that say how it is called: retries, time-out, stand-ins, cutting.

They are set with `llm models options set`, like the model's own options, and kept apart from them
in `model_defaults.json`: other programs that read `model_options.json` refuse names that the model
does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, InvalidInput
from .config import JSONObject, read_json_object, update_json, user_dir

NAMES = ("retries", "timeout", "fallback", "truncate")
TRUNCATE_CHOICES = ("oldest", "middle", "none")


@dataclass(frozen=True)
class CallDefaults:
    """How a model is to be called, where the command line does not say.

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


def model_defaults_path() -> Path:
    """The path of `model_defaults.json`."""
    return user_dir() / "model_defaults.json"


def load_model_defaults() -> dict[str, dict[str, str]]:
    """The stored defaults: model id -> name -> value as it was typed.

    Raises:
        ConfigError: `model_defaults.json` is not valid.
    """
    path = model_defaults_path()
    found: dict[str, dict[str, str]] = {}
    for model_id, values in read_json_object(path).items():
        if not isinstance(values, dict):
            raise ConfigError(path, f"the defaults of {model_id!r} are no object", "Correct them")
        found[model_id] = {name: str(value) for name, value in values.items()}
    return found


def call_defaults(model_id: str) -> CallDefaults:
    """How one model is to be called.

    Raises:
        ConfigError: `model_defaults.json` is not valid, or a value in it is not allowed.
    """
    stored = load_model_defaults().get(model_id, {})
    try:
        return CallDefaults(
            retries=parse_retries(stored["retries"]) if "retries" in stored else None,
            timeout_s=parse_timeout(stored["timeout"]) if "timeout" in stored else None,
            fallback=parse_fallback(stored.get("fallback", "")),
            truncate=parse_truncate(stored["truncate"]) if "truncate" in stored else None,
        )
    except InvalidInput as error:
        remedy = f"Set it anew with 'llm models options set {model_id} NAME VALUE'"
        raise ConfigError(model_defaults_path(), f"{model_id}: {error}", remedy) from error


def set_model_default(model_id: str, name: str, value: str) -> None:
    """Store a default of a model.

    Raises:
        InvalidInput: The value is not allowed.
        ConfigError: `model_defaults.json` is not valid or cannot be written.
    """
    _PARSERS[name](value)

    def change(stored: JSONObject) -> None:
        values = stored.setdefault(model_id, {})
        if isinstance(values, dict):
            values[name] = value

    load_model_defaults()
    update_json(model_defaults_path(), change, indent=2, newline=True)


def clear_model_default(model_id: str, name: str | None = None) -> None:
    """Remove one stored default of a model, or all of them; absent ones are no error.

    Raises:
        ConfigError: `model_defaults.json` is not valid or cannot be written.
    """
    stored = load_model_defaults().get(model_id, {})
    if not stored or (name is not None and name not in stored):
        return
    remaining = {known: stored[known] for known in stored if name not in (None, known)}

    def change(content: JSONObject) -> None:
        content.pop(model_id, None)
        if remaining:
            content[model_id] = remaining

    update_json(model_defaults_path(), change, indent=2, newline=True)


def parse_retries(text: str) -> int:
    """A number of retries.

    Raises:
        InvalidInput: It is no whole number from 0.
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidInput(f"retries: {text!r} is not a whole number from 0")
    return number


def parse_timeout(text: str) -> float:
    """A number of seconds.

    Raises:
        InvalidInput: It is no number above 0.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidInput(f"timeout: {text!r} is not a number of seconds above 0")
    return seconds


def parse_fallback(text: str) -> tuple[str, ...]:
    """Names of models, separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_truncate(text: str) -> str:
    """Which turns to leave out of a conversation that is too long.

    Raises:
        InvalidInput: It is none of the choices.
    """
    if text not in TRUNCATE_CHOICES:
        raise InvalidInput(f"truncate: {text!r} is none of {', '.join(TRUNCATE_CHOICES)}")
    return text


_PARSERS = {
    "retries": parse_retries,
    "timeout": parse_timeout,
    "fallback": parse_fallback,
    "truncate": parse_truncate,
}
