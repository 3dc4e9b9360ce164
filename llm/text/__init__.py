"""Texts: shortening, ids, times, media types, JSON of any length, and keys that are never shown."""

from typing import Any

#: An object of JSON, as Python has it: texts to JSON values.
JSONObject = dict[str, Any]
