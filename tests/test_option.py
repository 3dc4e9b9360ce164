"""The option that is quick where it is not given: the same values as with click's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest

from llm.commands._options import Option

KINDS: list[tuple[list[str], dict[str, Any]]] = [
    (["-t", "--text"], {}),
    (["-f", "--flag"], {"is_flag": True}),
    (["-m", "--many"], {"multiple": True}),
    (["--number"], {"type": int}),
    (["--pair"], {"type": (str, str), "multiple": True}),
    (["--count"], {"type": click.IntRange(min=0), "default": 5}),
    (["--shout"], {"callback": lambda ctx, param, value: f"{value}!"}),
    (["--variable"], {"envvar": "LLM_TEST_VARIABLE"}),
]


def parsed(make: type[click.Option], args: list[str], **settings: Any) -> dict[str, Any]:
    """The values of all options, and where each came from."""
    command = click.Command("c", params=[make(names, **rest) for names, rest in KINDS])
    ctx = command.make_context("c", list(args), **settings)
    return {name: (value, ctx.get_parameter_source(name)) for name, value in ctx.params.items()}


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["-t", "a", "-f"],
        ["-m", "a", "-m", "b", "--number", "3"],
        ["--pair", "a", "b", "--count", "0", "--shout", "x", "--variable", "y"],
    ],
)
@pytest.mark.parametrize(
    "settings",
    [{}, {"default_map": {"text": "mapped", "flag": True}}, {"auto_envvar_prefix": "LLM_TEST"}],
)
def test_values_are_those_of_click(
    args: list[str], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given or not, from a map or the environment: each value and its source is click's."""
    monkeypatch.setenv("LLM_TEST_VARIABLE", "from the environment")
    monkeypatch.setenv("LLM_TEST_NUMBER", "7")
    assert parsed(Option, args, **settings) == parsed(click.Option, args, **settings)


@pytest.mark.parametrize(
    "complaint",
    [lambda: parsed(Option, ["--number", "x"]), lambda: parsed(Option, ["--text"])],
)
def test_wrong_values_are_usage_errors(complaint: Callable[[], object]) -> None:
    """What is given is checked as always."""
    with pytest.raises(click.UsageError):
        complaint()
