"""Every real plugin loads, and registers what it is known for."""

from __future__ import annotations

import json

import pytest

from ...helpers.plugin_environment import PluginEnvironment
from .guests import GUESTS
from .user import User

PROGRAM = """
import json, llm
from llm.cli import cli

models = llm.get_models_with_aliases()
print(json.dumps({
    "commands": sorted(cli.commands),
    "models": [one.model.model_id for one in models if one.model],
    "async models": [one.async_model.model_id for one in models if one.async_model],
    "embedding models": [one.model.model_id for one in llm.get_embedding_models_with_aliases()],
    "tools": sorted(llm.get_tools()),
    "template loaders": sorted(llm.get_template_loaders()),
    "fragment loaders": sorted(llm.get_fragment_loaders()),
    "plugins": [one["name"] for one in llm.get_plugins() if "fault" not in one],
}))
"""
KEYS = ("anthropic", "deepseek", "gemini", "groq", "mistral", "openrouter", "venice")


@pytest.fixture(scope="session")
def ours(
    everything: PluginEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What is registered without any plugin."""
    nobody = {"LLM_USER_PATH": str(tmp_path_factory.mktemp("nobody"))}
    names: dict[str, list[str]] = json.loads(
        everything.only().run("-c", PROGRAM, env=nobody).stdout
    )
    return names


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.partition("==")[0])
def test_plugin_registers(user: User, ours: dict[str, list[str]], guest: str) -> None:
    """Loaded alone it does so without a word, where its user has the keys."""
    user.store("keys.json", {name: "sk-of-the-user" for name in KEYS})
    name = guest.partition("==")[0]
    found = user.uses(name).runs(PROGRAM)
    assert found.pop("plugins") == [name]
    more = {kind: set(names) - set(ours[kind]) for kind, names in found.items()}
    known = {kind: set(names.split()) for kind, names in GUESTS[guest].items()}
    for kind, names in more.items():
        expected = known.get(kind, set())
        if kind.endswith("models"):
            assert expected <= names
            assert bool(expected) == bool(names)
        else:
            assert names == expected


# One of each kind, quickly imported.
FEW = {
    *("llm-docs", "llm-echo", "llm-jq", "llm-prompt-json", "llm-sort", "llm-templates-github"),
    *("llm-tools-sqlite", "llm-uv-tool"),
}


def test_index_answers_as_the_plugins_do(user: User) -> None:
    """Help and listings are the same from the index, and every name is found."""
    names = {guest.partition("==")[0] for guest in GUESTS}
    user.store("disabled_plugins.json", {"disabled": sorted(names - FEW)})
    user.ask("plugins", "--reindex")
    assert list(user.path.glob("cache/plugins-*.json"))
    for args in (
        ("--help",),
        ("install", "--help"),
        ("models",),
        ("tools",),
        ("templates", "loaders"),
        ("fragments", "loaders"),
        ("-m", "echo", "hi"),
    ):
        assert user.ask(*args) == user.ask(*args, env={"LLM_NO_PLUGIN_INDEX": "1"})
