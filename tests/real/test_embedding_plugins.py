"""Plugins that call `Collection`, unchanged from the package index, on a real embedding model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..helpers.plugin_environment import PluginEnvironment, plugin_environment
from ..helpers.wordllama import register_embedding_model

TEXTS = {
    "loaf": "Bake the sourdough in a hot oven",
    "bun": "Knead the dough and let the rolls rise",
    "whale": "Whales breathe at the surface of the sea",
    "shark": "Sharks and rays swim in the ocean",
}


@pytest.fixture(scope="module")
def installed() -> PluginEnvironment:
    """An environment with the plugins."""
    return plugin_environment("llm-tools-rag", "llm-cluster")


@pytest.fixture
def filled(installed: PluginEnvironment, user_path: Path) -> PluginEnvironment:
    """The same with four texts in the collection `notes`."""
    register_embedding_model()
    rows = "".join(f"{key},{text}\n" for key, text in TEXTS.items())
    done = installed.llm("embed-multi", "notes", "-", "--store", stdin=f"id,text\n{rows}")
    assert (done.returncode, done.stderr) == (0, "")
    return installed


def test_a_tool_finds_what_is_similar(filled: PluginEnvironment) -> None:
    """The plugin's toolbox looks into a collection by `Collection(name, db).similar`."""
    code = """
import json, llm
tools = llm.get_tools()["RAG"]()
found = tools.get_relevant_documents("making bread", "notes", number=2)
print(json.dumps([tools.get_collections(), [entry["id"] for entry in found], found[0]]))
"""
    done = filled.run("-c", code)
    assert done.returncode == 0, done.stderr
    collections, ids, entry = json.loads(done.stdout)
    assert collections == ["notes"]
    assert sorted(ids) == ["bun", "loaf"]
    assert entry.keys() == {"id", "score", "content", "metadata"}
    assert entry["content"] == TEXTS[entry["id"]]


def test_a_command_groups_a_collection(filled: PluginEnvironment) -> None:
    """The plugin's command reads the vectors by `Collection` and the tables of its database."""
    done = filled.llm("cluster", "notes", "2")
    assert done.returncode == 0, done.stderr
    groups = [sorted(item["id"] for item in group["items"]) for group in json.loads(done.stdout)]
    assert sorted(groups) == [["bun", "loaf"], ["shark", "whale"]]
