"""The `llm` command with the models of `helpers.models` installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.models import registered
from llm.cli import cli

if __name__ == "__main__":
    with registered():
        cli()
