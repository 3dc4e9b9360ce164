"""`llm embed-multi` at a terminal: progress, and the question before entries are removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llm

from .helpers.terminal import at_terminal

LAUNCHER = [sys.executable, "-m", "llm"]
PLUGIN = """
import llm

class Quick(llm.EmbeddingModel):
    model_id = "quick"

    def embed_batch(self, items):
        for item in items:
            yield [1.0, float(len(item))]

@llm.hookimpl
def register_embedding_models(register):
    register(Quick())
"""


@pytest.fixture
def source(tmp_path: Path, install_plugin: Callable[..., Path]) -> Path:
    """A file of three rows; the model `quick` is installed."""
    install_plugin("llm-quick", PLUGIN)
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{n},text {n}\n" for n in range(3)))
    return path


def test_progress_at_a_terminal(source: Path) -> None:
    """How far it is, how many rows, the rate and the time left are shown."""
    arguments = ("embed-multi", "c", str(source), "-m", "quick")
    with at_terminal(*arguments, launcher=LAUNCHER) as (process, terminal):
        shown = terminal.rest()
        assert process.wait() == 0
    assert all(text in shown for text in ("Embedding", "100%", "3 rows, ", "/s,", "left"))


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("n", 3), ("", 3)])
def test_prune_asks_at_a_terminal(source: Path, user_path: Path, answer: str, left: int) -> None:
    """The number of entries is shown; they go after a yes, and stay after anything else."""
    arguments = ("embed-multi", "c", str(source), "-m", "quick", "--prefix", "p/")
    with at_terminal(*arguments, launcher=LAUNCHER) as (process, terminal):
        terminal.rest()
        assert process.wait() == 0
    source.write_text("id,text\n0,text 0\n")
    with at_terminal(*arguments, "--prune", launcher=LAUNCHER) as (process, terminal):
        terminal.wait_for("Remove 2 entries from c? [y/N]: ")
        terminal.type(f"{answer}\r")
        terminal.rest()
        assert process.wait() == 0
    with llm.Collection("c", user_path / "embeddings.db") as collection:
        assert collection.count() == left
