"""Every HTTP exchange on stderr, when `LLM_OPENAI_SHOW_RESPONSES` asks for it; keys masked."""

from __future__ import annotations

import os
from collections.abc import Iterable

import llm


def http_log(secrets: Iterable[str]) -> llm.HTTPLog | None:
    """What writes the exchanges; `None` where the environment does not ask for them."""
    return llm.HTTPLog(secrets) if os.environ.get("LLM_OPENAI_SHOW_RESPONSES") else None
