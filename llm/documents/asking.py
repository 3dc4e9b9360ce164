"""Asking about documents: what goes with the question, and what is said below the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..content import Attachment, Fragment
from ..embeddings.collection import Collection
from ..errors import LLMError, NotFound, QuoteNotFound
from ..files.config import embeddings_db
from ..material.fragments import Late
from ..terminal import show_note
from .quotes import Verdict, check
from .sources import Given, given_sources
from .store import Documents, Found

if TYPE_CHECKING:
    from ..hookspecs import FragmentContext

MOST_CHUNKS = 8
MOST_CHARACTERS = 20_000
_GO_BY = (
    "Answer from the sources below, each of which begins with its number in square brackets. "
    "Where they do not say it, say so."
)
_CITE = "Put the number of the source behind what you have from it, as in [12]."
_QUOTE = (
    "Put behind every sentence, in square brackets, the number of its source and the words of the "
    'source that it rests on, copied exactly, as in: The light turns green [12: "turns green when '
    'the battery is full"]. One sentence may have several. Answer in sentences, without lists.'
)


def question_about(name: str, *, quotes: bool) -> Late:
    """What stands for the sources of a question until it is known.

    Args:
        name: The set of documents.
        quotes: Let the model quote what each sentence rests on.

    Raises:
        NotFound: There is no such set.
    """
    with _opened(name):
        pass

    def load(rest: str, context: FragmentContext) -> list[Fragment | Attachment]:
        with _opened(name) as collection:
            found = list(_usable(Documents(collection).find(context.prompt), name))
        if not found:
            raise LLMError("nothing was found")
        intro = Fragment(f"{_GO_BY} {_QUOTE if quotes else _CITE}\n", f"docs:{name}")
        return [intro, *(chunk.source.as_fragment(chunk.name, chunk.text) for chunk in found)]

    return Late(f"--docs {name}", load)


def _opened(name: str) -> Collection:
    path = embeddings_db()
    if not os.path.exists(path) or not Collection.exists(path, name):
        raise NotFound(
            f"There are no documents {name!r}: 'llm docs list' lists those there are, "
            f"'llm docs add {name} FOLDER' makes them"
        )
    collection = Collection(name, path, create=False)
    try:
        Documents(collection)
    except LLMError:
        collection.close()
        raise
    return collection


def _usable(found: Iterable[Found], name: str) -> Iterator[Found]:
    """The best that is as it was taken in, within the bounds; a note names what is not."""
    count = characters = 0
    stale: dict[str, None] = {}
    for chunk in found:
        characters += len(chunk.text)
        if count == MOST_CHUNKS or characters > MOST_CHARACTERS:
            break
        if chunk.source.state() != "unchanged":
            stale[chunk.source.path] = None
            characters -= len(chunk.text)
            continue
        count += 1
        yield chunk
    if stale:
        show_note(
            f"Left out, as it has changed since it was added: {', '.join(stale)}. "
            f"'llm docs add {name}' takes it in again"
        )


def report(fragments: Iterable[str], answer: str, *, quotes: bool, strict: bool) -> None:
    """Tell the sources of an answer and, if wanted, what of it they have; on stderr.

    Raises:
        QuoteNotFound: With `strict`, a quote was not found, or a sentence has none.
    """
    given = list(given_sources(fragments))
    verdicts = verdicts_on(answer, given) if quotes or strict else []
    show_note("\n".join(("", *source_lines(given), *verdict_lines(verdicts))))
    if strict:
        require_found(verdicts)


def verdicts_on(answer: str, given: Iterable[Given]) -> list[Verdict]:
    """What the check says of each sentence of an answer."""
    return list(check(answer, {source.number: text for source, text in given}))


def require_found(verdicts: Iterable[Verdict]) -> None:
    """Raise `QuoteNotFound` where a quote was not found, or a sentence has none."""
    missed = [verdict for verdict in verdicts if verdict.is_found is False]
    if missed:
        bare = sum(verdict.quote is None for verdict in missed)
        raise QuoteNotFound(
            f"The answer is not borne out by its sources: quotes not found: {len(missed) - bare}, "
            f"sentences without a quote: {bare}"
        )


def source_lines(given: Sequence[Given], states: Sequence[str] = ()) -> Iterator[str]:
    """The sources for people to read, each maybe with how it is now."""
    yield "Sources:"
    for number, (source, _) in enumerate(given):
        state = f"  {states[number]}" if states else ""
        yield f"  [{source.number}] {source.place}{state}"


def verdict_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """The verdicts for people to read."""
    for number, verdict in enumerate(verdicts):
        if not number:
            yield "Quotes:"
        text = verdict.sentence.split("\n")[0]
        if verdict.quote is not None:
            text = f'[{verdict.quote.number}] "{" ".join(verdict.quote.text.split())}"'
        yield f"  {verdict.label:<11}  {text}"
