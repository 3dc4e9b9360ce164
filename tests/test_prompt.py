"""Prompts: how text, system prompt, history and the rest become the messages that are sent."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

import llm
from llm.parts import AttachmentPart, Message, TextPart, ToolResultPart

from .helpers.quick import Echo, shout, told

PICTURE = llm.Attachment(type="image/png", content=b"\x89PNG")
HISTORY = [llm.user("hi"), llm.assistant("hello")]


@pytest.mark.parametrize(
    ("text", "fragments", "prompt"),
    [
        (None, [], ""),
        ("", [], ""),
        ("x", [], "x"),
        ("x", ["a", "b"], "a\nb\nx"),
        (None, ["a"], "a"),
        ("", ["a"], "a"),
    ],
)
def test_prompt_text_follows_fragments(text: str | None, fragments: list[str], prompt: str) -> None:
    """The prompt is the fragments and the text, joined by newlines."""
    assert llm.Prompt(text, Echo(), fragments=fragments).prompt == prompt


@pytest.mark.parametrize(
    ("text", "fragments", "system"),
    [
        (None, [], ""),
        ("  ", [], ""),
        (" s ", [], "s"),
        (" s ", [" a ", ""], "a\n\ns"),
        (None, ["a"], "a"),
    ],
)
def test_prompt_system_follows_fragments(
    text: str | None, fragments: list[str], system: str
) -> None:
    """The system prompt is its fragments and the text, stripped, with blank lines between."""
    assert llm.Prompt("x", Echo(), system=text, system_fragments=fragments).system == system


def test_prompt_messages_of_this_turn() -> None:
    """Without a history: system, results of tools, then text and attachments of the user."""
    result = llm.ToolResult("f", "out", [PICTURE], "c1", exception=ValueError("no"))
    prompt = llm.Prompt(
        "x", Echo(), system="s", fragments=["f"], attachments=[PICTURE], tool_results=[result]
    )
    part = ToolResultPart("f", "out", "c1", attachments=[PICTURE], exception="ValueError: no")
    assert prompt.messages == [
        llm.system("s"),
        Message("tool", [part]),
        Message("user", [TextPart("f\nx"), AttachmentPart(PICTURE)]),
    ]


def test_prompt_without_input_has_no_messages() -> None:
    """A user message with nothing in it is not sent."""
    assert llm.Prompt("", Echo()).messages == []
    assert llm.Prompt(None, Echo(), attachments=[PICTURE]).messages == [llm.user(PICTURE)]


def test_prompt_messages_given_to_the_class_are_complete() -> None:
    """The constructor takes `messages` as exactly what is sent."""
    prompt = llm.Prompt("x", Echo(), system="s", messages=[llm.user("x")])
    assert prompt.messages == [llm.user("x")]
    assert prompt.system == "s"


def test_prompt_messages_are_a_copy_both_ways() -> None:
    """Neither the list that was given nor the list that is handed out is the prompt's own."""
    given = list(HISTORY)
    prompt = llm.Prompt(None, Echo(), messages=given)
    given.append(llm.user("later"))
    prompt.messages.append(llm.user("mine"))
    assert prompt.messages == HISTORY


def test_prompt_input_is_appended_to_messages() -> None:
    """`messages=` of `prompt()` is the history; the new input comes after it."""
    results = [llm.ToolResult("f", "out")]
    response = Echo().prompt("and?", messages=HISTORY, tool_results=results, fragments=["f"])
    assert response.prompt.messages == [
        *HISTORY,
        Message("tool", [ToolResultPart("f", "out")]),
        llm.user("f\nand?"),
    ]


def test_prompt_system_leads_messages_without_one() -> None:
    """A system prompt goes in front of a history that has none."""
    prompt = Echo().prompt("and?", messages=HISTORY, system="s").prompt
    assert [role for role, _ in told(prompt)] == ["system", "user", "assistant", "user"]


def test_prompt_system_of_messages_stays() -> None:
    """A history with a system message of its own keeps it; `prompt.system` tells the other."""
    prompt = Echo().prompt("and?", messages=[llm.system("own"), *HISTORY], system="s").prompt
    assert [text for role, text in told(prompt) if role == "system"] == ["own"]
    assert prompt.system == "s"


def test_prompt_empty_messages_are_an_empty_history() -> None:
    """An empty list is a history like any other."""
    assert told(Echo().prompt("x", messages=[]).prompt) == [("user", "x")]


def test_prompt_from_history_appends_the_text() -> None:
    """A prompt made from a history sends that and the new text."""
    prompt = llm.Prompt.from_history(HISTORY, "and?", "s", model=Echo())
    assert told(prompt)[0] == ("system", "s")
    assert told(prompt)[-1] == ("user", "and?")


def test_prompt_schema_of_a_pydantic_class() -> None:
    """A pydantic class stands for the schema it describes, unmodified."""

    class Dog(pydantic.BaseModel):
        name: str

    assert Echo().prompt("x", schema=Dog).prompt.schema == Dog.model_json_schema()
    assert Echo().prompt("x", schema={"type": "object"}).prompt.schema == {"type": "object"}


def test_prompt_tools_are_wrapped() -> None:
    """Functions become tools, toolboxes give all of theirs, tools stay what they are."""

    class Box(llm.Toolbox):
        def one(self) -> str:
            return "1"

        def two(self) -> str:
            return "2"

    own = llm.Tool("own")
    tools = Echo().prompt("x", tools=[shout, Box(), own]).prompt.tools
    assert [tool.name for tool in tools] == ["shout", "Box_one", "Box_two", "own"]
    assert tools[-1] is own


def test_prompt_tools_refuse_other_things() -> None:
    """What cannot be called is no tool."""
    tools: list[Any] = [3]
    with pytest.raises(TypeError, match=r"^Invalid tool: 3$"):
        Echo().prompt("x", tools=tools)


def test_prompt_options_default_and_set() -> None:
    """Options are the model's defaults until some are given or set."""
    model = Echo()
    prompt = llm.Prompt("x", model)
    assert prompt.options is prompt.options
    assert isinstance(prompt.options, model.Options)
    chosen = model.Options()
    prompt.options = chosen
    assert prompt.options is chosen


def test_prompt_text_can_be_replaced() -> None:
    """A plugin may set the text; it stands for fragments and text together."""
    prompt = llm.Prompt("x", Echo(), fragments=["f"])
    prompt.prompt = "y"
    assert prompt.prompt == "y"


def test_prompt_repr() -> None:
    """The repr shows text, model and system prompt."""
    assert repr(llm.Prompt("x", Echo(), system="s")) == (
        "Prompt(prompt='x', model=<Echo: quick-echo>, system='s')"
    )
