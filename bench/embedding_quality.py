"""How well the local embedding models find what is meant: 60 questions, each with its one answer.

The pairs are our own (`data/pairs.tsv`, free for any use). A question shares few words with its
answer, so looking for words finds little. A model is asked for both; all answers are ranked by the
cosine. `--small-model` adds the chat model of `llm local install`, which was not made for this.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import llm
from llm.providers.local import add, install

PAIRS = Path(__file__).parent / "data" / "pairs.tsv"
# The least that the model of `llm local install --embeddings` has to reach.
LEAST_FIRST, LEAST_OF_THREE = 0.7, 0.9


def pairs() -> list[tuple[str, str]]:
    """The questions, each with its answer."""
    lines = PAIRS.read_text(encoding="utf-8").splitlines()
    return [(question, answer) for question, _, answer in (line.partition("\t") for line in lines)]


def places(count: int, score: Callable[[int, int], float]) -> list[float]:
    """The place of each question's own answer among all answers, from 1; equals share theirs."""
    found = []
    for question in range(count):
        scores = [score(question, other) for other in range(count)]
        own = scores[question]
        found.append(0.5 + sum((other > own) + (other == own) / 2 for other in scores))
    return found


def places_by(model: llm.EmbeddingModel) -> list[float]:
    """The places that an embedding model gives."""
    questions, answers = (list(model.embed_multi(texts)) for texts in zip(*pairs(), strict=True))
    return places(
        len(answers), lambda one, two: llm.cosine_similarity(questions[one], answers[two])
    )


def places_by_words() -> list[float]:
    """The places that common words give, the rarer a word the more it counts."""
    questions, answers = (
        [set(re.findall(r"\w+", text.lower())) for text in texts]
        for texts in zip(*pairs(), strict=True)
    )
    seen = Counter(word for words in answers for word in words)
    return places(
        len(answers),
        lambda one, two: sum(
            math.log((len(answers) + 1) / seen[word]) for word in questions[one] & answers[two]
        ),
    )


def show(name: str, found: list[float]) -> tuple[float, float]:
    """Print a line, and give the shares of first and of first to third places."""
    first, third = (sum(place <= most for place in found) / len(found) for most in (1, 3))
    rank = sum(1 / place for place in found) / len(found)
    print(f"{name:<24} first {first:.2f}  among three {third:.2f}  mean reciprocal rank {rank:.2f}")
    return first, third


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small-model", action="store_true", help="also the small chat model")
    given = parser.parse_args()
    with TemporaryDirectory() as folder, mock.patch.dict("os.environ", LLM_USER_PATH=folder):
        install.install_readers()
        install.install_embedding_model()
        first, third = show("local/wordllama", places_by(llm.get_embedding_model("wordllama")))
        show("common words", places_by_words())
        if given.small_model:
            install.install_engine()
            path = Path(folder, "small.gguf")
            install.fetch_default_model(path)
            add.add_file("small", path, embeds=True)
            show("local/smollm2-135m", places_by(llm.get_embedding_model("local/small")))
    return 0 if first >= LEAST_FIRST and third >= LEAST_OF_THREE else 1


if __name__ == "__main__":
    sys.exit(main())
