"""Well-known plugins, and how the names of their models begin."""

from __future__ import annotations

from ..files.disabled_plugins import normal_name
from ..plugins import origins

# The first that fits counts.
PREFIXES: dict[str, tuple[str, ...]] = {
    "llm-anthropic": ("anthropic/", "claude-"),
    "llm-gemini": ("gemini/", "gemini-", "gemma-"),
    "llm-openrouter": ("openrouter/",),
    "llm-groq": ("groq/", "groq-"),
    "llm-mistral": (
        *("mistral/", "mistral-", "codestral", "devstral-", "magistral-", "ministral-", "pixtral-"),
        "voxtral-",
    ),
    "llm-deepseek": ("deepseek-",),
    "llm-grok": ("grok-",),
    "llm-perplexity": ("sonar",),
    "llm-cerebras": ("cerebras-",),
    "llm-venice": ("venice/",),
    # Its models are named by the user; this is what the names of its documentation begin with.
    "llm-azure": ("azure-",),
    "llm-bedrock": ("us.amazon.nova-", "nova-"),
    "llm-github-models": ("github/",),
    "llm-github-copilot": ("github_copilot/",),
    "llm-openai-plugin": ("openai/",),
    "llm-command-r": ("command-r", "command-a"),
    "llm-fireworks": ("fireworks/",),
    "llm-replicate": ("replicate-",),
    "llm-lmstudio": ("lmstudio/", "lmstudio@"),
    "llm-llama-server": ("llama-server",),
    "llm-gguf": ("gguf/",),
    "llm-mlx": ("mlx-community/",),
    "llm-ollama": ("ollama/",),
    "llm-echo": ("echo",),
    "llm-markov": ("markov",),
    "llm-eliza": ("eliza",),
    "llm-sentence-transformers": ("sentence-transformers/",),
    "llm-clip": ("clip",),
    "llm-embed-jina": ("jina-embeddings-",),
    "llm-embed-onnx": ("onnx-",),
}
# Of these the whole name has to be theirs: it is an ordinary word.
_WORDS = frozenset({"echo", "markov", "eliza", "clip"})


def plugin_for(name: str) -> str | None:
    """The well-known plugin that has models of such a name, if it is not among the loaded ones."""
    for distribution, prefixes in PREFIXES.items():
        if any(_begins(name.lower(), prefix) for prefix in prefixes):
            loaded = {normal_name(found) for found, _ in origins().values()}
            return None if distribution in loaded else distribution
    return None


def _begins(name: str, prefix: str) -> bool:
    return name == prefix if prefix in _WORDS else name.startswith(prefix)
