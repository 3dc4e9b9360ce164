"""Processes that fill and search one collection: killed at any moment, and several at once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import llm

from .test_collection import Fake
from .test_nearest import found, large, look, reference

__all__ = ["large"]

# Puts batches of eight in, and looks after each: what it has said to be stored has to stay.
WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from llm.embeddings import nearest
from tests.test_collection import Fake
import llm
nearest.FEW_NUMBERS = 1
name, count = sys.argv[2], int(sys.argv[4])
with llm.Collection("words", sys.argv[1], model=Fake()) as words:
    for batch in range(count):
        ids = [f"{name}-{batch}-{n}" for n in range(8)]
        words.embed_multi((entry_id, f"text {entry_id}") for entry_id in ids)
        print(*ids, flush=True)
        assert words.similar(f"text {ids[-1]}", 1)[0].id == ids[-1]
"""
ROOT = str(Path(__file__).parents[1])


def writer(path: Path, name: str, batches: int) -> subprocess.Popen[str]:
    """A process that puts so many batches in, with ids of its own."""
    command = [sys.executable, "-c", WRITER, str(path), name, ROOT, str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_at_any_moment_loses_a_batch_at_most(tmp_path: Path) -> None:
    """What was stored stays, whole batches only; the file is never taken for what it is not."""
    path, told = tmp_path / "emb.db", set[str]()
    chance = random.Random(5)
    for turn in range(4):
        process = writer(path, str(turn), 10_000)
        assert process.stdout is not None
        # It is at work; where it is then is up to chance.
        told.update(process.stdout.readline().split())
        time.sleep(chance.random() / 10)
        process.kill()
        told.update(process.communicate()[0].split())
        with llm.Collection("words", path, model=Fake()) as words:
            ids = words.ids()
        assert len(ids) % 8 == 0
        # The last line may have been cut off.
        assert len(told - set(ids)) <= 1
        look(path)
    assert len(told) >= 32


def test_two_writers_and_a_reader_lose_nothing(tmp_path: Path) -> None:
    """Each search finds what was there at one moment; in the end all is there."""
    path = tmp_path / "emb.db"
    with llm.Collection("words", path, model=Fake()) as words:
        words.embed("known", "the text that is looked for")
        writers = [writer(path, name, 12) for name in "ab"]
        looks = 0
        while any(process.poll() is None for process in writers):
            assert words.similar("the text that is looked for", 1)[0].id == "known"
            looks += 1
        assert [process.wait() for process in writers] == [0, 0]
        assert looks > 0
        vector = Fake().embed("query")
        assert words.count() == 2 * 12 * 8 + 1
        assert found(words.similar_by_vector(vector, 10)) == reference(path, vector)[:10]
        for process in writers:
            process.communicate()
