"""Quotes in an answer: what each sentence cites, and whether it stands in what it cites.

A citation is the number of a source and words in quotation marks, in square brackets:
`[12: "hold the red button"]`. It belongs to the sentence that it stands in or behind.

Sentences are told by a rule: a paragraph, without its citations, ends a sentence at `.`, `!`, `?`,
`…` and their like of other writings, with what closes quotation marks or brackets, where white
space or the end follows; not behind a single letter, such as an initial, or a few abbreviations
(Mr, Dr, vs and their like), and not where the next word begins with a small letter. Blocks of code,
headings, tables and the items of lists are not checked.

A quote is found where its words stand in the bytes of its source, one behind the other, and begin
and end where words do. White space is all one, so are quotation marks, and a hyphen at the end of a
line may be there or not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_MARKS = "\"“”„‟«»‹›‘’‚‛'`´′″「」『』"
_MARK = f"[{re.escape(_MARKS)}]"
_BEGIN = rf"\[\s*\d+\s*[:,]?\s*{_MARK}"
# A quote ends at the last mark and bracket before the next one begins: what has them itself is not
# to be found by its beginning alone.
CITATION = re.compile(
    rf"\[\s*(?P<number>\d+)\s*[:,]?\s*{_MARK}(?P<quote>(?:(?!{_BEGIN}|\n\s*\n).)*){_MARK}\s*\]",
    re.DOTALL,
)
_ALL_MARKS = str.maketrans(dict.fromkeys(_MARKS, "'") | {"\u00ad": None})
_LINE_HYPHEN = re.compile(r"(?<=\w)[-\u2010][ \t]*\r?\n\s*(?=\w)")
# Stands for a hyphen at the end of a line.
_MAYBE = "\x01"
_FENCE = re.compile(
    r"^ {0,3}(```|~~~)[^\n]*\n(?:.*?\n)?(?: {0,3}\1[^\n]*(?:\n|\Z)|\Z)", re.M | re.S
)
_NO_PROSE = re.compile(
    r"\s*(?:[-*+•]\s|\d+[.)]\s|#{1,6}\s|\||>?\s*$|(?:[-*_]\s*){3,}$)|(?: {4}|\t)"
)
# Stands for a citation that was taken out, with its place in the list.
_TAKEN = re.compile("\x02(\\d+)\x03")
_END = re.compile(
    rf"[.!?…]+[{re.escape(_MARKS)})\]*_]*(?:[ \t]*\x02\d+\x03)*[.!?…]*(?=\s|\Z)"
    rf"|[。！？]+[{re.escape(_MARKS)}）]*(?:\s*\x02\d+\x03)*"
)
# A single letter, or an abbreviation that stands before a name or a number.
_INITIAL = re.compile(r"(?:^|[\s(.])(?:\w|Mr|Mrs|Ms|Dr|Prof|St|Fig|vs|cf|ca|bzw)\.$")


class Quote(NamedTuple):
    """Words that an answer cites.

    Attributes:
        number: The number of the source.
        text: The words.
    """

    number: int
    text: str


class Sentence(NamedTuple):
    """A sentence of an answer.

    Attributes:
        text: The sentence, without its citations.
        quotes: What it cites.
        is_checked: Whether it is a sentence at all, and not code or the item of a list.
    """

    text: str
    quotes: tuple[Quote, ...] = ()
    is_checked: bool = True


class Verdict(NamedTuple):
    """What the check says of a sentence or of one of its quotes.

    Attributes:
        is_found: Whether the quote was found; `None` for what is not checked.
        sentence: The sentence.
        quote: The quote; `None` where there is none, or none is needed.
    """

    is_found: bool | None
    sentence: str
    quote: Quote | None = None

    @property
    def label(self) -> str:
        """The verdict in two words."""
        if self.is_found is None:
            return "not checked"
        if self.quote is None:
            return "no quote"
        return "quote found" if self.is_found else "not found"


def check(answer: str, sources: Mapping[int, str]) -> Iterator[Verdict]:
    """Whether each quote of an answer is found, in order.

    Args:
        answer: The text.
        sources: The texts of the sources by number.
    """
    for sentence in read_answer(answer):
        if not sentence.is_checked:
            yield Verdict(None, sentence.text)
        elif not sentence.quotes:
            yield Verdict(False, sentence.text)
        for quote in sentence.quotes:
            found = is_found(quote.text, sources.get(quote.number, ""))
            yield Verdict(found, sentence.text, quote)


def read_answer(text: str) -> Iterator[Sentence]:
    """The sentences of an answer with what each cites, and what is no sentence, in order."""
    quotes: list[Quote] = []

    def take(found: re.Match[str]) -> str:
        quotes.append(Quote(int(found["number"]), found["quote"]))
        return f"\x02{len(quotes) - 1}\x03"

    at = 0
    text = text.replace("\x02", "").replace("\x03", "")
    for block in _FENCE.finditer(text):
        yield from _prose(CITATION.sub(take, text[at : block.start()]), quotes)
        yield Sentence(block[0].strip(), is_checked=False)
        at = block.end()
    yield from _prose(CITATION.sub(take, text[at:]), quotes)


def _prose(text: str, quotes: list[Quote]) -> Iterator[Sentence]:
    for paragraph in re.split(r"\n[ \t]*\n", text):
        prose: list[str] = []
        is_item = False
        for line in paragraph.split("\n"):
            is_item = bool(_NO_PROSE.match(line)) or (is_item and line[:1].isspace())
            if not is_item:
                prose.append(line)
                continue
            yield from _sentences("\n".join(prose), quotes)
            prose = []
            if line.strip():
                yield Sentence(_TAKEN.sub("", line).strip(), is_checked=False)
        yield from _sentences("\n".join(prose), quotes)


def _sentences(paragraph: str, quotes: list[Quote]) -> Iterator[Sentence]:
    start = 0
    for end in (*_ends(paragraph), len(paragraph)):
        part = paragraph[start:end]
        start = end
        cited = tuple(quotes[int(number)] for number in _TAKEN.findall(part))
        text = re.sub(r" (?=[.!?…])", "", " ".join(_TAKEN.sub("", part).split()))
        if any(map(str.isalnum, text)) or cited:
            yield Sentence(text, cited)


def _ends(paragraph: str) -> Iterator[int]:
    for found in _END.finditer(paragraph):
        following = paragraph[found.end() :].lstrip()
        has_cited = "\x02" in found[0]
        if not has_cited and (
            following[:1].islower() or _INITIAL.search(paragraph[: found.start() + 1])
        ):
            continue
        # What is cited behind a space, or in the next line, belongs to this sentence.
        behind = re.match(r"(?:\s*\x02\d+\x03)+[.!?…]*", paragraph[found.end() :])
        yield found.end() + (behind.end() if behind else 0)


def is_found(quote: str, text: str) -> bool:
    """Whether the words of a quote stand in a text; see the rule above."""
    words = " ".join(_made_equal(quote).split())
    if not any(map(str.isalnum, words)):
        return False
    place = " ".join(_made_equal(text).split())
    has_hyphens = _MAYBE in words or _MAYBE in place
    pattern = "".join(map(_pattern, words)) if has_hyphens else re.escape(words)
    return re.search(rf"(?<![\w{_MAYBE}]){pattern}(?![\w{_MAYBE}])", place) is not None


def _pattern(character: str) -> str:
    if character in ("-", _MAYBE):
        return f"[-{_MAYBE}]" + ("?" if character == _MAYBE else "")
    return f"{re.escape(character)}{_MAYBE}?"


def _made_equal(text: str) -> str:
    text = unicodedata.normalize("NFC", text).translate(_ALL_MARKS)
    return _LINE_HYPHEN.sub(_MAYBE, text)
