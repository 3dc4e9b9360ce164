"""Looking something up in the log by its meaning, for the commands that list it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..errors import LLMError
from ..terminal import show_note
from ._logs import counting, database_path
from ._options import option

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection

    from ..models.embedding import EmbeddingModel

    # What gives the nearest turns: called with how many are wanted, all if negative, and the ids
    # to choose from, if not from all.
    Nearest = Callable[[int, Collection[str] | None], dict[str, float]]

like_option = option("--like", metavar="TEXT", help="Those closest in meaning to TEXT, best first.")
embedding_model_option = option(
    "--embedding-model",
    "embedding_model",
    metavar="MODEL",
    help="With --like: the model that embeds. Default: one that runs on this computer.",
)
# What is said of texts whose tokens nobody has counted.
_CHARACTERS_PER_TOKEN = 4


def nearest_turns(
    conn: sqlite3.Connection, database: str | None, text: str, model_name: str | None
) -> Nearest:
    """What gives the ids of the turns nearest to a text, best first, and their scores.

    Turns that the model does not know yet are embedded first.

    Raises:
        LLMError: There is no model for it, or nobody who agrees that a remote one gets the turns.
    """
    from ..embeddings.log_turns import LogTurns
    from ..files.config import embeddings_db_path

    model = _chosen(model_name)
    turns = LogTurns(conn, database_path(database), str(embeddings_db_path()), model)
    if missing := turns.missing():
        if not _is_local(model):
            _ask(model, len(missing), turns.size_of(missing))
        if sys.stderr.isatty():
            show_note(f"Embedding {len(missing):,} turns with {model.model_id}")
        turns.take_in(missing, counting(len(missing), "turns"))
    return lambda number, ids: {
        entry.id: entry.score or 0.0 for entry in turns.nearest(text, number, ids)
    }


def _is_local(model: EmbeddingModel) -> bool:
    return bool(getattr(model, "answers_without_key", False))


def _chosen(name: str | None) -> EmbeddingModel:
    """The model that is named; else the default one if it is local, else any local one."""
    import llm

    from ..registry.embedding import resolve_default_embedding_model

    if name:
        return llm.get_embedding_model(name)
    default = resolve_default_embedding_model()
    entries = llm.get_embedding_models_with_aliases()
    local = [entry.model for entry in entries if _is_local(entry.model)]
    if not local:
        raise LLMError(
            "No embedding model runs on this computer: 'llm local install --embeddings' brings a "
            "small one. With --embedding-model another one gets the turns of the log"
        )
    return next((model for model in local if model.model_id == default), local[0])


def _ask(model: EmbeddingModel, count: int, size: int) -> None:
    """Say what goes out, and let the person agree."""
    from ..terminal.asking import confirm

    price = getattr(model, "usd_per_million_tokens", None)
    cost = ""
    if price is not None:
        usd = size / _CHARACTERS_PER_TOKEN / 1e6 * price
        cost = f", for about ${usd:.2f}" if usd >= 0.01 else ", for less than a cent"
    question = f"Send {count:,} turns of the log, {size:,} characters, to {model.model_id}{cost}?"
    answer = confirm(question)
    if answer is None:
        raise LLMError(f"{question} Nobody can be asked: run the command at a terminal")
    if not answer:
        raise LLMError("Nothing was sent")
