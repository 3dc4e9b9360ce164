"""The tree of errors."""

from __future__ import annotations

import re

import pytest

import llm
from llm import errors

NAMES = [name for name in errors.__all__ if name != "LLMError"]
# They live with the calls of tools, and are served from here.
CONTROL = {"CancelToolCall", "PauseChain"}


@pytest.mark.parametrize("name", NAMES)
def test_error_is_on_the_tree(name: str) -> None:
    """Everything that is raised on purpose has the common base, and an exit code."""
    error = getattr(errors, name)
    assert issubclass(error, errors.LLMError)
    assert error.exit_code == {"InvalidInput": 2, "QuoteNotFound": 5, "SchemaMismatch": 4}.get(
        name, 1
    )


def test_error_tree_in_the_docstring_is_complete() -> None:
    """The tree at the top of the module shows every class with its exit code."""
    drawn = dict(re.findall(r"(\w+) +(\d)\b", errors.__doc__))
    classes = {name: str(getattr(errors, name).exit_code) for name in NAMES}
    assert drawn == {"LLMError": "1", **classes}
    assert all(name in errors.__doc__ for name in CONTROL)


@pytest.mark.parametrize("name", sorted(CONTROL))
def test_errors_serve_what_steers_a_chain(name: str) -> None:
    """What is raised to refuse a call or to pause is no error, but can be had here too."""
    assert getattr(errors, name) is getattr(llm, name)
    assert not issubclass(getattr(errors, name), errors.LLMError)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("NeedsKeyException", llm.ModelError),
        ("UnknownModelError", KeyError),
        ("AliasNotFound", KeyError),
        ("ConversationNotSupported", ValueError),
        ("LoadTemplateError", ValueError),
        ("InvalidInput", ValueError),
    ],
)
def test_error_keeps_the_base_that_plugins_catch(name: str, base: type[Exception]) -> None:
    """Code written for earlier releases catches what it used to catch."""
    assert issubclass(getattr(errors, name), base)


def test_error_lists_exactly_what_is_defined() -> None:
    """`__all__` has every exception of the module."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and name not in CONTROL
    }
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("name", ["UnknownModelError", "AliasNotFound"])
def test_error_message_is_not_quoted(name: str) -> None:
    """A KeyError of ours prints its message, not the repr of it."""
    assert str(getattr(errors, name)("No such thing: x")) == "No such thing: x"


def test_config_error_says_where_what_and_how() -> None:
    """The message has the file, the line, the problem and the remedy; each is an attribute too."""
    error = errors.ConfigError("keys.json", "not valid JSON", "Repair it", 3)
    assert str(error) == "keys.json, line 3: not valid JSON. Repair it"
    assert (error.path, error.problem, error.remedy, error.line) == (
        "keys.json",
        "not valid JSON",
        "Repair it",
        3,
    )
    assert str(errors.ConfigError("f", "bad")) == "f: bad"


def test_context_too_long_knows_the_limit() -> None:
    """The size of the context is there for code that shortens the prompt."""
    assert errors.ContextTooLong("too long", 4096).limit == 4096
    assert errors.ContextTooLong("too long").limit is None


def test_pause_chain_starts_without_call_and_results() -> None:
    """What a pause knows is filled in by whoever runs the tools."""
    pause = llm.PauseChain("wait")
    assert (pause.tool_call, pause.tool_results, str(pause)) == (None, [], "wait")
    assert not isinstance(pause, errors.LLMError)
