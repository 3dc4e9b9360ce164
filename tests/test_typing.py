"""Programs of users pass type checkers, and wrong ones do not."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import pytest
import typing_extensions

import llm

from .test_public_names import MODULE_NAMES

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "tests" / "typing"
# As for an installed package, what is in `llm` itself is not told; no settings of this project.
MYPY = ("mypy", "--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary")
TY = ("ty", "check", "--python", sys.executable, "--output-format", "concise")
CHECKERS = [MYPY, ("pyright", "--pythonpath", sys.executable), TY]
MISTAKES = PROGRAMS / "wrong" / "mistakes.py"


def check(checker: Sequence[str], *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker over programs."""
    command = [sys.executable, "-m", *checker, *map(str, paths)]
    env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


HINTS = """
import importlib, inspect, sys, typing
module, *names = sys.argv[1:]
home = importlib.import_module(module)

def look(found):
    try:
        hints = typing.get_type_hints(found)
    except Exception as error:
        print(f"{module}: {found!r}: {error!r}")
        return
    for name, hint in hints.items():
        if isinstance(hint, str) or "ForwardRef" in repr(hint):
            print(f"{module}: {found!r}: {name} is {hint!r}")

def functions_of(kind):
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        member = getattr(member, "__func__", getattr(member, "fget", member))
        if inspect.isfunction(member) and member.__module__.startswith("llm."):
            yield member

for value in (getattr(home, name) for name in names):
    if inspect.isfunction(value) or inspect.isclass(value):
        look(value)
    if inspect.isclass(value):
        for member in functions_of(value):
            look(member)
"""


@pytest.mark.parametrize("module", MODULE_NAMES)
def test_type_hints_of_public_names_are_types(module: str) -> None:
    """`typing.get_type_hints` works on every public class, function and method, in a process that
    has imported nothing else, and leaves no name that is not looked up."""
    command = [sys.executable, "-c", HINTS, module, *MODULE_NAMES[module].split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_type_hints_say_what_a_dictionary_requires() -> None:
    """Programs that check dictionaries at run time see which keys have to be there."""
    from llm import serialization

    assert serialization.MessageDict.__required_keys__ == {"role", "parts"}
    assert serialization.MessageDict.__optional_keys__ == {"provider_metadata"}
    assert serialization.ToolCallPartDict.__required_keys__ == {"type", "name", "arguments"}
    assert serialization.AttachmentDict.__required_keys__ == set()
    for name in serialization.__all__:
        kind = getattr(serialization, name)
        if name.endswith("Dict") and hasattr(kind, "__required_keys__"):
            optional = {
                key
                for key, hint in typing.get_type_hints(kind, include_extras=True).items()
                if typing.get_origin(hint) is typing_extensions.NotRequired
            }
            assert kind.__optional_keys__ >= optional
            assert kind.__required_keys__.isdisjoint(optional)


def test_type_hints_of_a_guest_are_types() -> None:
    """A plugin that imports types for checkers alone can let them be found, too."""
    names: dict[str, object] = {}
    llm.for_hints(
        names,
        {"llm": "Prompt Response", "sqlite3": ""},
        Any_="llm.Response | llm.AsyncResponse",
    )

    def method() -> None: ...

    method.__annotations__ = {
        "a": "Prompt | None",
        "b": "None | Prompt",
        "c": "list[Response]",
        "d": "sqlite3.Connection",
        "e": "Any_",
        "f": "dict[str, type[Response]]",
    }
    assert typing.get_type_hints(method, globalns={**names}) == {
        "a": llm.Prompt | None,
        "b": llm.Prompt | None,
        "c": list[llm.Response],
        "d": sqlite3.Connection,
        "e": llm.Response | llm.AsyncResponse,
        "f": dict[str, type[llm.Response]],
    }


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker[0])
def test_typing_programs_of_users_pass(checker: Sequence[str]) -> None:
    """What the documentation shows is right for type checkers, too, which see the stubs."""
    done = check(checker, *sorted(PROGRAMS.glob("*.py")))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker[0])
def test_typing_finds_mistakes(checker: Sequence[str]) -> None:
    """Arguments and results have types: a mistake in their use is found, each in its line."""
    done = check(checker, MISTAKES)
    found = {int(number) for number in re.findall(r"mistakes\.py:(\d+):.*error", done.stdout)}
    expected = set()
    for number, line in enumerate(MISTAKES.read_text(encoding="utf-8").splitlines(), 1):
        _, marked, finders = line.partition("  # error")
        if marked and (not finders or checker[0] in finders):
            expected.add(number)
    assert found == expected, done.stdout + done.stderr
