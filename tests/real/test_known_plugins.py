"""The well-known plugins have models of the names that are told of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.registry.known_plugins import PREFIXES, plugin_for

from ..helpers.plugin_environment import plugin_environment

# Those that know their models without asking anybody, and need little beside themselves.
OFFLINE = (
    *("llm-anthropic", "llm-gemini", "llm-mistral", "llm-deepseek", "llm-grok", "llm-perplexity"),
    *("llm-command-r", "llm-github-models", "llm-llama-server", "llm-echo", "llm-markov"),
    "llm-eliza",
)
NAMES = """
import json, llm
from llm.plugins import origins
found = {}
for one in [*llm.get_models_with_aliases(), *llm.get_embedding_models_with_aliases()]:
    distribution = origins().get(one.plugin, ("", ""))[0]
    found.setdefault(distribution, []).extend([one.model_id, *one.aliases])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The names of all models and aliases, by plugin."""
    user = tmp_path_factory.mktemp("user")
    done = plugin_environment(*OFFLINE).run(
        "-c", NAMES, env={"LLM_USER_PATH": str(user), "LLM_DEEPSEEK_KEY": "x"}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("distribution", OFFLINE)
def test_known_plugin_has_the_names(
    distribution: str, names: dict[str, list[str]], user_path: Path
) -> None:
    """Each prefix begins some name of the plugin, and leads to the plugin."""
    for prefix in PREFIXES[distribution]:
        found = [name for name in names[distribution] if name.lower().startswith(prefix)]
        assert found, f"{distribution} has no model that begins with {prefix}"
        assert plugin_for(found[0]) == distribution
