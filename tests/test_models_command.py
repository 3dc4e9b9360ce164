"""`llm models` and `llm aliases`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel, Field

import llm
from llm.cli import cli
from llm.files import config
from llm.files.model_options import OPTIONS


class Color(str, Enum):
    """An option with a few values."""

    red = "red"
    blue = "blue"


class Sub(BaseModel):
    """An option with parts."""

    x: int


class Search(llm.ServerSideTool):
    """Hosted search."""

    plugin = "test-models"


class Plain(llm.Model):
    """A model without anything."""

    model_id = "plain"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield "x"


class Rich(Plain):
    """A model with everything."""

    model_id = "rich"
    can_stream = supports_schema = supports_tools = True
    needs_key = "rich"
    key_env_var = "RICH_KEY"
    attachment_types = {"image/png", *(f"audio/{letter * 20}" for letter in "cab")}
    supported_server_side_tools = (Search,)

    class Options(llm.Options):
        items: list[str] | None = Field(default=None, description="List " * 20)
        color: Color | None = Field(default=None, description="A\n\ncolor")
        letter: Literal["x", "y"] = "x"
        sub: Sub | None = None
        mixed: float | int | str | list[int] | dict[str, int] | bool | None = None
        required: int
        anything: Any = None


class Rich2(Rich):
    """Another class, which needs a key that no variable holds."""

    model_id = "rich-2"
    key_env_var: Any = None


class AsyncRich(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "rich"

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield "x"


class Embedding(llm.EmbeddingModel):
    """An embedding model."""

    model_id = "emb"

    def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> Iterator[list[float]]:
        return ([1.0] for _ in items)


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four chat models and an embedding model are all that is registered."""
    entries = [
        (Plain(), None, ["p"]),
        (Rich(), AsyncRich(), ["r", "wealthy"]),
        (Rich2(), None, []),
        (Rich(), None, []),
    ]
    monkeypatch.setattr(
        llm,
        "get_models_with_aliases",
        lambda: [llm.ModelWithAliases(*entry) for entry in entries],
        raising=False,
    )
    monkeypatch.setattr(
        llm,
        "get_embedding_models_with_aliases",
        lambda: [llm.EmbeddingModelWithAliases(Embedding(), ["e"])],
        raising=False,
    )


def invoke(*arguments: str, **keywords: Any) -> Result:
    return CliRunner().invoke(cli, arguments, **keywords)


# llm models list


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], ["Plain: plain (aliases: p)", "Rich: rich (aliases: r, wealthy)", "Rich2: rich-2",
              "Rich: rich", "Default: gpt-5.6-luna"]),
        (["-q", "wealth"], ["Rich: rich (aliases: r, wealthy)"]),
        (["-q", "RICH", "-q", "2"], ["Rich2: rich-2"]),
        (["-m", "p", "-m", "rich-2"], ["Plain: plain (aliases: p)", "Rich2: rich-2"]),
        (["-m", "nothing"], []),
        (["--async"], ["AsyncRich (async): rich (aliases: r, wealthy)", "Default: gpt-5.6-luna"]),
        (["--schemas", "-q", "rich-2"], ["Rich2: rich-2"]),
        (["--schemas", "-q", "plain"], []),
        (["--tools", "-q", "plain"], []),
    ],
)  # fmt: skip
def test_models_listed(arguments: list[str], shown: list[str]) -> None:
    """The models are listed in order of registration, filtered, with the default at the end."""
    result = invoke("models", *arguments)
    assert result.exit_code == 0
    assert result.output.splitlines() == shown


