"""Every HTTP exchange on stderr, when `LLM_OPENAI_SHOW_RESPONSES` asks for it; keys masked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import llm


def is_wanted() -> bool:
    """Whether the environment asks for the exchanges."""
    return bool(os.environ.get("LLM_OPENAI_SHOW_RESPONSES"))


@contextmanager
def showing(secrets: Iterable[str] = ()) -> Iterator[Callable[[bytes], None] | None]:
    """A function that writes the next piece of a reply's body; `None` where nobody asked for it."""
    if is_wanted():
        with llm.HTTPLog(secrets).body() as write:
            yield write
    else:
        yield None
