"""What is not imported before a request is sent."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys
import llm
from llm.plugins import load_plugins, pm

class Model(llm.Model):
    model_id = "bare"
    can_stream = True
    def execute(self, prompt, stream, response, conversation):
        prompt.messages
        yield json.dumps(sorted(sys.modules))

class Plugin:
    @llm.hookimpl
    def register_models(self, register):
        register(Model())

load_plugins()
pm.register(Plugin())
from llm.cli import cli
cli(["-m", "bare", "hi"])
"""

HEAVY = {
    "asyncio",
    "httpx",
    "httpx2",
    "numpy",
    "openai",
    "prompt_toolkit",
    "pydantic",
    "rich",
    "sqlite_utils",
    "ulid",
    "yaml",
}


def test_nothing_heavy_is_imported_before_the_request() -> None:
    """A prompt without options reaches the model with nothing heavy in memory, and is logged."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], input="", capture_output=True, text=True, check=True
    )
    assert HEAVY & set(json.loads(result.stdout)) == set()
    assert result.stderr == ""
