"""Quotes of an answer: sentences, citations, and whether the words stand in the source."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.documents.chunks import MOST_BYTES, chunks_of
from llm.documents.quotes import check, is_found, read_answer

DOCS = Path(__file__).parent.parent / "docs"
SOURCE = (
    "To reset, hold the “red” button\nfor five sec-\nonds. It is a well-\nknown fact.\n"
    "The unit can't be unable to start."
)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("hold the 'red' button for five seconds", True),
        ("hold the  «red»\nbutton", True),
        ("five sec-\nonds", True),
        ("It is a well-known fact.", True),
        ("a wellknown fact", True),
        ("The unit can’t be", True),
        ("hold the blue button", False),
        ("Hold the red button", False),
        ("hold red button", False),
        ("able to start", False),
        ("to star", False),
        ("onds. It", False),
        ("five sec", False),
        ("", False),
        ("...", False),
    ],
)
def test_quote_is_found_by_its_words(quote: str, found: bool) -> None:
    """White space, quotation marks and hyphens at line ends are made equal, and nothing else."""
    assert is_found(quote, SOURCE) is found


def sentences(text: str) -> list[tuple[str, int]]:
    """The checked sentences, each with how many quotes it has."""
    return [(found.text, len(found.quotes)) for found in read_answer(text) if found.is_checked]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('One [1: "a"]. Two. [2: "b"] Three', [("One.", 1), ("Two.", 1), ("Three", 0)]),
        ('One.\n[1: "a"] [2: "b"]\nTwo!', [("One.", 2), ("Two!", 0)]),
        (
            'Dr. Who saw version 3.5, e.g. here [1: "a"].',
            [("Dr. Who saw version 3.5, e.g. here.", 1)],
        ),
        ("One “two?” Three (four.) Five", [("One “two?”", 0), ("Three (four.)", 0), ("Five", 0)]),
        ("一つ。二つ！", [("一つ。", 0), ("二つ！", 0)]),
        ('A [1: "it says "no" here"]. B [2, «x»]. C [3].', [("A.", 1), ("B.", 1), ("C [3].", 0)]),
        ("", []),
    ],
)
def test_answer_is_read_as_sentences(answer: str, expected: list[tuple[str, int]]) -> None:
    """A citation belongs to the sentence that it stands in or behind."""
    assert sentences(answer) == expected


def test_code_lists_headings_and_tables_are_not_checked() -> None:
    """Only prose is checked; what is passed over is marked."""
    answer = (
        '# Head\n\nProse [1: "red"].\n- item one\n  goes on\n2. two\n\n| a | b |\n\n'
        '```py\nx = 1. Y\n\nz\n```\nEnd [1: "blue"].\n\n    indented\n'
    )
    assert [(verdict.label, verdict.sentence) for verdict in check(answer, {1: SOURCE})] == [
        ("not checked", "# Head"),
        ("quote found", "Prose."),
        ("not checked", "- item one"),
        ("not checked", "goes on"),
        ("not checked", "2. two"),
        ("not checked", "| a | b |"),
        ("not checked", "```py\nx = 1. Y\n\nz\n```"),
        ("not found", "End."),
        ("not checked", "indented"),
    ]


def test_quote_of_an_unknown_source_is_not_found() -> None:
    """A number that no source has vouches for nothing."""
    assert [v.label for v in check('So [7: "red"]. Bare.', {1: SOURCE})] == [
        "not found",
        "no quote",
    ]


# Many quotes of real text


def sources() -> list[str]:
    """Pieces of this project's documentation, every third with words cut at the ends of lines."""
    dice = random.Random(1)
    found: list[str] = []
    for path in sorted(DOCS.rglob("*.md")):
        data = path.read_bytes()
        for chunk in chunks_of(data):
            text = data[chunk.start : chunk.end].decode()
            if len(text.split()) > 40:
                found.append(hyphenated(text, dice) if len(found) % 3 == 0 else text)
    return found


def hyphenated(text: str, dice: random.Random) -> str:
    """A text in which some long words are cut, as a typesetter does."""

    def cut(found: re.Match[str]) -> str:
        word = found[0]
        return f"{word[:3]}-\n{word[3:]}" if dice.random() < 0.2 else word

    return re.sub(r"\b[a-z]{7,}\b", cut, text)


