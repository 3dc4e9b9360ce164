"""Processor time of `llm similar` and `llm embed-multi`: whole processes, less that of a start.

The vectors are random, of 384 and 1,536 numbers; the model costs next to nothing. A start is
`llm collections` on an empty database. `--large` adds a million vectors, which takes 0.36 a minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _measure import Figure, alternate, finish, report, show, start, user_paths
from _setup import Environment, environments, install

PLUGIN = """
import llm

class Vectors(llm.EmbeddingModel):
    model_id = "bench-vectors"

    def embed_batch(self, items):
        for item in items:
            yield [float(len(item))] * 384

@llm.hookimpl
def register_embedding_models(register):
    register(Vectors())
"""
# With our tables, which are those of 0.36.
FILL = """
import sqlite3, sys
import numpy as np
from llm.embeddings.opening import open_embeddings

path, count, dimensions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
conn = open_embeddings(path)
conn.execute("insert into collections (name, model) values ('c', 'bench-vectors')")
random = np.random.default_rng(1)
sql = "insert into embeddings (collection_id, id, embedding, content_hash) values (1, ?, ?, ?)"
for at in range(0, count, 10_000):
    block = random.standard_normal((10_000, dimensions), dtype=np.float32)
    rows = ((f"id{at + n:07}", block[n].tobytes(), random.bytes(16)) for n in range(10_000))
    conn.executemany(sql, rows)
    conn.commit()
conn.commit()
conn.close()
"""


def plugin_in(folder: Path) -> None:
    """Write the plugin with the metadata that pip would write."""
    (folder / "llm_bench_vectors.py").write_text(PLUGIN)
    metadata = folder / "llm_bench_vectors-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: llm-bench-vectors\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text("[llm]\nbench = llm_bench_vectors\n")


class Bench:
    """Both programs, their user directories and the plugin."""

    def __init__(
        self, theirs: Environment, ours: Environment, users: list[Path], runs: int
    ) -> None:
        self.both = {theirs.name: (theirs, users[0]), ours.name: (ours, users[1])}
        self.theirs, self.ours, self.runs = theirs, ours, runs
        self.folder = users[0].parent
        self.figures: list[Figure] = []
        plugin_in(self.folder)
        self.empty = self.filled(0, 384)
        self.start = self.measure(
            lambda environment: self.cpu(environment, "collections", "-d", str(self.empty)), runs
        )

    def filled(self, count: int, dimensions: int) -> Path:
        """A database with so many vectors."""
        path = self.folder / f"{count}x{dimensions}.db"
        command = [self.ours.python, "-c", FILL, str(path), str(count), str(dimensions)]
        subprocess.run(command, check=True)
        return path

    def cpu(self, environment: Environment, *arguments: str) -> float:
        """The processor time of a command."""
        user = self.both[environment.name][1]
        command = [environment.llm, *arguments]
        return finish(start(command, user, PYTHONPATH=str(self.folder)))

    def measure(self, run: Callable[[Environment], float], runs: int) -> tuple[float, float]:
        """The medians of both."""
        return alternate(partial(run, self.theirs), partial(run, self.ours), runs, warm=False)

    def compare(
        self, name: str, run: Callable[[Environment], float], limit: float, runs: int = 0
    ) -> None:
        """Take down how ours compares, the starts left out."""
        theirs, ours = self.measure(run, runs or self.runs)
        theirs, ours = theirs - self.start[0], ours - self.start[1]
        show(name, theirs, ours)
        self.figures.append(Figure(name, ours / theirs, limit))

    def similar(self, path: Path, environment: Environment, *, first: bool = False) -> float:
        """The processor time of a search, with the file beside the database or without."""
        if first:
            for file in path.parent.glob(f"{path.name}-vectors-*"):
                file.unlink()
        return self.cpu(environment, "similar", "c", "id0000007", "-d", str(path))

    def embed_multi(self, source: Path, environment: Environment) -> float:
        """The processor time of filling a new database."""
        path = self.folder / "filled.db"
        for file in path.parent.glob("filled.db*"):
            file.unlink()
        command = ("embed-multi", "c", str(source), "-m", "bench-vectors", "-d", str(path))
        return self.cpu(environment, *command)


def main() -> int:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default %(default)s)")
    parser.add_argument("--large", action="store_true", help="also a million vectors")
    given = parser.parse_args()
    theirs, ours = environments()
    install(ours, "numpy")
    with user_paths(theirs, ours) as users:
        bench = Bench(theirs, ours, users, given.runs)
        for count, dimensions, first, following in (
            (100_000, 384, 0.6 / 5.4, 0.15 / 5.4),
            (100_000, 1536, 2 / 18.5, 0.25 / 18.5),
        ):
            path = bench.filled(count, dimensions)
            name = f"similar, {count:,} x {dimensions:,}"
            bench.compare(f"{name}, first", partial(bench.similar, path, first=True), first)
            bench.compare(f"{name}, next", partial(bench.similar, path), following)
            path.unlink()
        source = bench.folder / "rows.csv"
        lines = (f"{n},text number {n}\n" for n in range(20_000))
        source.write_text("id,text\n" + "".join(lines))
        bench.compare("embed-multi, 20,000 rows", partial(bench.embed_multi, source), 0.5)
        if given.large:
            path = bench.filled(1_000_000, 384)
            bench.similar(path, ours)
            bench.compare(
                "similar, 1,000,000 x 384, next", partial(bench.similar, path), 0.5 / 55, 1
            )
        return report(bench.figures)


if __name__ == "__main__":
    sys.exit(main())
