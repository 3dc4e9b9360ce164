"""The real plugins, in the releases that are tested, and what each of them registers.

All are installed into one environment. Where nothing else is said a test lets only those take part
that it is about.
"""

from __future__ import annotations

# By kind the names, separated by spaces: all of them, but of models some.
GUESTS: dict[str, dict[str, str]] = {
    "llm-alias-options==0.1.1": {},
    "llm-anthropic==0.30": {
        "commands": "anthropic",
        "models": "anthropic/claude-3-opus-latest anthropic/claude-sonnet-4-5",
        "async models": "anthropic/claude-3-opus-latest anthropic/claude-sonnet-4-5",
    },
    "llm-azure==2.1": {},
    "llm-chat-completions-server==0.1a0": {"commands": "chat-completions-server"},
    "llm-cluster==0.2": {"commands": "cluster"},
    "llm-cmd==0.2a0": {"commands": "cmd"},
    "llm-commit==1.0.3": {"commands": "commit"},
    "llm-deepseek==0.1.6": {
        "models": "deepseek-chat deepseek-reasoner",
        "async models": "deepseek-chat deepseek-reasoner",
    },
    "llm-docs==0.2.1": {"fragment loaders": "docs docs-preview"},
    "llm-echo==0.5": {"models": "echo echo-needs-key", "async models": "echo echo-needs-key"},
    "llm-eliza==0.1.1": {"models": "eliza"},
    "llm-fragments-github==0.4": {"fragment loaders": "github issue pr"},
    "llm-fragments-pypi==0.1.2": {"fragment loaders": "pypi"},
    "llm-fragments-reader==0.1": {"fragment loaders": "reader"},
    "llm-gemini==0.35": {
        "commands": "gemini",
        "models": "gemini/gemini-2.5-flash gemini/gemini-flash-latest",
        "async models": "gemini/gemini-2.5-flash gemini/gemini-flash-latest",
        "embedding models": "gemini-embedding-001 gemini-embedding-2-768",
    },
    "llm-github-copilot==0.3.1": {"commands": "github_copilot"},
    "llm-greenpt==0.0.2": {
        "models": "greenpt/green-l greenpt/green-r",
        "async models": "greenpt/green-l greenpt/green-r",
    },
    "llm-grok==1.4.2": {"commands": "grok", "models": "grok-4-latest grok-2-vision-latest"},
    "llm-groq==0.9": {
        "commands": "groq",
        "models": "groq/served groq/served-vision groq/whisper-large-v3",
        "async models": "groq/served groq/served-vision",
    },
    "llm-hacker-news==0.1.1": {"fragment loaders": "hn"},
    "llm-jq==0.1.1": {"commands": "jq"},
    "llm-live-chat==0.0.2": {"commands": "live-chat inject"},
    "llm-llama-server==0.2": {
        "models": "llama-server llama-server-tools llama-server-vision",
        "async models": "llama-server llama-server-tools llama-server-vision",
    },
    "llm-markov==0.1": {"models": "markov"},
    "llm-matched-responses==0.0.4": {"models": "matched-responses"},
    "llm-mistral==0.16": {
        "commands": "mistral",
        "models": "mistral/served",
        "async models": "mistral/served",
        "embedding models": "mistral/mistral-embed mistral/codestral-embed-256",
    },
    "llm-neuralwatt==0.0.4": {
        "models": "neuralwatt/gpt-oss-20b",
        "async models": "neuralwatt/gpt-oss-20b",
    },
    "llm-ollama==0.19.1": {
        "commands": "ollama",
        "models": "ollama/served:latest",
        "async models": "ollama/served:latest",
        "embedding models": "ollama/served:latest",
        "tools": "ollama_web_search ollama_web_fetch",
    },
    "llm-openrouter==0.7.1": {
        "commands": "openrouter",
        "models": "openrouter/acme/served",
        "async models": "openrouter/acme/served",
    },
    "llm-perplexity==2026.9.1": {"models": "sonar sonar-pro sonar-deep-research"},
    "llm-plan==0.3.0": {"commands": "plan"},
    "llm-prompt-json==0.1.1": {},
    "llm-python==0.1": {"commands": "python"},
    "llm-sort==0.3": {"commands": "sort"},
    "llm-templates-fabric==0.2.1": {"template loaders": "fabric"},
    "llm-templates-github==0.1": {"template loaders": "gh"},
    "llm-tools-datasette==0.1.1": {"tools": "Datasette"},
    "llm-tools-quickjs==0.1": {"tools": "quickjs QuickJS"},
    "llm-tools-simpleeval==0.1.1": {"tools": "simple_eval"},
    "llm-tools-sqlite==0.1": {"tools": "SQLite"},
    "llm-tools-todo==0.3": {"tools": "Todo"},
    "llm-uv-tool==0.1.4": {},
    "llm-venice==0.9.1": {"commands": "venice"},
    "llm-video-frames==0.1": {"fragment loaders": "video-frames"},
    "llm-zai==0.2.1": {
        "commands": "zai",
        "models": "glm-5 glm-5.2",
        "async models": "glm-5 glm-5.2",
    },
}
# It brings the program that one of the plugins calls.
FFMPEG = "imageio-ffmpeg==0.8.1"
