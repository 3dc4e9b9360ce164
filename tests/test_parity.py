"""The sync classes and their async twins have the same names and signatures."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import llm.models

TWINS = ("Model", "KeyModel", "Conversation", "Response", "ChainResponse")
OPENAI_TWINS = ("Chat", "Responses")
# The same thing under another name, or a way from one twin to the other.
RENAMED = {"astream_events": "stream_events"}
ONLY_ASYNC = {"to_sync_response", "to_sync_conversation"}
ITERATION = {"__aiter__": "__iter__"}


def twins(name: str) -> tuple[type, type]:
    """Return a sync class and its twin."""
    home = importlib.import_module(
        "llm.default_plugins.openai_models" if name in OPENAI_TWINS else "llm.models"
    )
    return getattr(home, name), getattr(home, f"Async{name}")


def public(cls: type) -> set[str]:
    """Return the public names of a class."""
    return {name for name in dir(cls) if not name.startswith("_")}


def neutral(text: str) -> str:
    """Return a signature without what has to differ: the names of the twins and their iterators."""
    text = re.sub(r"AsyncGenerator\[(.+), None\]", r"Iterator[\1]", text)
    text = re.sub(r"(Coroutine\[Any, Any, |Awaitable\[)(.+)\]", r"\2", text)
    return re.sub(r"\b_(?=Model\b)", "", re.sub(r"Async|Sync", "", text))


def signature(cls: type, name: str) -> str | None:
    """Return the neutral signature of a method, None for attributes without one."""
    member = inspect.getattr_static(cls, name)
    function = getattr(member, "__func__", member)
    if not inspect.isfunction(function):
        return None
    return neutral(str(inspect.signature(function)))


@pytest.mark.parametrize("name", TWINS)
def test_parity_twins_have_the_same_names(name: str) -> None:
    """What one twin offers, the other offers too."""
    sync, twin = twins(name)
    renamed = {RENAMED.get(found, found) for found in public(twin) - ONLY_ASYNC}
    assert renamed == public(sync)


@pytest.mark.parametrize("name", [*TWINS, *OPENAI_TWINS])
def test_parity_twins_have_the_same_signatures(name: str) -> None:
    """Arguments, their order, defaults and types are the same, but for the twin's own classes."""
    sync, twin = twins(name)
    shared = [*sorted(public(sync) & public(twin)), "__init__"]
    differing = {
        found: (signature(sync, found), signature(twin, found))
        for found in shared
        if signature(sync, found) != signature(twin, found)
    }
    assert differing == {}


@pytest.mark.parametrize(("renamed", "original"), [*RENAMED.items(), *ITERATION.items()])
@pytest.mark.parametrize("name", ["Response", "ChainResponse"])
def test_parity_renamed_methods_have_the_same_signature(
    name: str, renamed: str, original: str
) -> None:
    """The methods whose names have to differ take the same arguments."""
    sync, twin = twins(name)
    assert signature(twin, renamed) == signature(sync, original)


@pytest.mark.parametrize("name", TWINS)
def test_parity_shared_members_are_of_one_kind(name: str) -> None:
    """A property of one twin is a property of the other, and so are class methods."""
    sync, twin = twins(name)
    kinds = {
        found: (
            type(inspect.getattr_static(sync, found)),
            type(inspect.getattr_static(twin, found)),
        )
        for found in public(sync) & public(twin)
    }
    assert {found: kind for found, kind in kinds.items() if kind[0] is not kind[1]} == {}


def test_parity_awaitable_methods_are_the_ones_that_wait() -> None:
    """The methods of the async response that wait for the model are awaited, the others are not."""
    waits = {
        *("text", "json", "messages", "tool_calls", "usage", "duration_ms", "datetime_utc"),
        *("on_done", "execute_tool_calls", "execute_tool_call", "to_sync_response"),
    }
    twin = llm.models.AsyncResponse
    found = {name for name in public(twin) if inspect.iscoroutinefunction(getattr(twin, name))}
    assert waits <= found
    assert not {"text_or_raise", "tool_calls_or_raise", "to_dict", "log_to_db"} & found
