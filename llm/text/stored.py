"""Values as they can be stored: whatever a server or a plugin gives, the log takes, and every
reader of it."""

from __future__ import annotations

from typing import Any

from .secrets import storable

#: So many lists and objects may lie within each other. SQLite and Python read some hundreds more.
MOST_LEVELS = 200
TOO_DEEP = "(nested too deeply to be kept)"
# Python refuses to read a longer number, for the time that it takes.
_MOST_BITS = 4096


def storable_value(value: object) -> Any:
    """`value` in JSON values that can be stored: every text as `storable` gives it.

    What JSON has no form for becomes its `str()`, and `None` where it is no number at all
    (`NaN`, `Infinity`); a number of a thousand digits becomes a text, and so does what is nested
    too deeply or contains itself.
    """
    return _storable(value, ())


def _storable(value: object, above: tuple[int, ...]) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (dict, list, tuple)):
        if len(above) == MOST_LEVELS or id(value) in above:
            return TOO_DEEP
        above = (*above, id(value))
        if isinstance(value, dict):
            return {_key(key): _storable(item, above) for key, item in value.items()}
        return [_storable(item, above) for item in value]
    return _single(value)


def _single(value: object) -> object:
    """A value that is neither text nor made of others."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else hex(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return storable(said_by(value))


def _key(key: object) -> object:
    is_plain = key is None or isinstance(key, (bool, int, float))
    return _single(key) if is_plain else storable(said_by(key))


def said_by(value: object) -> str:
    """`str(value)`; the name of its class where that fails, as it may with somebody else's."""
    try:
        return str(value)
    except Exception:  # whatever somebody else's class raises
        return f"<{type(value).__name__}>"


def shown_as(value: object) -> str:
    """`repr(value)`; the name of its class where that fails."""
    try:
        return repr(value)
    except Exception:  # as above
        return f"<{type(value).__name__}>"


def storable_count(value: object) -> int | None:
    """A number of tokens as a whole number that a column holds; `None` for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None
