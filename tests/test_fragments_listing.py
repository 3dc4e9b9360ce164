"""The lists of stored fragments: YAML as PyYAML writes it, JSON as the standard library does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm.logs.read.shared import StoredFragments
from llm.logs.render.fragments import fragments_json, fragments_yaml

TEXTS = [
    *("plain", "yes", "null", "a: b", "a #b", "# title", "a:", " lead", "trail ", "", "5", "1.5"),
    *("- item", "'quoted'", '"double"', "caf\xe9", "\x1b[1m", "tab\there", "a\nb", "a\nb\n"),
    *("a\n\nb", "a \nb", "\ta\nb", " a\nb", "a\n\n", "\n\na", "\n", "\U0001f600\nx", "\u2028"),
    *("a\\b", "a\r\nb", "2001-01-01", "0b11", "true", "~", "*a", "&a", "!a", "%a", "@a", "`a"),
    *("x" * 200, "\x85", "\ufeff", "a'b: c", "\\\n\x1b", "caf\xe9\n", "n", "Y", "=", "<<", "[a]"),
    *(
        "a\n\n\nb",
        "a\nb\n\n",
        "a\n b\n",
        "a\n\n b",
        "a\0b",
        "\0",
        "word " * 40,
        "/a/b.py",
        "a\x01b",
    ),
]
DIGESTS = ["12345678", "0b1010", "0x12", "0o17", "1_000", "abcdef", "null", "0b" + "2" * 62]


class Stored(NamedTuple):
    """One fragment, its fields in the order of `--json`."""

    hash: str
    aliases: list[str]
    datetime_utc: str
    source: str | None
    content: str


def batches(fragments: Iterable[Stored], size: int = 256) -> Iterator[StoredFragments]:
    """The fragments as they are read from the database."""
    remaining = iter(fragments)
    while batch := list(islice(remaining, size)):
        yield StoredFragments(*zip(*batch, strict=True))


class Blocks(yaml.SafeDumper):
    """The YAML library, with texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Blocks.add_representer(str, _text)


def by_library(fragments: list[Stored]) -> str:
    """What the YAML library writes."""
    rows: list[Any] = [fragment._asdict() for fragment in fragments]
    for row in rows:
        row["aliases"] = list(row["aliases"])
    return yaml.dump(rows, Dumper=Blocks, sort_keys=False, width=float("inf"))


def stored(content: str, source: str | None = None, digest: str = "ab" * 32) -> Stored:
    """A fragment with an alias like its source."""
    aliases = [source] if source else []
    return Stored(digest, aliases, "2026-01-02 03:04:05", source, content)


ANY_TEXT = st.one_of(
    st.sampled_from(TEXTS),
    st.text(alphabet="ab:# \n'-", max_size=12),
    st.text(alphabet="ab \n\t\xe9\x01", max_size=8),
    st.lists(st.sampled_from(["a line", "", "  deeper", "b: c"]), max_size=5).map("\n".join),
)
ALIKE = st.integers(1, 60).map(lambda count: [stored(f"line\n\nof {n}\n") for n in range(count)])
ANY_LIST = st.lists(st.builds(stored, ANY_TEXT, st.none() | ANY_TEXT), min_size=1, max_size=30)


@given(st.one_of(ANY_LIST, st.tuples(ALIKE, ANY_LIST, ALIKE).map(lambda lists: [*chain(*lists)])))
def test_fragments_are_written_as_the_yaml_library_does(fragments: list[Stored]) -> None:
    """Many alike, mixed or odd: each character is that of PyYAML, and the same is read back."""
    written = "".join(fragments_yaml(batches(fragments)))
    assert written == by_library(fragments)
    readable = [f for f in fragments if "\0" not in f.content and "\0" not in (f.source or "")]
    assert yaml.safe_load("".join(fragments_yaml(batches(readable)))) == (
        [fragment._asdict() for fragment in readable] or None
    )


@pytest.mark.parametrize("digest", DIGESTS)
def test_hash_stays_a_text(digest: str) -> None:
    """A hash that looks like a number or a word is quoted."""
    fragment = stored("x", digest=digest)
    assert "".join(fragments_yaml(batches([fragment]))) == by_library([fragment])
    assert yaml.safe_load("".join(fragments_yaml(batches([fragment]))))[0]["hash"] == digest


def test_long_list_comes_in_pieces() -> None:
    """A list is written while it is read, not when it is complete."""
    taken = []

    def fragments() -> Iterator[Stored]:
        for number in range(2000):
            taken.append(number)
            yield stored(f"text {number}")

    assert next(fragments_yaml(batches(fragments()))).startswith("- hash: ")
    assert len(taken) < 1000


@given(st.lists(st.builds(stored, ANY_TEXT, st.none() | ANY_TEXT), max_size=5))
def test_fragments_are_written_as_the_json_library_does(fragments: list[Stored]) -> None:
    """Each character is that of `json.dumps` with an indent of four."""
    expected = json.dumps([fragment._asdict() for fragment in fragments], indent=4)
    assert "".join(fragments_json(batches(fragments))) == expected + "\n"
