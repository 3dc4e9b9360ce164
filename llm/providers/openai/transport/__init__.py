"""How requests travel, and what can go wrong on the way."""

from __future__ import annotations

import os
from collections.abc import Iterable

import llm


def http_log(secrets: Iterable[str]) -> llm.HTTPLog | None:
    """What writes every exchange to stderr, where the environment asks for it; keys are masked."""
    return llm.HTTPLog(secrets) if os.environ.get("LLM_OPENAI_SHOW_RESPONSES") else None
