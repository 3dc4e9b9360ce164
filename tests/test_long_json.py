"""JSON of very long texts, piece by piece."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm.text
from llm.parts import Message, TextPart
from llm.text import json_pieces, slices

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values, st.integers(1, 6))
def test_pieces_are_the_json_text(value: object, limit: int) -> None:
    """Joined they are what `json.dumps` gives, whichever texts count as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm.text, "LONG_TEXT", limit)
        pieces = list(json_pieces(value, json.dumps, encode_basestring_ascii))
    assert "".join(pieces) == json.dumps(value)


def test_long_texts_are_never_whole() -> None:
    """No piece is much longer than a slice."""
    text = 'a"\u2603' * llm.text.LONG_TEXT
    pieces = list(json_pieces({"x": [text], "y": 1}, json.dumps, encode_basestring_ascii))
    assert max(map(len, pieces)) <= 6 * llm.text.LONG_TEXT
    assert "".join(slices(text)) == text


def test_address_does_not_depend_on_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message has the same address whether its text counts as long or not."""
    from llm.logs.records.chains import message_hash

    message = Message("user", [TextPart('snow \u2603 "quoted" \ud83d end')])
    before = message_hash(message, "b2:x")
    monkeypatch.setattr(llm.text, "LONG_TEXT", 3)
    assert message_hash(message, "b2:x") == before


def test_long_part_is_stored_in_slices_and_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes back from the log is what went in, under the same address."""
    from llm.logs.file.db import open_memory
    from llm.logs.records import chains
    from llm.logs.write.store import LogStore

    monkeypatch.setattr(chains, "LONG_PART", 20)
    monkeypatch.setattr(llm.text, "LONG_TEXT", 8)
    text = "words and words, snow \u2603 and more words"
    store = LogStore(open_memory())
    tip = store.ensure_chain([Message("user", [TextPart(text)])])
    assert store.load_chain(tip) == [Message("user", [TextPart(text)])]
    assert store.verify() == []
    assert store.db["fragments"].count == 4
