"""Replacing what a pattern matches in texts, in JSON and in the columns of tables."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from ...text import JSONObject

# Keys that stand for something else in a condensed payload.
_MARKERS = ("$", "$r", "$raw")


class Scrubber:
    """Replaces what a pattern matches.

    Args:
        pattern: What to look for.
        replacement: What to put in its place, literally.
    """

    def __init__(self, pattern: re.Pattern[str], replacement: str) -> None:
        self.pattern = pattern
        self.replacement = replacement

    def text(self, text: str) -> str:
        """`text` with every match replaced, also where it is JSON in which the match is escaped."""
        text = self._plain(text)
        return self.json(text) if "\\" in text and text.lstrip()[:1] in ("{", "[") else text

    def value(self, value: object) -> Any:
        """A JSON value with every match in a text, number or key of it replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = json.dumps(value)
            scrubbed = self.text(written)
            return value if scrubbed == written else scrubbed
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _object(self, value: JSONObject) -> JSONObject:
        if list(value) == ["$"] and isinstance(value["$"], str):
            # It stands for a text that is kept, and rewritten, elsewhere.
            return value
        return {
            key if key in _MARKERS else self.text(key): self.value(item)
            for key, item in value.items()
        }

    def json(self, text: str) -> str:
        """A JSON text with every match replaced; text that is no JSON as plain text."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self._plain(text)
        scrubbed = self.value(value)
        return text if scrubbed == value else json.dumps(scrubbed)

    def _plain(self, text: str) -> str:
        return self.pattern.sub(lambda match: self.replacement if match[0] else "", text)

    def install(self, conn: sqlite3.Connection) -> None:
        """Let SQL of a connection call `scrub_text(x)` and `scrub_json(x)`."""
        conn.create_function("scrub_text", 1, lambda x: self.text(x) if isinstance(x, str) else x)
        conn.create_function("scrub_json", 1, lambda x: self.json(x) if isinstance(x, str) else x)
