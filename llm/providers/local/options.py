"""The options of a local model."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import llm

if TYPE_CHECKING:
    from llm import Options

DEFAULT_CONTEXT = 4096
# Threads of the engine spin while they wait for each other: where every core is busy, two threads
# gave 2.5 tokens a second and one gave 30. Half of the cores leaves room for everything else.
MAX_DEFAULT_THREADS = 4


def default_threads() -> int:
    """How many threads the engine gets when nobody says: half of the usable cores, 1 to 4."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(MAX_DEFAULT_THREADS, cores // 2))


def build_options() -> type[Options]:
    """The pydantic class of the options, made when somebody gives one or asks for the list."""
    from pydantic import Field

    optional = partial(Field, default=None)

    class LocalOptions(llm.Options):
        """Options of local models. `context` and `threads` are set when the model is loaded."""

        temperature: float | None = optional(
            ge=0,
            le=2,
            description="How freely the next token is drawn; 0 always takes the likeliest.",
        )
        max_tokens: int | None = optional(
            ge=1, description="Tokens after which the answer is cut off."
        )
        top_p: float | None = optional(
            ge=0,
            le=1,
            description="Draw only from the likeliest tokens that together reach this share.",
        )
        seed: int | None = optional(
            ge=0,
            le=2**32 - 1,
            description="Start of the random numbers: the same seed repeats the same draws.",
        )
        threads: int | None = optional(
            ge=1, le=512, description="Processor threads; by default half of the cores, at most 4."
        )
        context: int | None = optional(
            ge=128,
            description=f"Tokens that prompt and answer may have; {DEFAULT_CONTEXT} by default.",
        )

    LocalOptions.__qualname__ = "LocalOptions"
    return LocalOptions