def test_models_default_line_names_what_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line names the model that would answer."""
    monkeypatch.setattr(Plain, "answers_without_key", True, raising=False)
    assert invoke("models").output.splitlines()[-1] == "Default: plain"
    assert invoke("models", "default").output == "gpt-5.6-luna\n"


def test_models_options_shown() -> None:
    """Options have types, and descriptions with the first model of a class; then the features."""
    output = invoke("models", "--options").output
    types = [
        "    letter: str",
        "    sub: str",
        "    mixed: float, int, str, array, dict, boolean",
        "    required: int",
        "    anything: str",
    ]
    described = [
        "  Options:",
        "    items: array",
        "      List List List List List List List List List List List List List List",
        "      List List List List List List",
        "    color: str",
        "      A  color",
        *types,
    ]
    features = [
        "  Attachment types:",
        "    audio/aaaaaaaaaaaaaaaaaaaa, audio/bbbbbbbbbbbbbbbbbbbb,",
        "    audio/cccccccccccccccccccc, image/png",
        "  Features:",
        "  - streaming",
        "  - schemas",
        "  - tools",
    ]
    key = ["  Keys:", "    key: rich"]
    assert output.splitlines() == [
        "Plain: plain (aliases: p)",
        *("Rich: rich (aliases: r, wealthy)", *described, *features, "  - async", *key),
        "    env_var: RICH_KEY",
        *("Rich2: rich-2", *described, *features, *key),
        *("Rich: rich", "  Options:", "    items: array", "    color: str", *types),
        *(*features, *key, "    env_var: RICH_KEY"),
    ]


def test_models_as_json() -> None:
    """The JSON has the same keys for each model; the options are JSON schemas."""
    rows = json.loads(invoke("models", "--json").output)
    assert rows[1] == {
        "model_id": "rich",
        "aliases": ["r", "wealthy"],
        "can_stream": True,
        "supports_schema": True,
        "supports_tools": True,
        "supports_conversation": True,
        "supports_async": True,
        "attachment_types": sorted(Rich.attachment_types),
        "server_side_tools": [{"name": "Search", "plugin": "test-models"}],
    }
    (row,) = json.loads(invoke("models", "--json", "--options", "-m", "rich-2").output)
    assert row["options"]["required"] == {"title": "Required", "type": "integer"}
    assert not row["supports_async"]


# llm models default


def test_models_default(user_path: Path) -> None:
    """The default is stored as the id, whatever name was given."""
    assert invoke("models", "default", "wealthy").output == ""
    assert (user_path / "default_model.txt").read_text() == "rich"
    assert invoke("models", "default").output == "rich\n"
    assert invoke("models").output.splitlines()[-1] == "Default: rich"
    result = invoke("models", "default", "wealthi")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did you mean wealthy" in result.stderr


# llm models options


def test_model_options_none() -> None:
    """Without any stored option a line on stderr says so."""
    for arguments, text in (
        ([], "No default options set for any models.\n"),
        (["show", "r"], "No default options set for model 'rich'.\n"),
    ):
        result = invoke("models", "options", *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", text)
        assert invoke("models", "options", *(arguments or ["list"]), "--json").output == "{}\n"


def test_model_options_set_and_shown() -> None:
    """Options are stored under the model's id as they were typed."""
    result = invoke("models", "options", "set", "wealthy", "mixed", "1.0")
    assert (result.stdout, result.stderr) == (
        "",
        "Set default option mixed=1.0 for model rich\n",
    )
    assert invoke("models", "options", "set", "nobody-knows", "k", "v").exit_code == 0
    expected = {"rich": {"mixed": "1.0"}, "nobody-knows": {"k": "v"}}
    assert OPTIONS.load() == expected
    assert invoke("models", "options").output == "rich:\n  mixed: 1.0\nnobody-knows:\n  k: v\n"
    assert json.loads(invoke("models", "options", "--json").output) == expected
    assert invoke("models", "options", "show", "r").output == "mixed: 1.0\n"
    shown = invoke("models", "options", "show", "r", "--json").output
    assert json.loads(shown) == {"mixed": "1.0"}


@pytest.mark.parametrize(("key", "value"), [("nope", "x"), ("required", "x"), ("color", "green")])
def test_model_options_set_invalid(key: str, value: str) -> None:
    """What the model does not accept is refused, field and message; nothing is stored."""
    result = invoke("models", "options", "set", "rich", key, value)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {key}\n  ")
    assert OPTIONS.load() == {}