def words_of(text: str) -> list[str]:
    """The words of a text as a person would read them out: an independent reading of the rule."""
    return re.sub(r"[\"'“”‘’`´]", "", re.sub(r"(?<=\w)-\n(?=\w)", "", text)).split()


def true_quotes(count: int) -> Iterator[tuple[str, str]]:
    """Words of a source as a model gives them, with other quotation marks and line ends."""
    dice, texts = random.Random(2), sources()
    while count:
        text = dice.choice(texts)
        words = re.sub(r"(?<=\w)-\n(?=\w)", "", text).split()
        start = dice.randrange(len(words) - 4)
        quote = " ".join(words[start : start + dice.randint(3, 25)])
        if dice.random() < 0.5:
            quote = quote.replace('"', "”").replace("'", "’")
        yield quote, text
        count -= 1


def changed_quotes(count: int) -> Iterator[tuple[str, str]]:
    """True quotes with a change that leaves something which stands nowhere in the source."""
    dice, texts = random.Random(3), sources()
    for quote, text in true_quotes(5 * count):
        words = quote.split()
        at = dice.randrange(len(words))
        other = dice.choice(dice.choice(texts).split())
        change = dice.randrange(6)
        if change == 0:
            words[at] = other
        elif change == 1:
            words.insert(at, dice.choice(["not", "never", "no"]))
        elif change == 2:
            del words[at]
        elif change == 3:
            words[at : at + 2] = reversed(words[at : at + 2])
        elif change == 4:
            words[at] = re.sub(r"\d", lambda found: str(9 - int(found[0])), words[at])
        else:
            words[at] = words[at][:-1] or "x"
        made, there = words_of(" ".join(words)), words_of(text)
        stands = any(
            made == there[start : start + len(made)] for start in range(len(there) - len(made) + 1)
        )
        joined = "".join(made).replace("-", "")
        if made and not stands and joined not in "".join(there).replace("-", ""):
            yield " ".join(words), text
            count -= 1
        if not count:
            return


def test_true_quotes_are_found() -> None:
    """Of 1,000 quotes of real text at least 990 are found, by way of an answer that cites them."""
    quotes = list(true_quotes(1000))
    assert len(quotes) == 1000
    found = sum(
        [verdict.is_found for verdict in check(f'So it is [4: "{quote}"].', {4: text})] == [True]
        for quote, text in quotes
    )
    assert found >= 990


def test_changed_quotes_are_not_found() -> None:
    """Of 1,000 quotes changed so that they stand nowhere in the source not one is found."""
    quotes = list(changed_quotes(1000))
    assert len(quotes) == 1000
    assert [quote for quote, text in quotes if is_found(quote, text)] == []
    assert not any(
        verdict.is_found
        for quote, text in quotes
        for verdict in check(f'So it is [4: "{quote}"].', {4: text})
    )


# Chunks


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_chunks_are_whole_lines_and_lose_nothing(path: Path) -> None:
    """Chunks are in order, not too long, name their lines, and only white space is between them."""
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    at = 0
    for chunk in chunks_of(data):
        assert not data[at : chunk.start].strip()
        assert data[chunk.start : chunk.end] == b"".join(lines[chunk.first - 1 : chunk.last])
        assert chunk.end - chunk.start <= MOST_BYTES
        at = chunk.end
    assert not data[at:].strip()


def test_chunks_begin_at_headings_and_keep_characters_whole() -> None:
    """A section is a chunk where it is long enough; a line that is too long is cut at a space."""
    text = b"# One\n\n" + b"word " * 100 + b"\n\n# Two\n\n" + b"word " * 100 + b"\n"
    assert [text[chunk.start :][:5] for chunk in chunks_of(text)] == [b"# One", b"# Two"]
    long = "\u00e9\u4e2d" * 3000
    pieces = [long.encode()[c.start : c.end].decode() for c in chunks_of(long.encode())]
    assert "".join(pieces) == long
    assert list(chunks_of(b" \n\n")) == []
