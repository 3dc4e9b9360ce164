"""The `llm` command with the plugin of the golden files installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import llm
from llm.cli import cli
from tests.helpers import golden_plugin

if __name__ == "__main__":
    llm.load_plugins()
    llm.pm.register(golden_plugin, "golden")
    cli()