def test_model_options_cleared() -> None:
    """One option is cleared, or all; clearing what is not there is silent."""
    for key, value in (("items", "[]"), ("color", "red"), ("letter", "y")):
        OPTIONS.set("rich", key, value)
    clear = ("models", "options", "clear")
    assert invoke(*clear, "r", "color").output == "Cleared option 'color' for model rich\n"
    assert invoke(*clear, "rich").output == "Cleared items, letter options for model rich\n"
    assert invoke(*clear, "rich").output == ""
    assert OPTIONS.load() == {}


def test_model_options_corrupt(user_path: Path) -> None:
    """A corrupt file is refused by all of these commands, and stays."""
    path = user_path / "model_options.json"
    path.write_text("[")
    for arguments in (
        ["list"],
        ["show", "rich"],
        ["set", "rich", "letter", "x"],
        ["clear", "rich"],
    ):
        result = invoke("models", "options", *arguments)
        assert result.exit_code == 1
        assert f"{path}, line 1: not valid JSON" in result.stderr
    assert path.read_text() == "["
    assert invoke("models").exit_code == 0


# llm aliases


def test_aliases_listed() -> None:
    """Aliases of chat models come first, then those of embedding models."""
    expected = "p       : plain\nr       : rich\nwealthy : rich\ne       : emb (embedding)\n"
    assert invoke("aliases").output == expected
    assert invoke("aliases", "list", "--json").output == (
        json.dumps({"p": "plain", "r": "rich", "wealthy": "rich", "e": "emb"}, indent=4) + "\n"
    )


def test_aliases_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aliases nothing is listed."""
    monkeypatch.setattr(llm, "get_models_with_aliases", list)
    monkeypatch.setattr(llm, "get_embedding_models_with_aliases", list)
    assert invoke("aliases").output == ""


def test_alias_set_and_removed(user_path: Path) -> None:
    """An alias is stored for the resolved id, in silence, and removed again."""
    path = user_path / "aliases.json"
    assert invoke("aliases", "path").output == f"{path}\n"
    for alias, name in (("a", "wealthy"), ("b", "e"), ("c", "unknown")):
        assert invoke("aliases", "set", alias, name).output == ""
    assert json.loads(path.read_text()) == {"a": "rich", "b": "emb", "c": "unknown"}
    assert invoke("aliases", "remove", "a").output == ""
    result = invoke("aliases", "remove", "a")
    assert (result.exit_code, result.stderr) == (1, "Error: No such alias: a\n")


def test_alias_set_by_query() -> None:
    """The first model that matches every query gets the alias, and stderr says which it is."""
    result = invoke("aliases", "set", "a", "-q", "RICH", "-q", "2")
    assert (result.stdout, result.stderr) == ("", "Alias 'a' set to model 'rich-2'\n")
    assert config.load_aliases() == {"a": "rich-2"}
    result = invoke("aliases", "set", "a", "-q", "x", "-q", "y")
    assert (result.exit_code, result.stderr) == (1, "Error: No model found matching query: x, y\n")
    result = invoke("aliases", "set", "a")
    assert result.exit_code == 1
    assert "model_id or at least one -q" in result.stderr


def test_alias_with_corrupt_file(user_path: Path) -> None:
    """A corrupt file of aliases is never replaced."""
    path = user_path / "aliases.json"
    path.write_text("nonsense")
    for arguments in (["set", "a", "rich"], ["remove", "a"]):
        result = invoke("aliases", *arguments)
        assert result.exit_code == 1
        assert f"{path}, line 1: not valid JSON" in result.stderr
    assert path.read_text() == "nonsense"
    assert invoke("keys").exit_code == 0


def test_callback_parameters_are_those_that_plugins_use() -> None:
    """The names of the parameters are an API: plugins read and pass them."""
    names = {
        ("models", "list"): [
            "options",
            "async_",
            "schemas",
            "tools",
            "json_",
            "query",
            "model_ids",
        ],
        ("models", "default"): ["model"],
        ("aliases", "set"): ["alias", "model_id", "query"],
        ("aliases", "list"): ["json_"],
        ("keys", "set"): ["name", "value"],
    }
    for (group, command), expected in names.items():
        found = cli.commands[group]
        assert isinstance(found, click.Group)
        assert [param.name for param in found.commands[command].params] == expected
    assert [p.name for p in cli.commands["plugins"].params][:2] == ["all", "hooks"]
