"""What is refused as a conversation, before anything is made of it or written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.errors import InvalidInput
from llm.models.serialize import check_conversation
from tests.helpers.log_models import Says


@pytest.fixture(scope="module")
def shape() -> Any:
    """A conversation of two turns."""
    conversation = Says("one", "two").conversation()
    conversation.prompt("first").text()
    conversation.prompt("second").text()
    return conversation.to_dict()


def changed(shape: Any, place: str, value: Any) -> Any:
    """A copy with another value at a place such as `turns.0.id`."""
    copied = copy.deepcopy(shape)
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    at = copied
    for step in steps:
        at = at[step]
    at[last] = value
    return copied


def test_whole_one_is_taken_as_it_is(shape: Any) -> None:
    """What is right is given back, with keys that only later releases know."""
    larger = {**shape, "invented_later": 1}
    assert check_conversation(larger) is larger


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ("format", "other", "Not a conversation"),
        ("version", 2, "knows version 1"),
        ("id", None, "id: Input should be a valid string"),
        ("id", "", "an id is empty"),
        ("turns.1.id", "", "an id is empty"),
        ("name", 5, "name: Input should be a valid string"),
        ("messages", None, "messages: Input should be a valid list"),
        ("messages.0.role", "boss", "messages.0.role: Input should be 'system'"),
        ("messages.0.parts.0.type", "song", "messages.0.parts.0.type: 'song' is no kind of part"),
        ("messages.0.parts.0.text", 5, "messages.0.parts.0.text: Input should be a valid string"),
        ("messages.1.parent", 3, "Message 1 of the conversation has no predecessor"),
        ("messages.0.fragments", [0], "Fragment 0 is not in the conversation, which has 0"),
        ("turns", None, "turns: Input should be a valid list"),
        ("turns.0.usage", "much", "turns.0.usage: Input should be a valid dictionary"),
        ("turns.0.tools", [7], "Tool 7 is not in the conversation, which has 0"),
        ("turns.0.fragments", [1], "Fragment 1 is not in the conversation"),
        ("turns.0.input", -1, "Message -1 is not in the conversation, which has 4"),
        ("offered_tools", [0], "Tool 0 is not in the conversation"),
        ("tip", 9, "Message 9 is not in the conversation"),
    ],
)
def test_broken_one_is_refused(shape: Any, place: str, value: Any, text: str) -> None:
    """The message names the place."""
    with pytest.raises(InvalidInput, match=text):
        check_conversation(changed(shape, place, value))
    with pytest.raises(InvalidInput, match=text):
        llm.Conversation.from_dict(changed(shape, place, value))


def test_import_writes_all_conversations_of_a_file_or_none(shape: Any, user_path: Path) -> None:
    """One that turns out to be broken only as it is written takes the others with it."""
    attachment = {"type": "attachment", "attachment": {"content": "a"}}
    broken = changed(shape, "messages.0.parts", [attachment])
    lines = "\n".join(json.dumps(one) for one in (shape, broken))
    result = CliRunner().invoke(cli, ["conversations", "import"], input=lines)
    assert result.exit_code == 2
    assert "not valid base64" in result.stderr
    assert result.stdout == ""
    assert list(llm.Database().conversations()) == []
