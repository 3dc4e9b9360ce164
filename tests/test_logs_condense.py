"""Raw replies are stored without repetition and read back whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm.logs.records.condense import condensed_json, expanded_json, replacements_for
from tests.helpers.databases import DATA

VECTOR = json.loads((DATA / "condense_vector.json").read_text("utf-8"))
LONG = "x" * 64
OTHER = 'Another long text, with \n a line break, "quotes" and an é: ' + "z" * 20


def replacements_of_vector() -> dict[str, Any]:
    """What the reply of the vector may refer to."""
    return replacements_for(
        VECTOR["messages"], VECTOR["tools"], VECTOR["schema"], VECTOR["json_replacements"]
    )


def test_replacements_for_vector_have_the_keys_of_0_36() -> None:
    """The references are named as 0.36 names them."""
    assert list(replacements_of_vector()) == VECTOR["replacement_keys"]


def test_condensed_json_of_vector_is_that_of_0_36() -> None:
    """The stored text is the same, byte for byte."""
    stored = condensed_json(VECTOR["payload"], replacements_of_vector())
    assert stored == json.dumps(VECTOR["condensed"])


def test_expanded_json_of_vector_is_the_payload() -> None:
    """What was stored is read back whole."""
    stored = json.dumps(VECTOR["condensed"])
    assert expanded_json(stored, replacements_of_vector()) == VECTOR["payload"]


@pytest.mark.parametrize(
    "payload",
    [None, {"a": 1}, {"$": "q"}, {"x": {"$raw": 1}}, {"y": {"$r": ["a"]}}, ["é", LONG]],
)
def test_condensed_json_without_replacements_round_trips(payload: Any) -> None:
    """Nothing in a reply is mistaken for a reference."""
    assert expanded_json(condensed_json(payload, {}), {}) == payload


def test_condensed_json_plain_reply_does_not_import_condense_json() -> None:
    """A reply with nothing to refer to costs one `json.dumps`."""
    import subprocess
    import sys

    code = (
        "import sys; from llm.logs.records.condense import condensed_json, expanded_json;"
        "expanded_json(condensed_json({'a': 'b'}, {}), {});"
        "print('condense_json' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_condensed_json_of_other_types_stores_their_text() -> None:
    """A value that JSON cannot express does not stop the response being logged."""
    assert json.loads(condensed_json({"p": Path("x"), "t": LONG}, {"0.0.text": LONG})) == {
        "p": "x",
        "t": {"$": "0.0.text"},
    }


def test_expanded_json_with_unknown_reference_is_an_error() -> None:
    """A reference to something that is gone is not passed over."""
    from condense_json import UncondenseError

    with pytest.raises(UncondenseError):
        expanded_json('{"a": {"$": "0.0.text"}}', {})


def test_replacements_for_metadata_of_messages_and_parts_have_paths() -> None:
    """Long values are found in lists and in the metadata of the message itself."""
    message = {
        "role": "assistant",
        "parts": [{"type": "text", "text": "short", "provider_metadata": {"p": [LONG, 1]}}],
        "provider_metadata": {"q": {"id": LONG, "n": 1}},
    }
    assert list(replacements_for([message])) == [
        "0.0.pm",
        "0.0.pm.p",
        "0.0.pm.p.0",
        "0.pm",
        "0.pm.q",
        "0.pm.q.id",
    ]


def test_replacements_for_tools_with_two_descriptions_leave_the_name_out() -> None:
    """A name that stands for two descriptions cannot be referred to."""
    tools = [("a", LONG), ("a", LONG), ("b", LONG), ("b", LONG + "!"), ("c", None), ("d", "short")]
    assert replacements_for([], tools) == {"tool.a.description": LONG}


def test_replacements_for_short_things_are_none() -> None:
    """Texts, outputs, arguments and schemas below 64 characters are written out."""
    message = {
        "role": "assistant",
        "parts": [
            {"type": "tool_call", "name": "f", "arguments": {"a": 1}},
            {"type": "tool_result", "name": "f", "output": "short"},
        ],
    }
    assert replacements_for([message], schema={"type": "object"}) == {}


def test_replacements_for_arguments_long_only_with_spaces_have_that_form() -> None:
    """The form with spaces may be long enough where the compact one is not."""
    arguments = {"a": "y" * 40, "b": 1, "c": 2}
    part = {"type": "tool_call", "name": "f", "arguments": arguments}
    found = replacements_for([{"role": "assistant", "parts": [part]}])
    assert len(json.dumps(arguments)) >= 64 > len(json.dumps(arguments, separators=(",", ":")))
    assert list(found) == ["0.0.args2"]


BOOK = "All work and no play. " * 200
BOOKS = {
    "alone": {"content": BOOK},
    "within": {"content": f"It says: {BOOK} And so on: {BOOK}"},
    "longer one first": {"content": BOOK + BOOK, "more": [BOOK, "short"]},
    "in a container": {"item": {"id": "r", "text": BOOK}, "x": {"id": "r", "text": BOOK, "y": 1}},
    "beside a private character": {"content": BOOK, "odd": "\ue0000\ue000"},
}


@pytest.mark.parametrize("payload", BOOKS.values(), ids=list(BOOKS))
def test_condensed_json_of_long_texts_is_that_of_the_library(payload: Any) -> None:
    """Long texts are referred to as short ones are, and come back whole."""
    from condense_json import condense_json

    replacements = {
        "0.0.text": BOOK,
        "0.1.text": BOOK + BOOK,
        "0.2.pm": {"id": "r", "text": BOOK},
        "0.3.text": BOOK[:64],
    }
    stored = condensed_json(payload, replacements)
    assert json.loads(stored) == condense_json(payload, replacements)
    assert expanded_json(stored, replacements) == payload


def test_condensed_json_of_a_long_text_takes_little_memory() -> None:
    """Looking for a text does not take a hundred times its size."""
    import tracemalloc

    text = "".join(f"word {number} " for number in range(50_000))
    condensed_json({"content": BOOK}, {"0.0.text": BOOK})
    tracemalloc.start()
    try:
        condensed_json({"content": text}, {"0.0.text": text})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(text)


@pytest.mark.parametrize(
    "payload",
    [
        {"text": LONG, "again": [f"before {LONG} between {OTHER}{LONG} after"], "n": 1},
        {"$": LONG, "x": {"$r": [OTHER]}, "y": {"$": OTHER}},
        f"{OTHER}{OTHER}",
        [LONG[1:], OTHER[:-1], f"{LONG}y"],
    ],
)
def test_condensed_json_of_texts_is_what_the_library_makes(payload: Any) -> None:
    """Looking for short stand-ins, which is faster, changes nothing in what is stored."""
    from condense_json import condense_json

    texts = {"0.0.text": LONG, "0.1.text": OTHER, "0.2.text": LONG}
    stored = condensed_json(payload, texts)
    assert stored == json.dumps(condense_json(payload, texts))
    assert expanded_json(stored, texts) == payload


def test_condensed_json_compiles_no_text_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern of a whole answer would take longer than storing it."""
    import condense_json

    seen: list[int] = []
    original = condense_json.condense_json

    def watched(value: Any, replacements: dict[str, Any]) -> Any:
        seen.extend(map(len, replacements.values()))
        return original(value, replacements)

    monkeypatch.setattr(condense_json, "condense_json", watched)
    assert condensed_json({"t": LONG}, {"0.0.text": LONG}) == '{"t": {"$": "0.0.text"}}'
    assert seen
    assert max(seen) < 10
