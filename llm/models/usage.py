"""Tokens that a response cost."""

from __future__ import annotations

from dataclasses import dataclass

from ..text import JSONObject


@dataclass
class Usage:
    """Tokens read, tokens written, and the provider's own details; `None` where not known."""

    input: int | None = None
    output: int | None = None
    details: JSONObject | None = None
